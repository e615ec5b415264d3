/* QR codes as inline SVG for pages, by libqrencode. Pure, any thread. */
#ifndef KEYMETER_CORE_QR_H
#define KEYMETER_CORE_QR_H

#include "base/buf.h"
#include "base/err.h"

/* Appends <svg class="qr" …> of one path, with the quiet zone of four modules around it; colours
 * come from the stylesheet, and the page says in words what it is. ERR_INVALID: the text is too
 * long for a code. */
MUST_USE enum err qr_svg(struct buf *out, const char *text);

#endif
