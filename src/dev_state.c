/* Called by dev.c. A file is written beside its place, synced and renamed, so that a kill leaves
 * the old one or the new one. */
#include "dev_state.h"

#include "base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err fail(char *error, const char *path, const char *what)
{
    snprintf(error, DEV_STATE_ERROR_SIZE, "%.300s %s: %.100s", path, what, strerror(errno));
    return ERR_IO;
}

enum err dev_state_open(struct dev_state *state, const char *folder,
                        char error[DEV_STATE_ERROR_SIZE])
{
    char wanted[sizeof state->folder];
    const char *home = getenv("XDG_STATE_HOME");
    if (folder)
        snprintf(wanted, sizeof wanted, "%s", folder);
    else if (home && home[0] == '/')
        snprintf(wanted, sizeof wanted, "%s/keymeter-dev", home);
    else
        snprintf(wanted, sizeof wanted, ".keymeter-dev");
    if (mkdir(wanted, 0700) != 0 && errno != EEXIST) return fail(error, wanted, "cannot be made");
    char *real = realpath(wanted, NULL);
    if (!real) return fail(error, wanted, "cannot be opened");
    bool fits = strlen(real) < sizeof state->folder;
    if (fits) snprintf(state->folder, sizeof state->folder, "%s", real);
    free(real);
    errno = ENAMETOOLONG;
    return fits ? ERR_OK : fail(error, wanted, "cannot be used");
}

void dev_state_path(const struct dev_state *state, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%.60s", state->folder, name);
}

enum err dev_state_read(const struct dev_state *state, const char *name, struct secret **out,
                        char error[DEV_STATE_ERROR_SIZE])
{
    char path[PATH_MAX];
    dev_state_path(state, name, path);
    *out = NULL;
    if (access(path, F_OK) != 0 && errno == ENOENT) return ERR_NOT_FOUND;
    return secret_file_read(out, path, error);
}

static bool write_all(int file, struct span text)
{
    while (text.length > 0) {
        ssize_t wrote = write(file, text.data, text.length);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return false;
        text = span_of(text.data + wrote, text.length - (size_t)wrote);
    }
    return fsync(file) == 0;
}

enum err dev_state_write(const char *path, struct span text, char error[DEV_STATE_ERROR_SIZE])
{
    char beside[PATH_MAX + 8];
    snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    int file = mkostemp(beside, O_CLOEXEC); /* 0600 */
    if (file < 0) return fail(error, path, "cannot be written");
    bool good = write_all(file, text);
    good = close(file) == 0 && good;
    if (good && rename(beside, path) == 0) return ERR_OK;
    enum err result = fail(error, path, "cannot be written");
    unlink(beside);
    return result;
}
