/* Management reads. Called by the GET handlers on the loop thread; the job runs on a thread of
 * service->readers. What always holds: a token that was revoked before the read began reads
 * nothing, and the request is answered exactly once. */
#include "api/reading.h"

#include "api/auth.h"
#include "api/version.h"
#include "base/clock.h"
#include "service/context.h"
#include "store/token.h"

static enum err reading_run(struct db *db, struct db_job *job)
{
    struct reading *reading = CONTAINER_OF(job, struct reading, job);
    arena_done(&reading->arena);
    reading->problem = (struct problem){0};
    if (reading->token_id) {
        enum err live = token_is_live(db, reading->token_id, reading->now_ms);
        if (live == ERR_DENIED)
            return problem_set(&reading->problem, 401, "unauthenticated",
                               "The token is unknown, expired or revoked.");
        if (live != ERR_OK) return live;
    }
    return reading->run(db, reading);
}

static void reading_done(struct db_job *job, enum err error)
{
    struct reading *reading = CONTAINER_OF(job, struct reading, job);
    struct http_request *request = reading->request;
    struct arena arena = reading->arena; /* the reading dies with the request */
    if (error == ERR_NOT_FOUND)
        error =
            problem_set(&reading->problem, 404, "not_found", "There is no such %s.", reading->what);
    if (error != ERR_OK) {
        problem_finish_error(request, error, &reading->problem);
    } else {
        struct buf out = {0};
        reading->write(reading, &out);
        finish_json_version(request, 200, &out, reading->version);
    }
    arena_done(&arena);
}

struct verdict reading_submit(struct reading *reading, struct http_request *request)
{
    reading->job = (struct db_job){.run = reading_run, .done = reading_done};
    reading->request = request;
    reading->token_id = caller_of(request)->token_id;
    reading->now_ms = clock_wall_ms();
    enum err error = db_submit(request_service(request)->readers, &reading->job);
    if (error != ERR_OK) return problem_reply_error(request, error, NULL);
    return http_pending(request);
}
