/* A page of the dashboard: a template, filled with the answers of management calls that are asked
 * one after another, each under a name of the context. Lives in the request's arena, whose request
 * is pending. Loop thread.
 *
 *     struct admin_page *page = admin_page_new(request, "admin_keys", "Keys", "keys");
 *     admin_page_part(page, "keys", "/v1/keys", query);
 *     return admin_page_run(page);
 *
 * What is added to answers, for people: beside each time and number "n" an "n_text", beside
 * "status" and "state" the stylesheet's class of it; "version" of the first part that has one. */
#ifndef KEYMETER_API_ADMIN_PAGE_H
#define KEYMETER_API_ADMIN_PAGE_H

#include "api/admin_gate.h"
#include "api/inner_call.h"
#include "api/web.h"
#include "base/buf.h"

enum { ADMIN_PARTS_MAX = 8 };

struct admin_page {
    struct http_request *request;
    struct web_page web; /* status, name, title */
    const char *section; /* of the menu */
    json_t *context;
    struct admin_part {
        const char *name, *path, *query;
    } parts[ADMIN_PARTS_MAX];
    unsigned part_count, part_at;
    /* When all parts are there, before it is shown; may be NULL. It calls admin_page_show, now or
     * later. */
    void (*finish)(struct admin_page *page);
    void *own; /* of `finish` */
    struct inner_call call;
};

/* NULL: no memory; admin_page_run takes that. */
struct admin_page *admin_page_new(struct http_request *request, const char *name, const char *title,
                                  const char *section);
/* path and query live as the request; NULL ones are for no memory. */
void admin_page_part(struct admin_page *page, const char *name, const char *path,
                     const char *query);
/* Asks for the parts; a part that is 404 makes the page 404. */
MUST_USE struct verdict admin_page_run(struct admin_page *page);
/* Answers. */
void admin_page_show(struct admin_page *page);
/* Instead of the page. */
void admin_page_fail(struct admin_page *page, enum err error, struct problem *problem);

/* Adds a name to the context; the value is taken over. */
void admin_page_set(struct admin_page *page, const char *name, json_t *value);
/* Adds the texts for people, within all of it. */
void admin_page_words(json_t *value);

/* The query parameter, or "". */
const char *admin_query(struct http_request *request, const char *name);
/* Appends "&name=value" or "name=value", encoded; nothing for an empty value. */
void admin_query_put(struct buf *query, const char *name, const char *value);
/* The text in the request's arena; NULL: no memory. */
const char *admin_text(struct http_request *request, struct buf *text);
/* [{value, name, selected}]; `words` are value and name by turns, ended by NULL. */
json_t *admin_options(const char *const *words, const char *selected);

#endif
