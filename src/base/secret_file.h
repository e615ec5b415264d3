/* Files that hold one secret: a password, a token. Any thread; reads block. */
#ifndef KEYMETER_BASE_SECRET_FILE_H
#define KEYMETER_BASE_SECRET_FILE_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/secret.h"

enum { SECRET_FILE_MAX = 8192, SECRET_FILE_ERROR_SIZE = 512 };

/* The secret of a file that only its owner may read (or that systemd gave as a credential); one
 * line end at its end is cut. ERR_IO: it cannot be read; ERR_DENIED: others may read it; ERR_FULL:
 * over 8192 bytes; ERR_NO_MEMORY. The error's text names the file and the mend, never contents. */
MUST_USE enum err secret_file_read(struct secret **out, const char *path,
                                   char error[SECRET_FILE_ERROR_SIZE]);

#endif
