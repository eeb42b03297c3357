/* tests/fuzz/make_corpus.c: writes the seeds of corpus/json, corpus/safetensors, corpus/gguf and
 * corpus/media: a few valid inputs, and those of the malformed tables that are small.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/gguf_make.h"
#include "support/malformed.h"
#include "support/media_make.h"

enum { MAX_SEED = 2048 };

static void write_seed(const char *folder, const char *kind, const char *name, const void *data,
                       size_t bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", folder, kind, name);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f != NULL);
    FUZZ_CHECK(fwrite(data, 1, bytes, f) == bytes);
    FUZZ_CHECK(fclose(f) == 0);
}

static const char *const good_headers[] = {
    "{}",
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
    "{\"__metadata__\":{\"format\":\"pt\",\"\\u00e9\":\"\\n\"},\"b\":{\"dtype\":\"F4\",\"shape\":["
    "2,"
    "1],\"data_offsets\":[15,16]},\"a\":{\"dtype\":\"BOOL\",\"shape\":[3,5],\"data_offsets\":[0,15]"
    "}}",
    "{\"z\":{\"dtype\":\"I64\",\"shape\":[0,9],\"data_offsets\":[8,8]},\"s\":{\"dtype\":\"F64\","
    "\"shape\":[],\"data_offsets\":[0,8]},\"t\":{\"dtype\":\"F64\",\"shape\":[1,1,1,1,1,1,1,1],"
    "\"data_offsets\":[8,16]}}   ",
};

static const uint64_t good_data[] = {0, 16, 16, 16};

static const char *const good_json[] = {
    "0{\"a\":[0,1,9223372036854775807,true,false,null,\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]}",
    "1[-1,0.5,1e3,-2.5E-10,1E+2,123456789012345678901.5]",
    "0[[[[[[[[]]]]]]]]",
    "0\t{ \"\\u0061\\ud83d\\ude00\xc3\xa9\" : { } ,\r\n\"b\":\"\xf0\x9f\x98\x80\" } ",
    "1{\"dim\":5120,\"eps\":1e-06,\"qk_norm\":true,\"patch\":[1,2,2]}",
};

/* ---- GGUF ----------------------------------------------------------------------------------- */

static const gguf_pair pairs[] = {
    {"general.architecture", GGUF_STRING, GGUF_VALUE("\3\0\0\0\0\0\0\0wan"), 0},
    {"general.alignment", GGUF_U32, GGUF_VALUE("\x20\0\0\0"), 0},
    {"general.flag", GGUF_BOOL, GGUF_VALUE("\1"), 0},
    {"comfy.gguf.orig_shape.a", GGUF_ARRAY,
     GGUF_VALUE("\5\0\0\0\2\0\0\0\0\0\0\0\x08\0\0\0\x20\0\0\0"), 0},
    {"tokenizer.ggml.tokens", GGUF_ARRAY,
     GGUF_VALUE("\x08\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0a\0\0\0\0\0\0\0\0"), 0},
    {"float", GGUF_F32, GGUF_VALUE("\0\0\x80\x3f"), 0},
    {"double", GGUF_F64, GGUF_VALUE("\0\0\0\0\0\0\xf0\x3f"), 0},
    {"list", GGUF_ARRAY, GGUF_VALUE("\6\0\0\0\1\0\0\0\0\0\0\0\0\0\x80\x3f"), 0},
};

static const uint32_t types[][2] = {/* ggml type, bytes of 256 elements */
                                    {0, 1024}, {1, 512},  {2, 144},  {3, 160},   {6, 176},
                                    {7, 192},  {8, 272},  {10, 84},  {11, 110},  {12, 144},
                                    {13, 176}, {14, 210}, {24, 256}, {28, 2048}, {30, 512}};

static void write_gguf(const char *folder, const char *name, const gguf_file *f)
{
    buffer b = {0};
    gguf_make(&b, f);
    write_seed(folder, "gguf", name, b.data, b.bytes);
    buffer_free(&b);
}

static void write_ggufs(const char *folder)
{
    char      name[32];
    gguf_info some[] = {{.name = "a", .type = 12, .rank = 1, .dims = {256}, .bytes = 144},
                        {.name = "b", .type = 1, .rank = 5, .dims = {2, 2, 1, 2, 2}, .bytes = 32},
                        {.name = "c", .rank = 2, .dims = {0, 9}},
                        {.name = "d", .rank = 0, .bytes = 4}};
    gguf_file whole  = {.pair    = pairs,
                        .n_pairs = sizeof pairs / sizeof pairs[0],
                        .info    = some,
                        .n_infos = 4,
                        .data    = gguf_lay_out(some, 4)};
    write_gguf(folder, "good", &whole);
    whole.version = 2;
    write_gguf(folder, "good-2", &whole);
    write_gguf(folder, "good-nothing", &(gguf_file){.data = 0});
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const gguf_info one = {.name = "a", .type = types[i][0], .rank = 1, .dims = {256}};
        snprintf(name, sizeof name, "good-type-%u", types[i][0]);
        write_gguf(folder, name, &(gguf_file){.info = &one, .n_infos = 1, .data = types[i][1]});
    }
    for (size_t i = 0; i < n_malformed_ggufs; i++) {
        blob        b;
        fil_status  status;
        const char *message;
        const char *bad = malformed_gguf(i, &b, &status, &message);
        if (b.bytes <= MAX_SEED) write_seed(folder, "gguf", bad, b.data, b.bytes);
        blob_free(&b);
    }
}

static void write_media(const char *folder)
{
    media_bytes m;
    png_begin(&m, 37, 21);
    PNG_TEXT(&m, "tEXt", "Software\0filigree 0.1.0");
    PNG_TEXT(&m, "iTXt", "Description\0\0\0\0\0a red f\xc3\xb6x");
    PNG_TEXT(
        &m, "tEXt",
        "Comment\0{\"filigree\":\"0.1.0\",\"generate\":{\"prompt\":\"a\",\"sigmas\":[1.0,0.5]},"
        "\"dit\":\"abc\",\"result\":{\"steps\":2,\"density\":0.5}}");
    png_end(&m);
    write_seed(folder, "media", "png", m.data, m.n);
    webp_animation(&m, 64, 48, 3, 62);
    write_seed(folder, "media", "webp", m.data, m.n);
    webp_begin(&m);
    webp_chunk(&m, "VP8 ", "\0\0\0\x9d\x01\x2a\x40\0\x30\xc0", 10);
    write_seed(folder, "media", "webp-still", m.data, m.n);
    webp_begin(&m);
    webp_chunk(&m, "VP8L", "\x2f\x3f\xc0\x0b\x10", 5);
    write_seed(folder, "media", "webp-lossless", m.data, m.n);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 1;
    write_ggufs(argv[1]);
    write_media(argv[1]);
    char name[32];
    for (size_t i = 0; i < sizeof good_headers / sizeof good_headers[0]; i++) {
        blob b = blob_safetensors(good_headers[i], strlen(good_headers[i]), good_data[i]);
        snprintf(name, sizeof name, "good-%zu", i);
        write_seed(argv[1], "safetensors", name, b.data, b.bytes);
        blob_free(&b);
    }
    for (size_t i = 0; i < sizeof good_json / sizeof good_json[0]; i++) {
        snprintf(name, sizeof name, "good-%zu", i);
        write_seed(argv[1], "json", name, good_json[i], strlen(good_json[i]));
    }
    for (size_t i = 0; i < n_malformed_files; i++) {
        const malformed *c = &malformed_files[i];
        blob             b = malformed_blob(c);
        if (b.bytes <= MAX_SEED) write_seed(argv[1], "safetensors", c->name, b.data, b.bytes);
        if (b.bytes <= MAX_SEED && c->text != NULL && !c->raw) {
            /* Byte 7 of the length is 0: it becomes the byte that chooses the flags. */
            b.data[7] = (unsigned char)('0' + i % 2);
            write_seed(argv[1], "json", c->name, b.data + 7, 1 + c->text_bytes);
        }
        blob_free(&b);
    }
    return 0;
}
