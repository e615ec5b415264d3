/* Tells customers that 80 % and 100 % of their quota are used: once for a period, a threshold and a
 * limit, whatever crashes, by whichever node. Loop thread. */
#ifndef KEYMETER_SERVICE_QUOTA_NOTICE_H
#define KEYMETER_SERVICE_QUOTA_NOTICE_H

#include "store/quota_notice.h"

#include <stddef.h>

struct service;

enum { QUOTA_NOTICES_AT_ONCE = 64 };

/* An operation of the committer for each of what was picked, in the name of the node. While those
 * of an earlier call are under way, or where there is no committer (a meter by itself), it does
 * nothing: what is left is picked again. */
void quota_notices_submit(struct service *service, unsigned node, unsigned incarnation,
                          const struct quota_due *due, size_t count);

#endif
