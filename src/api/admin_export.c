/* The audit log as a file. Called by the routing of the dashboard on the loop thread; the rows are
 * asked for page by page as GET /v1/audit gives them, for this very admin. What always holds: a
 * file has ROWS_MOST rows at most, newest first, and its name says which they are; a spreadsheet
 * takes no cell of it for a formula. */
#include "api/admin.h"
#include "api/admin_page.h"
#include "api/problem.h"
#include "base/codec.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_MOST = 10000, ROWS_A_CALL = 200 };

struct export
{
    struct http_request *request;
    struct inner_call call;
    bool csv;
    const char *cursor; /* NULL: from the newest */
    unsigned rows;
    json_int_t newest, oldest; /* sequences */
    struct buf out;
};

static const char *const columns[] = {"sequence", "id",          "at",      "actor",      "action",
                                      "subject",  "customer_id", "address", "request_id", "detail"};

/* RFC 4180; what a spreadsheet would calculate begins with an apostrophe. */
static void cell_put(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    if (*text && strchr("=+-@\t\r", *text)) buf_add_char(out, '\'');
    for (; *text; text++) {
        if (*text == '"') buf_add_char(out, '"');
        buf_add_char(out, *text);
    }
    buf_add_char(out, '"');
}

static void csv_put(struct buf *out, const json_t *row)
{
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        const json_t *value = json_object_get(row, columns[i]);
        if (i) buf_add_char(out, ',');
        if (json_is_integer(value)) {
            buf_printf(out, "%lld", (long long)json_integer_value(value));
        } else if (json_is_string(value)) {
            cell_put(out, json_string_value(value));
        } else if (json_is_object(value)) {
            char *text = json_dumps(value, JSON_COMPACT);
            cell_put(out, text ? text : "");
            if (!text) out->failed = true;
            free(text);
        }
    }
    buf_add_text(out, "\r\n");
}

static void line_put(struct buf *out, const json_t *row)
{
    char *text = json_dumps(row, JSON_COMPACT);
    if (!text) out->failed = true;
    buf_add_text(out, text ? text : "");
    buf_add_char(out, '\n');
    free(text);
}

static void rows_put(struct export *export, const json_t *answer)
{
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(answer, "data"), index, row)
    {
        export->oldest = json_integer_value(json_object_get(row, "sequence"));
        if (!export->rows++) export->newest = export->oldest;
        if (export->csv)
            csv_put(&export->out, row);
        else
            line_put(&export->out, row);
    }
}

static void export_end(struct export *export)
{
    struct http_request *request = export->request;
    struct buf headers CLEANUP(buf_done) = {0};
    struct verdict verdict;
    buf_printf(&headers,
               "Content-Disposition: attachment; filename=\"audit-%lld-%lld.%s\"\r\n"
               "Content-Security-Policy: default-src 'none'; sandbox\r\n"
               "X-Content-Type-Options: nosniff\r\n",
               (long long)export->oldest, (long long)export->newest, export->csv ? "csv" : "jsonl");
    struct buf out = export->out; /* the export dies with the request */
    struct http_response response = {.status = 200,
                                     .content_type = export->csv ? "text/csv; charset=utf-8"
                                                                 : "application/jsonl",
                                     .headers = buf_span(&headers),
                                     .body = buf_span(&out)};
    verdict = out.failed || headers.failed ? web_reply_error(request, ERR_NO_MEMORY, NULL)
                                           : http_reply(request, &response);
    buf_done(&out);
    (void)verdict; /* due only inside a dispatch */
}

static void rows_ask(struct export *export);

static void rows_done(struct inner_call *call)
{
    struct export *export = CONTAINER_OF(call, struct export, call);
    struct http_request *request = export->request;
    const char *next = json_string_value(json_object_get(call->answer, "next_cursor"));
    if (call->status >= 300) {
        struct problem problem = {0};
        const char *detail = json_string_value(json_object_get(call->answer, "detail"));
        enum err denied = problem_set(&problem, call->status, "failed", "%s",
                                      detail ? detail : "The rows cannot be read; try again.");
        inner_call_done(call);
        buf_done(&export->out);
        struct verdict verdict = web_reply_error(request, denied, &problem);
        (void)verdict;
        return;
    }
    rows_put(export, call->answer);
    export->cursor = next ? arena_copy(&request->arena, span_text(next)) : NULL;
    bool more = export->cursor && export->rows < ROWS_MOST;
    inner_call_done(call);
    if (more)
        rows_ask(export);
    else
        export_end(export);
}

static void rows_ask(struct export *export)
{
    static const char *const names[] = {"action", "customer_id", "subject"};
    struct http_request *request = export->request;
    struct buf query = {0};
    buf_printf(&query, "limit=%d", ROWS_A_CALL);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        admin_query_put(&query, names[i], admin_query(request, names[i]));
    admin_query_put(&query, "cursor", export->cursor);
    export->call = (struct inner_call){.method = HTTP_M_GET,
                                       .path = "/v1/audit",
                                       .query = admin_text(request, &query),
                                       .done = rows_done};
    if (!export->call.query) export->call.query = "limit=0"; /* refused */
    inner_call_start(&export->call, request);
}

/* Rows before that number: where an earlier file ended. */
static bool before_read(struct export *export, const char *text)
{
    char cursor[ID_TEXT_SIZE];
    uint64_t before = 0;
    if (!*text) return true;
    if (!u64_parse(span_text(text), INT64_MAX, &before) || !before) return false;
    id_format(cursor, "cur", before);
    export->cursor = arena_copy(&export->request->arena, span_text(cursor));
    return export->cursor != NULL;
}

struct verdict handle_admin_audit_export(struct http_request *request)
{
    struct problem problem = {0};
    struct span format = span_text(admin_query(request, "format"));
    struct export *export = ARENA_NEW(&request->arena, struct export);
    if (!export) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    export->request = request;
    export->csv = !span_is(format, "jsonl");
    if (!before_read(export, admin_query(request, "before")))
        problem_add_field(&problem, "query.before", "must be a row's number");
    if (export->csv && format.length && !span_is(format, "csv"))
        problem_add_field(&problem, "query.format", "must be csv or jsonl");
    if (problem.field_count) return web_reply_problem(request, &problem, 0);
    for (size_t i = 0; export->csv && i < COUNT_OF(columns); i++)
        buf_printf(&export->out, "%s%s", i ? "," : "", columns[i]);
    if (export->csv) buf_add_text(&export->out, "\r\n");
    rows_ask(export);
    return http_pending(request);
}
