/* The table key_word. Called by store/api_key.c, store/customer.c and the editing of a key, on a DB
 * thread, inside the transaction that writes the title. What always holds: the rows of a key are
 * the beginnings of the words of its title as it stands. */
#include "store/key_word.h"

#include "core/title_words.h"
#include "store/upsert.h"

enum err key_word_add(struct db *db, const struct key_title *titles, size_t count)
{
    struct upsert words = {
        .db = db,
        .width = 2,
        UPSERT("INSERT INTO key_word (word, key_id)", "(?,?)", "key_id = VALUES(key_id)")};
    struct span beginnings[TITLE_BEGINNINGS_MAX];
    enum err error = ERR_OK;
    for (size_t i = 0; i < count && !error; i++) {
        size_t found = title_beginnings(span_text(titles[i].title), beginnings);
        for (size_t j = 0; j < found && !error; j++)
            error = upsert_add(
                &words, (struct db_value[]){db_span(beginnings[j]), db_u64(titles[i].key_id)});
    }
    return error ? error : upsert_flush(&words);
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
