/* Name lists between column and memory. Called by the aggregates of store/ and by api/ when it
 * writes lists. Any thread. What always holds: names have no commas, which readers of requests make
 * sure of. */
#include "store/names.h"

#include "base/json.h"
#include "core/permission.h"

void names_to_json(struct span joined, struct buf *out)
{
    struct span name;
    json_open(out, NULL, '[');
    while (permission_next(&joined, &name))
        json_put_text(out, NULL, name);
    json_close(out, ']');
}

enum err names_from_json(struct span json, struct arena *arena, const char **joined)
{
    char error[JSON_ERROR_SIZE];
    json_t *array = NULL;
    enum err parsed = json_parse_strict(json, &array, error);
    if (parsed != ERR_OK) return parsed == ERR_INVALID ? ERR_DB : parsed;
    struct buf text CLEANUP(buf_done) = {0};
    bool good = json_is_array(array);
    for (size_t i = 0; good && i < json_array_size(array); i++) {
        json_t *value = json_array_get(array, i);
        good = json_is_string(value);
        if (i) buf_add_char(&text, ',');
        if (good) buf_add(&text, json_string_value(value), json_string_length(value));
    }
    json_decref(array);
    if (!good) return ERR_DB;
    *joined = text.failed ? NULL : arena_copy(arena, buf_span(&text));
    return *joined ? ERR_OK : ERR_NO_MEMORY;
}
