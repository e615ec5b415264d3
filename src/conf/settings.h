/* Every setting of the daemon, typed and checked. The table in settings_table.c is the only list of
 * them: name, type, default, what is allowed, help. Loaded once at start by main.c; afterwards
 * read-only, any thread.
 *
 * Texts are never NULL: a setting without a value is "". Times are milliseconds. */
#ifndef KEYMETER_CONF_SETTINGS_H
#define KEYMETER_CONF_SETTINGS_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { SETTINGS_ERROR_SIZE = 512 };
#define SETTINGS_FILE "/etc/keymeter/keymeter.conf"

enum payment_provider { PAYMENT_PROVIDER_NONE, PAYMENT_PROVIDER_HTTP, PAYMENT_PROVIDER_STRIPE };
enum settings_when { SETTINGS_IN_TIME, SETTINGS_AT_ONCE };
enum settings_taken_back { SETTINGS_REFUND_IGNORED, SETTINGS_REFUND_LAPSES };
enum settings_automatic {
    SETTINGS_AUTOMATIC_WITH_MAIL,
    SETTINGS_AUTOMATIC_YES,
    SETTINGS_AUTOMATIC_NO
};
enum settings_mail_auth { SETTINGS_MAIL_PLAIN, SETTINGS_MAIL_LOGIN, SETTINGS_MAIL_XOAUTH2 };
enum settings_log_level {
    SETTINGS_LOG_DEBUG,
    SETTINGS_LOG_INFO,
    SETTINGS_LOG_WARN,
    SETTINGS_LOG_ERROR
};

struct settings {
    struct {
        const char *name; /* 1 to 64 printable characters; the host's name by default */
        bool trust_clock;
    } node;
    struct {
        const char *api, *gateway; /* "127.0.0.1:7070", "[::1]:0", "unix:/run/x.sock" */
        const char *public;        /* the same; "": what is public is on api */
        bool allow_cleartext, reuse_port;
        const char *trusted_proxies; /* CIDR networks between commas or spaces */
    } listen;
    struct {
        const char *socket;
        const char *hosts; /* "name" or "name:port", …; instead of socket when not empty */
        const char *user, *name, *password_file, *ca_file;
        unsigned connect_timeout_ms, io_timeout_ms;
        unsigned readers; /* connections for reads */
        unsigned queue;   /* waiting jobs of a pool, past it 503 */
        bool allow_weak_durability;
    } database;
    struct {
        enum payment_provider provider;
        const char *url, *secret_file, *webhook_secret_file, *ca_file;
        unsigned timeout_ms;
        unsigned grace_days;
        enum settings_when lapse;     /* of unpaid and canceled */
        enum settings_when downgrade; /* to a smaller tier that is paid */
        enum settings_taken_back on_refund, on_dispute;
        unsigned reconcile_ms;     /* between two readings of a customer */
        unsigned reads_per_second; /* of this node */
    } payment;
    struct {
        const char *name;    /* UTF-8; "" as long as mail.from is empty too */
        const char *support; /* base/mailbox.h parses it; "": mail.reply_to */
        const char *documentation_url, *endpoint;
        const char *logo_file;            /* .svg or .png; "": none */
        const char *colour, *colour_dark; /* "#rrggbb" or "" */
        const char
            *header; /* "X-API-Key", "Authorization: Bearer": name, and what precedes a key */
    } product;
    struct {
        const char *url; /* smtps://, smtp:// (STARTTLS) or maildir:/path; "": no mail */
        const char *from, *reply_to; /* base/mailbox.h parses them */
        const char *templates;       /* a folder; "": the built-in ones */
        const char *language;        /* a tag, "de-AT" */
        const char *ca_file, *username, *password_file;
        enum settings_mail_auth auth;
        unsigned connections, queue;
        unsigned connect_timeout_ms, answer_timeout_ms, timeout_ms;
    } mail;
    struct {
        unsigned max_wait_ms; /* a call not committed by then gets 503 */
        unsigned keys;        /* keys held in memory */
        unsigned queue;       /* calls waiting for a batch, past it 503 */
        bool x_ratelimit;     /* X-RateLimit-* beside RateLimit */
    } metering;
    struct {
        const char *master_key_file, *pepper_file;
    } keys;
    struct {
        const char *base_url; /* of claim links: https://host, without a slash at its end; or "" */
        unsigned link_lifetime_ms, session_lifetime_ms; /* of a visit */
    } portal;
    struct {
        const char *base_url; /* of links to the dashboard; "": listen.api */
    } admin;
    struct {
        enum settings_automatic automatic; /* settings_rotates() says what comes of it */
        unsigned per_minute;               /* notices and rotations, of this node */
    } rotation;
    struct {
        enum settings_log_level level;
        bool requests;     /* a line for each management request of a token */
        unsigned refusals; /* lines a second for those who are nobody, 0: none */
    } log;
    struct {
        unsigned connections, connections_per_address;
        unsigned pipelined; /* requests in flight on one connection */
        unsigned head_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
        unsigned drain_ms; /* after SIGTERM */
    } limits;
    struct {
        bool core_dumps; /* a core holds secrets: only where none are real */
    } debug;
    struct arena memory; /* of the texts */
};

/* Defaults, then the file and the *.conf files of the folder "conf.d" beside it in the order of
 * their names, then `sets` ("section.key=value"). path NULL: SETTINGS_FILE, which may be absent; a
 * path given must exist. ERR_INVALID with a text naming file, line, setting and what is allowed;
 * ERR_IO; ERR_NO_MEMORY. *out is to be given to settings_done in any case. */
MUST_USE enum err settings_load(struct settings *out, const char *path, const char *const *sets,
                                size_t set_count, char error[SETTINGS_ERROR_SIZE]);
/* One more override, before anybody holds the settings: for `dev`. */
MUST_USE enum err settings_set(struct settings *settings, const char *assignment,
                               char error[SETTINGS_ERROR_SIZE]);
void settings_done(struct settings *settings);
/* Rotations are done as they come due, and not only when asked. */
bool settings_rotates(const struct settings *settings);
/* The whole as an INI file with each setting's help, for `keymeterd config show`. */
void settings_write(const struct settings *settings, FILE *out);

#endif
