/* templates/web, carried in the binary (cmake/EmbedWeb.cmake). For api/web*.c; any thread. */
#ifndef KEYMETER_API_WEB_FILES_H
#define KEYMETER_API_WEB_FILES_H

#include <stddef.h>

struct web_file {
    const char *name; /* "claim.html"; of a static one "static/page.0123456789abcdef.css" */
    const unsigned char *text;
    size_t length;
};
extern const struct web_file web_files[];
extern const size_t web_file_count;

#endif
