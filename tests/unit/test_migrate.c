/* store/migrate against a real MariaDB: applied once, resumed after an interruption, and refused
 * when database and program do not fit. */
#include "database.h"
#include "store/migrate.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct db *db;
static struct migrate_state state;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s; %s", err_name(error), db_error_text(db), state.error);
}

static int64_t count(const char *sql)
{
    struct db_rows rows;
    must(db_query(db, sql, DB_NONE, &rows));
    assert_true(db_next(&rows));
    int64_t value = db_get_i64(&rows, 0);
    db_finish(&rows);
    return value;
}

static int open_empty(void **unused)
{
    (void)unused;
    database_reset();
    db = database_open();
    return 0;
}

static int close_it(void **unused)
{
    (void)unused;
    db_close(&db);
    return 0;
}

static void an_empty_database_is_brought_up_once(void **unused)
{
    (void)unused;
    bool empty = false;
    must(migrate_status(db, &state));
    assert_int_equal(state.applied, 0);
    assert_true(state.newest >= 1);
    assert_false(state.steps[0].applied);
    must(migrate_is_empty(db, &empty));
    assert_true(empty);

    must(migrate_up(db, 1234, &state));
    assert_int_equal(state.applied, state.newest);
    must(migrate_up(db, 5678, &state));
    must(migrate_status(db, &state));
    assert_int_equal(state.applied, state.newest);
    assert_string_equal(state.steps[0].name, "0001_initial.sql");
    assert_int_equal(state.steps[0].applied_at, 1234);
    assert_int_equal(count("SELECT COUNT(*) FROM tier WHERE slug IN ('free', 'pro', 'enterprise')"),
                     3);
    assert_int_equal(count("SELECT COUNT(*) FROM tier WHERE rate_limits LIKE '[{\"name\"%'"), 3);
    must(migrate_is_empty(db, &empty));
    assert_true(empty);
    must(db_command(db, "INSERT INTO credential VALUES ('master', '12345678', "
                        "REPEAT('x', 16), 0)"));
    must(migrate_is_empty(db, &empty));
    assert_false(empty);
}

static void an_interrupted_file_goes_on(void **unused)
{
    (void)unused;
    must(migrate_up(db, 1, &state));
    /* as if the process had died between a table's change and its count */
    must(db_command(db, "UPDATE schema_migration SET statements = IF(version = 1, 1, 0), "
                        "applied_at = NULL"));
    must(db_command(db, "DELETE FROM tier"));
    must(db_command(db, "DELETE FROM feed_head"));
    must(db_command(db, "DELETE FROM feed"));
    struct db_rows rows;
    must(db_query(db,
                  "SELECT table_name FROM information_schema.tables WHERE table_schema = "
                  "DATABASE() AND table_name NOT IN ('schema_migration', 'credential', 'tier')",
                  DB_NONE, &rows));
    while (db_next(&rows)) {
        char sql[128];
        struct span name = db_get_span(&rows, 0);
        snprintf(sql, sizeof sql, "DROP TABLE %.*s", (int)name.length, name.data);
        must(db_command(db, sql));
    }
    must(migrate_up(db, 2, &state));
    assert_int_equal(state.applied, state.newest);
    assert_int_equal(count("SELECT COUNT(*) FROM tier"), 3);
    assert_int_equal(count("SELECT COUNT(*) FROM feed_head"), 1);
}

static void another_content_is_refused(void **unused)
{
    (void)unused;
    must(migrate_up(db, 1, &state));
    must(db_command(db, "UPDATE schema_migration SET checksum = REPEAT('x', 32)"));
    assert_int_equal(migrate_status(db, &state), ERR_INVALID);
    assert_non_null(strstr(state.error, "0001_initial.sql"));
    assert_int_equal(migrate_up(db, 1, &state), ERR_INVALID);
}

static void a_newer_schema_is_refused(void **unused)
{
    (void)unused;
    must(migrate_up(db, 1, &state));
    must(db_command(db, "INSERT INTO schema_migration VALUES (63, '0063_later.sql', "
                        "REPEAT('x', 32), 1, 1)"));
    assert_int_equal(migrate_up(db, 1, &state), ERR_INVALID);
    assert_non_null(strstr(state.error, "0063_later.sql"));
    assert_non_null(strstr(state.error, "newer"));
}

static void a_missing_database_is_made(void **unused)
{
    (void)unused;
    char error[256] = "";
    struct db_config config = *database_start();
    must(db_command(db, "DROP DATABASE keymeter_test"));
    must(migrate_create_database(&config, error));
    must(migrate_create_database(&config, error));
    config.name = "a`b";
    assert_int_equal(migrate_create_database(&config, error), ERR_INVALID);
    assert_non_null(strstr(error, "database.name"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_database_is_brought_up_once, open_empty, close_it),
        cmocka_unit_test_setup_teardown(an_interrupted_file_goes_on, open_empty, close_it),
        cmocka_unit_test_setup_teardown(another_content_is_refused, open_empty, close_it),
        cmocka_unit_test_setup_teardown(a_newer_schema_is_refused, open_empty, close_it),
        cmocka_unit_test_setup_teardown(a_missing_database_is_made, open_empty, close_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
