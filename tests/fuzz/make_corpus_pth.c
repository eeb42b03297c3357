/* tests/fuzz/make_corpus_pth.c: writes the seeds of corpus/pth and corpus/pickle: checkpoints as
 * torch writes them, and pickles with every opcode and global that is accepted.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/pth_make.h"

static const char *folder;

static void write_seed(const char *kind, const char *name, const buffer *b)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", folder, kind, name);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f != NULL);
    FUZZ_CHECK(fwrite(b->data, 1, b->bytes, f) == b->bytes);
    FUZZ_CHECK(fclose(f) == 0);
}

/* One pickle, and the archives around it. */
static void write_pickle(const char *name, const buffer *pickle, int archives)
{
    const zip_item items[] = {{"m/data.pkl", pickle->data, pickle->bytes},
                              {"m/byteorder", "little", 6},
                              {"m/data/0", "0123456789abcdef0123456789abcdef", 32},
                              {"m/data/1", "01234567", 8},
                              {"m/version", "3\n", 2}};
    buffer         archive = {0};
    char           plain[64];
    write_seed("pickle", name, pickle);
    if (!archives) return;
    zip_make(&archive, ZIP_TORCH, items, 5, NULL);
    write_seed("pth", name, &archive);
    archive.bytes = 0;
    zip_make(&archive, ZIP_PLAIN, items, 4, NULL);
    snprintf(plain, sizeof plain, "%s-plain", name);
    write_seed("pth", plain, &archive);
    buffer_free(&archive);
}

static void write_text(const char *name, const char *text, size_t bytes)
{
    buffer b = {0};
    buffer_put(&b, text, bytes);
    write_pickle(name, &b, 0);
    buffer_free(&b);
}

#define TEXT(name, text) write_text(name, text, sizeof(text) - 1)

int main(int argc, char **argv)
{
    static const char *const classes[] = {
        "DoubleStorage", "FloatStorage", "BFloat16Storage", "HalfStorage", "LongStorage",
        "IntStorage",    "ShortStorage", "CharStorage",     "ByteStorage", "BoolStorage"};
    static const pth_tensor some[] = {
        {.name     = "a",
         .storage  = "FloatStorage",
         .key      = "0",
         .elements = 8,
         .offset   = 2,
         .rank     = 2,
         .shape    = {2, 3},
         .stride   = {3, 1}},
        {.name      = "b",
         .storage   = "BFloat16Storage",
         .key       = "1",
         .elements  = 4,
         .rank      = 5,
         .shape     = {1, 1, 2, 1, 2},
         .stride    = {4, 4, 2, 2, 1},
         .parameter = 1},
        {.name = "c", .storage = "FloatStorage", .key = "0", .elements = 8},
    };
    if (argc != 2) return 1;
    folder   = argv[1];
    buffer b = {0};
    pickle_tensors(&b, some, 3);
    write_pickle("three", &b, 1);
    b.bytes = 0;
    pickle_tensors(&b, some, 1);
    write_pickle("one", &b, 1);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        pth_tensor t = {.name = "x", .storage = classes[i], .key = "0", .elements = 4};
        b.bytes      = 0;
        pickle_tensors(&b, &t, 1);
        write_pickle(classes[i], &b, 0);
    }
    buffer_free(&b);
    TEXT("leaves", "\x80\x02}(K\x01M\x01\x02J\x01\x02\x03\x04\x8a\x02\x01\x02\x8b\x01\x00\x00\x00"
                   "\x05G\x3f\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00zN\x88\x89]K\x01"
                   "a]q\x00(NNeh\x00)NN\x86N\x85NNN\x87(NNNNt}K\x01Nsu.");
    TEXT("protocol-4", "\x80\x04\x95\x21\x00\x00\x00\x00\x00\x00\x00\x8c\x0b"
                       "collections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94.");
    TEXT("build", "\x80\x02"
                  "ccollections\nOrderedDict\nq\x01)Rq\x02}X\x09\x00\x00\x00_metadatah\x01)Rsb.");
    TEXT("wrapper", "\x80\x02}X\x0a\x00\x00\x00state_dict}X\x01\x00\x00\x00w(X\x07\x00\x00\x00"
                    "storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
                    "0X\x03\x00\x00\x00"
                    "cpuK\x08tQss.");
    TEXT("bytes", "\x80\x03}C\x01z"
                  "B\x01\x00\x00\x00ys.");
    TEXT("cycle", "\x80\x02}q\x00K\x01h\x00sr\x01\x00\x00\x00j\x01\x00\x00\x00s.");
    TEXT("os-system", "\x80\x02"
                      "cos\nsystem\nX\x02\x00\x00\x00ls\x85R.");
    return 0;
}
