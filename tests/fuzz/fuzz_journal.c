/* The journal's payload, which another version may have written, or a broken disk. What must hold:
 * what is read can be written again and is then read the same.
 * Input: a payload. */
#include "core/journal.h"
#include "fuzz.h"

#include <string.h>

enum { ENTRIES_MAX = 4096 };

/* How many entries; -1: damaged. */
static int decode(struct span payload, struct journal_entry *entries)
{
    struct journal_reader reader;
    if (journal_decode_init(&reader, payload) != ERR_OK) return -1;
    for (int count = 0; count < ENTRIES_MAX; count++) {
        memset(&entries[count], 0, sizeof entries[count]); /* the padding too */
        enum err error = journal_decode_next(&reader, &entries[count]);
        if (error == ERR_NOT_FOUND) return count;
        if (error != ERR_OK) return -1;
        const struct journal_entry *entry = &entries[count];
        FUZZ_CHECK(entry->flags <= JOURNAL_FLAGS_MAX);
        FUZZ_CHECK(entry->network_length == 0 || entry->network_length == 4 ||
                   entry->network_length == 16);
    }
    return -1;
}

static bool same(const struct journal_entry *a, const struct journal_entry *b)
{
    return a->secret_id == b->secret_id && a->key_id == b->key_id &&
           a->customer_id == b->customer_id && a->hour == b->hour &&
           a->period_start == b->period_start && a->last_used_ms == b->last_used_ms &&
           a->units == b->units && a->allowed == b->allowed && a->denied_quota == b->denied_quota &&
           a->denied_rate == b->denied_rate && a->denied_other == b->denied_other &&
           a->network_length == b->network_length && a->flags == b->flags &&
           !memcmp(a->network, b->network, a->network_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct journal_entry entries[ENTRIES_MAX], again[ENTRIES_MAX];
    int count = decode(span_of(data, size), entries);
    if (count < 0) return 0;
    struct buf out CLEANUP(buf_done) = {0};
    struct journal_writer writer;
    journal_encode_begin(&writer, &out);
    for (int i = 0; i < count; i++)
        journal_encode_entry(&writer, &entries[i]);
    journal_encode_end(&writer);
    FUZZ_CHECK(!out.failed);
    FUZZ_CHECK(decode(buf_span(&out), again) == count);
    for (int i = 0; i < count; i++)
        FUZZ_CHECK(same(&entries[i], &again[i]));
    return 0;
}
