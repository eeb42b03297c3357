/* tests/support/scratch.c: a folder of its own for each test (fault.h). */
#define _GNU_SOURCE
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/fault.h"
#include "support/cmocka_all.h"

void scratch_make(scratch *s)
{
    const char *base = getenv("TMPDIR");
    snprintf(s->path, sizeof s->path, "%s/filigree-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(s->path));
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void scratch_remove(scratch *s)
{
    (void)nftw(s->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const scratch *s, const char *name)
{
    static char paths[8][512];
    static int  next;
    char       *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", s->path, name);
    return p;
}

void scratch_write(const scratch *s, const char *name, const void *data, size_t bytes)
{
    FILE *f = fopen(scratch_path(s, name), "wb");
    assert_non_null(f);
    if (bytes > 0) assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

unsigned char *scratch_read(const scratch *s, const char *name, size_t *bytes)
{
    FILE *f = fopen(scratch_path(s, name), "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const long size = ftell(f);
    assert_true(size >= 0);
    rewind(f);
    unsigned char *data = malloc((size_t)size + 1);
    assert_non_null(data);
    *bytes = fread(data, 1, (size_t)size, f);
    assert_int_equal(*bytes, size);
    fclose(f);
    return data;
}

int scratch_count(const scratch *s)
{
    DIR *d = opendir(s->path);
    assert_non_null(d);
    int n = -2; /* "." and ".." */
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}
