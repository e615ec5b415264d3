/* The payload of one batch of metered calls (meter_journal.payload): compact, versioned, written on
 * the loop, read by the fold, perhaps much later and by another version. Pure. */
#ifndef KEYMETER_CORE_JOURNAL_H
#define KEYMETER_CORE_JOURNAL_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

enum {
    JOURNAL_QUOTA_FREE = 1, /* a test key: not counted against the quota */
    JOURNAL_CAPPED = 2,     /* counted against the key's monthly cap too */
    JOURNAL_UNLEASED = 4,   /* of an incarnation that ended: counted, but off nobody's lease */
    JOURNAL_TAKEN_BACK = 8, /* counts are to be subtracted: nobody got this answer (units carry
                               their own sign) */
    JOURNAL_ACTIVE = 16,    /* the key's first use in this hour, as far as the node knows */
};
enum { JOURNAL_FLAGS_MAX = 31, JOURNAL_ENTRY_MAX = 128 /* bytes encoded, at most */ };

struct journal_entry {
    uint64_t secret_id, key_id, customer_id;
    int64_t hour, period_start; /* wall ms, as decided */
    int64_t last_used_ms;       /* 0: only denied calls, or a use that was told of shortly before */
    int64_t units;              /* charged; negative: given back */
    uint32_t allowed, denied_quota, denied_rate, denied_other;
    unsigned char network[16]; /* of the last call, host bits clear */
    uint8_t network_length;    /* 0, 4 or 16 */
    uint8_t flags;             /* JOURNAL_… */
};

struct journal_writer {
    struct buf *out; /* errors stay in out->failed */
    uint64_t count;
    struct journal_entry previous;
};

struct journal_reader {
    const unsigned char *at, *end;
    uint64_t count;
    struct journal_entry previous;
};

/* begin, entries, end: appended to `out`. Entries of one secret side by side are smallest. */
void journal_encode_begin(struct journal_writer *writer, struct buf *out);
void journal_encode_entry(struct journal_writer *writer, const struct journal_entry *entry);
void journal_encode_end(struct journal_writer *writer);

/* Over untrusted bytes, which must outlive the reader. ERR_INVALID: not a payload this version
 * reads. */
MUST_USE enum err journal_decode_init(struct journal_reader *reader, struct span payload);
/* ERR_OK: *entry is set. ERR_NOT_FOUND: that was all. ERR_INVALID: damaged. */
MUST_USE enum err journal_decode_next(struct journal_reader *reader, struct journal_entry *entry);

#endif
