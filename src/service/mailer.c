/* The way of mails from the outbox to the relay and back. Called by app.c on the loop thread; the
 * _run functions are on the mailer's three DB threads. What always holds: of the rounds under way
 * one claims at a time, while the other makes what it has claimed; one finish is under way; a
 * letter is on exactly one of these ways (a round, the transport, `finished`, a finish); a round
 * that looks for what nobody has is alone; and what the database did not hear of is told it again
 * until it did, or the daemon stops. */
#include "service/mailer.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/list.h"
#include "base/log.h"
#include "conf/settings.h"
#include "io/db_pool.h"
#include "io/loop.h"
#include "io/mail_transport.h"
#include "service/claim.h"
#include "service/context.h"
#include "service/mail_config.h"
#include "service/mail_house.h"
#include "service/mail_maker.h"
#include "service/meter.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 500,
    ROUNDS = 2,      /* at once */
    PAGE = 64,       /* claimed at once */
    FINISH_MAX = 64, /* written down at once */
    REST_MS = 5000,  /* after the relay could not be reached; doubled each time … */
    REST_MAX_MS = 60 * 1000,
    LAST_TRIES = 3, /* of the last finish, when the daemon stops */
    BACKOFF_S = 60,
    BACKOFF_MAX_S = 2 * 3600,
};

struct letter {
    struct list link, every; /* the way it is on; mailer.every */
    struct mailer *mailer;
    struct outbox_node node;
    uint64_t id;
    unsigned attempts;
    struct made_mail made;
    struct mail_delivery delivery;
    char reason[MAIL_REASON_SIZE];
    struct outbox_result result;
};

/* Claiming and making. */
struct round {
    struct db_job job;
    struct mailer *mailer;
    struct outbox_node node;
    size_t limit, count;
    struct letter *letters[PAGE];
    bool full, look; /* look: for rows that are this node's and nobody has */
    uint64_t held[MAILER_LETTERS];
    size_t held_count;
};

/* Writing down what became of letters of one incarnation. */
struct finish {
    struct db_job job;
    struct mailer *mailer;
    struct outbox_node node;
    struct list letters;
    size_t count;
};

struct mailer {
    struct service *service;
    struct db_pool *pool;
    struct mail_transport *transport;
    struct loop_timer *timer;
    pthread_mutex_t claiming; /* two rounds at once would pick the same rows */
    unsigned rounds;          /* under way */
    bool looks;               /* one of them does */
    struct finish *finish;    /* under way */
    struct list finished, every;
    bool lost; /* a claim's outcome is unknown */
    unsigned letters, last_tries;
    bool more; /* the last page was full */
    int64_t rest_until_us, rest_ms;
    bool finish_failed; /* the next one waits for the tick */
    bool stopping, transport_closed;
    struct mailer_stats stats;
    void (*closed)(void *context);
    void *closed_context;
};

int64_t mailer_next_at(int64_t now_ms, unsigned attempts)
{
    unsigned doubled = attempts > 8 ? 7 : attempts ? attempts - 1 : 0;
    int64_t pause_ms = (int64_t)BACKOFF_S * 1000 << doubled;
    if (pause_ms > BACKOFF_MAX_S * INT64_C(1000)) pause_ms = BACKOFF_MAX_S * INT64_C(1000);
    return now_ms + pause_ms - (int64_t)randombytes_uniform((uint32_t)(pause_ms / 4));
}

/* ---- letters ---- */

static void letter_free(struct letter *letter)
{
    list_remove(&letter->every);
    made_mail_done(&letter->made);
    free(letter);
}

/* What is to be written down: not accepted. */
static void letter_fail(struct letter *letter, const char *reason, bool final, int64_t now_ms)
{
    snprintf(letter->reason, sizeof letter->reason, "%s", reason);
    letter->result = (struct outbox_result){.id = letter->id,
                                            .final = final,
                                            .next_at = mailer_next_at(now_ms, letter->attempts),
                                            .error = letter->reason};
}

/* Not tried at all: due at once. */
static void letter_release(struct letter *letter, int64_t now_ms)
{
    letter_fail(letter, "the daemon stopped", false, now_ms);
    letter->result.next_at = now_ms;
}

/* ---- the mailer's DB threads ---- */

static struct letter *letter_new(struct round *round, const struct outbox_mail *mail)
{
    struct letter *letter = calloc(1, sizeof *letter);
    if (!letter) return NULL;
    letter->mailer = round->mailer;
    letter->node = round->node;
    letter->id = mail->row.id;
    letter->attempts = mail->attempts;
    list_init(&letter->link);
    list_init(&letter->every);
    return letter;
}

static void letter_make(struct db *db, struct letter *letter, const struct outbox_mail *mail,
                        const struct secret *token)
{
    int64_t now_ms = clock_wall_ms();
    enum err error =
        mail_make(letter->mailer->service->maker, db, mail, token, now_ms, &letter->made);
    if (!error) return;
    const char *reason = error == ERR_DENIED ? letter->made.reason : err_name(error);
    letter_fail(letter, reason, error == ERR_DENIED && letter->made.final, now_ms);
    made_mail_done(&letter->made);
}

static enum err round_claim(struct db *db, struct round *round, struct arena *arena,
                            struct outbox_mail **mails, size_t *count)
{
    pthread_mutex_t *claiming = &round->mailer->claiming;
    enum err error = ERR_OK;
    pthread_mutex_lock(claiming);
    if (round->look)
        error = outbox_release(db, &round->node, round->held, round->held_count, clock_wall_ms());
    if (!error)
        error = outbox_claim(db, &round->node, clock_wall_ms(), round->limit, arena, mails, count);
    pthread_mutex_unlock(claiming);
    return error;
}

static enum err letters_make(struct db *db, struct round *round, const struct outbox_mail *mails,
                             size_t count)
{
    const struct keyring *keyring = round->mailer->service->keyring;
    struct secret *tokens[PAGE] = {0};
    enum err error =
        claim_links_make(db, keyring, &round->node, mails, count, clock_wall_ms(), tokens);
    for (size_t i = 0; i < count; i++) {
        struct letter *letter = error ? NULL : letter_new(round, &mails[i]);
        if (!letter && !error) error = ERR_NO_MEMORY;
        if (letter) letter_make(db, letter, &mails[i], tokens[i]);
        if (letter) round->letters[round->count++] = letter;
        secret_free(&tokens[i]);
    }
    return error;
}

static enum err round_run(struct db *db, struct db_job *job)
{
    struct round *round = CONTAINER_OF(job, struct round, job);
    struct arena arena CLEANUP(arena_done) = {.limit = (size_t)64 << 20};
    struct outbox_mail *mails = NULL;
    size_t count = 0;
    enum err error = round_claim(db, round, &arena, &mails, &count);
    round->full = count == round->limit;
    return error ? error : letters_make(db, round, mails, count);
}

static enum err finish_run(struct db *db, struct db_job *job)
{
    struct finish *finish = CONTAINER_OF(job, struct finish, job);
    struct outbox_result results[FINISH_MAX];
    size_t count = 0;
    for (struct list *at = finish->letters.next; at != &finish->letters; at = at->next)
        results[count++] = CONTAINER_OF(at, struct letter, link)->result;
    return outbox_finish(db, &finish->node, results, count, clock_wall_ms());
}

/* ---- finishing ---- */

static void mailer_turn(struct mailer *mailer);

static void closed(void *context)
{
    struct mailer *mailer = context;
    void (*tell)(void *) = mailer->closed;
    void *tell_context = mailer->closed_context;
    pthread_mutex_destroy(&mailer->claiming);
    free(mailer);
    tell(tell_context);
}

static void letters_drop(struct mailer *mailer, struct list *letters)
{
    struct list *link;
    while ((link = list_shift(letters))) {
        letter_free(CONTAINER_OF(link, struct letter, link));
        mailer->letters--;
    }
}

static void finish_done(struct db_job *job, enum err error)
{
    struct finish *finish = CONTAINER_OF(job, struct finish, job);
    struct mailer *mailer = finish->mailer;
    bool again = error && error != ERR_NOT_FOUND && error != ERR_FENCED;
    mailer->finish = NULL;
    mailer->finish_failed = again;
    if (again) {
        log_event(LOG_WARN, "mail_finish_failed", "%s; it is tried again", err_name(error));
        if (mailer->stopping) mailer->last_tries++;
        list_splice(&mailer->finished, &finish->letters);
    } else {
        letters_drop(mailer, &finish->letters);
    }
    free(finish);
    mailer_turn(mailer);
}

/* Letters of the first one's incarnation: one transaction holds one node's row. */
static void finish_fill(struct mailer *mailer, struct finish *finish)
{
    for (struct list *at = mailer->finished.next, *next; at != &mailer->finished; at = next) {
        struct letter *letter = CONTAINER_OF(at, struct letter, link);
        next = at->next;
        if (!finish->count) finish->node = letter->node;
        if (letter->node.incarnation != finish->node.incarnation) continue;
        if (finish->count == FINISH_MAX) return;
        list_remove(at);
        list_append(&finish->letters, at);
        finish->count++;
    }
}

static void finish_start(struct mailer *mailer)
{
    if (mailer->finish || mailer->finish_failed || list_empty(&mailer->finished)) return;
    struct finish *finish = calloc(1, sizeof *finish);
    if (!finish) return; /* the tick tries again */
    finish->job = (struct db_job){.run = finish_run, .done = finish_done};
    finish->mailer = mailer;
    list_init(&finish->letters);
    finish_fill(mailer, finish);
    mailer->finish = finish;
    if (db_submit(mailer->pool, &finish->job) == ERR_OK) return;
    list_splice(&mailer->finished, &finish->letters);
    mailer->finish = NULL;
    mailer->finish_failed = true;
    free(finish);
}

static void letter_finished(struct letter *letter)
{
    made_mail_done(&letter->made);
    list_append(&letter->mailer->finished, &letter->link);
}

/* ---- the relay's answers ---- */

static void tell_failure(const struct letter *letter, const char *result, unsigned code)
{
    char id[ID_TEXT_SIZE];
    id_format(id, "ntf", letter->id);
    log_event(letter->result.final ? LOG_ERROR : LOG_WARN, "mail_failed", "%s: %s %u %.180s", id,
              result, code, letter->reason);
}

/* The relay is not there, or wants no connection: all others would fare the same. */
static void rest(struct mailer *mailer)
{
    int64_t now_us = clock_mono_us();
    if (now_us < mailer->rest_until_us) return;
    int64_t ms = mailer->rest_ms ? mailer->rest_ms * 2 : REST_MS;
    mailer->rest_ms = ms < REST_MAX_MS ? ms : REST_MAX_MS;
    mailer->rest_until_us = now_us + mailer->rest_ms * 1000;
}

static void delivered(struct mail_delivery *delivery)
{
    struct letter *letter = CONTAINER_OF(delivery, struct letter, delivery);
    struct mailer *mailer = letter->mailer;
    int64_t now_ms = clock_wall_ms();
    switch (delivery->result) {
    case MAIL_ACCEPTED:
        letter->result = (struct outbox_result){.id = letter->id, .accepted = true};
        mailer->stats.accepted++;
        mailer->rest_ms = mailer->rest_until_us = 0;
        break;
    case MAIL_TEMPORARY:
        if (mailer->stopping) {
            letter_release(letter, now_ms);
            break;
        }
        letter_fail(letter, delivery->reason, false, now_ms);
        if (delivery->code == 0 || delivery->code == 421) rest(mailer);
        break;
    case MAIL_PERMANENT:
        letter_fail(letter, delivery->reason, true, now_ms);
        break;
    case MAIL_UNKNOWN:
        letter_fail(letter, delivery->reason, false, now_ms);
        break;
    }
    if (!letter->result.accepted) {
        mailer->stats.failed++;
        mailer->stats.dead += letter->result.final;
        tell_failure(letter, mail_result_name(delivery->result), delivery->code);
    }
    letter_finished(letter);
    finish_start(mailer);
}

static void letter_send(struct mailer *mailer, struct letter *letter)
{
    int64_t now_ms = clock_wall_ms();
    if (letter->result.id) { /* it could not be made */
        mailer->stats.failed++;
        mailer->stats.dead += letter->result.final;
        tell_failure(letter, "not made", 0);
        letter_finished(letter);
        return;
    }
    letter->delivery = (struct mail_delivery){
        .from = mail_maker_house(mailer->service->maker)->from.address,
        .to = letter->made.to,
        .message = buf_span(&letter->made.message),
        .done = delivered,
    };
    enum err error =
        mailer->stopping ? ERR_CLOSED : mail_submit(mailer->transport, &letter->delivery);
    if (!error) return;
    if (error == ERR_INVALID) {
        letter_fail(letter, letter->delivery.reason, true, now_ms);
        tell_failure(letter, "refused", 0);
    } else {
        letter_release(letter, now_ms);
    }
    letter_finished(letter);
}

/* ---- claiming ---- */

static void round_done(struct db_job *job, enum err error)
{
    struct round *round = CONTAINER_OF(job, struct round, job);
    struct mailer *mailer = round->mailer;
    mailer->rounds--;
    mailer->more = !error && round->full;
    if (round->look) mailer->looks = mailer->lost = false;
    if (error) mailer->lost = true; /* what was claimed may be nobody's */
    if (error && error != ERR_FENCED && error != ERR_CLOSED)
        log_event(LOG_WARN, "mail_claim_failed", "%s", err_name(error));
    for (size_t i = 0; i < round->count; i++) {
        list_append(&mailer->every, &round->letters[i]->every);
        letter_send(mailer, round->letters[i]);
    }
    mailer->letters -= (unsigned)(round->limit - round->count);
    free(round);
    mailer_turn(mailer);
}

/* As many as are free on all of the way. One that looks must know of all letters, so it is alone.
 */
static void round_start(struct mailer *mailer)
{
    if (mailer->rounds == ROUNDS || mailer->looks || (mailer->lost && mailer->rounds)) return;
    unsigned room = mail_transport_room(mailer->transport);
    unsigned free_letters = MAILER_LETTERS - mailer->letters;
    unsigned limit = room < free_letters ? room : free_letters;
    if (limit > PAGE) limit = PAGE;
    if (!limit || clock_mono_us() < mailer->rest_until_us) return;
    struct round *round = calloc(1, sizeof *round);
    if (!round) return;
    round->job = (struct db_job){.run = round_run, .done = round_done};
    round->mailer = mailer;
    round->limit = limit;
    round->look = mailer->lost;
    for (struct list *at = mailer->every.next; at != &mailer->every; at = at->next)
        round->held[round->held_count++] = CONTAINER_OF(at, struct letter, every)->id;
    bool joined =
        meter_identity(mailer->service->meter, &round->node.node, &round->node.incarnation);
    if (!joined || db_submit(mailer->pool, &round->job)) {
        free(round);
        return;
    }
    mailer->rounds++;
    mailer->looks = round->look;
    mailer->letters += limit;
}

/* ---- turning ---- */

static void pool_stop(struct mailer *mailer)
{
    db_pool_stop(mailer->pool, closed, mailer);
    mailer->pool = NULL;
}

/* All that can be done now. */
static void mailer_turn(struct mailer *mailer)
{
    if (!mailer->pool) return;
    if (mailer->stopping) {
        if (mailer->last_tries < LAST_TRIES)
            mailer->finish_failed = false;
        else
            letters_drop(mailer, &mailer->finished); /* they stay in `sending` */
    }
    finish_start(mailer);
    if (!mailer->stopping) {
        for (unsigned i = 0; mailer->more && i < ROUNDS; i++)
            round_start(mailer);
        return;
    }
    if (mailer->transport_closed && !mailer->rounds && !mailer->finish &&
        list_empty(&mailer->finished))
        pool_stop(mailer);
}

static void on_tick(void *context)
{
    struct mailer *mailer = context;
    mailer->finish_failed = false;
    finish_start(mailer);
    round_start(mailer);
}

static void transport_closed(void *context)
{
    struct mailer *mailer = context;
    mailer->transport_closed = true;
    mailer_turn(mailer);
}

void mailer_stop(struct mailer *mailer, unsigned drain_ms, void (*tell)(void *context),
                 void *context)
{
    mailer->closed = tell;
    mailer->closed_context = context;
    mailer->stopping = true;
    loop_timer_free(&mailer->timer);
    mail_transport_stop(mailer->transport, drain_ms, transport_closed, mailer);
}

enum err mailer_submit(struct mailer *mailer, struct mail_delivery *delivery)
{
    return mailer->stopping ? ERR_CLOSED : mail_submit(mailer->transport, delivery);
}

struct mailer_stats mailer_stats(const struct mailer *mailer)
{
    struct mailer_stats stats = mailer->stats;
    stats.letters = mailer->letters;
    return stats;
}

static enum err parts_start(struct mailer *mailer, char error[MAILER_ERROR_SIZE])
{
    struct service *service = mailer->service;
    struct db_pool_config pool = {.name = "mailer",
                                  .db = *service->database,
                                  .threads = ROUNDS + 1,
                                  .queue_limit = 2 * ROUNDS,
                                  .nice = 5};
    struct mail_transport_config config = mail_config_of(service->settings);
    char wrong[MAIL_ERROR_SIZE];
    enum err result = loop_timer_new(&mailer->timer, service->loop, on_tick, mailer);
    if (!result) result = db_pool_new(&mailer->pool, service->loop, &pool);
    if (result) return result;
    result = mail_transport_new(&mailer->transport, service->loop, service->curl, &config, wrong);
    if (result) snprintf(error, MAILER_ERROR_SIZE, "%s", wrong);
    return result;
}

static void nobody(void *context)
{
    (void)context;
}

enum err mailer_new(struct mailer **out, struct service *service, char error[MAILER_ERROR_SIZE])
{
    struct mailer *mailer = calloc(1, sizeof *mailer);
    *out = NULL;
    if (!mailer) return ERR_NO_MEMORY;
    if (pthread_mutex_init(&mailer->claiming, NULL)) {
        free(mailer);
        return ERR_NO_MEMORY;
    }
    mailer->service = service;
    list_init(&mailer->finished);
    list_init(&mailer->every);
    enum err result = parts_start(mailer, error);
    if (result) {
        loop_timer_free(&mailer->timer);
        if (mailer->pool) {
            mailer->closed = nobody;
            db_pool_stop(mailer->pool, closed, mailer);
        } else {
            pthread_mutex_destroy(&mailer->claiming);
            free(mailer);
        }
        return result;
    }
    loop_timer_start(mailer->timer, TICK_MS, TICK_MS);
    *out = mailer;
    return ERR_OK;
}
