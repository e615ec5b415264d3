/* migrate and token create: what an operator runs before or beside the daemon. Called by main.c and
 * dev.c on the main thread, each with a connection of its own. */
#include "tools.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/plain_text.h"
#include "base/secret.h"
#include "conf/settings.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "service/mail_template.h"
#include "startup.h"
#include "store/feed.h"
#include "store/migrate.h"
#include "store/token.h"

#include <stdio.h>
#include <string.h>

enum { CHANGE_TRIES = 5 };

static enum exit_code fail(const char *error)
{
    fprintf(stderr, "keymeterd: %s\n", error);
    return EXIT_CODE_FAILED;
}

static void show_steps(const struct migrate_state *state)
{
    for (size_t i = 0; i < state->count; i++) {
        char at[TIME_TEXT_SIZE] = "-";
        if (state->steps[i].applied_at) time_format(at, state->steps[i].applied_at);
        printf("%4u  %-40s %s\n", state->steps[i].version, state->steps[i].name,
               state->steps[i].applied ? at : "not applied");
    }
}

/* The shared part of both verbs: a connection without a look at the schema's version. */
static enum exit_code with_migrations(const struct settings *settings,
                                      enum err (*work)(struct db *db, struct migrate_state *state))
{
    char error[STARTUP_ERROR_SIZE] = "";
    struct startup_database database;
    struct db *db = NULL;
    struct migrate_state state = {0};
    enum err result = startup_database_init(&database, settings, error);
    if (!result) {
        result = db_open(&db, &database.config);
        if (result)
            snprintf(error, sizeof error, "no connection to the database: %.200s",
                     db ? db_error_text(db) : err_name(result));
    }
    if (!result) {
        result = work(db, &state);
        if (result)
            snprintf(error, sizeof error, "%.250s",
                     state.error[0] ? state.error : db_error_text(db));
        else
            show_steps(&state);
    }
    db_close(&db);
    startup_database_done(&database);
    if (result) return fail(error[0] ? error : err_name(result));
    return state.applied == state.newest ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static enum err migrate_up_now(struct db *db, struct migrate_state *state)
{
    return migrate_up(db, clock_wall_ms(), state);
}

enum exit_code tool_migrate_up(const struct settings *settings)
{
    char error[STARTUP_ERROR_SIZE] = "";
    struct startup_database database;
    enum err result = startup_database_init(&database, settings, error);
    if (result) return fail(error);
    result = migrate_create_database(&database.config, error);
    startup_database_done(&database);
    if (result == ERR_INVALID) return fail(error); /* it cannot be a name */
    /* It may be refused where the schema stands already: then the next step tells. */
    return with_migrations(settings, migrate_up_now);
}

enum exit_code tool_migrate_status(const struct settings *settings)
{
    return with_migrations(settings, migrate_status);
}

enum exit_code tool_templates_check(const struct settings *settings)
{
    struct mail_templates *templates;
    const char *const *faults;
    if (mail_templates_new(&templates, settings->mail.templates)) return fail("no memory");
    size_t count = mail_templates_faults(templates, &faults);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "keymeterd: %s\n", faults[i]);
    mail_templates_free(&templates);
    return count ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

/* ---- what a tool changes and shows ---- */

static enum err change_once(struct db *db, const struct tool_change *change, int64_t now_ms)
{
    struct audit_row audit = {.id = id_new(), .at = now_ms, .detail = change->detail};
    snprintf(audit.actor, sizeof audit.actor, "cli");
    snprintf(audit.action, sizeof audit.action, "%s", change->action);
    snprintf(audit.subject, sizeof audit.subject, "%s", change->subject);
    enum err result = db_begin(db);
    if (!result) result = change->run(db, change->row, now_ms);
    if (!result) result = feed_append(db, now_ms, change->feed, 1, &audit, 1, NULL, NULL);
    if (!result) return db_commit(db);
    db_rollback(db);
    return result;
}

enum err tool_change_make(struct db *db, const struct tool_change *change, int64_t now_ms)
{
    enum err result = ERR_DB_RETRY;
    for (unsigned tries = 0; tries < CHANGE_TRIES && result == ERR_DB_RETRY; tries++)
        result = change_once(db, change, now_ms);
    return result;
}

bool tool_print(struct span line)
{
    return printf("%.*s\n", (int)line.length, line.data) > 0 && fflush(stdout) == 0;
}

/* ---- tokens ---- */

static enum err token_insert_run(struct db *db, const void *row, int64_t now_ms)
{
    (void)now_ms;
    return token_insert(db, row);
}

static enum err token_revoke_run(struct db *db, const void *row, int64_t now_ms)
{
    const struct token_row *token = row;
    bool changed;
    return token_revoke(db, token->id, now_ms, &changed);
}

/* The actions are named as the API's. */
static enum err change_token(struct db *db, const struct token_row *row, bool revoke)
{
    char subject[ID_TEXT_SIZE];
    struct feed_row feed = {.kind = FEED_TOKEN, .subject = row->id};
    struct tool_change change = {.run = revoke ? token_revoke_run : token_insert_run,
                                 .row = row,
                                 .feed = &feed,
                                 .action = revoke ? "token.revoke" : "token.create",
                                 .subject = subject};
    id_format(subject, "tok", row->id);
    return tool_change_make(db, &change, clock_wall_ms());
}

enum err tool_make_token(struct db *db, const struct keyring *keyring, const char *name,
                         unsigned scopes, struct secret **secret, uint64_t *id)
{
    *secret = secret_new(API_KEY_TEXT_SIZE);
    if (!*secret) return ERR_NO_MEMORY;
    (*secret)->length = api_key_make(API_LABEL_TOKEN, (*secret)->text);
    struct token_row row = {
        .id = id_new(), .name = name, .scopes = scopes, .created_at = clock_wall_ms()};
    key_hash(keyring, secret_span(*secret), row.hash);
    api_key_start(secret_span(*secret), row.start);
    enum err result = change_token(db, &row, false);
    if (result) secret_free(secret);
    *id = row.id;
    return result;
}

/* A token that nobody has seen is of no use to anybody. */
static enum err show_token(struct db *db, uint64_t id, const struct secret *secret, char *error)
{
    char text[ID_TEXT_SIZE];
    id_format(text, "tok", id);
    if (tool_print(secret_span(secret))) {
        fprintf(stderr, "%s: keep the token, it is shown only now\n", text);
        return ERR_OK;
    }
    const struct token_row row = {.id = id};
    bool revoked = change_token(db, &row, true) == ERR_OK;
    snprintf(error, STARTUP_ERROR_SIZE, "the token could not be written to standard output; %s%s",
             revoked ? "it was revoked: " : "it stands; revoke it: keymeter tokens revoke ", text);
    return ERR_IO;
}

/* As the API takes one. */
static bool is_name(const char *text)
{
    struct span span = span_text(text);
    if (!text_is_utf8(span)) return false;
    struct plain_text seen = plain_text_check(span, false);
    return seen.wrong_at == 0 && seen.length >= 1 && seen.length <= TOKEN_NAME_MAX;
}

enum exit_code tool_token_create(const struct settings *settings, const char *name,
                                 const char *scopes)
{
    unsigned mask = scopes_parse(span_text(scopes));
    if (!mask) {
        fprintf(stderr, "keymeterd: --scope takes admin, billing, issue, portal, read, verify, "
                        "several with commas between\n");
        return EXIT_CODE_USAGE;
    }
    if (!is_name(name)) {
        fprintf(stderr, "keymeterd: --name takes 1 to %d characters, no controls among them\n",
                TOKEN_NAME_MAX);
        return EXIT_CODE_USAGE;
    }
    char error[STARTUP_ERROR_SIZE] = "";
    struct startup_database database;
    struct db *db = NULL;
    struct keyring *keyring = NULL;
    struct secret *secret = NULL;
    uint64_t id = 0;
    enum err result = startup_database_init(&database, settings, error);
    if (!result) result = startup_open(&db, &database, error);
    if (!result) result = startup_keyring(&keyring, db, settings, error);
    if (!result) {
        result = tool_make_token(db, keyring, name, mask, &secret, &id);
        if (result)
            snprintf(error, sizeof error, "the token was not made: %.200s", db_error_text(db));
    }
    if (!result) result = show_token(db, id, secret, error);
    secret_free(&secret);
    keyring_free(&keyring);
    db_close(&db);
    startup_database_done(&database);
    return result ? fail(error[0] ? error : err_name(result)) : EXIT_CODE_OK;
}
