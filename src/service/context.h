/* What the daemon's parts share, made by app.c and handed to every handler as
 * request->listener_context. Loop thread, except where a member says otherwise. */
#ifndef KEYMETER_SERVICE_CONTEXT_H
#define KEYMETER_SERVICE_CONTEXT_H

#include "service/stripe_account.h"

#include <stdbool.h>

struct uv_loop_s;
struct settings;
struct db_config;
struct db_pool;
struct curl_loop;
struct keyring;
struct mail_templates;
struct meter;
struct token_cache;
struct reconciler;
struct rotator;
struct mail_maker;
struct mailer;
struct secret_sealer;
struct throttle;
struct web;
struct figures_keeper;

struct service {
    struct uv_loop_s *loop;
    const struct settings *settings;  /* conf/settings.h; any thread, never changes */
    const struct keyring *keyring;    /* crypto/keyring.h; any thread, never changes */
    const struct db_config *database; /* how to connect; never changes */
    struct db_pool *committer;        /* one thread, merges operations (service/committer.h) */
    struct db_pool *readers;          /* two threads, one consistent snapshot a job */
    struct db_pool *passwords;        /* one thread: argon2id (service/admin_sign_in.h) */
    struct curl_loop *curl;
    struct meter *meter;                  /* service/meter.h: verify and gateway */
    struct token_cache *tokens;           /* service/token_cache.h */
    struct stripe_account stripe_account; /* whose key is in use */
    struct rotator *rotator;              /* service/rotator.h: due steps of rotations */
    struct reconciler *reconciler;        /* service/reconciler.h: payments that are read again */
    /* What encrypts new secrets to their recipients (service/secret_sealer.h); NULL: claim links.
     */
    const struct secret_sealer *sealer;
    struct mail_templates *templates; /* service/mail_template.h; any thread, never changes */
    struct mail_maker *maker;         /* service/mail_maker.h; NULL only where no mail goes out */
    struct mailer *mailer;            /* service/mailer.h; NULL: no mail */
    const char *base_url;             /* what claim links begin with */
    struct throttle *claim_throttle;  /* wrong claim links */
    struct throttle *admin_throttle;  /* wrong sign-ins at the dashboard, by network */
    struct throttle *admin_accounts;  /* the same by account */
    struct web *web;                  /* api/web.h: pages */
    struct figures_keeper *figures;   /* service/figures.h: the dashboard's overview */
    bool mails;              /* mail is sent: changes of keys queue notices of themselves */
    unsigned quota_tellings; /* of service/quota_notice.h, under way */
    const char *caught;      /* the maildir of `keymeterd dev`; NULL: not that */
    int draining;            /* set once SIGTERM came: /readyz says no */
    /* Ends the daemon with exit code 1, its reason being logged already. May be NULL. */
    void (*give_up)(void *context);
    /* Called once, when verifying works for the first time. May be NULL. */
    void (*serving)(void *context);
    void *app; /* the context of both */
};

#endif
