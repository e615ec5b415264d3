/* Keys that were issued elsewhere, on the verify path. Loop thread. Texts of any shape are looked
 * up by our own hash, which leads to an entry of the key table; only when that entry has to be
 * loaded are the hashes computed by which the text may have been imported, so a key that is in
 * memory costs nothing more. What always holds: a text of another shape than ours is denied on the
 * spot only while no import can exist, and an imported hash that was met is replaced by our own. */
#include "service/meter_private.h"

#include "base/clock.h"
#include "base/codec.h"
#include "core/api_key.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "service/context.h"
#include "service/operation.h"
#include "store/api_key.h"
#include "store/import.h"

#include <stdlib.h>

/* A node that has not heard of the first import may deny on the spot for so long after a feed read
 * began, and the import is answered later than that after it was committed. */
enum { DENY_FOR_US = 1000 * 1000, IMPORT_SETTLED_US = 1250 * 1000 };

static bool denies_others(const struct meter *meter)
{
    if (!meter) return true; /* then nothing is looked up at all */
    return !meter->import_known_us && !meter->sources_stale && meter->state == METER_SERVING &&
           clock_mono_us() - meter->feed_read_us < DENY_FOR_US;
}

bool meter_take_key(const struct service *service, struct verify_call *call, struct span text)
{
    struct api_key_parts parts;
    bool ours = api_key_parse(text, &parts);
    if (ours && parts.is_token) return false;
    if (!ours && (!text.length || text.length > VERIFY_TEXT_MAX || denies_others(service->meter)))
        return false;
    key_hash(service->keyring, text, call->hash);
    call->text = text;
    return true;
}

bool meter_import_is_settled(const struct meter *meter)
{
    return meter->import_known_us && clock_mono_us() - meter->import_known_us >= IMPORT_SETTLED_US;
}

void imports_known(struct meter *meter)
{
    if (!meter->import_known_us) meter->import_known_us = clock_mono_us();
}

void import_alternates(struct meter *meter, struct meter_load *load, struct span text)
{
    if (load->alternates && load->sources_at == meter->import_generation) return;
    load->sources_at = meter->import_generation;
    if (!meter->sources.count || !text.length) return;
    if (!load->alternates) load->alternates = malloc(sizeof *load->alternates);
    if (load->alternates) import_hashes_of(&meter->sources, text, load->alternates);
}

void sources_install(struct meter *meter, struct import_sources *sources)
{
    import_sources_free(&meter->sources);
    meter->sources = *sources;
    *sources = (struct import_sources){0};
    meter->sources_stale = false;
    if (meter->sources.count) imports_known(meter);
}

/* ---- replacing the hash ---- */

struct rehash {
    struct operation operation;
    uint64_t key_id, secret_id;
    unsigned char own[32];
    struct import_hash imported;
};

static enum err rehash_run(struct db *db, struct operation *operation)
{
    struct rehash *rehash = CONTAINER_OF(operation, struct rehash, operation);
    struct arena arena = {0};
    struct api_key_row row;
    char subject[ID_TEXT_SIZE];
    enum err error = api_key_lock(db, rehash->key_id, &arena, &row);
    if (!error)
        error = import_replace(db, &rehash->imported, rehash->secret_id, rehash->own,
                               keyring_pepper_id(operation->service->keyring));
    /* Another node was first, or the secret is gone. */
    if (error == ERR_NOT_FOUND || error == ERR_EXISTS)
        error = problem_set(&operation->problem, 409, "already_replaced", "Nothing to replace.");
    if (!error) {
        id_format(subject, "key", rehash->key_id);
        operation_feed_hash(operation, rehash->key_id, rehash->own);
        operation_audit(operation, "key.rehash", subject, row.customer_id, NULL);
    }
    arena_done(&arena);
    return error;
}

static void rehash_done(struct operation *operation, enum err error)
{
    (void)error; /* what was not replaced is met again by the next load */
    free(CONTAINER_OF(operation, struct rehash, operation));
}

void import_replace_soon(struct meter *meter, const struct key_load_row *row)
{
    if (!meter->service->committer || meter->state != METER_SERVING) return;
    struct rehash *rehash = calloc(1, sizeof *rehash);
    if (!rehash) return;
    rehash->operation.service = meter->service;
    rehash->operation.run = rehash_run;
    rehash->operation.done = rehash_done;
    rehash->key_id = row->key_id;
    rehash->secret_id = row->secret_id;
    rehash->imported = row->imported_as;
    memcpy(rehash->own, row->hash, sizeof rehash->own);
    if (operation_submit(&rehash->operation) != ERR_OK) free(rehash);
}
