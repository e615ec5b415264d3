/* The last look at the caller's token. Called by the verify calls when the feed read of their batch
 * is through; loop thread. What always holds: a token whose revocation was answered before a call
 * began gets nothing but 401, and a token that was not touched costs nothing here. */
#include "api/verify_gate.h"

#include "api/auth.h"
#include "api/request.h"
#include "service/context.h"

void verify_gate_enter(struct verify_gate *gate, struct http_request *request)
{
    gate->request = request;
    gate->tokens = token_cache_generation(request_service(request)->tokens);
    gate->token_id = caller_of(request)->token_id;
}

static void on_token_looked(struct token_look *look, const struct token_entry *entry,
                            enum err error)
{
    struct verify_gate *gate = CONTAINER_OF(look, struct verify_gate, look);
    struct problem problem = {0};
    struct buf answer = gate->answer; /* the request takes its memory along when it is answered */
    if (entry) {
        finish_json(gate->request, 200, &answer);
    } else {
        if (error == ERR_NOT_FOUND) {
            auth_token_revoked(gate->request);
            error = problem_set(&problem, 401, "unauthenticated", "The token was revoked.");
        }
        problem_finish_error(gate->request, error, &problem);
    }
    buf_done(&answer);
}

/* The feed named the caller's token since it was let in: it was made, or it was revoked. */
static void token_look_again(struct verify_gate *gate)
{
    gate->look.done = on_token_looked;
    memcpy(gate->look.hash, caller_of(gate->request)->hash, sizeof gate->look.hash);
    enum err error = token_cache_look(request_service(gate->request)->tokens, &gate->look);
    if (!error) return;
    buf_done(&gate->answer);
    problem_finish_error(gate->request, error, NULL);
}

void verify_gate_finish(struct verify_gate *gate, struct buf *answer)
{
    const struct token_cache *tokens = request_service(gate->request)->tokens;
    if (!token_cache_changed_since(tokens, gate->tokens, gate->token_id)) {
        finish_json(gate->request, 200, answer);
        buf_done(answer);
        return;
    }
    gate->answer = *answer;
    *answer = (struct buf){0};
    token_look_again(gate);
}
