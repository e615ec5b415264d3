/* Cookies and form tokens of signed-in pages. Called by the handlers of pages, on the loop thread.
 * What always holds: a session's text is random, made at its beginning and by us (what a browser
 * brings along never becomes a session), and it is in the cookie alone: the database and the form
 * token have keyed hashes of it. */
#include "api/web_session.h"

#include "base/codec.h"
#include "crypto/key_hash.h"
#include "service/context.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 64 };

bool web_cookie_is_secure(const struct http_request *request)
{
    const struct service *service = request->listener_context;
    return !span_starts(span_text(service->base_url), "http://");
}

enum err web_session_new(struct secret **out)
{
    unsigned char random[32];
    secret_free(out);
    *out = secret_new(WEB_SESSION_SIZE);
    if (!*out) return ERR_NO_MEMORY;
    randombytes_buf(random, sizeof random);
    (*out)->length = WEB_SESSION_SIZE - 1;
    base62_encode((*out)->text, (*out)->length, random, sizeof random);
    sodium_memzero(random, sizeof random);
    return ERR_OK;
}

static bool is_session_text(struct span text)
{
    if (text.length != WEB_SESSION_SIZE - 1) return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
            return false;
    }
    return true;
}

static void cookie_name(char out[NAME_MAX_LENGTH], const char *name, bool secure)
{
    snprintf(out, NAME_MAX_LENGTH, "%s%s", secure ? "__Host-" : "", name);
}

/* RFC 6265, 4.2.1: pairs between "; ". */
static void pairs_look(struct span line, const char *name, struct span *found, unsigned *count)
{
    size_t length = strlen(name);
    while (line.length) {
        const char *end = memchr(line.data, ';', line.length);
        struct span pair = {line.data, end ? (size_t)(end - line.data) : line.length};
        size_t used = pair.length + (end ? 1 : 0);
        line = (struct span){line.data + used, line.length - used};
        while (pair.length && pair.data[0] == ' ')
            pair = (struct span){pair.data + 1, pair.length - 1};
        if (pair.length <= length || !span_starts(pair, name) || pair.data[length] != '=') continue;
        *found = (struct span){pair.data + length + 1, pair.length - length - 1};
        ++*count;
    }
}

struct span web_session_read(const struct http_request *request, const char *name, bool secure)
{
    char full[NAME_MAX_LENGTH];
    struct span found = {0};
    unsigned count = 0;
    cookie_name(full, name, secure);
    for (size_t i = 0; i < request->header_count; i++)
        if (span_is_nocase(request->headers[i].name, "cookie"))
            pairs_look(request->headers[i].value, full, &found, &count);
    return count == 1 && is_session_text(found) ? found : (struct span){0};
}

void web_session_write(struct buf *headers, const char *name, bool secure, struct span session,
                       unsigned max_age_s)
{
    char full[NAME_MAX_LENGTH];
    cookie_name(full, name, secure);
    buf_printf(headers, "Set-Cookie: %s=%.*s; Path=/; Max-Age=%u; HttpOnly; SameSite=Lax%s\r\n",
               full, (int)session.length, session.data ? session.data : "",
               session.length ? max_age_s : 0, secure ? "; Secure" : "");
}

void web_csrf_make(const struct http_request *request, struct span session, char out[WEB_CSRF_SIZE])
{
    const struct service *service = request->listener_context;
    unsigned char hash[KEY_HASH_SIZE];
    char text[16 + WEB_SESSION_SIZE];
    int length = snprintf(text, sizeof text, "form of %.*s", (int)session.length,
                          session.data ? session.data : "");
    key_hash(service->keyring, span_of(text, (size_t)length), hash);
    hex_encode(out, hash, (WEB_CSRF_SIZE - 1) / 2);
    sodium_memzero(text, sizeof text);
}

enum err web_same_site(const struct http_request *request, struct problem *problem)
{
    struct span site = http_header(request, "sec-fetch-site");
    if (!site.data || span_is(site, "same-origin") || span_is(site, "none")) return ERR_OK;
    return problem_set(problem, 403, "cross_site",
                       "A page of another site sent this; nothing was done. Open the page here and "
                       "do it there.");
}
