/* Previews of mails, and the mail that tries the relay. Called by the routing on the loop thread.
 * What always holds: a preview sends nothing and knows no customer, and what the relay said to a
 * test is told as the transport keeps it, without secrets. */
#include "api/mails.h"

#include "api/request.h"
#include "base/codec.h"
#include "base/json.h"
#include "conf/settings.h"
#include "service/context.h"
#include "service/mail_trial.h"

#include <stdio.h>

enum { LANGUAGE_MAX = 35 };

/* ---- previews ---- */

static bool choice(struct http_request *request, const char *name, const char *const *words,
                   unsigned *out, struct problem *problem)
{
    char location[32];
    struct span text = query_text(request, name);
    *out = 0;
    if (!text.data) return true;
    for (; words[*out]; (*out)++)
        if (span_is(text, words[*out])) return true;
    snprintf(location, sizeof location, "query.%s", name);
    problem_add_field(problem, location, "is none of what this call knows");
    return false;
}

static struct verdict reply_preview(struct http_request *request, enum mail_kind kind,
                                    const char *language, bool html, const struct mail_text *text)
{
    struct buf out = {0};
    const struct buf *part = html ? &text->html : &text->text;
    const char *content = part->length ? arena_copy(&request->arena, buf_span(part)) : NULL;
    if (part->length && !content) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    json_open(&out, NULL, '{');
    json_put_string(&out, "kind", mail_kind_name(kind));
    json_put_string(&out, "language", language);
    json_put_string(&out, "format", html ? "html" : "text");
    json_put_string(&out, "subject", text->subject);
    json_put_string(&out, "content", content);
    json_put_string(&out, "fault", text->fault[0] ? text->fault : NULL);
    json_close(&out, '}');
    return reply_json(request, 200, &out);
}

struct verdict handle_mail_preview(struct http_request *request)
{
    static const char *const names[] = {"language", "format", "with", NULL};
    static const char *const formats[] = {"text", "html", NULL};
    static const char *const shapes[] = {"claim", "secret", "neither", "shortest", NULL};
    static const enum mail_shape shape_of[] = {MAIL_WITH_CLAIM, MAIL_WITH_SECRET, MAIL_WITH_NEITHER,
                                               MAIL_SHORTEST};
    const struct service *service = request_service(request);
    struct problem problem = {0};
    enum mail_kind kind;
    unsigned format, shape;
    if (!mail_kind_parse(path_text(request, 0), &kind))
        return problem_reply_not_found(request, "kind of mail");
    if (!query_only(request, names, &problem)) return problem_reply(request, &problem);
    struct span asked = query_text(request, "language");
    bool good = choice(request, "format", formats, &format, &problem);
    good = choice(request, "with", shapes, &shape, &problem) && good;
    if (asked.data && (asked.length > LANGUAGE_MAX || !language_tag_is_good(asked)))
        problem_add_field(&problem, "query.language", "must be a tag, for example de or pt-BR");
    if (problem.field_count || !good) return problem_reply(request, &problem);
    const char *language =
        asked.length ? arena_copy(&request->arena, asked) : service->settings->mail.language;
    if (!language) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    struct mail_text text;
    enum err error = mail_trial_render(service, kind, shape_of[shape], language, &text);
    struct verdict verdict = error ? problem_reply_error(request, error, NULL)
                                   : reply_preview(request, kind, language, format == 1, &text);
    mail_text_done(&text);
    return verdict;
}

/* ---- a test mail ---- */

struct test_call {
    struct mail_trial trial;
    struct http_request *request;
};

static void test_done(struct mail_trial *trial)
{
    struct http_request *request = CONTAINER_OF(trial, struct test_call, trial)->request;
    const struct mail_delivery *delivery = &trial->delivery;
    struct problem problem = {0};
    struct buf out = {0};
    char code[16] = "";
    if (delivery->code) snprintf(code, sizeof code, " (%u)", delivery->code);
    if (delivery->result == MAIL_ACCEPTED) {
        json_open(&out, NULL, '{');
        json_put_string(&out, "result", mail_result_name(delivery->result));
        if (delivery->code)
            json_put_u64(&out, "code", delivery->code);
        else
            json_put_null(&out, "code");
        json_close(&out, '}');
        finish_json(request, 200, &out);
        return;
    }
    bool unknown = delivery->result == MAIL_UNKNOWN;
    enum err error = problem_set(
        &problem, 502, unknown ? "mail_unknown" : "mail_not_accepted", "%s%s%s",
        unknown ? "It is not known whether the mail was accepted: " : "", delivery->reason, code);
    problem_finish_error(request, error, &problem);
}

static struct verdict test_refused(struct http_request *request, enum err error,
                                   const struct mail_delivery *delivery)
{
    struct problem problem = {0};
    if (error == ERR_NOT_FOUND)
        error = problem_set(&problem, 409, "mail_off",
                            "This daemon sends no mail: mail.url is not set.");
    if (error == ERR_INVALID) {
        problem_add_field(&problem, "body.to", "%s", delivery->reason);
        error = ERR_DENIED;
    }
    return problem_reply_error(request, error, &problem);
}

struct verdict handle_mail_test(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct test_call *call = ARENA_NEW(&request->arena, struct test_call);
    if (!call) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    struct fields *fields = &body.fields;
    field_required(fields, "to", field_email(fields, "to", &call->trial.to));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    call->request = request;
    call->trial.done = test_done;
    enum err error = mail_trial_send(request_service(request), &call->trial);
    if (error) return test_refused(request, error, &call->trial.delivery);
    return http_pending(request);
}
