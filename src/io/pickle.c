/* io/pickle.c: the stack machine of io/pickle.h: one table row and one short function per opcode.
 *
 * No recursion: containers are values on an explicit stack. Work is linear in the pickle's bytes:
 * an opcode looks only at what it reads, and at values that it takes off the stack.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/le.h"
#include "io/pickle_machine.h"

typedef fili_pickle_machine machine;
typedef fili_pickle_value   value;

#define BYTES_PER_TENSOR                                                                           \
    2048u /* a rank-8 tensor with its names and arguments takes about 1,500                        \
           */
#define BYTES_BASE       (1u << 20)
#define SLOTS_PER_TENSOR 64u
#define SLOTS_BASE       65536u

const char *fili_pickle_kind_name(uint32_t kind)
{
    static const char *const names[] = {"mark",   "None",    "bool",  "int",  "float",
                                        "str",    "bytes",   "tuple", "list", "dict",
                                        "global", "storage", "tensor"};
    return kind < sizeof names / sizeof *names ? names[kind] : "?";
}

/* ---- memory and stack ----------------------------------------------------------------------- */

fil_status fili_pickle_take(machine *m, size_t bytes, void **out)
{
    uint64_t cost;
    if (!fili_align_u64(bytes, 64, &cost) || cost > m->room)
        return FIL_FAIL(m->ctx, FIL_E_LIMIT,
                        "pickle: more values than the limit on tensors allows, at byte %zu",
                        fili_pickle_at(m));
    m->room -= cost;
    return fili_arena_alloc(m->arena, bytes, out);
}

/* Grows a table of values so that slot `want` exists; new slots are empty (MARK). */
static fil_status grow(machine *m, value **table, size_t *max, uint64_t want, const char *what)
{
    if (want < *max) return FIL_OK;
    if (want >= m->slots)
        return FIL_FAIL(m->ctx, FIL_E_LIMIT,
                        "pickle: %s slot %llu at byte %zu; the limit is %llu (from tensors and the "
                        "pickle's size)",
                        what, (unsigned long long)want, fili_pickle_at(m),
                        (unsigned long long)m->slots);
    uint64_t next = *max < 32 ? 64 : (uint64_t)*max * 2;
    if (next <= want) next = want + 1;
    if (next > m->slots) next = m->slots;
    void *block = *table;
    FIL_TRY(
        fili_grow(m->ctx, &block, *max * sizeof(value), (size_t)next * sizeof(value), "pickle"));
    *table = block;
    memset(*table + *max, 0, ((size_t)next - *max) * sizeof(value));
    *max = (size_t)next;
    return FIL_OK;
}

fil_status fili_pickle_push(machine *m, value v)
{
    FIL_TRY(grow(m, &m->stack, &m->max_stack, m->n_stack, "stack"));
    m->stack[m->n_stack++] = v;
    return FIL_OK;
}

fil_status fili_pickle_pop(machine *m, value *v)
{
    if (m->n_stack == 0 || m->stack[m->n_stack - 1].kind == FILI_PICKLE_MARK)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: opcode 0x%02x at byte %zu wants a value where the stack has none",
                        *m->op, fili_pickle_at(m));
    *v = m->stack[--m->n_stack];
    return FIL_OK;
}

/* The value under the top `above` ones, of the given kind. Stays on the stack. */
static fil_status peek(machine *m, size_t above, uint32_t kind, value *v)
{
    const bool  there = m->n_stack > above;
    const value top = there ? m->stack[m->n_stack - 1 - above] : (value){.kind = FILI_PICKLE_MARK};
    if (top.kind != kind)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: opcode 0x%02x at byte %zu wants a %s and finds %s", *m->op,
                        fili_pickle_at(m), fili_pickle_kind_name(kind),
                        there ? fili_pickle_kind_name(top.kind) : "nothing");
    *v = top;
    return FIL_OK;
}

/* *n = number of values above the topmost mark. */
static fil_status above_mark(machine *m, size_t *n)
{
    for (size_t i = m->n_stack; i > 0; i--) {
        if (m->stack[i - 1].kind != FILI_PICKLE_MARK) continue;
        *n = m->n_stack - i;
        return FIL_OK;
    }
    return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: opcode 0x%02x at byte %zu finds no mark", *m->op,
                    fili_pickle_at(m));
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static fil_status take_bytes(machine *m, uint64_t n, const unsigned char **out)
{
    if (n > (uint64_t)(m->end - m->at))
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: opcode 0x%02x at byte %zu wants %llu bytes, %zu are left", *m->op,
                        fili_pickle_at(m), (unsigned long long)n, (size_t)(m->end - m->at));
    *out = m->at;
    m->at += n;
    return FIL_OK;
}

/* An unsigned little-endian number of 1, 2, 4 or 8 bytes. */
static fil_status take_number(machine *m, unsigned width, uint64_t *out)
{
    const unsigned char *p;
    FIL_TRY(take_bytes(m, width, &p));
    *out = 0;
    for (unsigned i = width; i > 0; i--)
        *out = *out << 8 | p[i - 1];
    return FIL_OK;
}

/* The bytes up to the next line feed, which is taken too. */
static fil_status take_line(machine *m, const char **line, size_t *bytes)
{
    const size_t         left = (size_t)(m->end - m->at);
    const unsigned char *feed = left > 0 ? memchr(m->at, '\n', left) : NULL;
    if (feed == NULL)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: the line at byte %zu does not end",
                        fili_pickle_at(m));
    *line  = (const char *)m->at;
    *bytes = (size_t)(feed - m->at);
    m->at  = feed + 1;
    return FIL_OK;
}

static value integer(int64_t i)
{
    return (value){.kind = FILI_PICKLE_INT, .u.integer = i};
}

/* ---- opcodes: plain values ------------------------------------------------------------------ */

static fil_status op_constant(machine *m, unsigned kind)
{
    return fili_pickle_push(m, (value){.kind = kind});
}

static fil_status op_bool(machine *m, unsigned truth)
{
    return fili_pickle_push(m, (value){.kind = FILI_PICKLE_BOOL, .u.integer = truth});
}

/* BININT1 and BININT2 are unsigned, BININT is signed. */
static fil_status op_int(machine *m, unsigned width)
{
    uint64_t u;
    FIL_TRY(take_number(m, width, &u));
    return fili_pickle_push(m, integer(width == 4 ? (int32_t)(uint32_t)u : (int64_t)u));
}

/* Two's complement of as many bytes as a length of `width` bytes says. */
static fil_status op_long(machine *m, unsigned width)
{
    uint64_t             n;
    const unsigned char *p;
    FIL_TRY(take_number(m, width, &n));
    if (width == 4 && n > INT32_MAX)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: integer at byte %zu has a negative length",
                        fili_pickle_at(m));
    FIL_TRY(take_bytes(m, n, &p));
    if (n > 8)
        return FIL_FAIL(m->ctx, FIL_E_UNSUP,
                        "pickle: integer at byte %zu has %llu bytes; at most 8 are read",
                        fili_pickle_at(m), (unsigned long long)n);
    uint64_t u = n > 0 && (p[n - 1] & 0x80) != 0 ? UINT64_MAX : 0;
    for (uint64_t i = n; i > 0; i--)
        u = u << 8 | p[i - 1];
    return fili_pickle_push(m, integer((int64_t)u));
}

static fil_status op_float(machine *m, unsigned unused)
{
    const unsigned char *p;
    uint64_t             bits = 0;
    value                v    = {.kind = FILI_PICKLE_REAL};
    (void)unused;
    FIL_TRY(take_bytes(m, 8, &p));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i]; /* big-endian, alone among the opcodes */
    memcpy(&v.u.real, &bits, sizeof bits);
    return fili_pickle_push(m, v);
}

/* code: kind * 16 + width of the length. */
static fil_status op_text(machine *m, unsigned code)
{
    uint64_t             n;
    const unsigned char *p;
    FIL_TRY(take_number(m, code % 16, &n));
    FIL_TRY(take_bytes(m, n, &p));
    return fili_pickle_push(
        m, (value){.kind = code / 16, .length = (uint32_t)n, .u.text = (const char *)p});
}

/* ---- opcodes: containers -------------------------------------------------------------------- */

/* The top n values become one tuple; below them `marks` marks are dropped. */
static fil_status make_tuple(machine *m, size_t n, size_t marks)
{
    value v = {.kind = FILI_PICKLE_TUPLE, .length = (uint32_t)n};
    void *items;
    FIL_TRY(fili_pickle_take(m, n * sizeof(value), &items));
    if (n > 0) memcpy(items, m->stack + m->n_stack - n, n * sizeof(value));
    v.u.items = items;
    m->n_stack -= n + marks;
    return fili_pickle_push(m, v);
}

static fil_status op_tuple(machine *m, unsigned unused)
{
    size_t n;
    (void)unused;
    FIL_TRY(above_mark(m, &n));
    return make_tuple(m, n, 1);
}

static fil_status op_tuple_n(machine *m, unsigned n)
{
    for (size_t i = 0; i < n; i++)
        if (m->n_stack <= i || m->stack[m->n_stack - 1 - i].kind == FILI_PICKLE_MARK)
            return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                            "pickle: a tuple of %u at byte %zu finds %zu values", n,
                            fili_pickle_at(m), i);
    return make_tuple(m, n, 0);
}

static fil_status op_dict(machine *m, unsigned unused)
{
    void *block;
    (void)unused;
    FIL_TRY(fili_pickle_take(m, sizeof(fili_pickle_dict), &block));
    fili_pickle_dict *d = block;
    *d                  = (fili_pickle_dict){0};
    return fili_pickle_push(m, (value){.kind = FILI_PICKLE_DICT, .u.dict = d});
}

static fil_status grow_dict(machine *m, fili_pickle_dict *d, size_t more)
{
    const size_t need = d->n_pairs + more; /* both bounded by slots */
    void        *block;
    if (need <= d->max_pairs) return FIL_OK;
    const size_t max = need > 2 * d->max_pairs ? need : 2 * d->max_pairs;
    FIL_TRY(fili_pickle_take(m, max * sizeof *d->pairs, &block));
    if (d->n_pairs > 0) memcpy(block, d->pairs, d->n_pairs * sizeof *d->pairs);
    d->pairs     = block;
    d->max_pairs = max;
    return FIL_OK;
}

/* The top n values (key, value, key, value ...) go into the dict under them and `marks` marks. */
static fil_status set_items(machine *m, size_t n, size_t marks)
{
    value dict;
    FIL_TRY(peek(m, n + marks, FILI_PICKLE_DICT, &dict));
    fili_pickle_dict *d = dict.u.dict;
    if (n % 2 != 0)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: SETITEMS at byte %zu has a key without value", fili_pickle_at(m));
    FIL_TRY(grow_dict(m, d, n / 2));
    const value *v = m->stack + m->n_stack - n;
    for (size_t i = 0; i < n; i += 2)
        d->pairs[d->n_pairs++] = (fili_pickle_pair){.key = v[i], .value = v[i + 1]};
    m->n_stack -= n + marks;
    return FIL_OK;
}

static fil_status op_setitem(machine *m, unsigned unused)
{
    value top[2];
    (void)unused;
    FIL_TRY(fili_pickle_pop(m, &top[1]));
    FIL_TRY(fili_pickle_pop(m, &top[0]));
    m->n_stack += 2; /* both are values, no marks */
    return set_items(m, 2, 0);
}

static fil_status op_setitems(machine *m, unsigned unused)
{
    size_t n;
    (void)unused;
    FIL_TRY(above_mark(m, &n));
    return set_items(m, n, 1);
}

/* A list keeps nothing: no tensor of a checkpoint is reached through one. */
static fil_status op_append(machine *m, unsigned unused)
{
    value item;
    value list;
    (void)unused;
    FIL_TRY(fili_pickle_pop(m, &item));
    return peek(m, 0, FILI_PICKLE_LIST, &list);
}

static fil_status op_appends(machine *m, unsigned unused)
{
    size_t n;
    value  list;
    (void)unused;
    FIL_TRY(above_mark(m, &n));
    FIL_TRY(peek(m, n + 1, FILI_PICKLE_LIST, &list));
    m->n_stack -= n + 1;
    return FIL_OK;
}

/* ---- opcodes: memo -------------------------------------------------------------------------- */

static fil_status put(machine *m, uint64_t slot)
{
    value v;
    FIL_TRY(fili_pickle_pop(m, &v));
    m->n_stack++; /* stays on the stack */
    FIL_TRY(grow(m, &m->memo, &m->max_memo, slot, "memo"));
    if (m->memo[slot].kind == FILI_PICKLE_MARK) m->n_memo++;
    m->memo[slot] = v;
    return FIL_OK;
}

static fil_status op_put(machine *m, unsigned width)
{
    uint64_t slot;
    FIL_TRY(take_number(m, width, &slot));
    return put(m, slot);
}

static fil_status op_memoize(machine *m, unsigned unused)
{
    (void)unused;
    return put(m, m->n_memo);
}

static fil_status op_get(machine *m, unsigned width)
{
    uint64_t slot;
    FIL_TRY(take_number(m, width, &slot));
    if (slot >= m->max_memo || m->memo[slot].kind == FILI_PICKLE_MARK)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: memo slot %llu at byte %zu is empty",
                        (unsigned long long)slot, fili_pickle_at(m));
    return fili_pickle_push(m, m->memo[slot]);
}

/* ---- opcodes: globals and what is made of them ---------------------------------------------- */

static fil_status op_global(machine *m, unsigned unused)
{
    const char *module;
    const char *name;
    size_t      module_bytes;
    size_t      name_bytes;
    value       v;
    (void)unused;
    FIL_TRY(take_line(m, &module, &module_bytes));
    FIL_TRY(take_line(m, &name, &name_bytes));
    FIL_TRY(fili_pickle_global(m, module, module_bytes, name, name_bytes, &v));
    return fili_pickle_push(m, v);
}

static fil_status op_stack_global(machine *m, unsigned unused)
{
    value name;
    value module;
    value v;
    (void)unused;
    FIL_TRY(fili_pickle_pop(m, &name));
    FIL_TRY(fili_pickle_pop(m, &module));
    if (name.kind != FILI_PICKLE_TEXT || module.kind != FILI_PICKLE_TEXT)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: STACK_GLOBAL at byte %zu finds a %s and a %s; expected two str",
                        fili_pickle_at(m), fili_pickle_kind_name(module.kind),
                        fili_pickle_kind_name(name.kind));
    FIL_TRY(fili_pickle_global(m, module.u.text, module.length, name.u.text, name.length, &v));
    return fili_pickle_push(m, v);
}

static fil_status op_persistent(machine *m, unsigned unused)
{
    value id;
    value v;
    (void)unused;
    FIL_TRY(fili_pickle_pop(m, &id));
    FIL_TRY(fili_pickle_persistent(m, id, &v));
    return fili_pickle_push(m, v);
}

static fil_status op_reduce(machine *m, unsigned unused)
{
    value args;
    value function;
    value v;
    (void)unused;
    FIL_TRY(fili_pickle_pop(m, &args));
    FIL_TRY(fili_pickle_pop(m, &function));
    FIL_TRY(fili_pickle_call(m, function, args, &v));
    return fili_pickle_push(m, v);
}

/* state_dict() hangs its version numbers on the OrderedDict as an attribute: dropped. */
static fil_status op_build(machine *m, unsigned unused)
{
    value state;
    value object;
    (void)unused;
    FIL_TRY(fili_pickle_pop(m, &state));
    FIL_TRY(fili_pickle_pop(m, &object));
    if (object.kind != FILI_PICKLE_DICT || !object.u.dict->ordered ||
        state.kind != FILI_PICKLE_DICT)
        return FIL_FAIL(m->ctx, FIL_E_UNSUP,
                        "refused: BUILD at byte %zu sets the state of a %s from a %s; only an "
                        "OrderedDict may have one, a dict",
                        fili_pickle_at(m), fili_pickle_kind_name(object.kind),
                        fili_pickle_kind_name(state.kind));
    return fili_pickle_push(m, object);
}

/* ---- opcodes: frame of the pickle ----------------------------------------------------------- */

static fil_status op_mark(machine *m, unsigned unused)
{
    (void)unused;
    return fili_pickle_push(m, (value){.kind = FILI_PICKLE_MARK});
}

/* A hint for buffering. Its length must be true, or some reader would see other bytes. */
static fil_status op_frame(machine *m, unsigned unused)
{
    uint64_t n;
    (void)unused;
    FIL_TRY(take_number(m, 8, &n));
    if (n > (uint64_t)(m->end - m->at))
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: frame of %llu bytes at byte %zu ends beyond the pickle",
                        (unsigned long long)n, fili_pickle_at(m));
    return FIL_OK;
}

static fil_status op_stop(machine *m, unsigned unused)
{
    (void)unused;
    m->stopped = true;
    return FIL_OK;
}

typedef struct opcode {
    fil_status (*run)(machine *m, unsigned argument);
    unsigned argument;
} opcode;

static const opcode opcodes[256] = {
    ['N']  = {op_constant, FILI_PICKLE_NONE},       /* NONE */
    [0x88] = {op_bool, 1},                          /* NEWTRUE */
    [0x89] = {op_bool, 0},                          /* NEWFALSE */
    ['K']  = {op_int, 1},                           /* BININT1 */
    ['M']  = {op_int, 2},                           /* BININT2 */
    ['J']  = {op_int, 4},                           /* BININT */
    [0x8a] = {op_long, 1},                          /* LONG1 */
    [0x8b] = {op_long, 4},                          /* LONG4 */
    ['G']  = {op_float, 0},                         /* BINFLOAT */
    [0x8c] = {op_text, FILI_PICKLE_TEXT * 16 + 1},  /* SHORT_BINUNICODE */
    ['X']  = {op_text, FILI_PICKLE_TEXT * 16 + 4},  /* BINUNICODE */
    ['C']  = {op_text, FILI_PICKLE_BYTES * 16 + 1}, /* SHORT_BINBYTES */
    ['B']  = {op_text, FILI_PICKLE_BYTES * 16 + 4}, /* BINBYTES */
    [')']  = {op_tuple_n, 0},                       /* EMPTY_TUPLE */
    [0x85] = {op_tuple_n, 1},                       /* TUPLE1 */
    [0x86] = {op_tuple_n, 2},                       /* TUPLE2 */
    [0x87] = {op_tuple_n, 3},                       /* TUPLE3 */
    ['t']  = {op_tuple, 0},                         /* TUPLE */
    [']']  = {op_constant, FILI_PICKLE_LIST},       /* EMPTY_LIST */
    ['a']  = {op_append, 0},                        /* APPEND */
    ['e']  = {op_appends, 0},                       /* APPENDS */
    ['}']  = {op_dict, 0},                          /* EMPTY_DICT */
    ['s']  = {op_setitem, 0},                       /* SETITEM */
    ['u']  = {op_setitems, 0},                      /* SETITEMS */
    ['q']  = {op_put, 1},                           /* BINPUT */
    ['r']  = {op_put, 4},                           /* LONG_BINPUT */
    [0x94] = {op_memoize, 0},                       /* MEMOIZE */
    ['h']  = {op_get, 1},                           /* BINGET */
    ['j']  = {op_get, 4},                           /* LONG_BINGET */
    ['c']  = {op_global, 0},                        /* GLOBAL */
    [0x93] = {op_stack_global, 0},                  /* STACK_GLOBAL */
    ['Q']  = {op_persistent, 0},                    /* BINPERSID */
    ['R']  = {op_reduce, 0},                        /* REDUCE */
    ['b']  = {op_build, 0},                         /* BUILD */
    ['(']  = {op_mark, 0},                          /* MARK */
    [0x95] = {op_frame, 0},                         /* FRAME */
    ['.']  = {op_stop, 0},                          /* STOP */
};

/* ---- the machine ---------------------------------------------------------------------------- */

/* PROTO must come first, and once: protocols 0 and 1 have none, and are not read. */
static fil_status read_protocol(machine *m)
{
    if (m->end - m->begin < 2 || m->begin[0] != 0x80)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: the first byte is no PROTO; expected a pickle of protocol 2 to 5");
    if (m->begin[1] < 2 || m->begin[1] > 5)
        return FIL_FAIL(m->ctx, FIL_E_UNSUP, "pickle: protocol %u; expected 2 to 5", m->begin[1]);
    m->at = m->begin + 2;
    return FIL_OK;
}

/* A legal opcode that no checkpoint needs, or a byte that is none. */
static fil_status refuse_opcode(machine *m)
{
    /* POP POP_MARK DUP FLOAT INT LONG PERSID STRING BINSTRING SHORT_BINSTRING UNICODE DICT GET INST
     * LIST OBJ PUT; NEWOBJ EXT1 EXT2 EXT4; BINUNICODE8 BINBYTES8 EMPTY_SET ADDITEMS FROZENSET
     * NEWOBJ_EX; BYTEARRAY8 NEXT_BUFFER READONLY_BUFFER */
    static const char legal[] = "012FILPSTUVdgilop"
                                "\x81\x82\x83\x84\x8d\x8e\x8f\x90\x91\x92\x96\x97\x98";
    if (memchr(legal, *m->op, sizeof legal - 1) != NULL)
        return FIL_FAIL(m->ctx, FIL_E_UNSUP,
                        "refused: pickle opcode 0x%02x at byte %zu; a checkpoint of protocol 2 to "
                        "5 does not need it, and nothing was executed",
                        *m->op, fili_pickle_at(m));
    return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: 0x%02x at byte %zu is no opcode", *m->op,
                    fili_pickle_at(m));
}

static fil_status run(machine *m)
{
    FIL_TRY(read_protocol(m));
    while (!m->stopped) {
        m->op = m->at;
        if (m->at == m->end)
            return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: ends without STOP after %zu bytes",
                            fili_pickle_at(m));
        const opcode *o = &opcodes[*m->at++];
        if (o->run == NULL) return refuse_opcode(m);
        FIL_TRY(o->run(m, o->argument));
    }
    if (m->at != m->end)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: %zu bytes after STOP",
                        (size_t)(m->end - m->at));
    if (m->n_stack != 1 || m->stack[0].kind == FILI_PICKLE_MARK)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: STOP with %zu values; expected 1",
                        m->n_stack);
    return FIL_OK;
}

fil_status fili_pickle_parse(fil_ctx *ctx, const void *data, size_t bytes, fili_pickle *pickle)
{
    const uint64_t tensors = ctx->opt.limits.tensors; /* <= 2^24 */
    const uint64_t slots   = tensors * SLOTS_PER_TENSOR + SLOTS_BASE;
    machine        m       = {.ctx   = ctx,
                              .arena = &pickle->arena,
                              .begin = data,
                              .at    = data,
                              .op    = data,
                              .end   = data,
                              .slots = bytes < slots ? bytes : slots,
                              .room  = tensors * BYTES_PER_TENSOR + BYTES_BASE};
    fili_arena_init(&pickle->arena, ctx, "pickle", 0);
    if (bytes > UINT32_MAX)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "pickle: %zu bytes; at most 2^32 - 1 are read", bytes);
    if (bytes > 0) m.end = m.begin + bytes;
    const fil_status status = run(&m);
    if (status == FIL_OK) pickle->root = m.stack[0];
    fili_free(ctx, m.stack, m.max_stack * sizeof *m.stack);
    fili_free(ctx, m.memo, m.max_memo * sizeof *m.memo);
    if (status != FIL_OK) fili_pickle_fini(pickle);
    return status;
}

void fili_pickle_fini(fili_pickle *pickle)
{
    fili_arena_fini(&pickle->arena);
}
