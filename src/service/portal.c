/* The operations of portal visits. run and admit are on the committer's thread, the rest on the
 * loop. What always holds: a link opens one session, whose text is made at that moment and never
 * one that a browser brought; and each change of a visitor looks for its session in its own
 * transaction. */
#include "service/portal.h"

#include "base/codec.h"
#include "conf/settings.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/context.h"

#include <stdio.h>

/* ---- a new link ---- */

static enum err link_run(struct db *db, struct operation *operation)
{
    struct portal_link *link = CONTAINER_OF(operation, struct portal_link, operation);
    const struct settings *settings = operation->service->settings;
    struct customer_row customer;
    struct portal_session row = {.id = id_new(), .may = link->may, .within = link->within};
    char subject[ID_TEXT_SIZE];
    arena_done(&link->arena);
    enum err error = customer_find(db, &link->customer, &link->arena, &customer);
    if (error == ERR_NOT_FOUND) {
        problem_add_field(&operation->problem, "body.customer_id", "there is no such customer");
        return ERR_DENIED;
    }
    if (error) return error;
    row.customer_id = customer.id;
    row.created_by = operation->actor;
    row.created_at = operation->now_ms;
    row.ends_at = link->expires_at = operation->now_ms + settings->portal.link_lifetime_ms;
    key_hash(operation->service->keyring, secret_span(link->token), row.link_hash);
    error = portal_insert(db, &row);
    id_format(subject, "cus", customer.id);
    operation_audit(operation, "portal.link", subject, customer.id, NULL);
    return error;
}

static void link_finished(struct operation *operation, enum err error)
{
    struct portal_link *link = CONTAINER_OF(operation, struct portal_link, operation);
    link->done(link, error);
}

enum err portal_link_start(struct portal_link *link)
{
    link->token = secret_new(API_KEY_TEXT_SIZE);
    if (!link->token) return ERR_NO_MEMORY;
    link->token->length = api_key_make(PORTAL_LABEL, link->token->text);
    link->operation.run = link_run;
    link->operation.done = link_finished;
    return operation_submit(&link->operation);
}

void portal_link_done(struct portal_link *link)
{
    secret_free(&link->token);
    arena_done(&link->arena);
}

/* ---- opening it ---- */

enum err portal_link_refuse(const struct portal_session *row, int64_t now_ms,
                            struct problem *problem)
{
    if (row->opened_at)
        return problem_set(problem, 409, "link_used",
                           "This link was opened before, and a link opens the page once. Go back "
                           "to where you got it and ask for a new one.");
    if (row->ends_at <= now_ms)
        return problem_set(problem, 409, "link_expired",
                           "This link has expired: it works for a few minutes only. Go back to "
                           "where you got it and ask for a new one.");
    return ERR_OK;
}

static enum err opening_run(struct db *db, struct operation *operation)
{
    struct portal_opening *opening = CONTAINER_OF(operation, struct portal_opening, operation);
    const struct settings *settings = operation->service->settings;
    struct arena arena CLEANUP(arena_done) = {0};
    struct portal_session row;
    struct customer_row customer;
    char subject[ID_TEXT_SIZE];
    int64_t now_ms = operation->now_ms;
    enum err error = portal_find_link(db, opening->link_hash, &row);
    if (!error) error = portal_link_refuse(&row, now_ms, &operation->problem);
    if (!error)
        error =
            customer_lock(db, &(struct customer_name){.id = row.customer_id}, &arena, &customer);
    if (error == ERR_NOT_FOUND)
        return problem_set(&operation->problem, 404, "link_not_found",
                           "There is no such link; copy it whole, or ask for a new one.");
    if (!error)
        error = portal_open(db, opening->link_hash, opening->hash, now_ms,
                            now_ms + settings->portal.session_lifetime_ms);
    if (error == ERR_NOT_FOUND) { /* another one was faster */
        row.opened_at = now_ms;
        return portal_link_refuse(&row, now_ms, &operation->problem);
    }
    if (!error) error = portal_note_first(db, row.customer_id, now_ms, &opening->first);
    id_format(subject, "cus", row.customer_id);
    operation_audit(operation, "portal.open", subject, row.customer_id, NULL);
    return error;
}

static void opening_finished(struct operation *operation, enum err error)
{
    struct portal_opening *opening = CONTAINER_OF(operation, struct portal_opening, operation);
    opening->done(opening, error);
}

enum err portal_opening_start(struct portal_opening *opening)
{
    snprintf(opening->operation.actor, sizeof opening->operation.actor, "portal");
    opening->operation.run = opening_run;
    opening->operation.done = opening_finished;
    return operation_submit(&opening->operation);
}

/* ---- signing out ---- */

static enum err ending_run(struct db *db, struct operation *operation)
{
    const struct portal_ending *ending = CONTAINER_OF(operation, struct portal_ending, operation);
    struct arena arena CLEANUP(arena_done) = {0};
    struct portal_session row;
    char subject[ID_TEXT_SIZE];
    enum err error = portal_find(db, ending->hash, operation->now_ms, false, &arena, &row);
    if (error == ERR_NOT_FOUND) return ERR_OK;
    if (!error)
        error = ending->everywhere ? portal_end_all(db, row.customer_id, operation->now_ms)
                                   : portal_end(db, row.id, operation->now_ms);
    if (error) return error;
    id_format(subject, "cus", row.customer_id);
    operation_audit(operation, "portal.sign_out", subject, row.customer_id,
                    ending->everywhere ? "{\"everywhere\":true}" : NULL);
    return ERR_OK;
}

enum err portal_ending_start(struct portal_ending *ending)
{
    snprintf(ending->operation.actor, sizeof ending->operation.actor, "portal");
    ending->operation.run = ending_run;
    return operation_submit(&ending->operation);
}

/* ---- a visitor's change ---- */

static enum err admit(struct db *db, struct operation *operation)
{
    const struct portal_admission *admission = operation->admit_context;
    struct arena arena CLEANUP(arena_done) = {0};
    struct portal_session row;
    enum err error = portal_find(db, admission->hash, operation->now_ms, true, &arena, &row);
    if (error == ERR_NOT_FOUND || (!error && row.customer_id != admission->customer_id))
        return problem_set(&operation->problem, 401, "session_ended",
                           "Your visit has ended; nothing was done. Ask for a new link.");
    if (error) return error;
    if ((row.may & admission->need) != admission->need)
        return problem_set(&operation->problem, 403, "not_permitted",
                           "The link that you came by does not allow this.");
    error = portal_form_once(db, row.id, admission->form);
    if (error != ERR_EXISTS) return error;
    return problem_set(&operation->problem, 409, "already_done",
                       "This form was sent before and has done its work; it was not done again.");
}

void portal_admit(struct operation *operation, struct portal_admission *admission)
{
    operation->admit = admit;
    operation->admit_context = admission;
    snprintf(operation->actor, sizeof operation->actor, "portal");
}
