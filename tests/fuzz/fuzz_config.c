/* The settings' file and --set. What must hold: a refusal says why, and settings that are taken are
 * written as a file that is taken again and says the same.
 * Input: a file. */
#include "conf/settings.h"
#include "fuzz.h"

#include <string.h>
#include <unistd.h>

static char folder[64], path[96];

static void clean_up(void)
{
    unlink(path);
    rmdir(folder);
}

static void file_write(const void *data, size_t size)
{
    if (!folder[0]) {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%.30s/keymeter-fuzz-XXXXXX", parent ? parent : "/tmp");
        FUZZ_CHECK(mkdtemp(folder) != NULL);
        snprintf(path, sizeof path, "%s/keymeter.conf", folder);
        atexit(clean_up);
    }
    FILE *file = fopen(path, "we");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(fwrite(data, 1, size, file) == size);
    FUZZ_CHECK(fclose(file) == 0);
}

/* The file as `keymeterd config show` writes it, to be freed; NULL: refused. */
static char *load(size_t *size)
{
    struct settings settings;
    char error[SETTINGS_ERROR_SIZE] = "", *text = NULL;
    if (settings_load(&settings, path, NULL, 0, error) == ERR_OK) {
        FILE *out = open_memstream(&text, size);
        FUZZ_CHECK(out != NULL);
        settings_write(&settings, out);
        FUZZ_CHECK(fclose(out) == 0);
    } else {
        FUZZ_CHECK(error[0] && strnlen(error, sizeof error) < sizeof error);
    }
    settings_done(&settings);
    return text;
}

static void check_set(const uint8_t *data, size_t size)
{
    struct settings settings = {0};
    char error[SETTINGS_ERROR_SIZE] = "";
    char *text = strndup((const char *)data, size);
    FUZZ_CHECK(text != NULL);
    if (settings_set(&settings, text, error) != ERR_OK) FUZZ_CHECK(error[0]);
    settings_done(&settings);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t first_size = 0, second_size = 0;
    check_set(data, size);
    file_write(data, size);
    char *first = load(&first_size);
    if (!first) return 0;
    file_write(first, first_size);
    char *second = load(&second_size);
    FUZZ_CHECK(second != NULL);
    FUZZ_CHECK(first_size == second_size && !memcmp(first, second, first_size));
    free(first);
    free(second);
    return 0;
}
