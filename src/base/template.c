/* Parses templates into a flat array of nodes. Called by whoever loads templates, any thread.
 *
 * A line that holds nothing but one tag that writes nothing by itself (section, end, comment,
 * delimiters), or one partial, vanishes with its line end, as the spec says of standalone tags.
 * Text is one node a line, so that a partial's indentation can be put before each. */
#include "base/template_private.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { DELIMITER_MAX = 8, NODES_FIRST = 32, SHOWN_SIZE = 41 };

struct parser {
    struct template *template;
    size_t length;
    size_t at;                     /* what stands before is parsed */
    size_t counted;                /* up to here lines are counted: */
    unsigned line;                 /* the line of `counted` */
    char open[DELIMITER_MAX + 1];  /* {{ */
    char close[DELIMITER_MAX + 1]; /* }} */
    uint32_t sections[TEMPLATE_SECTIONS_MAX];
    unsigned depth;
    char *error;
    enum err result;
};

struct tag {
    char sigil; /* '\0': a value */
    struct span content;
    size_t start, end;
};

/* Lines only go forward, so each is counted once. */
static unsigned line_of(struct parser *parser, size_t place)
{
    for (; parser->counted < place; parser->counted++)
        if (parser->template->text[parser->counted] == '\n') parser->line++;
    return parser->line;
}

static void refuse(struct parser *parser, unsigned line, const char *format, ...) PRINTF_LIKE(3, 4);

static void refuse(struct parser *parser, unsigned line, const char *format, ...)
{
    va_list arguments;
    int used =
        snprintf(parser->error, TEMPLATE_ERROR_SIZE, "%s:%u: ", parser->template->file, line);
    va_start(arguments, format);
    vsnprintf(parser->error + used, (size_t)(TEMPLATE_ERROR_SIZE - used), format, arguments);
    va_end(arguments);
    parser->result = ERR_INVALID;
}

/* The beginning of what stands in a tag, for errors. */
static const char *shown(struct span text, char out[SHOWN_SIZE])
{
    size_t length = text.length < SHOWN_SIZE ? text.length : SHOWN_SIZE - 1;
    for (size_t i = 0; i < length; i++)
        out[i] = template_is_control(text.data[i]) ? ' ' : text.data[i];
    out[length] = '\0';
    return out;
}

static struct node *node_add(struct parser *parser, enum node_kind kind, size_t place)
{
    struct template *template = parser->template;
    if (template->count == TEMPLATE_NODES_MAX) {
        refuse(parser, line_of(parser, place), "more than %d lines and tags", TEMPLATE_NODES_MAX);
        return NULL;
    }
    if (template->count == template->capacity) {
        uint32_t capacity = template->capacity ? template->capacity * 2 : NODES_FIRST;
        struct node *nodes = realloc(template->nodes, capacity * sizeof *nodes);
        if (!nodes) {
            parser->result = ERR_NO_MEMORY;
            return NULL;
        }
        template->nodes = nodes;
        template->capacity = capacity;
    }
    struct node *node = &template->nodes[template->count++];
    *node = (struct node){.kind = kind, .line = line_of(parser, place)};
    return node;
}

static bool at_line_start(const struct parser *parser, size_t place)
{
    return place == 0 || parser->template->text[place - 1] == '\n';
}

/* Adds the text from parser->at to `to`, a node a line. When a tag follows that begins a line and
 * stays, the line begins with an empty text. */
static void text_add(struct parser *parser, size_t to, bool tag_follows)
{
    const char *text = parser->template->text;
    size_t at = parser->at;
    while (!parser->result && (at < to || (tag_follows && at_line_start(parser, at)))) {
        const char *line_end = memchr(text + at, '\n', to - at);
        size_t next = line_end ? (size_t)(line_end - text) + 1 : to;
        struct node *node = node_add(parser, NODE_TEXT, at);
        if (!node) return;
        node->text = span_of(text + at, next - at);
        node->starts_line = at_line_start(parser, at);
        if (at == next) break;
        at = next;
    }
    parser->at = to;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trimmed(struct span text)
{
    while (text.length && isspace((unsigned char)text.data[0]))
        text = span_of(text.data + 1, text.length - 1);
    while (text.length && isspace((unsigned char)text.data[text.length - 1]))
        text.length--;
    return text;
}

/* Reads the tag whose opening delimiter stands at `start`. */
static bool tag_read(struct parser *parser, size_t start, struct tag *tag)
{
    const char *text = parser->template->text;
    size_t at = start + strlen(parser->open);
    char sigil = at < parser->length ? text[at] : '\0', close[DELIMITER_MAX + 2];
    const char *before_close = sigil == '{' ? "}" : "";
    if (sigil == '=') before_close = "=";
    snprintf(close, sizeof close, "%s%s", before_close, parser->close);
    tag->start = start;
    tag->sigil = sigil && strchr("#^/>!=&{", sigil) ? sigil : '\0';
    if (tag->sigil) at++;
    const char *end = memmem(text + at, parser->length - at, close, strlen(close));
    if (!end) {
        refuse(parser, line_of(parser, start),
               "the tag that opens here is not closed; \"%s\" is "
               "missing",
               close);
        return false;
    }
    tag->content = trimmed(span_of(text + at, (size_t)(end - text) - at));
    tag->end = (size_t)(end - text) + strlen(close);
    return true;
}

/* Whether nothing but blanks stands beside the tag on its line; then where the line begins and the
 * next one does. */
static bool tag_is_alone(const struct parser *parser, const struct tag *tag, size_t *begin,
                         size_t *next)
{
    const char *text = parser->template->text;
    size_t left = tag->start, right = tag->end;
    while (left > 0 && is_blank(text[left - 1]))
        left--;
    while (right < parser->length && is_blank(text[right]))
        right++;
    if (right + 1 < parser->length && text[right] == '\r' && text[right + 1] == '\n') right++;
    bool ends = right == parser->length || text[right] == '\n';
    *begin = left;
    *next = right < parser->length ? right + 1 : right;
    return ends && at_line_start(parser, left);
}

bool template_name_part(struct span *name, struct span *part)
{
    if (!name->length) return false;
    const char *dot = memchr(name->data, '.', name->length);
    size_t length = dot ? (size_t)(dot - name->data) : name->length;
    *part = span_of(name->data, length);
    *name = dot ? span_of(dot + 1, name->length - length - 1) : (struct span){0};
    return true;
}

/* "." or parts between dots, without blanks and control characters. */
static bool name_is_good(struct span name, bool is_path)
{
    if (!name.length || strchr("#^/>!=&{<$", name.data[0])) return false;
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] == ' ' || template_is_control(name.data[i])) return false;
    if (is_path || span_is(name, ".")) return true;
    if (name.data[name.length - 1] == '.') return false;
    struct span part;
    while (template_name_part(&name, &part))
        if (!part.length) return false;
    return true;
}

static struct node *name_add(struct parser *parser, const struct tag *tag, enum node_kind kind)
{
    if (!name_is_good(tag->content, kind == NODE_PARTIAL)) {
        char text[SHOWN_SIZE];
        refuse(parser, line_of(parser, tag->start), "\"%s\" cannot be a name",
               shown(tag->content, text));
        return NULL;
    }
    struct node *node = node_add(parser, kind, tag->start);
    if (node) node->text = tag->content;
    return node;
}

static void section_open(struct parser *parser, const struct tag *tag)
{
    if (parser->depth == TEMPLATE_SECTIONS_MAX) {
        refuse(parser, line_of(parser, tag->start), "sections within each other more than %d deep",
               TEMPLATE_SECTIONS_MAX);
        return;
    }
    if (name_add(parser, tag, tag->sigil == '#' ? NODE_SECTION : NODE_INVERTED))
        parser->sections[parser->depth++] = parser->template->count - 1;
}

static void section_close(struct parser *parser, const struct tag *tag)
{
    char closed[SHOWN_SIZE], open[SHOWN_SIZE];
    unsigned line = line_of(parser, tag->start);
    if (!parser->depth) {
        refuse(parser, line, "\"%s\" is closed but not open", shown(tag->content, closed));
        return;
    }
    struct node *node = &parser->template->nodes[parser->sections[parser->depth - 1]];
    if (!span_equal(node->text, tag->content)) {
        refuse(parser, line, "\"%s\" is closed while \"%s\", opened on line %u, is still open",
               shown(tag->content, closed), shown(node->text, open), node->line);
        return;
    }
    node->end = parser->template->count;
    parser->depth--;
}

/* {{=<% %>=}} */
static void delimiters_change(struct parser *parser, const struct tag *tag)
{
    struct span content = tag->content, parts[2] = {{0}};
    size_t count = 0;
    while (content.length && count <= 2) {
        size_t length = 0;
        while (length < content.length && !isspace((unsigned char)content.data[length]))
            length++;
        if (count < 2) parts[count] = span_of(content.data, length);
        count++;
        content = trimmed(span_of(content.data + length, content.length - length));
    }
    bool good = count == 2;
    for (size_t i = 0; i < 2; i++)
        good = good && parts[i].length <= DELIMITER_MAX &&
               !memchr(parts[i].data, '=', parts[i].length);
    if (!good) {
        refuse(parser, line_of(parser, tag->start),
               "delimiters are set as {{=<%% %%>=}}: two of at most %d characters, without \"=\"",
               DELIMITER_MAX);
        return;
    }
    snprintf(parser->open, sizeof parser->open, "%.*s", (int)parts[0].length, parts[0].data);
    snprintf(parser->close, sizeof parser->close, "%.*s", (int)parts[1].length, parts[1].data);
}

/* `begin`: where the line of a tag that is alone begins, the tag's own start otherwise. */
static void tag_take(struct parser *parser, const struct tag *tag, bool alone, size_t begin)
{
    struct node *node;
    switch (tag->sigil) {
    case '#':
    case '^':
        section_open(parser, tag);
        return;
    case '/':
        section_close(parser, tag);
        return;
    case '>':
        node = name_add(parser, tag, NODE_PARTIAL);
        if (!node) return;
        node->alone = alone;
        node->indent = span_of(parser->template->text + begin, tag->start - begin);
        return;
    case '=':
        delimiters_change(parser, tag);
        return;
    case '!':
        return;
    case '&':
    case '{':
        (void)name_add(parser, tag, NODE_RAW);
        return;
    default:
        (void)name_add(parser, tag, NODE_VALUE);
    }
}

static void parse(struct parser *parser)
{
    const char *text = parser->template->text;
    while (!parser->result && parser->at < parser->length) {
        struct tag tag;
        size_t begin, next = 0;
        const char *open = memmem(text + parser->at, parser->length - parser->at, parser->open,
                                  strlen(parser->open));
        if (!open) {
            text_add(parser, parser->length, false);
        } else if (tag_read(parser, (size_t)(open - text), &tag)) {
            bool alone = tag.sigil && strchr("#^/>!=", tag.sigil) &&
                         tag_is_alone(parser, &tag, &begin, &next);
            if (!alone) begin = tag.start;
            text_add(parser, begin, !alone);
            if (parser->result) return;
            tag_take(parser, &tag, alone, begin);
            parser->at = alone ? next : tag.end;
        }
    }
    if (parser->result || !parser->depth) return;
    const struct node *node = &parser->template->nodes[parser->sections[parser->depth - 1]];
    char name[SHOWN_SIZE];
    refuse(parser, node->line, "the section \"%s\" is not closed", shown(node->text, name));
}

enum err template_new(struct template **out, const char *file, unsigned line, struct span text,
                      char error[TEMPLATE_ERROR_SIZE])
{
    *out = NULL;
    snprintf(error, TEMPLATE_ERROR_SIZE, "%.100s: no memory", file);
    struct template *template = calloc(1, sizeof *template);
    if (!template) return ERR_NO_MEMORY;
    snprintf(template->file, sizeof template->file, "%s", file);
    struct parser parser = {.template = template,
                            .length = text.length,
                            .line = line,
                            .open = "{{",
                            .close = "}}",
                            .error = error};
    if (text.length > TEMPLATE_TEXT_MAX)
        refuse(&parser, line, "the text is longer than %d KiB", TEMPLATE_TEXT_MAX / 1024);
    else if (text.length && memchr(text.data, '\0', text.length))
        refuse(&parser, line, "the text has a NUL character");
    else if (!(template->text = malloc(text.length + 1)))
        parser.result = ERR_NO_MEMORY;
    if (!parser.result) {
        if (text.length) memcpy(template->text, text.data, text.length);
        template->text[text.length] = '\0';
        parse(&parser);
    }
    if (parser.result) {
        template_free(&template);
        return parser.result;
    }
    error[0] = '\0';
    *out = template;
    return ERR_OK;
}

void template_free(struct template **template)
{
    if (!*template) return;
    free((*template)->nodes);
    free((*template)->text);
    free(*template);
    *template = NULL;
}

void template_blame(struct template_fault *fault, const struct template *template,
                    const struct node *node, const char *format, ...)
{
    va_list arguments;
    fault->within[0] = template;
    int used = snprintf(fault->text, sizeof fault->text, "%s:%u: ", template->file, node->line);
    va_start(arguments, format);
    vsnprintf(fault->text + used, sizeof fault->text - (size_t)used, format, arguments);
    va_end(arguments);
}

enum err template_step(struct template_fault *fault, const struct template *template,
                       const struct node *node, unsigned nesting, unsigned steps)
{
    if (nesting > TEMPLATE_NESTING_MAX)
        template_blame(fault, template, node,
                       "sections and partials within each other more than %d deep",
                       TEMPLATE_NESTING_MAX);
    else if (steps > TEMPLATE_STEPS_MAX)
        template_blame(fault, template, node, "more than %d lines and tags with all partials",
                       TEMPLATE_STEPS_MAX);
    else
        return ERR_OK;
    return ERR_FULL;
}
