/* What the tests of rotation share: see the header. One test program at a time, one thread. */
#include "rotation_fixture.h"

#include "base/clock.h"
#include "base/codec.h"
#include "core/api_key.h"
#include "crypto/envelope.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "service/signup.h"
#include "store/claim.h"
#include "store/entitlement.h"
#include "store/node.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct service rotation_service;
struct db *rotation_db;
int64_t rotation_now;
struct outbox_node rotation_node;

static bool newly_used; /* a secret, since the last look */
static char directory[] = "/tmp/keymeter-rotation-XXXXXX";

static int64_t fake_wall_ms(void)
{
    return rotation_now;
}
static int64_t steady(void)
{
    static int64_t ticks;
    return ticks += 1000;
}
static const struct clock_source fake = {fake_wall_ms, steady, steady};

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(rotation_db));
}

int rotation_up(void **state)
{
    (void)state;
    char master[64], pepper[64], text[KEYRING_ERROR_SIZE];
    struct keyring *keyring = NULL;
    if (!mkdtemp(directory)) return -1;
    snprintf(master, sizeof master, "%s/master", directory);
    snprintf(pepper, sizeof pepper, "%s/pepper", directory);
    if (keyring_create(master, pepper, text) || keyring_load(&keyring, master, pepper, text))
        return -1;
    rotation_service.keyring = keyring;
    unlink(master);
    unlink(pepper);
    database_start();
    clock_install(&fake);
    return rmdir(directory);
}

int rotation_down(void **state)
{
    (void)state;
    struct keyring *keyring = (struct keyring *)(uintptr_t)rotation_service.keyring;
    keyring_free(&keyring);
    clock_install(NULL);
    return 0;
}

static void empty_tables(void)
{
    static const char *const tables[] = {"api_key",  "key_secret",  "key_hash", "secret_last_used",
                                         "customer", "entitlement", "rotation", "outbox",
                                         "claim",    "alert",       "key_word", "key_activity"};
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        rotation_sql("DELETE FROM %s", tables[i]);
    rotation_sql("UPDATE tier SET on_unclaimed = 'keep'");
}

int rotation_fresh(void **state)
{
    (void)state;
    struct node_joined joined;
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_row row = {.id = 1, .external_id = "acme", .metadata = "{}"};
    struct entitlement_row entitlement = {
        .customer_id = 1, .tier = "free", .provider = "none", .status = "active"};
    if (!time_parse(SPAN("2027-12-15T10:00:00Z"), &rotation_now)) return -1;
    static bool migrated;
    if (!migrated) {
        clock_install(NULL); /* the server's start is waited for by the real one */
        database_migrate();
        clock_install(&fake);
        migrated = true;
    }
    rotation_db = database_open();
    empty_tables();
    rotation_service.sealer = NULL;
    rotation_service.mails = false;
    must(node_join(rotation_db, "one", 7, rotation_now, &joined));
    rotation_node = (struct outbox_node){joined.id, joined.incarnation};
    must(customer_seal(rotation_service.keyring, "a@example.com", NULL, &arena, &row));
    must(customer_insert(rotation_db, &row));
    must(entitlement_insert(rotation_db, &entitlement));
    return 0;
}

int rotation_close(void **state)
{
    (void)state;
    db_close(&rotation_db);
    return 0;
}

enum err rotation_run(struct operation *operation)
{
    operation->service = &rotation_service;
    if (!operation->actor[0]) snprintf(operation->actor, sizeof operation->actor, "system");
    committer_run(rotation_db, &operation, 1, database_start());
    return operation->job.error;
}

uint64_t rotation_key(struct secret **secret)
{
    struct issue issue = {0};
    issue.customer.external_id = SPAN("acme");
    issue_init(&issue);
    must(rotation_run(&issue.change.operation));
    if (secret) {
        *secret = issue.change.secret;
        issue.change.secret = NULL;
    }
    uint64_t id = issue.change.view.row.id;
    key_change_done(&issue.change);
    return id;
}

static unsigned work(const struct rotation_pick *pick)
{
    struct rotation_work *work = calloc(1, sizeof *work);
    assert_non_null(work);
    work->pick = *pick;
    work->node = rotation_node.node;
    work->incarnation = rotation_node.incarnation;
    rotation_work_init(work);
    enum err error = rotation_run(&work->operation);
    if (error && error != ERR_NOT_FOUND) fail_msg("step %d: %s", pick->step, err_name(error));
    unsigned did = !error && work->did != ROTATION_NONE;
    rotation_work_done(work);
    free(work);
    return did;
}

unsigned rotation_pump(void)
{
    struct rotation_pick picks[64];
    size_t count, used;
    unsigned all = 0, did = 1;
    for (unsigned pages = 0; did; pages++) {
        if (pages == 1000) fail_msg("there is always a step to be done");
        uint64_t cursor = 0;
        must(rotation_pick(rotation_db, rotation_now, picks, 32, &count));
        must(rotation_pick_used(rotation_db, &cursor, 32, picks + count, &used));
        did = 0;
        for (size_t i = 0; i < count + used; i++)
            did += work(&picks[i]);
        all += did;
    }
    return all;
}

static int64_t next_look(void)
{
    return rotation_number("SELECT COALESCE(MIN(look_at), 0) FROM rotation");
}

void rotation_pass_hours(unsigned hours)
{
    int64_t look_at = next_look();
    for (unsigned i = 0; i < hours; i++) {
        rotation_now += HOUR_MS;
        if (!newly_used && (!look_at || rotation_now < look_at)) continue;
        newly_used = false;
        rotation_pump();
        look_at = next_look();
    }
}

unsigned rotation_deliver(struct secret **token)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct outbox_mail *mails = NULL;
    size_t count = 0;
    must(outbox_claim(rotation_db, &rotation_node, rotation_now, 100, &arena, &mails, &count));
    for (size_t i = 0; i < count; i++) {
        const struct outbox_row *row = &mails[i].row;
        struct buf plain CLEANUP(buf_done) = {0};
        must(envelope_open(rotation_service.keyring, OUTBOX_RECIPIENT, row->id,
                           row->recipient_sealed, &plain));
        assert_true(span_is(buf_span(&plain), "a@example.com"));
        if (token && row->with_link) {
            secret_free(token);
            must(claim_links_make(rotation_db, rotation_service.keyring, &rotation_node, &mails[i],
                                  1, rotation_now, token));
        }
        must(outbox_accepted(rotation_db, &rotation_node, row->id, rotation_now));
    }
    return (unsigned)count;
}

enum err rotation_reveal(const struct secret *token, struct secret **secret,
                         struct problem *problem)
{
    struct claim_reveal reveal = {0};
    reveal.operation.service = &rotation_service;
    key_hash(rotation_service.keyring, secret_span(token), reveal.hash);
    enum err error = claim_look(rotation_db, &reveal);
    reveal.operation.run = claim_run;
    if (!error) error = rotation_run(&reveal.operation);
    if (!error && secret) {
        *secret = reveal.secret;
        reveal.secret = NULL;
    }
    if (problem) *problem = reveal.operation.problem;
    claim_reveal_done(&reveal);
    return error;
}

void rotation_use(uint64_t key_id, uint32_t version)
{
    newly_used = true;
    rotation_sql(
        "INSERT INTO secret_last_used (secret_id, last_used_at, network) SELECT id, %lld,"
        " X'C6336400' FROM key_secret WHERE key_id = %llu AND version = %u ON DUPLICATE KEY"
        " UPDATE last_used_at = VALUES(last_used_at)",
        (long long)rotation_now, (unsigned long long)key_id, version);
    rotation_sql("INSERT INTO secret_network (secret_id, network, last_used_at) SELECT id,"
                 " X'C6336400', %lld FROM key_secret WHERE key_id = %llu AND version = %u AND"
                 " ends = 1 ON DUPLICATE KEY UPDATE last_used_at = VALUES(last_used_at)",
                 (long long)rotation_now, (unsigned long long)key_id, version);
}

bool rotation_works(const struct secret *secret)
{
    unsigned char hash[KEY_HASH_SIZE];
    char hex[2 * KEY_HASH_SIZE + 1];
    key_hash(rotation_service.keyring, secret_span(secret), hash);
    hex_encode(hex, hash, sizeof hash);
    return rotation_number(
               "SELECT COUNT(*) FROM key_hash h JOIN key_secret s ON s.id = h.secret_id"
               " JOIN api_key k ON k.id = s.key_id WHERE h.hash = X'%s' AND"
               " k.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > %lld)",
               hex, (long long)rotation_now) == 1;
}

static void format_sql(char text[1024], const char *format, va_list arguments) PRINTF_LIKE(2, 0);
static void format_sql(char text[1024], const char *format, va_list arguments)
{
    assert_true(vsnprintf(text, 1024, format, arguments) < 1024);
}

/* A statement is found again by its text's address, so texts are kept as long as the connection. */
static const char *kept_text(const char *text)
{
    enum { KEPT_MAX = 1024 };
    static char *kept[KEPT_MAX];
    static unsigned used;
    for (unsigned at = 0; at < used; at++)
        if (strcmp(kept[at], text) == 0) return kept[at];
    assert_true(used < KEPT_MAX);
    kept[used] = strdup(text);
    return kept[used++];
}

int64_t rotation_number(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    format_sql(text, format, arguments);
    va_end(arguments);
    struct db_rows rows;
    must(db_query(rotation_db, kept_text(text), DB_NONE, &rows));
    assert_true(db_next(&rows));
    int64_t value = db_get_i64(&rows, 0);
    db_finish(&rows);
    return value;
}

void rotation_sql(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    format_sql(text, format, arguments);
    va_end(arguments);
    must(db_command(rotation_db, text));
}
