/* Bars over time as inline SVG for pages: a bar a bucket, in it what was allowed and, on top, what
 * was denied. Without words, so that it may be stretched: the page puts scale, days and a table of
 * the numbers around it. Colours come from the stylesheet (classes chart, a, b, grid, hit). Pure,
 * any thread. */
#ifndef KEYMETER_CORE_CHART_H
#define KEYMETER_CORE_CHART_H

#include "base/buf.h"

#include <stdint.h>

struct chart_bar {
    uint64_t a, b;     /* below, on top */
    const char *label; /* what the browser shows at the bar; plain text, is escaped */
};
struct chart {
    const char *title; /* for those who do not see it; is escaped */
    const struct chart_bar *bars;
    size_t count;
    uint64_t line; /* a level to be marked; 0: none */
};

/* The top of the scale: 4, 8, then the next 1, 2, 3, 4, 5, 6 or 8 times a power of ten. */
uint64_t chart_top(const struct chart *chart);
/* Appends <svg …>…</svg>; it is as high and wide as the stylesheet says. */
void chart_svg(struct buf *out, const struct chart *chart);

/* 1234567 as "1,234,567". */
enum { CHART_NUMBER_SIZE = 28 };
void chart_number(char out[CHART_NUMBER_SIZE], uint64_t value);

#endif
