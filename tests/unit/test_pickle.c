/* tests/unit/test_pickle.c: the pickle machine: what it builds, what it refuses, what it bounds.
 * Pickles are written out as bytes or by tests/support/pth_make.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "io/pickle.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/pth_make.h"

typedef struct bench {
    fil_ctx    *ctx;
    fili_pickle pickle;
    fil_status  status;
} bench;

static void parse_limited(bench *t, const void *data, size_t bytes, uint64_t tensors)
{
    fil_options opt;
    fil_options_init(&opt);
    opt.limits.tensors = tensors;
    assert_int_equal(fil_ctx_open(&t->ctx, &opt), FIL_OK);
    t->status = fili_pickle_parse(t->ctx, data, bytes, &t->pickle);
    assert_int_equal(t->status, fil_ctx_error(t->ctx)->status);
}

static void parse(bench *t, const void *data, size_t bytes)
{
    parse_limited(t, data, bytes, 65536);
}

static void close_bench(bench *t)
{
    if (t->status == FIL_OK) fili_pickle_fini(&t->pickle);
    assert_int_equal(fil_ctx_memory(t->ctx).used, 0);
    fil_ctx_close(&t->ctx);
}

static void expect(const char *what, const void *data, size_t bytes, fil_status status,
                   const char *needle)
{
    bench t;
    parse(&t, data, bytes);
    const char *message = fil_ctx_error(t.ctx)->message;
    if (t.status != status || strstr(message, needle) == NULL)
        fail_msg("%s: got %s '%s', expected %s '...%s...'", what, fil_status_name(t.status),
                 message, fil_status_name(status), needle);
    close_bench(&t);
}

/* ---- what it builds ------------------------------------------------------------------------- */

/* Parses a pickle of one value; the caller closes. */
#define ONE(t, text) parse((t), "\x80\x02" text ".", sizeof("\x80\x02" text ".") - 1)

static void integers_of_every_width_keep_value_and_sign(void **state)
{
    static const struct {
        const char *op;
        size_t      bytes;
        int64_t     value;
    } rows[] = {
        {"K\xff", 2, 255},
        {"M\xff\xff", 3, 65535},
        {"J\xff\xff\xff\xff", 5, -1},
        {"J\x00\x00\x00\x80", 5, INT32_MIN},
        {"J\xff\xff\xff\x7f", 5, INT32_MAX},
        {"\x8a\x00", 2, 0},
        {"\x8a\x01\xff", 3, -1},
        {"\x8a\x05\x00\x00\x00\x00\x01", 7, 1ll << 32},
        {"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 10, INT64_MAX},
        {"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80", 10, INT64_MIN},
        {"\x8b\x02\x00\x00\x00\x00\x80", 7, -32768},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buffer b = {0};
        bench  t;
        pickle_begin(&b, 2);
        buffer_put(&b, rows[i].op, rows[i].bytes);
        buffer_text(&b, ".");
        parse(&t, b.data, b.bytes);
        assert_int_equal(t.status, FIL_OK);
        assert_int_equal(t.pickle.root.kind, FILI_PICKLE_INT);
        assert_true(t.pickle.root.u.integer == rows[i].value);
        close_bench(&t);
        buffer_free(&b);
    }
}

static void constants_floats_and_texts_keep_their_values(void **state)
{
    bench t;
    (void)state;
    ONE(&t, "N");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_NONE);
    close_bench(&t);
    ONE(&t, "\x88");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_BOOL);
    assert_int_equal(t.pickle.root.u.integer, 1);
    close_bench(&t);
    ONE(&t, "G\x3f\xf8\x00\x00\x00\x00\x00\x00");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_REAL);
    assert_true(t.pickle.root.u.real == 1.5);
    close_bench(&t);
    ONE(&t, "X\x02\x00\x00\x00hi");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_TEXT);
    assert_int_equal(t.pickle.root.length, 2);
    assert_memory_equal(t.pickle.root.u.text, "hi", 2);
    close_bench(&t);
    ONE(&t, "\x8c\x02hi");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_TEXT);
    assert_int_equal(t.pickle.root.length, 2);
    close_bench(&t);
    ONE(&t, "C\x01z");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_BYTES);
    close_bench(&t);
}

static void tuples_keep_their_items_in_order(void **state)
{
    bench t;
    (void)state;
    ONE(&t, "(K\x01K\x02K\x03K\x04t");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_TUPLE);
    assert_int_equal(t.pickle.root.length, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(t.pickle.root.u.items[i].u.integer, i + 1);
    close_bench(&t);
    ONE(&t, "K\x01K\x02K\x03\x87");
    assert_int_equal(t.pickle.root.length, 3);
    assert_int_equal(t.pickle.root.u.items[2].u.integer, 3);
    close_bench(&t);
    ONE(&t, ")");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_TUPLE);
    assert_int_equal(t.pickle.root.length, 0);
    close_bench(&t);
}

static void dicts_grow_by_setitem_and_setitems_and_keep_order(void **state)
{
    bench t;
    (void)state;
    ONE(&t, "}K\x01K\x0bs(K\x02K\x0cK\x03K\x0dK\x04K\x0eu");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_DICT);
    const fili_pickle_dict *d = t.pickle.root.u.dict;
    assert_int_equal(d->n_pairs, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(d->pairs[i].key.u.integer, i + 1);
        assert_int_equal(d->pairs[i].value.u.integer, i + 11);
    }
    close_bench(&t);
}

static void lists_are_checked_and_forgotten(void **state)
{
    bench t;
    (void)state;
    ONE(&t, "]K\x01"
            "a(K\x02K\x03"
            "e");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_LIST);
    close_bench(&t);
}

static void the_memo_gives_back_what_was_put(void **state)
{
    bench t;
    (void)state;
    ONE(&t, "K\x07q\x05h\x05h\x05\x87");
    assert_int_equal(t.pickle.root.u.items[2].u.integer, 7);
    close_bench(&t);
    ONE(&t, "K\x07r\x02\x00\x00\x00j\x02\x00\x00\x00\x86");
    assert_int_equal(t.pickle.root.u.items[1].u.integer, 7);
    close_bench(&t);
    ONE(&t, "K\x07\x94K\x08\x94h\x00\x87");
    assert_int_equal(t.pickle.root.u.items[2].u.integer, 7);
    close_bench(&t);
}

static void a_tensor_keeps_storage_offset_shape_and_strides(void **state)
{
    static const pth_tensor plain = {.storage  = "BFloat16Storage",
                                     .key      = "17",
                                     .elements = 100,
                                     .offset   = 7,
                                     .rank     = 2,
                                     .shape    = {3, 5},
                                     .stride   = {5, 1}};
    (void)state;
    for (int parameter = 0; parameter < 2; parameter++) {
        buffer     b = {0};
        bench      t;
        pth_tensor want = plain;
        want.parameter  = parameter;
        pickle_begin(&b, 2);
        pickle_tensor(&b, &want);
        buffer_text(&b, ".");
        parse(&t, b.data, b.bytes);
        assert_int_equal(t.status, FIL_OK);
        assert_int_equal(t.pickle.root.kind, FILI_PICKLE_TENSOR);
        const fili_pickle_tensor *got = t.pickle.root.u.tensor;
        assert_int_equal(got->storage->dtype, FIL_BF16);
        assert_int_equal(got->storage->elements, 100);
        assert_int_equal(got->storage->key_bytes, 2);
        assert_memory_equal(got->storage->key, "17", 2);
        assert_int_equal(got->offset, 7);
        assert_int_equal(got->rank, 2);
        assert_true(got->shape[0] == 3 && got->shape[1] == 5);
        assert_true(got->stride[0] == 5 && got->stride[1] == 1);
        close_bench(&t);
        buffer_free(&b);
    }
}

static void every_storage_class_has_its_dtype(void **state)
{
    static const struct {
        const char *name;
        fil_dtype   dtype;
    } rows[] = {{"DoubleStorage", FIL_F64},    {"FloatStorage", FIL_F32},
                {"BFloat16Storage", FIL_BF16}, {"HalfStorage", FIL_F16},
                {"LongStorage", FIL_I64},      {"IntStorage", FIL_I32},
                {"ShortStorage", FIL_I16},     {"CharStorage", FIL_I8},
                {"ByteStorage", FIL_U8},       {"BoolStorage", FIL_BOOL}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const pth_tensor one = {.storage = rows[i].name, .key = "0", .elements = 1};
        buffer           b   = {0};
        bench            t;
        pickle_begin(&b, 2);
        pickle_tensor(&b, &one);
        buffer_text(&b, ".");
        parse(&t, b.data, b.bytes);
        assert_int_equal(t.status, FIL_OK);
        assert_int_equal(t.pickle.root.u.tensor->storage->dtype, rows[i].dtype);
        close_bench(&t);
        buffer_free(&b);
    }
}

static void build_on_an_ordered_dict_drops_the_state(void **state)
{
    bench t;
    (void)state;
    ONE(&t, "ccollections\nOrderedDict\n)RK\x01K\x02s}X\x01\x00\x00\x00mNsb");
    assert_int_equal(t.status, FIL_OK);
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_DICT);
    assert_int_equal(t.pickle.root.u.dict->n_pairs, 1);
    close_bench(&t);
}

static void protocol_4_with_frame_memoize_and_stack_global_is_read(void **state)
{
    bench      t;
    const char pickle[] = "\x80\x04\x95\x21\x00\x00\x00\x00\x00\x00\x00"
                          "\x8c\x0b"
                          "collections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94.";
    (void)state;
    parse(&t, pickle, sizeof pickle - 1);
    assert_string_equal(fil_ctx_error(t.ctx)->message, "");
    assert_int_equal(t.pickle.root.kind, FILI_PICKLE_DICT);
    close_bench(&t);
}

static void a_dict_that_holds_itself_is_read(void **state)
{
    bench t;
    (void)state;
    ONE(&t, "}q\x00K\x01h\x00s");
    assert_int_equal(t.status, FIL_OK);
    const fili_pickle_dict *d = t.pickle.root.u.dict;
    assert_ptr_equal(d->pairs[0].value.u.dict, d);
    close_bench(&t);
}

/* ---- what it refuses ------------------------------------------------------------------------ */

#define OD     "ccollections\nOrderedDict\n"
#define RTV2   "ctorch._utils\n_rebuild_tensor_v2\n"
#define RPARAM "ctorch._utils\n_rebuild_parameter\n"
#define STOR                                                                                       \
    "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"                             \
    "0X\x03\x00\x00\x00"                                                                           \
    "cpuK\x06tQ"

#define BAD(name, text, status, needle)                                                            \
    {                                                                                              \
        name, "\x80\x02" text, sizeof("\x80\x02" text) - 1, FIL_##status, needle                   \
    }
#define RAW(name, text, status, needle)                                                            \
    {                                                                                              \
        name, text, sizeof(text) - 1, FIL_##status, needle                                         \
    }

static const struct {
    const char *name, *text;
    size_t      bytes;
    fil_status  status;
    const char *needle;
} bad[] = {
    RAW("empty", "", E_FORMAT, "no PROTO"),
    RAW("PROTO without number", "\x80", E_FORMAT, "no PROTO"),
    RAW("protocol 0 text", "(dp0\nS'a'\np1\nI1\ns.", E_FORMAT, "no PROTO"),
    RAW("protocol 1", "}q\x00.", E_FORMAT, "no PROTO"),
    RAW("PROTO 0", "\x80\x00N.", E_UNSUP, "protocol 0"),
    RAW("PROTO 1", "\x80\x01N.", E_UNSUP, "protocol 1"),
    RAW("PROTO 6", "\x80\x06N.", E_UNSUP, "protocol 6"),
    BAD("PROTO twice", "\x80\x02N.", E_FORMAT, "0x80 at byte 2 is no opcode"),
    BAD("nothing", "", E_FORMAT, "without STOP"),
    BAD("no STOP", "N", E_FORMAT, "without STOP"),
    BAD("STOP on nothing", ".", E_FORMAT, "STOP with 0"),
    BAD("STOP on two values", "NN.", E_FORMAT, "STOP with 2"),
    BAD("STOP on a mark", "(.", E_FORMAT, "STOP with 1"),
    BAD("a byte after STOP", "N.N", E_FORMAT, "1 bytes after STOP"),
    BAD("a second pickle after STOP", "N.\x80\x02N.", E_FORMAT, "after STOP"),
    BAD("unknown opcode 0x00", "\x00.", E_FORMAT, "no opcode"),
    BAD("unknown opcode 0xff", "\xff.", E_FORMAT, "no opcode"),
    BAD("POP", "NN0.", E_UNSUP, "opcode 0x30"),
    BAD("DUP", "N2.", E_UNSUP, "opcode 0x32"),
    BAD("INT as text", "I1\n.", E_UNSUP, "opcode 0x49"),
    BAD("STRING", "S'a'\n.", E_UNSUP, "opcode 0x53"),
    BAD("PUT as text", "Np0\n.", E_UNSUP, "opcode 0x70"),
    BAD("INST", "(ios\nsystem\n.", E_UNSUP, "opcode 0x69"),
    BAD("OBJ", "(cos\nsystem\no.", E_UNSUP, "global os.system"),
    BAD("NEWOBJ", OD ")\x81.", E_UNSUP, "opcode 0x81"),
    BAD("NEWOBJ_EX", OD ")}\x92.", E_UNSUP, "opcode 0x92"),
    BAD("EXT1", "\x82\x01.", E_UNSUP, "opcode 0x82"),
    BAD("EMPTY_SET", "\x8f.", E_UNSUP, "opcode 0x8f"),
    BAD("PERSID as text", "P0\n.", E_UNSUP, "opcode 0x50"),
    BAD("NEXT_BUFFER", "\x97.", E_UNSUP, "opcode 0x97"),
    BAD("os.system", "cos\nsystem\n(X\x02\x00\x00\x00lstR.", E_UNSUP, "global os.system"),
    BAD("nothing was executed", "cos\nsystem\n.", E_UNSUP, "nothing was executed"),
    BAD("builtins.eval",
        "cbuiltins\neval\n(X\x01\x00\x00\x00"
        "1tR.",
        E_UNSUP, "builtins.eval"),
    BAD("__builtin__.eval", "c__builtin__\neval\n.", E_UNSUP, "__builtin__.eval"),
    BAD("STACK_GLOBAL os.system", "\x8c\x02os\x8c\x06system\x93.", E_UNSUP, "global os.system"),
    BAD("STACK_GLOBAL of a dotted name", "\x8c\x05torch\x8c\x0fos.FloatStorage\x93.", E_UNSUP,
        "torch.os.FloatStorage"),
    BAD("STACK_GLOBAL of ints", "K\x01K\x02\x93.", E_FORMAT, "expected two str"),
    BAD("STACK_GLOBAL of one value", "\x8c\x02os\x93.", E_FORMAT, "wants a value"),
    BAD("global whose name continues", "ctorch\nFloatStorageX\n.", E_UNSUP, "FloatStorageX"),
    BAD("global whose name is cut", "ctorch\nFloatStorag\n.", E_UNSUP, "FloatStorag"),
    BAD("global of another module", "cnumpy\nFloatStorage\n.", E_UNSUP, "numpy.FloatStorage"),
    BAD("a control byte in a global", "cos\x1b[2J\nsystem\n.", E_UNSUP, "os?[2J"),
    BAD("global without lines", "cos", E_FORMAT, "does not end"),
    BAD("global with one line", "cos\nsystem", E_FORMAT, "does not end"),
    BAD("BININT cut", "J\x01\x02", E_FORMAT, "wants 4 bytes, 2 are left"),
    BAD("BINUNICODE beyond the end",
        "X\xff\xff\xff\xff"
        "abc.",
        E_FORMAT, "wants 4294967295"),
    BAD("SHORT_BINUNICODE beyond the end",
        "\x8c\x05"
        "abc.",
        E_FORMAT, "wants 5 bytes"),
    BAD("LONG1 beyond the end", "\x8a\xff\x00.", E_FORMAT, "wants 255 bytes"),
    BAD("LONG1 of 9 bytes", "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.", E_UNSUP, "9 bytes"),
    BAD("LONG4 of negative length", "\x8b\xff\xff\xff\xff.", E_FORMAT, "negative length"),
    BAD("BINFLOAT cut", "G\x00\x00.", E_FORMAT, "wants 8 bytes"),
    BAD("FRAME beyond the end",
        "\x95\xff\xff\xff\xff\xff\xff\xff\xff"
        "N.",
        E_FORMAT, "frame of"),
    BAD("FRAME cut", "\x95\x01.", E_FORMAT, "wants 8 bytes"),
    BAD("TUPLE without mark", "K\x01t.", E_FORMAT, "finds no mark"),
    BAD("TUPLE2 of one", "K\x01\x86.", E_FORMAT, "a tuple of 2"),
    BAD("TUPLE1 of nothing", "\x85.", E_FORMAT, "a tuple of 1"),
    BAD("TUPLE2 across a mark", "K\x01(K\x01\x86.", E_FORMAT, "a tuple of 2"),
    BAD("SETITEM on an empty stack", "s.", E_FORMAT, "wants a value"),
    BAD("SETITEM with one value", "}Ns.", E_FORMAT, "wants a dict"),
    BAD("SETITEM on an int", "K\x01NNs.", E_FORMAT, "wants a dict and finds int"),
    BAD("SETITEMS without mark", "}NNu.", E_FORMAT, "finds no mark"),
    BAD("SETITEMS of three", "}(NNNu.", E_FORMAT, "key without value"),
    BAD("SETITEMS on a list", "](NNu.", E_FORMAT, "wants a dict and finds list"),
    BAD("SETITEMS on nothing", "(NNu.", E_FORMAT, "finds nothing"),
    BAD("APPEND on a dict", "}Na.", E_FORMAT, "wants a list and finds dict"),
    BAD("APPEND of a mark", "](a.", E_FORMAT, "wants a value"),
    BAD("APPENDS on a tuple", ")(NNe.", E_FORMAT, "wants a list and finds tuple"),
    BAD("APPENDS without mark", "]Ne.", E_FORMAT, "finds no mark"),
    BAD("BINPUT on nothing", "q\x00.", E_FORMAT, "wants a value"),
    BAD("BINPUT of a mark", "(q\x00.", E_FORMAT, "wants a value"),
    BAD("MEMOIZE on nothing", "\x94.", E_FORMAT, "wants a value"),
    BAD("BINGET of nothing", "h\x00.", E_FORMAT, "memo slot 0"),
    BAD("BINGET beyond the memo", "Nq\x00h\x01.", E_FORMAT, "memo slot 1"),
    BAD("LONG_BINGET far beyond", "Nq\x00j\xff\xff\xff\xff.", E_FORMAT, "memo slot 4294967295"),
    BAD("LONG_BINPUT far beyond", "Nr\xff\xff\xff\xff.", E_LIMIT, "memo slot 4294967295"),
    BAD("REDUCE on nothing", "R.", E_FORMAT, "wants a value"),
    BAD("REDUCE of an int", "K\x01)R.", E_FORMAT, "on a int and a tuple"),
    BAD("REDUCE with a list", OD "]R.", E_FORMAT, "on a global and a list"),
    BAD("REDUCE of a storage class", "ctorch\nFloatStorage\n)R.", E_UNSUP, "a call of torch.Float"),
    BAD("OrderedDict with arguments", OD "]\x85R.", E_FORMAT, "OrderedDict at byte"),
    BAD("a tensor of nothing", RTV2 ")R.", E_FORMAT, "has 0 values"),
    BAD("a tensor of eight", RTV2 "(NNNNNNNNtR.", E_FORMAT, "has 8 values"),
    BAD("a tensor without storage", RTV2 "(K\x01K\x00))\x89}tR.", E_FORMAT,
        "has a int as its value 1"),
    BAD("a tensor whose offset is text", RTV2 "(" STOR "X\x00\x00\x00\x00))\x89}tR.", E_FORMAT,
        "has a str as its value 2"),
    BAD("a tensor whose shape is a list", RTV2 "(" STOR "K\x00])\x89}tR.", E_FORMAT,
        "has a list as its value 3"),
    BAD("a tensor whose strides are None", RTV2 "(" STOR "K\x00)N\x89}tR.", E_FORMAT,
        "has a None as its value 4"),
    BAD("a tensor whose shape holds a float",
        RTV2 "(" STOR "K\x00G\x3f\xf0\x00\x00\x00\x00\x00\x00\x85K\x01\x85\x89}tR.", E_FORMAT,
        "shape at byte"),
    BAD("a tensor with more strides than dimensions", RTV2 "(" STOR "K\x00)K\x01\x85\x89}tR.",
        E_FORMAT, "0 dimensions, 1 strides"),
    BAD("a tensor with a negative offset", RTV2 "(" STOR "J\xff\xff\xff\xff))\x89}tR.", E_FORMAT,
        "offset -1"),
    BAD("a tensor of rank 9",
        RTV2 "(" STOR "K\x00(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01tq\x00h\x00\x89}tR.",
        E_LIMIT, "9 dimensions"),
    BAD("a conjugate view",
        RTV2 "(" STOR "K\x00))\x89}}X\x04\x00\x00\x00"
             "conj\x88stR.",
        E_UNSUP, "metadata"),
    BAD("a parameter of an int", RPARAM "(K\x01\x88}tR.", E_FORMAT, "has a int as its value 1"),
    BAD("a parameter of two", RPARAM "(K\x01\x88tR.", E_FORMAT, "has 2 values"),
    BAD("persistent id of an int", "K\x01Q.", E_FORMAT, "is a int; expected a tuple"),
    BAD("persistent id of nothing", "Q.", E_FORMAT, "wants a value"),
    BAD("persistent id of two", "NN\x86Q.", E_FORMAT, "persistent id at byte 5 has 2 values"),
    BAD("persistent id without the word storage",
        "(X\x07\x00\x00\x00Storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
        "0X\x03\x00\x00\x00"
        "cpuK\x06tQ.",
        E_FORMAT, "names no storage"),
    BAD("persistent id of a function",
        "(X\x07\x00\x00\x00storagectorch._utils\n_rebuild_tensor_v2\nX\x01\x00\x00\x00"
        "0X\x03\x00\x00\x00"
        "cpuK\x06tQ.",
        E_FORMAT, "names no storage"),
    BAD("persistent id whose key is an int",
        "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nK\x00X\x03\x00\x00\x00"
        "cpuK\x06tQ.",
        E_FORMAT, "has a int as its value 3"),
    BAD("a storage of -1 elements",
        "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
        "0X\x03\x00\x00\x00"
        "cpuJ\xff\xff\xff\xfftQ.",
        E_FORMAT, "has -1 elements"),
    BAD("BUILD on a plain dict", "}}b.", E_UNSUP, "BUILD at byte"),
    BAD("BUILD on an int", "K\x01}b.", E_UNSUP, "BUILD at byte"),
    BAD("BUILD with a tuple", OD ")R)b.", E_UNSUP, "BUILD at byte"),
    BAD("BUILD on nothing", "b.", E_FORMAT, "wants a value"),
};

static void malformed_and_hostile_pickles_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(bad[i].name, bad[i].text, bad[i].bytes, bad[i].status, bad[i].needle);
    print_message("%zu pickles\n", sizeof bad / sizeof *bad);
}

/* ---- what it bounds ------------------------------------------------------------------------- */

/* "\x80\x02" + n times `unit` + `end` */
static void repeat(buffer *b, const char *unit, size_t n, const char *end)
{
    pickle_begin(b, 2);
    for (size_t i = 0; i < n; i++)
        buffer_text(b, unit);
    buffer_text(b, end);
}

static void a_million_nested_tuples_take_no_stack(void **state)
{
    buffer b = {0};
    bench  t;
    (void)state;
    pickle_begin(&b, 2);
    buffer_text(&b, ")");
    buffer_fill(&b, 0x85, 1000000);
    buffer_text(&b, ".");
    parse(&t, b.data, b.bytes);
    assert_int_equal(t.status, FIL_OK);
    close_bench(&t);
    buffer_free(&b);
}

static void memory_is_bounded_by_the_limit_on_tensors(void **state)
{
    static const struct {
        const char *unit;
        size_t      times;
        const char *needle;
    } bombs[] = {
        {"}", 200000, "more values"},
        {"(", 200000, "stack slot"},
        {"N", 200000, "stack slot"},
        {"]]a", 200000, "stack slot"},
        {")\x85\x85\x85", 200000, "more values"},
        {"N\x94", 200000, "stack slot"},
        {"(((((((((((((((", 20000, "stack slot"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        buffer b = {0};
        bench  t;
        repeat(&b, bombs[i].unit, bombs[i].times, ".");
        parse_limited(&t, b.data, b.bytes, 4);
        assert_int_not_equal(t.status, FIL_OK);
        if (strstr(fil_ctx_error(t.ctx)->message, bombs[i].needle) == NULL)
            fail_msg("bomb %zu: %s", i, fil_ctx_error(t.ctx)->message);
        assert_in_range(fil_ctx_memory(t.ctx).peak, 0, 8u << 20);
        close_bench(&t);
        buffer_free(&b);
    }
}

static void a_memo_slot_costs_no_more_than_the_pickle_is_long(void **state)
{
    bench      t;
    const char pickle[] = "\x80\x02Nr\x0b\x00\x00\x00.";
    (void)state;
    parse(&t, pickle, sizeof pickle - 1); /* slot 11 of a pickle of 9 bytes */
    assert_int_equal(t.status, FIL_E_LIMIT);
    close_bench(&t);
}

static void a_dict_that_doubles_itself_ends_at_the_limit(void **state)
{
    buffer b = {0};
    bench  t;
    (void)state;
    /* ((x, x), (x, x)) ... by the memo: 2^64 leaves for a walker, 64 tuples here. */
    pickle_begin(&b, 2);
    buffer_text(&b, ")");
    for (int i = 0; i < 64; i++)
        buffer_text(&b, "q\1h\1\x86");
    buffer_text(&b, ".");
    parse(&t, b.data, b.bytes);
    assert_int_equal(t.status, FIL_OK);
    assert_in_range(fil_ctx_memory(t.ctx).peak, 0, 256u << 10);
    close_bench(&t);
    buffer_free(&b);
}

static void every_truncation_is_refused(void **state)
{
    static const pth_tensor two[] = {{.name     = "a",
                                      .storage  = "FloatStorage",
                                      .key      = "0",
                                      .elements = 6,
                                      .rank     = 2,
                                      .shape    = {2, 3},
                                      .stride   = {3, 1}},
                                     {.name      = "b",
                                      .storage   = "HalfStorage",
                                      .key       = "1",
                                      .elements  = 4,
                                      .rank      = 1,
                                      .shape     = {4},
                                      .stride    = {1},
                                      .parameter = 1}};
    buffer                  b     = {0};
    (void)state;
    pickle_tensors(&b, two, 2);
    for (size_t n = 0; n < b.bytes; n++) {
        bench          t;
        unsigned char *exact = malloc(n + (n == 0)); /* so that a read beyond the end is seen */
        assert_non_null(exact);
        memcpy(exact, b.data, n);
        parse(&t, exact, n);
        assert_int_equal(t.status, FIL_E_FORMAT);
        close_bench(&t);
        free(exact);
    }
    buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_width_keep_value_and_sign),
        cmocka_unit_test(constants_floats_and_texts_keep_their_values),
        cmocka_unit_test(tuples_keep_their_items_in_order),
        cmocka_unit_test(dicts_grow_by_setitem_and_setitems_and_keep_order),
        cmocka_unit_test(lists_are_checked_and_forgotten),
        cmocka_unit_test(the_memo_gives_back_what_was_put),
        cmocka_unit_test(a_tensor_keeps_storage_offset_shape_and_strides),
        cmocka_unit_test(every_storage_class_has_its_dtype),
        cmocka_unit_test(build_on_an_ordered_dict_drops_the_state),
        cmocka_unit_test(protocol_4_with_frame_memoize_and_stack_global_is_read),
        cmocka_unit_test(a_dict_that_holds_itself_is_read),
        cmocka_unit_test(malformed_and_hostile_pickles_are_refused),
        cmocka_unit_test(a_million_nested_tuples_take_no_stack),
        cmocka_unit_test(memory_is_bounded_by_the_limit_on_tensors),
        cmocka_unit_test(a_memo_slot_costs_no_more_than_the_pickle_is_long),
        cmocka_unit_test(a_dict_that_doubles_itself_ends_at_the_limit),
        cmocka_unit_test(every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
