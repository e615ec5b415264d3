/* The metrics call. Called by the routing (and by a scraper every few seconds) on the loop thread.
 * What always holds: it only reads what stands in memory (and, of the process, /proc), so a scrape
 * never waits for the database; names begin with keymeter_ and follow Prometheus' conventions;
 * docs/metrics.md says what each means and when to worry. To add one: a line here, one there. */
#include "api/metrics.h"

#include "api/request.h"
#include "api/request_log.h"
#include "base/clock.h"
#include "conf/settings.h"
#include "core/network.h"
#include "io/db_pool.h"
#include "io/http_server.h"
#include "service/context.h"
#include "service/mailer.h"
#include "service/meter.h"
#include "service/reconciler.h"
#include "service/rotator.h"
#include "service/token_cache.h"

#include <stdio.h>
#include <unistd.h>

static const struct http_server *watched;

void metrics_watch(const struct http_server *server)
{
    watched = server;
}

bool metrics_is_local(const struct http_request *request)
{
    struct address address = {0};
    if (request->peer.ss_family == AF_UNIX) return true;
    return address_from_sockaddr((const struct sockaddr *)&request->peer, &address) &&
           address_is_loopback(&address);
}

/* ---- the form: https://prometheus.io/docs/instrumenting/exposition_formats/ ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP keymeter_%s %s\n# TYPE keymeter_%s %s\n", name, help, name, type);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    buf_printf(out, "keymeter_%s %llu\n", name, (unsigned long long)value);
}

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "gauge", help);
    buf_printf(out, "keymeter_%s %llu\n", name, (unsigned long long)value);
}

/* Seconds since a time of clock_mono_us; none yet: NaN, which no comparison of an alarm meets. */
static void age(struct buf *out, const char *name, const char *help, int64_t since_us)
{
    head(out, name, "gauge", help);
    if (since_us)
        buf_printf(out, "keymeter_%s %.6f\n", name, (double)(clock_mono_us() - since_us) / 1e6);
    else
        buf_printf(out, "keymeter_%s NaN\n", name);
}

static void labelled(struct buf *out, const char *name, const char *label, const char *value,
                     uint64_t number)
{
    buf_printf(out, "keymeter_%s{%s=\"%s\"} %llu\n", name, label, value,
               (unsigned long long)number);
}

/* Backslash, quote and newline are the three that a label's value escapes. */
static void label_text(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') buf_add_char(out, '\\');
        if (*text == '\n')
            buf_add_text(out, "\\n");
        else
            buf_add_char(out, *text);
    }
}

/* Bounds and sum are divided by `unit`: 1e6 for microseconds shown as seconds. */
static void histogram(struct buf *out, const char *name, const char *help,
                      const struct histogram *values, double unit)
{
    uint64_t count = 0;
    head(out, name, "histogram", help);
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        count += values->buckets[i];
        buf_printf(out, "keymeter_%s_bucket{le=\"%g\"} %llu\n", name,
                   (double)values->bounds[i] / unit, (unsigned long long)count);
    }
    count += values->buckets[HISTOGRAM_BOUNDS];
    buf_printf(out,
               "keymeter_%s_bucket{le=\"+Inf\"} %llu\nkeymeter_%s_sum %.6f\nkeymeter_%s_count "
               "%llu\n",
               name, (unsigned long long)count, name, (double)values->sum / unit, name,
               (unsigned long long)count);
}

/* ---- what there is ---- */

static void listeners_write(struct buf *out)
{
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    struct http_listener_stats stats;
    head(out, "http_responses_total", "counter", "Answers sent, by listener and class of status.");
    for (unsigned i = 0; http_server_get_listener(watched, i, &stats); i++)
        for (size_t class = 2; class < COUNT_OF(classes); class ++)
            buf_printf(out, "keymeter_http_responses_total{listener=\"%s\",class=\"%s\"} %llu\n",
                       stats.name, classes[class], (unsigned long long)stats.answers[class]);
    head(out, "http_connections", "gauge", "Connections open.");
    for (unsigned i = 0; http_server_get_listener(watched, i, &stats); i++)
        labelled(out, "http_connections", "listener", stats.name, stats.open);
}

static void http_write(struct buf *out)
{
    struct http_server_stats stats = {0};
    if (!watched) return;
    http_server_get_stats(watched, &stats);
    counter(out, "http_connections_total", "Connections accepted.", stats.accepted);
    counter(out, "http_connections_refused_total", "Connections refused over a cap.",
            stats.refused);
    counter(out, "http_requests_total", "Requests that came to a handler.", stats.requests);
    counter(out, "http_bad_requests_total", "Requests refused before a handler saw them.",
            stats.bad_requests);
    listeners_write(out);
}

static void auth_write(struct buf *out, const struct service *service)
{
    head(out, "auth_failures_total", "counter", "Keys and tokens refused for what they are.");
    for (unsigned where = 0; where < AUTH_WHERES; where++)
        for (unsigned reason = 0; reason < AUTH_REASONS; reason++)
            buf_printf(out, "keymeter_auth_failures_total{where=\"%s\",reason=\"%s\"} %llu\n",
                       auth_where_name((enum auth_where)where),
                       auth_reason_name((enum auth_reason)reason),
                       (unsigned long long)auth_failures((enum auth_where)where,
                                                         (enum auth_reason)reason));
    counter(out, "log_lines_suppressed_total", "Lines about strangers beyond log.refusals.",
            request_log_suppressed());
    gauge(out, "tokens_in_memory", "Service tokens held in memory.",
          token_cache_count(service->tokens));
}

static void verify_write_stats(struct buf *out, const struct meter_stats *stats)
{
    head(out, "verify_total", "counter", "Verified calls by code.");
    for (unsigned code = 0; code < VERIFY_CODES; code++)
        labelled(out, "verify_total", "code", verify_code_name((enum verify_code)code),
                 stats->codes[code]);
    head(out, "verify_unavailable_total", "counter", "Calls answered 503, by cause.");
    for (unsigned cause = 0; cause < METER_CAUSES; cause++)
        labelled(out, "verify_unavailable_total", "cause",
                 meter_cause_name((enum meter_cause)cause), stats->unavailable[cause]);
    gauge(out, "verify_waiting", "Calls that wait for their answer.", stats->waiting);
    histogram(out, "verify_duration_seconds", "From a call's arrival to its answer.",
              &stats->answer_us, 1e6);
    histogram(out, "batch_calls", "Calls answered by one batch.", &stats->batch_calls, 1);
    histogram(out, "commit_duration_seconds", "From closing a batch to its commit.",
              &stats->commit_us, 1e6);
}

static void engine_write(struct buf *out, const struct meter_stats *stats)
{
    counter(out, "feed_rows_total", "Rows of the change feed applied.", stats->feed_rows);
    age(out, "feed_age_seconds",
        "Since the newest look at the change feed that succeeded was sent.", stats->feed_us);
    counter(out, "journal_inserts_total", "Batches written to the journal.", stats->inserts);
    counter(out, "folds_total", "Transactions in which this node folded.", stats->folds);
    counter(out, "folded_rows_total", "Journal rows folded by this node.", stats->folded_rows);
    gauge(out, "fold_waiting_rows", "Journal rows of all nodes not folded yet, at most.",
          stats->fold_waiting);
    age(out, "fold_age_seconds", "Since this node's newest fold.", stats->fold_us);
    counter(out, "lease_takes_total", "Transactions that took or handed back units.", stats->takes);
    counter(out, "lease_units_taken_total", "Units of quotas taken.", stats->lease_units_taken);
    counter(out, "lease_units_returned_total", "Units of quotas handed back.",
            stats->lease_units_returned);
    gauge(out, "lease_units", "Units held and not spent, of quotas with a limit.",
          stats->leased_units);
    counter(out, "resets_total", "Times all that was in memory was dropped.", stats->resets);
    counter(out, "key_loads_total", "Loads of keys from the database.", stats->loads);
    counter(out, "key_evictions_total", "Keys that made room for others.", stats->evictions);
}

static void memory_write(struct buf *out, const struct service *service,
                         const struct meter_stats *stats)
{
    gauge(out, "keys_in_memory", "Keys held in memory.", stats->keys);
    gauge(out, "keys_in_memory_limit", "The setting metering.keys.",
          service->settings->metering.keys);
    gauge(out, "customers_in_memory", "Customers held in memory.", stats->customers);
    gauge(out, "budgets_in_memory", "Budgets held in memory.", stats->budgets);
}

static void node_write(struct buf *out, const struct service *service,
                       const struct meter_stats *stats)
{
    head(out, "node_info", "gauge", "This node; node 0 has not joined yet.");
    buf_add_text(out, "keymeter_node_info{name=\"");
    label_text(out, service->settings->node.name);
    buf_printf(out, "\",node=\"%u\",incarnation=\"%u\"} 1\n", stats->node, stats->incarnation);
    gauge(out, "nodes_live", "Nodes that are not fenced, as of the newest heartbeat.",
          stats->live_nodes);
    counter(out, "heartbeats_total", "Heartbeats of this node.", stats->heartbeats);
    age(out, "heartbeat_age_seconds", "Since this node's newest heartbeat.", stats->heartbeat_us);
}

static void pools_write(struct buf *out, const struct service *service,
                        const struct meter_stats *stats)
{
    head(out, "pool_waiting", "gauge", "Jobs that wait for a database connection.");
    labelled(out, "pool_waiting", "pool", "committer", db_pool_waiting(service->committer));
    labelled(out, "pool_waiting", "pool", "readers", db_pool_waiting(service->readers));
    for (unsigned i = 0; stats && i < METER_POOLS; i++)
        labelled(out, "pool_waiting", "pool", stats->pools[i].name, stats->pools[i].waiting);
}

static void rotation_write(struct buf *out, const struct service *service)
{
    static const char name[] = "rotation_steps_total";
    struct rotator_stats stats = {0};
    if (service->rotator) rotator_get_stats(service->rotator, &stats);
    head(out, name, "counter", "Steps of rotation that this node did.");
    labelled(out, name, "step", "notice", stats.notices);
    labelled(out, name, "step", "rotate", stats.rotations);
    labelled(out, name, "step", "remind", stats.reminders);
    labelled(out, name, "step", "retire", stats.retirements);
    labelled(out, name, "step", "expiring", stats.expiring);
    counter(out, "rotation_steps_failed_total", "Steps, and looks for them, that failed.",
            stats.failed);
    gauge(out, "rotation_late_seconds", "How long the first due step has been due.", stats.late_s);
    gauge(out, "rotation_paused", "1 while the wall clock is not believed.",
          service->rotator && rotator_is_paused(service->rotator));
}

static void payment_write(struct buf *out, const struct service *service)
{
    struct reconciler_stats stats = {0};
    if (service->reconciler) reconciler_get_stats(service->reconciler, &stats);
    head(out, "payment_readings_total", "counter", "Customers read at the payment provider.");
    labelled(out, "payment_readings_total", "result", "answered", stats.read);
    labelled(out, "payment_readings_total", "result", "failed", stats.failed);
    counter(out, "payment_changes_total", "Readings by which an entitlement changed.",
            stats.changed);
    gauge(out, "payment_readings_under_way", "Questions that wait for the provider's answer.",
          stats.under_way);
    gauge(out, "payment_readings_due", "Customers due to be read, of all nodes.", stats.due);
    gauge(out, "payment_readings_late_seconds", "How long the first of them has been due.",
          stats.late_s);
}

/* Zero where no mail goes out, so that the names are there in any case. */
static void mail_write(struct buf *out, const struct service *service)
{
    struct mailer_stats stats = {0};
    if (service->mailer) stats = mailer_stats(service->mailer);
    counter(out, "mails_accepted_total", "Mails that the relay accepted.", stats.accepted);
    counter(out, "mails_failed_total", "Attempts at a mail that did not end so.", stats.failed);
    counter(out, "mails_dead_total", "Mails that were given up at once.", stats.dead);
    gauge(out, "mails_under_way", "Mails between the outbox and its knowing what became of them.",
          stats.letters);
}

/* Without /proc there is no such figure. */
static void process_write(struct buf *out)
{
    unsigned long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool known = file && fscanf(file, "%llu %llu", &pages, &resident) == 2;
    if (file) fclose(file);
    if (known)
        gauge(out, "process_resident_memory_bytes", "Memory of the process.",
              resident * (unsigned long long)sysconf(_SC_PAGESIZE));
}

struct verdict handle_metrics(struct http_request *request)
{
    const struct service *service = request_service(request);
    struct buf out CLEANUP(buf_done) = {0};
    struct meter_stats stats;
    head(&out, "build_info", "gauge", "The version that runs.");
    labelled(&out, "build_info", "version", KEYMETER_VERSION, 1);
    gauge(&out, "up", "Whether calls can be verified.",
          service->meter && meter_is_ready(service->meter) && !service->draining);
    http_write(&out);
    auth_write(&out, service);
    if (service->meter) {
        meter_get_stats(service->meter, &stats);
        verify_write_stats(&out, &stats);
        engine_write(&out, &stats);
        memory_write(&out, service, &stats);
        node_write(&out, service, &stats);
    }
    pools_write(&out, service, service->meter ? &stats : NULL);
    rotation_write(&out, service);
    payment_write(&out, service);
    mail_write(&out, service);
    process_write(&out);
    if (out.failed) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    struct http_response response = {.status = 200,
                                     .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                     .body = buf_span(&out)};
    return http_reply(request, &response);
}
