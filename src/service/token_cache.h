/* The live service tokens in memory, by lookup hash. Loaded at start; a change of a token (change
 * feed) drops its entry at once and it is read again when next asked for. Loop thread.
 *
 * The cache only answers who somebody claims to be: management calls check the token again in their
 * own transaction (token_is_live), verify calls are answered behind the feed read. */
#ifndef KEYMETER_SERVICE_TOKEN_CACHE_H
#define KEYMETER_SERVICE_TOKEN_CACHE_H

#include "base/compiler.h"
#include "base/err.h"
#include "io/db_pool.h"

#include <stdbool.h>
#include <stdint.h>

struct service;
struct token_cache;

struct token_entry {
    uint64_t id;
    unsigned char hash[32];
    unsigned scopes;    /* bit mask of enum scope (store/token.h) */
    int64_t expires_at; /* wall ms, 0: none */
    char *permissions;  /* comma-joined; NULL: any */
};

/* Empty; token_cache_reload fills it. */
MUST_USE enum err token_cache_new(struct token_cache **out, struct service *service);
/* After the readers' pool has been stopped. Accepts NULL. */
void token_cache_free(struct token_cache **cache);
/* Reads all live tokens (at most TOKENS_MAX) by a job of service->readers. At start, and by the
 * meter when it had to drop everything. A failure leaves the cache empty: entries come one by one.
 */
void token_cache_reload(struct token_cache *cache);
/* The live token of that hash, or NULL when unknown here. Valid until control returns to the loop.
 */
const struct token_entry *token_cache_find(struct token_cache *cache, const unsigned char hash[32]);
/* By the meter on FEED_TOKEN: drops the entry, and poisons reads in flight. */
void token_cache_changed(struct token_cache *cache, uint64_t token_id);
/* For a call that was let in earlier and is answered now: true when a FEED_TOKEN row has named its
 * token since token_cache_generation gave `since`. */
uint64_t token_cache_generation(const struct token_cache *cache);
bool token_cache_changed_since(const struct token_cache *cache, uint64_t since, uint64_t token_id);
/* How many are held, and when all were last read (clock_mono_us; 0: not since all were dropped). */
unsigned token_cache_count(const struct token_cache *cache);
int64_t token_cache_loaded_us(const struct token_cache *cache);
bool token_cache_is_loading(const struct token_cache *cache);
/* Drops everything (a database connection was lost). */
void token_cache_clear(struct token_cache *cache);

/* For a hash that is not in the cache: one look into the database. Fill hash and done; done runs
 * exactly once on the loop, never inside, with the entry (as token_cache_find) or NULL, and error
 * ERR_OK, ERR_NOT_FOUND, or what kept the database from being asked. */
struct token_look {
    unsigned char hash[32];
    void (*done)(struct token_look *look, const struct token_entry *entry, enum err error);
    /* the cache's own: */
    struct db_job job;
    struct arena arena;
    struct token_cache *cache;
    struct token_entry found;
    uint64_t generation;
};
/* ERR_FULL, ERR_CLOSED: done will not be called. */
MUST_USE enum err token_cache_look(struct token_cache *cache, struct token_look *look);

#endif
