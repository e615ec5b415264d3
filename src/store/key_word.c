/* The table key_word. Called by store/api_key.c, store/customer.c and the editing of a key, on a DB
 * thread, inside the transaction that writes the title. What always holds: the rows of a key are
 * the beginnings of the words of its title as it stands. */
#include "store/key_word.h"

#include "core/title_words.h"
#include "io/db.h"

enum { FEW = 8, MANY = 32 };

#define EIGHT_ROWS     "(?,?),(?,?),(?,?),(?,?),(?,?),(?,?),(?,?),(?,?)"
#define ADD_WORDS      "INSERT INTO key_word (word, key_id) VALUES "
#define STANDS_ALREADY " ON DUPLICATE KEY UPDATE key_id = VALUES(key_id)"

enum err key_word_add(struct db *db, uint64_t key_id, const char *title)
{
    static const char few[] = ADD_WORDS EIGHT_ROWS STANDS_ALREADY;
    static const char many[] =
        ADD_WORDS EIGHT_ROWS "," EIGHT_ROWS "," EIGHT_ROWS "," EIGHT_ROWS STANDS_ALREADY;
    struct span words[TITLE_BEGINNINGS_MAX];
    struct db_value values[2 * MANY];
    size_t count = title_beginnings(span_text(title), words);
    enum err error = ERR_OK;
    for (size_t at = 0; !error && at < count;) {
        size_t rows = count - at > 2 * FEW ? MANY : FEW;
        for (size_t i = 0; i < rows; i++) { /* the last word fills the places left */
            values[2 * i] = db_span(words[at + i < count ? at + i : count - 1]);
            values[2 * i + 1] = db_u64(key_id);
        }
        error = db_execute(db, rows == FEW ? few : many, values, 2 * rows, NULL);
        at += rows;
    }
    return error;
}

enum err key_word_remove(struct db *db, uint64_t key_id, const char *title)
{
    static const char sql[] = "DELETE FROM key_word WHERE word = ? AND key_id = ?";
    struct span words[TITLE_BEGINNINGS_MAX];
    size_t count = title_beginnings(span_text(title), words);
    enum err error = ERR_OK;
    for (size_t i = 0; !error && i < count; i++)
        error = db_execute(db, sql, DB_VALUES(db_span(words[i]), db_u64(key_id)), NULL);
    return error;
}

enum err key_word_erase(struct db *db, uint64_t customer_id)
{
    static const char sql[] = "SELECT id, title FROM api_key WHERE customer_id = ? AND title <> ''"
                              " FOR UPDATE";
    struct arena arena = {0};
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(customer_id)), &rows);
    if (error) return error;
    while (!error && db_next(&rows)) {
        const char *title = db_get_text(&rows, 1, &arena);
        error = title ? key_word_remove(db, db_get_u64(&rows, 0), title) : ERR_NO_MEMORY;
    }
    if (error) db_finish(&rows);
    arena_done(&arena);
    return error;
}
