/* What the pages of keys share (api/admin_keys.c, api/admin_key_forms.c). Loop thread. */
#ifndef KEYMETER_API_ADMIN_KEY_FORMS_H
#define KEYMETER_API_ADMIN_KEY_FORMS_H

#include "api/admin_action.h"

/* The page of the key in the path, not yet run; NULL: no memory. */
struct admin_page *admin_key_page(struct http_request *request);
/* Options of a choice of tiers by the part "tiers", `paid` where it wants a payment; `any` NULL:
 * none for all. */
json_t *admin_tier_options(const struct admin_page *page, const char *any, const char *selected);
/* Rows of a form for the rate limits of a key or tier, or for what was sent; some are empty. NULL
 * `sent`: nothing was. */
json_t *admin_limit_rows(const json_t *owner, const json_t *sent);
/* For admin_action.shows: the page that shows the answer's secret once. Without a secret it leaves
 * to `to`. */
void admin_secret_show(struct admin_action *action);

#endif
