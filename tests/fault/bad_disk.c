/* Preloaded into mariadbd: its disk is full, or does not sync, as long as a file says so. BAD_DISK
 * is the folder that holds the server's `data`. While BAD_DISK/full exists nothing below data can
 * grow, as on a full file system: what is allocated already is written, all else ends with ENOSPC.
 * While BAD_DISK/stalled exists no write and no sync of the redo log returns. Built by
 * tests/programs.cmake.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 512, LOOK_MS = 2 };

/* The libc's own, which the ones below hide. */
#define REAL(name, type) ((type)real(name))

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static int said(const char *what)
{
    char path[PATH_SIZE];
    const char *folder = getenv("BAD_DISK");
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, what);
    return access(path, F_OK) == 0;
}

static int path_of(int fd, char path[PATH_SIZE])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_SIZE - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return 1;
}

static int is_data(int fd)
{
    char path[PATH_SIZE];
    const char *folder = getenv("BAD_DISK");
    if (!folder || !path_of(fd, path) || strncmp(path, folder, strlen(folder))) return 0;
    return strncmp(path + strlen(folder), "/data/", 6) == 0;
}

/* Whether the file cannot get as long as `end`. */
static int is_full(int fd, off64_t end)
{
    struct stat64 now;
    if (!said("full") || !is_data(fd)) return 0;
    if (fstat64(fd, &now) || !S_ISREG(now.st_mode) || end <= now.st_size) return 0;
    errno = ENOSPC;
    return 1;
}

static void redo_wait(int fd)
{
    char path[PATH_SIZE];
    if (!said("stalled") || !path_of(fd, path) || !strstr(path, "ib_logfile")) return;
    while (said("stalled"))
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    if (is_full(fd, offset + (off64_t)length)) return -1;
    redo_wait(fd);
    return REAL("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t))(fd, data, length,
                                                                            offset);
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (said("full") && is_data(fd)) {
        off64_t end =
            fcntl(fd, F_GETFL) & O_APPEND ? lseek64(fd, 0, SEEK_END) : lseek64(fd, 0, SEEK_CUR);
        if (end >= 0 && is_full(fd, end + (off64_t)length)) return -1;
    }
    return REAL("write", ssize_t(*)(int, const void *, size_t))(fd, data, length);
}

int ftruncate64(int fd, off64_t length)
{
    if (is_full(fd, length)) return -1;
    return REAL("ftruncate64", int (*)(int, off64_t))(fd, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    if (!(mode & FALLOC_FL_KEEP_SIZE) && is_full(fd, offset + length)) return -1;
    return REAL("fallocate64", int (*)(int, int, off64_t, off64_t))(fd, mode, offset, length);
}

int fsync(int fd)
{
    redo_wait(fd);
    return REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd)
{
    redo_wait(fd);
    return REAL("fdatasync", int (*)(int))(fd);
}
