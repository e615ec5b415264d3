/* Makes mails: rendered from what the outbox has stored, composed, encrypted to the recipient where
 * the customer has a key for it. A customer who has one gets every mail encrypted, and none in
 * clear, with one exception: a claim link goes out in clear when the keys on file cannot be
 * encrypted to any more (they have expired), because the way to a new secret must not end with
 * them.
 *
 * Blocking work (crypto/mail_seal.h): DB threads, several at once. */
#ifndef KEYMETER_SERVICE_MAIL_MAKER_H
#define KEYMETER_SERVICE_MAIL_MAKER_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/mailbox.h"
#include "store/outbox.h"

struct customer_keys;
struct db;
struct keyring;
struct mail_house;
struct mail_maker;
struct mail_templates;
struct notice;
struct secret;
struct settings;

enum { MAKER_REASON_SIZE = 200 };

/* Where mail.url is set. All must outlive it; `base_url` is what claim links begin with. */
MUST_USE enum err mail_maker_new(struct mail_maker **out, const struct settings *settings,
                                 const struct keyring *keyring,
                                 const struct mail_templates *templates, const char *base_url);
void mail_maker_free(struct mail_maker **maker); /* accepts NULL */
/* For as long as it lives; any thread. */
const struct mail_house *mail_maker_house(const struct mail_maker *maker);

struct made_mail {
    char to[MAILBOX_ADDRESS_SIZE];
    struct buf message; /* complete, for io/mail_transport */
    /* of ERR_DENIED: why there is none, without anything personal, and whether it is in vain to try
     * again. */
    char reason[MAKER_REASON_SIZE];
    bool final;
};
/* The mail of a row that was claimed; `token`: of its claim link, NULL where it has none.
 * ERR_DENIED; else the database's errors, ERR_NO_MEMORY, ERR_CRYPTO. Give *out to made_mail_done in
 * any case. */
MUST_USE enum err mail_make(struct mail_maker *maker, struct db *db, const struct outbox_mail *mail,
                            const struct secret *token, int64_t now_ms, struct made_mail *out);
void made_mail_done(struct made_mail *mail);

/* The body of a mail that must be encrypted now: with a secret (data NULL: none), and to `keys`
 * (NULL: those on file). The notice's context is complete; its id is set. Appended is what
 * notice->body is to be. ERR_NOT_FOUND: no key, or none that can be encrypted to. */
MUST_USE enum err mail_maker_seal(struct mail_maker *maker, struct db *db, struct notice *notice,
                                  const struct customer_keys *keys, struct span secret,
                                  int64_t now_ms, struct buf *body);

/* Whether mail can be encrypted to a key (crypto/mail_key.h); any thread that may block. */
struct mail_key;
struct mail_key_info;
enum mail_key_fault;
MUST_USE enum err mail_maker_check_key(struct mail_maker *maker, const struct mail_key *key,
                                       int64_t now_s, struct mail_key_info *info,
                                       enum mail_key_fault *fault);

#endif
