/* What every cmocka test includes: cmocka wants these four before it, in this order. */
#ifndef KEYMETER_TESTS_UNIT_H
#define KEYMETER_TESTS_UNIT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#endif
