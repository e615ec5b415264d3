/* sd_notify(3) for Type=notify units. Called by app.c when verifying works and when it begins to
 * stop; a failure to tell changes nothing. */
#include "notify.h"

#include <systemd/sd-daemon.h>

void notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}
