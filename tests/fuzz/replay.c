/* Stands in for libFuzzer where it is not linked: calls the target once with each file named, or
 * each file of a folder named. Called by ctest (fuzz_NAME) with any compiler; a finding is replayed
 * the same way. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 1 << 20 };

static unsigned replayed;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "re");
    uint8_t *data = malloc(FILE_MAX);
    if (!file || !data) {
        perror(path);
        exit(2);
    }
    size_t size = fread(data, 1, FILE_MAX, file);
    fclose(file);
    /* Exactly as large as the input is, so that the sanitizer sees a read past its end. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) exit(2);
    memcpy(exact, data, size);
    free(data);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    replayed++;
}

static void replay(const char *path)
{
    struct stat stat_of;
    if (stat(path, &stat_of) < 0) {
        perror(path);
        exit(2);
    }
    if (!S_ISDIR(stat_of.st_mode)) {
        replay_file(path);
        return;
    }
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') replay_file(file);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u inputs replayed\n", replayed);
    return replayed ? 0 : 1; /* a corpus that went missing is no success */
}
