/* Customers' names in lists. Called as a page's last step, on the loop thread; the read is a job of
 * the readers. What always holds: who is erased is shown by the id. */
#include "api/admin_names.h"

#include "api/request.h"
#include "io/db_pool.h"
#include "service/context.h"
#include "store/overview.h"

enum { NAMES_MAX = 256 };

struct names {
    struct db_job job;
    struct admin_page *page;
    json_t *list; /* borrowed from the page's context */
    uint64_t ids[NAMES_MAX];
    const char *names[NAMES_MAX];
    size_t count;
    struct arena arena;
};

static enum err names_run(struct db *db, struct db_job *job)
{
    struct names *names = CONTAINER_OF(job, struct names, job);
    arena_done(&names->arena);
    return customer_names(db, names->ids, names->count, &names->arena, names->names);
}

static void name_set(json_t *object, const char *name)
{
    json_t *id = json_object_get(object, "customer_id");
    json_t *shown = name && *name ? json_string(name) : json_incref(id);
    int failed = json_object_set_new(object, "customer_name", shown);
    (void)failed; /* the page lacks a name then */
}

static void names_done(struct db_job *job, enum err error)
{
    struct names *names = CONTAINER_OF(job, struct names, job);
    struct admin_page *page = names->page;
    struct arena arena = names->arena;
    size_t index, at = 0;
    json_t *object;
    uint64_t id = 0;
    json_array_foreach(names->list, index, object)
    {
        const char *text = json_string_value(json_object_get(object, "customer_id"));
        if (!text || !id_parse(span_text(text), "cus", &id)) continue;
        name_set(object, !error && at < names->count ? names->names[at] : NULL);
        at++;
    }
    admin_page_show(page);
    arena_done(&arena);
}

void admin_names_finish(struct admin_page *page)
{
    struct names *names = ARENA_NEW(&page->request->arena, struct names);
    size_t index;
    json_t *object;
    if (!names) {
        admin_page_show(page);
        return;
    }
    names->page = page;
    names->list = json_object_get(json_object_get(page->context, page->own), "data");
    json_array_foreach(names->list, index, object)
    {
        const char *text = json_string_value(json_object_get(object, "customer_id"));
        if (names->count < NAMES_MAX && text &&
            id_parse(span_text(text), "cus", &names->ids[names->count]))
            names->count++;
    }
    names->job = (struct db_job){.run = names_run, .done = names_done};
    enum err error = db_submit(request_service(page->request)->readers, &names->job);
    if (error) admin_page_show(page);
}
