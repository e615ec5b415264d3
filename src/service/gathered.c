/* What the operations of a batch share (service/gathered.h). Called by the committer and by the
 * operations that issue keys, on the committer's thread. */
#include "service/gathered.h"

enum err gathered_write(struct db *db, struct gathered *gathered)
{
    gathered->has_tier = false;
    return new_keys_write(db, &gathered->keys);
}

enum err gathered_tier(struct db *db, struct gathered *gathered, struct span slug,
                       const struct tier_row **tier)
{
    *tier = &gathered->tier;
    if (gathered->has_tier && span_equal(span_text(gathered->tier.tier.slug), slug)) return ERR_OK;
    enum err error = tier_row_find(db, slug, &gathered->tier);
    gathered->has_tier = !error;
    return error;
}
