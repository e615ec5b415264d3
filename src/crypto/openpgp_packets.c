/* Judges the packets of an OpenPGP key without any cryptography. Called by openpgp.c before librnp
 * sees the key, with whatever a client sent. What always holds for a key that passes: one public
 * primary key, no secret one, few parts, and no number so large that a signature's check or an
 * encryption takes long: the costs below are bounded whoever made the key. */
#include "crypto/openpgp_packets.h"

#include <stdint.h>

enum {
    TAG_SIGNATURE = 2,
    TAG_SECRET_KEY = 5,
    TAG_PUBLIC_KEY = 6,
    TAG_SECRET_SUBKEY = 7,
    TAG_USER_ID = 13,
    TAG_PUBLIC_SUBKEY = 14,
    TAG_ATTRIBUTE = 17,
    TAG_LAST = 63,
};
enum { SUBKEYS_MAX = 16, IDS_MAX = 32, SIGNATURES_MAX = 192, PACKETS_MAX = 320 };
enum {
    RSA = 1,
    RSA_ENCRYPT = 2,
    RSA_SIGN = 3,
    ELGAMAL = 16,
    DSA = 17,
};
enum {
    RSA_BITS_MAX = 8192,
    RSA_EXPONENT_BITS_MAX = 64,
    DSA_BITS_MAX = 4096,
    DSA_ORDER_BITS_MAX = 512
};

#define BEGIN "-----BEGIN PGP "
#define END   "-----END PGP PUBLIC KEY BLOCK-----"

static const char *find(struct span text, const char *word)
{
    return text.length ? memmem(text.data, text.length, word, strlen(word)) : NULL;
}

static struct span from(struct span text, const char *at)
{
    return span_of(at, text.length - (size_t)(at - text.data));
}

enum mail_key_fault openpgp_armor_find(struct span text, struct span *block)
{
    const char *begin = find(text, BEGIN);
    if (!begin) return MAIL_KEY_MALFORMED;
    struct span rest = from(text, begin);
    if (find(rest, BEGIN "PRIVATE KEY BLOCK-----")) return MAIL_KEY_SECRET;
    if (!span_starts(rest, BEGIN "PUBLIC KEY BLOCK-----")) return MAIL_KEY_MALFORMED;
    if (find(from(rest, begin + strlen(BEGIN)), BEGIN)) return MAIL_KEY_SEVERAL;
    const char *end = find(rest, END);
    if (!end) return MAIL_KEY_MALFORMED;
    *block = span_of(begin, (size_t)(end - begin) + strlen(END));
    return MAIL_KEY_GOOD;
}

bool openpgp_is_binary(struct span text)
{
    return text.length > 0 && ((unsigned char)text.data[0] & 0x80) != 0;
}

struct reader {
    const unsigned char *at;
    size_t left;
};

static bool take(struct reader *reader, unsigned bytes, size_t *value)
{
    *value = 0;
    if (reader->left < bytes) return false;
    for (; bytes; bytes--, reader->left--)
        *value = *value << 8 | *reader->at++;
    return true;
}

/* The length of a packet of the new form; partial lengths are for data, never for keys. */
static bool take_new_length(struct reader *reader, size_t *length)
{
    size_t first, second;
    if (!take(reader, 1, &first)) return false;
    *length = first;
    if (first < 192) return true;
    if (first == 255) return take(reader, 4, length);
    if (first >= 224 || !take(reader, 1, &second)) return false;
    *length = ((first - 192) << 8) + second + 192;
    return true;
}

static bool take_packet(struct reader *reader, unsigned *tag, struct reader *body)
{
    static const unsigned sizes[] = {1, 2, 4};
    size_t head, length;
    if (!take(reader, 1, &head) || !(head & 0x80)) return false;
    if (head & 0x40) {
        *tag = head & 0x3F;
        if (!take_new_length(reader, &length)) return false;
    } else {
        *tag = head >> 2 & 0x0F;
        if ((head & 3) == 3 || !take(reader, sizes[head & 3], &length)) return false;
    }
    if (length > reader->left) return false;
    *body = (struct reader){reader->at, length};
    reader->at += length;
    reader->left -= length;
    return true;
}

/* Passes over a number (RFC 9580, section 3.2) of `least` to `most` bits. */
static enum mail_key_fault number_check(struct reader *reader, size_t least, size_t most)
{
    size_t bits;
    if (!take(reader, 2, &bits) || reader->left < (bits + 7) / 8) return MAIL_KEY_MALFORMED;
    if (bits < least || bits > most) return MAIL_KEY_WEAK;
    reader->at += (bits + 7) / 8;
    reader->left -= (bits + 7) / 8;
    return MAIL_KEY_GOOD;
}

/* Only the numbers whose size sets the cost. Keys of other algorithms and versions are librnp's to
 * judge: their numbers are points of a curve. */
static enum mail_key_fault key_check(struct reader body)
{
    size_t version, ignored, algorithm;
    if (!take(&body, 1, &version)) return MAIL_KEY_MALFORMED;
    if (version < 2 || version > 6) return MAIL_KEY_GOOD;
    if (!take(&body, 4, &ignored)) return MAIL_KEY_MALFORMED;
    if (version < 4 && !take(&body, 2, &ignored)) return MAIL_KEY_MALFORMED; /* days it is valid */
    if (!take(&body, 1, &algorithm)) return MAIL_KEY_MALFORMED;
    if (version > 4 && !take(&body, 4, &ignored)) return MAIL_KEY_MALFORMED; /* octets of numbers */
    bool rsa = algorithm == RSA || algorithm == RSA_ENCRYPT || algorithm == RSA_SIGN;
    if (!rsa && algorithm != DSA && algorithm != ELGAMAL) return MAIL_KEY_GOOD;
    enum mail_key_fault fault = number_check(&body, 1, rsa ? RSA_BITS_MAX : DSA_BITS_MAX);
    if (fault != MAIL_KEY_GOOD || algorithm == ELGAMAL) return fault;
    /* An exponent of 1 would encrypt nothing. */
    return number_check(&body, 2, rsa ? RSA_EXPONENT_BITS_MAX : DSA_ORDER_BITS_MAX);
}

enum mail_key_fault openpgp_packets_check(struct span key)
{
    struct reader reader = {(const unsigned char *)key.data, key.length}, body;
    unsigned seen[TAG_LAST + 1] = {0}, packets = 0, tag;
    enum mail_key_fault fault = MAIL_KEY_GOOD;
    for (; reader.left && fault == MAIL_KEY_GOOD; packets++) {
        if (!take_packet(&reader, &tag, &body)) return MAIL_KEY_MALFORMED;
        if (tag == TAG_SECRET_KEY || tag == TAG_SECRET_SUBKEY) return MAIL_KEY_SECRET;
        if (!packets && tag != TAG_PUBLIC_KEY) return MAIL_KEY_MALFORMED;
        seen[tag]++;
        if (tag == TAG_PUBLIC_KEY || tag == TAG_PUBLIC_SUBKEY) fault = key_check(body);
    }
    if (!packets) return MAIL_KEY_MALFORMED;
    if (seen[TAG_PUBLIC_KEY] > 1) return MAIL_KEY_SEVERAL;
    if (fault != MAIL_KEY_GOOD) return fault;
    if (seen[TAG_PUBLIC_SUBKEY] > SUBKEYS_MAX || seen[TAG_SIGNATURE] > SIGNATURES_MAX ||
        seen[TAG_USER_ID] + seen[TAG_ATTRIBUTE] > IDS_MAX || packets > PACKETS_MAX)
        return MAIL_KEY_TOO_COMPLEX;
    return MAIL_KEY_GOOD;
}
