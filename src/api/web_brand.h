/* How pages look like the product's: its logo and colours, from the settings. Read once at start.
 */
#ifndef KEYMETER_API_WEB_BRAND_H
#define KEYMETER_API_WEB_BRAND_H

#include "base/buf.h"
#include "base/template.h"
#include "io/http.h"

#include <jansson.h>

struct settings;

struct web_brand {
    struct buf logo;    /* empty: none */
    struct buf colours; /* a stylesheet; empty: our own */
    const char *logo_type;
    char logo_name[48], colours_name[48]; /* under brand/, with a hash of the content; "": none */
};

/* ERR_INVALID with a text: the logo cannot be read, is no .svg or .png, or is too large. */
MUST_USE enum err web_brand_init(struct web_brand *brand, const struct settings *settings,
                                 char error[TEMPLATE_ERROR_SIZE]);
void web_brand_done(struct web_brand *brand);
/* Sets `logo` and `brand`, the files' addresses, where there are any. */
MUST_USE enum err web_brand_add(const struct web_brand *brand, json_t *context);
/* A file of it by its name under brand/. False: there is none. */
MUST_USE bool web_brand_find(const struct web_brand *brand, struct span name,
                             struct http_response *response);

#endif
