/* Start and stop. Called by main.c (serve) and dev.c, on the loop's thread. Parts are started in
 * the order of start_parts and stopped in the mirrored order of stop_steps, each step waiting for
 * the one before, so that nobody is called who is gone. At the end nothing is left on the loop. */
#include "app.h"

#include "api/gateway.h"
#include "api/metrics.h"
#include "api/problem.h"
#include "api/request_log.h"
#include "api/routes.h"
#include "api/web.h"
#include "base/log.h"
#include "base/secret_file.h"
#include "conf/settings.h"
#include "crypto/keyring.h"
#include "io/curl_loop.h"
#include "io/http_address.h"
#include "io/http_server.h"
#include "io/loop.h"
#include "notify.h"
#include "service/client_address.h"
#include "service/committer.h"
#include "service/context.h"
#include "service/encryption_watch.h"
#include "service/figures.h"
#include "service/mail_maker.h"
#include "service/mail_report.h"
#include "service/mail_template.h"
#include "service/mailer.h"
#include "service/meter.h"
#include "service/payment.h"
#include "service/reconciler.h"
#include "service/rotator.h"
#include "service/secret_mail.h"
#include "service/throttle.h"
#include "service/token_cache.h"
#include "startup.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    API_HEAD_BYTES = 16384,
    API_HEADERS = 64,
    API_BODY_BYTES = 65536,
    GATEWAY_HEAD_BYTES = 32768,
    GATEWAY_HEADERS = 100,
    GATEWAY_BODY_BYTES = 65536,
    ADDRESS_SIZE = 128,
    BASE_URL_SIZE = 1040,
    WRONG_CLAIMS_MINUTE = 10, /* of an address */
    WRONG_SIGN_INS_MINUTE = 10,
    WRONG_SIGN_INS_ACCOUNT = 20, /* a minute, from wherever */
    PASSWORDS_WAITING = 16,      /* a second's work; more are told to come again */
};

struct app {
    struct service service;
    const struct settings *settings;
    struct startup_database database;
    struct keyring *keyring;
    struct http_server *server;
    struct loop_signal *terminate, *interrupt, *hangup;
    unsigned stop_step;
    bool stopping, gave_up;
    char api_address[ADDRESS_SIZE], gateway_address[ADDRESS_SIZE], public_address[ADDRESS_SIZE];
    char base_url[BASE_URL_SIZE];
    struct secret_mail secret_mail;
    struct encryption_watch *encryption_watch;
};

/* ---- start ---- */

static void on_signal(void *context)
{
    log_event(LOG_INFO, "stopping", "asked to stop by a signal");
    app_stop(context);
}

/* A unit that is started after this one may verify at once. */
static void on_serving(void *context)
{
    struct app *app = context;
    mail_report_templates(&app->service);
    notify_ready();
}

static void on_give_up(void *context)
{
    struct app *app = context;
    app->gave_up = true;
    app_stop(app);
}

/* The schema and the keys, over a connection that is gone again before any thread starts. */
static enum err open_state(struct app *app, char *error)
{
    struct db *db = NULL;
    enum err result = startup_database_init(&app->database, app->settings, error);
    if (!result) result = startup_open(&db, &app->database, error);
    if (!result) result = startup_durability(db, app->settings, error);
    if (!result) result = startup_redo(db, error);
    if (!result) result = startup_keyring(&app->keyring, db, app->settings, error);
    db_close(&db);
    app->service.keyring = app->keyring;
    app->service.database = &app->database.config;
    return result;
}

static enum err start_pools(struct app *app)
{
    struct service *service = &app->service;
    struct db_pool_config readers = {
        .name = "readers",
        .db = app->database.config,
        .threads = app->settings->database.readers,
        .queue_limit = app->settings->database.queue,
    };
    struct db_pool_config passwords = {
        .name = "passwords",
        .db = app->database.config,
        .threads = 1,
        .queue_limit = PASSWORDS_WAITING,
    };
    enum err result = db_pool_new(&service->readers, service->loop, &readers);
    if (!result) result = db_pool_new(&service->passwords, service->loop, &passwords);
    if (result) return result;
    return committer_new(&service->committer, service->loop, &app->database.config);
}

static enum err start_listeners(struct app *app, char *error);

/* Where it is not set (then mail goes into files), links lead to this very daemon. */
static void base_url_init(struct app *app)
{
    const char *set = app->settings->portal.base_url;
    const char *here = app->public_address[0] ? app->public_address : app->api_address;
    if (set[0])
        snprintf(app->base_url, sizeof app->base_url, "%s", set);
    else
        snprintf(app->base_url, sizeof app->base_url, "%s%s", here[0] == '/' ? "unix:" : "http://",
                 here);
    app->service.base_url = app->base_url;
}

static enum err start_mail(struct app *app, char *error)
{
    struct service *service = &app->service;
    bool sends = app->settings->mail.url[0] != '\0';
    base_url_init(app);
    /* Also without mail: customers' keys are checked with it. */
    enum err result = mail_maker_new(&service->maker, app->settings, service->keyring,
                                     service->templates, service->base_url);
    if (!sends) return result == ERR_CRYPTO ? ERR_OK : result;
    if (!result) result = mailer_new(&service->mailer, service, error);
    if (!result) result = encryption_watch_new(&app->encryption_watch, service);
    if (result) return result;
    secret_mail_init(&app->secret_mail, service);
    service->sealer = &app->secret_mail.sealer;
    service->mails = true;
    return ERR_OK;
}

/* The meter is the last: a start that fails must not have fenced a daemon that runs. */
static enum err start_parts(struct app *app, char *error)
{
    struct service *service = &app->service;
    enum err result = loop_new(&service->loop);
    if (!result) result = loop_signal_new(&app->terminate, service->loop, SIGTERM, on_signal, app);
    if (!result) result = loop_signal_new(&app->interrupt, service->loop, SIGINT, on_signal, app);
    if (!result) result = loop_signal_new(&app->hangup, service->loop, SIGHUP, on_signal, app);
    if (!result) result = mail_templates_new(&service->templates, app->settings->mail.templates);
    if (!result) result = open_state(app, error);
    if (!result) result = start_pools(app);
    if (!result) result = token_cache_new(&service->tokens, service);
    if (result) return result;
    token_cache_reload(service->tokens);
    result = throttle_new(&service->claim_throttle, WRONG_CLAIMS_MINUTE);
    if (!result) result = throttle_new(&service->admin_throttle, WRONG_SIGN_INS_MINUTE);
    if (!result) result = throttle_new(&service->admin_accounts, WRONG_SIGN_INS_ACCOUNT);
    if (!result) result = curl_loop_new(&service->curl, service->loop);
    if (!result) result = figures_new(&service->figures, service);
    if (!result) result = web_new(&service->web, app->settings, error);
    if (!result) result = http_server_new(&app->server, service->loop);
    if (!result) result = start_listeners(app, error);
    if (!result) result = start_mail(app, error);
    if (!result) result = meter_new(&service->meter, service);
    if (!result) result = rotator_new(&service->rotator, service);
    if (!result) result = reconciler_new(&service->reconciler, service);
    return result;
}

static struct http_limits limits_of(const struct settings *settings)
{
    return (struct http_limits){
        .head_bytes = API_HEAD_BYTES,
        .headers = API_HEADERS,
        .body_bytes = API_BODY_BYTES,
        .pipelined = settings->limits.pipelined,
        .head_timeout_ms = settings->limits.head_timeout_ms,
        .body_timeout_ms = settings->limits.body_timeout_ms,
        .idle_timeout_ms = settings->limits.idle_timeout_ms,
        .write_timeout_ms = settings->limits.write_timeout_ms,
        .connections = settings->limits.connections,
        .connections_per_address = settings->limits.connections_per_address,
    };
}

static enum err listen_check(const struct settings *settings, const char *setting,
                             const char *address, char *error)
{
    struct sockaddr_storage parsed;
    socklen_t length = 0;
    char wrong[APP_ERROR_SIZE / 2];
    if (address[0] == '\0') return ERR_OK;
    enum err result = http_address_allowed(address, settings->listen.allow_cleartext, &parsed,
                                           &length, wrong, sizeof wrong);
    if (result) snprintf(error, APP_ERROR_SIZE, "%s: %s", setting, wrong);
    return result;
}

typedef const char *secret_judge(const struct settings *settings, struct span text);

/* `judge` NULL: any text will do. */
static enum err secret_check(const struct settings *settings, const char *setting, const char *path,
                             secret_judge *judge, char *error)
{
    char wrong[SECRET_FILE_ERROR_SIZE];
    struct secret *text = NULL;
    if (!path[0]) return ERR_OK;
    enum err result = secret_file_read(&text, path, wrong);
    while (!result && text->length && memchr("\r\n", text->text[text->length - 1], 2))
        text->length--;
    const char *judged = !result && judge ? judge(settings, secret_span(text)) : NULL;
    if (!result && text->length == 0) judged = "is empty";
    if (judged) {
        snprintf(wrong, sizeof wrong, "%.300s %s", path, judged);
        result = ERR_INVALID;
    }
    secret_free(&text);
    if (result) snprintf(error, APP_ERROR_SIZE, "%s: %.400s", setting, wrong);
    return result;
}

static enum err ca_check(const char *setting, const char *path, char *error)
{
    struct stat status;
    if (!path[0]) return ERR_OK;
    bool file = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    if (file && access(path, R_OK) == 0) return ERR_OK;
    snprintf(error, APP_ERROR_SIZE, "%s: %.300s %s", setting, path,
             file || access(path, F_OK) ? "cannot be read" : "is no regular file");
    return ERR_INVALID;
}

/* The files that the mails' connections will need. */
static enum err mail_check(const struct settings *settings, char *error)
{
    if (span_starts(span_text(settings->mail.url), "smtp") && !settings->portal.base_url[0]) {
        snprintf(error, APP_ERROR_SIZE,
                 "mail.url needs portal.base_url, the address that claim links in mails begin "
                 "with: https://keys.example.com");
        return ERR_INVALID;
    }
    enum err result = ca_check("mail.ca_file", settings->mail.ca_file, error);
    return result ? result
                  : secret_check(settings, "mail.password_file", settings->mail.password_file, NULL,
                                 error);
}

/* The daemon starts without these: keys are verified all the same, and the files read when used. */
static enum err payment_check_files(const struct settings *settings, char *error)
{
    const char *key = settings->payment.secret_file,
               *webhook = settings->payment.webhook_secret_file;
    if (settings->payment.provider == PAYMENT_PROVIDER_NONE) return ERR_OK;
    enum err result = ca_check("payment.ca_file", settings->payment.ca_file, error);
    if (!result)
        result = secret_check(settings, "payment.secret_file", key, payment_key_wrong, error);
    return result ? result
                  : secret_check(settings, "payment.webhook_secret_file", webhook,
                                 payment_webhook_wrong, error);
}

enum err app_check(const struct settings *settings, char error[APP_ERROR_SIZE])
{
    enum err result = listen_check(settings, "listen.api", settings->listen.api, error);
    if (!result) result = listen_check(settings, "listen.public", settings->listen.public, error);
    if (!result) result = listen_check(settings, "listen.gateway", settings->listen.gateway, error);
    if (!result) result = mail_check(settings, error);
    return result ? result : payment_check_files(settings, error);
}

static enum err listen_on(struct app *app, const char *setting, struct http_listen_config *config,
                          char *bound, char *error)
{
    const char *wrong = "";
    config->allow_cleartext = app->settings->listen.allow_cleartext;
    config->reuse_port = app->settings->listen.reuse_port;
    config->error_body = problem_error_body;
    config->context = &app->service;
    enum err result = http_listen(app->server, config, bound, &wrong);
    if (result) snprintf(error, APP_ERROR_SIZE, "%s: %.300s", setting, wrong);
    return result;
}

static enum err start_listeners(struct app *app, char *error)
{
    struct http_listen_config api = {
        .address = app->settings->listen.api,
        .limits = limits_of(app->settings),
        .handler = api_handle,
        .answered = request_log_answered,
        .name = "api",
        .body_limit = api_body_limit,
    };
    struct http_listen_config gateway = {
        .address = app->settings->listen.gateway,
        .limits = limits_of(app->settings),
        .handler = gateway_handle,
        .name = "gateway",
    };
    gateway.limits.head_bytes = GATEWAY_HEAD_BYTES;
    gateway.limits.headers = GATEWAY_HEADERS;
    gateway.limits.body_bytes = GATEWAY_BODY_BYTES;
    struct http_listen_config public = {
        .address = app->settings->listen.public,
        .limits = limits_of(app->settings),
        .handler = public_handle,
        .answered = request_log_answered,
        .name = "public",
        .body_limit = api_body_limit,
    };
    metrics_watch(app->server);
    enum err result = listen_on(app, "listen.api", &api, app->api_address, error);
    if (!result && public.address[0])
        result = listen_on(app, "listen.public", &public, app->public_address, error);
    if (result || gateway.address[0] == '\0') return result;
    return listen_on(app, "listen.gateway", &gateway, app->gateway_address, error);
}

static enum err trust_proxies(const struct settings *settings, char *error)
{
    char wrong[NETWORK_ERROR_SIZE] = "";
    enum err result = client_address_trust(settings->listen.trusted_proxies, wrong);
    if (result)
        snprintf(error, APP_ERROR_SIZE, "listen.trusted_proxies: %.200s",
                 result == ERR_FULL ? "more networks than fit" : wrong);
    return result;
}

enum err app_start(struct app **out, const struct settings *settings, char error[APP_ERROR_SIZE])
{
    *out = NULL;
    error[0] = '\0';
    struct app *app = calloc(1, sizeof *app);
    if (!app) return ERR_NO_MEMORY;
    app->settings = app->service.settings = settings;
    app->service.give_up = on_give_up;
    app->service.serving = on_serving;
    app->service.app = app;
    enum err result = trust_proxies(settings, error);
    if (!result) result = mail_check(settings, error);
    if (!result) result = start_parts(app, error);
    if (result) {
        if (error[0] == '\0') snprintf(error, APP_ERROR_SIZE, "cannot start: %s", err_name(result));
        if (app->service.loop) {
            app_stop(app);
            app_run(app);
        }
        enum err closed = app_free(&app);
        return closed ? closed : result;
    }
    *out = app;
    log_event(LOG_INFO, "ready", "api %s, gateway %s, public %s", app->api_address,
              app->gateway_address[0] ? app->gateway_address : "off",
              app->public_address[0] ? app->public_address : "off");
    return ERR_OK;
}

/* ---- stop: each step ends by calling the next one ---- */

static void stop_next(void *context);

static void stop_listeners(struct app *app)
{
    if (!app->server) {
        stop_next(app);
        return;
    }
    http_server_stop(app->server, app->settings->limits.drain_ms, stop_next, app);
    app->server = NULL;
}

static void stop_mailer(struct app *app)
{
    encryption_watch_stop(app->encryption_watch);
    if (!app->service.mailer) {
        stop_next(app);
        return;
    }
    mailer_stop(app->service.mailer, app->settings->limits.drain_ms, stop_next, app);
}

static void stop_curl(struct app *app)
{
    app->service.mailer = NULL;
    if (!app->service.curl) {
        stop_next(app);
        return;
    }
    curl_loop_stop(app->service.curl, stop_next, app);
}

static void stop_reconciler(struct app *app)
{
    app->service.curl = NULL;
    if (!app->service.reconciler) {
        stop_next(app);
        return;
    }
    reconciler_stop(app->service.reconciler, stop_next, app);
}

static void stop_rotator(struct app *app)
{
    app->service.reconciler = NULL;
    if (!app->service.rotator) {
        stop_next(app);
        return;
    }
    rotator_stop(app->service.rotator, stop_next, app);
}

static void stop_meter(struct app *app)
{
    app->service.rotator = NULL;
    if (!app->service.meter) {
        stop_next(app);
        return;
    }
    meter_stop(app->service.meter, stop_next, app);
}

static void stop_committer(struct app *app)
{
    app->service.passwords = NULL;
    if (!app->service.committer) {
        stop_next(app);
        return;
    }
    db_pool_stop(app->service.committer, stop_next, app);
}

/* Before the committer, which its jobs go on to. */
static void stop_passwords(struct app *app)
{
    app->service.meter = NULL;
    if (!app->service.passwords) {
        stop_next(app);
        return;
    }
    db_pool_stop(app->service.passwords, stop_next, app);
}

static void stop_readers(struct app *app)
{
    app->service.committer = NULL;
    if (!app->service.readers) {
        stop_next(app);
        return;
    }
    db_pool_stop(app->service.readers, stop_next, app);
}

static void stop_rest(struct app *app)
{
    app->service.readers = NULL;
    app->service.sealer = NULL;
    encryption_watch_free(&app->encryption_watch);
    mail_maker_free(&app->service.maker);
    token_cache_free(&app->service.tokens);
    throttle_free(&app->service.claim_throttle);
    throttle_free(&app->service.admin_throttle);
    throttle_free(&app->service.admin_accounts);
    figures_free(&app->service.figures);
    web_free(&app->service.web);
    mail_templates_free(&app->service.templates);
    loop_signal_free(&app->hangup);
    loop_signal_free(&app->interrupt);
    loop_signal_free(&app->terminate);
}

static void stop_next(void *context)
{
    static void (*const stop_steps[])(struct app * app) = {
        stop_listeners, stop_mailer,    stop_curl,      stop_reconciler, stop_rotator,
        stop_meter,     stop_passwords, stop_committer, stop_readers,    stop_rest,
    };
    struct app *app = context;
    stop_steps[app->stop_step++](app);
}

void app_stop(struct app *app)
{
    if (app->stopping) return;
    app->stopping = true;
    app->service.draining = 1;
    notify_stopping();
    stop_next(app);
}

void app_run(struct app *app)
{
    loop_run(app->service.loop);
}

enum err app_free(struct app **app)
{
    if (!*app) return ERR_OK;
    enum err result = loop_free(&(*app)->service.loop);
    keyring_free(&(*app)->keyring);
    startup_database_done(&(*app)->database);
    free(*app);
    *app = NULL;
    return result;
}

bool app_gave_up(const struct app *app)
{
    return app->gave_up;
}

struct service *app_service(struct app *app)
{
    return &app->service;
}

const char *app_api_address(const struct app *app)
{
    return app->api_address;
}

const char *app_gateway_address(const struct app *app)
{
    return app->gateway_address;
}

int app_serve(const struct settings *settings)
{
    struct app *app = NULL;
    char error[APP_ERROR_SIZE];
    if (startup_files(settings, error) || app_start(&app, settings, error)) {
        log_event(LOG_ERROR, "start_failed", "%s", error);
        return EXIT_FAILURE;
    }
    app_run(app);
    bool gave_up = app_gave_up(app);
    enum err result = app_free(&app);
    if (result) log_event(LOG_ERROR, "stop_incomplete", "the loop still had open handles");
    log_event(LOG_INFO, "stopped", "everything is committed and closed");
    return result || gave_up ? EXIT_FAILURE : EXIT_SUCCESS;
}
