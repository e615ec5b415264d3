/* `POST /v1/verify`: always 200 with a code, but for errors of the call itself. The service token
 * is looked at again when the batch's feed read is through, so that a revoked one is obeyed at
 * once. Loop thread. */
#include "api/verify.h"

#include "api/auth.h"
#include "api/verify_gate.h"
#include "api/verify_json.h"
#include "service/context.h"

struct verify_request {
    struct verify_call call;
    struct verify_gate gate;
    const char *key;
};

static void on_verified(struct verify_call *call)
{
    struct verify_request *verify = CONTAINER_OF(call, struct verify_request, call);
    if (call->code == VERIFY_UNAVAILABLE) {
        problem_finish_error(verify->gate.request, ERR_FULL, NULL);
        return;
    }
    verify_failed_log(verify->gate.request, call, verify->key);
    struct buf answer = {0};
    verify_write(&answer, call, true);
    verify_gate_finish(&verify->gate, &answer);
}

struct verdict handle_verify(struct http_request *request)
{
    struct service *service = request_service(request);
    struct body body CLEANUP(body_done) = {0};
    if (!body_open(&body, request) || !query_only(request, NULL, &body.problem))
        return problem_reply(request, &body.problem);
    struct verify_request *verify = ARENA_NEW(&request->arena, struct verify_request);
    if (!verify) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!verify_read(&body.fields, &verify->call, &verify->key))
        return problem_reply(request, &body.problem);
    if (!verify_hash(request, verify->key, &verify->call)) {
        struct buf out = {0};
        verify_write(&out, &verify->call, true);
        return reply_json(request, 200, &out);
    }
    verify_gate_enter(&verify->gate, request);
    verify->call.token_id = verify->gate.token_id;
    verify->call.done = on_verified;
    meter_verify(service->meter, &verify->call);
    return http_pending(request);
}
