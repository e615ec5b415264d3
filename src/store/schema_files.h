/* The files of schema/ as cmake/EmbedSchema.cmake puts them into the binary, by version from 1. */
#ifndef KEYMETER_STORE_SCHEMA_FILES_H
#define KEYMETER_STORE_SCHEMA_FILES_H

#include <stddef.h>

struct schema_file {
    unsigned version;
    const char *name;
    const unsigned char *text;
    size_t length;
};
extern const struct schema_file schema_files[];
extern const size_t schema_file_count;

#endif
