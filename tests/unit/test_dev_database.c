/* The private database of `dev`: made, taken over, started again, stopped. Includes the file
 * itself, which belongs to the program and not to a library. */
#include "dev_database.c"

#include "unit.h"

static char state[64];
static char error_text[256];

static int make_state(void **unused)
{
    (void)unused;
    snprintf(state, sizeof state, "/tmp/keymeter-dev-test-XXXXXX");
    return mkdtemp(state) ? 0 : -1;
}

static int remove_state(void **unused)
{
    (void)unused;
    remove_tree(state);
    return 0;
}

static struct dev_database *start(const char *directory)
{
    struct dev_database *database;
    if (dev_database_start(&database, directory, error_text)) fail_msg("%s", error_text);
    return database;
}

static void run(const struct dev_database *database, const char *sql)
{
    struct db_config config = {.socket = dev_database_socket(database),
                               .user = dev_database_user(database)};
    struct db *db;
    assert_int_equal(db_open(&db, &config), ERR_OK);
    if (db_command(db, sql)) fail_msg("%s", db_error_text(db));
    db_close(&db);
}

static void it_keeps_its_data_and_leaves_nothing_running(void **unused)
{
    (void)unused;
    struct dev_database *database = start(state), *second = NULL;
    run(database, "CREATE DATABASE kept");
    assert_int_equal(dev_database_start(&second, state, error_text), ERR_EXISTS);
    assert_non_null(strstr(error_text, "another keymeterd dev"));
    assert_null(second);
    pid_t pid = dev_database_pid(database);
    assert_int_equal(dev_database_check(database, error_text), ERR_OK);
    assert_int_equal(dev_database_pid(database), pid);
    dev_database_stop(&database);
    assert_null(database);
    assert_int_equal(kill(pid, 0), -1);

    database = start(state);
    run(database, "CREATE TABLE kept.t (a INT)");
    dev_database_stop(&database);
}

static void a_killed_server_is_started_again(void **unused)
{
    (void)unused;
    struct dev_database *database = start(state);
    run(database, "CREATE DATABASE kept");
    pid_t pid = dev_database_pid(database);
    kill(pid, SIGKILL);
    while (dev_database_pid(database) == pid) {
        assert_int_equal(dev_database_check(database, error_text), ERR_OK);
    }
    assert_int_equal(wait_until_it_answers(database, error_text), ERR_OK);
    run(database, "CREATE TABLE kept.t (a INT)");

    /* killed while no daemon is there to see it */
    kill(dev_database_pid(database), SIGKILL);
    dev_database_stop(&database);
    database = start(state);
    run(database, "CREATE TABLE kept.u (a INT)");
    dev_database_stop(&database);
}

static void a_server_left_behind_is_taken_over(void **unused)
{
    (void)unused;
    /* as a kill -9 of the daemon leaves it: still there, and no longer locked */
    struct dev_database *before = start(state);
    pid_t pid = dev_database_pid(before);
    close(before->lock);
    struct dev_database *database = start(state);
    assert_int_equal(dev_database_pid(database), pid);
    run(database, "SELECT 1");
    dev_database_stop(&database);
    /* it is this process's child, and may be at its very end yet */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    free(before);
}

static void an_interrupted_installation_is_made_anew(void **unused)
{
    (void)unused;
    char path[128];
    snprintf(path, sizeof path, "%s/mariadb", state);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/mariadb/data.new", state);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/mariadb/pid", state);
    FILE *file = fopen(path, "w"); /* of a process that is not the server */
    assert_non_null(file);
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    struct dev_database *database = start(state);
    run(database, "SELECT 1");
    dev_database_stop(&database);
}

static void a_long_path_has_its_socket_elsewhere(void **unused)
{
    (void)unused;
    char path[200], socket[128];
    snprintf(path, sizeof path, "%s/%0100d", state, 1);
    log_set_level(LOG_ERROR);
    struct dev_database *database = start(path);
    snprintf(socket, sizeof socket, "%s", dev_database_socket(database));
    assert_true(strlen(socket) <= 107);
    run(database, "SELECT 1");
    dev_database_stop(&database);
    assert_int_equal(access(socket, F_OK), -1);
    *strrchr(socket, '/') = '\0';
    assert_int_equal(access(socket, F_OK), -1);
}

static void what_cannot_be_is_said(void **unused)
{
    (void)unused;
    struct dev_database *database;
    assert_int_equal(dev_database_start(&database, "/proc/nothing/here", error_text), ERR_IO);
    assert_non_null(strstr(error_text, "/proc/nothing/here"));
    char path[128];
    snprintf(path, sizeof path, "%s/mariadb", state);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/mariadb/data", state);
    assert_int_equal(mkdir(path, 0700), 0); /* not a database */
    log_set_level(LOG_ERROR);
    assert_int_equal(dev_database_start(&database, state, error_text), ERR_IO);
    assert_non_null(strstr(error_text, "error.log"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_state, remove_state)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_keeps_its_data_and_leaves_nothing_running),
        TEST(a_killed_server_is_started_again),
        TEST(a_server_left_behind_is_taken_over),
        TEST(an_interrupted_installation_is_made_anew),
        TEST(a_long_path_has_its_socket_elsewhere),
        TEST(what_cannot_be_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
