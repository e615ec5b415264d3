/* What signed-in pages share: the session's cookie and the token in their forms that another site
 * cannot know. Who a session is of, and whether it still is, stands in the database under the
 * cookie's keyed hash (key_hash). Loop thread. */
#ifndef KEYMETER_API_WEB_SESSION_H
#define KEYMETER_API_WEB_SESSION_H

#include "base/buf.h"
#include "base/secret.h"
#include "io/http.h"
#include "service/problem.h"

enum { WEB_SESSION_SIZE = 44, WEB_CSRF_SIZE = 33 };

/* Where the pages are reached over TLS the cookie is `__Host-NAME`, Secure. Only where
 * portal.base_url begins with http://, which is loopback alone, it is NAME without Secure. Both are
 * HttpOnly, SameSite=Lax, of the whole origin. */
bool web_cookie_is_secure(const struct http_request *request);

/* 43 characters of 256 random bits in guarded memory. */
MUST_USE enum err web_session_new(struct secret **out);
/* The session's text, borrowed from the request; empty: there is none, two, or no such text. */
struct span web_session_read(const struct http_request *request, const char *name, bool secure);
/* A Set-Cookie line: until the browser is closed, or max_age_s at most; an empty session forgets
 * it. */
void web_session_write(struct buf *headers, const char *name, bool secure, struct span session,
                       unsigned max_age_s);

/* The hidden field `csrf` of this session's forms. */
void web_csrf_make(const struct http_request *request, struct span session,
                   char out[WEB_CSRF_SIZE]);
/* ERR_OK, or 403 `cross_site`: the browser says that a page of another site sent it. */
MUST_USE enum err web_same_site(const struct http_request *request, struct problem *problem);

#endif
