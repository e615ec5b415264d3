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

static enum err insert_invite(struct db *db, const struct admin_invite_row *row)
{
    char detail[64];
    struct audit_row audit = {.id = id_new(), .at = row->created_at, .detail = detail};
    struct feed_row feed = {.kind = FEED_START};
    snprintf(audit.actor, sizeof audit.actor, "cli");
    snprintf(audit.action, sizeof audit.action, "admin.invite");
    snprintf(audit.subject, sizeof audit.subject, "admin");
    snprintf(detail, sizeof detail, "{\"role\":\"%s\"}", admin_role_name(row->role));
    enum err result = db_begin(db);
    if (!result) result = admin_invite_insert(db, row);
    if (!result) result = feed_append(db, row->created_at, &feed, 1, &audit, 1, NULL, NULL);
    if (!result) return db_commit(db);
    db_rollback(db);
    return result;
}

enum err tool_make_invite(struct db *db, const struct keyring *keyring, enum admin_role role,
                          struct secret **link)
{
    struct admin_invite_row row = {.role = role};
    snprintf(row.created_by, sizeof row.created_by, "cli");
    enum err result = admin_invite_make(keyring, clock_wall_ms(), &row, link);
    if (result) return result;
    result = ERR_DB_RETRY;
    for (unsigned tries = 0; tries < 5 && result == ERR_DB_RETRY; tries++)
        result = insert_invite(db, &row);
    if (result) secret_free(link);
    return result;
}

void tool_invite_address(struct buf *out, const struct settings *settings, const char *api,
                         const struct secret *link)
{
    const char *base = settings->admin.base_url;
    buf_printf(out, "%s%s/" ADMIN_INVITE_PATH "%s", base[0] ? "" : "http://", base[0] ? base : api,
               link->text);
}

enum exit_code tool_admin_invite(const struct settings *settings, const char *role_name)
{
    char error[STARTUP_ERROR_SIZE] = "";
    enum admin_role role = ADMIN_OWNER;
    struct startup_database database;
    struct db *db = NULL;
    struct keyring *keyring = NULL;
    struct secret *link = NULL;
    if (role_name && !admin_role_parse(span_text(role_name), &role)) {
        fputs("keymeterd: --role takes owner, admin, support or auditor\n", stderr);
        return EXIT_CODE_USAGE;
    }
    enum err result = startup_database_init(&database, settings, error);
    if (!result) result = startup_open(&db, &database, error);
    if (!result) result = startup_keyring(&keyring, db, settings, error);
    if (!result) {
        result = tool_make_invite(db, keyring, role, &link);
        if (result)
            snprintf(error, sizeof error, "the link was not made: %.200s", db_error_text(db));
    }
    if (!result) {
        fprintf(stderr, "Open this link to become %s; it works once, within two days.\n",
                admin_role_name(role));
        struct buf address CLEANUP(buf_done) = {.wipe = true};
        tool_invite_address(&address, settings, settings->listen.api, link);
        printf("%.*s\n", (int)address.length, address.data ? address.data : "");
    } else {
        fprintf(stderr, "keymeterd: %s\n", error[0] ? error : err_name(result));
    }
    secret_free(&link);
    keyring_free(&keyring);
    db_close(&db);
    startup_database_done(&database);
    return result ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
