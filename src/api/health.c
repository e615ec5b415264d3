/* The probes. Called by the routing on the loop thread. What always holds: liveness is never a
 * question of the database, so that an orchestrator does not kill a daemon that is fit; readiness
 * says no as soon as a drain begins. */
#include "api/health.h"

#include "api/request.h"
#include "base/json.h"
#include "service/context.h"
#include "service/meter.h"

struct verdict handle_livez(struct http_request *request)
{
    struct buf out = {0};
    json_open(&out, NULL, '{');
    json_put_string(&out, "status", "live");
    json_close(&out, '}');
    return reply_json(request, 200, &out);
}

struct verdict handle_readyz(struct http_request *request)
{
    const struct service *service = request_service(request);
    const char *reason = NULL;
    if (service->draining)
        reason = "draining";
    else if (!service->meter || !meter_is_ready(service->meter))
        reason = "database";
    if (reason) {
        struct problem problem = {.retry_after = 1};
        enum err denied = problem_set(&problem, 503, "not_ready", "Not ready: %s.",
                                      service->draining ? "the daemon is stopping"
                                                        : "the database is not there yet");
        (void)denied;
        return problem_reply(request, &problem);
    }
    struct buf out = {0};
    json_open(&out, NULL, '{');
    json_put_string(&out, "status", "ready");
    json_close(&out, '}');
    return reply_json(request, 200, &out);
}
