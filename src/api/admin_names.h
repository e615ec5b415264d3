/* Names of customers beside their ids in what a page shows, and the page after that. Loop thread.
 */
#ifndef KEYMETER_API_ADMIN_NAMES_H
#define KEYMETER_API_ADMIN_NAMES_H

#include "api/admin_page.h"

/* For admin_page.finish: gives every object of the list at `page->own` ("keys": the list "data"
 * within that name) that has a customer_id a customer_name, then shows the page. */
void admin_names_finish(struct admin_page *page);

#endif
