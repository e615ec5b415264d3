/* migrate and token create: what an operator runs before or beside the daemon. Called by main.c and
 * dev.c on the main thread, each with a connection of its own. */
#include "tools.h"

#include "base/clock.h"
#include "base/codec.h"
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
    /* May be refused where the schema stands already: then the next step tells. */
    if (!result && migrate_create_database(&database.config, error)) error[0] = '\0';
    startup_database_done(&database);
    if (result) return fail(error);
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

static enum err insert_token(struct db *db, const struct token_row *row)
{
    struct feed_row feed = {.kind = FEED_TOKEN, .subject = row->id};
    struct audit_row audit = {.id = id_new(), .at = row->created_at};
    snprintf(audit.actor, sizeof audit.actor, "cli");
    snprintf(audit.action, sizeof audit.action, "token.created");
    id_format(audit.subject, "tok", row->id);
    enum err result = db_begin(db);
    if (!result) result = token_insert(db, row);
    if (!result) result = feed_append(db, row->created_at, &feed, 1, &audit, 1, NULL, NULL);
    if (!result) return db_commit(db);
    db_rollback(db);
    return result;
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
    enum err result = ERR_DB_RETRY;
    for (unsigned tries = 0; tries < 5 && result == ERR_DB_RETRY; tries++)
        result = insert_token(db, &row);
    if (result) secret_free(secret);
    *id = row.id;
    return result;
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
    if (!result) {
        char text[ID_TEXT_SIZE];
        id_format(text, "tok", id);
        fprintf(stderr, "%s: keep the token, it is shown only now\n", text);
        printf("%s\n", secret->text);
    }
    secret_free(&secret);
    keyring_free(&keyring);
    db_close(&db);
    startup_database_done(&database);
    return result ? fail(error[0] ? error : err_name(result)) : EXIT_CODE_OK;
}
