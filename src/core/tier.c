/* The words of a tier's choices, as the contract and the database write them. Any thread. */
#include "core/tier.h"

static const char *const overage_names[] = {"block", "allow"};
static const char *const ack_names[] = {"commit", "memory"};
static const char *const on_unclaimed_names[] = {"keep", "retire"};
static const char *const on_lapse_names[] = {"suspend", "free"};

const char *overage_name(enum overage overage)
{
    return overage_names[overage];
}

const char *ack_name(enum ack ack)
{
    return ack_names[ack];
}

const char *on_unclaimed_name(enum on_unclaimed on_unclaimed)
{
    return on_unclaimed_names[on_unclaimed];
}

const char *on_lapse_name(enum on_lapse on_lapse)
{
    return on_lapse_names[on_lapse];
}

/* All four have two words; -1: neither. */
static int find_word(const char *const names[2], struct span word)
{
    return span_is(word, names[0]) ? 0 : span_is(word, names[1]) ? 1 : -1;
}

bool overage_parse(struct span word, enum overage *overage)
{
    int at = find_word(overage_names, word);
    if (at >= 0) *overage = (enum overage)at;
    return at >= 0;
}

bool ack_parse(struct span word, enum ack *ack)
{
    int at = find_word(ack_names, word);
    if (at >= 0) *ack = (enum ack)at;
    return at >= 0;
}

bool on_unclaimed_parse(struct span word, enum on_unclaimed *on_unclaimed)
{
    int at = find_word(on_unclaimed_names, word);
    if (at >= 0) *on_unclaimed = (enum on_unclaimed)at;
    return at >= 0;
}

bool on_lapse_parse(struct span word, enum on_lapse *on_lapse)
{
    int at = find_word(on_lapse_names, word);
    if (at >= 0) *on_lapse = (enum on_lapse)at;
    return at >= 0;
}

bool tier_slug_valid(struct span slug)
{
    if (slug.length == 0 || slug.length >= TIER_SLUG_SIZE) return false;
    for (size_t i = 0; i < slug.length; i++) {
        char c = slug.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || (c != '_' && c != '-'))) return false;
    }
    return true;
}
