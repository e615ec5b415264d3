/* QR codes (ISO/IEC 18004). Called by the page where the second factor is switched on; any thread.
 * What always holds: what the code says is in the picture alone, and libqrencode's copy of it is
 * freed. */
#include "core/qr.h"

#include <qrencode.h>

enum { QUIET = 4 };

/* Runs of dark modules as strokes of one path: "M4 4h7M12 4h2…". */
static void path_put(struct buf *out, const QRcode *code)
{
    int width = code->width;
    for (int y = 0; y < width; y++) {
        for (int x = 0; x < width;) {
            int run = 0;
            while (x + run < width && (code->data[y * width + x + run] & 1))
                run++;
            if (run) buf_printf(out, "M%d %dh%dv1h-%dz", x + QUIET, y + QUIET, run, run);
            x += run ? run : 1;
        }
    }
}

enum err qr_svg(struct buf *out, const char *text)
{
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    if (!code) return ERR_INVALID;
    int side = code->width + 2 * QUIET;
    buf_printf(out, "<svg class=\"qr\" viewBox=\"0 0 %d %d\" aria-hidden=\"true\"><path d=\"", side,
               side);
    path_put(out, code);
    buf_add_text(out, "\"/></svg>");
    QRcode_free(code);
    return ERR_OK;
}
