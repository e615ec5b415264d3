/* Text forms: hex, base62, base64, ids and RFC 3339 times. No allocation, any thread. */
#ifndef KEYMETER_BASE_CODEC_H
#define KEYMETER_BASE_CODEC_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* Ids. Internally 63-bit, sortable by time: milliseconds << 21 | node (9 bits) << 12 | sequence.
 * On the wire `prefix_` and 13 characters of Crockford base32, lower case. */
enum { ID_TEXT_SIZE = 24 };      /* prefix of at most 8, '_', 13 characters, NUL */
void id_set_node(unsigned node); /* 0…511, at start; node 0 is for command-line tools */
uint64_t id_new(void);           /* any thread; strictly rising within the process */
void id_format(char out[ID_TEXT_SIZE], const char *prefix, uint64_t id);
MUST_USE bool id_parse(struct span text, const char *prefix, uint64_t *id);

/* RFC 3339 in UTC with Z. Formatting writes whole seconds. Parsing takes fractions and offsets;
 * years 1970…9999; false when malformed. */
enum { TIME_TEXT_SIZE = 24 };
void time_format(char out[TIME_TEXT_SIZE], int64_t wall_ms);
MUST_USE bool time_parse(struct span text, int64_t *wall_ms);

/* Days since 1970-01-01 of a date of the Gregorian calendar (month 1…12, day 1…31), and back. */
int64_t days_from_date(int64_t year, unsigned month, unsigned day);
void date_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);

/* Of a hex digit of either case; -1: it is none. */
int hex_value(char c);
void hex_encode(char *out /* 2 * length + 1 */, const void *data, size_t length);
MUST_USE bool hex_decode(void *out, size_t size, struct span text); /* exactly size bytes */

/* `digits` characters 0-9A-Za-z, zero-padded, most significant first; no NUL is added. The number
 * is big-endian, at most 64 bytes; digits that do not fit are dropped from the front. */
void base62_encode(char *out, size_t digits, const unsigned char *number, size_t number_length);
void base62_encode_u32(char *out, size_t digits, uint32_t number);

/* A whole decimal number without sign; false on anything else or on overflow past `max`. */
MUST_USE bool u64_parse(struct span text, uint64_t max, uint64_t *value);

/* Whether it has the shape of a language tag (RFC 5646): 2 to 8 letters, then parts of 1 to 8
 * letters and digits behind dashes, 35 characters at most. */
MUST_USE bool language_tag_is_good(struct span tag);

/* The decimal digits of a number, at the end of `out`; returns where they begin. */
enum { U64_DIGITS = 20 };
size_t u64_format(char out[U64_DIGITS], uint64_t value);

#endif
