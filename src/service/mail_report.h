/* Tells the operator of texts of mails that cannot be used: a line each in the log, and one alert a
 * node, which ends by itself when a later start finds nothing wrong. Loop thread. */
#ifndef KEYMETER_SERVICE_MAIL_REPORT_H
#define KEYMETER_SERVICE_MAIL_REPORT_H

struct service;

/* What was wrong with the files in service->templates when they were loaded; once, when the
 * database can be written. */
void mail_report_templates(struct service *service);

#endif
