/* Changes of admins. Passwords are looked at and hashed by a job of the pool for passwords, the
 * rest is one operation on the committer's thread. What always holds: one owner who can sign in
 * remains; who is disabled is signed out, and the links of who may appoint nobody any more open
 * nothing; each change leaves an audit row. */
#include "service/admin_change.h"

#include "base/codec.h"
#include "crypto/envelope.h"
#include "crypto/totp.h"
#include "service/context.h"

#include <string.h>

/* ---- the password, off the loop ---- */

static enum err password_run(struct db *db, struct db_job *job)
{
    struct admin_change *change = CONTAINER_OF(job, struct admin_change, job);
    struct admin_row row;
    arena_done(&change->arena);
    enum err error = admin_find(db, change->admin_id, &change->arena, &row);
    if (error) return error;
    change->wrong = !password_fits(row.password, secret_span(change->password));
    memcpy(change->former, row.password, sizeof change->former);
    if (change->wrong || !change->new_password) return ERR_OK;
    return password_hash(secret_span(change->new_password), change->hash);
}

/* ---- the changes ---- */

static enum err keep_an_owner(struct db *db, struct admin_change *change,
                              const struct admin_row *row)
{
    uint64_t owners = 0;
    if (row->role != ADMIN_OWNER || row->disabled_at) return ERR_OK;
    enum err error = admin_owners(db, &owners);
    if (error || owners > 1) return error;
    return problem_set(&change->operation.problem, 409, "last_owner",
                       "This is the only owner who can sign in; make another one first.");
}

/* Else a former owner would come back by a link of their own. */
static enum err links_end(struct db *db, const struct admin_change *change,
                          const struct admin_row *row)
{
    char actor[ID_TEXT_SIZE];
    id_format(actor, "adm", row->id);
    return admin_invite_end_by(db, actor, change->operation.now_ms);
}

static enum err role_set(struct db *db, struct admin_change *change, struct admin_row *row,
                         const char **detail)
{
    if (row->role == change->role) return ERR_OK;
    enum err error = keep_an_owner(db, change, row);
    *detail = arena_printf(&change->arena, "{\"from\":\"%s\",\"to\":\"%s\"}",
                           admin_role_name(row->role), admin_role_name(change->role));
    row->role = change->role;
    if (!error && !admin_role_may(row->role, RIGHT_APPOINT)) error = links_end(db, change, row);
    return error ? error : *detail ? ERR_OK : ERR_NO_MEMORY;
}

static enum err totp_set(struct admin_change *change, struct admin_row *row)
{
    struct buf sealed CLEANUP(buf_done) = {0};
    int64_t step = row->totp_step;
    if (row->totp_length)
        return problem_set(&change->operation.problem, 409, "second_factor_on",
                           "There is a second factor already; switch it off first, with your "
                           "password.");
    change->wrong = !totp_fits(span_text(change->totp_secret), span_text(change->code),
                               change->operation.now_ms, &step);
    if (change->wrong) return ERR_OK;
    enum err error = envelope_seal(change->operation.service->keyring, "admin.totp", row->id,
                                   span_text(change->totp_secret), &sealed);
    if (!error && sealed.length > sizeof row->totp_sealed) error = ERR_INVALID;
    if (error) return error;
    memcpy(row->totp_sealed, sealed.data, sealed.length);
    row->totp_length = sealed.length;
    row->totp_step = step;
    return ERR_OK;
}

static enum err disabled_set(struct db *db, struct admin_change *change, struct admin_row *row)
{
    enum err error = keep_an_owner(db, change, row);
    row->disabled_at = change->operation.now_ms;
    if (!error) error = links_end(db, change, row);
    return error ? error : admin_session_delete_all(db, row->id, 0);
}

/* The password was right for `former`; it still has to be that. */
static enum err still_fits(struct admin_change *change, const struct admin_row *row)
{
    change->wrong = change->wrong || strcmp(row->password, change->former) != 0;
    return ERR_OK;
}

static enum err password_set(struct db *db, struct admin_change *change, struct admin_row *row)
{
    enum err error = still_fits(change, row);
    if (error || change->wrong) return error;
    memcpy(row->password, change->hash, sizeof row->password);
    error = admin_invite_end_for(db, row->id, change->operation.now_ms);
    return error ? error : admin_session_delete_all(db, row->id, change->session_id);
}

static const char *action_of(enum admin_change_kind kind)
{
    switch (kind) {
    case ADMIN_SET_ROLE:
        return "admin.role";
    case ADMIN_DISABLE:
        return "admin.disable";
    case ADMIN_ENABLE:
        return "admin.enable";
    case ADMIN_SET_PASSWORD:
        return "admin.password";
    case ADMIN_TOTP_ON:
        return "admin.second_factor_on";
    case ADMIN_TOTP_OFF:
        return "admin.second_factor_off";
    case ADMIN_SIGN_OUT:
    case ADMIN_SIGN_OUT_ALL:
        return "admin.sign_out";
    case ADMIN_WITHDRAW:
        return "admin.invite_withdrawn";
    }
    return "admin.change";
}

static enum err apply(struct db *db, struct admin_change *change, struct admin_row *row,
                      const char **detail)
{
    switch (change->kind) {
    case ADMIN_SET_ROLE:
        return role_set(db, change, row, detail);
    case ADMIN_DISABLE:
        return disabled_set(db, change, row);
    case ADMIN_ENABLE:
        row->disabled_at = 0;
        return ERR_OK;
    case ADMIN_SET_PASSWORD:
        return password_set(db, change, row);
    case ADMIN_TOTP_ON:
        return totp_set(change, row);
    case ADMIN_TOTP_OFF:
        row->totp_length = 0;
        return still_fits(change, row);
    case ADMIN_SIGN_OUT:
        return admin_session_delete(db, row->id, change->session_id);
    case ADMIN_SIGN_OUT_ALL:
        return admin_session_delete_all(db, row->id, change->session_id);
    case ADMIN_WITHDRAW:
        break;
    }
    return ERR_INVALID;
}

static enum err change_run(struct db *db, struct operation *operation)
{
    struct admin_change *change = CONTAINER_OF(operation, struct admin_change, operation);
    char subject[ID_TEXT_SIZE] = "admin";
    const char *detail = NULL;
    struct admin_row row;
    if (change->kind == ADMIN_WITHDRAW) {
        operation_audit(operation, action_of(change->kind), subject, 0, NULL);
        return admin_invite_use(db, change->invite_id, operation->now_ms);
    }
    arena_done(&change->arena);
    enum err error = admin_lock(db, change->admin_id, &change->arena, &row);
    if (!error) error = apply(db, change, &row, &detail);
    if (error || change->wrong) return error;
    row.updated_at = operation->now_ms;
    id_format(subject, "adm", row.id);
    operation_audit(operation, action_of(change->kind), subject, 0, detail);
    return admin_update(db, &row);
}

static void change_finished(struct operation *operation, enum err error)
{
    struct admin_change *change = CONTAINER_OF(operation, struct admin_change, operation);
    change->done(change, error);
}

static void password_done(struct db_job *job, enum err error)
{
    struct admin_change *change = CONTAINER_OF(job, struct admin_change, job);
    if (!error && !change->wrong) {
        error = operation_submit(&change->operation);
        if (!error) return; /* the committer's from here on */
    }
    change->done(change, error);
}

enum err admin_change_submit(struct admin_change *change)
{
    change->operation.run = change_run;
    change->operation.done = change_finished;
    change->job = (struct db_job){.run = password_run, .done = password_done};
    if (change->kind != ADMIN_SET_PASSWORD && change->kind != ADMIN_TOTP_OFF)
        return operation_submit(&change->operation);
    return db_submit(change->operation.service->passwords, &change->job);
}

void admin_change_done(struct admin_change *change)
{
    secret_free(&change->password);
    secret_free(&change->new_password);
    arena_done(&change->arena);
}
