/* The probes. Called by the routing on the loop thread. What always holds: liveness is never a
 * question of the database, so that an orchestrator does not kill a daemon that is fit; readiness
 * says no as soon as a drain begins; `?verbose` shows the reasons and changes nothing of that. */
#include "api/health.h"

#include "api/request.h"
#include "base/clock.h"
#include "base/json.h"
#include "service/context.h"
#include "service/meter.h"
#include "service/token_cache.h"

#include <stdio.h>

enum { FEED_LATE_US = 1000 * 1000, BEAT_LATE_US = 5000 * 1000, FOLD_LATE_US = 60 * 1000 * 1000 };

struct verdict handle_livez(struct http_request *request)
{
    struct buf out = {0};
    json_open(&out, NULL, '{');
    json_put_string(&out, "status", "live");
    json_close(&out, '}');
    return reply_json(request, 200, &out);
}

/* Why not, or NULL. */
static const char *unready(const struct service *service)
{
    if (service->draining) return "the daemon is stopping";
    if (service->meter && meter_is_stalled(service->meter)) return "the database does not answer";
    if (!service->meter || !meter_is_ready(service->meter))
        return "there is no connection to the database yet";
    return NULL;
}

/* since_us: the newest success, of clock_mono_us; 0: none yet. */
static void check_write(struct buf *out, const char *name, bool good, int64_t since_us)
{
    json_open(out, NULL, '{');
    json_put_string(out, "name", name);
    json_put_string(out, "state", good ? "ok" : "failing");
    if (since_us) {
        char age[32];
        snprintf(age, sizeof age, "%.3f", (double)(clock_mono_us() - since_us) / 1e6);
        json_put_raw(out, "age_seconds", span_text(age));
    } else {
        json_put_null(out, "age_seconds");
    }
    json_close(out, '}');
}

static bool is_recent(int64_t since_us, int64_t late_us)
{
    return since_us && clock_mono_us() - since_us < late_us;
}

/* The first comes some time behind the node's joining, and is not late before it could be. */
static bool is_regular(int64_t since_us, int64_t joined_us, int64_t late_us)
{
    return is_recent(since_us > joined_us ? since_us : joined_us, late_us);
}

static void checks_write(struct buf *out, const struct service *service)
{
    struct meter_stats stats = {0};
    const struct meter *meter = service->meter;
    if (meter) meter_get_stats(meter, &stats);
    json_open(out, "checks", '[');
    check_write(out, "database", meter && !meter_is_stalled(meter) && stats.feed_us, stats.feed_us);
    check_write(out, "node", stats.serving, stats.joined_us);
    check_write(out, "heartbeat", is_regular(stats.heartbeat_us, stats.joined_us, BEAT_LATE_US),
                stats.heartbeat_us);
    check_write(out, "feed", is_recent(stats.feed_us, FEED_LATE_US), stats.feed_us);
    check_write(out, "journal", stats.serving && !stats.uncertain, stats.insert_us);
    check_write(out, "fold", is_regular(stats.fold_us, stats.joined_us, FOLD_LATE_US),
                stats.fold_us);
    int64_t tokens_us = token_cache_loaded_us(service->tokens);
    check_write(out, "tokens", tokens_us || token_cache_is_loading(service->tokens), tokens_us);
    json_close(out, ']');
}

static struct verdict reply_verbose(struct http_request *request, const char *reason)
{
    struct buf out = {0};
    json_open(&out, NULL, '{');
    json_put_string(&out, "status", reason ? "not_ready" : "ready");
    if (reason) json_put_string(&out, "reason", reason);
    checks_write(&out, request_service(request));
    json_close(&out, '}');
    return reply_json(request, reason ? 503 : 200, &out);
}

struct verdict handle_readyz(struct http_request *request)
{
    const char *reason = unready(request_service(request));
    if (query_text(request, "verbose").data) return reply_verbose(request, reason);
    if (reason) {
        struct problem problem = {.retry_after = 1};
        enum err denied = problem_set(&problem, 503, "not_ready", "Not ready: %s.", reason);
        (void)denied;
        return problem_reply(request, &problem);
    }
    struct buf out = {0};
    json_open(&out, NULL, '{');
    json_put_string(&out, "status", "ready");
    json_close(&out, '}');
    return reply_json(request, 200, &out);
}
