/* Process-wide setup of the libraries that io uses, which must happen before any thread starts.
 * Main thread. */
#ifndef KEYMETER_IO_LIBRARY_H
#define KEYMETER_IO_LIBRARY_H

#include "base/compiler.h"
#include "base/err.h"

MUST_USE enum err library_init(void);
void library_done(void);

#endif
