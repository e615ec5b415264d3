/* Usage as a chart and as a table of the same numbers. Called by the overview and by the pages of
 * keys and customers, on the loop thread. What always holds: the table says all that the chart
 * shows. */
#include "api/admin_chart.h"

#include "base/clock.h"
#include "core/chart.h"

#include <stdio.h>
#include <string.h>

static const int64_t HOUR = INT64_C(3600) * 1000, DAY = INT64_C(86400) * 1000;

static const struct {
    const char *word, *name;
    unsigned buckets;
    bool hours;
} ranges[] = {
    {"24h", "24 hours", 24, true}, {"7d", "7 days", 7, false}, {"30d", "30 days", 30, false}};

struct admin_range admin_range_read(struct http_request *request)
{
    const char *word = admin_query(request, "range");
    size_t chosen = 1;
    for (size_t i = 0; i < COUNT_OF(ranges); i++)
        if (strcmp(word, ranges[i].word) == 0) chosen = i;
    int64_t unit = ranges[chosen].hours ? HOUR : DAY;
    int64_t to = (clock_wall_ms() / unit + 1) * unit;
    return (struct admin_range){.word = ranges[chosen].word,
                                .from = to - (int64_t)ranges[chosen].buckets * unit,
                                .to = to,
                                .hours = ranges[chosen].hours};
}

const char *admin_range_query(struct http_request *request, const struct admin_range *range)
{
    char from[TIME_TEXT_SIZE], to[TIME_TEXT_SIZE];
    time_format(from, range->from);
    time_format(to, range->to);
    return arena_printf(&request->arena, "from=%s&to=%s&granularity=%s", from, to,
                        range->hours ? "hour" : "day");
}

struct bar_words {
    char at[40], allowed[CHART_NUMBER_SIZE], denied[CHART_NUMBER_SIZE], label[128];
};

static uint64_t number(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

/* "2026-11-28T05:00:00Z": "28 Nov" or "05:00". */
static void at_words(const char *start, bool hours, char out[40])
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    unsigned month = 1, day = 0;
    if (hours)
        snprintf(out, 40, "%.5s", strlen(start) > 11 ? start + 11 : "");
    else if (sscanf(start, "%*4u-%2u-%2u", &month, &day) == 2 && month >= 1 && month <= 12)
        snprintf(out, 40, "%u %.3s", day, months + (size_t)3 * (month - 1));
    else
        out[0] = '\0';
}

static void bar_take(const json_t *row, bool hours, struct chart_bar *bar, struct bar_words *words)
{
    bar->a = number(row, "allowed");
    bar->b = number(row, "denied_quota") + number(row, "denied_rate") + number(row, "denied_other");
    const char *start = json_string_value(json_object_get(row, "start"));
    at_words(start ? start : "", hours, words->at);
    chart_number(words->allowed, bar->a);
    chart_number(words->denied, bar->b);
    snprintf(words->label, sizeof words->label, "%.39s: %s allowed, %s denied", words->at,
             words->allowed, words->denied);
    bar->label = words->label;
}

static json_t *range_options(const char *chosen)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < COUNT_OF(ranges); i++)
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "word", ranges[i].word, "name",
                                                  ranges[i].name, "current",
                                                  strcmp(chosen, ranges[i].word) == 0)))
            break;
    return list;
}

static json_t *number_text(uint64_t value)
{
    char text[CHART_NUMBER_SIZE];
    chart_number(text, value);
    return json_string(text);
}

enum { BARS_MAX = 64 };

json_t *admin_chart_make(const json_t *data, const struct admin_range *range)
{
    struct chart_bar bars[BARS_MAX];
    struct bar_words words[BARS_MAX];
    struct buf svg CLEANUP(buf_done) = {0};
    uint64_t allowed = 0, denied = 0;
    size_t count = json_array_size(data) < BARS_MAX ? json_array_size(data) : BARS_MAX;
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < count; i++) {
        bar_take(json_array_get(data, i), range->hours, &bars[i], &words[i]);
        allowed += bars[i].a;
        denied += bars[i].b;
        if (json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "at", words[i].at, "allowed",
                                                  words[i].allowed, "denied", words[i].denied)))
            break;
    }
    struct chart chart = {.title = "Calls, allowed and denied", .bars = bars, .count = count};
    uint64_t top = chart_top(&chart);
    chart_svg(&svg, &chart);
    return json_pack("{s:s%, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:b}", "svg",
                     svg.failed || !svg.data ? "" : svg.data, svg.failed ? (size_t)0 : svg.length,
                     "top", number_text(top), "middle", number_text(top / 2), "first",
                     count ? words[0].at : "", "last", count ? words[count - 1].at : "",
                     "allowed_text", number_text(allowed), "denied_text", number_text(denied),
                     "rows", rows, "ranges", range_options(range->word), "any",
                     allowed + denied > 0);
}
