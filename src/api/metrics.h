/* `/metrics` in Prometheus' text format: scope read, or no token on loopback. Loop thread. */
#ifndef KEYMETER_API_METRICS_H
#define KEYMETER_API_METRICS_H

#include "io/http.h"

struct http_server;

struct verdict handle_metrics(struct http_request *request);
/* True for a peer that needs no token: loopback, or a Unix socket. */
bool metrics_is_local(const struct http_request *request);
/* Which server's counters to show; app.c sets it once before listening. */
void metrics_watch(const struct http_server *server);

#endif
