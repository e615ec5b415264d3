/* Invitations. Hashing the password is a job of the pool for passwords, the rest operations on the
 * committer's thread. What always holds: a link is used once, in the transaction that makes the
 * admin; only its keyed hash is stored; a password that is set anew ends all sessions and the
 * second factor with it. */
#include "service/admin_join.h"

#include "base/codec.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/context.h"

#include <ctype.h>
#include <stdio.h>

enum err admin_invite_make(const struct keyring *keyring, int64_t now_ms,
                           struct admin_invite_row *row, struct secret **link)
{
    row->id = id_new();
    row->created_at = now_ms;
    row->expires_at = now_ms + ADMIN_INVITE_MS;
    secret_free(link);
    *link = secret_new(API_KEY_TEXT_SIZE);
    if (!*link) return ERR_NO_MEMORY;
    (*link)->length = api_key_make(ADMIN_INVITE_LABEL, (*link)->text);
    key_hash(keyring, secret_span(*link), row->hash);
    return ERR_OK;
}

/* ---- making a link ---- */

static enum err invite_run(struct db *db, struct operation *operation)
{
    struct admin_invite *invite = CONTAINER_OF(operation, struct admin_invite, operation);
    struct admin_invite_row row = {.role = invite->role, .admin_id = invite->admin_id};
    struct admin_row admin;
    char subject[ID_TEXT_SIZE] = "admin", detail[64];
    arena_done(&invite->arena);
    if (invite->admin_id) {
        enum err found = admin_lock(db, invite->admin_id, &invite->arena, &admin);
        if (found) return found;
        row.role = admin.role;
        id_format(subject, "adm", admin.id);
    }
    snprintf(row.created_by, sizeof row.created_by, "%s", operation->actor);
    enum err error =
        admin_invite_make(operation->service->keyring, operation->now_ms, &row, &invite->link);
    if (!error) error = admin_invite_insert(db, &row);
    snprintf(detail, sizeof detail, "{\"role\":\"%s\"}", admin_role_name(row.role));
    const char *text = arena_copy(&invite->arena, span_text(detail));
    operation_audit(operation, invite->admin_id ? "admin.reset_link" : "admin.invite", subject, 0,
                    text);
    return error;
}

static void invite_finished(struct operation *operation, enum err error)
{
    struct admin_invite *invite = CONTAINER_OF(operation, struct admin_invite, operation);
    invite->done(invite, error);
}

enum err admin_invite_submit(struct admin_invite *invite)
{
    invite->operation.run = invite_run;
    invite->operation.done = invite_finished;
    return operation_submit(&invite->operation);
}

void admin_invite_done(struct admin_invite *invite)
{
    secret_free(&invite->link);
    arena_done(&invite->arena);
}

/* ---- using one ---- */

static enum err hash_run(struct db *db, struct db_job *job)
{
    struct admin_join *join = CONTAINER_OF(job, struct admin_join, job);
    (void)db;
    return password_hash(secret_span(join->password), join->password_hash);
}

static enum err link_gone(struct operation *operation)
{
    return problem_set(&operation->problem, 404, "not_found",
                       "This link was used before, or has ended. Ask for a new one.");
}

static enum err admin_make(struct db *db, struct admin_join *join, enum admin_role role,
                           struct admin_row *row)
{
    int64_t now_ms = join->operation.now_ms;
    char *email = arena_copy(&join->arena, span_text(join->email));
    if (!email) return ERR_NO_MEMORY;
    for (char *at = email; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    *row = (struct admin_row){.id = id_new(),
                              .email = email,
                              .name = join->name,
                              .role = role,
                              .signed_in_at = now_ms,
                              .created_at = now_ms,
                              .updated_at = now_ms};
    memcpy(row->password, join->password_hash, sizeof row->password);
    enum err error = admin_insert(db, row);
    if (error != ERR_EXISTS) return error;
    return problem_set(&join->operation.problem, 409, "admin_exists",
                       "There is an admin with this address: sign in, or ask an owner for a link "
                       "that sets the password anew.");
}

static enum err password_set(struct db *db, struct admin_join *join, uint64_t admin_id,
                             struct admin_row *row)
{
    enum err error = admin_lock(db, admin_id, &join->arena, row);
    if (error) return error;
    memcpy(row->password, join->password_hash, sizeof row->password);
    row->totp_length = 0;
    row->signed_in_at = row->updated_at = join->operation.now_ms;
    error = admin_update(db, row);
    if (!error) error = admin_invite_end_for(db, admin_id, join->operation.now_ms);
    return error ? error : admin_session_delete_all(db, admin_id, 0);
}

static enum err join_run(struct db *db, struct operation *operation)
{
    struct admin_join *join = CONTAINER_OF(operation, struct admin_join, operation);
    struct admin_invite_row invite;
    struct admin_row row;
    arena_done(&join->arena);
    enum err error = admin_invite_find(db, join->hash, operation->now_ms, &invite);
    if (!error) error = admin_invite_use(db, invite.id, operation->now_ms);
    if (error == ERR_NOT_FOUND) return link_gone(operation);
    if (!error && invite.admin_id)
        error = password_set(db, join, invite.admin_id, &row);
    else if (!error && join->email && join->name)
        error = admin_make(db, join, invite.role, &row);
    else if (!error)
        return problem_set(&operation->problem, 422, "validation_failed",
                           "A new admin needs a name and an address.");
    if (error == ERR_NOT_FOUND) return link_gone(operation);
    if (error) return error;
    if (row.disabled_at)
        return problem_set(&operation->problem, 403, "disabled", "This account is disabled.");
    id_format(operation->actor, "adm", row.id);
    const char *detail = arena_printf(&join->arena, "{\"role\":\"%s\"}", admin_role_name(row.role));
    operation_audit(operation, invite.admin_id ? "admin.password_reset" : "admin.join",
                    operation->actor, 0, detail);
    return admin_session_begin(db, operation, &row, &join->start);
}

static void join_finished(struct operation *operation, enum err error)
{
    struct admin_join *join = CONTAINER_OF(operation, struct admin_join, operation);
    join->done(join, error);
}

static void hash_done(struct db_job *job, enum err error)
{
    struct admin_join *join = CONTAINER_OF(job, struct admin_join, job);
    if (!error) error = operation_submit(&join->operation);
    if (error) join->done(join, error);
}

enum err admin_join_submit(struct admin_join *join)
{
    join->operation.run = join_run;
    join->operation.done = join_finished;
    join->job = (struct db_job){.run = hash_run, .done = hash_done};
    return db_submit(join->operation.service->passwords, &join->job);
}

void admin_join_done(struct admin_join *join)
{
    secret_free(&join->password);
    secret_free(&join->start.session);
    arena_done(&join->arena);
}
