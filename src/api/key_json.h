/* A key as JSON, and the fields by which one is made or edited; shared by keys and signups. Loop
 * thread. */
#ifndef KEYMETER_API_KEY_JSON_H
#define KEYMETER_API_KEY_JSON_H

#include "api/auth.h"
#include "api/request.h"
#include "base/secret.h"
#include "service/key_edit.h"

/* The contract's key object; `secret` NULL: without one. `name` as for base/json.h. */
void key_put(struct buf *out, const char *name, const struct key_view *view,
             const struct secret *secret);

/* Reads what a new key may be given, from the body or an object within; errors are added. */
void key_settings_read(struct fields *fields, const struct caller *caller,
                       struct key_settings *settings);
/* The same fields of a PATCH: only what stands there. */
void key_edit_read(struct fields *fields, const struct caller *caller, struct key_edit *edit);
/* customer_id, an external_id too: required. */
void customer_name_read(struct fields *fields, struct customer_name *customer);
/* Whether `deliver` asks for mail; code delivery_unavailable where none is sent. */
bool deliver_read(struct fields *fields, const struct service *service);

#endif
