/* A key with its customer on a real MariaDB, a clock that is set by hand, and what the daemon's
 * scheduler and a mailer would do with the rows. */
#ifndef KEYMETER_TESTS_ROTATION_FIXTURE_H
#define KEYMETER_TESTS_ROTATION_FIXTURE_H

#include "database.h"
#include "service/claim.h"
#include "service/committer.h"
#include "service/context.h"
#include "service/issue.h"
#include "service/rotate.h"
#include "service/rotation_work.h"
#include "store/outbox.h"

extern struct service rotation_service;
extern struct db *rotation_db;
extern int64_t rotation_now; /* wall ms */
extern struct outbox_node rotation_node;

int rotation_up(void **state);   /* group set-up: keys */
int rotation_down(void **state); /* group teardown */
/* A fresh schema, a node, the customer "acme" with an address. Time: 2027-12-15T10:00:00Z. */
int rotation_fresh(void **state);
int rotation_close(void **state);

/* Runs one operation as the committer does. */
enum err rotation_run(struct operation *operation);
/* A key of the tier `free`; its id. *secret (may be NULL) is the caller's. */
uint64_t rotation_key(struct secret **secret);
/* Does what is due, again and again until nothing is; how many steps were done. */
unsigned rotation_pump(void);
/* Moves the clock on by so many hours, one by one, doing what is due at each. */
void rotation_pass_hours(unsigned hours);
/* Takes all mails as a relay would; *token: of the last one that had a link, may be NULL. */
unsigned rotation_deliver(struct secret **token);
/* The token's secret; ERR_DENIED with *problem. */
enum err rotation_reveal(const struct secret *token, struct secret **secret,
                         struct problem *problem);
/* Uses the secret of that version now. */
void rotation_use(uint64_t key_id, uint32_t version);
/* Whether the key verifies by this text at rotation_now. */
bool rotation_works(const struct secret *secret);
int64_t rotation_number(const char *format, ...) PRINTF_LIKE(1, 2);
void rotation_sql(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
