/* The calls under /v1/customers, and a customer as JSON. Loop thread. */
#ifndef KEYMETER_API_CUSTOMERS_H
#define KEYMETER_API_CUSTOMERS_H

#include "api/request.h"
#include "service/signup.h"

MUST_USE struct verdict handle_customer_create(struct http_request *request);
MUST_USE struct verdict handle_customers_list(struct http_request *request);
MUST_USE struct verdict handle_customer_get(struct http_request *request);
MUST_USE struct verdict handle_customer_patch(struct http_request *request);
MUST_USE struct verdict handle_customer_delete(struct http_request *request);

/* The contract's customer object; `name` as for base/json.h. */
void customer_put(struct buf *out, const char *name, const struct customer_view *view);
/* What a sign-up and a new customer share; errors are added. */
void customer_fields_read(struct fields *fields, struct signup *signup);

#endif
