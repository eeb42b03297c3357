/* tests/fuzz/make_corpus.c: writes the seeds of corpus/json and corpus/safetensors: a few valid
 * inputs, and those of the malformed table that are small.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/malformed.h"

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

int main(int argc, char **argv)
{
    if (argc != 2) return 1;
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
