/* One write(2) a line, so that lines of several threads never mix. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_LIMIT = 16384 };

static enum log_level lowest_level = LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level lowest)
{
    lowest_level = lowest;
}

bool log_is_on(enum log_level level)
{
    return level >= lowest_level;
}

static void line_begin(struct buf *line, enum log_level level, const char *event)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    buf_printf(line, "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":\"%s\",", stamp,
               (int)(now_ms % 1000), level_names[level], event);
}

static void line_end(struct buf *line)
{
    buf_add_text(line, "}\n");
    if (!line->failed) {
        ssize_t written = write(STDERR_FILENO, line->data, line->length);
        (void)written; /* nowhere left to report to */
    }
    buf_done(line);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_is_on(level)) return;
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    if ((size_t)length >= sizeof message) length = sizeof message - 1;
    struct buf line = {.limit = LINE_LIMIT};
    line_begin(&line, level, event);
    buf_add_text(&line, "\"message\":");
    buf_add_json_string(&line, span_of(message, (size_t)length));
    line_end(&line);
}

void log_members(enum log_level level, const char *event, struct span members)
{
    if (!log_is_on(level)) return;
    struct buf line = {.limit = LINE_LIMIT};
    line_begin(&line, level, event);
    buf_add_span(&line, members);
    line_end(&line);
}
