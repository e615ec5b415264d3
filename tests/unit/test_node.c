/* store/node and store/credential against a real MariaDB. */
#include "crypto/keyring.h"
#include "database.h"
#include "store/credential.h"
#include "store/feed.h"
#include "store/node.h"

#include "unit.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct db *db;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static int open_migrated(void **unused)
{
    (void)unused;
    database_migrate();
    db = database_open();
    return 0;
}

static int close_it(void **unused)
{
    (void)unused;
    db_close(&db);
    return 0;
}

static int64_t number(const char *sql)
{
    struct db_rows rows;
    must(db_query(db, sql, DB_NONE, &rows));
    assert_true(db_next(&rows));
    int64_t value = db_get_i64(&rows, 0);
    db_finish(&rows);
    return value;
}

static void a_restarting_node_fences_its_former_self(void **unused)
{
    (void)unused;
    unsigned id, incarnation, other, other_incarnation;
    must(node_join(db, "alpha", 1000, &id, &incarnation));
    assert_int_equal(id, 1);
    assert_int_equal(incarnation, 1);
    must(node_join(db, "beta", 1000, &other, &other_incarnation));
    assert_int_equal(other, 2);
    must(node_heartbeat(db, id, 1));
    must(node_join(db, "alpha", 2000, &id, &incarnation));
    assert_int_equal(id, 1);
    assert_int_equal(incarnation, 2);
    assert_int_equal(node_heartbeat(db, id, 1), ERR_FENCED);
    must(db_begin(db));
    assert_int_equal(node_hold(db, id, 1), ERR_FENCED);
    must(node_hold(db, id, 2));
    must(node_hold(db, other, other_incarnation));
    assert_int_equal(node_hold(db, 3, 1), ERR_FENCED);
    must(db_commit(db));
    assert_int_equal(number("SELECT COUNT(*) FROM fold_owner WHERE folded = 0"), 3);
    assert_true(number("SELECT subject FROM feed WHERE kind = 8") == ((int64_t)1 << 32 | 1));
    assert_int_equal(number("SELECT COUNT(*) FROM feed WHERE kind = 8"), 1);

    struct node_row rows[4];
    size_t count;
    must(node_list(db, rows, 4, &count));
    assert_int_equal(count, 3);
    assert_true(!rows[0].fenced && !rows[1].fenced && rows[2].fenced);
    assert_int_equal(rows[2].heartbeat, 1);
    must(node_list(db, rows, 1, &count));
    assert_int_equal(count, 1);
}

static void a_fence_needs_the_heartbeat_seen(void **unused)
{
    (void)unused;
    unsigned id, incarnation;
    must(node_join(db, "alpha", 1000, &id, &incarnation));
    must(node_heartbeat(db, id, incarnation));
    must(node_heartbeat(db, id, incarnation));
    assert_int_equal(node_fence(db, 5, id, incarnation, 1), ERR_NOT_FOUND);
    must(node_heartbeat(db, id, incarnation));
    must(node_fence(db, 5, id, incarnation, 3));
    assert_int_equal(node_fence(db, 5, id, incarnation, 3), ERR_NOT_FOUND);
    assert_int_equal(node_heartbeat(db, id, incarnation), ERR_FENCED);
    assert_int_equal(node_leave(db, 5, id, incarnation), ERR_FENCED);
    assert_int_equal(number("SELECT COUNT(*) FROM feed WHERE kind = 8"), 1);

    must(node_join(db, "beta", 1000, &id, &incarnation));
    must(node_leave(db, 5, id, incarnation));
    assert_int_equal(node_heartbeat(db, id, incarnation), ERR_FENCED);
    assert_int_equal(number("SELECT COUNT(*) FROM feed WHERE kind = 8"), 2);
}

static void names_and_ids_have_bounds(void **unused)
{
    (void)unused;
    unsigned id, incarnation;
    char name[70];
    assert_int_equal(node_join(db, "", 1, &id, &incarnation), ERR_INVALID);
    assert_int_equal(node_join(db, "a b", 1, &id, &incarnation), ERR_INVALID);
    memset(name, 'n', sizeof name);
    name[65] = '\0';
    assert_int_equal(node_join(db, name, 1, &id, &incarnation), ERR_INVALID);
    name[64] = '\0';
    must(node_join(db, name, 1, &id, &incarnation));
    must(db_command(db, "UPDATE node_name SET id = 511"));
    assert_int_equal(node_join(db, "next", 1, &id, &incarnation), ERR_FULL);
    assert_int_equal(number("SELECT COUNT(*) FROM node_name"), 1);
}

/* ---- credentials ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct keyring *load(const char *master_path, const char *pepper_path)
{
    struct keyring *keyring = NULL;
    char error[KEYRING_ERROR_SIZE];
    if (keyring_load(&keyring, master_path, pepper_path, error) != ERR_OK) fail_msg("%s", error);
    return keyring;
}

static void only_the_keys_it_was_made_with(void **unused)
{
    (void)unused;
    char directory[] = "/tmp/keymeter-keys-XXXXXX", master[64], pepper[64], other[64];
    char error[256], line[80] = "";
    assert_non_null(mkdtemp(directory));
    snprintf(master, sizeof master, "%s/master", directory);
    snprintf(pepper, sizeof pepper, "%s/pepper", directory);
    snprintf(other, sizeof other, "%s/other", directory);
    char key_error[KEYRING_ERROR_SIZE];
    assert_int_equal(keyring_create(master, pepper, key_error), ERR_OK);
    struct keyring *keyring = load(master, pepper);
    must(credential_check(db, keyring, 77, error));
    assert_int_equal(number("SELECT COUNT(*) FROM credential WHERE created_at = 77"), 2);
    must(credential_check(db, keyring, 78, error));
    assert_int_equal(number("SELECT COUNT(*) FROM credential"), 2);

    /* another key under the same id */
    snprintf(line, sizeof line, "%s %064d\n", keyring_pepper_id(keyring), 7);
    umask(077);
    write_file(other, line);
    struct keyring *wrong = load(master, other);
    assert_int_equal(credential_check(db, wrong, 79, error), ERR_DENIED);
    assert_non_null(strstr(error, "keys.pepper_file"));
    assert_non_null(strstr(error, keyring_pepper_id(keyring)));
    keyring_free(&wrong);

    /* an id the database does not know, alone and as a second one */
    snprintf(line, sizeof line, "0badc0de %064d\n", 7);
    write_file(other, line);
    wrong = load(other, pepper);
    assert_int_equal(credential_check(db, wrong, 79, error), ERR_DENIED);
    assert_non_null(strstr(error, "keys.master_key_file"));
    keyring_free(&wrong);
    FILE *file = fopen(pepper, "a");
    assert_non_null(file);
    fputs(line, file);
    fclose(file);
    wrong = load(master, pepper);
    assert_int_equal(credential_check(db, wrong, 79, error), ERR_DENIED);
    assert_non_null(strstr(error, "does not know"));
    keyring_free(&wrong);
    keyring_free(&keyring);
    unlink(master), unlink(pepper), unlink(other), rmdir(directory);
}

int main(void)
{
    if (sodium_init() < 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_restarting_node_fences_its_former_self, open_migrated,
                                        close_it),
        cmocka_unit_test_setup_teardown(a_fence_needs_the_heartbeat_seen, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(names_and_ids_have_bounds, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(only_the_keys_it_was_made_with, open_migrated, close_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
