/* Importing a key by its hash. import_secret is on the committer's thread, the rest on the loop.
 * What always holds: the key's text is never known here; an HMAC key stands in guarded memory and
 * goes to the database sealed; and the answer waits until every node looks texts of other shapes up
 * (service/meter_import.c), so that the very next call with the key is accepted wherever it comes.
 */
#include "service/import.h"

#include "base/codec.h"
#include "base/secret.h"
#include "crypto/key_hash.h"
#include "io/loop.h"
#include "service/context.h"
#include "service/meter.h"
#include "store/import.h"

#include <stdio.h>
#include <string.h>

enum { SETTLE_LOOK_MS = 20 };

enum err import_secret(struct db *db, struct operation *operation, const struct key_import *import,
                       const struct api_key_row *row, struct key_secret_row *made)
{
    const struct keyring *keyring = operation->service->keyring;
    struct problem *problem = &operation->problem;
    char source[IMPORT_ID_SIZE];
    bool added;
    enum err error =
        import_source_add(db, keyring, import->hmac_key, operation->now_ms, source, &added);
    if (error == ERR_FULL)
        return problem_set(problem, 409, "import_keys_limit",
                           "Hashes of 16 different HMAC keys were imported already; no further "
                           "hmac_key can be taken.");
    if (error) return error;
    *made = (struct key_secret_row){.id = id_new(),
                                    .key_id = row->id,
                                    .version = row->secret_version,
                                    .created_at = operation->now_ms,
                                    .algorithm = import->hmac_key ? IMPORT_HMAC : IMPORT_SHA256};
    made->pepper_id = made->source;
    memcpy(made->source, source, sizeof made->source);
    memcpy(made->hash, import->hash, sizeof made->hash);
    key_fingerprint(made->hash, made->fingerprint);
    snprintf(made->start, sizeof made->start, "%s", import->start);
    operation_feed_import(operation, row->id, added);
    error = import_secret_insert(db, keyring, made);
    if (error != ERR_EXISTS) return error;
    return problem_set(problem, 409, "hash_exists", "A key with this hash was imported already.");
}

/* ---- the answer ---- */

static struct import *import_of(struct key_change *change)
{
    return CONTAINER_OF(change, struct import, issue.change);
}

static void on_look(void *context)
{
    struct import *import = context;
    struct key_change *change = &import->issue.change;
    if (!meter_import_is_settled(change->operation.service->meter)) return;
    loop_timer_free(&import->timer);
    import->done(change, ERR_OK);
}

/* A meter that cannot read the feed does not settle: the client is answered 503 by then, and told
 * that the key may have been made. */
static void on_imported(struct key_change *change, enum err error)
{
    struct import *import = import_of(change);
    struct service *service = change->operation.service;
    bool settled = error || !service->meter || meter_import_is_settled(service->meter);
    if (!settled && loop_timer_new(&import->timer, service->loop, on_look, import) == ERR_OK)
        loop_timer_start(import->timer, SETTLE_LOOK_MS, SETTLE_LOOK_MS);
    else
        import->done(change, error);
}

void import_init(struct import *import)
{
    issue_init(&import->issue);
    import->issue.settings.import = &import->key;
}

enum err import_submit(struct import *import)
{
    import->done = import->issue.change.done;
    import->issue.change.done = on_imported;
    return key_change_submit(&import->issue.change);
}

void import_done(struct import *import)
{
    secret_free(&import->key.hmac_key);
    key_change_done(&import->issue.change);
}
