/* Preloaded: no name resolves until the file named by SLOW_RESOLVER_UNTIL exists, as with a name
 * server that is gone. For tests/integration/test_smtp.py. */
#include <netdb.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    const char *until = getenv("SLOW_RESOLVER_UNTIL");
    (void)node, (void)service, (void)hints;
    *out = NULL;
    for (int tries = 0; until && access(until, F_OK) != 0 && tries < 6000; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return EAI_AGAIN;
}
