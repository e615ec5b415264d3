/* The text of a secret (contract, "Key text"): <label>_<43 base62 of 256 random bits><6 base62 of
 * the zlib CRC-32 of everything before>. Service tokens have the same shape with the label kmt.
 * Any thread, no allocation. */
#ifndef KEYMETER_CORE_API_KEY_H
#define KEYMETER_CORE_API_KEY_H

#include "base/compiler.h"
#include "base/span.h"

enum {
    API_LABEL_MIN = 2,
    API_LABEL_MAX = 40,
    API_KEY_BODY = 43,
    API_KEY_CHECK = 6,
    API_KEY_TEXT_SIZE = API_LABEL_MAX + 1 + API_KEY_BODY + API_KEY_CHECK + 1, /* with the NUL */
    API_KEY_START_SIZE = 11,
};

#define API_LABEL_LIVE  "km_live"
#define API_LABEL_TEST  "km_test"
#define API_LABEL_TOKEN "kmt" /* reserved for service tokens */

struct api_key_parts {
    struct span label, body, check; /* into the text given */
    bool is_token;                  /* the label is kmt */
};

/* A new secret in `out` (struct secret's text of capacity API_KEY_TEXT_SIZE); its length. `label`
 * is valid, or API_LABEL_TOKEN. */
size_t api_key_make(const char *label, char out[API_KEY_TEXT_SIZE]);
/* True when the text has the shape and its check digits fit; about 100 ns. */
MUST_USE bool api_key_parse(struct span text, struct api_key_parts *parts);
/* The first 10 characters, NUL-terminated: what lists show. */
void api_key_start(struct span text, char out[API_KEY_START_SIZE]);
/* [a-z0-9_]{2,40} and not reserved. */
MUST_USE bool api_label_valid(struct span label);

#endif
