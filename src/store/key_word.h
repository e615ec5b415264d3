/* The index of words by which keys are searched: a row for each beginning of each word of a title.
 * DB thread, in the transaction that writes the title. */
#ifndef KEYMETER_STORE_KEY_WORD_H
#define KEYMETER_STORE_KEY_WORD_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct db;

struct key_title {
    uint64_t key_id;
    const char *title;
};
/* Adds what the titles are to be found by. */
MUST_USE enum err key_word_add(struct db *db, const struct key_title *titles, size_t count);
/* Takes away what key_word_add added for this title. */
MUST_USE enum err key_word_remove(struct db *db, uint64_t key_id, const char *title);
/* Takes away all words of a customer's keys, by the titles that stand in api_key. */
MUST_USE enum err key_word_erase(struct db *db, uint64_t customer_id);

#endif
