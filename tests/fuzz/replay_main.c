/* tests/fuzz/replay_main.c: runs a fuzz target over files and folders given as arguments, without
 * libFuzzer, so that the corpus is a regression suite for every compiler.
 */
#include <dirent.h>
#include <string.h>

#include "fuzz/fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t max_bytes)
{
    (void)data;
    (void)max_bytes;
    return bytes;
}

/* 1 if `path` is a file that could be read. */
static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return 0;
    long size = -1;
    if (fseek(f, 0, SEEK_END) == 0) size = ftell(f);
    rewind(f);
    uint8_t  *data = size >= 0 ? malloc((size_t)size + (size == 0)) : NULL;
    const int ok   = data != NULL && fread(data, 1, (size_t)size, f) == (size_t)size;
    fclose(f);
    if (ok) (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return ok;
}

static int replay_folder(const char *path)
{
    char name[1024];
    int  n   = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (!replay_file(name)) {
            fprintf(stderr, "cannot read %s\n", name);
            n = 0;
            break;
        }
        n++;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = replay_folder(argv[i]);
        if (n == 0) n = replay_file(argv[i]);
        if (n == 0) {
            fprintf(stderr, "nothing to replay in %s\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], n);
    }
    return argc < 2;
}
