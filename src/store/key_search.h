/* Which keys a list shows: the filters, and the index that serves each. DB thread. */
#ifndef KEYMETER_STORE_KEY_SEARCH_H
#define KEYMETER_STORE_KEY_SEARCH_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"
#include "core/key_status.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

enum { KEY_WORDS_MAX = 8 };

struct key_filter {
    uint64_t customer_id;    /* 0: by external_id, or any */
    struct span external_id; /* data NULL: any */
    bool has_status;
    enum key_status status;
    struct span tier; /* data NULL: any */
    struct span
        words[KEY_WORDS_MAX]; /* all of them begin words of the title (core/title_words.h) */
    size_t word_count;
    int64_t unused_since; /* wall ms: neither used nor made since then; 0: any */
    bool oldest_first;    /* else newest first */
    uint64_t before;      /* ids behind this one; 0: from the first */
    size_t limit;
};

/* At most `limit` ids in the arena. *next: what `before` has to be for the rest; 0:
 * there is none. Filters that seldom agree may give fewer than `limit` with a *next: a call looks
 * at about 20,000 keys at most. */
MUST_USE enum err key_search(struct db *db, const struct key_filter *filter, int64_t now_ms,
                             struct arena *arena, uint64_t **ids, size_t *count, uint64_t *next);

#endif
