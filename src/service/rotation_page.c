/* Doing the steps that wait together. Runs on the committer's thread as one step of a batch, behind
 * a savepoint. What always holds: the node's row is held first, so a fenced node does nothing; then
 * customers, keys and steps are locked in this order, keys and customers that somebody else has
 * locked are left for another time, so a job never makes a caller's batch wait; a key has one step
 * in a page, because the second would not see what the first is about to write; and an error that a
 * work is given has left nothing behind of it. */
#include "service/rotation_work.h"

#include "store/entitlement.h"
#include "store/key_many.h"
#include "store/node.h"

#include <stdlib.h>
#include <string.h>

struct page {
    struct arena arena;
    size_t count;
    struct rotation_work **works; /* by key; `good` of them, in front, are locked and read */
    struct rotation_state *states;
    struct customer_row *customers;
    struct api_key_row *keys;
    struct entitlement_row *entitlements;
    const struct tier_row **tiers;
    uint64_t *ids;
    struct rotation_row *rows;
    struct outbox_row *mails;
    struct claim_row *links;
    struct key_secret_row *secrets;
    struct key_step *changed, *ended;
    size_t good, customer_count, key_count, entitlement_count, tier_count;
};

static void page_done(struct page *page)
{
    arena_done(&page->arena);
}

#define PAGE_ARRAY(page, name, each)                                                               \
    ((page)->name = arena_alloc(&(page)->arena, (page)->count * (each) * sizeof *(page)->name))

static bool page_room(struct page *page)
{
    page->arena.limit = (size_t)64 << 20;
    return PAGE_ARRAY(page, works, 1) && PAGE_ARRAY(page, states, 1) &&
           PAGE_ARRAY(page, customers, 1) && PAGE_ARRAY(page, keys, 1) &&
           PAGE_ARRAY(page, entitlements, 1) && PAGE_ARRAY(page, tiers, 1) &&
           PAGE_ARRAY(page, ids, 1) && PAGE_ARRAY(page, rows, ROTATION_WORK_ROWS) &&
           PAGE_ARRAY(page, mails, 1) && PAGE_ARRAY(page, links, 1) &&
           PAGE_ARRAY(page, secrets, 1) && PAGE_ARRAY(page, changed, 1) &&
           PAGE_ARRAY(page, ended, 1);
}

static void work_begin(struct rotation_work *work)
{
    work->operation.job.error = ERR_NOT_FOUND;
    arena_done(&work->arena);
    work->did = ROTATION_NONE;
    work->row_count = 0;
    work->mails = work->links = work->makes = work->key_changed = work->wrote = false;
    work->ends = false;
}

static int by_key(const void *left, const void *right)
{
    const struct rotation_work *const *a = left, *const *b = right;
    return ((*a)->pick.key_id > (*b)->pick.key_id) - ((*a)->pick.key_id < (*b)->pick.key_id);
}

static int by_number(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* ---- locking and reading ---- */

/* Takes works[from] into the front. */
static void keep(struct page *page, size_t from)
{
    page->works[page->good++] = page->works[from];
}

static void keep_one_a_key(struct page *page)
{
    page->good = 0;
    for (size_t i = 0; i < page->count; i++) {
        if (!page->good || page->works[page->good - 1]->pick.key_id != page->works[i]->pick.key_id)
            keep(page, i);
    }
}

static size_t customer_ids(struct page *page)
{
    size_t count = 0;
    for (size_t i = 0; i < page->good; i++)
        page->ids[i] = page->works[i]->pick.customer_id;
    qsort(page->ids, page->good, sizeof *page->ids, by_number);
    for (size_t i = 0; i < page->good; i++)
        if (!count || page->ids[count - 1] != page->ids[i]) page->ids[count++] = page->ids[i];
    return count;
}

static bool customer_take(const struct page *page, struct rotation_work *work)
{
    for (size_t i = 0; i < page->customer_count; i++) {
        work->customer = page->customers[i];
        if (work->customer.id == work->pick.customer_id) return true;
    }
    return false;
}

static bool key_take(const struct page *page, struct rotation_work *work)
{
    for (size_t i = 0; i < page->key_count; i++) {
        work->key = page->keys[i];
        if (work->key.id == work->pick.key_id) return true;
    }
    return false;
}

static enum err keys_lock(struct db *db, struct page *page)
{
    size_t tried = page->good, count = customer_ids(page);
    enum err error = customer_try_lock(db, page->ids, count, &page->arena, page->customers,
                                       &page->customer_count);
    if (error) return error;
    page->good = 0;
    for (size_t i = 0; i < tried; i++)
        if (customer_take(page, page->works[i])) keep(page, i);
    tried = page->good;
    for (size_t i = 0; i < tried; i++)
        page->ids[i] = page->works[i]->pick.key_id;
    error = api_key_try_lock(db, page->ids, tried, &page->arena, page->keys, &page->key_count);
    if (error) return error;
    page->good = 0;
    for (size_t i = 0; i < tried; i++)
        if (key_take(page, page->works[i])) keep(page, i);
    return ERR_OK;
}

static enum err steps_lock(struct db *db, struct page *page)
{
    size_t tried = page->good;
    for (size_t i = 0; i < tried; i++) {
        const struct rotation_pick *pick = &page->works[i]->pick;
        page->states[i] = (struct rotation_state){
            .key_id = pick->key_id, .generation = pick->generation, .step = pick->step};
        page->states[i].secret =
            pick->generation ? pick->generation : page->works[i]->key.secret_version;
    }
    enum err error = rotation_states_lock(db, page->states, tried);
    if (!error) error = rotation_states_secrets(db, page->states, tried);
    if (error) return error;
    page->good = 0;
    for (size_t i = 0; i < tried; i++) {
        struct rotation_work *work = page->works[i];
        work->state = page->states[i];
        work->row = work->state.row;
        if (work->state.pending) keep(page, i);
    }
    return ERR_OK;
}

/* A page has few tiers, so each is read once. */
static enum err tier_take(struct db *db, struct page *page, const char *slug,
                          const struct tier **tier)
{
    for (size_t i = 0; i < page->tier_count; i++) {
        *tier = &page->tiers[i]->tier;
        if (strcmp((*tier)->slug, slug) == 0) return ERR_OK;
    }
    struct tier_row *row = ARENA_NEW(&page->arena, struct tier_row);
    if (!row) return ERR_NO_MEMORY;
    enum err error = tier_row_find(db, span_text(slug), row);
    if (error) return error;
    page->tiers[page->tier_count++] = row;
    *tier = &row->tier;
    return ERR_OK;
}

static enum err entitlement_take(struct db *db, struct page *page, struct rotation_work *work)
{
    for (size_t i = 0; i < page->entitlement_count; i++) {
        const struct entitlement_row *row = &page->entitlements[i];
        if (row->customer_id != work->customer.id) continue;
        work->suspended = entitlement_lapsed(row, work->operation.now_ms);
        return tier_take(db, page, row->tier, &work->tier);
    }
    return ERR_NOT_FOUND;
}

static enum err tiers_read(struct db *db, struct page *page)
{
    size_t tried = page->good, count = customer_ids(page);
    enum err error = entitlement_find_each(db, page->ids, count, &page->arena, page->entitlements,
                                           &page->entitlement_count);
    page->good = 0;
    for (size_t i = 0; !error && i < tried; i++) {
        error = entitlement_take(db, page, page->works[i]);
        if (!error) keep(page, i);
        if (error == ERR_NOT_FOUND) error = ERR_OK;
    }
    return error;
}

static enum err page_load(struct db *db, struct page *page)
{
    const struct rotation_work *first = page->works[0];
    enum err error = node_hold(db, first->node, first->incarnation);
    if (!error) error = keys_lock(db, page);
    if (!error && page->good) error = steps_lock(db, page);
    return error || !page->good ? error : tiers_read(db, page);
}

/* ---- deciding and writing ---- */

static enum err page_decide(struct db *db, struct page *page)
{
    size_t tried = page->good;
    page->good = 0;
    for (size_t i = 0; i < tried; i++) {
        struct rotation_work *work = page->works[i];
        enum err error = rotation_work_decide(db, work);
        if (error && work->wrote) return error;
        work->operation.job.error = error;
        if (!error) keep(page, i);
    }
    return ERR_OK;
}

/* A step changes no more of a key than this. */
static enum err keys_write(struct db *db, struct page *page)
{
    size_t changed = 0, ended = 0;
    int64_t now_ms = page->good ? page->works[0]->operation.now_ms : 0;
    for (size_t i = 0; i < page->good; i++) {
        const struct rotation_work *work = page->works[i];
        struct key_step step = {.key_id = work->key.id,
                                .version = work->key.secret_version,
                                .rotates_at = work->key.rotates_at,
                                .updated_at = work->key.updated_at};
        if (work->key_changed) page->changed[changed++] = step;
        step.version = work->row.generation + 1;
        if (work->ends) page->ended[ended++] = step;
    }
    enum err error = key_many_end(db, page->ended, ended, now_ms);
    return error ? error : key_many_update(db, page->changed, changed);
}

/* A step is done in the transaction that queues its mail, so a mail of the same number is another
 * one: of a notice before rotation was switched off and on, of an expiry that was taken back. A
 * page of one, which is what is left of a page that met it, takes the next number. */
static enum err mails_write(struct db *db, struct page *page, size_t count)
{
    enum err error = outbox_insert(db, page->mails, count);
    if (error != ERR_EXISTS || page->count != 1) return error;
    error = outbox_number(db, &page->mails[0]);
    return error ? error : outbox_insert(db, page->mails, count);
}

static enum err page_write(struct db *db, struct page *page)
{
    size_t rows = 0, mails = 0, links = 0, secrets = 0;
    for (size_t i = 0; i < page->good; i++) {
        const struct rotation_work *work = page->works[i];
        memcpy(page->rows + rows, work->rows, work->row_count * sizeof *work->rows);
        rows += work->row_count;
        if (work->mails) page->mails[mails++] = work->mail;
        if (work->links) page->links[links++] = work->link;
        if (work->makes) page->secrets[secrets++] = work->made;
    }
    enum err error = keys_write(db, page);
    if (!error) error = key_secret_insert(db, page->secrets, secrets);
    if (!error) error = rotation_put(db, page->rows, rows);
    if (!error) error = claim_insert(db, page->links, links);
    return error ? error : mails_write(db, page, mails);
}

enum err rotation_page_run(struct db *db, struct operation **operations, size_t count)
{
    struct page page CLEANUP(page_done) = {.count = count};
    if (!page_room(&page)) return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        page.works[i] = CONTAINER_OF(operations[i], struct rotation_work, operation);
        work_begin(page.works[i]);
    }
    qsort(page.works, count, sizeof(struct rotation_work *), by_key);
    keep_one_a_key(&page);
    enum err error = page_load(db, &page);
    if (!error) error = page_decide(db, &page);
    return error ? error : page_write(db, &page);
}
