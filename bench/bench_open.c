/* bench/bench_open.c: what opening costs. Legal headers of 65,536 tensors up to 64 MiB, and a 30 GB
 * sharded model of sparse files. One JSON object per line: best of RUNS (warm cache), the context's
 * peak, and how much the process grew. Targets: a header in 2 s; the model in 0.2 s and a few MB.
 *     bench_open [folder for the files; default TMPDIR or /tmp]
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "io/tensors.h"

enum { RUNS = 5, TENSORS = 65536, SHARDS = 7, PER_SHARD = 160 };

static char folder[512];

static const char *path_of(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Ends a file whose header was printed from byte 8 on: pads it to a multiple of `pad` bytes, writes
 * the length, and makes room for the data without writing it. */
static void finish(FILE *f, long pad, uint64_t data)
{
    const long end    = ftell(f);
    const long length = (end - 8 + pad - 1) / pad * pad;
    for (long i = end - 8; i < length; i++)
        putc(' ', f);
    rewind(f);
    for (int i = 0; i < 8; i++)
        putc((int)(((uint64_t)length >> (8 * i)) & 0xff), f);
    if (fflush(f) != 0 || ftruncate(fileno(f), (off_t)(8 + (uint64_t)length + data)) != 0)
        die("cannot write the file");
    fclose(f);
}

static FILE *begin(const char *name)
{
    static const char length[8] = {0};
    FILE             *f         = fopen(path_of(name), "wb");
    if (f == NULL) die(path_of(name));
    fwrite(length, 1, sizeof length, f);
    return f;
}

/* name_bytes: of each tensor's name as written; with `escaped` each character of the filling is an
 * escape of 6 bytes. */
static void make_header(const char *name, int name_bytes, int escaped, long pad)
{
    FILE *f = begin(name);
    for (int i = 0; i < TENSORS; i++) {
        fprintf(f, "%c\"blocks.%05d.", i == 0 ? '{' : ',', i);
        for (int n = 13; n + (escaped ? 6 : 1) <= name_bytes; n += escaped ? 6 : 1)
            fputs(escaped ? "\\u0061" : "w", f);
        fprintf(f, "\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[%d,%d]}", 2 * i,
                2 * i + 2);
    }
    putc('}', f);
    finish(f, pad, 2 * TENSORS);
}

/* 7 files with 160 tensors of 26.8 MB: 30.06 GB in all. */
static void make_model(void)
{
    const uint64_t bytes = 2ull * 5120 * 2621;
    char           name[64];
    FILE          *index = fopen(path_of("m.safetensors.index.json"), "wb");
    if (index == NULL) die("index");
    fputs("{\"weight_map\":{", index);
    for (int s = 0; s < SHARDS; s++) {
        snprintf(name, sizeof name, "m-%05d.safetensors", s);
        FILE *f = begin(name);
        for (int i = 0; i < PER_SHARD; i++) {
            const char *comma = s + i == 0 ? "" : ",";
            fprintf(f,
                    "%c\"blocks.%d.%d.weight\":{\"dtype\":\"BF16\",\"shape\":[5120,2621],"
                    "\"data_offsets\":[%llu,%llu]}",
                    i == 0 ? '{' : ',', s, i, (unsigned long long)(bytes * (uint64_t)i),
                    (unsigned long long)(bytes * ((uint64_t)i + 1)));
            fprintf(index, "%s\"blocks.%d.%d.weight\":\"%s\"", comma, s, i, name);
        }
        putc('}', f);
        finish(f, 8, bytes * PER_SHARD);
    }
    fputs("}}", index);
    fclose(index);
}

/* Resident bytes of this process now. */
static long resident(void)
{
    long  size  = 0;
    long  pages = 0;
    FILE *f     = fopen("/proc/self/statm", "r");
    if (f == NULL) return 0;
    if (fscanf(f, "%ld %ld", &size, &pages) != 2) pages = 0;
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static void measure(const char *what, const char *name, uint32_t flags, double target)
{
    double      best   = 1e9;
    double      first  = 0;
    long        grown  = 0;
    uint64_t    bytes  = 0;
    size_t      n      = 0;
    fil_memory  memory = {0};
    struct stat st;
    for (int run = 0; run < RUNS; run++) {
        fil_ctx     *ctx = NULL;
        fili_tensors set;
        if (fil_ctx_open(&ctx, NULL) != FIL_OK) die("context");
        const long     before = resident();
        const uint64_t t0     = ctx->os->clock_ns(ctx->os->self);
        fili_tensors_init(&set, ctx, flags);
        if (fili_tensors_open(&set, path_of(name)) != FIL_OK) {
            fprintf(stderr, "%s\n", fil_ctx_error(ctx)->message);
            exit(1);
        }
        const double s = 1e-9 * (double)(ctx->os->clock_ns(ctx->os->self) - t0);
        if (run == 0) {
            first = s;
            grown = resident() - before;
        }
        best   = s < best ? s : best;
        n      = set.n_entries;
        memory = fil_ctx_memory(ctx);
        bytes  = 0;
        for (size_t i = 0; i < set.n_sources; i++)
            bytes += set.sources[i].file.size;
        fili_tensors_fini(&set);
        fil_ctx_close(&ctx);
    }
    if (stat(path_of(name), &st) != 0) die(name);
    printf("{\"bench\":\"open\",\"case\":\"%s\",\"trusted\":%s,\"tensors\":%zu,\"file_bytes\":%lld,"
           "\"model_bytes\":%llu,\"best_s\":%.4f,\"first_s\":%.4f,\"target_s\":%g,\"ok\":%s,"
           "\"peak_bytes\":%llu,\"kept_bytes\":%llu,\"rss_growth_bytes\":%ld}\n",
           what, flags != 0 ? "true" : "false", n, (long long)st.st_size, (unsigned long long)bytes,
           best, first, target, first <= target ? "true" : "false", (unsigned long long)memory.peak,
           (unsigned long long)memory.used, grown);
    fflush(stdout);
}

static void clean(void)
{
    char name[64];
    for (int s = 0; s < SHARDS; s++) {
        snprintf(name, sizeof name, "m-%05d.safetensors", s);
        unlink(path_of(name));
    }
    unlink(path_of("m.safetensors.index.json"));
    unlink(path_of("h.safetensors"));
    rmdir(folder);
}

int main(int argc, char **argv)
{
    const char *base = argc > 1 ? argv[1] : getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/filigree-bench-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(folder) == NULL) die(folder);

    make_model();
    measure("sharded-30GB", "m.safetensors.index.json", 0, 0.2);
    measure("sharded-30GB", "m.safetensors.index.json", FIL_OPEN_TRUSTED, 0.2);
    make_header("h.safetensors", 20, 0, 8);
    measure("short-names", "h.safetensors", 0, 2);
    make_header("h.safetensors", 512, 0, 8);
    measure("names-of-512", "h.safetensors", 0, 2);
    make_header("h.safetensors", 900, 1, 64l << 20);
    measure("escaped-names-64MiB", "h.safetensors", 0, 2);
    make_header("h.safetensors", 20, 0, 64l << 20);
    measure("padded-64MiB", "h.safetensors", 0, 2);
    clean();
    return 0;
}
