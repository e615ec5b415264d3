/* Text forms of ids, times and numbers, and the source of ids. Called from everywhere, any thread.
 * What is parsed comes from clients: nothing is accepted but the one canonical form, and no byte
 * past the span is read. The only state is the id counter, which is atomic. */
#include "base/codec.h"

#include "base/clock.h"

#include <sodium.h>
#include <stdatomic.h>

static const char base32[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford, lower case */
static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

enum {
    ID_SEQUENCE_BITS = 12,
    ID_NODE_BITS = 9,
    ID_PREFIX_MAX = 8,
    ID_DIGITS = 13,
    NUMBER_MAX = 64,
};

static atomic_uint id_node;
static _Atomic uint64_t id_last; /* milliseconds << 12 | sequence */

void id_set_node(unsigned node)
{
    atomic_store(&id_node, node & ((1u << ID_NODE_BITS) - 1));
}

/* When a millisecond's sequence is used up, or the clock steps back, the count runs on into the
 * milliseconds to come: still rising, still unique. */
uint64_t id_new(void)
{
    uint64_t now = (uint64_t)clock_wall_ms() << ID_SEQUENCE_BITS;
    uint64_t last = atomic_load(&id_last), next;
    do {
        next = now > last ? now : last + 1;
    } while (!atomic_compare_exchange_weak(&id_last, &last, next));
    uint64_t sequence = next & ((1u << ID_SEQUENCE_BITS) - 1);
    uint64_t ms = next >> ID_SEQUENCE_BITS;
    uint64_t id = ms << (ID_SEQUENCE_BITS + ID_NODE_BITS) |
                  (uint64_t)atomic_load(&id_node) << ID_SEQUENCE_BITS | sequence;
    return id & INT64_MAX;
}

void id_format(char out[ID_TEXT_SIZE], const char *prefix, uint64_t id)
{
    size_t at = 0;
    while (at < ID_PREFIX_MAX && prefix[at]) {
        out[at] = prefix[at];
        at++;
    }
    out[at++] = '_';
    for (unsigned i = ID_DIGITS; i-- > 0;) {
        out[at + i] = base32[id & 31];
        id >>= 5;
    }
    out[at + ID_DIGITS] = '\0';
}

bool id_parse(struct span text, const char *prefix, uint64_t *id)
{
    size_t skip = strlen(prefix) + 1;
    if (text.length != skip + ID_DIGITS || !span_starts(text, prefix) || text.data[skip - 1] != '_')
        return false;
    uint64_t value = 0;
    for (size_t i = skip; i < text.length; i++) {
        const char *digit = text.data[i] ? strchr(base32, text.data[i]) : NULL;
        if (!digit || (i == skip && digit - base32 > 7)) return false; /* past 63 bits */
        value = value << 5 | (uint64_t)(digit - base32);
    }
    *id = value;
    return value != 0;
}

/* Both by counting years from March, so that the leap day is a year's last (public algorithm by
 * H. Hinnant, "chrono-compatible low-level date algorithms"). */
int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void date_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = years + era * 400 + (*month <= 2);
}

static void put_digits(char *out, unsigned digits, unsigned value)
{
    while (digits-- > 0) {
        out[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* 253402300799 is the last second of the year 9999: what lies outside is shown as the nearest. */
void time_format(char out[TIME_TEXT_SIZE], int64_t wall_ms)
{
    int64_t seconds = wall_ms < 0 ? 0 : wall_ms / 1000;
    if (seconds > 253402300799) seconds = 253402300799;
    int64_t year;
    unsigned month, day, rest = (unsigned)(seconds % 86400);
    date_from_days(seconds / 86400, &year, &month, &day);
    memcpy(out, "0000-00-00T00:00:00Z", 21);
    put_digits(out, 4, (unsigned)year);
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day);
    put_digits(out + 11, 2, rest / 3600);
    put_digits(out + 14, 2, rest / 60 % 60);
    put_digits(out + 17, 2, rest % 60);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly `digits` digits, then `after` unless that is NUL; moves the text past them. */
static bool take_digits(struct span *text, unsigned digits, char after, unsigned *value)
{
    size_t length = digits + (after ? 1 : 0);
    if (text->length < length) return false;
    *value = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (!is_digit(text->data[i])) return false;
        *value = *value * 10 + (unsigned)(text->data[i] - '0');
    }
    if (after && text->data[digits] != after) return false;
    text->data += length;
    text->length -= length;
    return true;
}

static unsigned days_of_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* A fraction of any number of digits, of which three count; none: 0. */
static bool take_fraction(struct span *text, int64_t *ms)
{
    *ms = 0;
    if (!text->length || text->data[0] != '.') return true;
    int64_t weight = 100;
    size_t i = 1;
    for (; i < text->length && is_digit(text->data[i]); i++) {
        *ms += weight * (text->data[i] - '0');
        weight /= 10;
    }
    text->data += i;
    text->length -= i;
    return i > 1;
}

/* "Z" or "+hh:mm", and then nothing more. */
static bool take_offset(struct span text, int64_t *seconds)
{
    *seconds = 0;
    if (span_is_nocase(text, "Z")) return true;
    if (text.length != 6 || (text.data[0] != '+' && text.data[0] != '-')) return false;
    bool west = text.data[0] == '-';
    struct span rest = {text.data + 1, text.length - 1};
    unsigned hour, minute;
    if (!take_digits(&rest, 2, ':', &hour) || !take_digits(&rest, 2, 0, &minute)) return false;
    if (hour > 23 || minute > 59) return false;
    *seconds = (west ? -1 : 1) * ((int64_t)hour * 3600 + (int64_t)minute * 60);
    return true;
}

bool time_parse(struct span text, int64_t *wall_ms)
{
    unsigned year, month, day, hour, minute, second;
    int64_t ms, offset;
    if (!take_digits(&text, 4, '-', &year) || !take_digits(&text, 2, '-', &month) ||
        !take_digits(&text, 2, 0, &day))
        return false;
    if (!text.length || (text.data[0] != 'T' && text.data[0] != 't')) return false;
    text.data++;
    text.length--;
    if (!take_digits(&text, 2, ':', &hour) || !take_digits(&text, 2, ':', &minute) ||
        !take_digits(&text, 2, 0, &second) || !take_fraction(&text, &ms) ||
        !take_offset(text, &offset))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
        hour > 23 || minute > 59 || second > 59)
        return false;
    int64_t seconds = days_from_date(year, month, day) * 86400 + (int64_t)hour * 3600 +
                      (int64_t)minute * 60 + second - offset;
    if (seconds < 0 || seconds > 253402300799) return false;
    *wall_ms = seconds * 1000 + ms;
    return true;
}

void hex_encode(char *out, const void *data, size_t length)
{
    sodium_bin2hex(out, 2 * length + 1, data, length);
}

int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool hex_decode(void *out, size_t size, struct span text)
{
    unsigned char *bytes = out;
    if (text.length / 2 != size || text.length % 2) return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

void base62_encode(char *out, size_t digits, const unsigned char *number, size_t number_length)
{
    unsigned char rest[NUMBER_MAX];
    if (number_length > NUMBER_MAX) {
        number += number_length - NUMBER_MAX;
        number_length = NUMBER_MAX;
    }
    memcpy(rest, number, number_length);
    while (digits-- > 0) {
        unsigned remainder = 0;
        for (size_t i = 0; i < number_length; i++) {
            unsigned value = remainder << 8 | rest[i];
            rest[i] = (unsigned char)(value / 62);
            remainder = value % 62;
        }
        out[digits] = base62[remainder];
    }
    sodium_memzero(rest, sizeof rest);
}

void base62_encode_u32(char *out, size_t digits, uint32_t number)
{
    while (digits-- > 0) {
        out[digits] = base62[number % 62];
        number /= 62;
    }
}

bool u64_parse(struct span text, uint64_t max, uint64_t *value)
{
    if (!text.length) return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (!is_digit(text.data[i])) return false;
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        if (sum > (UINT64_MAX - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    if (sum > max) return false;
    *value = sum;
    return true;
}

bool language_tag_is_good(struct span tag)
{
    size_t part = 0, parts = 0;
    if (tag.length > 35) return false;
    for (size_t i = 0; i <= tag.length; i++) {
        char c = i < tag.length ? tag.data[i] : '-';
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c == '-') {
            if (part < (parts ? 1 : 2) || part > 8) return false;
            part = 0;
            parts++;
        } else if (is_letter || (c >= '0' && c <= '9' && parts)) {
            part++;
        } else {
            return false;
        }
    }
    return true;
}

/* Two digits a division: answers carry many numbers. */
size_t u64_format(char out[U64_DIGITS], uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    size_t at = U64_DIGITS;
    for (; value >= 100; value /= 100)
        memcpy(out + (at -= 2), pairs + 2 * (value % 100), 2);
    if (value >= 10) {
        memcpy(out + (at -= 2), pairs + 2 * value, 2);
    } else {
        out[--at] = (char)('0' + value);
    }
    return at;
}
