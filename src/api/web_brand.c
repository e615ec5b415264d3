/* Logo and colours of the product. Called by web_new at start, and for the files by
 * api/web_routes.c; loop thread. What always holds: what an operator's picture says it does, it
 * does as a picture alone: no script, nothing loaded. */
#include "api/web_brand.h"

#include "conf/settings.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { LOGO_BYTES_MAX = 128 * 1024 };

/* "#1f5fd6" */
static void colour_read(const char *text, double rgb[3])
{
    unsigned r = 0, g = 0, b = 0;
    if (sscanf(text, "#%2x%2x%2x", &r, &g, &b) != 3) r = g = b = 0;
    rgb[0] = r / 255.0;
    rgb[1] = g / 255.0;
    rgb[2] = b / 255.0;
}

/* Whether black is easier to read on it than white. WCAG 2.2's luminance with a plain square for
 * its power, which decides the same but near the middle. */
static bool is_light(const double rgb[3])
{
    double luminance = .2126 * rgb[0] * rgb[0] + .7152 * rgb[1] * rgb[1] + .0722 * rgb[2] * rgb[2];
    return luminance > .2;
}

static void colour_add(struct buf *out, const char *colour)
{
    double rgb[3];
    char pressed[8];
    colour_read(colour, rgb);
    snprintf(pressed, sizeof pressed, "#%02x%02x%02x", (unsigned)(rgb[0] * 204) & 255,
             (unsigned)(rgb[1] * 204) & 255, (unsigned)(rgb[2] * 204) & 255);
    buf_printf(out, ":root{--accent:%s;--accent-press:%s;--on-accent:%s}", colour, pressed,
               is_light(rgb) ? "#0b0f16" : "#ffffff");
}

static void name_make(char out[48], const struct buf *content, const char *ending)
{
    unsigned char hash[8];
    char hex[17];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)content->data, content->length,
                       NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    snprintf(out, 48, "%s%s", hex, ending);
}

static enum err logo_read(struct web_brand *brand, const char *path,
                          char error[TEMPLATE_ERROR_SIZE])
{
    const char *dot = strrchr(path, '.');
    bool svg = dot && strcmp(dot, ".svg") == 0, png = dot && strcmp(dot, ".png") == 0;
    if (!svg && !png) {
        snprintf(error, TEMPLATE_ERROR_SIZE, "product.logo_file must be an .svg or a .png");
        return ERR_INVALID;
    }
    FILE *file = fopen(path, "re");
    brand->logo.limit = LOGO_BYTES_MAX + 1;
    char *room = buf_reserve(&brand->logo, LOGO_BYTES_MAX + 1);
    if (room && file) brand->logo.length = fread(room, 1, LOGO_BYTES_MAX + 1, file);
    bool good = file && !ferror(file) && brand->logo.length && brand->logo.length <= LOGO_BYTES_MAX;
    if (file) fclose(file);
    if (!room) return ERR_NO_MEMORY;
    if (!good) {
        snprintf(error, TEMPLATE_ERROR_SIZE,
                 "product.logo_file %.200s cannot be read, is empty or larger than 128 KiB", path);
        return ERR_INVALID;
    }
    brand->logo_type = svg ? "image/svg+xml" : "image/png";
    name_make(brand->logo_name, &brand->logo, dot);
    return ERR_OK;
}

enum err web_brand_init(struct web_brand *brand, const struct settings *settings,
                        char error[TEMPLATE_ERROR_SIZE])
{
    const char *light = settings->product.colour, *dark = settings->product.colour_dark;
    *brand = (struct web_brand){0};
    if (light[0]) colour_add(&brand->colours, light);
    if (light[0] && !dark[0]) /* what suits a white page need not suit a dark one */
        dark = "#6ea0ff";
    if (dark[0]) {
        buf_add_text(&brand->colours, "@media (prefers-color-scheme:dark){");
        colour_add(&brand->colours, dark);
        buf_add_text(&brand->colours, "}");
    }
    if (brand->colours.failed) return ERR_NO_MEMORY;
    if (brand->colours.length) name_make(brand->colours_name, &brand->colours, ".css");
    if (!settings->product.logo_file[0]) return ERR_OK;
    return logo_read(brand, settings->product.logo_file, error);
}

void web_brand_done(struct web_brand *brand)
{
    buf_done(&brand->logo);
    buf_done(&brand->colours);
}

enum err web_brand_add(const struct web_brand *brand, json_t *context)
{
    if (brand->logo_name[0] &&
        json_object_set_new(context, "logo", json_sprintf("brand/%s", brand->logo_name)))
        return ERR_NO_MEMORY;
    if (brand->colours_name[0] &&
        json_object_set_new(context, "brand", json_sprintf("brand/%s", brand->colours_name)))
        return ERR_NO_MEMORY;
    return ERR_OK;
}

bool web_brand_find(const struct web_brand *brand, struct span name, struct http_response *response)
{
    bool logo = brand->logo_name[0] && span_is(name, brand->logo_name);
    bool colours = brand->colours_name[0] && span_is(name, brand->colours_name);
    if (!logo && !colours) return false;
    response->content_type = logo ? brand->logo_type : "text/css; charset=utf-8";
    response->body = buf_span(logo ? &brand->logo : &brand->colours);
    return true;
}
