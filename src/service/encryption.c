/* Checking and setting recipients' keys. Called by sign-up and customer edit: the check on a
 * reader's thread, the rest anywhere. What always holds: a key that mail cannot be encrypted to now
 * is not taken. */
#include "service/encryption.h"

#include "base/clock.h"
#include "crypto/mail_seal.h"
#include "service/context.h"
#include "service/mail_maker.h"

#include <stdio.h>
#include <string.h>

const char *encryption_field(enum mail_key_kind kind)
{
    return kind == MAIL_KEY_OPENPGP ? "openpgp_key" : "smime_certificate";
}

bool encryption_given(const struct encryption *encryption)
{
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++)
        if (encryption->of[kind].given) return true;
    return encryption->cipher_given;
}

static void refuse(struct problem *problem, enum mail_key_kind kind, const char *message)
{
    char location[64];
    snprintf(location, sizeof location, "body.%s", encryption_field(kind));
    problem_add_field(problem, location, "%s", message);
}

static enum err check_one(struct service *service, struct encryption *encryption,
                          enum mail_key_kind kind, struct problem *problem)
{
    struct mail_key key = {.kind = kind, .text = span_text(encryption->of[kind].text)};
    struct mail_key_info info;
    enum mail_key_fault fault;
    if (!service->maker) {
        refuse(problem, kind, "must be null: this server's library for it must not be used");
        return ERR_OK;
    }
    enum err error =
        mail_maker_check_key(service->maker, &key, clock_wall_ms() / 1000, &info, &fault);
    if (error == ERR_INVALID) {
        refuse(problem, kind, mail_key_fault_text(kind, fault));
        return ERR_OK;
    }
    snprintf(encryption->of[kind].fingerprint, sizeof encryption->of[kind].fingerprint, "%s",
             info.fingerprint);
    encryption->of[kind].ends_at = info.not_after_s * 1000;
    return error;
}

enum err encryption_check(struct service *service, struct encryption *encryption,
                          struct problem *problem)
{
    unsigned before = problem->field_count;
    enum err error = ERR_OK;
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS && !error; kind++)
        if (encryption->of[kind].text)
            error = check_one(service, encryption, (enum mail_key_kind)kind, problem);
    if (!error && problem->field_count > before) return ERR_DENIED;
    return error;
}

static bool is_same(const struct customer_key *a, const struct customer_key *b)
{
    if (!a->text.data || !b->text.data) return a->text.data == b->text.data;
    return a->text.length == b->text.length &&
           memcmp(a->text.data, b->text.data, a->text.length) == 0;
}

void encryption_apply(const struct encryption *encryption, struct customer_keys *keys,
                      bool changed[MAIL_KEY_KINDS])
{
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        struct customer_key next = {0};
        changed[kind] = false;
        if (!encryption->of[kind].given) continue;
        if (encryption->of[kind].text)
            next = (struct customer_key){.text = span_text(encryption->of[kind].text),
                                         .fingerprint = encryption->of[kind].fingerprint,
                                         .ends_at = encryption->of[kind].ends_at};
        changed[kind] = !is_same(&keys->of[kind], &next);
        keys->of[kind] = next;
    }
    if (!encryption->cipher_given || keys->smime_cbc == encryption->smime_cbc) return;
    keys->smime_cbc = encryption->smime_cbc;
    if (keys->of[MAIL_KEY_SMIME].text.data) changed[MAIL_KEY_SMIME] = true;
}
