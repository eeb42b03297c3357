/* tests/support/malformed_index.c: folders with a sharded model that is spoilt (malformed.h). */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka_all.h"
#include "support/malformed.h"

void write_shard(const scratch *s, const char *file, const char *tensor)
{
    char header[160];
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", tensor);
    blob b = blob_safetensors(header, strlen(header), 16);
    scratch_write(s, file, b.data, b.bytes);
    blob_free(&b);
}

static void write_pair(const scratch *s, const char *file, const char *one, const char *two)
{
    char header[320];
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
             "\"%s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,32]}}",
             one, two);
    blob b = blob_safetensors(header, strlen(header), 32);
    scratch_write(s, file, b.data, b.bytes);
    blob_free(&b);
}

static void drop(const scratch *s, const char *file)
{
    assert_int_equal(unlink(scratch_path(s, file)), 0);
}

static void link_to(const scratch *s, const char *target)
{
    drop(s, "b.safetensors");
    assert_int_equal(symlink(target, scratch_path(s, "b.safetensors")), 0);
}

static void no_shard(const scratch *s)
{
    drop(s, "b.safetensors");
}

/* A whole shard in another folder: only the link makes it reachable. */
static void link_outside(const scratch *s)
{
    assert_int_equal(mkdir(scratch_path(s, "outside"), 0777), 0);
    write_shard(s, "outside/b.safetensors", "b");
    link_to(s, "outside/b.safetensors");
}

static void link_absolute(const scratch *s)
{
    assert_int_equal(mkdir(scratch_path(s, "outside"), 0777), 0);
    write_shard(s, "outside/b.safetensors", "b");
    link_to(s, scratch_path(s, "outside/b.safetensors"));
}

static void link_inside(const scratch *s)
{
    write_shard(s, "c.safetensors", "b");
    link_to(s, "c.safetensors");
}

static void link_dangling(const scratch *s)
{
    link_to(s, "nowhere");
}

static void link_loop(const scratch *s)
{
    link_to(s, "b.safetensors");
}

static void hard_link(const scratch *s)
{
    drop(s, "b.safetensors");
    assert_int_equal(link(scratch_path(s, "a.safetensors"), scratch_path(s, "b.safetensors")), 0);
}

static void shard_is_folder(const scratch *s)
{
    drop(s, "b.safetensors");
    assert_int_equal(mkdir(scratch_path(s, "b.safetensors"), 0777), 0);
}

static void shard_is_fifo(const scratch *s)
{
    drop(s, "b.safetensors");
    assert_int_equal(mkfifo(scratch_path(s, "b.safetensors"), 0666), 0);
}

static void shard_is_empty(const scratch *s)
{
    scratch_write(s, "b.safetensors", "", 0);
}

static void shard_is_pointer(const scratch *s)
{
    static const char text[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    scratch_write(s, "b.safetensors", text, sizeof text - 1);
}

static void shard_is_index(const scratch *s)
{
    scratch_write(s, "b.safetensors", GOOD_INDEX, sizeof GOOD_INDEX - 1);
}

static void shard_is_zip(const scratch *s)
{
    scratch_write(s, "b.safetensors", "PK\3\4\24\0\0\0\0\0\0\0\0\0", 14);
}

static void shard_is_cut(const scratch *s)
{
    assert_int_equal(truncate(scratch_path(s, "b.safetensors"), 70), 0);
}

static void wrong_shard(const scratch *s)
{
    write_shard(s, "a.safetensors", "b");
    write_shard(s, "b.safetensors", "a");
}

static void tensor_missing(const scratch *s)
{
    blob b = blob_safetensors("{}", 2, 0);
    scratch_write(s, "b.safetensors", b.data, b.bytes);
    blob_free(&b);
}

static void tensor_extra(const scratch *s)
{
    write_pair(s, "b.safetensors", "b", "c");
}

static void tensor_twice(const scratch *s)
{
    write_pair(s, "b.safetensors", "b", "a");
}

static void tensor_other_name(const scratch *s)
{
    write_shard(s, "b.safetensors", "B");
}

#define MAP(pairs) "{\"weight_map\":{" pairs "}}"
/* The right line for "a", and one for "b" that names `file`. */
#define NAMES(file) MAP("\"a\":\"a.safetensors\",\"b\":\"" file "\"")

#define INDEX(name, status, message, text)                                                         \
    {                                                                                              \
        name, FIL_##status, message, text, sizeof(text) - 1, NULL                                  \
    }
#define FOLDER(name, status, message, arrange)                                                     \
    {                                                                                              \
        name, FIL_##status, message, NULL, 0, arrange                                              \
    }

#define X16  "xxxxxxxxxxxxxxxx"
#define X256 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16

const malformed_model malformed_models[] = {
    INDEX("index-empty", E_FORMAT, "is empty", ""),
    INDEX("index-not-json", E_FORMAT, "is not valid JSON", "weight_map"),
    INDEX("index-array", E_FORMAT, "no object \"weight_map\"", "[]"),
    INDEX("index-of-nothing", E_FORMAT, "no object \"weight_map\"", "{}"),
    INDEX("index-map-array", E_FORMAT, "no object \"weight_map\"", "{\"weight_map\":[]}"),
    INDEX("index-map-string", E_FORMAT, "no object \"weight_map\"", "{\"weight_map\":\"\"}"),
    INDEX("index-map-empty", E_FORMAT, "weight_map is empty", MAP("")),
    INDEX("index-garbage", E_FORMAT, "expected nothing more", GOOD_INDEX "x"),
    INDEX("index-not-utf8", E_FORMAT, "is not UTF-8", NAMES("\xff.safetensors")),
    INDEX("index-key-twice", E_FORMAT, "key 'a' twice",
          MAP("\"a\":\"a.safetensors\",\"a\":\"b.safetensors\"")),
    INDEX("index-map-twice", E_FORMAT, "key 'weight_map' twice",
          "{\"weight_map\":{\"a\":\"a.safetensors\"},\"weight_map\":{}}"),
    INDEX("index-too-deep", E_LIMIT, "nests deeper than 8", "{\"metadata\":[[[[[[[[]]]]]]]]}"),
    INDEX("index-file-number", E_FORMAT, "is not a string", MAP("\"a\":1")),
    INDEX("index-file-null", E_FORMAT, "is not a string", MAP("\"a\":null")),
    INDEX("index-file-array", E_FORMAT, "is not a string", MAP("\"a\":[\"a.safetensors\"]")),
    INDEX("path-absolute", E_FORMAT, "not a plain file name", NAMES("/tmp/b.safetensors")),
    INDEX("path-parent", E_FORMAT, "not a plain file name", NAMES("../b.safetensors")),
    INDEX("path-parent-alone", E_FORMAT, "not a plain file name", NAMES("..")),
    INDEX("path-dot", E_FORMAT, "not a plain file name", NAMES(".")),
    INDEX("path-here", E_FORMAT, "not a plain file name", NAMES("./b.safetensors")),
    INDEX("path-folder", E_FORMAT, "not a plain file name", NAMES("sub/b.safetensors")),
    INDEX("path-slash-escaped", E_FORMAT, "not a plain file name", NAMES("..\\u002fb.safetensors")),
    INDEX("path-backslash", E_FORMAT, "not a plain file name", NAMES("..\\\\b.safetensors")),
    INDEX("file-control", E_FORMAT, "control character", NAMES("b\\u001b.safetensors")),
    INDEX("file-nul", E_FORMAT, "NUL character", NAMES("b.safetensors\\u0000")),
    INDEX("file-empty", E_FORMAT, "does not end in", NAMES("")),
    INDEX("file-ending-alone", E_FORMAT, "does not end in", NAMES(".safetensors")),
    INDEX("file-other-ending", E_FORMAT, "does not end in", NAMES("b.bin")),
    INDEX("file-too-long", E_FORMAT, "at most 255", NAMES(X256 ".safetensors")),
    INDEX("file-is-the-index", E_FORMAT, "names itself", NAMES(INDEX_NAME)),
    INDEX("file-missing", E_IO, "cannot open 'c.safetensors'", NAMES("c.safetensors")),
    INDEX("tensor-empty-name", E_MISMATCH, "is missing from",
          MAP("\"\":\"a.safetensors\",\"a\":\"a.safetensors\"")),
    INDEX("tensor-both-in-one", E_MISMATCH, "'b' is missing from", NAMES("a.safetensors")),
    FOLDER("shard-missing", E_IO, "cannot open 'b.safetensors'", no_shard),
    FOLDER("link-outside", E_FORMAT, "symbolic link", link_outside),
    FOLDER("link-absolute", E_FORMAT, "symbolic link", link_absolute),
    FOLDER("link-inside", E_FORMAT, "symbolic link", link_inside),
    FOLDER("link-dangling", E_FORMAT, "symbolic link", link_dangling),
    FOLDER("link-loop", E_FORMAT, "symbolic link", link_loop),
    FOLDER("shard-twin", E_FORMAT, "are the same file", hard_link),
    FOLDER("shard-is-folder", E_FORMAT, "is a directory", shard_is_folder),
    FOLDER("shard-is-fifo", E_FORMAT, "is a fifo", shard_is_fifo),
    FOLDER("shard-is-empty", E_FORMAT, "the file is empty", shard_is_empty),
    FOLDER("shard-is-git-lfs", E_FORMAT, "Git LFS pointer", shard_is_pointer),
    FOLDER("shard-is-index", E_FORMAT, "JSON text", shard_is_index),
    FOLDER("shard-is-zip", E_UNSUP, "zip archive", shard_is_zip),
    FOLDER("shard-is-cut", E_FORMAT, "bytes are missing", shard_is_cut),
    FOLDER("tensors-swapped", E_MISMATCH, "but the index says 'b.safetensors'", wrong_shard),
    FOLDER("tensor-missing", E_MISMATCH, "'b' is missing from 'b.safetensors'", tensor_missing),
    FOLDER("tensor-extra", E_MISMATCH, "the index does not name it", tensor_extra),
    FOLDER("tensor-in-two-shards", E_MISMATCH, "but the index says 'a.safetensors'", tensor_twice),
    FOLDER("tensor-other-case", E_MISMATCH, "the index does not name it", tensor_other_name),
};

const size_t n_malformed_models = sizeof malformed_models / sizeof malformed_models[0];

void malformed_folder(const scratch *s, const malformed_model *c)
{
    const char  *index = c->index != NULL ? c->index : GOOD_INDEX;
    const size_t bytes = c->index != NULL ? c->index_bytes : sizeof GOOD_INDEX - 1;
    write_shard(s, "a.safetensors", "a");
    write_shard(s, "b.safetensors", "b");
    scratch_write(s, INDEX_NAME, index, bytes);
    if (c->arrange != NULL) c->arrange(s);
}
