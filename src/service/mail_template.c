/* Finds and renders the texts of mails. Called by whoever puts mail into the outbox and by
 * `mail preview`, any thread. A template of the operator's that fails while rendering never stops a
 * mail: the built-in one takes its place. */
#include "service/mail_template.h"

#include "service/mail_context.h"
#include "service/mail_template_private.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

const struct mail_source *mail_source_at(const struct mail_lookup *lookup, struct span language,
                                         const char *name)
{
    const struct mail_source *found = NULL;
    for (size_t i = 0; i < lookup->templates->count; i++) {
        const struct mail_source *at = &lookup->templates->sources[i];
        if (at->broken || at->html != lookup->html || (lookup->built_in_only && !at->built_in) ||
            strcmp(at->name, name) != 0 || !span_is_nocase(language, at->language))
            continue;
        if (!at->built_in) return at;
        found = at;
    }
    return found;
}

const struct mail_source *mail_source_find(const struct mail_lookup *lookup, const char *name)
{
    struct span language = span_text(lookup->language);
    const struct mail_source *found = NULL;
    while (language.length && !found) {
        found = mail_source_at(lookup, language, name);
        const char *dash = memrchr(language.data, '-', language.length);
        language.length = dash ? (size_t)(dash - language.data) : 0;
    }
    return found ? found : mail_source_at(lookup, SPAN("en"), name);
}

const struct template *mail_partial_find(const void *lookup, struct span name)
{
    char file[MAIL_NAME_SIZE];
    if (name.length > sizeof file - 2) return NULL;
    snprintf(file, sizeof file, "_%.*s", (int)name.length, name.data);
    const struct mail_source *source = mail_source_find(lookup, file);
    return source ? source->body : NULL;
}

/* A byte of a UTF-8 character that is not its first. */
static bool goes_on(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Into one line: runs of blanks become one, and none stand at its ends; cut between characters. */
static void subject_take(char out[MAIL_SUBJECT_SIZE], struct span text)
{
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        bool blank = text.data[i] == ' ';
        if (blank && (length == 0 || out[length - 1] == ' ')) continue;
        if (length == MAIL_SUBJECT_SIZE - 1) {
            if (goes_on(text.data[i])) {
                while (length && goes_on(out[length - 1]))
                    length--;
                if (length) length--;
            }
            break;
        }
        out[length++] = text.data[i];
    }
    while (length && out[length - 1] == ' ')
        length--;
    out[length] = '\0';
}

static void wipe(struct buf *buf)
{
    if (buf->data) sodium_memzero(buf->data, buf->length);
    buf_clear(buf);
}

/* Renders into a buffer that is never moved, so that no copy of a secret stays behind. */
static enum err part_render(const struct template *template, const json_t *context,
                            const struct mail_lookup *lookup, enum template_escape escape,
                            struct buf *out, char *error)
{
    struct template_options options = {
        .escape = escape, .partial = mail_partial_find, .partials = lookup};
    struct template_fault fault;
    wipe(out);
    out->limit = MAIL_PART_MAX;
    if (!buf_reserve(out, MAIL_PART_MAX)) return ERR_NO_MEMORY;
    enum err result = template_render(template, context, &options, out, &fault);
    if (result) snprintf(error, TEMPLATE_ERROR_SIZE, "%s", fault.text);
    return result;
}

static enum err mail_render_from(struct mail_lookup *lookup, enum mail_kind kind,
                                 const json_t *context, struct mail_text *out, char *error)
{
    const char *name = mail_kind_name(kind);
    const struct mail_source *text = mail_source_find(lookup, name);
    if (!text) {
        snprintf(error, TEMPLATE_ERROR_SIZE, "there is no template for %s", name);
        return ERR_INVALID;
    }
    enum err result =
        part_render(text->subject, context, lookup, TEMPLATE_ONE_LINE, &out->text, error);
    if (!result) subject_take(out->subject, buf_span(&out->text));
    if (!result)
        result = part_render(text->body, context, lookup, TEMPLATE_ONE_LINE, &out->text, error);
    lookup->html = true;
    const struct mail_source *html = mail_source_at(lookup, span_text(text->language), name);
    if (!result && html)
        result = part_render(html->body, context, lookup, TEMPLATE_HTML, &out->html, error);
    return result;
}

enum err mail_render(const struct mail_templates *templates, enum mail_kind kind,
                     const char *language, const json_t *context, struct mail_text *out)
{
    char error[TEMPLATE_ERROR_SIZE];
    struct mail_lookup own = {.templates = templates, .language = language ? language : ""};
    struct mail_lookup built_in = {.templates = templates, .language = "", .built_in_only = true};
    *out = (struct mail_text){0};
    enum err result = mail_context_check(kind, context, out->fault);
    if (result) return result;
    result = mail_render_from(&own, kind, context, out, out->fault);
    if (result != ERR_FULL) return result;
    wipe(&out->html);
    return mail_render_from(&built_in, kind, context, out, error);
}

void mail_text_done(struct mail_text *text)
{
    wipe(&text->text);
    wipe(&text->html);
    buf_done(&text->text);
    buf_done(&text->html);
}

enum err mail_templates_new(struct mail_templates **out, const char *folder)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    enum err result = mail_templates_load(*out, folder);
    if (result) mail_templates_free(out);
    return result;
}

void mail_templates_free(struct mail_templates **templates)
{
    if (!*templates) return;
    for (size_t i = 0; i < (*templates)->count; i++) {
        template_free(&(*templates)->sources[i].subject);
        template_free(&(*templates)->sources[i].body);
    }
    for (size_t i = 0; i < (*templates)->fault_count; i++)
        free((*templates)->faults[i]);
    free((*templates)->sources);
    free(*templates);
    *templates = NULL;
}

size_t mail_templates_faults(const struct mail_templates *templates, const char *const **faults)
{
    *faults = (const char *const *)templates->faults;
    return templates->fault_count;
}
