/* What is wrong with an operator's texts of mails, told. Called at the start by app.c, on the loop
 * thread; the alert is an operation of the committer. What always holds: mail goes out all the
 * same, by the built-in texts, so nothing here may keep the daemon from starting. */
#include "service/mail_report.h"

#include "base/json.h"
#include "base/log.h"
#include "conf/settings.h"
#include "service/context.h"
#include "service/mail_template.h"
#include "service/operation.h"
#include "store/alert.h"

#include <stdio.h>
#include <stdlib.h>

enum { FAULTS_TOLD = 10, SUBJECT_SIZE = 80 };

struct report {
    struct operation operation;
    char subject[SUBJECT_SIZE];
    bool faulty;
    struct buf detail;
};

static void report_free(struct report *report)
{
    buf_done(&report->detail);
    free(report);
}

static enum err report_run(struct db *db, struct operation *operation)
{
    struct report *report = CONTAINER_OF(operation, struct report, operation);
    if (report->faulty)
        return alert_raise(db, ALERT_MAIL_TEMPLATES, report->subject, 0, report->detail.data,
                           operation->now_ms);
    return alert_settle(db, ALERT_MAIL_TEMPLATES, report->subject, "system", operation->now_ms);
}

static void report_done(struct operation *operation, enum err error)
{
    struct report *report = CONTAINER_OF(operation, struct report, operation);
    if (error) log_event(LOG_WARN, "alert_failed", "mail_templates: %s", err_name(error));
    report_free(report);
}

static void detail_write(struct buf *out, const char *const *faults, size_t count)
{
    json_open(out, NULL, '{');
    json_put_u64(out, "count", count);
    json_open(out, "faults", '[');
    for (size_t i = 0; i < count && i < FAULTS_TOLD; i++)
        json_put_string(out, NULL, faults[i]);
    json_close(out, ']');
    json_close(out, '}');
    buf_add_char(out, '\0');
}

void mail_report_templates(struct service *service)
{
    const char *const *faults;
    size_t count = mail_templates_faults(service->templates, &faults);
    for (size_t i = 0; i < count; i++)
        log_event(LOG_WARN, "mail_template_broken", "%s; the built-in text stands in for it",
                  faults[i]);
    struct report *report = calloc(1, sizeof *report);
    if (!report) return;
    report->operation.service = service;
    report->operation.run = report_run;
    report->operation.done = report_done;
    report->faulty = count > 0;
    snprintf(report->subject, sizeof report->subject, "node/%s", service->settings->node.name);
    detail_write(&report->detail, faults, count);
    if (report->detail.failed || operation_submit(&report->operation)) report_free(report);
}
