/* The journal's statements against a real MariaDB: an insert that stands under the feed's end it
 * was decided under, and only then. */
#include "store/journal.h"

#include "database.h"

#include "unit.h"

static struct db *db, *other;
static const struct journal_id id = {7, 3, 1};

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static void feed_grow(struct db *on, uint64_t *tag)
{
    struct feed_row row = {.kind = FEED_KEY, .subject = 1};
    must(feed_append(on, 0, &row, 1, NULL, 0, &(uint64_t){0}, tag));
}

static int setup(void **state)
{
    (void)state;
    database_migrate();
    db = database_open();
    other = database_open();
    must(db_command(db, "INSERT INTO node (id, incarnation, started_at) VALUES (7, 3, 0)"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    db_close(&db);
    db_close(&other);
    return 0;
}

static bool written_at(struct feed_place place)
{
    bool written, found;
    must(journal_insert_at(db, id, SPAN("payload"), place, &written));
    must(journal_look(db, id, &found));
    assert_int_equal(written, found);
    return written;
}

static void written_while_nothing_is_new(void **state)
{
    (void)state;
    struct feed_place place;
    must(feed_newest(db, &place));
    assert_true(written_at(place));
}

static void not_written_behind_news(void **state)
{
    (void)state;
    struct feed_place place;
    must(feed_newest(db, &place));
    feed_grow(other, &(uint64_t){0});
    assert_false(written_at(place));
}

/* A row that was seen before a crash of the server, and another one in its place. */
static void not_written_under_another_tag(void **state)
{
    (void)state;
    struct feed_place place;
    must(feed_newest(db, &place));
    place.tag++;
    assert_false(written_at(place));
}

static void not_written_once_fenced(void **state)
{
    (void)state;
    struct feed_place place;
    must(feed_newest(db, &place));
    must(db_command(other, "UPDATE node SET fenced = 1 WHERE id = 7"));
    assert_false(written_at(place));
    assert_int_equal(journal_insert(db, id, SPAN("payload")), ERR_FENCED);
}

/* Lock waits end after a second with an error, so waiting would be seen. */
static void neither_waits_for_an_appender_nor_stops_one(void **state)
{
    (void)state;
    struct feed_place place;
    must(feed_newest(db, &place));
    must(db_begin(other));
    feed_grow(other, &(uint64_t){0});
    assert_true(written_at(place));
    must(db_commit(other));
    must(db_begin(db));
    bool written;
    must(feed_newest(db, &place));
    must(journal_insert_at(db, (struct journal_id){7, 3, 2}, SPAN("payload"), place, &written));
    assert_true(written);
    feed_grow(other, &(uint64_t){0});
    must(db_commit(db));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_while_nothing_is_new, setup, teardown),
        cmocka_unit_test_setup_teardown(not_written_behind_news, setup, teardown),
        cmocka_unit_test_setup_teardown(not_written_under_another_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(not_written_once_fenced, setup, teardown),
        cmocka_unit_test_setup_teardown(neither_waits_for_an_appender_nor_stops_one, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
