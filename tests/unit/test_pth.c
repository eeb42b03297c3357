/* tests/unit/test_pth.c: PyTorch checkpoints: the tensors they list, the ones that are refused,
 * what opening costs, and the fixtures written by torch itself (FIL_FIXTURES).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/zip.h"
#include "support/cmocka_all.h"
#include "support/pth_make.h"
#include "support/pth_open.h"

/* ---- a small checkpoint --------------------------------------------------------------------- */

static const pth_tensor two[] = {
    {.name     = "a",
     .storage  = "FloatStorage",
     .key      = "0",
     .elements = 6,
     .rank     = 2,
     .shape    = {2, 3},
     .stride   = {3, 1}},
    {.name     = "b",
     .storage  = "BFloat16Storage",
     .key      = "1",
     .elements = 4,
     .rank     = 1,
     .shape    = {4},
     .stride   = {1}},
};

static const char bytes_a[24] = "aaaabbbbccccddddeeeefff";
static const char bytes_b[8]  = "1234567";

enum { PKL, BYTEORDER, DATA0, DATA1, VERSION, N_ITEMS };

/* The items of a checkpoint around a pickle. */
static void make_items(zip_item items[N_ITEMS], const buffer *pickle)
{
    items[PKL]       = (zip_item){"m/data.pkl", pickle->data, pickle->bytes};
    items[BYTEORDER] = (zip_item){"m/byteorder", "little", 6};
    items[DATA0]     = (zip_item){"m/data/0", bytes_a, sizeof bytes_a};
    items[DATA1]     = (zip_item){"m/data/1", bytes_b, sizeof bytes_b};
    items[VERSION]   = (zip_item){"m/version", "3\n", 2};
}

static void make_around(buffer *file, const buffer *pickle, zip_map *map)
{
    zip_item items[N_ITEMS];
    make_items(items, pickle);
    file->bytes = 0;
    zip_make(file, ZIP_TORCH, items, N_ITEMS, map);
}

static void make_tensors(buffer *file, const pth_tensor *tensors, size_t n, zip_map *map)
{
    buffer pickle = {0};
    pickle_tensors(&pickle, tensors, n);
    make_around(file, &pickle, map);
    buffer_free(&pickle);
}

/* Opens a checkpoint of these tensors. */
static void open_tensors(const pth_tensor *tensors, size_t n, pth_result *r)
{
    buffer file = {0};
    make_tensors(&file, tensors, n, NULL);
    pth_open(&file, NULL, r);
    buffer_free(&file);
}

/* Opens a checkpoint around the text of a pickle without PROTO. */
static void open_pickle(const buffer *pickle, pth_result *r)
{
    buffer file = {0};
    make_around(&file, pickle, NULL);
    pth_open(&file, NULL, r);
    buffer_free(&file);
}

/* ---- what is listed ------------------------------------------------------------------------- */

static void tensors_are_listed_with_dtype_shape_and_position(void **state)
{
    buffer     file = {0};
    zip_map    map;
    pth_result r;
    (void)state;
    make_tensors(&file, two, 2, &map);
    pth_open(&file, NULL, &r);
    pth_expect("two", &r, FIL_OK, "");
    assert_int_equal(r.n_tensors, 2);
    assert_string_equal(r.names[0], "a");
    assert_int_equal(r.entries[0].dtype, FIL_F32);
    assert_int_equal(r.entries[0].rank, 2);
    assert_true(r.entries[0].shape[0] == 2 && r.entries[0].shape[1] == 3);
    assert_int_equal(r.entries[0].bytes, 24);
    assert_int_equal(r.entries[0].offset, map.data[DATA0]);
    assert_string_equal(r.names[1], "b");
    assert_int_equal(r.entries[1].dtype, FIL_BF16);
    assert_int_equal(r.entries[1].bytes, 8);
    assert_int_equal(r.entries[1].offset, map.data[DATA1]);
    buffer_free(&file);
}

static void plain_archives_and_those_without_byteorder_are_read(void **state)
{
    zip_item   items[N_ITEMS];
    buffer     pickle = {0};
    buffer     file   = {0};
    pth_result r;
    (void)state;
    pickle_tensors(&pickle, two, 2);
    make_items(items, &pickle);
    zip_make(&file, ZIP_PLAIN, items, N_ITEMS, NULL);
    pth_open(&file, NULL, &r);
    pth_expect("plain", &r, FIL_OK, "");
    items[BYTEORDER].name = "m/other";
    file.bytes            = 0;
    zip_make(&file, ZIP_TORCH, items, N_ITEMS, NULL);
    pth_open(&file, NULL, &r);
    pth_expect("no byteorder", &r, FIL_OK, "");
    assert_int_equal(r.n_tensors, 2);
    buffer_free(&pickle);
    buffer_free(&file);
}

static void offsets_count_elements_and_tied_tensors_share_bytes(void **state)
{
    static const pth_tensor tied[] = {
        {.name     = "x",
         .storage  = "FloatStorage",
         .key      = "0",
         .elements = 6,
         .rank     = 1,
         .shape    = {6},
         .stride   = {1}},
        {.name     = "y",
         .storage  = "FloatStorage",
         .key      = "0",
         .elements = 6,
         .rank     = 1,
         .shape    = {6},
         .stride   = {1}},
        {.name      = "z",
         .storage   = "FloatStorage",
         .key       = "0",
         .elements  = 6,
         .offset    = 4,
         .rank      = 1,
         .shape     = {2},
         .stride    = {1},
         .parameter = 1},
    };
    pth_result r;
    (void)state;
    open_tensors(tied, 3, &r);
    pth_expect("tied", &r, FIL_OK, "");
    assert_int_equal(r.entries[0].offset, r.entries[1].offset);
    assert_int_equal(r.entries[2].offset, r.entries[0].offset + 16);
    assert_int_equal(r.entries[2].bytes, 8);
}

static void sizes_of_1_and_0_free_the_strides(void **state)
{
    static const pth_tensor rows[] = {
        {.name     = "one",
         .storage  = "FloatStorage",
         .key      = "0",
         .elements = 6,
         .rank     = 3,
         .shape    = {1, 6, 1},
         .stride   = {77, 1, 99}},
        {.name = "scalar", .storage = "FloatStorage", .key = "0", .elements = 6, .offset = 5},
        {.name     = "zero",
         .storage  = "FloatStorage",
         .key      = "0",
         .elements = 6,
         .offset   = 6,
         .rank     = 2,
         .shape    = {0, 5},
         .stride   = {9, 9}},
        {.name     = "rank8",
         .storage  = "FloatStorage",
         .key      = "0",
         .elements = 6,
         .rank     = 8,
         .shape    = {1, 1, 2, 1, 1, 3, 1, 1},
         .stride   = {6, 6, 3, 3, 3, 1, 1, 1}},
    };
    pth_result r;
    (void)state;
    open_tensors(rows, 4, &r);
    pth_expect("free strides", &r, FIL_OK, "");
    assert_int_equal(r.n_tensors, 4);
    assert_string_equal(r.names[2], "scalar");
    assert_int_equal(r.entries[2].bytes, 4);
    assert_int_equal(r.entries[3].bytes, 0);
}

static void a_storage_may_be_longer_than_promised(void **state)
{
    static const pth_tensor row = {.name     = "x",
                                   .storage  = "FloatStorage",
                                   .key      = "0",
                                   .elements = 5,
                                   .rank     = 1,
                                   .shape    = {5},
                                   .stride   = {1}};
    pth_result              r;
    (void)state;
    open_tensors(&row, 1, &r);
    pth_expect("longer", &r, FIL_OK, "");
}

static void wrappers_of_one_level_are_opened(void **state)
{
    static const char *const keys[] = {"state_dict", "model", "module"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        buffer     pickle = {0};
        pth_result r;
        pickle_begin(&pickle, 2);
        buffer_text(&pickle, "}(");
        pickle_text(&pickle, "epoch");
        pickle_int(&pickle, 3);
        pickle_text(&pickle, keys[i]);
        pickle_global(&pickle, "collections", "OrderedDict");
        buffer_text(&pickle, ")R(");
        pickle_tensor(&pickle, &two[0]);
        pickle_tensor(&pickle, &two[1]);
        buffer_text(&pickle, "u}b"); /* BUILD, as state_dict() has it */
        pickle_text(&pickle, "args");
        buffer_text(&pickle, "]u.");
        open_pickle(&pickle, &r);
        pth_expect(keys[i], &r, FIL_OK, "");
        assert_int_equal(r.n_tensors, 2);
        buffer_free(&pickle);
    }
}

static void leaves_beside_tensors_are_ignored(void **state)
{
    buffer     pickle = {0};
    pth_result r;
    (void)state;
    pickle_begin(&pickle, 2);
    buffer_text(&pickle, "}(");
    pickle_text(&pickle, "model"); /* at the top there are tensors: this one is not opened */
    buffer_text(&pickle, "}(");
    pickle_tensor(&pickle, &two[1]);
    buffer_text(&pickle, "u");
    pickle_tensor(&pickle, &two[0]);
    pickle_text(&pickle, "none");
    buffer_text(&pickle, "N");
    buffer_text(&pickle, "K\1K\1u.");
    open_pickle(&pickle, &r);
    pth_expect("leaves", &r, FIL_OK, "");
    assert_int_equal(r.n_tensors, 1);
    assert_string_equal(r.names[0], "a");
    buffer_free(&pickle);
}

/* ---- tensors that are refused --------------------------------------------------------------- */

static const struct {
    const char *what;
    pth_tensor  t;
    fil_status  status;
    const char *needle;
} bad_tensors[] = {
#define F32(...)                                                                                   \
    {                                                                                              \
        .name = "x", .storage = "FloatStorage", .key = "0", .elements = 6, __VA_ARGS__             \
    }
    {"transposed", F32(.rank = 2, .shape = {3, 2}, .stride = {1, 3}), FIL_E_UNSUP,
     "'x' is not contiguous: shape [3,2], strides [1,3]"},
    {"expanded", F32(.rank = 2, .shape = {2, 3}, .stride = {0, 1}), FIL_E_UNSUP, "not contiguous"},
    {"overlapping", F32(.rank = 2, .shape = {2, 3}, .stride = {1, 1}), FIL_E_UNSUP, "not contig"},
    {"with gaps", F32(.rank = 1, .shape = {3}, .stride = {2}), FIL_E_UNSUP, "not contiguous"},
    {"row gaps", F32(.rank = 2, .shape = {2, 2}, .stride = {3, 1}), FIL_E_UNSUP, "not contiguous"},
    {"negative stride", F32(.rank = 1, .shape = {3}, .stride = {-1}), FIL_E_FORMAT, "negative str"},
    {"most negative stride", F32(.rank = 1, .shape = {3}, .stride = {INT64_MIN}), FIL_E_FORMAT,
     "negative stride in [-9223372036854775808]"},
    {"huge stride", F32(.rank = 2, .shape = {2, 3}, .stride = {INT64_MAX, 1}), FIL_E_UNSUP,
     "not contiguous"},
    {"negative size", F32(.rank = 1, .shape = {-3}, .stride = {1}), FIL_E_FORMAT, "no valid elem"},
    {"two negative sizes", F32(.rank = 2, .shape = {-2, -3}, .stride = {-3, 1}), FIL_E_FORMAT,
     "no valid element count"},
    {"product 2^64", F32(.rank = 2, .shape = {1ll << 32, 1ll << 32}, .stride = {1ll << 32, 1}),
     FIL_E_FORMAT, "no valid element count"},
    {"product 2^64 and 0", F32(.rank = 3, .shape = {1ll << 32, 1ll << 32, 0}, .stride = {1, 1, 1}),
     FIL_E_FORMAT, "no valid element count"},
    {"product 2^63", F32(.rank = 2, .shape = {1ll << 62, 2}, .stride = {2, 1}), FIL_E_FORMAT,
     "no valid element count"},
    {"2^62 elements", F32(.rank = 1, .shape = {1ll << 62}, .stride = {1}), FIL_E_FORMAT,
     "outside its storage"},
    {"one element more", F32(.rank = 1, .shape = {7}, .stride = {1}), FIL_E_FORMAT, "0 + 7 lie"},
    {"offset too far", F32(.offset = 1, .rank = 1, .shape = {6}, .stride = {1}), FIL_E_FORMAT,
     "1 + 6 lie outside"},
    {"scalar behind the end", F32(.offset = 6), FIL_E_FORMAT, "6 + 1 lie outside"},
    {"nothing behind the end", F32(.offset = 7, .rank = 1, .shape = {0}, .stride = {1}),
     FIL_E_FORMAT, "7 + 0 lie outside"},
    {"offset 2^63 - 1", F32(.offset = INT64_MAX, .rank = 1, .shape = {6}, .stride = {1}),
     FIL_E_FORMAT, "lie outside its storage"},
    {"negative offset", F32(.offset = -1, .rank = 1, .shape = {2}, .stride = {1}), FIL_E_FORMAT,
     "offset -1"},
    {"rank 9", F32(.rank = 9, .shape = {1, 1, 1, 1, 1, 1, 1, 1, 1}), FIL_E_LIMIT, "9 dimensions"},
#undef F32
    {"storage promises 7 elements",
     {.name = "x", .storage = "FloatStorage", .key = "0", .elements = 7},
     FIL_E_FORMAT,
     "data/0 has 24 bytes; 7 elements of F32"},
    {"storage of doubles",
     {.name = "x", .storage = "DoubleStorage", .key = "0", .elements = 6},
     FIL_E_FORMAT,
     "6 elements of F64"},
    {"element count * size wraps to 0",
     {.name = "x", .storage = "FloatStorage", .key = "0", .elements = 1ll << 62},
     FIL_E_FORMAT,
     "need more"},
    {"element count 2^63 - 1",
     {.name = "x", .storage = "DoubleStorage", .key = "0", .elements = INT64_MAX},
     FIL_E_FORMAT,
     "need more"},
    {"negative element count",
     {.name = "x", .storage = "FloatStorage", .key = "0", .elements = -6},
     FIL_E_FORMAT,
     "has -6 elements"},
    {"missing storage",
     {.name = "x", .storage = "FloatStorage", .key = "2", .elements = 6},
     FIL_E_FORMAT,
     "no storage data/2"},
    {"empty storage key",
     {.name = "x", .storage = "FloatStorage", .key = "", .elements = 6},
     FIL_E_FORMAT,
     "no storage data/"},
    {"a path as storage key",
     {.name = "x", .storage = "FloatStorage", .key = "../data.pkl", .elements = 6},
     FIL_E_FORMAT,
     "no storage data/../data.pkl"},
    {"unknown storage class",
     {.name = "x", .storage = "QInt8Storage", .key = "0", .elements = 6},
     FIL_E_UNSUP,
     "torch.QInt8Storage"},
    {"complex storage",
     {.name = "x", .storage = "ComplexFloatStorage", .key = "0", .elements = 3},
     FIL_E_UNSUP,
     "torch.ComplexFloatStorage"},
    {"empty name",
     {.name = "", .storage = "FloatStorage", .key = "0", .elements = 6},
     FIL_E_FORMAT,
     "empty name"},
    {"control byte in the name",
     {.name = "x\x1b", .storage = "FloatStorage", .key = "0", .elements = 6},
     FIL_E_FORMAT,
     "control character"},
    {"name that is not UTF-8",
     {.name = "x\xff", .storage = "FloatStorage", .key = "0", .elements = 6},
     FIL_E_FORMAT,
     "not UTF-8"},
};

static void tensors_outside_the_rules_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_tensors / sizeof *bad_tensors; i++) {
        pth_result r;
        open_tensors(&bad_tensors[i].t, 1, &r);
        pth_expect(bad_tensors[i].what, &r, bad_tensors[i].status, bad_tensors[i].needle);
    }
    print_message("%zu checkpoints\n", sizeof bad_tensors / sizeof *bad_tensors);
}

static void a_storage_key_of_any_length_is_only_looked_up(void **state)
{
    static char key[70000];
    (void)state;
    for (size_t n = 1000; n < sizeof key; n = n < 1100 ? n + 1 : 2 * n) {
        memset(key, 'k', n);
        key[n]             = '\0';
        const pth_tensor t = {.name = "x", .storage = "FloatStorage", .key = key, .elements = 6};
        pth_result       r;
        open_tensors(&t, 1, &r);
        pth_expect("long key", &r, FIL_E_FORMAT, "no storage data/kkk");
    }
}

static void a_name_that_comes_twice_is_refused(void **state)
{
    const pth_tensor twice[] = {two[0], two[1], two[0]};
    pth_result       r;
    (void)state;
    open_tensors(twice, 3, &r);
    pth_expect("twice", &r, FIL_E_FORMAT, "'a' is there twice");
}

static void names_and_tensors_are_limited(void **state)
{
    char       name[514];
    buffer     file = {0};
    pth_tensor t    = two[0];
    pth_result r;
    (void)state;
    memset(name, 'n', sizeof name);
    name[512] = '\0';
    t.name    = name;
    open_tensors(&t, 1, &r);
    pth_expect("512", &r, FIL_OK, "");
    name[512] = 'n';
    name[513] = '\0';
    open_tensors(&t, 1, &r);
    pth_expect("513", &r, FIL_E_LIMIT, "513 bytes");

    fil_options opt;
    fil_options_init(&opt);
    make_tensors(&file, two, 2, NULL);
    opt.limits.tensors = 2;
    pth_open(&file, &opt.limits, &r);
    pth_expect("2 tensors", &r, FIL_OK, "");
    opt.limits.tensors = 1;
    pth_open(&file, &opt.limits, &r);
    pth_expect("1 tensor", &r, FIL_E_LIMIT, "(limit: tensors)");
    buffer_free(&file);
}

/* ---- checkpoints that are refused ----------------------------------------------------------- */

/* The pickle is given as text behind PROTO 2. */
static const struct {
    const char *what, *text;
    size_t      bytes;
    fil_status  status;
    const char *needle;
} bad_roots[] = {
#define ROOT(what, text, status, needle)                                                           \
    {                                                                                              \
        what, text, sizeof(text) - 1, FIL_##status, needle                                         \
    }
    ROOT("a list at the top", "].", E_UNSUP, "is a list; expected a dict"),
    ROOT("None at the top", "N.", E_UNSUP, "is a None"),
    ROOT("an int at the top", "K\1.", E_UNSUP, "is a int"),
    ROOT("an empty dict", "}.", E_UNSUP, "no tensor at the top of the checkpoint (0 entries)"),
    ROOT("only leaves", "}K\1K\2s.", E_UNSUP, "no tensor"),
    ROOT("a wrapper without tensors", "}X\5\0\0\0model}K\1K\2ss.", E_UNSUP, "no tensor"),
    ROOT("a wrapper that is a list", "}X\5\0\0\0model]s.", E_UNSUP, "no tensor"),
    ROOT("a wrapper that is itself", "}q\0X\5\0\0\0modelh\0s.", E_UNSUP, "no tensor"),
    ROOT("os.system", "cos\nsystem\nX\2\0\0\0ls\x85R.", E_UNSUP, "global os.system"),
    ROOT("builtins.eval",
         "cbuiltins\neval\nX\1\0\0\0"
         "1\x85R.",
         E_UNSUP, "builtins.eval"),
    ROOT("posix.system by STACK_GLOBAL", "\x8c\5posix\x8c\6system\x93.", E_UNSUP, "posix.system"),
    ROOT("no STOP", "}", E_FORMAT, "without STOP"),
    ROOT("bytes after STOP", "}.}", E_FORMAT, "after STOP"),
};

static void checkpoints_that_are_no_dict_of_tensors_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_roots / sizeof *bad_roots; i++) {
        buffer     pickle = {0};
        pth_result r;
        pickle_begin(&pickle, 2);
        buffer_put(&pickle, bad_roots[i].text, bad_roots[i].bytes);
        open_pickle(&pickle, &r);
        pth_expect(bad_roots[i].what, &r, bad_roots[i].status, bad_roots[i].needle);
        buffer_free(&pickle);
    }
}

static void a_tensor_whose_key_is_no_text_is_refused(void **state)
{
    buffer     pickle = {0};
    pth_tensor t      = two[0];
    pth_result r;
    (void)state;
    t.name = NULL;
    pickle_begin(&pickle, 2);
    buffer_text(&pickle, "}K\7");
    pickle_tensor(&pickle, &t);
    buffer_text(&pickle, "s.");
    open_pickle(&pickle, &r);
    pth_expect("int key", &r, FIL_E_FORMAT, "name is a int");
    buffer_free(&pickle);
}

/* One item of the archive replaced. */
static const struct {
    const char *what;
    int         item;
    zip_item    with;
    fil_status  status;
    const char *needle;
} bad_items[] = {
    {"no data.pkl", PKL, {"m/data.pki", "", 0}, FIL_E_FORMAT, "no FOLDER/data.pkl"},
    {"data.pkl without folder", PKL, {"data.pkl", "", 0}, FIL_E_FORMAT, "no FOLDER/data.pkl"},
    {"data.pkl too deep", PKL, {"m/n/data.pkl", "", 0}, FIL_E_FORMAT, "no FOLDER/data.pkl"},
    {"data.pkl in another folder", PKL, {"n/data.pkl", NULL, 0}, FIL_E_FORMAT, "no storage data/0"},
    {"two data.pkl", VERSION, {"n/data.pkl", "", 0}, FIL_E_FORMAT, "two data.pkl"},
    {"data.pkl twice", VERSION, {"m/data.pkl", "", 0}, FIL_E_FORMAT, "is there twice"},
    {"empty data.pkl", PKL, {"m/data.pkl", "", 0}, FIL_E_FORMAT, "no PROTO"},
    {"big-endian", BYTEORDER, {"m/byteorder", "big", 3}, FIL_E_UNSUP, "byteorder is 'big'"},
    {"empty byteorder", BYTEORDER, {"m/byteorder", "", 0}, FIL_E_FORMAT, "byteorder is ''"},
    {"other byteorder", BYTEORDER, {"m/byteorder", "middle", 6}, FIL_E_FORMAT, "is 'middle'"},
    {"long byteorder", BYTEORDER, {"m/byteorder", bytes_a, 24}, FIL_E_FORMAT, "has 24 bytes"},
    {"storage missing", DATA0, {"m/data/9", bytes_a, 24}, FIL_E_FORMAT, "no storage data/0"},
    {"storage 1 byte short", DATA0, {"m/data/0", bytes_a, 23}, FIL_E_FORMAT, "has 23 bytes"},
    {"storage empty", DATA1, {"m/data/1", "", 0}, FIL_E_FORMAT, "'b': storage data/1 has 0"},
    {"path in the archive", VERSION, {"../version", "", 0}, FIL_E_FORMAT, "no plain"},
};

static void archives_with_missing_or_odd_entries_are_refused(void **state)
{
    buffer pickle = {0};
    (void)state;
    pickle_tensors(&pickle, two, 2);
    for (size_t i = 0; i < sizeof bad_items / sizeof *bad_items; i++) {
        zip_item   items[N_ITEMS];
        buffer     file = {0};
        pth_result r;
        make_items(items, &pickle);
        items[bad_items[i].item] = bad_items[i].with;
        if (bad_items[i].with.data == NULL) {
            items[PKL].data  = pickle.data;
            items[PKL].bytes = pickle.bytes;
        }
        zip_make(&file, ZIP_TORCH, items, N_ITEMS, NULL);
        pth_open(&file, NULL, &r);
        pth_expect(bad_items[i].what, &r, bad_items[i].status, bad_items[i].needle);
        buffer_free(&file);
    }
    buffer_free(&pickle);
}

static void data_pkl_larger_than_header_bytes_is_refused(void **state)
{
    buffer      file   = {0};
    buffer      pickle = {0};
    pth_result  r;
    fil_options opt;
    (void)state;
    fil_options_init(&opt);
    pickle_tensors(&pickle, two, 2);
    make_around(&file, &pickle, NULL);
    /* The directory of these five entries is smaller than their pickle. */
    opt.limits.header_bytes = pickle.bytes;
    pth_open(&file, &opt.limits, &r);
    pth_expect("at the limit", &r, FIL_OK, "");
    opt.limits.header_bytes--;
    pth_open(&file, &opt.limits, &r);
    pth_expect("1 over", &r, FIL_E_LIMIT, "data.pkl has");
    buffer_free(&file);
    buffer_free(&pickle);
}

static void a_damaged_data_pkl_is_refused_by_its_crc(void **state)
{
    buffer     file = {0};
    zip_map    map;
    pth_result r;
    (void)state;
    make_tensors(&file, two, 2, &map);
    file.data[map.data[PKL] + 12] ^= 4;
    pth_open(&file, NULL, &r);
    pth_expect("damaged", &r, FIL_E_FORMAT, "'m/data.pkl' is damaged");
    buffer_free(&file);
}

/* ---- every truncation, every bit ------------------------------------------------------------ */

static void every_truncation_of_a_small_file_is_refused(void **state)
{
    buffer file = {0};
    (void)state;
    make_tensors(&file, two, 2, NULL);
    for (size_t n = 0; n < file.bytes; n++) {
        buffer     exact = {0};
        pth_result r;
        buffer_put(&exact, file.data, n);
        pth_open(&exact, NULL, &r);
        pth_expect("truncated", &r, FIL_E_FORMAT, "zip: ");
        buffer_free(&exact);
    }
    print_message("%zu truncations\n", file.bytes);
    buffer_free(&file);
}

static int is_refusal(fil_status status)
{
    return status == FIL_E_FORMAT || status == FIL_E_UNSUP || status == FIL_E_LIMIT;
}

static void every_bit_flip_of_a_small_file_is_refused_or_means_the_same(void **state)
{
    buffer     file = {0};
    size_t     kept = 0;
    pth_result good;
    pth_result r;
    (void)state;
    make_tensors(&file, two, 2, NULL);
    pth_open(&file, NULL, &good);
    for (size_t bit = 0; bit < file.bytes * 8; bit++) {
        file.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        pth_open(&file, NULL, &r);
        file.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        kept += r.status == FIL_OK;
        if (!is_refusal(r.status) && !pth_same(&r, &good))
            fail_msg("bit %zu of byte %zu: %s %s", bit % 8, bit / 8, fil_status_name(r.status),
                     r.message);
    }
    print_message("%zu flips, %zu without effect\n", file.bytes * 8, kept);
    buffer_free(&file);
}

/* Every tensor lies inside the data of a storage. */
static int in_storages(const pth_result *r, const zip_map *map)
{
    for (size_t i = 0; i < r->n_tensors; i++) {
        const fili_entry *e    = &r->entries[i];
        const uint64_t    a    = map->data[DATA0];
        const uint64_t    b    = map->data[DATA1];
        const int         in_a = e->offset >= a && e->offset + e->bytes <= a + sizeof bytes_a;
        const int         in_b = e->offset >= b && e->offset + e->bytes <= b + sizeof bytes_b;
        if (!in_a && !in_b) return 0;
    }
    return 1;
}

static void every_bit_flip_of_the_pickle_behind_a_true_crc_stays_inside_the_storages(void **state)
{
    buffer pickle = {0};
    buffer file   = {0};
    size_t opened = 0;
    (void)state;
    pickle_tensors(&pickle, two, 2);
    for (size_t bit = 0; bit < pickle.bytes * 8; bit++) {
        zip_map    map;
        pth_result r;
        pickle.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        make_around(&file, &pickle, &map);
        pickle.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        pth_open(&file, NULL, &r);
        opened += r.status == FIL_OK;
        if (!is_refusal(r.status) && !(r.status == FIL_OK && in_storages(&r, &map)))
            fail_msg("bit %zu of byte %zu: %s %s", bit % 8, bit / 8, fil_status_name(r.status),
                     r.message);
    }
    print_message("%zu flips, %zu are still checkpoints\n", pickle.bytes * 8, opened);
    buffer_free(&pickle);
    buffer_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_listed_with_dtype_shape_and_position),
        cmocka_unit_test(plain_archives_and_those_without_byteorder_are_read),
        cmocka_unit_test(offsets_count_elements_and_tied_tensors_share_bytes),
        cmocka_unit_test(sizes_of_1_and_0_free_the_strides),
        cmocka_unit_test(a_storage_may_be_longer_than_promised),
        cmocka_unit_test(wrappers_of_one_level_are_opened),
        cmocka_unit_test(leaves_beside_tensors_are_ignored),
        cmocka_unit_test(tensors_outside_the_rules_are_refused_by_name),
        cmocka_unit_test(a_storage_key_of_any_length_is_only_looked_up),
        cmocka_unit_test(a_name_that_comes_twice_is_refused),
        cmocka_unit_test(names_and_tensors_are_limited),
        cmocka_unit_test(checkpoints_that_are_no_dict_of_tensors_are_refused),
        cmocka_unit_test(a_tensor_whose_key_is_no_text_is_refused),
        cmocka_unit_test(archives_with_missing_or_odd_entries_are_refused),
        cmocka_unit_test(data_pkl_larger_than_header_bytes_is_refused),
        cmocka_unit_test(a_damaged_data_pkl_is_refused_by_its_crc),
        cmocka_unit_test(every_truncation_of_a_small_file_is_refused),
        cmocka_unit_test(every_bit_flip_of_a_small_file_is_refused_or_means_the_same),
        cmocka_unit_test(every_bit_flip_of_the_pickle_behind_a_true_crc_stays_inside_the_storages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
