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

/* Tags of processes. */
enum { PROCESS_A = 11, PROCESS_B, PROCESS_C, DAY_MS = 24 * 3600 * 1000 };
#define LONG_MS (2 * NODE_KEPT_MS)

static struct node_joined join(const char *name, uint64_t tag)
{
    struct node_joined joined;
    must(node_join(db, name, tag, 1000, &joined));
    return joined;
}

static void a_restarting_node_fences_its_former_self(void **unused)
{
    (void)unused;
    struct node_joined first = join("alpha", PROCESS_A), other = join("beta", PROCESS_B);
    assert_int_equal(first.id, 1);
    assert_int_equal(first.incarnation, 1);
    assert_int_equal(first.fenced, 0);
    assert_int_equal(other.id, 2);
    must(node_heartbeat(db, 1, 1, 1000));
    struct node_joined second = join("alpha", PROCESS_C);
    assert_int_equal(second.id, 1);
    assert_int_equal(second.incarnation, 2);
    assert_int_equal(second.fenced, 1);
    assert_int_equal(node_heartbeat(db, 1, 1, 1000), ERR_FENCED);
    must(db_begin(db));
    assert_int_equal(node_hold(db, 1, 1), ERR_FENCED);
    must(node_hold(db, 1, 2));
    must(node_hold(db, other.id, other.incarnation));
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

/* A process joins again after a fence, or when it does not know what became of its own join, but
 * never behind another process: two daemons of one name would fence each other for ever. */
static void a_process_does_not_join_behind_another_of_its_name(void **unused)
{
    (void)unused;
    struct node_joined joined = join("alpha", PROCESS_A);
    must(node_fence(db, 5, joined.id, joined.incarnation, 0));
    joined = join("alpha", PROCESS_A);
    assert_int_equal(joined.incarnation, 2);
    assert_int_equal(joined.fenced, 0);
    joined = join("alpha", PROCESS_A); /* the outcome of the last one was unknown */
    assert_int_equal(joined.incarnation, 3);
    assert_int_equal(joined.fenced, 1);

    joined = join("alpha", PROCESS_B);
    assert_int_equal(joined.incarnation, 4);
    struct node_joined refused;
    assert_int_equal(node_join(db, "alpha", PROCESS_A, 1000, &refused), ERR_DENIED);
    must(node_heartbeat(db, joined.id, joined.incarnation, 1000));
    assert_int_equal(number("SELECT COUNT(*) FROM node"), 4);
    must(node_leave(db, 5, joined.id, joined.incarnation));
    assert_int_equal(node_join(db, "alpha", PROCESS_A, 1000, &refused), ERR_DENIED);
    joined = join("alpha", PROCESS_C); /* a restart */
    assert_int_equal(joined.incarnation, 5);
    assert_int_equal(node_join(db, "alpha", 0, 1000, &joined), ERR_INVALID);
}

static void a_former_incarnation_tells_whether_it_may_be_alive(void **unused)
{
    (void)unused;
    struct node_former former;
    assert_int_equal(node_find_former(db, "alpha", 1500, &former), ERR_NOT_FOUND);
    struct db *daemon = database_open();
    struct node_joined joined;
    must(node_join(daemon, "alpha", PROCESS_A, 1000, &joined));
    must(node_find_former(db, "alpha", 1500, &former));
    assert_int_equal(former.incarnation, 1);
    assert_int_equal(former.tag, PROCESS_A);
    assert_true(former.connected);
    assert_int_equal(former.heartbeat, 0);
    must(node_heartbeat(db, joined.id, joined.incarnation,
                        1000)); /* from now on by this connection */
    db_close(&daemon);
    must(node_find_former(db, "alpha", 1500, &former));
    assert_true(former.connected);
    assert_int_equal(former.heartbeat, 1);
    /* A server that was started since counts its connections anew: this is another's. */
    must(node_find_former(db, "alpha", 1000 + DAY_MS, &former));
    assert_false(former.connected);
    must(node_find_former(db, "alpha", 1500, &former));
    assert_true(former.connected);

    daemon = database_open();
    must(node_heartbeat(daemon, joined.id, joined.incarnation, 1000));
    db_close(&daemon); /* the server's thread ends a moment later */
    for (int look = 0; former.connected && look < 1000000; look++)
        must(node_find_former(db, "alpha", 1500, &former));
    assert_false(former.connected);
    must(node_leave(db, 5, joined.id, joined.incarnation));
    assert_int_equal(node_find_former(db, "alpha", 1500, &former), ERR_NOT_FOUND);
}

/* Every insert, take and fold holds the node's row in share mode. */
static void a_heartbeat_waits_for_nobody(void **unused)
{
    (void)unused;
    struct node_joined joined = join("alpha", PROCESS_A);
    struct db *holder = database_open();
    must(db_begin(holder));
    must(node_hold(holder, joined.id, joined.incarnation));
    must(node_heartbeat(db, joined.id, joined.incarnation, 1000));
    db_rollback(holder);
    must(db_begin(holder));
    must(db_command(holder, "UPDATE node SET fenced = 1"));
    must(node_heartbeat(db, joined.id, joined.incarnation, 1000));
    must(db_commit(holder));
    assert_int_equal(node_heartbeat(db, joined.id, joined.incarnation, 1000), ERR_FENCED);
    db_close(&holder);
}

static void a_fence_needs_the_heartbeat_seen(void **unused)
{
    (void)unused;
    struct node_joined joined = join("alpha", PROCESS_A);
    unsigned id = joined.id, incarnation = joined.incarnation;
    must(node_heartbeat(db, id, incarnation, 1000));
    must(node_heartbeat(db, id, incarnation, 1000));
    assert_int_equal(node_fence(db, 5, id, incarnation, 1), ERR_NOT_FOUND);
    must(node_heartbeat(db, id, incarnation, 1000));
    must(node_fence(db, 5, id, incarnation, 3));
    assert_int_equal(node_fence(db, 5, id, incarnation, 3), ERR_NOT_FOUND);
    assert_int_equal(node_heartbeat(db, id, incarnation, 1000), ERR_FENCED);
    assert_int_equal(node_leave(db, 5, id, incarnation), ERR_FENCED);
    assert_int_equal(number("SELECT COUNT(*) FROM feed WHERE kind = 8"), 1);

    joined = join("beta", PROCESS_B);
    id = joined.id, incarnation = joined.incarnation;
    must(node_leave(db, 5, id, incarnation));
    assert_int_equal(number("SELECT COUNT(*) FROM node WHERE fenced_at = 5"), 2);
    assert_int_equal(node_heartbeat(db, id, incarnation, 1000), ERR_FENCED);
    assert_int_equal(number("SELECT COUNT(*) FROM feed WHERE kind = 8"), 2);
}

static void names_and_ids_have_bounds(void **unused)
{
    (void)unused;
    struct node_joined joined;
    char name[70];
    assert_int_equal(node_join(db, "", PROCESS_A, 1, &joined), ERR_INVALID);
    assert_int_equal(node_join(db, "a b", PROCESS_A, 1, &joined), ERR_INVALID);
    memset(name, 'n', sizeof name);
    name[65] = '\0';
    assert_int_equal(node_join(db, name, PROCESS_A, 1, &joined), ERR_INVALID);
    name[64] = '\0';
    must(node_join(db, name, PROCESS_A, 1, &joined));
    must(db_command(db, "UPDATE node_name SET id = 511"));
    must(db_command(db, "UPDATE node SET id = 511"));
    assert_int_equal(node_join(db, "next", PROCESS_A, 1, &joined), ERR_FULL);
    assert_int_equal(number("SELECT COUNT(*) FROM node_name"), 1);
}

/* As of containers that have a new name each: the ids would be used up for good. */
static void a_new_name_gets_the_id_of_one_long_gone(void **unused)
{
    (void)unused;
    struct node_joined old = join("old", PROCESS_A), joined;
    must(db_command(db, "UPDATE node_name SET id = 511"));
    must(db_command(db, "UPDATE node SET id = 511"));
    assert_int_equal(node_join(db, "new", PROCESS_B, LONG_MS, &joined), ERR_FULL); /* it lives */
    must(node_leave(db, 5000, 511, old.incarnation));
    assert_int_equal(node_join(db, "new", PROCESS_B, 5000 + NODE_KEPT_MS, &joined), ERR_FULL);
    must(node_join(db, "new", PROCESS_B, 5001 + NODE_KEPT_MS, &joined));
    assert_int_equal(joined.id, 511);
    assert_int_equal(joined.incarnation, old.incarnation + 1); /* no number is used twice */
    assert_int_equal(number("SELECT COUNT(*) FROM node_name WHERE name = 'new'"), 1);
    assert_int_equal(number("SELECT COUNT(*) FROM node_name"), 1);
    /* Whoever was stopped that long comes back to nothing, and leaves the new one alone. */
    assert_int_equal(node_join_again(db, "old", PROCESS_A, LONG_MS, &joined), ERR_DENIED);
    must(node_heartbeat(db, 511, old.incarnation + 1, LONG_MS));
}

static void a_process_whose_rows_are_gone_does_not_join_again(void **unused)
{
    (void)unused;
    struct node_joined joined = join("alpha", PROCESS_A), again;
    must(node_fence(db, 5, joined.id, joined.incarnation, 0));
    must(node_join_again(db, "alpha", PROCESS_A, 6, &again));
    assert_int_equal(again.incarnation, 2);
    joined = join("alpha", PROCESS_B);
    must(db_command(db, "DELETE FROM node WHERE incarnation < 3"));
    assert_int_equal(node_join_again(db, "alpha", PROCESS_A, LONG_MS, &again), ERR_DENIED);
    must(node_heartbeat(db, joined.id, joined.incarnation, LONG_MS));
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

    /* beside one that was killed within a commit: the server ends its transaction by and by */
    struct db *killed = database_open();
    must(db_command(killed, "SET SESSION idle_transaction_timeout = 2"));
    must(db_begin(killed));
    must(db_command(killed, "UPDATE feed_head SET id = id WHERE id = 1"));
    must(credential_check(db, keyring, 78, error));
    db_close(&killed);

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
        cmocka_unit_test_setup_teardown(a_process_does_not_join_behind_another_of_its_name,
                                        open_migrated, close_it),
        cmocka_unit_test_setup_teardown(a_former_incarnation_tells_whether_it_may_be_alive,
                                        open_migrated, close_it),
        cmocka_unit_test_setup_teardown(a_heartbeat_waits_for_nobody, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(a_fence_needs_the_heartbeat_seen, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(names_and_ids_have_bounds, open_migrated, close_it),
        cmocka_unit_test_setup_teardown(a_new_name_gets_the_id_of_one_long_gone, open_migrated,
                                        close_it),
        cmocka_unit_test_setup_teardown(a_process_whose_rows_are_gone_does_not_join_again,
                                        open_migrated, close_it),
        cmocka_unit_test_setup_teardown(only_the_keys_it_was_made_with, open_migrated, close_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
