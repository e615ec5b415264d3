/* One write(2) a line, so that lines of several threads never mix. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level lowest_level = LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level lowest)
{
    lowest_level = lowest;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (level < lowest_level) return;
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    if ((size_t)length >= sizeof message) length = sizeof message - 1;

    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);

    struct buf line = {.limit = 16384};
    buf_printf(&line,
               "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":\"%s\",\"message\":", stamp,
               (int)(now_ms % 1000), level_names[level], event);
    buf_add_json_string(&line, span_of(message, (size_t)length));
    buf_add_text(&line, "}\n");
    if (!line.failed) {
        ssize_t written = write(STDERR_FILENO, line.data, line.length);
        (void)written; /* nowhere left to report to */
    }
    buf_done(&line);
}
