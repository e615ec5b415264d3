/* What systemd is told (sd_notify). Without systemd these do nothing. Main thread. */
#ifndef KEYMETER_NOTIFY_H
#define KEYMETER_NOTIFY_H

void notify_ready(void);
void notify_stopping(void);

#endif
