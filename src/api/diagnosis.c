/* The diagnosis. Called by the routing on the loop thread; the read is one job of service->readers,
 * which also asks how full the disk is. What always holds: facts, not judgements (those are the
 * client's), and neither a path nor a secret is among them. */
#include "api/diagnosis.h"

#include "api/reading.h"
#include "base/clock.h"
#include "base/json.h"
#include "conf/settings.h"
#include "service/context.h"
#include "store/database_clock.h"
#include "store/diagnosis.h"
#include "store/migrate.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

struct diagnosing {
    struct reading reading;
    const struct settings *settings;
    struct diagnosis found;
    struct migrate_state schema;
    int64_t database_ahead_ms;
    uint64_t free_bytes, size_bytes; /* size 0: not known */
};

/* Of the disk that the master key's folder is on. */
static void disk_read(struct diagnosing *diagnosing)
{
    char folder[4096];
    struct statvfs disk;
    snprintf(folder, sizeof folder, "%s", diagnosing->settings->keys.master_key_file);
    char *slash = strrchr(folder, '/');
    if (!slash) return;
    slash[slash == folder] = '\0';
    if (statvfs(folder, &disk)) return;
    diagnosing->free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    diagnosing->size_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
}

/* Against our clock as the database read its own; the request may have waited for a thread and its
 * connection. */
static enum err clock_compare(struct db *db, int64_t *ahead_ms)
{
    struct other_clocks clocks;
    int64_t before_ms = clock_wall_ms();
    enum err error = other_clocks_read(db, 0, &clocks);
    int64_t after_ms = clock_wall_ms();
    if (error) return error;
    *ahead_ms = 0;
    if (clocks.database_ms > after_ms) *ahead_ms = clocks.database_ms - after_ms;
    if (clocks.database_ms < before_ms) *ahead_ms = clocks.database_ms - before_ms;
    return ERR_OK;
}

static enum err diagnosis_run(struct db *db, struct reading *reading)
{
    struct diagnosing *diagnosing = CONTAINER_OF(reading, struct diagnosing, reading);
    enum err error = migrate_status(db, &diagnosing->schema);
    if (error == ERR_INVALID) error = ERR_OK; /* schema.error tells */
    if (!error) error = clock_compare(db, &diagnosing->database_ahead_ms);
    if (!error) error = diagnosis_read(db, &diagnosing->found);
    if (!error) disk_read(diagnosing);
    return error;
}

static const char *mail_transport(const char *url)
{
    if (!*url) return "off";
    if (strncmp(url, "maildir:", 8) == 0) return "maildir";
    return strncmp(url, "smtps:", 6) == 0 ? "smtps" : "smtp";
}

static void settings_put(struct buf *out, const struct diagnosing *diagnosing)
{
    static const char *const providers[] = {[PAYMENT_PROVIDER_NONE] = "none",
                                            [PAYMENT_PROVIDER_HTTP] = "http",
                                            [PAYMENT_PROVIDER_STRIPE] = "stripe"};
    const struct settings *settings = diagnosing->settings;
    json_open(out, "mail", '{');
    json_put_string(out, "transport", mail_transport(settings->mail.url));
    json_put_u64(out, "dead", diagnosing->found.mails_dead);
    json_close(out, '}');
    json_open(out, "payment", '{');
    json_put_string(out, "provider", providers[settings->payment.provider]);
    json_put_bool(out, "webhooks", *settings->payment.webhook_secret_file != '\0');
    json_close(out, '}');
    json_open(out, "tls", '{');
    json_put_string(out, "database", *settings->database.hosts ? "tls" : "socket");
    json_put_bool(out, "cleartext_allowed", settings->listen.allow_cleartext);
    json_close(out, '}');
}

static void nodes_put(struct buf *out, const struct diagnosing *diagnosing)
{
    json_open(out, "nodes", '[');
    for (size_t i = 0; i < diagnosing->found.node_count; i++) {
        const struct diagnosis_node *node = &diagnosing->found.nodes[i];
        json_open(out, NULL, '{');
        json_put_string(out, "name", node->name);
        json_put_i64(out, "silent_ms", diagnosing->reading.now_ms - node->heard_ms);
        json_close(out, '}');
    }
    json_close(out, ']');
}

static void diagnosis_write(struct reading *reading, struct buf *out)
{
    const struct diagnosing *diagnosing = CONTAINER_OF(reading, struct diagnosing, reading);
    json_open(out, NULL, '{');
    json_open(out, "schema", '{');
    json_put_u64(out, "applied", diagnosing->schema.applied);
    json_put_u64(out, "newest", diagnosing->schema.newest);
    json_put_string(out, "fault", diagnosing->schema.error[0] ? diagnosing->schema.error : NULL);
    json_close(out, '}');
    json_open(out, "clock", '{');
    json_put_i64(out, "database_ahead_ms", diagnosing->database_ahead_ms);
    json_close(out, '}');
    nodes_put(out, diagnosing);
    settings_put(out, diagnosing);
    json_open(out, "disk", '{');
    json_put_u64(out, "free_bytes", diagnosing->free_bytes);
    json_put_u64(out, "size_bytes", diagnosing->size_bytes);
    json_close(out, '}');
    json_open(out, "alerts", '{');
    json_put_u64(out, "open", diagnosing->found.alerts_open);
    json_close(out, '}');
    json_close(out, '}');
}

struct verdict handle_diagnosis(struct http_request *request)
{
    struct problem problem = {0};
    struct diagnosing *diagnosing = ARENA_NEW(&request->arena, struct diagnosing);
    if (!query_only(request, NULL, &problem)) return problem_reply(request, &problem);
    if (!diagnosing) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    diagnosing->settings = request_service(request)->settings;
    diagnosing->reading.run = diagnosis_run;
    diagnosing->reading.write = diagnosis_write;
    return reading_submit(&diagnosing->reading, request);
}
