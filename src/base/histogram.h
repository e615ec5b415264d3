/* A histogram with fixed bounds, as Prometheus wants it. Zero it and set `bounds`; one thread. */
#ifndef KEYMETER_BASE_HISTOGRAM_H
#define KEYMETER_BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 12 };

struct histogram {
    const uint64_t *bounds; /* HISTOGRAM_BOUNDS, rising; each is its bucket's last */
    uint64_t buckets[HISTOGRAM_BOUNDS + 1]; /* not cumulative; the last one has no bound */
    uint64_t sum;
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned at = 0;
    while (at < HISTOGRAM_BOUNDS && value > histogram->bounds[at])
        at++;
    histogram->buckets[at]++;
    histogram->sum += value;
}

#endif
