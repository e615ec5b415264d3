/* keymeterd admin invite: the way to the first admin, and back in when all others are lost. Called
 * by main.c and dev.c on the main thread, with a connection of its own. */
#include "tools.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/secret.h"
#include "conf/settings.h"
#include "core/admin_role.h"
#include "crypto/keyring.h"
#include "service/admin_join.h"
#include "startup.h"
#include "store/admin.h"
#include "store/feed.h"

#include <stdio.h>

static enum err invite_insert_run(struct db *db, const void *row, int64_t now_ms)
{
    (void)now_ms;
    return admin_invite_insert(db, row);
}

static enum err invite_withdraw_run(struct db *db, const void *row, int64_t now_ms)
{
    const struct admin_invite_row *invite = row;
    return admin_invite_use(db, invite->id, now_ms);
}

static enum err change_invite(struct db *db, const struct admin_invite_row *row, bool withdraw)
{
    char detail[64];
    struct feed_row feed = {.kind = FEED_START};
    struct tool_change change = {.run = withdraw ? invite_withdraw_run : invite_insert_run,
                                 .row = row,
                                 .feed = &feed,
                                 .action = withdraw ? "admin.invite_withdrawn" : "admin.invite",
                                 .subject = "admin",
                                 .detail = detail};
    snprintf(detail, sizeof detail, "{\"role\":\"%s\"}", admin_role_name(row->role));
    return tool_change_make(db, &change, clock_wall_ms());
}

static enum err make_invite(struct db *db, const struct keyring *keyring,
                            struct admin_invite_row *row, struct secret **link)
{
    snprintf(row->created_by, sizeof row->created_by, "cli");
    enum err result = admin_invite_make(keyring, clock_wall_ms(), row, link);
    if (result) return result;
    result = change_invite(db, row, false);
    if (result) secret_free(link);
    return result;
}

enum err tool_make_invite(struct db *db, const struct keyring *keyring, enum admin_role role,
                          struct secret **link)
{
    struct admin_invite_row row = {.role = role};
    return make_invite(db, keyring, &row, link);
}

void tool_invite_address(struct buf *out, const struct settings *settings, const char *api,
                         const struct secret *link)
{
    const char *base = settings->admin.base_url;
    buf_printf(out, "%s%s/" ADMIN_INVITE_PATH "%s", base[0] ? "" : "http://", base[0] ? base : api,
               link->text);
}

/* A link that nobody has seen opens nothing. */
static enum err show_invite(struct db *db, const struct settings *settings,
                            const struct admin_invite_row *row, const struct secret *link,
                            char *error)
{
    struct buf address CLEANUP(buf_done) = {.wipe = true};
    tool_invite_address(&address, settings, settings->listen.api, link);
    if (!address.failed && tool_print(buf_span(&address))) {
        fprintf(stderr, "Open this link to become %s; it works once, within two days.\n",
                admin_role_name(row->role));
        return ERR_OK;
    }
    bool withdrawn = change_invite(db, row, true) == ERR_OK;
    snprintf(error, STARTUP_ERROR_SIZE, "the link could not be written to standard output; %s",
             withdrawn ? "it was withdrawn" : "it stands for two days");
    return ERR_IO;
}

enum exit_code tool_admin_invite(const struct settings *settings, const char *role_name)
{
    char error[STARTUP_ERROR_SIZE] = "";
    struct admin_invite_row row = {.role = ADMIN_OWNER};
    struct startup_database database;
    struct db *db = NULL;
    struct keyring *keyring = NULL;
    struct secret *link = NULL;
    if (role_name && !admin_role_parse(span_text(role_name), &row.role)) {
        fputs("keymeterd: --role takes owner, admin, support or auditor\n", stderr);
        return EXIT_CODE_USAGE;
    }
    enum err result = startup_database_init(&database, settings, error);
    if (!result) result = startup_open(&db, &database, error);
    if (!result) result = startup_keyring(&keyring, db, settings, error);
    if (!result) {
        result = make_invite(db, keyring, &row, &link);
        if (result)
            snprintf(error, sizeof error, "the link was not made: %.200s", db_error_text(db));
    }
    if (!result) result = show_invite(db, settings, &row, link, error);
    if (result) fprintf(stderr, "keymeterd: %s\n", error[0] ? error : err_name(result));
    secret_free(&link);
    keyring_free(&keyring);
    db_close(&db);
    startup_database_done(&database);
    return result ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
