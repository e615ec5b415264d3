/* The audit log's hash chain. Called by the committer as it appends rows and by the verifier as it
 * reads them; both give the same bytes for the same row, on any machine. */
#include "crypto/audit_chain.h"

#include <sodium.h>

static void add_number(crypto_generichash_state *state, uint64_t number)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(number >> (56 - 8 * i));
    crypto_generichash_update(state, bytes, sizeof bytes);
}

/* The length before it, so that no two rows run together into the same bytes. */
static void add_text(crypto_generichash_state *state, struct span text)
{
    add_number(state, text.length);
    if (text.length)
        crypto_generichash_update(state, (const unsigned char *)text.data, text.length);
}

void audit_chain_next(const unsigned char previous[AUDIT_HASH_SIZE],
                      const struct audit_entry *entry, unsigned char out[AUDIT_HASH_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, AUDIT_HASH_SIZE);
    crypto_generichash_update(&state, previous, AUDIT_HASH_SIZE);
    add_number(&state, entry->sequence);
    add_number(&state, entry->id);
    add_number(&state, (uint64_t)entry->at);
    add_text(&state, entry->actor);
    add_text(&state, entry->action);
    add_text(&state, entry->subject);
    add_number(&state, entry->customer_id);
    add_text(&state, entry->address);
    add_text(&state, entry->request_id);
    add_text(&state, entry->detail);
    crypto_generichash_final(&state, out, AUDIT_HASH_SIZE);
}
