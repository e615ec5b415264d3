/* An intrusive doubly linked ring. A `struct list` is either a head or a link in an object. */
#ifndef KEYMETER_BASE_LIST_H
#define KEYMETER_BASE_LIST_H

#include "base/compiler.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_prepend(struct list *head, struct list *link)
{
    list_append(head->next, link);
}

/* Takes the link out and leaves it a ring of its own, so that removing twice is harmless. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The first link taken out, or NULL. */
static inline struct list *list_shift(struct list *head)
{
    struct list *link = head->next;
    if (link == head) return NULL;
    list_remove(link);
    return link;
}

/* Moves all of `from` behind the last of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
