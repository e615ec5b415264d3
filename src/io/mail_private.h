/* What mail_transport.c, smtp.c and maildir.c share. Loop thread. */
#ifndef KEYMETER_IO_MAIL_PRIVATE_H
#define KEYMETER_IO_MAIL_PRIVATE_H

#include "io/mail_transport.h"

/* A kind of transport; a struct mail_transport is the first member of each. Deliveries come here
 * checked, and after stop none come. */
struct mail_transport_kind {
    enum err (*submit)(struct mail_transport *transport, struct mail_delivery *delivery);
    void (*stop)(struct mail_transport *transport, unsigned drain_ms);
};

struct mail_transport {
    const struct mail_transport_kind *kind;
    struct mail_transport_config config;
    struct list waiting; /* mail_delivery.link */
    unsigned waiting_count;
    bool stopping;
    void (*closed)(void *context);
    void *closed_context;
};

MUST_USE enum err smtp_new(struct mail_transport **out, struct uv_loop_s *loop,
                           struct curl_loop *curl, const struct mail_transport_config *config);
/* `folder` is made, with tmp, new and cur in it, where it is missing. */
MUST_USE enum err maildir_new(struct mail_transport **out, struct uv_loop_s *loop,
                              const struct mail_transport_config *config, const char *folder,
                              char error[MAIL_ERROR_SIZE]);

/* The queue in front of connections or workers. */
void mail_waiting_append(struct mail_transport *transport, struct mail_delivery *delivery);
void mail_waiting_prepend(struct mail_transport *transport, struct mail_delivery *delivery);
struct mail_delivery *mail_waiting_shift(struct mail_transport *transport); /* or NULL */
/* Fills the results and calls done. `reason` is cleaned and cut. */
void mail_delivery_end(struct mail_delivery *delivery, enum mail_result result, unsigned code,
                       struct span reason);
/* Ends all that wait. */
void mail_waiting_end(struct mail_transport *transport, unsigned code, struct span reason);

#endif
