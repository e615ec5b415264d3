/* Long work of the dashboard. A press of a button does as much of it as fits into one answer, and
 * says how far it is; with scripts the rest goes on by itself (admin.js). How far it is stands in
 * the page's address, so that a browser that is closed meanwhile loses nothing. Loop thread. */
#ifndef KEYMETER_API_ADMIN_WORK_H
#define KEYMETER_API_ADMIN_WORK_H

#include "api/admin_page.h"
#include "api/web_form.h"
#include "base/codec.h"

/* ---- calls in turn ---- */

struct admin_work {
    struct http_request *request;
    /* Fills `call`, but for its done; without a path, as there was no memory for all of it, it is
     * not made and comes to 503. False: there is no more to do in this answer. */
    bool (*next)(struct admin_work *work);
    void (*told)(struct admin_work *work); /* what the call came to; it is freed behind this */
    void (*end)(struct admin_work *work);  /* exactly once; may free the work */
    struct inner_call call;
    /* its own: */
    int64_t begun_us;
    bool starting, answered; /* a call that answers at once does not go on by itself */
};
/* Zero it and fill the first part; `end` may run at once. */
void admin_work_go(struct admin_work *work);
/* The time of one answer is over: `next` ends it. */
bool admin_work_late(const struct admin_work *work);
/* What is wrong with the call, for people, in the request's arena; NULL: nothing. */
const char *admin_work_wrong(const struct admin_work *work);
/* Where the call failed, the page says so and what it was: it is to be asked for again. */
void admin_work_failed(const struct admin_work *work, struct admin_page *page);

/* ---- how far it is ---- */

enum { ADMIN_PROGRESS_COUNTS = 3 };

struct admin_progress {
    const char *prefix;       /* of the ids in rows: "cus" */
    const char *path;         /* of their pages: "admin/customers" */
    const char *const *names; /* of the counts, and of the parameters; NULL-terminated */
    uint64_t at, of;          /* done, of about so many */
    uint64_t counts[ADMIN_PROGRESS_COUNTS];
    char cursor[ID_TEXT_SIZE]; /* where it goes on; "": at the beginning */
    bool over;
    json_t *rows;  /* what is worth telling, the first of them; NULL: none */
    uint64_t told; /* rows, with those that have no place any more */
};
/* Of the address and, where there is one, the form; prefix, path and names are set. */
void admin_progress_read(struct admin_progress *progress, struct http_request *request,
                         const struct web_form *form);
/* `cursor` is an answer's next_cursor; NULL: it was the last part. */
void admin_progress_go_on(struct admin_progress *progress, const char *cursor);
void admin_progress_row(struct admin_progress *progress, const char *id, const char *name,
                        const char *text, bool wrong);
/* Sets `work`, `rows` and `kept` for templates/web/_work….html. `words` tells how far it is,
 * without its numbers' beginning ("read, 2 differ"); `own`: further parameters of the address, may
 * be NULL. Frees rows. */
void admin_progress_show(struct admin_progress *progress, struct admin_page *page,
                         const char *words, struct buf *own);

#endif
