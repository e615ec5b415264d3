/* The routing of pages, behind the table of calls. Loop thread. */
#ifndef KEYMETER_API_WEB_ROUTES_H
#define KEYMETER_API_WEB_ROUTES_H

#include "io/http.h"

/* Where a request came in; a mask in the table. */
enum web_side { WEB_ON_API = 1, WEB_ON_PUBLIC = 2 };

/* A page or a file of a page; else 404 or 405, as a page for a browser and as a problem otherwise.
 * What is for customers is on the public listener if there is one, and nowhere else then. */
MUST_USE struct verdict web_handle(struct http_request *request, enum web_side side);

#endif
