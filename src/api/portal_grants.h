/* What a visitor may set of a key within the tier, for the forms of a new key and of one that
 * stands: from where it may be used, and tighter rate limits. Loop thread. */
#ifndef KEYMETER_API_PORTAL_GRANTS_H
#define KEYMETER_API_PORTAL_GRANTS_H

#include "api/web_form.h"
#include "core/tier.h"
#include "service/issue.h"

/* Sets "networks", a line each, and "limit_rows", one for each limit of the tier: as they were sent
 * or, when `form` is NULL, as the key has them (NULL: a new one). */
void portal_grants_put(json_t *context, const struct tier *tier, const struct api_key_row *key,
                       const struct web_form *form);
/* Reads both into the settings; the key's own limits that the form does not show stay. False: the
 * limits are those that the key has. Errors are the form's. */
bool portal_grants_read(struct web_form *form, const struct tier *tier,
                        const struct api_key_row *key, struct key_settings *settings);

#endif
