/* The private mariadbd of the unit tests: one a program, in a temporary directory, on a Unix socket
 * without network; stopped and removed at exit. */
#include "database.h"

#include "base/compiler.h"

#include "store/migrate.h"

#include <errno.h>
#include <ftw.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 128, READY_LIMIT_MS = 20000, OPTIONS_MAX = 7 };

static char directory[PATH_SIZE], socket_path[PATH_SIZE], user[64];
static pid_t server, owner;
static struct db_config config;
static const char *const no_network[] = {"--skip-networking", NULL};
static const char *const *options = no_network;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "test database: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static pid_t spawn(char *const argv[])
{
    pid_t pid = fork();
    if (pid < 0) give_up("fork");
    if (pid > 0) return pid;
    char log[PATH_SIZE + 8];
    snprintf(log, sizeof log, "%s/output", directory);
    if (!freopen(log, "a", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(126);
    /* A server that starts removes the temporary tables of all others that share the folder. */
    setenv("TMPDIR", directory, 1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* A test that is killed takes its server with it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], argv);
    _exit(127);
}

static const char *option(char out[PATH_SIZE * 2], const char *name, const char *leaf)
{
    snprintf(out, PATH_SIZE * 2, "--%s=%s/%s", name, directory, leaf);
    return out;
}

#define ARGUMENT(text) ((char *)(uintptr_t)(text))

static void run_to_its_end(char *const argv[])
{
    int status;
    pid_t pid = spawn(argv);
    if (waitpid(pid, &status, 0) != pid || status != 0) give_up(argv[0]);
}

/* ./check has made a data directory that only needs to be copied. */
static void copy_from(const char *shared)
{
    char from[PATH_SIZE * 4], to[PATH_SIZE * 2];
    snprintf(from, sizeof from, "%s/data", shared);
    snprintf(to, sizeof to, "%s/data", directory);
    char *const argv[] = {
        ARGUMENT("cp"), ARGUMENT("-r"), ARGUMENT("--sparse=always"), from, to, NULL};
    run_to_its_end(argv);
}

static void install(void)
{
    char data[PATH_SIZE * 2], socket_user[PATH_SIZE];
    const char *shared = getenv("KEYMETER_TEST_DATA");
    if (shared) {
        copy_from(shared);
        return;
    }
    snprintf(socket_user, sizeof socket_user, "--auth-root-socket-user=%s", user);
    char *const argv[] = {
        ARGUMENT("mariadb-install-db"),
        ARGUMENT("--no-defaults"),
        ARGUMENT("--force"),
        ARGUMENT(option(data, "datadir", "data")),
        ARGUMENT("--auth-root-authentication-method=socket"),
        socket_user,
        ARGUMENT("--skip-test-db"),
        ARGUMENT("--skip-name-resolve"),
        ARGUMENT(geteuid() == 0 ? "--user=root" : "--force"),
        NULL,
    };
    run_to_its_end(argv);
}

static void wait_until_ready(void)
{
    struct db_config bare = config;
    bare.name = NULL;
    char why[200] = "";
    for (int waited_ms = 0; waited_ms < READY_LIMIT_MS; waited_ms += 20) {
        struct db *db;
        enum err error = db_open(&db, &bare);
        snprintf(why, sizeof why, "%s", db_error_text(db));
        db_close(&db);
        if (!error) return;
        int status;
        if (waitpid(server, &status, WNOHANG) == server) give_up("mariadbd ended");
        pause_ms(20);
    }
    errno = ETIMEDOUT;
    give_up(why);
}

static void serve(void)
{
    char data[PATH_SIZE * 2], sock[PATH_SIZE * 2], pid[PATH_SIZE * 2], log[PATH_SIZE * 2];
    enum { OWN = 11 };
    char *argv[OWN + OPTIONS_MAX + 1] = {
        ARGUMENT("/usr/sbin/mariadbd"),
        ARGUMENT("--no-defaults"),
        ARGUMENT(option(data, "datadir", "data")),
        ARGUMENT(option(sock, "socket", "socket")),
        ARGUMENT(option(pid, "pid-file", "pid")),
        ARGUMENT(option(log, "log-error", "error.log")),
        ARGUMENT("--skip-name-resolve"),
        ARGUMENT("--innodb-log-file-size=8M"),
        ARGUMENT("--innodb-use-native-aio=OFF"),    /* why: src/dev_database.c */
        ARGUMENT("--innodb-log-file-buffering=ON"), /* why: docs/decisions/0007 */
        ARGUMENT(geteuid() == 0 ? "--user=root" : "--skip-name-resolve"),
    };
    for (size_t i = 0; options[i]; i++) {
        if (i == OPTIONS_MAX) give_up("too many options");
        argv[OWN + i] = ARGUMENT(options[i]);
    }
    server = spawn(argv);
    wait_until_ready();
}

void database_options(const char *const *replacement)
{
    options = replacement;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static void stop_at_exit(void)
{
    if (getpid() != owner) return;
    if (server > 0) {
        kill(server, SIGCONT);
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const struct db_config *database_start(void)
{
    if (server) return &config;
    const char *base = getenv("TMPDIR");
    struct passwd *entry = getpwuid(geteuid());
    if (!entry) give_up("no name for this user");
    snprintf(user, sizeof user, "%s", entry->pw_name);
    snprintf(directory, sizeof directory, "%s/keymeter-test-XXXXXX",
             base && strlen(base) < 60 ? base : "/tmp");
    if (!mkdtemp(directory)) give_up("mkdtemp");
    owner = getpid();
    atexit(stop_at_exit);
    snprintf(socket_path, sizeof socket_path, "%.100s/socket", directory);
    config = (struct db_config){.socket = socket_path, .user = user, .name = "keymeter_test"};
    install();
    serve();
    database_reset();
    return &config;
}

static void command(struct db *db, const char *sql)
{
    if (db_command(db, sql) == ERR_OK) return;
    fprintf(stderr, "test database: %s\n", db_error_text(db));
    exit(1);
}

/* What a failed test left in a transaction would keep the schema from being dropped. */
static void end_transactions(struct db *db)
{
    static const char sql[] = "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx"
                              " WHERE trx_mysql_thread_id NOT IN (0, CONNECTION_ID())";
    uint64_t ids[64];
    size_t count = 0;
    struct db_rows rows;
    if (db_query(db, sql, DB_NONE, &rows) != ERR_OK) give_up(db_error_text(db));
    while (db_next(&rows))
        if (count < COUNT_OF(ids)) ids[count++] = db_get_u64(&rows, 0);
    for (size_t i = 0; i < count; i++) {
        char kill_it[48];
        snprintf(kill_it, sizeof kill_it, "KILL %llu", (unsigned long long)ids[i]);
        if (db_command(db, kill_it) != ERR_OK && db_is_lost(db)) give_up(db_error_text(db));
    }
}

void database_reset(void)
{
    struct db_config bare = *database_start();
    struct db *db;
    bare.name = NULL;
    if (db_open(&db, &bare) != ERR_OK) give_up(db_error_text(db));
    end_transactions(db);
    command(db, "DROP DATABASE IF EXISTS keymeter_test");
    command(db, "CREATE DATABASE keymeter_test CHARACTER SET utf8mb4");
    db_close(&db);
}

void database_migrate(void)
{
    static struct migrate_state state;
    database_reset();
    struct db *db = database_open();
    if (migrate_up(db, 1, &state) != ERR_OK) give_up(state.error);
    db_close(&db);
}

struct db *database_open(void)
{
    struct db *db;
    if (db_open(&db, database_start()) != ERR_OK) give_up(db_error_text(db));
    return db;
}

void database_freeze(void)
{
    kill(server, SIGSTOP);
    waitpid(server, NULL, WUNTRACED); /* until all its threads stand still */
}

void database_thaw(void)
{
    kill(server, SIGCONT);
}

void database_kill(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

void database_restart(void)
{
    serve();
}
