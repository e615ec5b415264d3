/* What `keymeterd dev` has caught: a list of mails, and one of them. Elsewhere there is no such
 * page. Loop thread. */
#ifndef KEYMETER_API_DEV_MAIL_H
#define KEYMETER_API_DEV_MAIL_H

#include "io/http.h"

MUST_USE struct verdict handle_dev_mails(struct http_request *request);
MUST_USE struct verdict handle_dev_mail(struct http_request *request);

#endif
