/* core/journal over good, cut and random bytes, and core/lease. */
#include "core/journal.h"
#include "core/lease.h"

#include "unit.h"

#include <stdlib.h>

static uint64_t seed = 7;
static uint64_t random_next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static struct journal_entry entry_of(unsigned i)
{
    static const uint8_t lengths[] = {0, 4, 16, 16};
    struct journal_entry entry = {
        .secret_id = random_next() >> random_next() % 64,
        .key_id = random_next() >> random_next() % 64,
        .customer_id = random_next(),
        .hour = (int64_t)random_next(),
        .period_start = (int64_t)random_next(),
        .last_used_ms = (int64_t)(random_next() % 2000000000000),
        .units = (int64_t)random_next() >> random_next() % 64,
        .allowed = (uint32_t)(random_next() >> random_next() % 64),
        .denied_quota = (uint32_t)random_next(),
        .denied_rate = (uint32_t)(random_next() % 3),
        .network_length = lengths[i % 4],
        .flags = (uint8_t)(i % (JOURNAL_FLAGS_MAX + 1)),
    };
    for (unsigned at = 0; at < entry.network_length; at++)
        entry.network[at] = i % 4 == 2 && at >= 8 ? 0 : (unsigned char)(random_next() | 1);
    return entry;
}

static void same(const struct journal_entry *a, const struct journal_entry *b)
{
    assert_true(a->secret_id == b->secret_id && a->key_id == b->key_id &&
                a->customer_id == b->customer_id && a->hour == b->hour &&
                a->period_start == b->period_start && a->last_used_ms == b->last_used_ms &&
                a->units == b->units && a->allowed == b->allowed &&
                a->denied_quota == b->denied_quota && a->denied_rate == b->denied_rate &&
                a->denied_other == b->denied_other && a->network_length == b->network_length &&
                a->flags == b->flags);
    assert_memory_equal(a->network, b->network, sizeof a->network);
}

/* Reads all there is; how it ended. */
static enum err read_all(struct span payload, unsigned *count)
{
    struct journal_reader reader;
    struct journal_entry entry;
    enum err result = journal_decode_init(&reader, payload);
    *count = 0;
    while (result == ERR_OK) {
        result = journal_decode_next(&reader, &entry);
        if (result == ERR_OK) ++*count;
    }
    return result;
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    enum { ENTRIES = 300 };
    static struct journal_entry entries[ENTRIES];
    struct buf buf = {0};
    struct journal_writer writer;
    journal_encode_begin(&writer, &buf);
    for (unsigned i = 0; i < ENTRIES; i++) {
        size_t before = buf.length;
        entries[i] = entry_of(i);
        journal_encode_entry(&writer, &entries[i]);
        assert_in_range(buf.length - before, 1, JOURNAL_ENTRY_MAX);
    }
    journal_encode_end(&writer);
    assert_false(buf.failed);

    struct journal_reader reader;
    struct journal_entry entry;
    assert_int_equal(journal_decode_init(&reader, buf_span(&buf)), ERR_OK);
    for (unsigned i = 0; i < ENTRIES; i++) {
        assert_int_equal(journal_decode_next(&reader, &entry), ERR_OK);
        same(&entry, &entries[i]);
    }
    assert_int_equal(journal_decode_next(&reader, &entry), ERR_NOT_FOUND);
    assert_int_equal(journal_decode_next(&reader, &entry), ERR_NOT_FOUND);
    buf_done(&buf);
}

static void the_extremes_fit(void **state)
{
    (void)state;
    struct journal_entry low = {.hour = INT64_MIN, .units = INT64_MIN}, high, got;
    memset(&high, 0xFF, sizeof high);
    high.hour = high.period_start = high.last_used_ms = high.units = INT64_MAX;
    high.network_length = 16;
    high.flags = JOURNAL_FLAGS_MAX;
    struct buf buf = {0};
    struct journal_writer writer;
    struct journal_reader reader;
    journal_encode_begin(&writer, &buf);
    journal_encode_entry(&writer, &low);
    journal_encode_entry(&writer, &high);
    journal_encode_entry(&writer, &low);
    journal_encode_end(&writer);
    assert_int_equal(journal_decode_init(&reader, buf_span(&buf)), ERR_OK);
    assert_int_equal(journal_decode_next(&reader, &got), ERR_OK);
    same(&got, &low);
    assert_int_equal(journal_decode_next(&reader, &got), ERR_OK);
    same(&got, &high);
    assert_int_equal(journal_decode_next(&reader, &got), ERR_OK);
    same(&got, &low);
    buf_done(&buf);
}

static void a_usual_entry_is_small(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct journal_writer writer;
    struct journal_entry entry = {.secret_id = 1ull << 61,
                                  .key_id = 1ull << 61,
                                  .customer_id = 1ull << 61,
                                  .hour = 1795248000000,
                                  .period_start = 1793491200000,
                                  .last_used_ms = 1795249800000,
                                  .units = 3,
                                  .allowed = 3,
                                  .network = {203, 0, 113},
                                  .network_length = 4};
    journal_encode_begin(&writer, &buf);
    journal_encode_entry(&writer, &entry);
    size_t before = buf.length;
    entry.secret_id += 5000;
    entry.key_id += 5000;
    journal_encode_entry(&writer, &entry);
    assert_in_range(buf.length - before, 1, 24);
    buf_done(&buf);
}

static void cut_or_damaged_is_never_whole(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct journal_writer writer;
    unsigned count;
    journal_encode_begin(&writer, &buf);
    for (unsigned i = 0; i < 40; i++) {
        struct journal_entry entry = entry_of(i);
        journal_encode_entry(&writer, &entry);
    }
    journal_encode_end(&writer);
    for (size_t length = 0; length < buf.length; length++) {
        char *cut = malloc(length + 1); /* of its exact size: ASan sees a read past it */
        memcpy(cut, buf.data, length);
        cut = realloc(cut, length ? length : 1);
        assert_int_equal(read_all(span_of(cut, length), &count), ERR_INVALID);
        free(cut);
    }
    buf.data[buf.length - 1]++; /* the count */
    assert_int_equal(read_all(buf_span(&buf), &count), ERR_INVALID);
    buf.data[buf.length - 1]--;
    assert_int_equal(read_all(buf_span(&buf), &count), ERR_NOT_FOUND);
    assert_int_equal(count, 40);
    buf_add_char(&buf, 0);
    assert_int_equal(read_all(buf_span(&buf), &count), ERR_INVALID);
    buf.data[0] = 2;
    assert_int_equal(read_all(buf_span(&buf), &count), ERR_INVALID);
    buf_done(&buf);
}

static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t length = random_next() % 80 + 1;
        char *bytes = malloc(length);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)random_next();
        bytes[0] = 1;
        unsigned count;
        enum err result = read_all(span_of(bytes, length), &count);
        assert_true(result == ERR_INVALID || result == ERR_NOT_FOUND);
        assert_true(count <= length / 12);
        free(bytes);
    }
}

static void lease_sizes(void **state)
{
    (void)state;
    assert_int_equal(lease_size(1, 0, 1000, 1), 1);
    assert_int_equal(lease_size(1, 200, 1000, 1), 200);  /* a second's worth */
    assert_int_equal(lease_size(1, 5000, 1000, 1), 500); /* half of what is left */
    assert_int_equal(lease_size(1, 5000, 1000, 5), 100); /* and of one node's share */
    assert_int_equal(lease_size(300, 5000, 1000, 5), 300);
    assert_int_equal(lease_size(1, 100, 0, 1), 1);
    assert_int_equal(lease_size(1, 100, 1, 0), 1);
    assert_int_equal(lease_size(0, 0, 0, 0), 0);
    assert_int_equal(lease_size(1, 90000, LEASE_NO_LIMIT, 512), 90000);
    assert_true(lease_size(1, UINT64_MAX, LEASE_NO_LIMIT, 1) <= INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),     cmocka_unit_test(the_extremes_fit),
        cmocka_unit_test(a_usual_entry_is_small),  cmocka_unit_test(cut_or_damaged_is_never_whole),
        cmocka_unit_test(random_bytes_do_no_harm), cmocka_unit_test(lease_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
