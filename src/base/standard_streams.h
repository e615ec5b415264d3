/* The three streams that every process expects to have. First thing in main. */
#ifndef KEYMETER_BASE_STANDARD_STREAMS_H
#define KEYMETER_BASE_STANDARD_STREAMS_H

#include "base/compiler.h"
#include "base/err.h"

/* Fills the numbers 0, 1 and 2 where the process was started without one (`2>&-`), so that no
 * socket or file gets the number and then what is printed. Reading from 0 and writing to 1 fail as
 * they would without; what goes to 2 is dropped. ERR_IO: cannot. */
MUST_USE enum err standard_streams_fill(void);

#endif
