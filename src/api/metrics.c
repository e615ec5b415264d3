/* The metrics call. Called by the routing (and by a scraper every few seconds) on the loop thread.
 * What always holds: it only reads counters that stand in memory, so a scrape never waits; names
 * begin with keymeter_ and their meaning never changes. */
#include "api/metrics.h"

#include "api/request.h"
#include "core/network.h"
#include "io/db.h"
#include "service/context.h"
#include "service/meter.h"

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

static void http_write(struct buf *out)
{
    struct http_server_stats stats = {0};
    if (watched) http_server_get_stats(watched, &stats);
    counter(out, "http_connections_total", "Connections accepted.", stats.accepted);
    counter(out, "http_connections_refused_total", "Connections refused over a cap.",
            stats.refused);
    gauge(out, "http_connections", "Connections open.", stats.open);
    counter(out, "http_requests_total", "Requests whose head was read.", stats.requests);
    counter(out, "http_bad_requests_total", "Requests refused before a handler saw them.",
            stats.bad_requests);
}

static void meter_write(struct buf *out, const struct meter *meter)
{
    struct meter_stats stats;
    meter_get_stats(meter, &stats);
    head(out, "verify_total", "counter", "Verified calls by code.");
    for (unsigned code = 0; code < VERIFY_CODES; code++)
        buf_printf(out, "keymeter_verify_total{code=\"%s\"} %llu\n",
                   verify_code_name((enum verify_code)code), (unsigned long long)stats.codes[code]);
    counter(out, "batches_total", "Batches answered.", stats.batches);
    counter(out, "batched_calls_total", "Calls in those batches.", stats.batched_calls);
    counter(out, "journal_inserts_total", "Batches written to the journal.", stats.inserts);
    counter(out, "commit_microseconds_total", "Time spent waiting for those writes.",
            stats.commit_us_total);
    counter(out, "feed_rows_total", "Rows of the change feed applied.", stats.feed_rows);
    counter(out, "key_loads_total", "Loads of keys from the database.", stats.loads);
    counter(out, "lease_takes_total", "Units leased from a budget.", stats.takes);
    counter(out, "folded_rows_total", "Journal rows folded by this node.", stats.folded_rows);
    counter(out, "resets_total", "Times all that was in memory was dropped.", stats.resets);
    gauge(out, "keys_in_memory", "Keys held in memory.", stats.keys);
    gauge(out, "customers_in_memory", "Customers held in memory.", stats.customers);
    gauge(out, "budgets_in_memory", "Budgets held in memory.", stats.budgets);
    gauge(out, "verify_waiting", "Calls that wait for their batch.", stats.waiting);
}

struct verdict handle_metrics(struct http_request *request)
{
    const struct service *service = request_service(request);
    struct buf out CLEANUP(buf_done) = {0};
    gauge(&out, "up", "Whether calls can be verified.",
          service->meter && meter_is_ready(service->meter) && !service->draining);
    http_write(&out);
    if (service->meter) meter_write(&out, service->meter);
    head(&out, "pool_waiting", "gauge", "Jobs that wait for a database connection.");
    buf_printf(&out, "keymeter_pool_waiting{pool=\"committer\"} %u\n",
               db_pool_waiting(service->committer));
    buf_printf(&out, "keymeter_pool_waiting{pool=\"readers\"} %u\n",
               db_pool_waiting(service->readers));
    if (out.failed) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    struct http_response response = {.status = 200,
                                     .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                     .body = buf_span(&out)};
    return http_reply(request, &response);
}
