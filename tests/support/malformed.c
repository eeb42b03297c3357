/* tests/support/malformed.c: malformed safetensors files (malformed.h). Folders: malformed_index.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "support/malformed.h"

/* ---- bytes ---------------------------------------------------------------------------------- */

static void make_room(blob *b, size_t bytes)
{
    if (bytes <= b->room - b->bytes) return;
    b->room = b->bytes + bytes > 2 * b->room ? b->bytes + bytes : 2 * b->room;
    b->data = realloc(b->data, b->room);
    assert_non_null(b->data);
}

void blob_append(blob *b, const void *data, size_t bytes)
{
    if (bytes == 0) return;
    make_room(b, bytes);
    memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
}

void blob_fill(blob *b, int value, size_t bytes)
{
    if (bytes == 0) return;
    make_room(b, bytes);
    memset(b->data + b->bytes, value, bytes);
    b->bytes += bytes;
}

void blob_free(blob *b)
{
    free(b->data);
    *b = (blob){.data = NULL};
}

static void put_length(blob *b, uint64_t length)
{
    unsigned char head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (unsigned char)(length >> (8 * i));
    blob_append(b, head, sizeof head);
}

blob blob_safetensors(const char *header, size_t header_bytes, uint64_t data)
{
    blob b = {.data = NULL};
    put_length(&b, header_bytes);
    blob_append(&b, header, header_bytes);
    blob_fill(&b, 0x5a, (size_t)data);
    return b;
}

blob malformed_blob(const malformed *c)
{
    blob b = {.data = NULL};
    if (c->build != NULL)
        c->build(&b);
    else if (c->raw)
        blob_append(&b, c->text, c->text_bytes);
    else
        b = blob_safetensors(c->text, c->text_bytes, c->data);
    return b;
}

/* ---- files that no literal can hold --------------------------------------------------------- */

static void put_text(blob *b, const char *text)
{
    blob_append(b, text, strlen(text));
}

/* Puts the length in front of what stands in `b`. */
static void finish(blob *b, uint64_t data)
{
    blob whole = blob_safetensors((const char *)b->data, b->bytes, data);
    blob_free(b);
    *b = whole;
}

static void build_depth_bomb(blob *b)
{
    put_text(b, "{\"a\":");
    blob_fill(b, '[', 100000);
    finish(b, 0);
}

static void build_many_tensors(blob *b)
{
    char text[96];
    for (int i = 0; i < 65537; i++) {
        snprintf(text, sizeof text,
                 "%c\"%d\":{\"dtype\":\"F32\",\"shape\":[0],"
                 "\"data_offsets\":[0,0]}",
                 i == 0 ? '{' : ',', i);
        put_text(b, text);
    }
    put_text(b, "}");
    finish(b, 0);
}

static void build_many_pairs(blob *b)
{
    char text[32];
    put_text(b, "{\"__metadata__\":");
    for (int i = 0; i < 100000; i++) {
        snprintf(text, sizeof text, "%c\"%d\":\"\"", i == 0 ? '{' : ',', i);
        put_text(b, text);
    }
    put_text(b, "}}");
    finish(b, 0);
}

static void build_much_metadata(blob *b)
{
    put_text(b, "{\"__metadata__\":{\"k\":\"");
    blob_fill(b, 'v', 1 << 20);
    put_text(b, "\"}}");
    finish(b, 0);
}

static void build_many_values(blob *b)
{
    put_text(b, "{\"a\":{\"dtype\":\"F32\",\"shape\":[0");
    for (int i = 0; i < 1300000; i++)
        put_text(b, ",0");
    put_text(b, "],\"data_offsets\":[0,0]}}");
    finish(b, 0);
}

static void build_long_name(blob *b)
{
    put_text(b, "{\"");
    blob_fill(b, 'n', 513);
    put_text(b, "\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}");
    finish(b, 4);
}

static void build_long_string(blob *b)
{
    put_text(b, "{\"a\":{\"dtype\":\"");
    blob_fill(b, 'F', 100000);
    put_text(b, "\",\"shape\":[],\"data_offsets\":[0,4]}}");
    finish(b, 4);
}

static void build_tail(blob *b)
{
    put_text(b, "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}");
    finish(b, 16 + (1 << 20));
}

static void build_length_is_size(blob *b)
{
    *b         = blob_safetensors("{}", 2, 0);
    b->data[0] = (unsigned char)b->bytes;
}

static void build_length_one_over(blob *b)
{
    *b         = blob_safetensors("{}", 2, 0);
    b->data[0] = 3;
}

static void build_over_limit(blob *b)
{
    put_length(b, (64u << 20) + 1);
    put_text(b, "{}");
}

static void build_at_limit(blob *b)
{
    put_length(b, 64u << 20);
    put_text(b, "{}");
}

static void build_length_max(blob *b)
{
    put_length(b, UINT64_MAX);
    put_text(b, "{}");
}

/* 8 + length wraps to 0, and to 2, a position inside the file. */
static void build_length_wraps_0(blob *b)
{
    put_length(b, UINT64_MAX - 7);
    put_text(b, "{}");
}

static void build_length_wraps_2(blob *b)
{
    put_length(b, UINT64_MAX - 5);
    put_text(b, "{}");
}

static void build_length_negative(blob *b)
{
    put_length(b, (uint64_t)1 << 63);
    put_text(b, "{}");
}

static void build_big_endian(blob *b)
{
    put_length(b, (uint64_t)2 << 56);
    put_text(b, "{}");
}

static void build_big_endian_file(blob *b)
{
    put_text(b, "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}");
    finish(b, 16);
    for (int i = 0; i < 4; i++) {
        const unsigned char c = b->data[i];
        b->data[i]            = b->data[7 - i];
        b->data[7 - i]        = c;
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

#define T(name, dtype, shape, offsets)                                                             \
    "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define A(dtype, shape, offsets) "{" T("a", dtype, shape, offsets) "}"
#define GOOD                     T("a", "\"F32\"", "[4]", "[0,16]")
#define META(pairs)              "{\"__metadata__\":" pairs "," GOOD "}"

#define FORMAT(name, message, header, data)                                                        \
    {                                                                                              \
        name, FIL_E_FORMAT, message, header, sizeof(header) - 1, data, 0, NULL                     \
    }
#define LIMIT(name, message, header, data)                                                         \
    {                                                                                              \
        name, FIL_E_LIMIT, message, header, sizeof(header) - 1, data, 0, NULL                      \
    }
#define RAW(name, status, message, bytes)                                                          \
    {                                                                                              \
        name, FIL_##status, message, bytes, sizeof(bytes) - 1, 0, 1, NULL                          \
    }
#define BUILD(name, status, message, function)                                                     \
    {                                                                                              \
        name, FIL_##status, message, NULL, 0, 0, 0, function                                       \
    }

#define NOT_JSON "is not valid JSON"

const malformed malformed_files[] = {
    /* The eight bytes. */
    RAW("size-0", E_FORMAT, "the file is empty", ""),
    RAW("size-1", E_FORMAT, "has 1 bytes", "\2"),
    RAW("size-2", E_FORMAT, "has 2 bytes", "\2\0"),
    RAW("size-3", E_FORMAT, "has 3 bytes", "\2\0\0"),
    RAW("size-4", E_FORMAT, "has 4 bytes", "\2\0\0\0"),
    RAW("size-5", E_FORMAT, "has 5 bytes", "\2\0\0\0\0"),
    RAW("size-6", E_FORMAT, "has 6 bytes", "\2\0\0\0\0\0"),
    RAW("size-7", E_FORMAT, "has 7 bytes", "\2\0\0\0\0\0\0"),
    RAW("size-8-length-0", E_FORMAT, "the header is empty", "\0\0\0\0\0\0\0\0"),
    RAW("size-8-length-2", E_FORMAT, "only 0 bytes follow", "\2\0\0\0\0\0\0\0"),
    RAW("length-0-with-data", E_FORMAT, "the header is empty", "\0\0\0\0\0\0\0\0{}"),
    BUILD("length-is-file-size", E_FORMAT, "bytes are missing", build_length_is_size),
    BUILD("length-one-too-long", E_FORMAT, "1 bytes are missing", build_length_one_over),
    BUILD("length-over-limit", E_LIMIT, "limit: header_bytes", build_over_limit),
    BUILD("length-at-limit-not-there", E_FORMAT, "67108862 bytes are missing", build_at_limit),
    BUILD("length-max", E_LIMIT, "limit: header_bytes", build_length_max),
    BUILD("length-wraps-to-0", E_LIMIT, "limit: header_bytes", build_length_wraps_0),
    BUILD("length-wraps-to-2", E_LIMIT, "limit: header_bytes", build_length_wraps_2),
    BUILD("length-2-to-63", E_LIMIT, "limit: header_bytes", build_length_negative),
    BUILD("length-big-endian", E_FORMAT, "big-endian", build_big_endian),
    BUILD("length-big-endian-whole-file", E_FORMAT, "big-endian", build_big_endian_file),

    /* Bytes that are no text. */
    FORMAT("utf8-broken-key", "is not UTF-8", "{" T("\xff", "\"F32\"", "[]", "[0,4]") "}", 4),
    FORMAT("utf8-broken-metadata", "is not UTF-8", META("{\"k\":\"\xc0\xaf\"}"), 16),
    FORMAT("utf8-overlong", "is not UTF-8", META("{\"k\":\"\xe0\x80\xaf\"}"), 16),
    FORMAT("utf8-surrogate", "is not UTF-8", META("{\"k\":\"\xed\xa0\x80\"}"), 16),
    FORMAT("utf8-beyond-unicode", "is not UTF-8", META("{\"k\":\"\xf4\x90\x80\x80\"}"), 16),
    FORMAT("utf8-cut-by-quote", "is not UTF-8", META("{\"k\":\"\xe2\x82\"}"), 16),
    FORMAT("utf8-cut-by-end", "is not UTF-8", "{\"k\xe2\x82", 0),
    FORMAT("utf8-lone-continuation", "is not UTF-8", META("{\"\x80\":\"\"}"), 16),
    FORMAT("utf8-after-backslash", "is not UTF-8", META("{\"k\":\"\\\xc3\xa9\"}"), 16),
    FORMAT("bom-utf8", "expected '{'", "\xef\xbb\xbf{" GOOD "}", 16),
    FORMAT("bom-utf16", "expected '{'", "\xff\xfe{\0}\0", 0),
    FORMAT("utf16-without-bom", NOT_JSON, "{\0}\0", 0),

    /* No JSON, or not the JSON that it must be. */
    FORMAT("not-json", "expected '{'", "hello", 0),
    FORMAT("top-array", "expected '{'", "[]", 0),
    FORMAT("top-string", "expected '{'", "\"a\"", 0),
    FORMAT("top-number", "expected '{'", "1", 0),
    FORMAT("top-null", "expected '{'", "null", 0),
    FORMAT("space-before-brace", "expected '{'", " {" GOOD "}", 16),
    FORMAT("newline-before-brace", "expected '{'", "\n{}", 0),
    FORMAT("brace-missing", "expected '{'", GOOD "}", 16),
    FORMAT("garbage-behind-object", "expected nothing more", "{" GOOD "}x", 16),
    FORMAT("second-object", "expected nothing more", "{" GOOD "}{}", 16),
    FORMAT("closed-twice", "expected nothing more", "{" GOOD "}}", 16),
    FORMAT("nul-padding", "expected nothing more", "{" GOOD "}\0\0\0", 16),
    FORMAT("nul-inside", NOT_JSON, "{\0" GOOD "}", 16),
    FORMAT("nul-in-string", "control character", "{" T("a\0b", "\"F32\"", "[]", "[0,4]") "}", 4),
    FORMAT("nul-escape-in-name", "NUL character", "{" T("a\\u0000b", "\"F32\"", "[]", "[0,4]") "}",
           4),
    FORMAT("nul-escape-in-metadata", "NUL character", META("{\"k\":\"\\u0000\"}"), 16),
    FORMAT("comma-at-end", "a key in quotes", "{" GOOD ",}", 16),
    FORMAT("comma-first", "a key in quotes", "{," GOOD "}", 16),
    FORMAT("comma-twice", "a key in quotes", "{" GOOD ",," GOOD "}", 16),
    FORMAT("comma-missing", "',' or '}'", "{" GOOD GOOD "}", 16),
    FORMAT("comma-at-end-of-array", "a value", A("\"F32\"", "[4,]", "[0,16]"), 16),
    FORMAT("comma-missing-in-array", "',' or ']'", A("\"F32\"", "[2 2]", "[0,16]"), 16),
    FORMAT("colon-missing", "':'", "{\"a\" {}}", 0),
    FORMAT("value-missing", "a value", "{\"a\":}", 0),
    FORMAT("key-without-quotes", "a key in quotes", "{a:{}}", 0),
    FORMAT("key-in-single-quotes", "a key in quotes", "{'a':{}}", 0),
    FORMAT("key-is-number", "a key in quotes", "{1:{}}", 0),
    FORMAT("comment", "a key in quotes", "{/**/" GOOD "}", 16),
    FORMAT("brackets-crossed", "',' or ']'", A("\"F32\"", "[4}", "[0,16]"), 16),
    FORMAT("object-unclosed", "it ends after", "{" GOOD, 16),
    FORMAT("array-unclosed", "it ends after", "{\"a\":[", 0),
    FORMAT("string-unclosed", "the end of a string", "{\"a", 0),
    FORMAT("string-ends-in-backslash", "the end of a string", "{\"a\\", 0),
    FORMAT("only-brace", "it ends after", "{", 0),
    FORMAT("newline-in-string", "control character", "{\"a\nb\":{}}", 0),
    FORMAT("escape-unknown", "an unknown escape", META("{\"k\":\"\\x41\"}"), 16),
    FORMAT("escape-short", "broken \\u escape", META("{\"k\":\"\\u12\"}"), 16),
    FORMAT("escape-not-hex", "broken \\u escape", META("{\"k\":\"\\u12g4\"}"), 16),
    FORMAT("escape-high-alone", "broken \\u escape", META("{\"k\":\"\\ud83d\"}"), 16),
    FORMAT("escape-low-alone", "broken \\u escape", META("{\"k\":\"\\ude00\"}"), 16),
    FORMAT("escape-high-twice", "broken \\u escape", META("{\"k\":\"\\ud83d\\ud83d\"}"), 16),
    FORMAT("literal-upper-case", "a value", META("{\"k\":True}"), 16),
    FORMAT("literal-cut", "a value", META("{\"k\":tru}"), 16),
    FORMAT("literal-nan", "a value", A("\"F32\"", "[NaN]", "[0,4]"), 4),
    FORMAT("literal-infinity", "a value", A("\"F32\"", "[Infinity]", "[0,4]"), 4),
    FORMAT("depth-9-arrays", "inside an array", "{\"a\":[[[[[[[[]]]]]]]]}", 0),
    FORMAT("objects-in-an-array", "inside an array", "{\"a\":[{},{},{}]}", 0),
    LIMIT("depth-9-objects", "nests deeper than 8",
          "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}", 0),
    BUILD("depth-bomb", E_FORMAT, "inside an array", build_depth_bomb),
    BUILD("values-bomb", E_LIMIT, "JSON values", build_many_values),

    /* The same key twice. */
    FORMAT("twice-tensor", "key 'a' twice", "{" GOOD "," GOOD "}", 16),
    FORMAT("twice-after-escape", "key 'a' twice",
           "{" GOOD "," T("\\u0061", "\"F32\"", "[0]", "[0,0]") "}", 16),
    FORMAT("twice-metadata", "twice", "{\"__metadata__\":{},\"__metadata__\":{}," GOOD "}", 16),
    FORMAT("twice-metadata-key", "key 'k' twice", META("{\"k\":\"\",\"k\":\"\"}"), 16),
    FORMAT("twice-dtype", "key 'dtype' twice",
           "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4),
    FORMAT("twice-empty-key", "twice", META("{\"\":\"\",\"\":\"\"}"), 16),

    /* Names. */
    FORMAT("name-empty", "empty name", "{" T("", "\"F32\"", "[]", "[0,4]") "}", 4),
    BUILD("name-too-long", E_LIMIT, "the limit is 512", build_long_name),
    FORMAT("name-control", "control character", "{" T("a\\u0001", "\"F32\"", "[]", "[0,4]") "}", 4),
    FORMAT("name-escape-sequence", "control character",
           "{" T("a\\u001b[2J", "\"F32\"", "[]", "[0,4]") "}", 4),
    FORMAT("name-newline", "control character", "{" T("a\\nb", "\"F32\"", "[]", "[0,4]") "}", 4),
    FORMAT("name-delete", "control character", "{" T("a\x7f", "\"F32\"", "[]", "[0,4]") "}", 4),
    FORMAT("name-c1", "control character", "{" T("a\xc2\x85", "\"F32\"", "[]", "[0,4]") "}", 4),

    /* dtype. */
    FORMAT("dtype-unknown", "unknown dtype 'F128'", A("\"F128\"", "[]", "[0,16]"), 16),
    FORMAT("dtype-lower-case", "unknown dtype 'f32'", A("\"f32\"", "[4]", "[0,16]"), 16),
    FORMAT("dtype-torch-name", "unknown dtype", A("\"torch.float32\"", "[4]", "[0,16]"), 16),
    FORMAT("dtype-empty", "unknown dtype ''", A("\"\"", "[4]", "[0,16]"), 16),
    FORMAT("dtype-space", "unknown dtype", A("\"F32 \"", "[4]", "[0,16]"), 16),
    BUILD("dtype-long", E_FORMAT, "unknown dtype", build_long_string),
    FORMAT("dtype-number", "dtype is a number", A("2", "[4]", "[0,16]"), 16),
    FORMAT("dtype-null", "dtype is null", A("null", "[4]", "[0,16]"), 16),
    FORMAT("dtype-array", "dtype is an array", A("[\"F32\"]", "[4]", "[0,16]"), 16),

    /* Fields. */
    FORMAT("tensor-is-null", "is null; expected an object", "{\"a\":null}", 0),
    FORMAT("tensor-is-number", "is a number; expected an object", "{\"a\":1}", 0),
    FORMAT("tensor-is-string", "is a string; expected an object", "{\"a\":\"\"}", 0),
    FORMAT("tensor-is-array", "is an array; expected an object", "{\"a\":[]}", 0),
    FORMAT("tensor-is-true", "is true or false; expected an object", "{\"a\":true}", 0),
    FORMAT("fields-none", "has no dtype", "{\"a\":{}}", 0),
    FORMAT("field-dtype-missing", "has no dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}",
           4),
    FORMAT("field-shape-missing", "has no shape",
           "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4),
    FORMAT("field-offsets-missing", "has no data_offsets",
           "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4),
    FORMAT("field-misspelt", "has no data_offsets",
           "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"offsets\":[0,4]}}", 4),
    FORMAT("field-extra", "has a field 'strides'",
           "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"strides\":[1],\"data_offsets\":[0,16]}}", 16),
    FORMAT("field-extra-empty", "has a field ''",
           "{\"a\":{\"\":0,\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16),

    /* Shapes. */
    FORMAT("shape-string", "shape is a string", A("\"F32\"", "\"4\"", "[0,16]"), 16),
    FORMAT("shape-number", "shape is a number", A("\"F32\"", "4", "[0,16]"), 16),
    FORMAT("shape-object", "shape is an object", A("\"F32\"", "{}", "[0,16]"), 16),
    FORMAT("shape-null", "shape is null", A("\"F32\"", "null", "[0,16]"), 16),
    FORMAT("shape-of-strings", "dimension 0 is a string", A("\"F32\"", "[\"4\"]", "[0,16]"), 16),
    FORMAT("shape-of-booleans", "dimension 1 is true or false", A("\"F32\"", "[4,true]", "[0,16]"),
           16),
    FORMAT("shape-nested", "inside an array", A("\"F32\"", "[[4]]", "[0,16]"), 16),
    FORMAT("shape-float", "no plain integer", A("\"F32\"", "[4.0]", "[0,16]"), 16),
    FORMAT("shape-exponent", "no plain integer", A("\"F32\"", "[4e0]", "[0,16]"), 16),
    FORMAT("shape-exponent-upper", "no plain integer", A("\"F32\"", "[4E0]", "[0,16]"), 16),
    FORMAT("shape-negative", "a negative number", A("\"F32\"", "[-4]", "[0,16]"), 16),
    FORMAT("shape-negative-zero", "a negative number", A("\"F32\"", "[-0]", "[0,0]"), 0),
    FORMAT("shape-plus", "a value", A("\"F32\"", "[+4]", "[0,16]"), 16),
    FORMAT("shape-leading-zero", "leading zero", A("\"F32\"", "[04]", "[0,16]"), 16),
    FORMAT("shape-hex", "',' or ']'", A("\"F32\"", "[0x4]", "[0,16]"), 16),
    FORMAT("shape-2-to-63", "outside 0 to 2^63 - 1", A("\"F32\"", "[9223372036854775808]", "[0,4]"),
           4),
    FORMAT("shape-2-to-64", "outside 0 to 2^63 - 1",
           A("\"F32\"", "[18446744073709551616]", "[0,4]"), 4),
    FORMAT("shape-2-to-64-and-4", "outside 0 to 2^63 - 1",
           A("\"F32\"", "[18446744073709551620]", "[0,16]"), 16),
    FORMAT("shape-30-digits", "outside 0 to 2^63 - 1",
           A("\"F32\"", "[100000000000000000000000000000]", "[0,16]"), 16),
    LIMIT("rank-9", "has 9 dimensions", A("\"F32\"", "[1,1,1,1,1,1,1,1,4]", "[0,16]"), 16),
    LIMIT("rank-12", "has 12 dimensions", A("\"U8\"", "[1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), 1),

    /* Products. */
    FORMAT("size-zero-dimension-with-bytes", "need 0 bytes", A("\"F32\"", "[4,0]", "[0,16]"), 16),
    FORMAT("size-product-wraps-to-0", "no valid number of bytes",
           A("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0),
    FORMAT("size-product-wraps-to-4", "no valid number of bytes",
           A("\"U8\"", "[4611686018427387905,4]", "[0,4]"), 4),
    FORMAT("size-product-wraps-to-exact", "no valid number of bytes",
           A("\"U8\"", "[6148914691236517211,3,2]", "[0,34]"), 34),
    FORMAT("size-bytes-wrap-to-0", "no valid number of bytes",
           A("\"F32\"", "[4611686018427387904]", "[0,0]"), 0),
    FORMAT("size-bytes-wrap-to-4", "no valid number of bytes",
           A("\"F32\"", "[4611686018427387905]", "[0,4]"), 4),
    FORMAT("size-bits-wrap", "no valid number of bytes",
           A("\"U8\"", "[2305843009213693953]", "[0,1]"), 1),
    FORMAT("size-overflow-hidden-by-zero", "no valid number of bytes",
           A("\"U8\"", "[4294967296,4294967296,4294967296,0]", "[0,0]"), 0),
    FORMAT("size-overflow-behind-zero", "no valid number of bytes",
           A("\"U8\"", "[0,4294967296,4294967296,4294967296]", "[0,0]"), 0),
    FORMAT("size-range-too-short", "its range has 12", A("\"F32\"", "[4]", "[0,12]"), 12),
    FORMAT("size-range-too-long", "its range has 20", A("\"F32\"", "[4]", "[0,20]"), 20),
    FORMAT("size-scalar-without-bytes", "need 4 bytes", A("\"F32\"", "[]", "[0,0]"), 0),
    FORMAT("size-scalar-with-two", "need 4 bytes", A("\"F32\"", "[]", "[0,8]"), 8),
    FORMAT("size-dtype-of-other-width", "its range has 16", A("\"BF16\"", "[4]", "[0,16]"), 16),
    FORMAT("bits-f4-odd", "no valid number of bytes", A("\"F4\"", "[3]", "[0,2]"), 2),
    FORMAT("bits-f4-scalar", "no valid number of bytes", A("\"F4\"", "[]", "[0,1]"), 1),
    FORMAT("bits-f6-e2m3", "no valid number of bytes", A("\"F6_E2M3\"", "[2]", "[0,2]"), 2),
    FORMAT("bits-f6-e3m2", "no valid number of bytes", A("\"F6_E3M2\"", "[3,2]", "[0,5]"), 5),

    /* Offsets. */
    FORMAT("offsets-empty", "has 0 items", A("\"F32\"", "[4]", "[]"), 16),
    FORMAT("offsets-one", "has 1 items", A("\"F32\"", "[4]", "[16]"), 16),
    FORMAT("offsets-three", "has 3 items", A("\"F32\"", "[4]", "[0,8,16]"), 16),
    FORMAT("offsets-reversed", "are reversed", A("\"F32\"", "[4]", "[16,0]"), 16),
    FORMAT("offsets-negative", "a negative number", A("\"F32\"", "[4]", "[-16,0]"), 16),
    FORMAT("offsets-float", "no plain integer", A("\"F32\"", "[4]", "[0,16.0]"), 16),
    FORMAT("offsets-of-strings", "has a string", A("\"F32\"", "[4]", "[\"0\",16]"), 16),
    FORMAT("offsets-of-null", "has null", A("\"F32\"", "[4]", "[0,null]"), 16),
    FORMAT("offsets-string", "data_offsets is a string", A("\"F32\"", "[4]", "\"0,16\""), 16),
    FORMAT("offsets-object", "data_offsets is an object", A("\"F32\"", "[4]", "{}"), 16),
    FORMAT("offsets-null", "data_offsets is null", A("\"F32\"", "[4]", "null"), 16),
    FORMAT("offsets-2-to-64", "outside 0 to 2^63 - 1",
           A("\"F32\"", "[4]", "[0,18446744073709551632]"), 16),
    FORMAT("offsets-end-at-2-to-63", "bytes are missing",
           A("\"U8\"", "[9223372036854775807]", "[0,9223372036854775807]"), 16),
    FORMAT("offsets-near-2-to-63", "a hole",
           A("\"F32\"", "[4]", "[9223372036854775791,9223372036854775807]"), 16),
    FORMAT("ranges-equal", "an overlap", "{" GOOD "," T("b", "\"F32\"", "[4]", "[0,16]") "}", 16),
    FORMAT("ranges-overlap", "an overlap", "{" GOOD "," T("b", "\"F32\"", "[4]", "[12,28]") "}",
           28),
    FORMAT("ranges-contained", "an overlap", "{" GOOD "," T("b", "\"F32\"", "[1]", "[4,8]") "}",
           16),
    FORMAT("ranges-hole", "a hole", "{" GOOD "," T("b", "\"F32\"", "[4]", "[20,36]") "}", 36),
    FORMAT("range-first-not-0", "expected 0 (a hole)", A("\"F32\"", "[4]", "[4,20]"), 20),
    FORMAT("zero-size-inside", "expected 16 (an overlap)",
           "{" GOOD ",\"z\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}," T(
               "y", "\"F32\"", "[0]", "[8,8]") "}",
           16),
    FORMAT("zero-size-behind-end", "a hole", "{" GOOD "," T("z", "\"F32\"", "[0]", "[17,17]") "}",
           16),
    FORMAT("zero-size-alone-behind-end", "a hole", A("\"F32\"", "[0]", "[8,8]"), 0),
    FORMAT("range-beyond-file", "bytes are missing", A("\"F32\"", "[8]", "[0,32]"), 16),
    FORMAT("data-one-short", "1 bytes are missing", A("\"F32\"", "[4]", "[0,16]"), 15),
    FORMAT("data-none", "16 bytes are missing", A("\"F32\"", "[4]", "[0,16]"), 0),
    FORMAT("data-one-more", "1 bytes after the last tensor", A("\"F32\"", "[4]", "[0,16]"), 17),
    FORMAT("data-without-tensor", "8 bytes after the last tensor", "{}", 8),
    FORMAT("data-behind-zero-size", "4 bytes after the last tensor", A("\"F32\"", "[0]", "[0,0]"),
           4),
    BUILD("data-long-tail", E_FORMAT, "1048576 bytes after the last tensor", build_tail),

    /* Metadata and limits. */
    FORMAT("metadata-string", "__metadata__ is a string", META("\"\""), 16),
    FORMAT("metadata-array", "__metadata__ is an array", META("[]"), 16),
    FORMAT("metadata-null", "__metadata__ is null", META("null"), 16),
    FORMAT("metadata-value-number", "'k' is a number", META("{\"k\":1}"), 16),
    FORMAT("metadata-value-null", "'k' is null", META("{\"k\":null}"), 16),
    FORMAT("metadata-value-true", "'k' is true or false", META("{\"k\":true}"), 16),
    FORMAT("metadata-value-object", "'k' is an object", META("{\"k\":{}}"), 16),
    FORMAT("metadata-value-array", "'k' is an array", META("{\"k\":[]}"), 16),
    FORMAT("metadata-is-a-tensor", "'shape' is an array",
           "{\"__metadata__\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16),
    BUILD("metadata-pairs-100000", E_LIMIT, "limit: metadata_pairs", build_many_pairs),
    BUILD("metadata-bytes", E_LIMIT, "limit: metadata_bytes", build_much_metadata),
    BUILD("tensors-65537", E_LIMIT, "limit: tensors", build_many_tensors),

    /* Other files under this name. */
    RAW("other-git-lfs", E_FORMAT, "Git LFS pointer",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    RAW("other-html", E_FORMAT, "web page", "<!DOCTYPE html>\n<html><body>404</body></html>\n"),
    RAW("other-html-lower", E_FORMAT, "web page", "\n <html><head><title>x</title></head></html>"),
    RAW("other-xml", E_FORMAT, "web page", "<?xml version=\"1.0\"?><Error>AccessDenied</Error>"),
    RAW("other-text", E_FORMAT, "text file", "Entry not found: model.safetensors\n"),
    RAW("other-utf8-text", E_FORMAT, "text file",
        "\xc3\x9c"
        "berschrift, und mehr\n"),
    RAW("other-json", E_FORMAT, "JSON text", "{\"error\":\"Repository not found\"}"),
    RAW("other-gguf", E_UNSUP, "a GGUF file; expected", "GGUF\0\0\0\0\1\0\0\0\0\0\0\0"),
    RAW("other-old-torch", E_UNSUP, "version 1.6",
        "\x80\2\x8a\x0al\xfc\x9c"
        "F\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}q\0"),
    RAW("other-pickle", E_UNSUP, "version 1.6",
        "\x80\4\x95\x10\0\0\0\0\0\0\0}\x94\x8c\1a\x94K\1s."),
    RAW("other-png", E_LIMIT, "limit: header_bytes", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    RAW("other-zeros", E_FORMAT, "the header is empty",
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
};

const size_t n_malformed_files = sizeof malformed_files / sizeof malformed_files[0];
