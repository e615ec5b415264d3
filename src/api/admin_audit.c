/* Verifying the audit log from the dashboard. Called by its routing on the loop thread; the rows
 * are walked by a job of the readers. What always holds: it reads only, and says from which row to
 * which it looked. */
#include "api/admin.h"
#include "api/admin_page.h"
#include "api/request.h"
#include "io/db_pool.h"
#include "service/context.h"
#include "store/audit_verify.h"

/* About a second; the readers have other work. */
enum { ROWS_MOST = 50000 };

struct verification {
    struct db_job job;
    struct admin_page *page;
    struct audit_verdict verdict;
};

static enum err verify_run(struct db *db, struct db_job *job)
{
    struct verification *verification = CONTAINER_OF(job, struct verification, job);
    return audit_verify(db, ROWS_MOST, &verification->verdict);
}

static void verify_done(struct db_job *job, enum err error)
{
    struct verification *verification = CONTAINER_OF(job, struct verification, job);
    const struct audit_verdict *verdict = &verification->verdict;
    struct admin_page *page = verification->page;
    if (error) {
        admin_page_fail(page, error, NULL);
        return;
    }
    json_t *shown = json_pack(
        "{s:I, s:I, s:I, s:s?, s:b, s:b}", "first", (json_int_t)verdict->first, "last",
        (json_int_t)verdict->last, "broken_at", (json_int_t)verdict->broken_at, "broken_by",
        verdict->broken_by, "broken", verdict->broken_at != 0, "whole", verdict->first == 1);
    admin_page_words(shown);
    admin_page_set(page, "verdict", shown);
    admin_page_show(page);
}

static void verify_start(struct admin_page *page)
{
    struct verification *verification = ARENA_NEW(&page->request->arena, struct verification);
    enum err error = ERR_NO_MEMORY;
    if (verification) {
        verification->job = (struct db_job){.run = verify_run, .done = verify_done};
        verification->page = page;
        error = db_submit(request_service(page->request)->readers, &verification->job);
    }
    if (error) admin_page_fail(page, error, NULL);
}

struct verdict handle_admin_audit_verify(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_verified", "Audit log", "audit");
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    page->finish = verify_start;
    return admin_page_run(page);
}
