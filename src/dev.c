/* `keymeterd dev`: database, schema, token, daemon, key, then what to try with them. Called by
 * main.c. Everything it makes stays in the state directory and is used again at the next start;
 * whatever a kill leaves half-made there is made good. */
#include "dev.h"

#include "app.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/settings.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "dev_calls.h"
#include "dev_database.h"
#include "dev_state.h"
#include "io/loop.h"
#include "service/context.h"
#include "startup.h"
#include "store/migrate.h"
#include "store/token.h"
#include "tools.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SETS_MAX = 96, SET_SIZE = PATH_MAX + 64, DATABASE_CHECK_MS = 1000 };

struct dev {
    const struct dev_options *options;
    struct dev_state state;
    struct settings settings;
    struct dev_database *database;
    pid_t database_pid; /* as last written to the JSON file */
    struct app *app;
    struct loop_timer *timer;
    struct secret *token;
    struct secret *invite; /* of a link that makes an admin */
    struct dev_calls calls;
    bool ready, failed;
    char error[DEV_STATE_ERROR_SIZE];
};

/* ---- before the daemon ---- */

static enum err load_settings(struct dev *dev)
{
    char own[4][SET_SIZE];
    char path[PATH_MAX];
    const char *sets[SETS_MAX] = {own[0], own[1],           own[2],
                                  own[3], "log.level=warn", "mail.from=keymeter@dev.example"};
    size_t count = 6;
    dev_state_path(&dev->state, "master.key", path);
    snprintf(own[0], sizeof own[0], "keys.master_key_file=%s", path);
    dev_state_path(&dev->state, "pepper.key", path);
    snprintf(own[1], sizeof own[1], "keys.pepper_file=%s", path);
    snprintf(own[2], sizeof own[2], "node.name=dev");
    dev_state_path(&dev->state, "mail", path);
    snprintf(own[3], sizeof own[3], "mail.url=maildir:%s", path);
    for (size_t i = 0; i < dev->options->set_count && count < SETS_MAX; i++)
        sets[count++] = dev->options->sets[i];
    /* A developer's own daemon must not read what the machine's real one is told. */
    const char *config = dev->options->config ? dev->options->config : "/dev/null";
    enum err result = settings_load(&dev->settings, config, sets, count, dev->error);
    if (!result && dev->settings.listen.allow_cleartext) {
        snprintf(dev->error, sizeof dev->error,
                 "dev listens on loopback only: remove listen.allow_cleartext");
        result = ERR_INVALID;
    }
    if (!result && dev->settings.listen.api[0] == '/') {
        snprintf(dev->error, sizeof dev->error,
                 "dev needs a TCP address for listen.api, such as 127.0.0.1:0");
        result = ERR_INVALID;
    }
    log_set_level((enum log_level)dev->settings.log.level);
    return result;
}

static enum err start_database(struct dev *dev)
{
    char set[SET_SIZE];
    enum err result = dev_database_start(&dev->database, dev->state.folder, dev->error);
    if (result) return result;
    dev->database_pid = dev_database_pid(dev->database);
    snprintf(set, sizeof set, "database.socket=%s", dev_database_socket(dev->database));
    result = settings_set(&dev->settings, set, dev->error);
    snprintf(set, sizeof set, "database.user=%s", dev_database_user(dev->database));
    if (!result) result = settings_set(&dev->settings, set, dev->error);
    if (!result) result = settings_set(&dev->settings, "database.hosts=", dev->error);
    return result;
}

static enum err migrate(struct dev *dev, const struct startup_database *database)
{
    struct migrate_state state = {0};
    struct db *db = NULL;
    enum err result = migrate_create_database(&database->config, dev->error);
    if (result) return result;
    result = db_open(&db, &database->config);
    if (!result) result = migrate_up(db, clock_wall_ms(), &state);
    if (result)
        snprintf(dev->error, sizeof dev->error, "the schema could not be made: %.250s %.150s",
                 state.error, db ? db_error_text(db) : "");
    db_close(&db);
    return result;
}

/* The kept token, when this database knows it. */
static enum err find_token(struct dev *dev, struct db *db, const struct keyring *keyring)
{
    struct arena arena = {0};
    struct token_row row;
    unsigned char hash[KEY_HASH_SIZE];
    enum err result = dev_state_read(&dev->state, "token", &dev->token, dev->error);
    if (result) return result;
    key_hash(keyring, secret_span(dev->token), hash);
    result = token_find_hash(db, hash, &arena, &row);
    if (!result && row.revoked_at) result = ERR_NOT_FOUND;
    arena_done(&arena);
    if (result) secret_free(&dev->token);
    return result;
}

static enum err make_token(struct dev *dev, struct db *db, const struct keyring *keyring)
{
    uint64_t id;
    char path[PATH_MAX];
    enum err result = tool_make_token(db, keyring, "dev", SCOPE_ADMIN, &dev->token, &id);
    if (result) {
        snprintf(dev->error, sizeof dev->error, "no token could be made: %.200s",
                 db_error_text(db));
        return result;
    }
    dev_state_path(&dev->state, "token", path);
    return dev_state_write(path, secret_span(dev->token), dev->error);
}

static enum err prepare_token(struct dev *dev, const struct startup_database *database)
{
    struct db *db = NULL;
    struct keyring *keyring = NULL;
    enum err result = startup_open(&db, database, dev->error);
    if (!result) result = startup_keyring(&keyring, db, &dev->settings, dev->error);
    if (!result) {
        result = find_token(dev, db, keyring);
        if (result == ERR_NOT_FOUND) result = make_token(dev, db, keyring);
    }
    if (!result) {
        result = tool_make_invite(db, keyring, ADMIN_OWNER, &dev->invite);
        if (result)
            snprintf(dev->error, sizeof dev->error, "no admin link could be made: %.200s",
                     db_error_text(db));
    }
    keyring_free(&keyring);
    db_close(&db);
    return result;
}

static enum err prepare(struct dev *dev)
{
    enum err result = dev_state_open(&dev->state, dev->options->state_dir, dev->error);
    if (!result) result = load_settings(dev);
    if (!result) result = startup_files(&dev->settings, dev->error);
    if (!result) result = start_database(dev);
    if (result) return result;
    struct startup_database database;
    result = startup_database_init(&database, &dev->settings, dev->error);
    if (!result) result = migrate(dev, &database);
    if (!result) result = prepare_token(dev, &database);
    startup_database_done(&database);
    return result;
}

/* ---- the key that is kept ---- */

static void read_key(struct dev *dev)
{
    struct secret *file = NULL;
    char wrong[JSON_ERROR_SIZE];
    json_t *kept = NULL;
    if (dev_state_read(&dev->state, "key.json", &file, dev->error)) return;
    if (!json_parse_strict(secret_span(file), &kept, wrong)) {
        const char *customer = json_string_value(json_object_get(kept, "customer_id"));
        const char *key_id = json_string_value(json_object_get(kept, "key_id"));
        const char *key = json_string_value(json_object_get(kept, "key"));
        if (customer && key_id && key) {
            snprintf(dev->calls.customer_id, sizeof dev->calls.customer_id, "%s", customer);
            snprintf(dev->calls.key_id, sizeof dev->calls.key_id, "%s", key_id);
            dev->calls.key = secret_copy(span_text(key));
        }
    }
    json_decref(kept);
    secret_free(&file);
}

static void put_key(struct dev *dev, struct buf *out)
{
    json_put_string(out, "customer_id", dev->calls.customer_id);
    json_put_string(out, "key_id", dev->calls.key_id);
    json_put_text(out, "key", secret_span(dev->calls.key));
}

static enum err write_key(struct dev *dev)
{
    char path[PATH_MAX];
    struct buf text = {0};
    dev_state_path(&dev->state, "key.json", path);
    json_open(&text, NULL, '{');
    put_key(dev, &text);
    json_close(&text, '}');
    enum err result =
        text.failed ? ERR_NO_MEMORY : dev_state_write(path, buf_span(&text), dev->error);
    buf_done(&text);
    return result;
}

/* ---- what is told ---- */

/* The maildir; NULL: mail goes elsewhere, or nowhere. */
static const char *caught_of(const struct dev *dev)
{
    static const char scheme[] = "maildir:";
    const char *url = dev->settings.mail.url;
    return strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : NULL;
}

static void invite_address(const struct dev *dev, struct buf *out)
{
    tool_invite_address(out, &dev->settings, app_api_address(dev->app), dev->invite);
}

static enum err write_json(struct dev *dev)
{
    if (!dev->options->json_file) return ERR_OK;
    struct buf text = {0};
    struct buf address CLEANUP(buf_done) = {0};
    invite_address(dev, &address);
    json_open(&text, NULL, '{');
    json_put_string(&text, "api", dev->calls.api);
    json_put_string(&text, "gateway", dev->calls.gateway);
    json_put_text(&text, "token", secret_span(dev->token));
    json_put_text(&text, "admin_url", buf_span(&address));
    put_key(dev, &text);
    json_put_u64(&text, "pid", (uint64_t)getpid());
    json_put_u64(&text, "database_pid", (uint64_t)dev->database_pid);
    json_put_string(&text, "maildir", caught_of(dev));
    json_close(&text, '}');
    buf_add_char(&text, '\n');
    enum err result = text.failed || address.failed
                          ? ERR_NO_MEMORY
                          : dev_state_write(dev->options->json_file, buf_span(&text), dev->error);
    buf_done(&text);
    return result;
}

static void print_span(const char *title, const struct buf *text)
{
    if (text->length == 0) return;
    printf("%s", title);
    fwrite(text->data, 1, text->length, stdout);
    puts("");
}

/* What curl is given, up to the path. */
static void print_target(const char *address)
{
    const char *path = dev_calls_socket(address);
    if (path)
        printf("--unix-socket '%s' 'http://localhost", path);
    else
        printf("'%s", address);
}

static void print_all(const struct dev *dev)
{
    const struct dev_calls *calls = &dev->calls;
    puts("*** DEVELOPMENT MODE: secrets stand in the open below and in the state directory.\n"
         "*** For trying and for tests on this machine only; production is `keymeterd serve`.\n");
    printf("state     %s\napi       %s\ngateway   %s\n", dev->state.folder, calls->api,
           calls->gateway[0] ? calls->gateway : "off");
    if (caught_of(dev))
        printf("mail      %s/dev/mail (caught in %s)\n", calls->api, caught_of(dev));
    struct buf address CLEANUP(buf_done) = {0};
    invite_address(dev, &address);
    printf("admin     %.*s (opens once)\n", (int)address.length, address.data ? address.data : "");
    printf("token     %s\ncustomer  %s\nkey id    %s\nkey       %s\n\n", dev->token->text,
           calls->customer_id, calls->key_id, calls->key->text);
    print_span("$ the sign-up that made the key was answered\n", &calls->signup);
    if (calls->gateway[0]) {
        printf("\n$ curl -i -H 'X-API-Key: %s' ", calls->key->text);
        print_target(calls->gateway);
        puts("/v1/gateway'");
    }
    print_span("", &calls->shown);
    printf("$ curl -H 'Authorization: Bearer %s' ", dev->token->text);
    print_target(calls->api);
    printf("/v1/keys/%s/usage?granularity=month'\n", calls->key_id);
    print_span("", &calls->usage);
    if (!dev->options->once) puts("\nReady. Ctrl-C stops the daemon and its database.");
    fflush(stdout);
}

/* ---- with the daemon ---- */

static void calls_done(struct dev_calls *calls, enum err error)
{
    struct dev *dev = calls->context;
    if (error) {
        snprintf(dev->error, sizeof dev->error, "%s", calls->error);
        dev->failed = true;
    }
    if (!dev->failed && calls->made) dev->failed = write_key(dev) != ERR_OK;
    if (!dev->failed) {
        print_all(dev);
        dev->ready = true;
        dev->failed = write_json(dev) != ERR_OK;
    }
    if (dev->options->once && !dev->failed) {
        dev->failed = calls->status != 200;
        snprintf(dev->error, sizeof dev->error, "the call was answered %ld", calls->status);
    }
    if (dev->failed || dev->options->once) app_stop(dev->app);
}

static void check_database(void *context)
{
    struct dev *dev = context;
    char error[256];
    if (dev_database_check(dev->database, error))
        log_event(LOG_ERROR, "database_down", "%s", error);
    if (dev->database_pid == dev_database_pid(dev->database)) return;
    dev->database_pid = dev_database_pid(dev->database);
    log_event(LOG_WARN, "database_restarted", "the private database runs again as process %ld",
              (long)dev->database_pid);
    if (dev->ready && write_json(dev)) log_event(LOG_ERROR, "json_not_written", "%s", dev->error);
}

static void url_of(const char *address, char out[DEV_URL_SIZE])
{
    const char *scheme = address[0] == '/' ? "unix:" : address[0] != '\0' ? "http://" : "";
    snprintf(out, DEV_URL_SIZE, "%s%s", scheme, address);
}

/* Until now SIGTERM waits: a database that is half started would be left running. */
static void hold_signals(int how)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(how, &signals, NULL);
}

static enum err run_daemon(struct dev *dev)
{
    enum err result = app_start(&dev->app, &dev->settings, dev->error);
    if (result) return result;
    app_service(dev->app)->caught = caught_of(dev);
    dev->calls.curl = app_service(dev->app)->curl;
    dev->calls.token = dev->token;
    dev->calls.context = dev;
    dev->calls.done = calls_done;
    url_of(app_api_address(dev->app), dev->calls.api);
    url_of(app_gateway_address(dev->app), dev->calls.gateway);
    read_key(dev);
    result = loop_timer_new(&dev->timer, app_service(dev->app)->loop, check_database, dev);
    if (!result) {
        loop_timer_start(dev->timer, DATABASE_CHECK_MS, DATABASE_CHECK_MS);
        loop_timer_unref(dev->timer);
        result = dev_calls_start(&dev->calls);
    }
    if (result) {
        snprintf(dev->error, sizeof dev->error, "cannot call the API: %s", err_name(result));
        app_stop(dev->app);
    }
    hold_signals(SIG_UNBLOCK);
    app_run(dev->app);
    loop_timer_free(&dev->timer);
    if (app_gave_up(dev->app)) {
        snprintf(dev->error, sizeof dev->error, "the daemon had to stop, its log tells why");
        dev->failed = true;
    }
    enum err closed = app_free(&dev->app);
    if (closed) snprintf(dev->error, sizeof dev->error, "the loop still had open handles");
    return result ? result : closed;
}

/* It stands when everything is ready. What is no file, /dev/stdout, is not replaced by one. */
static enum err remove_json(struct dev *dev)
{
    const char *path = dev->options->json_file;
    struct stat status;
    if (!path || lstat(path, &status)) return ERR_OK;
    if (S_ISREG(status.st_mode) && unlink(path) == 0) return ERR_OK;
    snprintf(dev->error, sizeof dev->error, "--json: %.200s %s", path,
             S_ISREG(status.st_mode) ? "cannot be replaced" : "is no regular file");
    return ERR_INVALID;
}

int dev_run(const struct dev_options *options)
{
    struct dev *dev = calloc(1, sizeof *dev);
    if (!dev) return EXIT_FAILURE;
    dev->options = options;
    hold_signals(SIG_BLOCK);
    enum err result = remove_json(dev);
    if (!result) result = prepare(dev);
    if (!result) result = run_daemon(dev);
    bool failed = result || dev->failed;
    if (failed) fprintf(stderr, "keymeterd dev: %s\n", dev->error);
    dev_calls_done(&dev->calls);
    secret_free(&dev->token);
    secret_free(&dev->invite);
    dev_database_stop(&dev->database);
    settings_done(&dev->settings);
    free(dev);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
