/* Forms of the dashboard when memory ends: the call that is made has all that the form said, or
 * none is made and it is told. What a form calls and how it answers is caught by the linker's
 * --wrap. */
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/admin_gate.h"
#include "api/admin_work.h"
#include "api/web.h"

#include "unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static unsigned calls, refusals;
static json_t *body_sent;
static size_t allocations_left;

void __wrap_inner_call_start(struct inner_call *call, struct http_request *request);
struct verdict __wrap_http_pending(struct http_request *request);
struct verdict __wrap_web_reply_error(struct http_request *request, enum err error,
                                      struct problem *problem);
struct verdict __wrap_web_reply_problem(struct http_request *request, const struct problem *problem,
                                        unsigned allowed);

static void *sparing_alloc(size_t size)
{
    if (!allocations_left) return NULL;
    allocations_left--;
    return malloc(size);
}

void __wrap_inner_call_start(struct inner_call *call, struct http_request *request)
{
    struct admin_action *action = CONTAINER_OF(call, struct admin_action, call);
    (void)request;
    calls++;
    allocations_left = SIZE_MAX;
    json_decref(body_sent);
    body_sent = json_loadb(call->body.data ? call->body.data : "", call->body.length, 0, NULL);
    web_form_done(&action->form);
}

struct verdict __wrap_http_pending(struct http_request *request)
{
    return (struct verdict){.request = request};
}

struct verdict __wrap_web_reply_error(struct http_request *request, enum err error,
                                      struct problem *problem)
{
    (void)problem;
    refusals += error == ERR_NO_MEMORY;
    return (struct verdict){.request = request};
}

struct verdict __wrap_web_reply_problem(struct http_request *request, const struct problem *problem,
                                        unsigned allowed)
{
    (void)allowed;
    refusals += problem->status == 503;
    return (struct verdict){.request = request};
}

#define KEY "key_0000000000001"
static const struct form {
    http_handler *send;
    const char *of, *text;
} forms[] = {
    {handle_admin_key_create, "",
     "csrf=x&customer=acme&title=T&permissions[]=a&permissions[]=b&limit_name_1=minute&limit_1=5"
     "&window_1=60&limit_name_2=day&limit_2=9&window_2=86400&networks=10.0.0.0/8,192.0.2.1"
     "&expires_on=2030-01-01&environment=test&deliver=email"},
    {handle_admin_key_edit, KEY,
     "csrf=x&title=T&limit_name_1=minute&limit_1=5&window_1=60&networks=10.0.0.0/8&rotation_off=yes"
     "&version=7"},
    {handle_admin_key_rotate, KEY, "csrf=x&deliver=email&grace_seconds=60"},
    {handle_admin_key_regenerate, KEY, "csrf=x&deliver=email"},
    {handle_admin_key_postpone, KEY, "csrf=x&days=3"},
    {handle_admin_customer_edit, "cus_0000000000001", "csrf=x&email=a@b.example&name=N"},
    {handle_admin_customer_tier, "cus_0000000000001", "csrf=x&tier=free"},
    {handle_admin_customer_approve, "cus_0000000000001",
     "csrf=x&tier=pro&until_on=2030-01-01&note=n"},
    {handle_admin_customer_portal, "cus_0000000000001", "csrf=x"},
    {handle_admin_tier_save, "pro",
     "csrf=x&name=Pro&monthly_quota=5&permissions=a,b&limit_name_1=minute&limit_1=5&window_1=60"
     "&requires_payment=yes&ack=commit"},
    {handle_admin_token_create, "", "csrf=x&name=n&scopes[]=read&scopes[]=issue"},
};

/* False: memory ended before all was done. */
static bool sent(const struct form *form, size_t allocations)
{
    struct http_header type = {SPAN("content-type"), SPAN("application/x-www-form-urlencoded")};
    struct admin admin = {.role = ADMIN_OWNER, .csrf = "x"};
    struct http_request request = {.method = HTTP_M_POST,
                                   .headers = &type,
                                   .header_count = 1,
                                   .body = span_text(form->text),
                                   .path_arguments = {span_text(form->of)},
                                   .user = &admin,
                                   .actor = "adm_1"};
    calls = refusals = 0;
    allocations_left = allocations;
    struct verdict verdict = form->send(&request);
    (void)verdict;
    bool enough = allocations_left > 0;
    allocations_left = SIZE_MAX;
    arena_done(&request.arena);
    return enough;
}

static void a_call_has_all_of_its_form_or_is_not_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        assert_true(sent(&forms[i], SIZE_MAX));
        assert_int_equal(calls, 1);
        assert_non_null(body_sent);
        json_t *whole = json_incref(body_sent);
        for (size_t allocations = 0; !sent(&forms[i], allocations); allocations++) {
            assert_int_equal(calls, 0);
            assert_int_equal(refusals, 1);
        }
        assert_int_equal(calls, 1);
        assert_true(json_equal(body_sent, whole));
        json_decref(whole);
    }
    json_decref(body_sent);
}

/* ---- long work ---- */

struct parts {
    struct admin_work work;
    unsigned asked, failed, ended;
};

static bool part_next(struct admin_work *work)
{
    return CONTAINER_OF(work, struct parts, work)->asked++ < 2; /* leaves the call as it is */
}

static void part_told(struct admin_work *work)
{
    CONTAINER_OF(work, struct parts, work)->failed += admin_work_wrong(work) != NULL;
}

static void part_end(struct admin_work *work)
{
    CONTAINER_OF(work, struct parts, work)->ended++;
}

static void a_part_without_a_path_is_not_called(void **state)
{
    (void)state;
    struct http_request request = {0};
    struct parts parts = {
        .work = {.request = &request, .next = part_next, .told = part_told, .end = part_end}};
    calls = 0;
    admin_work_go(&parts.work);
    assert_int_equal(calls, 0);
    assert_int_equal(parts.failed, 2);
    assert_int_equal(parts.ended, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_has_all_of_its_form_or_is_not_made),
        cmocka_unit_test(a_part_without_a_path_is_not_called),
    };
    json_set_alloc_funcs(sparing_alloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
