/* io/pickle_torch.c: the globals that a checkpoint may name, and what they stand for.
 *
 * torch.save writes a tensor as
 *     _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks [, metadata])
 * where storage is the persistent id ("storage", class, key, device, elements), and a parameter as
 * _rebuild_parameter(tensor, requires_grad, hooks). No function is called: the arguments are
 * checked and kept. Device, requires_grad and hooks have no meaning for a reader of weights.
 */
#include <string.h>

#include "io/pickle_machine.h"

typedef enum global_kind {
    GLOBAL_ORDERED_DICT,
    GLOBAL_TENSOR,
    GLOBAL_PARAMETER,
    GLOBAL_STORAGE
} global_kind;

static const struct {
    const char *module;
    const char *name;
    global_kind kind;
    fil_dtype   dtype; /* of a storage */
} globals[] = {
    {"collections", "OrderedDict", GLOBAL_ORDERED_DICT, FIL_DTYPE_NONE},
    {"torch._utils", "_rebuild_tensor_v2", GLOBAL_TENSOR, FIL_DTYPE_NONE},
    {"torch._utils", "_rebuild_parameter", GLOBAL_PARAMETER, FIL_DTYPE_NONE},
    {"torch", "DoubleStorage", GLOBAL_STORAGE, FIL_F64},
    {"torch", "FloatStorage", GLOBAL_STORAGE, FIL_F32},
    {"torch", "BFloat16Storage", GLOBAL_STORAGE, FIL_BF16},
    {"torch", "HalfStorage", GLOBAL_STORAGE, FIL_F16},
    {"torch", "LongStorage", GLOBAL_STORAGE, FIL_I64},
    {"torch", "IntStorage", GLOBAL_STORAGE, FIL_I32},
    {"torch", "ShortStorage", GLOBAL_STORAGE, FIL_I16},
    {"torch", "CharStorage", GLOBAL_STORAGE, FIL_I8},
    {"torch", "ByteStorage", GLOBAL_STORAGE, FIL_U8},
    {"torch", "BoolStorage", GLOBAL_STORAGE, FIL_BOOL},
};

static bool same(const char *a, size_t bytes, const char *b)
{
    return strlen(b) == bytes && memcmp(a, b, bytes) == 0;
}

fil_status fili_pickle_global(fili_pickle_machine *m, const char *module, size_t module_bytes,
                              const char *name, size_t name_bytes, fili_pickle_value *value)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (!same(module, module_bytes, globals[i].module)) continue;
        if (!same(name, name_bytes, globals[i].name)) continue;
        *value = (fili_pickle_value){.kind = FILI_PICKLE_GLOBAL, .u.integer = (int64_t)i};
        return FIL_OK;
    }
    return FIL_FAIL(m->ctx, FIL_E_UNSUP,
                    "refused: global %s.%s at byte %zu of the pickle; a checkpoint may only name "
                    "tensors, and nothing was executed",
                    fili_quote(module, module_bytes).text, fili_quote(name, name_bytes).text,
                    fili_pickle_at(m));
}

/* ---- arguments ------------------------------------------------------------------------------ */

#define KIND(name) (1u << FILI_PICKLE_##name)

/* Each of the tuple's values is of one of the kinds that its mask allows. */
static fil_status check_kinds(fili_pickle_machine *m, const char *what, fili_pickle_value tuple,
                              const uint32_t *masks)
{
    for (uint32_t i = 0; i < tuple.length; i++)
        if ((1u << tuple.u.items[i].kind & masks[i]) == 0)
            return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                            "pickle: %s at byte %zu has a %s as its value %u, which does not fit",
                            what, fili_pickle_at(m), fili_pickle_kind_name(tuple.u.items[i].kind),
                            i + 1);
    return FIL_OK;
}

static fil_status check_count(fili_pickle_machine *m, const char *what, fili_pickle_value tuple,
                              uint32_t least, uint32_t most)
{
    if (tuple.length < least || tuple.length > most)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: %s at byte %zu has %u values; expected %u",
                        what, fili_pickle_at(m), tuple.length, most);
    return FIL_OK;
}

static fil_status take_integers(fili_pickle_machine *m, const char *what, fili_pickle_value tuple,
                                int64_t out[FIL_MAX_RANK])
{
    if (tuple.length > FIL_MAX_RANK)
        return FIL_FAIL(m->ctx, FIL_E_LIMIT,
                        "pickle: a tensor's %s at byte %zu has %u dimensions; the limit is %d",
                        what, fili_pickle_at(m), tuple.length, FIL_MAX_RANK);
    for (uint32_t i = 0; i < tuple.length; i++) {
        if (tuple.u.items[i].kind != FILI_PICKLE_INT)
            return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                            "pickle: a tensor's %s at byte %zu holds a %s; expected an int", what,
                            fili_pickle_at(m), fili_pickle_kind_name(tuple.u.items[i].kind));
        out[i] = tuple.u.items[i].u.integer;
    }
    return FIL_OK;
}

/* ---- storages ------------------------------------------------------------------------------- */

fil_status fili_pickle_persistent(fili_pickle_machine *m, fili_pickle_value id,
                                  fili_pickle_value *value)
{
    static const uint32_t masks[5] = {KIND(TEXT), KIND(GLOBAL), KIND(TEXT), KIND(TEXT), KIND(INT)};
    static const char     what[]   = "persistent id";
    void                 *block;
    if (id.kind != FILI_PICKLE_TUPLE)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: persistent id at byte %zu is a %s; expected a tuple",
                        fili_pickle_at(m), fili_pickle_kind_name(id.kind));
    FIL_TRY(check_count(m, what, id, 5, 5));
    FIL_TRY(check_kinds(m, what, id, masks));
    const fili_pickle_value *v = id.u.items;
    const size_t class         = (size_t)v[1].u.integer;
    if (!same(v[0].u.text, v[0].length, "storage") || globals[class].kind != GLOBAL_STORAGE)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: persistent id at byte %zu names no storage",
                        fili_pickle_at(m));
    if (v[4].u.integer < 0)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT, "pickle: storage '%s' at byte %zu has %lld elements",
                        fili_quote(v[2].u.text, v[2].length).text, fili_pickle_at(m),
                        (long long)v[4].u.integer);
    FIL_TRY(fili_pickle_take(m, sizeof(fili_pickle_storage), &block));
    fili_pickle_storage *s = block;
    *s                     = (fili_pickle_storage){.dtype     = globals[class].dtype,
                                                   .key       = v[2].u.text,
                                                   .key_bytes = v[2].length,
                                                   .elements  = (uint64_t)v[4].u.integer};
    *value                 = (fili_pickle_value){.kind = FILI_PICKLE_STORAGE, .u.storage = s};
    return FIL_OK;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static fil_status make_dict(fili_pickle_machine *m, fili_pickle_value args,
                            fili_pickle_value *value)
{
    void *block;
    FIL_TRY(check_count(m, "OrderedDict", args, 0, 0));
    FIL_TRY(fili_pickle_take(m, sizeof(fili_pickle_dict), &block));
    fili_pickle_dict *d = block;
    *d                  = (fili_pickle_dict){.ordered = true};
    *value              = (fili_pickle_value){.kind = FILI_PICKLE_DICT, .u.dict = d};
    return FIL_OK;
}

/* The seventh argument marks a view as conjugate or negative: other numbers than the bytes say. */
static bool is_plain(const fili_pickle_value *metadata)
{
    return metadata->kind == FILI_PICKLE_NONE || metadata->u.dict->n_pairs == 0;
}

static fil_status make_tensor(fili_pickle_machine *m, fili_pickle_value args,
                              fili_pickle_value *value)
{
    static const uint32_t masks[7] = {
        KIND(STORAGE),          KIND(INT), KIND(TUPLE), KIND(TUPLE), KIND(BOOL), KIND(DICT),
        KIND(DICT) | KIND(NONE)};
    static const char what[] = "_rebuild_tensor_v2";
    void             *block;
    FIL_TRY(check_count(m, what, args, 6, 7));
    FIL_TRY(check_kinds(m, what, args, masks));
    const fili_pickle_value *v = args.u.items;
    if (args.length == 7 && !is_plain(&v[6]))
        return FIL_FAIL(m->ctx, FIL_E_UNSUP,
                        "pickle: tensor at byte %zu has metadata (a conjugate or negative view)",
                        fili_pickle_at(m));
    if (v[1].u.integer < 0 || v[2].length != v[3].length)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: tensor at byte %zu has offset %lld, %u dimensions, %u strides",
                        fili_pickle_at(m), (long long)v[1].u.integer, v[2].length, v[3].length);
    FIL_TRY(fili_pickle_take(m, sizeof(fili_pickle_tensor), &block));
    fili_pickle_tensor *t = block;
    *t                    = (fili_pickle_tensor){
                           .storage = v[0].u.storage, .offset = (uint64_t)v[1].u.integer, .rank = v[2].length};
    FIL_TRY(take_integers(m, "shape", v[2], t->shape));
    FIL_TRY(take_integers(m, "strides", v[3], t->stride));
    *value = (fili_pickle_value){.kind = FILI_PICKLE_TENSOR, .u.tensor = t};
    return FIL_OK;
}

static fil_status make_parameter(fili_pickle_machine *m, fili_pickle_value args,
                                 fili_pickle_value *value)
{
    static const uint32_t masks[3] = {KIND(TENSOR), KIND(BOOL), KIND(DICT)};
    static const char     what[]   = "_rebuild_parameter";
    FIL_TRY(check_count(m, what, args, 3, 3));
    FIL_TRY(check_kinds(m, what, args, masks));
    *value = args.u.items[0];
    return FIL_OK;
}

fil_status fili_pickle_call(fili_pickle_machine *m, fili_pickle_value function,
                            fili_pickle_value args, fili_pickle_value *value)
{
    if (function.kind != FILI_PICKLE_GLOBAL || args.kind != FILI_PICKLE_TUPLE)
        return FIL_FAIL(m->ctx, FIL_E_FORMAT,
                        "pickle: REDUCE at byte %zu on a %s and a %s; expected a global and a "
                        "tuple",
                        fili_pickle_at(m), fili_pickle_kind_name(function.kind),
                        fili_pickle_kind_name(args.kind));
    switch (globals[function.u.integer].kind) {
    case GLOBAL_ORDERED_DICT: return make_dict(m, args, value);
    case GLOBAL_TENSOR: return make_tensor(m, args, value);
    case GLOBAL_PARAMETER: return make_parameter(m, args, value);
    case GLOBAL_STORAGE: break;
    }
    return FIL_FAIL(m->ctx, FIL_E_UNSUP,
                    "refused: a call of %s.%s at byte %zu of the pickle; nothing was executed",
                    globals[function.u.integer].module, globals[function.u.integer].name,
                    fili_pickle_at(m));
}
