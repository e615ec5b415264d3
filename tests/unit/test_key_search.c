/* Lists and searches of keys on a real database: what each filter gives against what the keys
 * themselves say, pages, the migration's own cutting of titles, and that an index serves each
 * filter; the audit log's too.
 */
#include "store/key_search.h"

#include "base/arena.h"
#include "core/title_words.h"
#include "database.h"
#include "store/api_key.h"
#include "store/audit.h"
#include "store/customer.h"
#include "store/entitlement.h"
#include "store/key_view.h"
#include "store/key_word.h"
#include "store/new_keys.h"
#include "store/schema_files.h"

#include <stdio.h>
#include <strings.h>

#include "unit.h"

enum { KEYS = 360, HOUR = 3600000 };
static const int64_t NOW = INT64_C(1760000000000);
static struct db *db;
static struct arena arena;
static const char *const titles[] = {
    "Batch jobs", "batch-report 2026", "Größe des Berichts", "STRASSE nach Köln",
    "",           "jobs batch export"};

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static void sql(const char *format, ...) PRINTF_LIKE(1, 2);
static void sql(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    must(db_command(db, text));
}

/* The first column of the first row; each text is prepared by a connection of its own. */
static int64_t number(const char *text)
{
    struct db *once = database_open();
    struct db_rows rows;
    must(db_query(once, text, DB_NONE, &rows));
    int64_t value = db_next(&rows) ? db_get_i64(&rows, 0) : -1;
    db_finish(&rows);
    db_close(&once);
    return value;
}

/* With the tier of its customer, and held when that one is suspended. */
static void add_key(const struct api_key_row *row)
{
    static struct new_keys keys;
    struct new_key *key = new_keys_next(&keys);
    *key = (struct new_key){.row = *row, .tier = "free"};
    must(new_keys_write(db, &keys));
    sql("UPDATE api_key k JOIN entitlement e ON e.customer_id = k.customer_id"
        " SET k.tier = e.tier, k.held = e.status = 'suspended' WHERE k.id = %llu",
        (unsigned long long)row->id);
}

/* Key i of customer 1 + i % 6 (tiers in turn, the last suspended), every fact in some of them. */
static void key_make(unsigned i)
{
    uint64_t id = 1000 + i;
    struct api_key_row row = {.id = id,
                              .customer_id = 1 + i % 6,
                              .title = titles[i % COUNT_OF(titles)],
                              .description = "",
                              .environment = "live",
                              .label = "km_live",
                              .permissions = "[]",
                              .rate_limits = "[]",
                              .allowed_networks = "[]",
                              .metadata = "{}",
                              .expires_at = i % 5 == 0   ? NOW - 1
                                            : i % 5 == 1 ? NOW + HOUR
                                                         : 0,
                              .secret_version = i % 7 == 0 ? 2 : 1,
                              .created_at = NOW - (int64_t)(i % 11) * 24 * HOUR};
    add_key(&row);
    for (uint32_t version = 1; version <= row.secret_version; version++) {
        struct key_secret_row secret = {.id = 10 * id + version,
                                        .key_id = id,
                                        .version = version,
                                        .created_at = row.created_at,
                                        .algorithm = "blake2b",
                                        .pepper_id = ""};
        memcpy(secret.hash, &secret.id, sizeof secret.id);
        if (version == 2) must(key_secret_retire(db, id, NOW + (i % 2 ? HOUR : -HOUR)));
        must(key_secret_insert(db, &secret, 1));
    }
    row.disabled = i % 4 == 1;
    row.suspended = i % 13 == 0;
    row.revoked_at = i % 6 == 2 ? NOW - 5 : 0;
    must(api_key_update(db, &row));
    if (i % 3) return;
    int64_t used = row.created_at + (int64_t)(i % 9) * 24 * HOUR;
    sql("INSERT INTO secret_last_used VALUES (%llu, %lld, '')", (unsigned long long)(10 * id + 1),
        (long long)used);
    sql("UPDATE key_activity SET hour = GREATEST(hour, %lld) WHERE key_id = %llu",
        (long long)(used / HOUR * HOUR), (unsigned long long)id);
}

static int database_fill(void **state)
{
    (void)state;
    static const char *const tiers[] = {"free", "pro", "enterprise"};
    database_migrate();
    db = database_open();
    for (unsigned i = 1; i <= 6; i++) {
        char external[16];
        snprintf(external, sizeof external, "customer-%u", i);
        struct customer_row customer = {.id = i, .external_id = external, .metadata = "{}"};
        struct entitlement_row entitlement = {
            .customer_id = i, .tier = "free", .provider = "none", .status = "active"};
        must(customer_insert(db, &customer));
        must(entitlement_insert(db, &entitlement));
    }
    must(db_begin(db));
    for (unsigned i = 0; i < KEYS; i++)
        key_make(i);
    must(db_commit(db));
    for (unsigned i = 1; i <= 6; i++) { /* after the keys were made: they must follow */
        struct entitlement_row entitlement = {.customer_id = i,
                                              .tier = tiers[i % 3],
                                              .provider = "none",
                                              .status = i == 6 ? "suspended" : "active"};
        must(entitlement_update(db, &entitlement));
    }
    return 0;
}

static int database_end(void **state)
{
    (void)state;
    arena_done(&arena);
    db_close(&db);
    return 0;
}

/* ---- the same by looking at every key ---- */

static bool title_has(const char *title, struct span word)
{
    struct span rest = span_text(title), found;
    while (title_word_next(&rest, &found))
        if (found.length >= word.length && !strncasecmp(found.data, word.data, word.length))
            return true;
    return false;
}

static bool fits(const struct key_view *view, const struct key_filter *filter)
{
    if (filter->customer_id && view->row.customer_id != filter->customer_id) return false;
    if (filter->has_status && view->status != filter->status) return false;
    if (filter->tier.data && !span_is(filter->tier, view->tier)) return false;
    if (filter->unused_since && (view->row.created_at >= filter->unused_since ||
                                 view->last_used_at >= filter->unused_since))
        return false;
    for (size_t i = 0; i < filter->word_count; i++)
        if (!title_has(view->row.title, filter->words[i])) return false;
    return true;
}

static struct key_view *all;
static size_t all_count;

static void check(struct key_filter filter, size_t page)
{
    uint64_t next = 0;
    size_t at = 0;
    filter.limit = page;
    do {
        struct key_view *views = NULL;
        size_t count;
        filter.before = next;
        must(key_view_list(db, &filter, NOW, &arena, &views, &count, &next));
        assert_true(count <= page);
        for (size_t i = 0; i < count; i++) {
            while (at < all_count && !fits(&all[at], &filter))
                at++;
            assert_true(at < all_count);
            assert_int_equal(views[i].row.id, all[at++].row.id);
        }
    } while (next);
    for (; at < all_count; at++)
        assert_false(fits(&all[at], &filter));
}

static void every_filter_gives_the_keys_that_fit(void **state)
{
    (void)state;
    static const struct span words[] = {{NULL, 0}, SPAN("BAT"), SPAN("größ"), SPAN("2")};
    static const char *const tiers[] = {NULL, "free", "pro"};
    uint64_t next;
    struct key_filter any = {.limit = KEYS};
    must(key_view_list(db, &any, NOW, &arena, &all, &all_count, &next));
    assert_int_equal(all_count, KEYS);
    assert_int_equal(next, 0);
    for (unsigned bits = 0; bits < (KEY_STATUS_COUNT + 1) * 3 * 4 * 2 * 2; bits++) {
        unsigned rest = bits, status = rest % (KEY_STATUS_COUNT + 1);
        rest /= KEY_STATUS_COUNT + 1;
        const char *tier = tiers[rest % 3];
        struct span word = words[rest / 3 % 4];
        bool since = rest / 12 % 2, customer = rest / 24 % 2;
        struct key_filter filter = {.has_status = status > 0,
                                    .status = (enum key_status)(status ? status - 1 : 0),
                                    .tier = span_text(tier),
                                    .words = {word},
                                    .word_count = word.data != NULL,
                                    .customer_id = customer ? 3 : 0,
                                    .unused_since = since ? NOW - 4 * 24 * HOUR + 7 : 0};
        check(filter, 37);
    }
}

static void all_words_must_begin_words_of_the_title(void **state)
{
    (void)state;
    check((struct key_filter){.words = {SPAN("jobs"), SPAN("batch")}, .word_count = 2}, 200);
    check((struct key_filter){.words = {SPAN("b"), SPAN("j"), SPAN("e")}, .word_count = 3}, 7);
    check((struct key_filter){.words = {SPAN("atch")}, .word_count = 1}, 7);
    struct key_filter nobody = {.external_id = SPAN("nobody"), .limit = 5};
    struct key_view *views = NULL;
    size_t count;
    uint64_t next;
    must(key_view_list(db, &nobody, NOW, &arena, &views, &count, &next));
    assert_int_equal(count, 0);
    assert_int_equal(next, 0);
}

static int64_t found_by(const char *word)
{
    struct key_filter filter = {.words = {span_text(word)}, .word_count = 1, .limit = 200};
    uint64_t *ids, next;
    size_t count;
    must(key_search(db, &filter, NOW, &arena, &ids, &count, &next));
    return (int64_t)count;
}

static void folds_case_in_every_script(void **state)
{
    (void)state;
    assert_int_equal(found_by("GRÖSSE"), KEYS / 6);
    assert_int_equal(found_by("KÖ"), KEYS / 6);
    assert_int_equal(found_by("köln"), KEYS / 6);
    assert_int_equal(found_by("kölnx"), 0);
}

static void a_title_that_goes_takes_its_words_along(void **state)
{
    (void)state;
    must(db_begin(db));
    must(key_word_add(db, &(struct key_title){77, "Some 🔑 words, some words"}, 1));
    assert_int_equal(number("SELECT COUNT(*) FROM key_word WHERE key_id = 77"), 0); /* not yet */
    must(db_commit(db));
    assert_int_equal(number("SELECT COUNT(*) FROM key_word WHERE key_id = 77"), 10);
    must(key_word_remove(db, 77, "Some 🔑 words, some words"));
    assert_int_equal(number("SELECT COUNT(*) FROM key_word WHERE key_id = 77"), 0);
    must(db_begin(db));
    must(customer_erase(db, 4, NOW));
    assert_int_equal(found_by("strasse"), 0);
    db_rollback(db);
    assert_int_equal(found_by("strasse"), KEYS / 6);
}

/* The statements of schema/0004_search.sql that fill the new tables, on the keys as they stand. */
static void the_migration_finds_the_same_words_and_hours(void **state)
{
    (void)state;
    static char text[16384];
    assert_true(schema_file_count > 3 && schema_files[3].length < sizeof text);
    assert_string_equal(schema_files[3].name, "0004_search.sql");
    memcpy(text, schema_files[3].text, schema_files[3].length);
    sql("CREATE TABLE word_before AS SELECT * FROM key_word");
    sql("CREATE TABLE hour_before AS SELECT * FROM key_activity");
    sql("DELETE FROM key_word");
    sql("DELETE FROM key_activity");
    sql("UPDATE api_key SET title = CONCAT(title, '')");
    for (const char *at = strstr(text, "INSERT IGNORE"); at; at = strstr(at + 1, "INSERT IGNORE")) {
        char statement[4096];
        const char *end = strstr(at, ";\n");
        assert_non_null(end);
        snprintf(statement, sizeof statement, "%.*s", (int)(end - at), at);
        must(db_command(db, statement));
    }
    assert_true(number("SELECT COUNT(*) FROM word_before") > KEYS);
    assert_int_equal(
        number("SELECT COUNT(*) FROM key_word") - number("SELECT COUNT(*) FROM word_before"), 0);
    assert_int_equal(number("SELECT COUNT(*) FROM key_word JOIN word_before USING (word, key_id)"),
                     number("SELECT COUNT(*) FROM word_before"));
    assert_int_equal(
        number("SELECT COUNT(*) FROM key_activity JOIN hour_before USING (key_id, hour)"), KEYS);
    sql("DROP TABLE word_before");
    sql("DROP TABLE hour_before");
}

/* Since FLUSH STATUS, one after the other. */
static int64_t rows_read(void)
{
    struct db_rows rows;
    int64_t read = 0;
    must(db_query(db,
                  "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.SESSION_STATUS"
                  " WHERE VARIABLE_NAME IN ('HANDLER_READ_NEXT', 'HANDLER_READ_PREV',"
                  " 'HANDLER_READ_RND_NEXT', 'HANDLER_READ_FIRST', 'HANDLER_READ_LAST')",
                  DB_NONE, &rows));
    while (db_next(&rows))
        read += db_get_i64(&rows, 0);
    return read;
}

/* A page of one key reads about as many rows as it has filters, not the table. */
static void each_filter_is_served_by_an_index(void **state)
{
    (void)state;
    struct key_filter filters[] = {
        {.limit = 1},
        {.customer_id = 3},
        {.tier = SPAN("pro")},
        {.words = {SPAN("batch")}, .word_count = 1},
        {.has_status = true, .status = KEY_ACTIVE},
        {.has_status = true, .status = KEY_DISABLED},
        {.has_status = true, .status = KEY_SUSPENDED},
        {.has_status = true, .status = KEY_REVOKED},
        {.has_status = true, .status = KEY_EXPIRED},
        {.has_status = true, .status = KEY_DISABLED, .tier = SPAN("pro")},
    };
    for (size_t i = 0; i < COUNT_OF(filters); i++) {
        uint64_t *ids, next;
        size_t count;
        filters[i].limit = 1;
        sql("FLUSH STATUS");
        must(key_search(db, &filters[i], NOW, &arena, &ids, &count, &next));
        assert_int_equal(count, 1);
        int64_t read = rows_read();
        if (read > 80) fail_msg("filter %zu read %lld rows", i, (long long)read);
    }
}

static void each_filter_of_the_audit_log_is_served_by_an_index(void **state)
{
    (void)state;
    struct audit_filter filters[] = {
        {.subject = SPAN("rare")},        {.customer_id = 7},
        {.action = SPAN("rare.deed")},    {.action = SPAN("rare.deed"), .before = 1000003},
        {.action = SPAN("no.such.deed")},
    };
    static const size_t found[COUNT_OF(filters)] = {2, 2, 2, 1, 0};
    sql("INSERT INTO audit (sequence, id, at, actor, action, subject, customer_id, address,"
        " request_id, detail, hash) SELECT 1000000 + seq, 1000000 + seq, 0, 'cli',"
        " IF(seq IN (2, 3), 'rare.deed', 'deed'), IF(seq IN (2, 3), 'rare', 'often'),"
        " IF(seq IN (2, 3), 7, 8), '', '', '{}', '' FROM seq_1_to_3000");
    for (size_t i = 0; i < COUNT_OF(filters); i++) {
        struct audit_entry_row *rows;
        size_t count;
        filters[i].limit = 50;
        sql("FLUSH STATUS");
        must(audit_list(db, &filters[i], &arena, &rows, &count));
        int64_t read = rows_read();
        assert_int_equal(count, found[i]);
        for (size_t j = 0; j < count; j++)
            assert_int_equal(rows[j].sequence, (filters[i].before ? 1000002 : 1000003) - j);
        if (read > 10) fail_msg("filter %zu read %lld rows", i, (long long)read);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_gives_the_keys_that_fit),
        cmocka_unit_test(all_words_must_begin_words_of_the_title),
        cmocka_unit_test(folds_case_in_every_script),
        cmocka_unit_test(a_title_that_goes_takes_its_words_along),
        cmocka_unit_test(each_filter_is_served_by_an_index),
        cmocka_unit_test(each_filter_of_the_audit_log_is_served_by_an_index),
        cmocka_unit_test(the_migration_finds_the_same_words_and_hours),
    };
    return cmocka_run_group_tests(tests, database_fill, database_end);
}
