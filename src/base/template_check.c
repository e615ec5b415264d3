/* Checks the names of a template before anything is rendered, so that a typo is found when
 * templates are loaded and not as a hole in a mail. Called by loaders, any thread. Walks as
 * rendering does, each section once, with tables of what is known in place of values. */
#include "base/template_private.h"

#include <stdio.h>

enum { NAME_SHOWN = 40, KNOWN_SIZE = TEMPLATE_ERROR_SIZE - TEMPLATE_FILE_SIZE };

/* The templates that are being walked, innermost first. */
struct chain {
    const struct template *template;
    const struct chain *outer;
};

struct checking {
    const struct template_options *options;
    struct template_fault *fault;
    unsigned steps, nesting;
};

static enum err check(struct checking *checking, const struct chain *chain, uint32_t first,
                      uint32_t last, const struct template_scope *scope);

static const struct template_variable *member_find(const struct template_variable *members,
                                                   struct span name)
{
    for (; members && members->name; members++)
        if (span_is(name, members->name)) return members;
    return NULL;
}

/* Adds "a, b, c" to `out`, as far as there is room. */
static void names_add(char out[KNOWN_SIZE], const struct template_variable *members)
{
    size_t used = strlen(out);
    for (; members && members->name; members++) {
        int wrote =
            snprintf(out + used, KNOWN_SIZE - used, "%s%s", used ? ", " : "", members->name);
        if (wrote < 0 || (size_t)wrote >= KNOWN_SIZE - used) return;
        used += (size_t)wrote;
    }
}

static int shown(struct span name)
{
    return (int)(name.length < NAME_SHOWN ? name.length : NAME_SHOWN);
}

/* Refuses a name that neither the scope nor, when the name is of a group, that group knows. */
static enum err unknown(struct checking *checking, const struct template *template,
                        const struct node *node, const struct template_variable *group,
                        const struct template_scope *scope)
{
    char known[KNOWN_SIZE] = "";
    if (group) names_add(known, group->type == TEMPLATE_GROUP ? group->members : NULL);
    for (; !group && scope; scope = scope->outer)
        names_add(known, scope->variables);
    template_blame(checking->fault, template, node, "unknown name \"%.*s\"; known %s%s: %s",
                   shown(node->text), node->text.data, group ? "of " : "here",
                   group ? group->name : "", known[0] ? known : "nothing");
    return ERR_INVALID;
}

static bool is_text(const struct template_variable *variable, bool item)
{
    return variable->type == TEMPLATE_TEXT ||
           (item && variable->type == TEMPLATE_LIST && !variable->members);
}

/* What a name means where it stands. "." is the item of a list of texts, or a section's text. */
static enum err name_find(struct checking *checking, const struct template *template,
                          const struct node *node, const struct template_scope *scope,
                          const struct template_variable **found)
{
    struct span name = node->text, part;
    *found = scope->of;
    if (span_is(name, "."))
        return *found && is_text(*found, true) ? ERR_OK
                                               : unknown(checking, template, node, NULL, scope);
    (void)template_name_part(&name, &part);
    *found = NULL;
    for (const struct template_scope *at = scope; at && !*found; at = at->outer)
        *found = member_find(at->variables, part);
    if (!*found) return unknown(checking, template, node, NULL, scope);
    while (template_name_part(&name, &part)) {
        const struct template_variable *group = *found;
        *found = group->type == TEMPLATE_GROUP ? member_find(group->members, part) : NULL;
        if (!*found) return unknown(checking, template, node, group, scope);
    }
    return ERR_OK;
}

static enum err value_check(struct checking *checking, const struct template *template,
                            const struct node *node, const struct template_scope *scope)
{
    const struct template_variable *variable;
    enum err result = name_find(checking, template, node, scope, &variable);
    if (result || is_text(variable, span_is(node->text, "."))) return result;
    char members[KNOWN_SIZE] = "";
    if (variable->type == TEMPLATE_GROUP) names_add(members, variable->members);
    template_blame(checking->fault, template, node, "\"%.*s\" is not a text but %s%s",
                   shown(node->text), node->text.data,
                   variable->type == TEMPLATE_GROUP  ? "a group; write its name, a dot and one of "
                   : variable->type == TEMPLATE_LIST ? "a list; open a section of that name"
                                                     : "a flag; open a section of that name",
                   members);
    return ERR_INVALID;
}

static enum err section_check(struct checking *checking, const struct chain *chain, uint32_t at,
                              const struct template_scope *scope)
{
    const struct node *node = &chain->template->nodes[at];
    struct template_scope inner = {.outer = scope};
    enum err result = name_find(checking, chain->template, node, scope, &inner.of);
    if (result) return result;
    if (node->kind == NODE_INVERTED) return check(checking, chain, at + 1, node->end, scope);
    if (inner.of->type == TEMPLATE_GROUP || inner.of->type == TEMPLATE_LIST)
        inner.variables = inner.of->members;
    return check(checking, chain, at + 1, node->end, &inner);
}

/* Tells in the fault that what is wrong stands in a partial of this node. */
static void included_by(struct template_fault *fault, const struct template *template,
                        const struct node *node)
{
    size_t used = strlen(fault->text), at = 0;
    snprintf(fault->text + used, sizeof fault->text - used, " (included by %s:%u)", template->file,
             node->line);
    while (at < TEMPLATE_WITHIN_MAX && fault->within[at])
        at++;
    if (at < TEMPLATE_WITHIN_MAX) fault->within[at] = template;
}

static enum err partial_check(struct checking *checking, const struct chain *chain,
                              const struct node *node, const struct template_scope *scope)
{
    const struct template_options *options = checking->options;
    struct chain inner = {NULL, chain};
    if (options->partial) inner.template = options->partial(options->partials, node->text);
    bool included = false;
    for (const struct chain *at = chain; at; at = at->outer)
        included = included || at->template == inner.template;
    if (inner.template && !included) {
        enum err result = check(checking, &inner, 0, inner.template->count, scope);
        if (result) included_by(checking->fault, chain->template, node);
        return result;
    }
    template_blame(checking->fault, chain->template, node, "the partial \"%.*s\" %s",
                   shown(node->text), node->text.data,
                   inner.template ? "includes itself" : "does not exist");
    return ERR_INVALID;
}

static enum err node_check(struct checking *checking, const struct chain *chain, uint32_t at,
                           const struct template_scope *scope)
{
    const struct node *node = &chain->template->nodes[at];
    switch (node->kind) {
    case NODE_TEXT:
        return ERR_OK;
    case NODE_VALUE:
    case NODE_RAW:
        return value_check(checking, chain->template, node, scope);
    case NODE_SECTION:
    case NODE_INVERTED:
        return section_check(checking, chain, at, scope);
    case NODE_PARTIAL:
        return partial_check(checking, chain, node, scope);
    }
    return ERR_OK;
}

static enum err check(struct checking *checking, const struct chain *chain, uint32_t first,
                      uint32_t last, const struct template_scope *scope)
{
    enum err result = ERR_OK;
    checking->nesting++;
    for (uint32_t at = first; at < last && !result;) {
        const struct node *node = &chain->template->nodes[at];
        result = template_step(checking->fault, chain->template, node, checking->nesting,
                               ++checking->steps);
        if (!result) result = node_check(checking, chain, at, scope);
        at = node->end ? node->end : at + 1;
    }
    checking->nesting--;
    return result;
}

enum err template_check(const struct template *template, const struct template_scope *scope,
                        const struct template_options *options, struct template_fault *fault)
{
    struct checking checking = {.options = options, .fault = fault};
    struct chain chain = {template, NULL};
    *fault = (struct template_fault){0};
    return check(&checking, &chain, 0, template->count, scope);
}
