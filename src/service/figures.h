/* The figures over all customers that the dashboard's first page shows. Where reading them takes
 * long, because the customers are many, they are kept a while and read again behind the page, so
 * that the page does not wait and the database is not busy with it. Loop thread. */
#ifndef KEYMETER_SERVICE_FIGURES_H
#define KEYMETER_SERVICE_FIGURES_H

#include "base/list.h"
#include "store/overview.h"

struct service;
struct figures_keeper;

struct figures {
    struct overview_counts counts;
    struct overview_customer top[OVERVIEW_TOP];
    size_t top_count;
    int64_t read_at; /* wall ms */
    bool kept;       /* they were read for an earlier page */
};

struct figures_ask {
    struct list link;
    /* Exactly once, maybe at once; the figures live only until it returns. */
    void (*done)(struct figures_ask *ask, enum err error, const struct figures *figures);
};

MUST_USE enum err figures_new(struct figures_keeper **out, struct service *service);
/* Behind the readers; accepts NULL. */
void figures_free(struct figures_keeper **keeper);
void figures_ask(struct figures_keeper *keeper, struct figures_ask *ask);

#endif
