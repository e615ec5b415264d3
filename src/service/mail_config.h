/* How mail is carried, as the settings say. Any thread. */
#ifndef KEYMETER_SERVICE_MAIL_CONFIG_H
#define KEYMETER_SERVICE_MAIL_CONFIG_H

#include "io/mail_transport.h"

struct settings;

/* Only where mail.url is not empty. Borrows the settings' texts. */
struct mail_transport_config mail_config_of(const struct settings *settings);

#endif
