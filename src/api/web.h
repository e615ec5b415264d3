/* Pages for people: templates/web/NAME.html, rendered with what every page may say (product,
 * support) and a context of its own, under headers that let a browser load nothing from anywhere
 * else. Loop thread. To add a page: its template, a handler that calls web_reply, a row in
 * api/web_routes.c.
 *
 * All addresses within a page are relative, behind {{root}}, so that a proxy may put the pages
 * below a path of its own. Scripts and styles are files of templates/web/static: "static/NAME" in a
 * template becomes the name it is served under. */
#ifndef KEYMETER_API_WEB_H
#define KEYMETER_API_WEB_H

#include "base/template.h"
#include "io/http.h"
#include "service/problem.h"

#include <jansson.h>

struct settings;
struct web; /* the compiled templates */

/* ERR_INVALID with a text: a template is malformed; ERR_NO_MEMORY. The settings stay borrowed. */
MUST_USE enum err web_new(struct web **out, const struct settings *settings,
                          char error[TEMPLATE_ERROR_SIZE]);
void web_free(struct web **web); /* accepts NULL */

struct web_page {
    int status;
    const char *name;    /* "claim" */
    const char *title;   /* of the window and for {{title}} */
    json_t *context;     /* further names; taken over. NULL: none */
    unsigned allowed;    /* of a 405: http_match.allowed */
    bool forms;          /* the page has forms, which go to our own origin */
    bool wipe;           /* it holds a secret: no copy of it is left in memory */
    struct span headers; /* further ones: Set-Cookie */
};
/* Answers with the page; 500 as a problem when it cannot be rendered. */
MUST_USE struct verdict web_reply(struct http_request *request, const struct web_page *page);
/* 303 to a page of ours: "portal/keys", from where {{root}} stands. `headers` as above. */
MUST_USE struct verdict web_redirect(struct http_request *request, const char *to,
                                     struct span headers);
/* For http_answer_by: 503 as a page. */
void web_answer_late(struct http_request *request);

/* The path is one for people and the client a browser: it shows a page where a program gets JSON.
 */
bool web_wants_page(const struct http_request *request);
/* The problem as a page; `allowed` of a 405, else 0. */
MUST_USE struct verdict web_reply_problem(struct http_request *request,
                                          const struct problem *problem, unsigned allowed);
/* problem_reply_error as a page. */
MUST_USE struct verdict web_reply_error(struct http_request *request, enum err error,
                                        struct problem *problem);

/* Logo and colours (api/web_brand.h). */
struct web_brand;
const struct web_brand *web_get_brand(const struct web *web);

#endif
