/* A template language: the parts of mustache that hold no code (mustache/spec: comments,
 * delimiters, interpolation, inverted, partials, sections), for mails and pages. A text is parsed
 * once and rendered often, from JSON (jansson). A compiled template never changes: any thread.
 *
 * Where the spec leaves it open: null, false, "", [] and what is missing are false; a number is
 * true. Objects and lists have no text of their own. Tags begin right behind the delimiter with one
 * of # ^ / > ! = & { or a name. */
#ifndef KEYMETER_BASE_TEMPLATE_H
#define KEYMETER_BASE_TEMPLATE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <jansson.h>
#include <stdbool.h>

struct template;

enum {
    TEMPLATE_ERROR_SIZE = 512,
    TEMPLATE_FILE_SIZE = 160,       /* of the name that errors give a text */
    TEMPLATE_TEXT_MAX = 256 * 1024, /* bytes of a text */
    TEMPLATE_NODES_MAX = 65536,     /* lines and tags of a text */
    TEMPLATE_SECTIONS_MAX = 32,     /* sections within each other in a text */
    TEMPLATE_NESTING_MAX = 64,      /* the same with partials, when rendered or checked */
    TEMPLATE_WITHIN_MAX = 8,
    TEMPLATE_STEPS_MAX = 200000, /* lines and tags that one rendering walks through */
};

/* Parses. `file` and `line` (of the text's first line) are for errors: "FILE:LINE: what is wrong".
 * The text is copied. ERR_INVALID, ERR_NO_MEMORY; then *out is NULL and `error` tells. */
MUST_USE enum err template_new(struct template **out, const char *file, unsigned line,
                               struct span text, char error[TEMPLATE_ERROR_SIZE]);
void template_free(struct template **template); /* accepts NULL */

/* ---- rendering ---- */

enum template_escape {
    TEMPLATE_HTML,     /* {{x}} escapes & < > " ', {{{x}}} and {{&x}} do not */
    TEMPLATE_PLAIN,    /* nothing is escaped */
    TEMPLATE_ONE_LINE, /* as plain, but each control character of a value becomes a blank, so that
                          no value can begin a line */
};

struct template_options {
    enum template_escape escape;
    /* The partial of that name or NULL, which renders as nothing. May be NULL itself. */
    const struct template *(*partial)(const void *partials, struct span name);
    const void *partials;
};

/* What went wrong and where: in `within[0]`, the template given or a partial. template_check also
 * tells those that include it, one after another; NULL behind the last. */
struct template_fault {
    const struct template *within[TEMPLATE_WITHIN_MAX + 1];
    char text[TEMPLATE_ERROR_SIZE]; /* "FILE:LINE: …" */
};

/* Appends to `out`, whose limit bounds the size. ERR_FULL: a limit was met (TEMPLATE_NESTING_MAX,
 * TEMPLATE_STEPS_MAX, out->limit) or memory; `fault` tells, and `out` holds a part. */
MUST_USE enum err template_render(const struct template *template, const json_t *context,
                                  const struct template_options *options, struct buf *out,
                                  struct template_fault *fault);

/* ---- checking names before anything is rendered ---- */

enum template_type {
    TEMPLATE_TEXT,  /* a text or number; as a section: whether there is one */
    TEMPLATE_FLAG,  /* true or false, only for sections */
    TEMPLATE_GROUP, /* an object with `members`: x.member, or {{#x}}{{member}}{{/x}} */
    TEMPLATE_LIST,  /* objects with `members`, or texts when that is NULL */
};

/* What a context holds; a table of these ends with a name of NULL. */
struct template_variable {
    const char *name;
    enum template_type type;
    bool optional; /* it may be missing */
    const struct template_variable *members;
    const char *help;    /* for people: what it is */
    const char *example; /* a text's value in examples */
};

/* Tables of what is known: this one, then the outer one. The root of a context may be several. */
struct template_scope {
    const struct template_variable *variables; /* NULL: none */
    const struct template_variable *of;        /* the section's own; NULL at the root */
    const struct template_scope *outer;
};

/* Whether each name in the template and its partials is known where it stands and used as what it
 * is, each partial is there, and none includes itself. What passes cannot fail for its nesting when
 * rendered. ERR_INVALID, ERR_FULL (limits as in rendering); `fault` tells. */
MUST_USE enum err template_check(const struct template *template,
                                 const struct template_scope *scope,
                                 const struct template_options *options,
                                 struct template_fault *fault);

/* As {{x}} of TEMPLATE_HTML: what is put into HTML or SVG beside a template. */
void template_add_html(struct buf *out, struct span text);

#endif
