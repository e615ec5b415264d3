/* Text of a setting to its value and back, for conf/ itself. No state. */
#ifndef KEYMETER_CONF_SETTINGS_VALUE_H
#define KEYMETER_CONF_SETTINGS_VALUE_H

#include "conf/settings.h"
#include "conf/settings_table.h"

/* Stores the value in *settings (texts are copied to its memory). ERR_INVALID: it is not allowed;
 * ERR_NO_MEMORY. */
MUST_USE enum err setting_store(struct settings *settings, const struct setting *setting,
                                const char *text);
/* What is allowed, for an error's text: "yes or no", "10ms to 60000ms". */
void setting_allowed(const struct setting *setting, char out[192]);
/* The value as a file has it. */
void setting_write(const struct settings *settings, const struct setting *setting, FILE *out);

#endif
