/* Readings that are applied, on a real MariaDB: what each of them keeps until it is told is small,
 * because as many wait together as a batch of the committer takes. */
#include "conf/settings.h"
#include "database.h"
#include "service/committer.h"
#include "service/context.h"
#include "service/payment_work.h"
#include "store/customer.h"
#include "store/entitlement.h"
#include "store/node.h"
#include "store/tier.h"

#include "unit.h"

#include <stdio.h>

enum { MANY = 32, KEPT_MAX = 8192 };

static struct service service;
static struct settings settings;
static struct db *db;
static struct node_joined node;

static void must(enum err error)
{
    if (error) fail_msg("%s: %s", err_name(error), db_error_text(db));
}

static void customer_make(uint64_t id)
{
    char external_id[32], reference[32];
    snprintf(external_id, sizeof external_id, "c%u", (unsigned)id);
    snprintf(reference, sizeof reference, "sub_%u", (unsigned)id);
    struct customer_row row = {.id = id, .external_id = external_id, .metadata = "{}"};
    struct entitlement_row entitlement = {.customer_id = id,
                                          .tier = "pro",
                                          .paid_tier = "pro",
                                          .provider = "stripe",
                                          .reference = reference,
                                          .resolved_reference = reference,
                                          .payment_status = "active",
                                          .status = "active"};
    must(customer_insert(db, &row));
    must(entitlement_insert(db, &entitlement));
    must(payment_read_begin(db, id, NULL, 1));
    must(db_execute(db, "UPDATE payment_read SET begun = 1, asked = 0 WHERE customer_id = ?",
                    DB_VALUES(db_u64(id)), NULL));
}

static void work_make(struct payment_work *work, uint64_t id, char reference[32])
{
    snprintf(reference, 32, "sub_%u", (unsigned)id);
    *work = (struct payment_work){.kind = PAYMENT_WORK_READ,
                                  .node = node.id,
                                  .incarnation = node.incarnation,
                                  .due = {.customer_id = id,
                                          .ticket = 1,
                                          .provider = "stripe",
                                          .reference = reference,
                                          .paid_tier = "pro"},
                                  .reading = {.status = PAY_PAST_DUE, .prices = "price_pro"},
                                  .next_at = 1000};
    work->operation.service = &service;
    snprintf(work->operation.actor, sizeof work->operation.actor, "system");
    payment_work_init(work);
}

static void a_reading_keeps_little(void **state)
{
    static struct payment_work works[MANY];
    static char references[MANY][32];
    struct operation *batch[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        customer_make(i + 1);
        work_make(&works[i], i + 1, references[i]);
        batch[i] = &works[i].operation;
    }
    committer_run(db, batch, MANY, database_start());
    for (unsigned i = 0; i < MANY; i++) {
        must(batch[i]->job.error);
        assert_true(works[i].changed);
        assert_non_null(strstr(works[i].after, "\"past_due\""));
        assert_in_range(works[i].arena.total, 1, KEPT_MAX);
        payment_work_done(&works[i]);
    }
}

/* As many rows are taken as there are tiers, not as many as there may be. */
static void a_list_of_tiers_takes_its_rows(void **state)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct tier_row *rows;
    size_t count;
    (void)state;
    must(tier_list(db, &arena, &rows, &count));
    assert_int_equal(count, 3);
    assert_string_equal(rows[1].tier.slug, "free");
    assert_string_equal(rows[2].tier.price_references, "price_pro");
    assert_in_range(arena.total, 1, 4 * sizeof *rows);
}

static int up(void **state)
{
    (void)state;
    database_migrate();
    db = database_open();
    settings.node.trust_clock = true;
    service.settings = &settings;
    must(node_join(db, "one", 7, 1, &node));
    must(db_execute(db, "UPDATE tier SET price_references = '[\"price_pro\"]' WHERE slug = 'pro'",
                    DB_NONE, NULL));
    return 0;
}

static int down(void **state)
{
    (void)state;
    db_close(&db);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading_keeps_little),
        cmocka_unit_test(a_list_of_tiers_takes_its_rows),
    };
    return cmocka_run_group_tests(tests, up, down);
}
