/* Writes the requests of tests/unit/http_vectors.h as inputs of the targets http and scan into the
 * folder named, for tests/fuzz/run: each once whole and once cut byte by byte. */
#include "http_vectors.h"

#include "fuzz.h"

static void seed_write(const char *folder, const char *kind, size_t at, int cut,
                       const struct vector *vector)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/vector-%s-%zu-%d", folder, kind, at, cut);
    FILE *file = fopen(path, "we");
    if (!file || fputc(cut, file) < 0 ||
        fwrite(vector->data, 1, vector->length, file) != vector->length || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
        return 2;
    }
    for (int cut = 0; cut < 2; cut++) {
        for (size_t i = 0; i < COUNT_OF(smuggling); i++)
            seed_write(argv[1], "smuggling", i, cut, &smuggling[i]);
    }
    return 0;
}
