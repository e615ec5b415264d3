/* base/table against a plain array: same contents through many adds and removes. */
#include "base/table.h"

#include "unit.h"

enum { ITEMS = 3000 };

static bool same_number(const void *item, const void *key)
{
    return *(const uint64_t *)item == *(const uint64_t *)key;
}

/* Few distinct hashes, so that runs collide and wrap around the end. */
static uint64_t bad_hash(uint64_t number)
{
    return table_mix(number % 97);
}

static uint64_t item_hash(const void *item)
{
    return bad_hash(*(const uint64_t *)item);
}

static void finds_what_was_added_and_not_removed(void **state)
{
    (void)state;
    static uint64_t numbers[ITEMS];
    static bool there[ITEMS];
    struct table table = {.hash = item_hash, .equal = same_number};
    uint64_t random = 1;
    for (size_t i = 0; i < ITEMS; i++)
        numbers[i] = i;
    for (int step = 0; step < 20000; step++) {
        random = table_mix(random + 1);
        size_t at = random % ITEMS;
        if (there[at])
            table_remove(&table, &numbers[at]);
        else
            assert_int_equal(table_add(&table, &numbers[at]), ERR_OK);
        there[at] = !there[at];
    }
    size_t count = 0, at = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(table_find(&table, bad_hash(i), &numbers[i]) != NULL, there[i]);
        count += there[i];
    }
    assert_int_equal(table.count, count);
    while (table_next(&table, &at))
        count--;
    assert_int_equal(count, 0);
    table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_added_and_not_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
