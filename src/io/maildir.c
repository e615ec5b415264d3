/* Mails into a maildir (cr.yp.to/proto/maildir.html): written and synced in tmp/, renamed into
 * new/. Called through mail_transport.c on the loop thread; the file work runs on libuv's workers,
 * which touch only their job. What always holds: nobody sees half a mail, and a name is never used
 * twice. Lines end with LF alone, as mail programs on Unix expect them in files. */
#include "io/mail_private.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum { WORKERS_MAX = 3, HOST_SIZE = 65, NAME_SIZE = 160, WRITE_SIZE = 8192 };

struct maildir {
    struct mail_transport transport;
    uv_loop_t *loop;
    uv_timer_t kick; /* deals out what waits, at the loop's next turn */
    unsigned working;
    char host[HOST_SIZE];
    char *folder;
};

/* One mail on its way into a file; lives while a worker has it. */
struct job {
    uv_work_t work;
    struct maildir *maildir;
    struct mail_delivery *delivery;
    enum mail_result result;
    char reason[MAIL_REASON_SIZE];
};

static struct maildir *maildir_of(struct mail_transport *transport)
{
    return CONTAINER_OF(transport, struct maildir, transport);
}

/* ---- a worker's thread ---- */

static void job_fail(struct job *job, const char *what)
{
    snprintf(job->reason, sizeof job->reason, "%s: %s", what, strerror(errno));
}

/* seconds.MmicrosecondsPprocessRrandom.host */
static void name_make(const struct maildir *maildir, char out[NAME_SIZE])
{
    int64_t now_ms = clock_wall_ms();
    snprintf(out, NAME_SIZE, "%lld.M%lldP%ldR%08x%08x.%s", (long long)(now_ms / 1000),
             (long long)(now_ms % 1000 * 1000), (long)getpid(), randombytes_random(),
             randombytes_random(), maildir->host);
}

static bool write_all(int file, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t wrote = write(file, data, length);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return false;
        data += wrote;
        length -= (size_t)wrote;
    }
    return true;
}

static bool message_write(int file, struct span message)
{
    char part[WRITE_SIZE];
    size_t length = 0;
    for (size_t i = 0; i < message.length; i++) {
        if (message.data[i] == '\r') continue;
        part[length++] = message.data[i];
        if (length < sizeof part) continue;
        if (!write_all(file, part, length)) return false;
        length = 0;
    }
    return write_all(file, part, length);
}

static bool tmp_write(struct job *job, const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        job_fail(job, "no file in tmp/ of the maildir");
        return false;
    }
    bool good = message_write(file, job->delivery->message) && fsync(file) == 0;
    if (!good) job_fail(job, "the maildir takes no mail");
    return close(file) == 0 && good;
}

static bool folder_sync(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0) close(folder);
    return good;
}

static void job_run(uv_work_t *work)
{
    struct job *job = CONTAINER_OF(work, struct job, work);
    const char *folder = job->maildir->folder;
    char name[NAME_SIZE], from[PATH_MAX], to[PATH_MAX];
    name_make(job->maildir, name);
    snprintf(from, sizeof from, "%s/tmp/%s", folder, name);
    snprintf(to, sizeof to, "%s/new/%s", folder, name);
    job->result = MAIL_TEMPORARY;
    if (!tmp_write(job, from)) {
        unlink(from);
        return;
    }
    if (rename(from, to) != 0) {
        job_fail(job, "the mail cannot be moved into new/ of the maildir");
        unlink(from);
        return;
    }
    snprintf(to, sizeof to, "%s/new", folder);
    job->result = folder_sync(to) ? MAIL_ACCEPTED : MAIL_UNKNOWN;
    if (job->result == MAIL_UNKNOWN) job_fail(job, "new/ of the maildir cannot be synced");
}

/* ---- the loop's thread ---- */

static void on_closed(uv_handle_t *handle)
{
    struct maildir *maildir = handle->data;
    void (*closed)(void *context) = maildir->transport.closed;
    void *context = maildir->transport.closed_context;
    free(maildir->folder);
    free(maildir);
    if (closed) closed(context);
}

static void on_kick(uv_timer_t *timer);

static void maildir_kick(struct maildir *maildir)
{
    uv_timer_start(&maildir->kick, on_kick, 0, 0);
}

static void job_done(uv_work_t *work, int status)
{
    struct job *job = CONTAINER_OF(work, struct job, work);
    struct maildir *maildir = job->maildir;
    (void)status; /* never cancelled */
    maildir->working--;
    maildir_kick(maildir);
    mail_delivery_end(job->delivery, job->result, 0, span_text(job->reason));
    free(job);
}

static void job_start(struct maildir *maildir, struct mail_delivery *delivery)
{
    struct job *job = calloc(1, sizeof *job);
    if (job) *job = (struct job){.maildir = maildir, .delivery = delivery};
    if (!job || uv_queue_work(maildir->loop, &job->work, job_run, job_done) != 0) {
        free(job);
        mail_delivery_end(delivery, MAIL_TEMPORARY, 0, SPAN("no memory for a worker's job"));
        return;
    }
    maildir->working++;
}

static void on_kick(uv_timer_t *timer)
{
    struct maildir *maildir = timer->data;
    struct mail_transport *transport = &maildir->transport;
    while (!transport->stopping && maildir->working < WORKERS_MAX) {
        struct mail_delivery *delivery = mail_waiting_shift(transport);
        if (!delivery) break;
        job_start(maildir, delivery);
    }
    if (transport->stopping && maildir->working == 0 && !uv_is_closing((uv_handle_t *)timer))
        uv_close((uv_handle_t *)timer, on_closed);
}

static enum err maildir_submit(struct mail_transport *transport, struct mail_delivery *delivery)
{
    mail_waiting_append(transport, delivery);
    maildir_kick(maildir_of(transport));
    return ERR_OK;
}

/* What a worker has is a matter of milliseconds: it is waited for. */
static void maildir_stop(struct mail_transport *transport, unsigned drain_ms)
{
    (void)drain_ms;
    mail_waiting_end(transport, 0, SPAN("the daemon stops"));
    maildir_kick(maildir_of(transport));
}

/* ---- making it ---- */

static const struct mail_transport_kind maildir_kind = {.submit = maildir_submit,
                                                        .stop = maildir_stop};

static bool folder_make(const char *folder, const char *part)
{
    char path[PATH_MAX];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", folder, part);
    return (mkdir(path, 0700) == 0 || errno == EEXIST) && stat(path, &status) == 0 &&
           S_ISDIR(status.st_mode) && access(path, W_OK | X_OK) == 0;
}

static enum err folders_make(const char *folder, char *error)
{
    static const char *const parts[] = {"", "/tmp", "/new", "/cur"};
    if (folder[0] != '/' || strlen(folder) > PATH_MAX - NAME_SIZE - 8) {
        snprintf(error, MAIL_ERROR_SIZE, "mail.url: maildir: needs an absolute path");
        return ERR_INVALID;
    }
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (folder_make(folder, parts[i])) continue;
        snprintf(error, MAIL_ERROR_SIZE, "mail.url: %.150s%s cannot be made or written: %.60s",
                 folder, parts[i], strerror(errno));
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* The host's name as it may stand in a file's name. */
static void host_set(struct maildir *maildir)
{
    char *host = maildir->host;
    if (gethostname(host, HOST_SIZE - 1) != 0 || !host[0]) snprintf(host, HOST_SIZE, "localhost");
    for (; *host; host++)
        if (*host <= ' ' || *host > '~' || *host == '/' || *host == ':') *host = '_';
}

enum err maildir_new(struct mail_transport **out, struct uv_loop_s *loop,
                     const struct mail_transport_config *config, const char *folder,
                     char error[MAIL_ERROR_SIZE])
{
    enum err result = folders_make(folder, error);
    if (result != ERR_OK) return result;
    struct maildir *maildir = calloc(1, sizeof *maildir);
    char *copy = strdup(folder);
    if (!maildir || !copy) {
        free(maildir);
        free(copy);
        return ERR_NO_MEMORY;
    }
    maildir->transport.kind = &maildir_kind;
    maildir->transport.config = *config;
    list_init(&maildir->transport.waiting);
    maildir->loop = loop;
    maildir->folder = copy;
    host_set(maildir);
    uv_timer_init(loop, &maildir->kick);
    maildir->kick.data = maildir;
    *out = &maildir->transport;
    return ERR_OK;
}
