/* Called by cli/import_list.c and main.c. What always holds: the cursor stays where the line
 * begins, so whatever is written next takes its place. */
#include "cli/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { EACH_US = 100 * 1000, BAR_WIDTH = 30 };

static void draw_bar(const struct progress *progress)
{
    int full = (int)(progress->done * BAR_WIDTH / progress->total);
    fprintf(stderr, "[%.*s%*s] %llu of %llu %s", full, "##############################",
            BAR_WIDTH - full, "", (unsigned long long)progress->done,
            (unsigned long long)progress->total, progress->what);
}

void progress_show(struct progress *progress)
{
    int64_t now_us = clock_mono_us();
    if (!isatty(STDERR_FILENO)) return;
    if (progress->shown && now_us - progress->shown_us < EACH_US) return;
    if (progress->total && progress->done <= progress->total)
        draw_bar(progress);
    else
        fprintf(stderr, "%llu %s", (unsigned long long)progress->done, progress->what);
    fputs("\033[K\r", stderr); /* nothing behind it */
    fflush(stderr);
    progress->shown = true;
    progress->shown_us = now_us;
}

void progress_clear(struct progress *progress)
{
    if (!progress->shown) return;
    fputs("\033[K", stderr);
    fflush(stderr);
    progress->shown = false;
}
