/* What every handler needs to read a request and to write an answer: a strict JSON body whose
 * fields are read one by one, all errors collected with their locations; path ids; list parameters.
 * Loop thread.
 *
 *     struct body body CLEANUP(body_done) = {0};
 *     if (!body_open(&body, request)) return problem_reply(request, &body.problem);
 *     const char *title = "";
 *     field_text(&body.fields, "title", 0, 200, &title);
 *     if (!body_finish(&body)) return problem_reply(request, &body.problem);
 */
#ifndef KEYMETER_API_REQUEST_H
#define KEYMETER_API_REQUEST_H

#include "api/problem.h"

#include <jansson.h>

struct rate_limit;
struct service;

/* ---- the body ---- */
enum { FIELDS_MAX = 32 };
enum { METADATA_MEMBERS_MAX = 50, METADATA_NAME_MAX = 40, METADATA_TEXT_MAX = 500 };

/* One JSON object that is being read. */
struct fields {
    json_t *object; /* borrowed */
    char at[64];    /* "body", "body.payment" */
    struct problem *problem;
    struct arena *arena;           /* the request's: all texts are copied there */
    const char *known[FIELDS_MAX]; /* the names asked for so far */
    unsigned known_count;
};

struct body {
    struct fields fields;
    json_t *root;
    struct problem problem;
};

/* False: body->problem is set (415 unsupported_media_type, 400 malformed_json, 422). */
MUST_USE bool body_open(struct body *body, struct http_request *request);
/* The same, but no body at all counts as {}. */
MUST_USE bool body_open_optional(struct body *body, struct http_request *request);
/* Refuses names that nobody asked for. False: body->problem has the errors (422). */
MUST_USE bool body_finish(struct body *body);
void body_done(struct body *body);

/* Each reader notes the name as known and writes *out only for FIELD_SET. FIELD_WRONG: the error
 * has been added. A JSON null is FIELD_NULL, which is no error by itself: see field_not_null. */
enum field { FIELD_ABSENT, FIELD_NULL, FIELD_SET, FIELD_WRONG };

/* Lengths are in characters (code points); base/plain_text.h says which are refused; field_lines
 * allows \n and \t. */
enum field field_text(struct fields *fields, const char *name, size_t min, size_t max,
                      const char **out);
enum field field_lines(struct fields *fields, const char *name, size_t min, size_t max,
                       const char **out);
/* A presented key, whatever it holds: at most max bytes. */
enum field field_key(struct fields *fields, const char *name, size_t max, const char **out);
/* Printable ASCII without space, comma, quote, backslash: external_id, label, names. */
enum field field_word(struct fields *fields, const char *name, size_t min, size_t max,
                      const char **out);
/* One of a NULL-terminated list; *out is its index. */
enum field field_choice(struct fields *fields, const char *name, const char *const *words,
                        unsigned *out);
enum field field_u64(struct fields *fields, const char *name, uint64_t min, uint64_t max,
                     uint64_t *out);
enum field field_bool(struct fields *fields, const char *name, bool *out);
enum field field_time(struct fields *fields, const char *name, int64_t *wall_ms);
/* An array of words of at most `length` characters, none twice, at most `max` of them; *joined is
 * comma-joined (core/permission.h), "" for []. */
enum field field_names(struct fields *fields, const char *name, size_t max, size_t length,
                       const char **joined);
/* [{name, limit, window_seconds}], at most RATE_LIMITS_MAX, no name twice; out has that room. */
enum field field_rate_limits(struct fields *fields, const char *name, struct rate_limit *out,
                             unsigned *count);
/* Networks in CIDR, at most 64; *json is a JSON array of them in canonical form. */
enum field field_networks(struct fields *fields, const char *name, const char **json);
/* An object of at most 50 members; values are strings of at most 500 characters, numbers, bools or
 * null; *json is its compact text. */
enum field field_metadata(struct fields *fields, const char *name, const char **json);
/* An e-mail address: one @, no spaces or controls, at most 254 bytes. */
enum field field_email(struct fields *fields, const char *name, const char **out);
/* An object within; read it with the readers, then fields_finish it. */
enum field field_object(struct fields *fields, const char *name, struct fields *inner);
/* Accepts the name and does not look at it (read-only members of a PUT). */
void field_ignore(struct fields *fields, const char *name);
/* Unknown names become errors. body_finish does it for the body's own object. */
void fields_finish(struct fields *fields);

/* Adds "<name> is required" for FIELD_ABSENT or FIELD_NULL; true for FIELD_SET. */
bool field_required(struct fields *fields, const char *name, enum field result);
/* Adds "must not be null" for FIELD_NULL: what a PATCH cannot clear. True unless wrong. */
bool field_not_null(struct fields *fields, const char *name, enum field result);
/* Adds an error at the field. */
void field_wrong(struct fields *fields, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* ---- path and query ---- */
struct service *request_service(const struct http_request *request);

/* True for a key or token with its check digits: where another text belongs, it is refused, so that
 * one that was put into the wrong place reaches neither the database nor its logs. */
MUST_USE bool is_key_text(struct span text);
/* The {…} of the route, percent-decoded in the arena; empty when malformed. */
struct span path_text(struct http_request *request, unsigned at);
/* False: it is no id of that prefix; answer problem_reply_not_found. */
MUST_USE bool path_id(struct http_request *request, unsigned at, const char *prefix, uint64_t *id);

/* Wherever customer_id is taken, external_id is taken too. id 0: look external_id up (it lives as
 * long as the request). */
struct customer_ref {
    uint64_t id;
    struct span external_id;
};
/* False: neither an id nor a valid external id. */
MUST_USE bool customer_ref_parse(struct span text, struct customer_ref *ref);

enum { PAGE_LIMIT_DEFAULT = 50, PAGE_LIMIT_MAX = 200 };
/* Lists are newest first, by id. */
struct page {
    unsigned limit;  /* 1…200 */
    uint64_t before; /* rows with a smaller id (or sequence); 0: from the newest */
    bool oldest;     /* `order=oldest`, of the lists that know it: larger ids, from the oldest */
};
/* Reads limit and cursor; `others` (NULL-terminated) are the further names that the call knows: any
 * other one is an error. False: the problem is set (422). */
MUST_USE bool page_read(struct http_request *request, const char *const *others, struct page *page,
                        struct problem *problem);
/* Reads `order` into page->oldest: newest, the default, or oldest. */
void page_order_read(struct http_request *request, struct page *page, struct problem *problem);
/* The same for calls that are no lists. */
MUST_USE bool query_only(struct http_request *request, const char *const *names,
                         struct problem *problem);
/* A query parameter's text, empty when absent or malformed (page_read has told of that then). */
struct span query_text(struct http_request *request, const char *name);

/* {"data":[ … ],"next_cursor":…}: `last` is the id of the last row shown when there are more, else
 * 0. Elements are written with base/json.h between the two. */
void page_begin(struct buf *out);
void page_end(struct buf *out, uint64_t last);

/* ---- answers ---- the buffer is emptied; 500 when it had failed. */
MUST_USE struct verdict reply_json(struct http_request *request, int status, struct buf *json);
void finish_json(struct http_request *request, int status, struct buf *json);
void json_wipe(struct buf *json); /* for answers written elsewhere; empties it */
void finish_empty(struct http_request *request, int status);

#endif
