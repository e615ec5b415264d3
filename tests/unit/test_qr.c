/* QR codes: the drawn path says the same modules as the library's matrix, and what apps scan. */
#include "core/qr.h"
#include "crypto/totp.h"

#include "unit.h"

#include <qrencode.h>
#include <stdio.h>
#include <string.h>

enum { QUIET = 4, SIDE_MAX = 185 };

/* The path's strokes as modules; false: there is something else in it. */
static bool redraw(const char *path, unsigned char drawn[SIDE_MAX][SIDE_MAX])
{
    int x = 0, y = 0, run = 0, back = 0, used = 0;
    while (sscanf(path, "M%d %dh%dv1h-%dz%n", &x, &y, &run, &back, &used) == 4) {
        if (run != back || x < 0 || y < 0 || x + run > SIDE_MAX || y >= SIDE_MAX) return false;
        memset(&drawn[y][x], 1, (size_t)run);
        path += used;
    }
    return *path == '"';
}

static void the_path_is_the_code(void **state)
{
    (void)state;
    const char *texts[] = {
        "A", "otpauth://totp/Acme%20Maps:ada%40acme.example?secret=GEZDGNBVGY3TQOJQ",
        "0123456789012345678901234567890123456789012345678901234567890123456789"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        static unsigned char drawn[SIDE_MAX][SIDE_MAX];
        struct buf out CLEANUP(buf_done) = {0};
        memset(drawn, 0, sizeof drawn);
        assert_int_equal(qr_svg(&out, texts[i]), ERR_OK);
        buf_add_char(&out, '\0');
        assert_false(out.failed);
        const char *path = strstr(out.data, " d=\"");
        assert_non_null(path);
        assert_true(redraw(path + 4, drawn));
        QRcode *code = QRcode_encodeString8bit(texts[i], 0, QR_ECLEVEL_M);
        assert_non_null(code);
        char box[48];
        snprintf(box, sizeof box, "viewBox=\"0 0 %d %d\"", code->width + 2 * QUIET,
                 code->width + 2 * QUIET);
        assert_non_null(strstr(out.data, box));
        for (int y = 0; y < code->width + 2 * QUIET; y++)
            for (int x = 0; x < code->width + 2 * QUIET; x++) {
                bool within =
                    x >= QUIET && y >= QUIET && x < code->width + QUIET && y < code->width + QUIET;
                int want = within && code->data[(y - QUIET) * code->width + x - QUIET] & 1;
                assert_int_equal(drawn[y][x], want);
            }
        QRcode_free(code);
    }
}

static void too_long(void **state)
{
    (void)state;
    static char text[4000];
    struct buf out CLEANUP(buf_done) = {0};
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(qr_svg(&out, text), ERR_INVALID);
}

static void what_apps_scan(void **state)
{
    (void)state;
    struct buf out CLEANUP(buf_done) = {0};
    totp_uri(&out, "GEZDGNBVGY3TQOJQ", "Acme & Söhne", "ada+1@acme.example");
    assert_string_equal(out.data, "otpauth://totp/Acme%20%26%20S%C3%B6hne:ada%2B1%40acme.example?"
                                  "secret=GEZDGNBVGY3TQOJQ&issuer=Acme%20%26%20S%C3%B6hne");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_is_the_code),
        cmocka_unit_test(too_long),
        cmocka_unit_test(what_apps_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
