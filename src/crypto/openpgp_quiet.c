/* Keeps librnp's chatter out of the log. Called by openpgp.c around each call of librnp, on its
 * worker thread. A library whose fprintf was compiled with _FORTIFY_SOURCE, as all of Debian's are,
 * calls
 * __fprintf_chk by that name, and the program's own definition comes before glibc's. What always
 * holds: other threads, other streams and other times see fprintf as ever. */
#include "crypto/openpgp_quiet.h"

#include <stdarg.h>
#include <stdio.h>

/* glibc declares it only where _FORTIFY_SOURCE is on. */
int __fprintf_chk(FILE *restrict stream, int flag, const char *restrict format, ...)
    __attribute__((format(printf, 3, 4)));

static _Thread_local unsigned quiet;

void openpgp_quiet_begin(void)
{
    quiet++;
}

void openpgp_quiet_end(void)
{
    quiet--;
}

int __fprintf_chk(FILE *restrict stream, int flag, const char *restrict format, ...)
{
    (void)flag; /* how strictly %n is looked at */
    if (quiet && stream == stderr) return 0;
    va_list arguments;
    va_start(arguments, format);
    int written = vfprintf(stream, format, arguments);
    va_end(arguments);
    return written;
}
