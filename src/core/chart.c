/* Server-made charts. Called by the handlers of pages. What always holds: the largest bar stays
 * below the top, a bar that is not nothing can be seen, and no text gets into the SVG unescaped. */
#include "core/chart.h"

#include "base/span.h"
#include "base/template.h"

#include <inttypes.h>
#include <stdio.h>

enum { WIDTH = 1000, HEIGHT = 400, STEPS = 4 };

static uint64_t largest(const struct chart *chart)
{
    uint64_t most = 0;
    for (size_t i = 0; i < chart->count; i++) {
        uint64_t a = chart->bars[i].a, b = chart->bars[i].b;
        uint64_t sum = a > UINT64_MAX - b ? UINT64_MAX : a + b;
        if (sum > most) most = sum;
    }
    return most;
}

uint64_t chart_top(const struct chart *chart)
{
    static const unsigned steps[] = {1, 2, 3, 4, 5, 6, 8};
    uint64_t most = largest(chart);
    if (most <= STEPS) return STEPS;
    if (most <= 2 * STEPS) return 2 * STEPS;
    for (uint64_t power = 10; power <= UINT64_MAX / 80; power *= 10)
        for (size_t i = 0; i < COUNT_OF(steps); i++)
            if (most <= steps[i] * power) return steps[i] * power;
    return UINT64_MAX;
}

static void text_add(struct buf *out, const char *text)
{
    template_add_html(out, span_text(text));
}

/* In units of the picture; what is not nothing is at least 3 high. */
static double height_of(uint64_t value, uint64_t top)
{
    double height = (double)value / (double)top * HEIGHT;
    return value && height < 3 ? 3 : height;
}

static void rect_add(struct buf *out, const char *class, double x, double y, double width,
                     double height)
{
    if (height <= 0) return;
    buf_printf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
               class, x, y, width, height);
}

static void bar_add(struct buf *out, const struct chart_bar *bar, double x, double width,
                    uint64_t top)
{
    double a = height_of(bar->a, top), b = height_of(bar->b, top), gap = width * .16;
    buf_add_text(out, "<g>");
    rect_add(out, "hit", x, 0, width, HEIGHT);
    rect_add(out, "a", x + gap, HEIGHT - a, width - 2 * gap, a);
    rect_add(out, "b", x + gap, HEIGHT - a - b, width - 2 * gap, b);
    if (bar->label) {
        buf_add_text(out, "<title>");
        text_add(out, bar->label);
        buf_add_text(out, "</title>");
    }
    buf_add_text(out, "</g>");
}

static void level_add(struct buf *out, const char *class, double y)
{
    buf_printf(out, "<line class=\"%s\" x1=\"0\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", class, WIDTH,
               y, y);
}

void chart_svg(struct buf *out, const struct chart *chart)
{
    uint64_t top = chart_top(chart);
    double width = chart->count ? (double)WIDTH / (double)chart->count : WIDTH;
    buf_printf(out,
               "<svg class=\"chart\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
               "role=\"img\" aria-label=\"",
               WIDTH, HEIGHT);
    text_add(out, chart->title);
    buf_add_text(out, "\">");
    for (int i = 0; i <= STEPS; i++)
        level_add(out, "grid", (double)HEIGHT * i / STEPS);
    for (size_t i = 0; i < chart->count; i++)
        bar_add(out, &chart->bars[i], (double)i * width, width, top);
    if (chart->line && chart->line <= top)
        level_add(out, "line", HEIGHT - height_of(chart->line, top));
    buf_add_text(out, "</svg>");
}

void chart_number(char out[CHART_NUMBER_SIZE], uint64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, value);
    size_t used = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
}
