/* The running daemon: everything that serve and dev start, in order, and stop in mirrored order.
 * Main thread, which is the loop's. */
#ifndef KEYMETER_APP_H
#define KEYMETER_APP_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>

struct app;
struct service;
struct settings;

enum { APP_ERROR_SIZE = 512 };

/* What can be said of the settings without starting anything; `error` names the wrong one. */
MUST_USE enum err app_check(const struct settings *settings, char error[APP_ERROR_SIZE]);
/* Starts all parts and listens; the settings must outlive the app. On failure what had been started
 * is stopped again, and `error` says what is wrong. */
MUST_USE enum err app_start(struct app **out, const struct settings *settings,
                            char error[APP_ERROR_SIZE]);
/* Runs the loop until the app was stopped (by a signal or app_stop) and everything is done. */
void app_run(struct app *app);
/* Begins the stop: no new work, what is under way is finished. Twice is once. */
void app_stop(struct app *app);
/* The daemon has stopped itself, for a reason that its log tells: the process is to exit with 1. */
bool app_gave_up(const struct app *app);
/* After app_run. ERR_FULL: something was left open on the loop, a bug. NULL is accepted. */
MUST_USE enum err app_free(struct app **app);

struct service *app_service(struct app *app);
/* Where it listens, with the port that was bound: "127.0.0.1:7070"; "" for off. */
const char *app_api_address(const struct app *app);
const char *app_gateway_address(const struct app *app);

/* `keymeterd serve`; an exit code. */
int app_serve(const struct settings *settings);

#endif
