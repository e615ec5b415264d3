/* Lists of the dashboard: a page's address holds the filters, the order and the cursor, by the
 * names that the call of the API has for them, too. Loop thread. */
#ifndef KEYMETER_API_ADMIN_FILTERS_H
#define KEYMETER_API_ADMIN_FILTERS_H

#include "api/admin_page.h"

/* Has the page ask for that part: at most `limit`, by what its address says of the names
 * (NULL-terminated), and from its cursor on. */
void admin_filters_ask(struct admin_page *page, const char *part, const char *path, unsigned limit,
                       const char *const *names);
/* Sets what the template shows of it: "filter" {name: value}, "filtered": there is any; "more", the
 * query of the rest of the list in the part, and "later": it is not the first page. Where "order"
 * is among the names: "turned", the query of the list the other way round, and "oldest_first". */
void admin_filters_set(struct admin_page *page, const char *part, const char *const *names);

#endif
