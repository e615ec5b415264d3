/* Sign-in. The password is looked at by a job of the pool for passwords, because that takes 70 ms
 * and 64 MiB; what follows is an operation on the committer's thread. What always holds: an address
 * that nobody has takes as long as one that somebody has; the admin's row is read again under its
 * lock, so that a password changed meanwhile lets nobody in; each try leaves an audit row. */
#include "service/admin_sign_in.h"

#include "base/codec.h"
#include "crypto/envelope.h"
#include "crypto/key_hash.h"
#include "crypto/totp.h"
#include "service/context.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>

static const int64_t SESSION_MS = INT64_C(7) * 86400 * 1000;
static const int64_t WAITING_MS = INT64_C(5) * 60 * 1000;

/* ---- sessions ---- */

static void agent_copy(char out[ADMIN_AGENT_MAX + 1], const char *agent)
{
    size_t length = 0;
    for (const char *at = agent ? agent : ""; *at && length < ADMIN_AGENT_MAX; at++)
        if (*at >= ' ' && *at <= '~') out[length++] = *at;
    out[length] = '\0';
}

enum err admin_session_begin(struct db *db, const struct operation *operation,
                             const struct admin_row *admin, const struct admin_session_start *start)
{
    struct admin_session_row row = {
        .id = id_new(),
        .admin_id = admin->id,
        .waiting = start->waiting,
        .created_at = operation->now_ms,
        .seen_at = operation->now_ms,
        .ends_at = operation->now_ms + (start->waiting ? WAITING_MS : SESSION_MS),
    };
    agent_copy(row.agent, start->agent);
    snprintf(row.address, sizeof row.address, "%s", operation->address);
    key_hash(operation->service->keyring, secret_span(start->session), row.hash);
    return admin_session_insert(db, &row);
}

enum err admin_totp_open(const struct operation *operation, const struct admin_row *admin,
                         struct buf *secret)
{
    if (!admin->totp_length) return ERR_NOT_FOUND;
    return envelope_open(operation->service->keyring, "admin.totp", admin->id,
                         span_of(admin->totp_sealed, admin->totp_length), secret);
}

/* ---- the password ---- */

static enum err password_run(struct db *db, struct db_job *job)
{
    struct admin_sign_in *sign_in = CONTAINER_OF(job, struct admin_sign_in, job);
    char email[ADMIN_EMAIL_MAX + 1];
    size_t length = 0;
    arena_done(&sign_in->arena);
    for (const char *at = sign_in->email; *at && length < ADMIN_EMAIL_MAX; at++)
        email[length++] = (char)tolower((unsigned char)*at);
    enum err error = admin_find_email(db, span_of(email, length), &sign_in->arena, &sign_in->admin);
    if (error && error != ERR_NOT_FOUND) return error;
    bool known = !error && !sign_in->admin.disabled_at;
    if (error) sign_in->admin = (struct admin_row){0};
    bool fits =
        password_fits(known ? sign_in->admin.password : NULL, secret_span(sign_in->password));
    sign_in->fits = fits && known;
    return ERR_OK;
}

/* ---- the operation ---- */

static enum err failed(struct operation *operation, uint64_t admin_id, const char *detail)
{
    char subject[ID_TEXT_SIZE] = "admin";
    if (admin_id) id_format(subject, "adm", admin_id);
    snprintf(operation->actor, sizeof operation->actor, "anonymous");
    operation_audit(operation, "admin.sign_in_failed", subject, 0, detail);
    return ERR_OK;
}

static enum err sign_in_run(struct db *db, struct operation *operation)
{
    struct admin_sign_in *sign_in = CONTAINER_OF(operation, struct admin_sign_in, operation);
    struct admin_row row;
    char password[PASSWORD_HASH_SIZE];
    uint64_t id = sign_in->admin.id;
    sign_in->wrong = !sign_in->fits;
    if (sign_in->wrong) return failed(operation, id, "{\"reason\":\"password\"}");
    memcpy(password, sign_in->admin.password, sizeof password);
    enum err error = admin_lock(db, id, &sign_in->arena, &row);
    if (error && error != ERR_NOT_FOUND) return error;
    sign_in->wrong = error || row.disabled_at || strcmp(row.password, password) != 0;
    if (sign_in->wrong) return failed(operation, id, "{\"reason\":\"changed\"}");
    id_format(operation->actor, "adm", id);
    sign_in->start.waiting = row.totp_length != 0;
    error = admin_session_begin(db, operation, &row, &sign_in->start);
    if (error) return error;
    operation_audit(operation, row.totp_length ? "admin.password_given" : "admin.sign_in",
                    operation->actor, 0, NULL);
    if (row.totp_length) return ERR_OK;
    row.signed_in_at = operation->now_ms;
    return admin_update(db, &row);
}

static void sign_in_finished(struct operation *operation, enum err error)
{
    struct admin_sign_in *sign_in = CONTAINER_OF(operation, struct admin_sign_in, operation);
    sign_in->done(sign_in, error);
}

static void password_done(struct db_job *job, enum err error)
{
    struct admin_sign_in *sign_in = CONTAINER_OF(job, struct admin_sign_in, job);
    if (!error) error = operation_submit(&sign_in->operation);
    if (error) sign_in->done(sign_in, error);
}

enum err admin_sign_in_submit(struct admin_sign_in *sign_in)
{
    sign_in->operation.run = sign_in_run;
    sign_in->operation.done = sign_in_finished;
    sign_in->job = (struct db_job){.run = password_run, .done = password_done};
    return db_submit(sign_in->operation.service->passwords, &sign_in->job);
}

void admin_sign_in_done(struct admin_sign_in *sign_in)
{
    secret_free(&sign_in->password);
    secret_free(&sign_in->start.session);
    arena_done(&sign_in->arena);
}

/* ---- the code ---- */

static enum err code_fits(struct admin_code *code, struct admin_row *row, bool *fits)
{
    struct buf secret CLEANUP(buf_done) = {.wipe = true};
    enum err error = admin_totp_open(&code->operation, row, &secret);
    if (error) return error;
    *fits = totp_fits(buf_span(&secret), span_text(code->code), code->operation.now_ms,
                      &row->totp_step);
    return ERR_OK;
}

static enum err code_run(struct db *db, struct operation *operation)
{
    struct admin_code *code = CONTAINER_OF(operation, struct admin_code, operation);
    struct admin_row row;
    bool fits = false;
    arena_done(&code->arena);
    enum err error = admin_lock(db, code->admin_id, &code->arena, &row);
    if (!error) error = code_fits(code, &row, &fits);
    if (error && error != ERR_NOT_FOUND) return error;
    code->wrong = error || !fits || row.disabled_at;
    if (code->wrong) return failed(operation, code->admin_id, "{\"reason\":\"code\"}");
    id_format(operation->actor, "adm", row.id);
    row.signed_in_at = operation->now_ms;
    error = admin_session_delete(db, row.id, code->session_id);
    if (error == ERR_NOT_FOUND)
        return problem_set(&operation->problem, 409, "session_ended",
                           "This sign-in has ended; begin anew.");
    if (!error) error = admin_session_begin(db, operation, &row, &code->start);
    if (!error) error = admin_update(db, &row);
    operation_audit(operation, "admin.sign_in", operation->actor, 0, "{\"second_factor\":true}");
    return error;
}

static void code_finished(struct operation *operation, enum err error)
{
    struct admin_code *code = CONTAINER_OF(operation, struct admin_code, operation);
    code->done(code, error);
}

enum err admin_code_submit(struct admin_code *code)
{
    code->operation.run = code_run;
    code->operation.done = code_finished;
    return operation_submit(&code->operation);
}

void admin_code_done(struct admin_code *code)
{
    secret_free(&code->start.session);
    arena_done(&code->arena);
}
