/* Calls about mail as such: previews of its texts, and a test of the relay. */
#ifndef KEYMETER_API_MAILS_H
#define KEYMETER_API_MAILS_H

#include "io/http.h"

http_handler handle_mail_preview, handle_mail_test;

#endif
