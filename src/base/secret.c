/* Secrets in sodium's guarded memory: locked, never in a core file's readable pages, wiped when
 * freed. Called by whoever holds a secret, on its own thread. The text is always NUL-terminated. */
#include "base/secret.h"

#include <sodium.h>
#include <stdlib.h>

struct secret *secret_new(size_t size)
{
    if (!size || sodium_init() < 0) return NULL;
    struct secret *secret = calloc(1, sizeof *secret);
    if (!secret) return NULL;
    secret->text = sodium_malloc(size);
    if (!secret->text) {
        free(secret);
        return NULL;
    }
    sodium_memzero(secret->text, size);
    secret->capacity = size;
    return secret;
}

struct secret *secret_copy(struct span text)
{
    struct secret *secret = secret_new(text.length + 1);
    if (!secret) return NULL;
    if (text.length) memcpy(secret->text, text.data, text.length);
    secret->length = text.length;
    return secret;
}

void secret_free(struct secret **secret)
{
    if (!*secret) return;
    sodium_free((*secret)->text); /* wipes */
    free(*secret);
    *secret = NULL;
}
