/* JSON lines on standard error, one object a line: time, level, event, then the fields given.
 * Only app, service, api and main log; the folders left of service return errors. Any thread.
 * Never pass a secret: a key is shown as its first 10 characters and "...". */
#ifndef KEYMETER_BASE_LOG_H
#define KEYMETER_BASE_LOG_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level lowest);
/* `event` is a stable snake_case word; `format` makes the human text of the field "message". */
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);
/* A line with further members instead of a message: `members` as base/json.h writes them, without
 * brackets. At most 16 KiB; a longer line is not written. */
void log_members(enum log_level level, const char *event, struct span members);
bool log_is_on(enum log_level level);

#endif
