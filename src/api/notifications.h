/* The calls under /v1/notifications and /v1/alerts. Loop thread. */
#ifndef KEYMETER_API_NOTIFICATIONS_H
#define KEYMETER_API_NOTIFICATIONS_H

#include "io/http.h"

MUST_USE struct verdict handle_notifications_list(struct http_request *request);
MUST_USE struct verdict handle_notification_retry(struct http_request *request);
MUST_USE struct verdict handle_alerts_list(struct http_request *request);
MUST_USE struct verdict handle_alert_ack(struct http_request *request);

#endif
