/* The audit calls. Called by the routing on the loop thread; the read is one job of
 * service->readers. What always holds: rows are shown as they were written, newest first, and the
 * cursor is a place in the chain, so that pages neither miss nor repeat a row. */
#include "api/audit.h"

#include "api/reading.h"
#include "base/json.h"
#include "store/audit.h"
#include "store/audit_verify.h"

#include <stdio.h>

/* About a second; the readers have other work. */
enum { VERIFY_ROWS_MOST = 50000 };

struct audit_reading {
    struct reading reading;
    struct page page;
    struct audit_filter filter;
    struct audit_entry_row *rows;
    size_t count;
};

static enum err audit_run(struct db *db, struct reading *reading)
{
    struct audit_reading *audit = CONTAINER_OF(reading, struct audit_reading, reading);
    return audit_list(db, &audit->filter, &reading->arena, &audit->rows, &audit->count);
}

static void entry_put(struct buf *out, const struct audit_entry_row *row)
{
    json_open(out, NULL, '{');
    json_put_id(out, "id", "aud", row->id);
    json_put_u64(out, "sequence", row->sequence);
    json_put_time(out, "at", row->at);
    json_put_string(out, "actor", row->actor);
    json_put_string(out, "action", row->action);
    json_put_string(out, "subject", row->subject);
    json_put_id(out, "customer_id", "cus", row->customer_id);
    json_put_string(out, "address", row->address[0] ? row->address : NULL);
    json_put_string(out, "request_id", row->request_id[0] ? row->request_id : NULL);
    json_put_raw(out, "detail", span_text(row->detail));
    json_close(out, '}');
}

static void audit_write(struct reading *reading, struct buf *out)
{
    struct audit_reading *audit = CONTAINER_OF(reading, struct audit_reading, reading);
    bool more = audit->count > audit->page.limit;
    size_t shown = more ? audit->page.limit : audit->count;
    page_begin(out);
    for (size_t i = 0; i < shown; i++)
        entry_put(out, &audit->rows[i]);
    page_end(out, more ? audit->rows[shown - 1].sequence : 0);
}

/* Both are ASCII in every row; another text would be an error to the database. */
static struct span ascii_text(struct http_request *request, const char *name,
                              struct problem *problem)
{
    struct span text = query_text(request, name);
    char location[32];
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] > ' ' && text.data[i] <= '~') continue;
        snprintf(location, sizeof location, "query.%s", name);
        problem_add_field(problem, location, "must be printable ASCII without spaces");
        break;
    }
    return text;
}

struct verdict handle_audit_list(struct http_request *request)
{
    static const char *const names[] = {"customer_id", "action", "subject", NULL};
    struct problem problem = {0};
    struct customer_ref ref = {0};
    struct audit_reading *audit = ARENA_NEW(&request->arena, struct audit_reading);
    if (!audit) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!page_read(request, names, &audit->page, &problem)) return problem_reply(request, &problem);
    struct span customer = query_text(request, "customer_id");
    if (customer.data && !customer_ref_parse(customer, &ref)) {
        problem_add_field(&problem, "query.customer_id", "must be a customer's id or external_id");
        return problem_reply(request, &problem);
    }
    if (customer.data && query_text(request, "subject").data) {
        problem_add_field(&problem, "query.subject", "cannot be combined with customer_id");
        return problem_reply(request, &problem);
    }
    audit->filter = (struct audit_filter){.before = audit->page.before,
                                          .customer_id = ref.id,
                                          .external_id = ref.external_id,
                                          .action = ascii_text(request, "action", &problem),
                                          .subject = ascii_text(request, "subject", &problem),
                                          .limit = audit->page.limit + 1};
    if (problem.field_count) return problem_reply(request, &problem);
    audit->reading.run = audit_run;
    audit->reading.write = audit_write;
    return reading_submit(&audit->reading, request);
}

struct audit_verifying {
    struct reading reading;
    struct audit_verdict verdict;
};

static enum err verify_run(struct db *db, struct reading *reading)
{
    struct audit_verifying *verifying = CONTAINER_OF(reading, struct audit_verifying, reading);
    return audit_verify(db, VERIFY_ROWS_MOST, &verifying->verdict);
}

static void verify_write(struct reading *reading, struct buf *out)
{
    const struct audit_verdict *verdict =
        &CONTAINER_OF(reading, struct audit_verifying, reading)->verdict;
    json_open(out, NULL, '{');
    json_put_bool(out, "intact", !verdict->broken_at);
    json_put_u64(out, "first", verdict->first);
    json_put_u64(out, "last", verdict->last);
    if (verdict->broken_at)
        json_put_u64(out, "broken_at", verdict->broken_at);
    else
        json_put_null(out, "broken_at");
    json_put_string(out, "broken_by", verdict->broken_by);
    json_close(out, '}');
}

struct verdict handle_audit_verify(struct http_request *request)
{
    struct problem problem = {0};
    struct audit_verifying *verifying = ARENA_NEW(&request->arena, struct audit_verifying);
    if (!query_only(request, NULL, &problem)) return problem_reply(request, &problem);
    if (!verifying) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    verifying->reading.run = verify_run;
    verifying->reading.write = verify_write;
    return reading_submit(&verifying->reading, request);
}
