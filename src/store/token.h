/* Service tokens: who may call the management API and verify. Only a keyed hash is stored. DB
 * thread; inserting and revoking inside an explicit transaction that also appends FEED_TOKEN. */
#ifndef KEYMETER_STORE_TOKEN_H
#define KEYMETER_STORE_TOKEN_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

/* docs/scopes.md has the calls of each. admin implies all others. */
enum scope {
    SCOPE_NONE = 0, /* any live token */
    SCOPE_ADMIN = 1 << 0,
    SCOPE_BILLING = 1 << 1,
    SCOPE_ISSUE = 1 << 2,
    SCOPE_PORTAL = 1 << 3,
    SCOPE_READ = 1 << 4,
    SCOPE_VERIFY = 1 << 5,
};
enum { SCOPES_TEXT_SIZE = 64, SCOPES_ALL = 63, TOKENS_MAX = 10000, TOKEN_NAME_MAX = 100 };

const char *scope_name(enum scope scope);
/* Space-separated and sorted, as the column has it. */
void scopes_format(unsigned scopes, char out[SCOPES_TEXT_SIZE]);
/* Words separated by spaces or commas; 0: none, or an unknown word. */
unsigned scopes_parse(struct span text);

struct token_row {
    uint64_t id;
    const char *name;
    unsigned scopes;
    const char *permissions; /* comma-joined (core/permission.h); NULL: any */
    unsigned char hash[32];
    char start[11];
    int64_t created_at, expires_at, revoked_at; /* wall ms; 0: none */
};

MUST_USE enum err token_insert(struct db *db, const struct token_row *row);
/* *changed false: it was revoked already. ERR_NOT_FOUND. */
MUST_USE enum err token_revoke(struct db *db, uint64_t id, int64_t now_ms, bool *changed);
/* ERR_NOT_FOUND. Texts are in the arena. */
MUST_USE enum err token_find_hash(struct db *db, const unsigned char hash[32], struct arena *arena,
                                  struct token_row *row);
/* ERR_OK, or ERR_DENIED when it is revoked, expired or unknown. */
MUST_USE enum err token_is_live(struct db *db, uint64_t id, int64_t now_ms);
/* Newest first, ids below `before` (0: all), at most `limit` rows. live_at not 0: only those that
 * are live then. */
MUST_USE enum err token_list(struct db *db, uint64_t before, int64_t live_at, size_t limit,
                             struct arena *arena, struct token_row **rows, size_t *count);

#endif
