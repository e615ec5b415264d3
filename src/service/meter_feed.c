/* Applying the change feed: a row says what may have changed, and what it names is loaded again
 * before the next decision on it. Loop thread. Applied rows are kept in a ring, so that a load can
 * be checked against the rows that came after its statement. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "service/context.h"
#include "service/token_cache.h"

#include <stdio.h>
#include <stdlib.h>

static void key_changed(struct meter *meter, uint64_t id)
{
    struct meter_key *key = table_find(&meter->keys, table_mix(id), &id);
    if (!key) return;
    key->generation++;
    if (key->extras && key->extras->cap) budget_void(key->extras->cap);
}

void budget_void(struct meter_budget *budget)
{
    budget->void_ = true;
    budget->voids++;
    budget->exceeded = false;
}

static void customer_changed(struct meter *meter, uint64_t id)
{
    struct meter_customer *customer = table_find(&meter->customers, table_mix(id), &id);
    if (!customer) return;
    customer->generation++;
    if (customer->budget) budget_void(customer->budget);
}

static void budget_void_each(struct meter *meter, struct meter_budget *budget)
{
    (void)meter;
    budget_void(budget);
}

static void hash_appeared(struct meter *meter, const struct feed_row *row)
{
    if (!row->has_hash) return;
    uint64_t word;
    memcpy(&word, row->hash, sizeof word);
    struct meter_secret *secret = table_find(&meter->secrets, word, row->hash);
    if (secret) secret->fresh = false;
}

/* slug begins with "kind:period_start" */
static struct meter_budget *budget_named(const struct meter *meter, const struct feed_row *row)
{
    const char *colon = strchr(row->slug, ':');
    if (!colon) return NULL;
    struct budget_key key = {(enum budget_kind)strtol(row->slug, NULL, 10), row->subject,
                             strtoll(colon + 1, NULL, 10)};
    return budget_find(meter, &key);
}

/* slug ends with ":node:incarnation" */
static bool asked_by_self(const struct meter *meter, const struct feed_row *row)
{
    int kind;
    long long period_start;
    unsigned node, incarnation;
    return sscanf(row->slug, "%d:%lld:%u:%u", &kind, &period_start, &node, &incarnation) == 4 &&
           node == meter->node && incarnation == meter->incarnation;
}

static void budget_asked(struct meter *meter, const struct feed_row *row)
{
    struct meter_budget *budget = budget_named(meter, row);
    if (!budget || asked_by_self(meter, row)) return;
    budget->release = true;
    budget->asks++;
    lease_refill(meter, budget);
}

static void row_apply(struct meter *meter, const struct feed_row *row, uint64_t position)
{
    struct meter_budget *budget;
    meter->stats.feed_rows++;
    meter->ring[position % FEED_RING] = (struct feed_memory){position, *row};
    switch (row->kind) {
    case FEED_START:
        break;
    case FEED_FENCE:
        if (row->subject == ((uint64_t)meter->node << 32 | meter->incarnation))
            meter->fenced = true;
        break;
    case FEED_KEY:
        key_changed(meter, row->subject);
        break;
    case FEED_CUSTOMER:
        customer_changed(meter, row->subject);
        break;
    case FEED_TIER:
        meter->tiers_stale = true;
        budgets_each(meter, budget_void_each);
        break;
    case FEED_TOKEN:
        token_cache_changed(meter->service->tokens, row->subject);
        break;
    case FEED_HASH:
        hash_appeared(meter, row);
        key_changed(meter, row->subject);
        break;
    case FEED_IMPORT:
        imports_known(meter);
        meter->import_generation++;
        meter->sources_stale |= row->slug[0] != '\0';
        key_changed(meter, row->subject);
        break;
    case FEED_ASK:
        budget_asked(meter, row);
        break;
    case FEED_CLEAR:
        budget = budget_named(meter, row);
        if (budget) {
            budget->exceeded = false;
            budget->clears++;
        }
        break;
    }
}

void feed_apply(struct meter *meter, const struct feed_read *feed)
{
    /* Positions are dense: the counter's row is locked by whoever appends. */
    uint64_t position = feed->end.position - feed->count;
    for (size_t i = 0; i < feed->count; i++)
        row_apply(meter, &feed->rows[i], ++position);
    meter->applied = feed->end;
    if (meter->applied.position - meter->ring_from >= FEED_RING)
        meter->ring_from = meter->applied.position - FEED_RING + 1;
}

void feed_forget(struct meter *meter, struct feed_place place)
{
    meter->applied = place;
    meter->ring_from = place.position + 1;
}

static bool row_names(const struct feed_row *feed, const struct key_load_row *row)
{
    switch (feed->kind) {
    case FEED_START:
    case FEED_FENCE:
    case FEED_TIER:
    case FEED_TOKEN:
    case FEED_ASK:
    case FEED_CLEAR:
        return false;
    case FEED_KEY:
        return row->found && feed->subject == row->key_id;
    case FEED_CUSTOMER:
        return row->found && feed->subject == row->customer_id;
    case FEED_IMPORT:
        return !row->found || feed->subject == row->key_id;
    case FEED_HASH:
        return (row->found && feed->subject == row->key_id) ||
               (feed->has_hash && !memcmp(feed->hash, row->hash, sizeof feed->hash));
    }
    return true;
}

/* True also when the ring no longer reaches back to `position`. */
bool feed_names_row(const struct meter *meter, uint64_t position, const struct key_load_row *row)
{
    if (position >= meter->applied.position) return false;
    if (position + 1 < meter->ring_from) return true;
    for (uint64_t at = position + 1; at <= meter->applied.position; at++)
        if (row_names(&meter->ring[at % FEED_RING].row, row)) return true;
    return false;
}

static bool names_tiers(const struct feed_row *row)
{
    return row->kind == FEED_TIER || (row->kind == FEED_IMPORT && row->slug[0]);
}

bool feed_names_tiers(const struct meter *meter, uint64_t position)
{
    if (position >= meter->applied.position) return false;
    if (position + 1 < meter->ring_from) return true;
    for (uint64_t at = position + 1; at <= meter->applied.position; at++)
        if (names_tiers(&meter->ring[at % FEED_RING].row)) return true;
    return false;
}
