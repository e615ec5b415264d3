/* librnp as Debian builds it (without NDEBUG) writes what it thinks of a key to standard error,
 * which is the log's, and has no way to say no. Only openpgp.c uses this. */
#ifndef KEYMETER_CRYPTO_OPENPGP_QUIET_H
#define KEYMETER_CRYPTO_OPENPGP_QUIET_H

/* Between the two, what a library's fprintf writes to stderr on this thread is dropped. They nest.
 */
void openpgp_quiet_begin(void);
void openpgp_quiet_end(void);

#endif
