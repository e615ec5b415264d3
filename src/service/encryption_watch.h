/* Looks for customers' encryption keys that end soon, and queues `encryption_key_expiring`: once
 * for each key and date. Any number of nodes may do so. Loop thread. */
#ifndef KEYMETER_SERVICE_ENCRYPTION_WATCH_H
#define KEYMETER_SERVICE_ENCRYPTION_WATCH_H

#include "base/compiler.h"
#include "base/err.h"

struct encryption_watch;
struct service;

MUST_USE enum err encryption_watch_new(struct encryption_watch **out, struct service *service);
/* No further look; what is under way ends with committer and readers. Accepts NULL. */
void encryption_watch_stop(struct encryption_watch *watch);
/* After those two have stopped; accepts NULL. */
void encryption_watch_free(struct encryption_watch **watch);

#endif
