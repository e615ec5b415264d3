/* Mail addresses as Keymeter takes them: a subset of RFC 5321's Mailbox that needs no quoting and
 * cannot end a line of the protocol or of a header. Pure, any thread. */
#ifndef KEYMETER_BASE_MAILBOX_H
#define KEYMETER_BASE_MAILBOX_H

#include "base/compiler.h"
#include "base/span.h"

/* With the NUL. RFC 5321, 4.5.3.1: a path of 256 with its brackets. */
enum { MAILBOX_ADDRESS_SIZE = 255, MAILBOX_NAME_SIZE = 129 };

/* local@domain: at most 64, 255 and 254 in all, printable ASCII without spaces and
 * <>()[],;:\" ; a domain beyond ASCII is written as its A-labels (xn--). */
MUST_USE bool mailbox_address_is_good(struct span address);

struct mailbox {
    char name[MAILBOX_NAME_SIZE]; /* "" when there is none */
    char address[MAILBOX_ADDRESS_SIZE];
};

/* "address" or "Name <address>", the name being at most 128 printable ASCII characters without
 * <>"\ . False, and *out unspecified, on anything else. */
MUST_USE bool mailbox_parse(struct span text, struct mailbox *out);

#endif
