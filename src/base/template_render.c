/* Renders a compiled template. Called by whoever sends mails or pages, any thread. Names are looked
 * up from the innermost section outwards; memory is what the output needs, and steps, nesting and
 * size are bounded, so that no template can run away. */
#include "base/template_private.h"

#include <stdio.h>
#include <stdlib.h>

/* A section's value, then those around it. */
struct frame {
    const json_t *value;
    const struct frame *outer;
};

/* What stands before each line of a partial that has a line of its own, and of those around it. */
struct margin {
    struct span indent;
    const struct margin *outer;
};

struct rendering {
    const struct template_options *options;
    struct buf *out;
    struct template_fault *fault;
    unsigned steps, nesting;
};

static enum err render(struct rendering *rendering, const struct template *template, uint32_t first,
                       uint32_t last, const struct frame *frame, const struct margin *margin);

/* Before each node, and each item of a list. */
static enum err step(struct rendering *rendering, const struct template *template,
                     const struct node *node)
{
    if (rendering->out->failed) {
        template_blame(rendering->fault, template, node, "the output gets too large");
        return ERR_FULL;
    }
    return template_step(rendering->fault, template, node, rendering->nesting, ++rendering->steps);
}

static const json_t *value_find(const struct frame *frame, struct span name)
{
    struct span part;
    if (span_is(name, ".")) return frame->value;
    (void)template_name_part(&name, &part);
    const json_t *value = NULL;
    for (; frame && !value; frame = frame->outer)
        value = json_object_getn(frame->value, part.data, part.length);
    while (value && template_name_part(&name, &part))
        value = json_object_getn(value, part.data, part.length);
    return value;
}

static bool is_true(const json_t *value)
{
    if (json_is_array(value)) return json_array_size(value) > 0;
    if (json_is_string(value)) return json_string_length(value) > 0;
    return value && !json_is_null(value) && !json_is_false(value);
}

/* The shortest digits that read back as the same number. */
static void real_format(char out[32], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value) return;
    }
}

void template_add_html(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.length; i++) {
        switch (text.data[i]) {
        case '&':
            buf_add_text(out, "&amp;");
            break;
        case '<':
            buf_add_text(out, "&lt;");
            break;
        case '>':
            buf_add_text(out, "&gt;");
            break;
        case '"':
            buf_add_text(out, "&quot;");
            break;
        case '\'':
            buf_add_text(out, "&#39;");
            break;
        default:
            buf_add_char(out, text.data[i]);
        }
    }
}

static void line_add(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        buf_add_char(out, template_is_control(text.data[i]) ? ' ' : text.data[i]);
}

static void value_add(struct rendering *rendering, const json_t *value, bool raw)
{
    struct span text = {0};
    char digits[32] = "";
    if (json_is_string(value)) {
        text = span_of(json_string_value(value), json_string_length(value));
    } else {
        if (json_is_integer(value))
            snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            real_format(digits, json_real_value(value));
        else if (json_is_boolean(value))
            snprintf(digits, sizeof digits, "%s", json_is_true(value) ? "true" : "false");
        text = span_text(digits);
    }
    if (rendering->options->escape == TEMPLATE_ONE_LINE)
        line_add(rendering->out, text);
    else if (rendering->options->escape == TEMPLATE_HTML && !raw)
        template_add_html(rendering->out, text);
    else
        buf_add_span(rendering->out, text);
}

static void margin_add(struct buf *out, const struct margin *margin)
{
    if (!margin) return;
    margin_add(out, margin->outer);
    buf_add_span(out, margin->indent);
}

static enum err section_render(struct rendering *rendering, const struct template *template,
                               uint32_t at, const struct frame *frame, const struct margin *margin)
{
    const struct node *node = &template->nodes[at];
    const json_t *value = value_find(frame, node->text);
    if (is_true(value) != (node->kind == NODE_SECTION)) return ERR_OK;
    if (node->kind == NODE_INVERTED)
        return render(rendering, template, at + 1, node->end, frame, margin);
    struct frame inner = {value, frame};
    if (!json_is_array(value))
        return render(rendering, template, at + 1, node->end, &inner, margin);
    enum err result = ERR_OK;
    for (size_t i = 0; i < json_array_size(value) && !result; i++) {
        inner.value = json_array_get(value, i);
        result = step(rendering, template, node);
        if (!result) result = render(rendering, template, at + 1, node->end, &inner, margin);
    }
    return result;
}

static enum err partial_render(struct rendering *rendering, const struct node *node,
                               const struct frame *frame, const struct margin *margin)
{
    const struct template_options *options = rendering->options;
    const struct template *partial =
        options->partial ? options->partial(options->partials, node->text) : NULL;
    if (!partial) return ERR_OK;
    struct margin inner = {node->indent, margin};
    return render(rendering, partial, 0, partial->count, frame, node->alone ? &inner : NULL);
}

static enum err node_render(struct rendering *rendering, const struct template *template,
                            uint32_t at, const struct frame *frame, const struct margin *margin)
{
    const struct node *node = &template->nodes[at];
    switch (node->kind) {
    case NODE_TEXT:
        if (node->starts_line) margin_add(rendering->out, margin);
        buf_add_span(rendering->out, node->text);
        return ERR_OK;
    case NODE_VALUE:
    case NODE_RAW:
        value_add(rendering, value_find(frame, node->text), node->kind == NODE_RAW);
        return ERR_OK;
    case NODE_SECTION:
    case NODE_INVERTED:
        return section_render(rendering, template, at, frame, margin);
    case NODE_PARTIAL:
        return partial_render(rendering, node, frame, margin);
    }
    return ERR_OK;
}

static enum err render(struct rendering *rendering, const struct template *template, uint32_t first,
                       uint32_t last, const struct frame *frame, const struct margin *margin)
{
    enum err result = ERR_OK;
    rendering->nesting++;
    for (uint32_t at = first; at < last && !result;) {
        const struct node *node = &template->nodes[at];
        result = step(rendering, template, node);
        if (!result) result = node_render(rendering, template, at, frame, margin);
        at = node->end ? node->end : at + 1;
    }
    rendering->nesting--;
    return result;
}

enum err template_render(const struct template *template, const json_t *context,
                         const struct template_options *options, struct buf *out,
                         struct template_fault *fault)
{
    struct rendering rendering = {.options = options, .out = out, .fault = fault};
    struct frame root = {context, NULL};
    *fault = (struct template_fault){0};
    enum err result = render(&rendering, template, 0, template->count, &root, NULL);
    if (result || !out->failed) return result;
    template_blame(fault, template, &template->nodes[template->count - 1],
                   "the output gets too large");
    return ERR_FULL;
}
