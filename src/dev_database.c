/* Starts, takes over, watches and stops the private MariaDB of `keymeterd dev`. Main thread, called
 * by dev's start and stop and by a timer. In DIR/mariadb: `data`, `error.log`, `install.log`, `pid`
 * (written by the server's process before it becomes the server, so that no server is ever
 * forgotten), `lock` (held by the daemon that runs here) and the socket, or `run`, a link to where
 * the socket is. Always holds: at most one server on a data directory is started by us. */
#include "dev_database.h"

#include "base/clock.h"
#include "base/log.h"
#include "io/db.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ERROR_SIZE = 256,
    DIRECTORY_SIZE = 3000,
    FILE_SIZE = DIRECTORY_SIZE + 64,
    ARGUMENT_SIZE = FILE_SIZE + 32,
    SOCKET_SIZE = 108, /* of sockaddr_un, with its NUL */
    START_LIMIT_MS = 30000,
    INSTALL_LIMIT_MS = 60000,
    STOP_LIMIT_MS = 30000,
    POLL_MS = 20,
};

struct dev_database {
    char directory[DIRECTORY_SIZE]; /* DIR/mariadb, absolute */
    char socket[SOCKET_SIZE];
    char user[64];
    int lock;
    pid_t pid;
    bool child; /* false: taken over, so not ours to wait for */
};

static int64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void path_of(const struct dev_database *database, const char *leaf, char out[FILE_SIZE])
{
    snprintf(out, FILE_SIZE, "%s/%s", database->directory, leaf);
}

static enum err fail_errno(char error[ERROR_SIZE], const char *doing, const char *path)
{
    snprintf(error, ERROR_SIZE, "cannot %s %.180s: %s", doing, path, strerror(errno));
    return ERR_IO;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the directory ---- */

static enum err make_directory(const char *path, char error[ERROR_SIZE])
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return ERR_OK;
    return fail_errno(error, "make the directory", path);
}

static enum err find_directory(struct dev_database *database, const char *state_dir,
                               char error[ERROR_SIZE])
{
    enum err failed = make_directory(state_dir, error);
    if (failed) return failed;
    char *absolute = realpath(state_dir, NULL);
    if (!absolute) return fail_errno(error, "find", state_dir);
    int length = snprintf(database->directory, sizeof database->directory, "%s/mariadb", absolute);
    free(absolute);
    if (length >= (int)sizeof database->directory) {
        snprintf(error, ERROR_SIZE, "the path of the state directory is too long");
        return ERR_INVALID;
    }
    return make_directory(database->directory, error);
}

static enum err take_lock(struct dev_database *database, char error[ERROR_SIZE])
{
    char path[FILE_SIZE];
    path_of(database, "lock", path);
    database->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (database->lock < 0) return fail_errno(error, "open", path);
    if (flock(database->lock, LOCK_EX | LOCK_NB) == 0) return ERR_OK;
    snprintf(error, ERROR_SIZE,
             "another keymeterd dev is running in %.150s; stop it, or choose another --state",
             database->directory);
    return ERR_EXISTS;
}

static enum err find_user(struct dev_database *database, char error[ERROR_SIZE])
{
    const struct passwd *entry = getpwuid(geteuid());
    if (entry && strlen(entry->pw_name) < sizeof database->user) {
        snprintf(database->user, sizeof database->user, "%s", entry->pw_name);
        return ERR_OK;
    }
    snprintf(error, ERROR_SIZE, "the user %u has no (usable) name in the system's user list",
             (unsigned)geteuid());
    return ERR_INVALID;
}

/* The path in `run` when an earlier start chose one and it is still there and ours. */
static bool reuse_run_link(const char *link, char directory[SOCKET_SIZE])
{
    struct stat stat;
    ssize_t length = readlink(link, directory, SOCKET_SIZE - 1);
    if (length <= 0) return false;
    directory[length] = '\0';
    return lstat(directory, &stat) == 0 && S_ISDIR(stat.st_mode) && stat.st_uid == geteuid();
}

static enum err find_socket(struct dev_database *database, char error[ERROR_SIZE])
{
    char link[FILE_SIZE], directory[SOCKET_SIZE];
    if (strlen(database->directory) + strlen("/socket") < SOCKET_SIZE) {
        snprintf(database->socket, SOCKET_SIZE, "%.*s/socket", SOCKET_SIZE - 8,
                 database->directory);
        return ERR_OK;
    }
    path_of(database, "run", link);
    if (!reuse_run_link(link, directory)) {
        snprintf(directory, sizeof directory, "/tmp/keymeter-dev-XXXXXX");
        if (!mkdtemp(directory)) return fail_errno(error, "make", directory);
        unlink(link);
        if (symlink(directory, link) != 0) return fail_errno(error, "make the link", link);
        log_event(LOG_WARN, "dev_socket_moved",
                  "the state directory's path is too long for a Unix socket; it is in %s",
                  directory);
    }
    snprintf(database->socket, SOCKET_SIZE, "%.*s/socket", SOCKET_SIZE - 8, directory);
    return ERR_OK;
}

/* ---- processes ---- */

/* mariadbd stands where a normal user's PATH does not lead. */
static enum err find_program(const char *name, char out[FILE_SIZE], char error[ERROR_SIZE])
{
    static const char more[] = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/usr/libexec";
    const char *path = getenv("PATH");
    const char *const lists[] = {path ? path : "", more};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        for (const char *at = lists[i]; *at;) {
            size_t length = strcspn(at, ":");
            snprintf(out, FILE_SIZE, "%.*s/%s", (int)length, at, name);
            if (length > 0 && length < DIRECTORY_SIZE && access(out, X_OK) == 0) return ERR_OK;
            at += length + (at[length] == ':');
        }
    }
    snprintf(error, ERROR_SIZE,
             "%s is not installed; on Debian: apt-get install mariadb-server-core "
             "mariadb-client-core",
             name);
    return ERR_NOT_FOUND;
}

/* Between fork and exec, where only async-signal-safe calls may stand: other threads may run. */
static _Noreturn void become(char *const argv[], const char *output, const char *pid_file)
{
    if (pid_file) {
        char digits[16];
        size_t at = sizeof digits;
        digits[--at] = '\n';
        for (pid_t rest = getpid(); rest > 0; rest /= 10) {
            digits[--at] = (char)('0' + rest % 10);
        }
        int file = open(pid_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (file < 0) _exit(126);
        if (write(file, digits + at, sizeof digits - at) != (ssize_t)(sizeof digits - at)) {
            _exit(126);
        }
    }
    int in = open("/dev/null", O_RDONLY), out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(126);
    close_range(3, UINT_MAX, 0);
    setsid(); /* a Ctrl-C at the terminal is for the daemon, which stops the server in order */
    signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], argv);
    _exit(127);
}

static bool read_pid(const struct dev_database *database, pid_t *pid)
{
    char path[FILE_SIZE], text[16] = "";
    path_of(database, "pid", path);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    long number = strtol(text, NULL, 10);
    *pid = (pid_t)number;
    return read && number > 1;
}

/* True when the process is (or is about to become) the server on our data directory: its number may
 * have gone to another since. A zombie has no command line. */
static bool is_our_server(const struct dev_database *database, pid_t pid)
{
    char path[64], line[ARGUMENT_SIZE * 2], wanted[ARGUMENT_SIZE];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    snprintf(wanted, sizeof wanted, "--datadir=%s/data", database->directory);
    for (size_t at = 0; at < length; at += strlen(line + at) + 1) {
        if (strcmp(line + at, wanted) == 0) return true;
    }
    return false;
}

static bool has_ended(struct dev_database *database)
{
    if (!database->child) return !is_our_server(database, database->pid);
    int status;
    pid_t pid = waitpid(database->pid, &status, WNOHANG);
    return pid == database->pid || (pid < 0 && errno == ECHILD);
}

/* A server that starts removes the temporary tables of all others that share its temporary folder:
 * /tmp is not for us. */
static void make_temporary(const struct dev_database *database, char out[FILE_SIZE])
{
    path_of(database, "tmp", out);
    mkdir(out, 0700); /* when it cannot be made the server tells so */
}

/* ---- installing ---- */

/* Tells the child by the environment, because the script breaks options with a space in them;
 * before the fork, because setenv is not for the time between fork and exec. */
static pid_t fork_with_temporary(const char *temporary)
{
    const char *name = "TMPDIR", *set = getenv(name);
    char *before = set ? strdup(set) : NULL;
    setenv(name, temporary, 1);
    pid_t pid = fork();
    if (pid == 0) return pid;
    if (before)
        setenv(name, before, 1);
    else
        unsetenv(name);
    free(before);
    return pid;
}

static enum err run_install(const struct dev_database *database, const char *target,
                            char error[ERROR_SIZE])
{
    char program[FILE_SIZE], data[ARGUMENT_SIZE], user[128], output[FILE_SIZE];
    char temporary[FILE_SIZE];
    enum err failed = find_program("mariadb-install-db", program, error);
    if (failed) return failed;
    make_temporary(database, temporary);
    snprintf(data, sizeof data, "--datadir=%s", target);
    snprintf(user, sizeof user, "--auth-root-socket-user=%s", database->user);
    path_of(database, "install.log", output);
    char no_defaults[] = "--no-defaults", force[] = "--force", test[] = "--skip-test-db";
    char method[] = "--auth-root-authentication-method=socket", names[] = "--skip-name-resolve";
    char root[] = "--user=root";
    char *const argv[] = {
        program, no_defaults, force, data, method, user, test, names, geteuid() == 0 ? root : NULL,
        NULL};
    pid_t pid = fork_with_temporary(temporary);
    if (pid < 0) return fail_errno(error, "start", program);
    if (pid == 0) become(argv, output, NULL);
    int status = 0;
    pid_t ended = 0;
    for (int64_t until = now_ms() + INSTALL_LIMIT_MS; ended == 0 && now_ms() < until;) {
        ended = waitpid(pid, &status, WNOHANG);
        if (ended == 0) pause_ms(POLL_MS);
    }
    if (ended == 0) {
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) return ERR_OK;
    snprintf(error, ERROR_SIZE, "mariadb-install-db failed; see %.200s", output);
    return ERR_IO;
}

/* Made beside and renamed, so that an interrupted one is not taken for a database. */
static enum err install(const struct dev_database *database, char error[ERROR_SIZE])
{
    char data[FILE_SIZE], unfinished[FILE_SIZE];
    path_of(database, "data", data);
    path_of(database, "data.new", unfinished);
    if (access(data, F_OK) == 0) return ERR_OK;
    remove_tree(unfinished);
    enum err failed = run_install(database, unfinished, error);
    if (failed) return failed;
    if (rename(unfinished, data) == 0) return ERR_OK;
    return fail_errno(error, "rename", unfinished);
}

/* ---- serving ---- */

static enum err spawn_server(struct dev_database *database, char error[ERROR_SIZE])
{
    char program[FILE_SIZE], output[FILE_SIZE], pid_file[FILE_SIZE];
    char data[ARGUMENT_SIZE], socket[ARGUMENT_SIZE], log[ARGUMENT_SIZE], pid_option[ARGUMENT_SIZE];
    char temporary[FILE_SIZE], temporary_option[ARGUMENT_SIZE];
    enum err failed = find_program("mariadbd", program, error);
    if (failed) return failed;
    path_of(database, "error.log", output);
    path_of(database, "pid", pid_file);
    snprintf(data, sizeof data, "--datadir=%s/data", database->directory);
    snprintf(socket, sizeof socket, "--socket=%s", database->socket);
    snprintf(log, sizeof log, "--log-error=%s", output);
    snprintf(pid_option, sizeof pid_option, "--pid-file=%s/ready.pid", database->directory);
    make_temporary(database, temporary);
    snprintf(temporary_option, sizeof temporary_option, "--tmpdir=%s", temporary);
    char no_defaults[] = "--no-defaults", network[] = "--skip-networking";
    char names[] = "--skip-name-resolve", redo[] = "--innodb-log-file-size=32M";
    /* Requests that a killed server left in the kernel's own queues (io_uring) may still be written
     * when the next server, started at once, reads or writes the same pages. A thread's are done
     * when the process is gone. */
    char no_queues[] = "--innodb-use-native-aio=OFF";
    char buffering[] = "--innodb-log-file-buffering=ON"; /* why: docs/decisions/0007 */
    char charset[] = "--character-set-server=utf8mb4", root[] = "--user=root";
    char *const argv[] = {
        program, no_defaults, data, socket,    log,       pid_option, temporary_option,
        network, names,       redo, no_queues, buffering, charset,    geteuid() == 0 ? root : NULL,
        NULL};
    pid_t pid = fork();
    if (pid < 0) return fail_errno(error, "start", program);
    if (pid == 0) become(argv, output, pid_file);
    database->pid = pid;
    database->child = true;
    return ERR_OK;
}

/* True when a server that an earlier daemon left behind serves here. */
static bool take_over(struct dev_database *database)
{
    pid_t pid;
    if (!read_pid(database, &pid) || !is_our_server(database, pid)) return false;
    database->pid = pid;
    database->child = false;
    kill(pid, SIGCONT);
    log_event(LOG_INFO, "dev_database_taken_over",
              "a MariaDB (process %d) still runs in this state directory", (int)pid);
    return true;
}

static enum err wait_until_it_answers(struct dev_database *database, char error[ERROR_SIZE])
{
    char log[FILE_SIZE], why[ERROR_SIZE] = "no answer";
    struct db_config config = {
        .socket = database->socket, .user = database->user, .connect_timeout_s = 1};
    path_of(database, "error.log", log);
    for (int64_t until = now_ms() + START_LIMIT_MS; now_ms() < until; pause_ms(POLL_MS)) {
        struct db *db;
        enum err failed = db_open(&db, &config);
        snprintf(why, sizeof why, "%s", db_error_text(db));
        db_close(&db);
        if (!failed) return ERR_OK;
        if (has_ended(database)) {
            database->pid = 0;
            snprintf(error, ERROR_SIZE, "mariadbd ended while starting; see %.200s", log);
            return ERR_IO;
        }
    }
    snprintf(error, ERROR_SIZE, "mariadbd does not answer within %d s (%.90s); see %.110s",
             START_LIMIT_MS / 1000, why, log);
    return ERR_TIMEOUT;
}

static enum err serve(struct dev_database *database, char error[ERROR_SIZE])
{
    if (take_over(database)) {
        enum err failed = wait_until_it_answers(database, error);
        /* It was on its way down: then a new one is to be started. */
        if (!failed || database->pid) return failed;
    }
    enum err failed = spawn_server(database, error);
    return failed ? failed : wait_until_it_answers(database, error);
}

enum err dev_database_start(struct dev_database **out, const char *state_dir,
                            char error[ERROR_SIZE])
{
    struct dev_database *database = calloc(1, sizeof *database);
    *out = NULL;
    if (!database) {
        snprintf(error, ERROR_SIZE, "out of memory");
        return ERR_NO_MEMORY;
    }
    database->lock = -1;
    enum err failed = find_directory(database, state_dir, error);
    if (!failed) failed = take_lock(database, error);
    if (!failed) failed = find_user(database, error);
    if (!failed) failed = find_socket(database, error);
    if (!failed) failed = install(database, error);
    if (!failed) failed = serve(database, error);
    if (failed) {
        dev_database_stop(&database);
        return failed;
    }
    *out = database;
    return ERR_OK;
}

const char *dev_database_socket(const struct dev_database *database)
{
    return database->socket;
}

const char *dev_database_user(const struct dev_database *database)
{
    return database->user;
}

pid_t dev_database_pid(const struct dev_database *database)
{
    return database->pid;
}

enum err dev_database_check(struct dev_database *database, char error[ERROR_SIZE])
{
    if (database->pid && !has_ended(database)) return ERR_OK;
    log_event(LOG_WARN, "dev_database_died", "MariaDB (process %d) is gone; starting it again",
              (int)database->pid);
    database->pid = 0;
    return spawn_server(database, error);
}

static void end_server(struct dev_database *database)
{
    if (!database->pid || has_ended(database)) return;
    kill(database->pid, SIGTERM);
    kill(database->pid, SIGCONT);
    for (int64_t until = now_ms() + STOP_LIMIT_MS; now_ms() < until; pause_ms(POLL_MS)) {
        if (has_ended(database)) return;
    }
    log_event(LOG_WARN, "dev_database_killed", "MariaDB did not stop within %d s",
              STOP_LIMIT_MS / 1000);
    kill(database->pid, SIGKILL);
    while (!has_ended(database)) {
        pause_ms(POLL_MS);
    }
}

static void remove_run_link(const struct dev_database *database)
{
    char link[FILE_SIZE], directory[SOCKET_SIZE];
    path_of(database, "run", link);
    if (!reuse_run_link(link, directory)) return;
    unlink(database->socket);
    rmdir(directory);
    unlink(link);
}

void dev_database_stop(struct dev_database **database)
{
    char pid_file[FILE_SIZE];
    struct dev_database *stopped = *database;
    if (!stopped) return;
    *database = NULL;
    end_server(stopped);
    if (stopped->lock >= 0) {
        path_of(stopped, "pid", pid_file);
        if (stopped->pid) unlink(pid_file);
        remove_run_link(stopped);
        close(stopped->lock);
    }
    free(stopped);
}
