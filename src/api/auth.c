/* Who calls. Called by the routing (api/routes.c) before each handler, on the loop thread. What
 * always holds: no handler of a route with a scope runs before the token was found live and has
 * that scope; texts with wrong check digits never reach a table or the database, and a token's text
 * is never logged. */
#include "api/auth.h"

#include "api/problem.h"
#include "api/request.h"
#include "api/request_log.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "service/context.h"
#include "service/token_cache.h"

/* A call whose token is being looked up; in the request's arena. */
struct auth_wait {
    struct token_look look;
    struct http_request *request;
    unsigned any_of;
    http_handler *handler;
};

const struct caller *caller_of(const struct http_request *request)
{
    return request->user;
}

bool caller_has(const struct caller *caller, unsigned any_of)
{
    return !any_of || (caller->scopes & (any_of | (unsigned)SCOPE_ADMIN)) != 0;
}

/* The text behind "Bearer ", or empty. */
static struct span bearer_text(const struct http_request *request)
{
    struct span value = http_header(request, "authorization");
    if (http_header_count(request, "authorization") != 1 || value.length < 8 ||
        !span_is_nocase((struct span){value.data, 7}, "bearer "))
        return (struct span){0};
    value.data += 7;
    value.length -= 7;
    while (value.length && value.data[0] == ' ') {
        value.data++;
        value.length--;
    }
    return value;
}

static void token_failed(const struct http_request *request, enum auth_reason reason)
{
    auth_failed(request, AUTH_API, reason, bearer_text(request), NULL);
}

/* Why not, or NULL with the hash in place. */
static const char *token_read(const struct http_request *request, unsigned char hash[32])
{
    struct span text = bearer_text(request);
    struct api_key_parts parts;
    if (!text.length) {
        token_failed(request, AUTH_MISSING);
        return "Send the service token as `Authorization: Bearer kmt_…`.";
    }
    if (!api_key_parse(text, &parts) || !parts.is_token) {
        token_failed(request, AUTH_MALFORMED);
        return "That is no service token: its form or its check digits are wrong.";
    }
    key_hash(request_service(request)->keyring, text, hash);
    return NULL;
}

static void problem_unauthenticated(struct problem *problem, const char *detail)
{
    enum err denied = problem_set(problem, 401, "unauthenticated", "%s", detail);
    (void)denied;
}

/* Puts the caller into the request. False: the problem is set. */
static bool caller_admit(struct http_request *request, unsigned any_of,
                         const struct token_entry *entry, struct problem *problem)
{
    struct caller *caller = ARENA_NEW(&request->arena, struct caller);
    if (caller) {
        *caller = (struct caller){.token_id = entry->id, .scopes = entry->scopes};
        memcpy(caller->hash, entry->hash, sizeof caller->hash);
        if (entry->permissions)
            caller->permissions = arena_copy(&request->arena, span_text(entry->permissions));
    }
    if (!caller || (entry->permissions && !caller->permissions)) {
        problem_for_error(ERR_NO_MEMORY, problem);
        return false;
    }
    request->user = caller;
    if (caller_has(caller, any_of)) return true;
    char names[SCOPES_TEXT_SIZE];
    scopes_format(any_of, names);
    enum err denied = problem_set(problem, 403, "scope_required",
                                  "This call needs a token with one of these scopes: %s%s.", names,
                                  any_of & (unsigned)SCOPE_ADMIN ? "" : " admin");
    (void)denied;
    return false;
}

static void look_done(struct token_look *look, const struct token_entry *entry, enum err error)
{
    struct auth_wait *wait = CONTAINER_OF(look, struct auth_wait, look);
    struct http_request *request = wait->request;
    struct problem problem = {0};
    if (error == ERR_NOT_FOUND) {
        token_failed(request, AUTH_UNKNOWN);
        problem_unauthenticated(&problem, "The token is unknown, expired or revoked.");
    } else if (error != ERR_OK)
        problem_for_error(error, &problem);
    else if (caller_admit(request, wait->any_of, entry, &problem)) {
        /* The handler answers or keeps the request; a verdict is due only inside a dispatch. */
        struct verdict verdict = wait->handler(request);
        (void)verdict;
        return;
    }
    problem_finish(request, &problem);
}

static struct verdict auth_look(struct http_request *request, unsigned any_of,
                                http_handler *handler, const unsigned char hash[32])
{
    struct auth_wait *wait = ARENA_NEW(&request->arena, struct auth_wait);
    if (!wait) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    wait->request = request;
    wait->any_of = any_of;
    wait->handler = handler;
    wait->look.done = look_done;
    memcpy(wait->look.hash, hash, sizeof wait->look.hash);
    enum err error = token_cache_look(request_service(request)->tokens, &wait->look);
    if (error != ERR_OK) return problem_reply_error(request, error, NULL);
    return http_pending(request);
}

struct verdict auth_run(struct http_request *request, unsigned any_of, http_handler *handler)
{
    unsigned char hash[KEY_HASH_SIZE];
    struct problem problem = {0};
    const char *wrong = token_read(request, hash);
    if (wrong) {
        problem_unauthenticated(&problem, wrong);
        return problem_reply(request, &problem);
    }
    const struct token_entry *entry = token_cache_find(request_service(request)->tokens, hash);
    if (!entry) return auth_look(request, any_of, handler, hash);
    if (!caller_admit(request, any_of, entry, &problem)) return problem_reply(request, &problem);
    return handler(request);
}

void auth_token_revoked(const struct http_request *request)
{
    token_failed(request, AUTH_REVOKED);
}

struct verdict auth_none(struct http_request *request, http_handler *handler)
{
    static struct caller nobody;
    request->user = &nobody;
    return handler(request);
}
