/* Reads a secret of a file into guarded memory. Called at start, and by whoever reads a credential
 * anew for each use, so that a changed file counts at once. What always holds: a file that others
 * may read is refused before a byte of it is read. */
#include "base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* systemd gives credentials of a service with a user of its own to root, readable by an ACL that
 * shows as a group bit: those files are as private as 0400 ones. */
static bool is_systemd_credential(const char *path, const struct stat *status)
{
    const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
    return directory && *directory && span_starts(span_text(path), directory) &&
           status->st_uid == 0 && (status->st_mode & 0037) == 0;
}

static enum err file_open(int *file, const char *path, char *error)
{
    struct stat status;
    *file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*file < 0 || fstat(*file, &status) != 0) {
        snprintf(error, SECRET_FILE_ERROR_SIZE, "%.300s cannot be read: %.100s", path,
                 strerror(errno));
        return ERR_IO;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(error, SECRET_FILE_ERROR_SIZE, "%.300s is no regular file", path);
        return ERR_INVALID;
    }
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) == 0 || is_systemd_credential(path, &status))
        return ERR_OK;
    snprintf(error, SECRET_FILE_ERROR_SIZE, "%.300s can be read by others; chmod 600 it", path);
    return ERR_DENIED;
}

static enum err read_whole(int file, struct secret *secret)
{
    for (;;) {
        ssize_t got =
            read(file, secret->text + secret->length, secret->capacity - 1 - secret->length);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ERR_IO;
        if (got == 0) return ERR_OK;
        secret->length += (size_t)got;
        if (secret->length == secret->capacity - 1) return ERR_FULL;
    }
}

static void cut_line_end(struct secret *secret)
{
    if (secret->length && secret->text[secret->length - 1] == '\n')
        secret->text[--secret->length] = '\0';
    if (secret->length && secret->text[secret->length - 1] == '\r')
        secret->text[--secret->length] = '\0';
}

enum err secret_file_read(struct secret **out, const char *path, char error[SECRET_FILE_ERROR_SIZE])
{
    int file = -1;
    *out = NULL;
    enum err result = file_open(&file, path, error);
    struct secret *secret = result ? NULL : secret_new(SECRET_FILE_MAX + 2);
    if (!result) {
        result = secret ? read_whole(file, secret) : ERR_NO_MEMORY;
        if (result)
            snprintf(error, SECRET_FILE_ERROR_SIZE, "%.300s cannot be read, or is over %d bytes",
                     path, SECRET_FILE_MAX);
    }
    if (file >= 0) close(file);
    if (result) {
        secret_free(&secret);
        return result;
    }
    cut_line_end(secret);
    *out = secret;
    return ERR_OK;
}
