/* What template.c (parsing), template_render.c and template_check.c share: the compiled form. */
#ifndef KEYMETER_BASE_TEMPLATE_PRIVATE_H
#define KEYMETER_BASE_TEMPLATE_PRIVATE_H

#include "base/template.h"

#include <stdint.h>

enum node_kind {
    NODE_TEXT, /* a line or part of one */
    NODE_VALUE,
    NODE_RAW, /* a value that is not escaped */
    NODE_SECTION,
    NODE_INVERTED,
    NODE_PARTIAL,
};

/* The nodes stand in the order of the text; a section's inner ones are those up to its `end`. */
struct node {
    enum node_kind kind;
    bool starts_line; /* text: first of its line, where a partial's indentation goes */
    bool alone;       /* partial: it has a line of its own */
    unsigned line;
    uint32_t end;       /* section: the first node behind it */
    struct span text;   /* text, or the name */
    struct span indent; /* partial that is alone: the blanks before it */
};

struct template
{
    char file[TEMPLATE_FILE_SIZE];
    char *text;
    struct node *nodes;
    uint32_t count, capacity;
};

/* Writes "FILE:LINE: …" into the fault. */
void template_blame(struct template_fault *fault, const struct template *template,
                    const struct node *node, const char *format, ...) PRINTF_LIKE(4, 5);
/* The limits that rendering and checking share, before each node. ERR_FULL with the fault set. */
MUST_USE enum err template_step(struct template_fault *fault, const struct template *template,
                                const struct node *node, unsigned nesting, unsigned steps);
/* Takes the first part of a dotted name off; false when nothing is left. */
bool template_name_part(struct span *name, struct span *part);

static inline bool template_is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7F;
}

#endif
