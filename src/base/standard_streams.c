/* Filling closed standard streams. Called by main of keymeterd and keymeter, before anything opens
 * a file: open takes the lowest free number, so each of the three is filled by /dev/null itself. */
#include "base/standard_streams.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum err standard_streams_fill(void)
{
    /* The wrong way round for 0 and 1: a secret that cannot be printed must not seem printed. */
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        if (fcntl(stream, F_GETFD) != -1 || errno != EBADF) continue;
        if (open("/dev/null", modes[stream]) != stream) return ERR_IO;
    }
    return ERR_OK;
}
