/* Keys and usage as values for templates. Called by the portal's pages on the loop thread. What
 * always holds: of a secret there are its first 10 characters at most, and every text is escaped by
 * the template but the chart, which escapes by itself. */
#include "api/portal_view.h"

#include "base/codec.h"
#include "core/chart.h"
#include "core/tier.h"

#include <stdio.h>
#include <string.h>

void portal_put(json_t *object, const char *name, json_t *value)
{
    if (!object || !value || json_object_set_new(object, name, value)) return;
}

void portal_put_number(json_t *object, const char *name, uint64_t value)
{
    char text[CHART_NUMBER_SIZE];
    chart_number(text, value);
    portal_put(object, name, json_string(text));
}

static void day_format(char out[32], int64_t wall_ms, bool year)
{
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    int64_t y;
    unsigned month, day;
    date_from_days(wall_ms / DAY_MS, &y, &month, &day);
    if (year)
        snprintf(out, 32, "%u %s %d", day, months[month - 1], (int)y);
    else
        snprintf(out, 32, "%u %.3s", day, months[month - 1]);
}

json_t *portal_time(int64_t wall_ms)
{
    char iso[TIME_TEXT_SIZE], day[32], text[64];
    if (!wall_ms) return json_null();
    unsigned minutes = (unsigned)(wall_ms % DAY_MS / 60000);
    time_format(iso, wall_ms);
    day_format(day, wall_ms, true);
    snprintf(text, sizeof text, "%s, %02u:%02u UTC", day, minutes / 60, minutes % 60);
    return json_pack("{s:s, s:s, s:s}", "iso", iso, "text", text, "day", day);
}

/* ---- keys ---- */

static const char *tone_of(enum key_status status)
{
    switch (status) {
    case KEY_ACTIVE:
        return "good";
    case KEY_ROTATING:
        return "warn";
    case KEY_EXPIRED:
    case KEY_SUSPENDED:
    case KEY_REVOKED:
        return "bad";
    case KEY_DISABLED:
        break;
    }
    return "off";
}

static json_t *secrets_json(const struct key_view *view)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < view->secret_count; i++) {
        const struct key_secret_view *secret = &view->secrets[i];
        json_t *one = json_pack("{s:s, s:b}", "start", secret->start, "current", i == 0);
        portal_put(one, "created", portal_time(secret->created_at));
        portal_put(one, "last_used", portal_time(secret->last_used_at));
        portal_put(one, "ends", portal_time(secret->expires_at));
        if (!one || json_array_append_new(list, one)) break;
    }
    return list;
}

static json_t *permissions_json(const char *json)
{
    json_t *list = json_loads(json, 0, NULL);
    return list ? list : json_array();
}

json_t *portal_key_json(const struct key_view *view, int64_t now_ms)
{
    const struct api_key_row *row = &view->row;
    bool works = key_status_works(view->status);
    char id[ID_TEXT_SIZE];
    id_format(id, "key", row->id);
    json_t *key =
        json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "title",
                  row->title[0] ? row->title : "Untitled key", "titled", row->title[0] != '\0',
                  "start", view->start, "status", key_status_name(view->status), "tone",
                  tone_of(view->status), "works", works, "overlap", view->status == KEY_ROTATING,
                  "test", strcmp(row->environment, "test") == 0, "revoked",
                  view->status == KEY_REVOKED, "disabled", view->status == KEY_DISABLED);
    portal_put(key, "description", json_string(row->description));
    portal_put(key, "created", portal_time(row->created_at));
    portal_put(key, "last_used", portal_time(view->last_used_at));
    portal_put(key, "expires", portal_time(row->expires_at));
    portal_put(key, "permissions", permissions_json(row->permissions));
    portal_put(key, "networks", permissions_json(row->allowed_networks));
    portal_put(key, "secrets", secrets_json(view));
    portal_put_number(key, "used", view->used);
    if (row->has_monthly_cap) portal_put_number(key, "cap", row->monthly_cap);
    if (works && row->rotates_at) portal_put(key, "rotates", portal_time(row->rotates_at));
    portal_put(key, "rotates_soon",
               json_boolean(works && row->rotates_at && row->rotates_at - now_ms < 7 * DAY_MS));
    return key;
}

/* ---- rate limits ---- */

static void window_format(char out[48], uint32_t seconds)
{
    static const struct {
        uint32_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        uint32_t unit = units[i].seconds;
        if (seconds % unit) continue;
        if (seconds == unit)
            snprintf(out, 48, "%s", units[i].name);
        else
            snprintf(out, 48, "%u %ss", seconds / unit, units[i].name);
        return;
    }
}

json_t *portal_rates_json(const struct rate_limit *limits, const struct rate_view *views,
                          unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < count; i++) {
        char window[48] = "";
        uint32_t left = views ? views[i].remaining : limits[i].limit;
        unsigned share = limits[i].limit ? (unsigned)(100.0 * left / limits[i].limit) : 0;
        window_format(window, limits[i].window_s);
        json_t *one = json_pack("{s:s, s:s, s:i, s:s}", "name", limits[i].name, "window", window,
                                "share", (int)share, "tone", share < 10 ? "bad" : "good");
        portal_put_number(one, "limit", limits[i].limit);
        portal_put_number(one, "left", left);
        if (!one || json_array_append_new(list, one)) break;
    }
    return list;
}

unsigned portal_limits(const struct tier *tier, const char *rate_limits_json,
                       struct rate_limit out[RATE_LIMITS_MAX])
{
    struct rate_limit own[RATE_LIMITS_MAX];
    unsigned count = 0;
    json_t *list = json_loads(rate_limits_json, 0, NULL), *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (!name || count == RATE_LIMITS_MAX) break;
        struct rate_limit *limit = &own[count++];
        snprintf(limit->name, sizeof limit->name, "%s", name);
        limit->limit = (uint32_t)json_integer_value(json_object_get(one, "limit"));
        limit->window_s = (uint32_t)json_integer_value(json_object_get(one, "window_seconds"));
    }
    json_decref(list);
    return rate_limits_merge(tier->rate_limits, tier->rate_limit_count, own, count, out);
}

/* ---- the quota ---- */

/* When it is used up at the pace of the period so far; 0: not within it, or too early to tell. */
static int64_t runs_out_at(const struct portal_quota *quota, int64_t now_ms)
{
    int64_t passed = now_ms - quota->period.start_ms;
    if (!quota->has_limit || !quota->used || quota->used >= quota->limit || passed < HOUR_MS)
        return 0;
    double left = (double)(quota->limit - quota->used);
    double wait = left * (double)passed / (double)quota->used;
    int64_t until = quota->period.next_ms - now_ms;
    return wait < (double)until ? now_ms + (int64_t)wait : 0;
}

json_t *portal_quota_json(const struct portal_quota *quota, int64_t now_ms)
{
    json_t *out = json_object();
    int64_t end = runs_out_at(quota, now_ms);
    portal_put_number(out, "used", quota->used);
    portal_put(out, "resets", portal_time(quota->period.next_ms));
    if (!quota->has_limit) return out;
    double share = quota->limit ? 100.0 * (double)quota->used / (double)quota->limit : 100;
    char percent[16], width[16];
    snprintf(percent, sizeof percent, "%.0f", share > 100 ? 100 : share);
    snprintf(width, sizeof width, "%.1f", share > 100 ? 100 : share < 1 && quota->used ? 1 : share);
    portal_put_number(out, "limit", quota->limit);
    portal_put_number(out, "left", quota->used < quota->limit ? quota->limit - quota->used : 0);
    portal_put(out, "percent", json_string(percent));
    portal_put(out, "width", json_string(width));
    portal_put(out, "tone", json_string(share >= 100 ? "bad" : share >= 80 ? "warn" : "good"));
    portal_put(out, "spent", json_boolean(quota->used >= quota->limit));
    portal_put(out, "blocks", json_boolean(quota->blocks));
    if (end) portal_put(out, "runs_out", portal_time(end));
    return out;
}

/* ---- usage by day ---- */

enum err portal_series(struct usage_series *series, enum usage_kind kind, uint64_t subject,
                       int64_t now_ms, struct arena *arena)
{
    int64_t *starts = arena_alloc(arena, PORTAL_DAYS * sizeof *starts);
    int64_t today = period_day_start(now_ms);
    *series = (struct usage_series){
        .kind = kind, .subject = subject, .starts = starts, .count = PORTAL_DAYS};
    series->counts = arena_alloc(arena, PORTAL_DAYS * sizeof *series->counts);
    if (!starts || !series->counts) return ERR_NO_MEMORY;
    for (int i = 0; i < PORTAL_DAYS; i++)
        starts[i] = today - (PORTAL_DAYS - 1 - i) * DAY_MS;
    series->end = today + DAY_MS;
    return ERR_OK;
}

static uint64_t denied_of(const struct usage_counts *counts)
{
    return counts->denied_quota + counts->denied_rate + counts->denied_other;
}

static json_t *rows_json(const struct usage_series *series)
{
    json_t *rows = json_array();
    for (size_t i = series->count; rows && i-- > 0;) {
        const struct usage_counts *counts = &series->counts[i];
        if (!counts->allowed && !denied_of(counts)) continue;
        json_t *row = json_object();
        portal_put(row, "day", portal_time(series->starts[i]));
        portal_put_number(row, "allowed", counts->allowed);
        portal_put_number(row, "quota", counts->denied_quota);
        portal_put_number(row, "rate", counts->denied_rate);
        portal_put_number(row, "other", counts->denied_other);
        if (!row || json_array_append_new(rows, row)) break;
    }
    return rows;
}

static void svg_put(json_t *plot, const struct usage_series *series)
{
    struct chart_bar bars[PORTAL_DAYS];
    char labels[PORTAL_DAYS][128], day[32], allowed[CHART_NUMBER_SIZE], denied[CHART_NUMBER_SIZE];
    struct buf out CLEANUP(buf_done) = {0};
    struct chart chart = {.title = "Calls by day, the last 30 days", .bars = bars};
    for (size_t i = 0; i < series->count && i < PORTAL_DAYS; i++) {
        const struct usage_counts *counts = &series->counts[i];
        day_format(day, series->starts[i], false);
        chart_number(allowed, counts->allowed);
        chart_number(denied, denied_of(counts));
        snprintf(labels[i], sizeof labels[i], "%s: %s calls, %s denied", day, allowed, denied);
        bars[i] = (struct chart_bar){counts->allowed, denied_of(counts), labels[i]};
        chart.count = i + 1;
    }
    chart_svg(&out, &chart);
    if (!out.failed) portal_put(plot, "svg", json_stringn(out.data, out.length));
    uint64_t top = chart_top(&chart);
    portal_put_number(plot, "top", top);
    portal_put_number(plot, "middle", top / 2);
}

json_t *portal_plot_json(const struct usage_series *series)
{
    json_t *plot = json_object();
    uint64_t total = 0, denied = 0;
    char day[32];
    for (size_t i = 0; i < series->count; i++) {
        total += series->counts[i].allowed;
        denied += denied_of(&series->counts[i]);
    }
    svg_put(plot, series);
    const struct {
        const char *name;
        size_t at;
    } marks[] = {{"first", 0}, {"half", series->count / 2}, {"last", series->count - 1}};
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        day_format(day, series->starts[marks[i].at], false);
        portal_put(plot, marks[i].name, json_string(day));
    }
    portal_put_number(plot, "total", total);
    if (denied) portal_put_number(plot, "denied", denied);
    portal_put(plot, "any", json_boolean(total + denied > 0));
    portal_put(plot, "rows", rows_json(series));
    return plot;
}
