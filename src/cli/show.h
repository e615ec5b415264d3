/* Answers as people read them: tables and lists of members. */
#ifndef KEYMETER_CLI_SHOW_H
#define KEYMETER_CLI_SHOW_H

#include <jansson.h>

/* The objects of data[] under the members' names, NULL-terminated; next_cursor goes to stderr,
 * other members (a quota) behind the table. */
void show_table(const json_t *answer, const char *const *columns);
/* One member a line; objects and arrays as compact JSON. */
void show_object(const json_t *object);

/* A mail's text under its subject, or its HTML alone. */
void show_mail(const json_t *answer);

/* What a reconciliation found, summed up over its pages. */
struct show_totals {
    unsigned long read, changed, unread;
};
/* A line for each customer of data[] that differed, or could not be read. */
void show_changes(const json_t *answer, struct show_totals *totals);

#endif
