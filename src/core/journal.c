/* The journal's payload: written by the meter on the loop, read by the fold on a DB thread. An
 * entry is a tag byte, then varints, most of them differences to the entry before; the end carries
 * the count, so that a cut payload is never taken for a short one. Reading trusts nothing. */
#include "core/journal.h"

enum {
    VERSION = 1,
    TAG_END = 0,
    TAG_ENTRY = 0x80, /* | network kind << 5 | flags */
    NETWORK_NONE = 0,
    NETWORK_4 = 1,
    NETWORK_8 = 2, /* IPv6 whose last 8 bytes are zero, as a /64 always is */
    NETWORK_16 = 3,
    VARINT_MAX = 10,
};

static const unsigned char network_stored[] = {0, 4, 8, 16};
static const unsigned char network_lengths[] = {0, 4, 16, 16};

/* ---- writing ---- */

static unsigned char *put_varint(unsigned char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (unsigned char)value;
    return at;
}

/* Small negative and positive numbers both become small: 0, -1, 1, -2 … to 0, 1, 2, 3 … */
static uint64_t zigzag(uint64_t value)
{
    return value << 1 ^ (value >> 63 ? UINT64_MAX : 0);
}

static uint64_t unzigzag(uint64_t value)
{
    return value >> 1 ^ (value & 1 ? UINT64_MAX : 0);
}

static unsigned char *put_difference(unsigned char *at, uint64_t value, uint64_t before)
{
    return put_varint(at, zigzag(value - before));
}

static unsigned network_kind(const struct journal_entry *entry)
{
    static const unsigned char zeros[8];
    if (entry->network_length == 4) return NETWORK_4;
    if (entry->network_length != 16) return NETWORK_NONE;
    return memcmp(entry->network + 8, zeros, 8) == 0 ? NETWORK_8 : NETWORK_16;
}

void journal_encode_begin(struct journal_writer *writer, struct buf *out)
{
    *writer = (struct journal_writer){.out = out};
    buf_add_char(out, VERSION);
}

void journal_encode_entry(struct journal_writer *writer, const struct journal_entry *entry)
{
    const struct journal_entry *before = &writer->previous;
    unsigned kind = network_kind(entry);
    unsigned char *start = (unsigned char *)buf_reserve(writer->out, JOURNAL_ENTRY_MAX);
    if (!start) return;
    unsigned char *at = start;
    *at++ = (unsigned char)(TAG_ENTRY | kind << 5 | (entry->flags & JOURNAL_FLAGS_MAX));
    at = put_difference(at, entry->secret_id, before->secret_id);
    at = put_difference(at, entry->key_id, before->key_id);
    at = put_difference(at, entry->customer_id, before->customer_id);
    at = put_difference(at, (uint64_t)entry->hour, (uint64_t)before->hour);
    at = put_difference(at, (uint64_t)entry->period_start, (uint64_t)before->period_start);
    at = put_difference(at, (uint64_t)entry->last_used_ms, (uint64_t)before->last_used_ms);
    at = put_difference(at, (uint64_t)entry->units, 0);
    at = put_varint(at, entry->allowed);
    at = put_varint(at, entry->denied_quota);
    at = put_varint(at, entry->denied_rate);
    at = put_varint(at, entry->denied_other);
    memcpy(at, entry->network, network_stored[kind]);
    at += network_stored[kind];
    writer->out->length += (size_t)(at - start);
    writer->previous = *entry;
    writer->count++;
}

void journal_encode_end(struct journal_writer *writer)
{
    unsigned char end[1 + VARINT_MAX] = {TAG_END};
    buf_add(writer->out, end, (size_t)(put_varint(end + 1, writer->count) - end));
}

/* ---- reading ---- */

static bool take_varint(struct journal_reader *reader, uint64_t max, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint64_t byte = *reader->at++;
        if (shift == 63 && byte > 1) return false;
        *value |= (byte & 0x7F) << shift;
        if (byte < 0x80) return *value <= max && (byte || !shift); /* no padded forms */
    }
    return false;
}

static bool take_difference(struct journal_reader *reader, uint64_t before, uint64_t *value)
{
    uint64_t difference;
    if (!take_varint(reader, UINT64_MAX, &difference)) return false;
    *value = before + unzigzag(difference);
    return true;
}

static bool take_signed(struct journal_reader *reader, int64_t before, int64_t *value)
{
    uint64_t bits;
    if (!take_difference(reader, (uint64_t)before, &bits)) return false;
    memcpy(value, &bits, sizeof bits);
    return true;
}

static bool take_count(struct journal_reader *reader, uint32_t *value)
{
    uint64_t wide;
    if (!take_varint(reader, UINT32_MAX, &wide)) return false;
    *value = (uint32_t)wide;
    return true;
}

static bool take_network(struct journal_reader *reader, unsigned kind, struct journal_entry *entry)
{
    size_t stored = network_stored[kind];
    if ((size_t)(reader->end - reader->at) < stored) return false;
    memcpy(entry->network, reader->at, stored);
    reader->at += stored;
    entry->network_length = network_lengths[kind];
    return true;
}

static enum err take_end(struct journal_reader *reader)
{
    uint64_t count;
    if (!take_varint(reader, UINT64_MAX, &count) || count != reader->count ||
        reader->at != reader->end)
        return ERR_INVALID;
    reader->at = NULL; /* a further call says "all" again */
    return ERR_NOT_FOUND;
}

enum err journal_decode_init(struct journal_reader *reader, struct span payload)
{
    const unsigned char *at = (const unsigned char *)payload.data;
    *reader = (struct journal_reader){0};
    if (!payload.length || at[0] != VERSION) return ERR_INVALID;
    reader->at = at + 1;
    reader->end = at + payload.length;
    return ERR_OK;
}

enum err journal_decode_next(struct journal_reader *reader, struct journal_entry *entry)
{
    const struct journal_entry *before = &reader->previous;
    struct journal_entry next = {0};
    if (!reader->at) return ERR_NOT_FOUND;
    if (reader->at == reader->end) return ERR_INVALID;
    unsigned tag = *reader->at++;
    if (tag == TAG_END) return take_end(reader);
    next.flags = tag & JOURNAL_FLAGS_MAX;
    if (!(tag & TAG_ENTRY) || !take_difference(reader, before->secret_id, &next.secret_id) ||
        !take_difference(reader, before->key_id, &next.key_id) ||
        !take_difference(reader, before->customer_id, &next.customer_id) ||
        !take_signed(reader, before->hour, &next.hour) ||
        !take_signed(reader, before->period_start, &next.period_start) ||
        !take_signed(reader, before->last_used_ms, &next.last_used_ms) ||
        !take_signed(reader, 0, &next.units) || !take_count(reader, &next.allowed) ||
        !take_count(reader, &next.denied_quota) || !take_count(reader, &next.denied_rate) ||
        !take_count(reader, &next.denied_other) || !take_network(reader, tag >> 5 & 3, &next))
        return ERR_INVALID;
    reader->count++;
    reader->previous = next;
    *entry = next;
    return ERR_OK;
}
