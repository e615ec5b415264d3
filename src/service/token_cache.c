/* The live tokens in memory: an open-addressing table of pointers by lookup hash. Called by
 * api/auth for each call and by the meter when the feed names a token; loop thread, its reads are
 * jobs of service->readers. What always holds: a read that began before a change of any token puts
 * nothing into the table (the generation tells), so what was revoked never comes back; the table
 * has at most TOKENS_MAX entries, further tokens are looked up each time. */
#include "service/token_cache.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/context.h"
#include "store/token.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 32768, CHANGES = 64 }; /* a power of two, at least three times TOKENS_MAX */

struct token_cache {
    struct service *service;
    uint64_t generation; /* moves whenever something is dropped */
    unsigned count;
    bool loading;
    int64_t loaded_us;
    uint64_t changes[CHANGES]; /* token ids by generation modulo CHANGES; 0: none */
    struct token_entry *slots[SLOTS];
};

struct token_reload {
    struct db_job job;
    struct token_cache *cache;
    struct arena arena;
    uint64_t generation;
    int64_t now_ms;
    struct token_row *rows;
    size_t count;
};

enum err token_cache_new(struct token_cache **out, struct service *service)
{
    struct token_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return ERR_NO_MEMORY;
    cache->service = service;
    *out = cache;
    return ERR_OK;
}

static void entry_free(struct token_entry *entry)
{
    if (entry) free(entry->permissions);
    free(entry);
}

void token_cache_clear(struct token_cache *cache)
{
    cache->changes[++cache->generation % CHANGES] = 0;
    cache->count = 0;
    cache->loaded_us = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        entry_free(cache->slots[i]);
        cache->slots[i] = NULL;
    }
}

void token_cache_free(struct token_cache **cache)
{
    if (!*cache) return;
    token_cache_clear(*cache);
    free(*cache);
    *cache = NULL;
}

/* ---- the table: linear probing; the hash is keyed, so its first bytes are uniform ---- */

static size_t slot_home(const unsigned char hash[32])
{
    return ((size_t)hash[0] | (size_t)hash[1] << 8) & (SLOTS - 1);
}

static size_t slot_find(const struct token_cache *cache, const unsigned char hash[32])
{
    size_t at = slot_home(hash);
    while (cache->slots[at] && memcmp(cache->slots[at]->hash, hash, 32) != 0)
        at = (at + 1) & (SLOTS - 1);
    return at;
}

/* Takes the entry out and moves what follows, so that no probe ends early. */
static void slot_remove(struct token_cache *cache, size_t at)
{
    entry_free(cache->slots[at]);
    cache->slots[at] = NULL;
    cache->count--;
    for (size_t next = (at + 1) & (SLOTS - 1); cache->slots[next];
         next = (next + 1) & (SLOTS - 1)) {
        struct token_entry *entry = cache->slots[next];
        cache->slots[next] = NULL;
        cache->slots[slot_find(cache, entry->hash)] = entry;
    }
}

static void cache_put(struct token_cache *cache, const struct token_entry *from)
{
    size_t at = slot_find(cache, from->hash);
    if (cache->slots[at] || cache->count >= TOKENS_MAX) return;
    struct token_entry *entry = malloc(sizeof *entry);
    if (!entry) return;
    *entry = *from;
    if (from->permissions && !(entry->permissions = strdup(from->permissions))) {
        free(entry);
        return;
    }
    cache->slots[at] = entry;
    cache->count++;
}

const struct token_entry *token_cache_find(struct token_cache *cache, const unsigned char hash[32])
{
    size_t at = slot_find(cache, hash);
    struct token_entry *entry = cache->slots[at];
    if (!entry) return NULL;
    if (!entry->expires_at || entry->expires_at > clock_wall_ms()) return entry;
    slot_remove(cache, at);
    return NULL;
}

unsigned token_cache_count(const struct token_cache *cache)
{
    return cache->count;
}

int64_t token_cache_loaded_us(const struct token_cache *cache)
{
    return cache->loaded_us;
}

bool token_cache_is_loading(const struct token_cache *cache)
{
    return cache->loading;
}

uint64_t token_cache_generation(const struct token_cache *cache)
{
    return cache->generation;
}

bool token_cache_changed_since(const struct token_cache *cache, uint64_t since, uint64_t token_id)
{
    if (cache->generation - since >= CHANGES) return true;
    for (uint64_t at = since + 1; at <= cache->generation; at++)
        if (cache->changes[at % CHANGES] == token_id || !cache->changes[at % CHANGES]) return true;
    return false;
}

void token_cache_changed(struct token_cache *cache, uint64_t token_id)
{
    cache->changes[++cache->generation % CHANGES] = token_id;
    for (size_t i = 0; i < SLOTS; i++) {
        if (!cache->slots[i] || cache->slots[i]->id != token_id) continue;
        slot_remove(cache, i);
        return;
    }
}

static struct token_entry entry_of(const struct token_row *row)
{
    struct token_entry entry = {.id = row->id,
                                .scopes = row->scopes,
                                .expires_at = row->expires_at,
                                .permissions = (char *)row->permissions};
    memcpy(entry.hash, row->hash, sizeof entry.hash);
    return entry;
}

/* ---- reading all ---- */

static enum err reload_run(struct db *db, struct db_job *job)
{
    struct token_reload *reload = CONTAINER_OF(job, struct token_reload, job);
    arena_done(&reload->arena);
    return token_list(db, 0, reload->now_ms, TOKENS_MAX, &reload->arena, &reload->rows,
                      &reload->count);
}

static void reload_done(struct db_job *job, enum err error)
{
    struct token_reload *reload = CONTAINER_OF(job, struct token_reload, job);
    struct token_cache *cache = reload->cache;
    cache->loading = false;
    if (error != ERR_OK) log_event(LOG_WARN, "tokens_not_loaded", "%s", err_name(error));
    if (error == ERR_OK) cache->loaded_us = clock_mono_us();
    for (size_t i = 0;
         error == ERR_OK && reload->generation == cache->generation && i < reload->count; i++) {
        struct token_entry entry = entry_of(&reload->rows[i]);
        cache_put(cache, &entry);
    }
    arena_done(&reload->arena);
    free(reload);
}

void token_cache_reload(struct token_cache *cache)
{
    if (cache->loading) return;
    struct token_reload *reload = calloc(1, sizeof *reload);
    if (!reload) return;
    reload->job = (struct db_job){.run = reload_run, .done = reload_done};
    reload->cache = cache;
    reload->arena.limit = (size_t)TOKENS_MAX * 8192;
    reload->generation = cache->generation;
    reload->now_ms = clock_wall_ms();
    cache->loading = db_submit(cache->service->readers, &reload->job) == ERR_OK;
    if (!cache->loading) free(reload);
}

/* ---- reading one ---- */

static enum err look_run(struct db *db, struct db_job *job)
{
    struct token_look *look = CONTAINER_OF(job, struct token_look, job);
    struct token_row row;
    arena_done(&look->arena);
    enum err error = token_find_hash(db, look->hash, &look->arena, &row);
    if (error != ERR_OK) return error;
    if (row.revoked_at || (row.expires_at && row.expires_at <= clock_wall_ms()))
        return ERR_NOT_FOUND;
    look->found = entry_of(&row);
    return ERR_OK;
}

static void look_done(struct db_job *job, enum err error)
{
    struct token_look *look = CONTAINER_OF(job, struct token_look, job);
    struct token_cache *cache = look->cache;
    /* A token changed meanwhile, perhaps this one: what was read may be from before that. */
    if (error == ERR_OK && look->generation != cache->generation) {
        look->generation = cache->generation;
        error = db_submit(cache->service->readers, &look->job);
        if (error == ERR_OK) return;
    }
    struct arena arena = look->arena;
    look->arena = (struct arena){0};
    if (error == ERR_OK) cache_put(cache, &look->found);
    look->done(look, error == ERR_OK ? &look->found : NULL, error);
    arena_done(&arena);
}

enum err token_cache_look(struct token_cache *cache, struct token_look *look)
{
    look->job = (struct db_job){.run = look_run, .done = look_done};
    look->arena = (struct arena){0};
    look->cache = cache;
    look->generation = cache->generation;
    return db_submit(cache->service->readers, &look->job);
}
