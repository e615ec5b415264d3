/* Called by cli/main.c. Asks `/readyz?verbose`, `/metrics` and `/v1/diagnosis`, and judges. What
 * always holds: each finding that is not ok says what to do; a warning alone is exit 0. */
#include "cli/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { STATE_OK, STATE_WARNING, STATE_FAILING };

enum {
    CLOCK_LATE_MS = 1000,
    SILENT_MS = 5000,
    SETTLED_S = 20, /* behind a start: nodes that are gone have been fenced */
    LATE_S = 60,
    WARN_PERCENT = 10,
    FAIL_PERCENT = 2,
    LONG_AGO_S = INT32_MAX,
};

static const char *const state_words[] = {"ok", "warning", "failing"};

struct doctor {
    json_t *checks; /* of {name, state, finding, advice} */
    bool wrong;
    double up_s; /* since the node joined */
};

static void find(struct doctor *doctor, const char *name, enum state state, const char *advice,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

static void find(struct doctor *doctor, const char *name, enum state state, const char *advice,
                 const char *format, ...)
{
    char finding[512];
    va_list values;
    va_start(values, format);
    vsnprintf(finding, sizeof finding, format, values);
    va_end(values);
    json_array_append_new(doctor->checks, json_pack("{s:s, s:s, s:s, s:s?}", "name", name, "state",
                                                    state_words[state], "finding", finding,
                                                    "advice", state ? advice : NULL));
    doctor->wrong |= state == STATE_FAILING;
}

/* ---- /readyz ---- */

struct advice {
    const char *check, *text;
};

static const struct advice advices[] = {
    {"database", "Is MariaDB running, and does [database] name it? See the daemon's log."},
    {"node", "It is starting, or was fenced: look for another daemon of the same node.name."},
    {"heartbeat", "The database answers late or not at all: look at its load and the network."},
    {"feed", "Calls are answered 503: look at the database's load and the network."},
    {"journal", "Commits do not come through: look at the database's disk and its log."},
    {"fold", "Usage is complete but slow to read: look at the database's load."},
    {"tokens", "Service tokens could not be read: look at the daemon's log."},
};

static const char *advice_of(const char *check)
{
    for (size_t i = 0; i < COUNT_OF(advices); i++)
        if (strcmp(advices[i].check, check) == 0) return advices[i].text;
    return "See the daemon's log.";
}

static void judge_ready(struct doctor *doctor, const json_t *answer)
{
    size_t at;
    json_t *check;
    json_array_foreach(json_object_get(answer, "checks"), at, check)
    {
        const char *name = json_string_value(json_object_get(check, "name"));
        const char *state = json_string_value(json_object_get(check, "state"));
        const json_t *age = json_object_get(check, "age_seconds");
        if (!name || !state) continue;
        enum state judged = strcmp(state, "ok") == 0 ? STATE_OK : STATE_FAILING;
        if (strcmp(name, "node") == 0 && json_is_number(age)) doctor->up_s = json_number_value(age);
        if (json_is_number(age))
            find(doctor, name, judged, advice_of(name), "newest success %.1f s ago",
                 json_number_value(age));
        else
            find(doctor, name, judged, advice_of(name), "no success yet");
    }
}

/* ---- /metrics ---- */

/* Of the sample with that name and labels; absent when there is none. */
static double metric(const char *text, const char *name, double absent)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return strtod(line + length, NULL);
    }
    return absent;
}

static void judge_metrics(struct doctor *doctor, const char *text)
{
    double sent = metric(text, "keymeter_mails_accepted_total", 0);
    double failed = metric(text, "keymeter_mails_failed_total", 0);
    find(doctor, "mail relay", failed > sent ? STATE_FAILING : STATE_OK,
         "Try `keymeter mail test --to ADDRESS`: it tells what the relay says.",
         "since the start %.0f accepted, %.0f attempts failed", sent, failed);
    double read = metric(text, "keymeter_payment_readings_total{result=\"answered\"}", 0);
    double unread = metric(text, "keymeter_payment_readings_total{result=\"failed\"}", 0);
    double late = metric(text, "keymeter_payment_readings_late_seconds", 0);
    /* What came due while no daemon ran is not the daemon's delay. */
    bool behind = late > LATE_S && doctor->up_s > LATE_S;
    find(doctor, "payment readings", unread > read || behind ? STATE_FAILING : STATE_OK,
         "Look at the provider's status and at payment.secret_file; `keymeter payments reconcile "
         "--dry-run` tells who cannot be read.",
         "since the start %.0f answered, %.0f failed; the first is %.0f s late", read, unread,
         late > 0 ? late : 0);
    double resets = metric(text, "keymeter_resets_total", 1);
    find(doctor, "connections", resets > 1 ? STATE_WARNING : STATE_OK,
         "If it rises, look at the database and the network between.",
         "%.0f losses of a database connection since the start", resets > 1 ? resets - 1 : 0);
}

/* ---- /v1/diagnosis ---- */

static long long number_in(const json_t *answer, const char *object, const char *member)
{
    return json_integer_value(json_object_get(json_object_get(answer, object), member));
}

static const char *text_in(const json_t *answer, const char *object, const char *member)
{
    const char *text = json_string_value(json_object_get(json_object_get(answer, object), member));
    return text ? text : "";
}

static void judge_schema_and_clock(struct doctor *doctor, const json_t *answer)
{
    long long applied = number_in(answer, "schema", "applied");
    long long newest = number_in(answer, "schema", "newest");
    const char *fault = text_in(answer, "schema", "fault");
    find(doctor, "schema", applied == newest && !*fault ? STATE_OK : STATE_FAILING,
         applied < newest ? "Run `keymeterd migrate up`."
                          : "The database is of a newer Keymeter: upgrade this node.",
         "version %lld of %lld%s%s", applied, newest, *fault ? ": " : "", fault);
    long long ahead = number_in(answer, "clock", "database_ahead_ms");
    find(doctor, "clock", llabs(ahead) > CLOCK_LATE_MS ? STATE_FAILING : STATE_OK,
         "Let NTP (chrony, systemd-timesyncd) set the clocks of both machines.",
         "the database's clock is %lld ms %s", llabs(ahead), ahead < 0 ? "behind" : "ahead");
}

static void judge_nodes(struct doctor *doctor, const json_t *answer)
{
    size_t at;
    json_t *node;
    const json_t *nodes = json_object_get(answer, "nodes");
    if (json_array_size(nodes) == 0)
        find(doctor, "nodes", STATE_FAILING, "Calls are answered 503: see the daemon's log.",
             "none is live");
    json_array_foreach(nodes, at, node)
    {
        const char *name = json_string_value(json_object_get(node, "name"));
        long long silent = json_integer_value(json_object_get(node, "silent_ms"));
        enum state lost = doctor->up_s > SETTLED_S ? STATE_FAILING : STATE_WARNING;
        find(doctor, "nodes", silent > SILENT_MS ? lost : STATE_OK,
             "Is that daemon running? Others fence it after 15 s and take over what it held.",
             "%s heard %.1f s ago", name ? name : "?", silent > 0 ? (double)silent / 1000 : 0.0);
    }
}

static void judge_disk(struct doctor *doctor, const json_t *answer)
{
    long long size = number_in(answer, "disk", "size_bytes");
    long long spare = number_in(answer, "disk", "free_bytes");
    if (!size) {
        find(doctor, "disk", STATE_WARNING, "Does the folder of keys.master_key_file exist?",
             "how full it is cannot be read");
        return;
    }
    int percent = (int)(100.0 * (double)spare / (double)size);
    enum state state = percent < WARN_PERCENT ? STATE_WARNING : STATE_OK;
    find(doctor, "disk", percent < FAIL_PERCENT ? STATE_FAILING : state,
         "Make room where keys.master_key_file is; the database's disk wants a look as well.",
         "%d %% free, %.1f GB", percent, (double)spare / 1e9);
}

static void judge_settings(struct doctor *doctor, const json_t *answer)
{
    const char *transport = text_in(answer, "mail", "transport");
    const char *provider = text_in(answer, "payment", "provider");
    long long dead = number_in(answer, "mail", "dead"), open = number_in(answer, "alerts", "open");
    bool off = strcmp(transport, "off") == 0;
    if (dead)
        find(doctor, "mail", STATE_FAILING,
             "See `keymeter notifications list`, mend the cause, then `keymeter notifications "
             "retry ID`.",
             "%lld given up, by %s", dead, transport);
    else
        find(doctor, "mail", off ? STATE_WARNING : STATE_OK,
             "Set mail.url and mail.from: without mail nobody is told of rotations.",
             off ? "off" : "by %s, none given up", transport);
    const json_t *payment = json_object_get(answer, "payment");
    bool deaf =
        strcmp(provider, "none") != 0 && !json_is_true(json_object_get(payment, "webhooks"));
    find(doctor, "payment", deaf ? STATE_WARNING : STATE_OK,
         "Set payment.webhook_secret_file, so that changes come at once.", "provider %s%s",
         provider, deaf ? ", webhooks are refused" : "");
    bool cleartext =
        json_is_true(json_object_get(json_object_get(answer, "tls"), "cleartext_allowed"));
    find(doctor, "tls", cleartext ? STATE_WARNING : STATE_OK,
         "Unset listen.allow_cleartext, and put a TLS proxy before a loopback address.",
         "database by %s; cleartext beyond loopback %s", text_in(answer, "tls", "database"),
         cleartext ? "allowed" : "refused");
    find(doctor, "alerts", open ? STATE_WARNING : STATE_OK,
         "See `keymeter alerts list --status open`; `keymeter alerts ack ID` when it is settled.",
         "%lld open", open);
}

/* ---- the whole ---- */

static enum exit_code look(struct doctor *doctor)
{
    struct client_answer ready = {.raw = true}, metrics = {.raw = true}, answer = {0};
    enum exit_code code = client_call("GET", "/readyz?verbose=1", NULL, NULL, &ready);
    if (!code) judge_ready(doctor, ready.json);
    if (!code) code = client_call("GET", "/metrics", NULL, NULL, &metrics);
    if (!code) buf_add_char(&metrics.text, '\0');
    if (!code && metrics.status == 200 && !metrics.text.failed)
        judge_metrics(doctor, metrics.text.data);
    if (!code) code = client_call("GET", "/v1/diagnosis", NULL, NULL, &answer);
    if (!code) {
        judge_schema_and_clock(doctor, answer.json);
        judge_nodes(doctor, answer.json);
        judge_disk(doctor, answer.json);
        judge_settings(doctor, answer.json);
    }
    client_answer_free(&ready);
    client_answer_free(&metrics);
    client_answer_free(&answer);
    if (code == EXIT_CODE_LOCAL)
        find(doctor, "daemon", STATE_FAILING,
             "Is it running (`systemctl status keymeterd`), and does KEYMETER_ADDR name its API?",
             "does not answer");
    else if (code)
        find(doctor, "token", STATE_FAILING,
             code == EXIT_CODE_UNAUTHORISED
                 ? "KEYMETER_TOKEN must be a live token of scope read or admin."
                 : "The daemon cannot read its database now; see the checks above and its log.",
             "GET /v1/diagnosis was refused");
    return code == EXIT_CODE_UNAUTHORISED ? code : EXIT_CODE_OK;
}

static void show(const json_t *checks)
{
    size_t at;
    json_t *check;
    json_array_foreach(checks, at, check)
    {
        const char *advice = json_string_value(json_object_get(check, "advice"));
        printf("%-8s %-17s %s\n", json_string_value(json_object_get(check, "state")),
               json_string_value(json_object_get(check, "name")),
               json_string_value(json_object_get(check, "finding")));
        if (advice) printf("%26s -> %s\n", "", advice);
    }
}

enum exit_code doctor_run(bool as_json)
{
    struct doctor doctor = {.checks = json_array(), .up_s = LONG_AGO_S};
    enum exit_code code = look(&doctor);
    if (as_json) {
        json_t *whole = json_pack("{s:b, s:O}", "healthy", !doctor.wrong, "checks", doctor.checks);
        if (whole) json_dumpf(whole, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(whole);
    } else {
        show(doctor.checks);
    }
    json_decref(doctor.checks);
    if (code) return code;
    return doctor.wrong ? EXIT_CODE_LOCAL : EXIT_CODE_OK;
}
