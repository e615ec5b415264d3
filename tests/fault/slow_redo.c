/* Preloaded into mariadbd: each write of the redo log waits first, at random up to SLOW_REDO_US
 * (default 20000) microseconds, so that commits are visible to others well before they are durable.
 * A kill -9 in between loses them, as a power cut would. What is written is what the block held
 * when the write was asked for, as with a buffered write: InnoDB goes on appending to it meanwhile,
 * and the block's later image has no end (docs/decisions/0007). Built by tests/programs.cmake as a
 * module. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { ALIGNMENT = 4096 };

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset);
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset);

static int is_redo(int fd)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return strstr(path, "ib_logfile") != NULL;
}

static void wait_a_little(void)
{
    static _Atomic unsigned turn;
    const char *text = getenv("SLOW_REDO_US");
    unsigned most = text ? (unsigned)strtoul(text, NULL, 10) : 20000;
    unsigned spread = (++turn * 2654435761u) >> 8;
    if (!most) return;
    struct timespec pause = {0, (long)(spread % most) * 1000};
    nanosleep(&pause, NULL);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
    if (!is_redo(fd)) return real(fd, data, length, offset);
    /* Aligned as O_DIRECT wants it, which InnoDB's own buffer is too. */
    void *taken = aligned_alloc(ALIGNMENT, (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (!taken) abort();
    memcpy(taken, data, length);
    wait_a_little();
    ssize_t written = real(fd, taken, length, offset);
    free(taken);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}
