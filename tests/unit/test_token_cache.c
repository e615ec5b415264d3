/* service/token_cache over a real MariaDB: a miss is looked up once, a change kills the entry, and
 * a look that was under way while a token changed never brings back what was before. */
#include "service/token_cache.h"

#include "database.h"
#include "io/loop.h"
#include "service/context.h"
#include "store/token.h"

#include "unit.h"

static struct service service;
static struct db *side;

struct answer {
    struct token_look look;
    bool came, known;
    enum err error;
    uint64_t id;
};

static void looked(struct token_look *look, const struct token_entry *entry, enum err error)
{
    struct answer *answer = CONTAINER_OF(look, struct answer, look);
    answer->came = true;
    answer->known = entry != NULL;
    answer->error = error;
    if (entry) answer->id = entry->id;
    loop_stop(service.loop);
}

static void closed(void *context)
{
    *(bool *)context = true;
    loop_stop(service.loop);
}

static struct token_row row_of(uint64_t id)
{
    return (struct token_row){.id = id,
                              .name = "t",
                              .scopes = SCOPE_VERIFY,
                              .hash = {(unsigned char)id, 1},
                              .start = "kmt_abcdef",
                              .created_at = 1};
}

static void token_add(uint64_t id)
{
    struct token_row row = row_of(id);
    assert_int_equal(token_insert(side, &row), ERR_OK);
}

static void token_end(uint64_t id)
{
    bool changed;
    assert_int_equal(token_revoke(side, id, 2, &changed), ERR_OK);
    assert_true(changed);
}

static void look_begin(struct answer *answer, uint64_t id)
{
    *answer = (struct answer){0};
    memcpy(answer->look.hash, row_of(id).hash, 32);
    answer->look.done = looked;
    assert_int_equal(token_cache_look(service.tokens, &answer->look), ERR_OK);
    assert_false(answer->came); /* never inside */
}

static void look_wait(struct answer *answer)
{
    while (!answer->came)
        loop_run(service.loop);
}

static void a_miss_is_looked_up_and_kept(void **state)
{
    (void)state;
    struct answer answer;
    token_add(7);
    assert_null(token_cache_find(service.tokens, row_of(7).hash));
    look_begin(&answer, 7);
    look_wait(&answer);
    assert_true(answer.known);
    assert_int_equal(answer.id, 7);
    const struct token_entry *entry = token_cache_find(service.tokens, row_of(7).hash);
    assert_non_null(entry);
    assert_int_equal(entry->scopes, SCOPE_VERIFY);
    token_cache_changed(service.tokens, 7);
    assert_null(token_cache_find(service.tokens, row_of(7).hash));
    look_begin(&answer, 99);
    look_wait(&answer);
    assert_int_equal(answer.error, ERR_NOT_FOUND);
}

static void a_change_during_a_look_is_seen(void **state)
{
    (void)state;
    struct answer answer;
    token_add(8);
    look_begin(&answer, 8);
    /* However far that look is: the token dies, and the feed says so, before its done. */
    token_end(8);
    token_cache_changed(service.tokens, 8);
    look_wait(&answer);
    assert_false(answer.known);
    assert_int_equal(answer.error, ERR_NOT_FOUND);
    assert_null(token_cache_find(service.tokens, row_of(8).hash));
}

static void neighbours_survive_a_removal(void **state)
{
    (void)state;
    struct answer answer;
    for (uint64_t id = 20; id < 30; id++) {
        token_add(id);
        look_begin(&answer, id);
        look_wait(&answer);
    }
    for (uint64_t gone = 20; gone < 30; gone++) {
        token_cache_changed(service.tokens, gone);
        for (uint64_t id = 20; id < 30; id++)
            assert_int_equal(token_cache_find(service.tokens, row_of(id).hash) != NULL, id > gone);
    }
}

static int begin(void **state)
{
    (void)state;
    database_start();
    database_migrate();
    side = database_open();
    struct db_pool_config config = {
        .name = "readers", .db = *database_start(), .threads = 1, .queue_limit = 16};
    if (loop_new(&service.loop) || db_pool_new(&service.readers, service.loop, &config)) return -1;
    return token_cache_new(&service.tokens, &service) == ERR_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    bool gone = false;
    db_pool_stop(service.readers, closed, &gone);
    while (!gone)
        loop_run(service.loop);
    token_cache_free(&service.tokens);
    db_close(&side);
    return loop_free(&service.loop) == ERR_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_is_looked_up_and_kept),
        cmocka_unit_test(a_change_during_a_look_is_seen),
        cmocka_unit_test(neighbours_survive_a_removal),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
