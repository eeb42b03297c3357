/* engine/convert_plan.c: which tensors a conversion writes, under which names, and of which types
 * (convert_job.h). The rules are told in filigree/convert.h; they look at names and shapes alone.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "engine/convert_job.h"
#include "io/gguf_writer.h"
#include "tensor/quantise.h"

/* ---- names ---------------------------------------------------------------------------------- */

typedef int (*way_back)(const char *canonical, char *out, size_t size);

static fil_names names_of(const fili_convert_job *job)
{
    if (job->o.names != FIL_NAMES_AUTO) return job->o.names;
    const bool from_gguf = strcmp(fili_weights_set(job->w)->format, "gguf") == 0;
    return job->gguf || from_gguf ? FIL_NAMES_ORIGINAL : FIL_NAMES_KEEP;
}

/* NULL: canonical names are written. */
static way_back way_of(const fili_convert_job *job)
{
    static const way_back diffusers[] = {[FILI_PART_DIT]   = fili_names_dit_diffusers,
                                         [FILI_PART_T5]    = fili_names_t5_diffusers,
                                         [FILI_PART_VAE]   = fili_names_vae_diffusers,
                                         [FILI_PART_OTHER] = NULL};
    const fili_part       part        = fili_weights_part(job->w);
    if (job->o.names == FIL_NAMES_DIFFUSERS) return diffusers[part];
    if (job->o.names == FIL_NAMES_AUTO && job->gguf && part == FILI_PART_T5)
        return fili_names_t5_llama;
    return NULL;
}

static fil_status name_of(fili_convert_job *job, const char *canonical, const fili_entry *e,
                          const char **out)
{
    char           text[600];
    const way_back way  = way_of(job);
    const char    *name = names_of(job) == FIL_NAMES_KEEP ? e->name : canonical;
    char          *copy;
    if (way != NULL && way(canonical, text, sizeof text) == 1) name = text;
    FIL_TRY(fili_arena_text(&job->arena, name, strlen(name), &copy));
    *out = copy;
    return FIL_OK;
}

/* ---- types ---------------------------------------------------------------------------------- */

static bool is_float(fil_dtype dtype)
{
    return dtype == FIL_F32 || dtype == FIL_F16 || dtype == FIL_BF16;
}

/* All dimensions but one are 1. */
static bool is_vector(const fili_entry *e)
{
    int longer = 0;
    for (uint32_t i = 0; i < e->rank; i++)
        longer += e->shape[i] != 1;
    return longer <= 1;
}

/* A tensor that keeps a float type, whatever the matrices become. */
static bool is_small(fili_part part, const char *name, const fili_entry *e)
{
    static const char table[] = "pos_embedding.embedding.weight";
    const size_t      n       = strlen(name);
    if (is_vector(e)) return true;
    if (part == FILI_PART_DIT) return e->rank != 2;
    return part == FILI_PART_T5 && n >= sizeof table - 1 &&
           strcmp(name + n - (sizeof table - 1), table) == 0;
}

static bool is_for_blocks(fili_part part, const char *name, const fili_entry *e)
{
    if (e->rank != 2 || e->shape[1] % FILI_Q8_0_ELEMENTS != 0) return false;
    return part != FILI_PART_DIT || fili_begins_with(name, "blocks.");
}

static bool holds(const fili_convert_job *job, fil_dtype dtype)
{
    return job->gguf ? fili_gguf_holds(dtype) : fil_dtype_bits(dtype) != 0;
}

static fil_dtype wanted_type(const fili_convert_job *job, const char *name, const fili_entry *e,
                             bool scaled)
{
    const fili_part part = fili_weights_part(job->w);
    const fil_dtype type = job->o.type;
    if (type == FIL_DTYPE_NONE) return scaled ? FIL_BF16 : e->dtype;
    if (type == FIL_F32) return FIL_F32;
    if (is_small(part, name, e)) return is_float(e->dtype) && !scaled ? e->dtype : FIL_F32;
    if (type != FIL_Q8_0) return type;
    if (is_for_blocks(part, name, e)) return FIL_Q8_0;
    return is_float(e->dtype) && !scaled ? e->dtype : FIL_BF16;
}

/* What readers of GGUF files take for granted: vectors and small tensors are F32. */
static fil_dtype type_of(const fili_convert_job *job, const char *name, const fili_entry *e,
                         bool scaled)
{
    const fil_dtype to = wanted_type(job, name, e, scaled);
    if (job->gguf && (to == FIL_BF16 || to == FIL_F16) &&
        is_small(fili_weights_part(job->w), name, e))
        return FIL_F32;
    return holds(job, to) ? to : FIL_BF16;
}

/* ---- the list ------------------------------------------------------------------------------- */

/* canonical: NULL where bytes are copied. */
static void add(fili_convert_job *job, const char *name, const char *canonical, const fili_entry *e,
                fil_dtype to)
{
    fil_tensor_desc *d = &job->desc[job->n];
    *d                 = (fil_tensor_desc){.name = name, .dtype = to, .rank = e->rank};
    memcpy(d->shape, e->shape, sizeof d->shape);
    job->item[job->n++] = (fili_convert_item){.canonical = canonical, .entry = e};
    job->result.tensors++;
    if (canonical == NULL)
        job->result.copied++;
    else if (to == FIL_Q8_0)
        job->result.quantised++;
    else
        job->result.converted++;
}

static fil_status add_weight(fili_convert_job *job, size_t i)
{
    const char            *canonical;
    const char            *name;
    const fili_entry      *e    = fili_weights_at(job->w, i, &canonical);
    const fili_weight_kind kind = fili_weights_kind(job->w, i);
    fil_dtype              to   = e->dtype;
    if (kind == FILI_WEIGHT_UNREAD) /* says why */
        return fili_weights_expect(job->w, canonical, e->rank, e->shape);
    if (kind == FILI_WEIGHT_OTHER && !holds(job, to))
        return FIL_FAIL(job->ctx, FIL_E_UNSUP, "tensor '%s' has type %s, which a GGUF file has not",
                        fili_quote(e->name, strlen(e->name)).text, fil_dtype_name(to));
    if (kind != FILI_WEIGHT_OTHER) to = type_of(job, canonical, e, kind == FILI_WEIGHT_SCALED);
    const bool copied = to == e->dtype && kind != FILI_WEIGHT_SCALED;
    FIL_TRY(name_of(job, canonical, e, &name));
    add(job, name, copied ? NULL : canonical, e, to);
    return FIL_OK;
}

/* A tensor that is none of the part's, such as a tokenizer: copied, if the format can hold it. */
static fil_status add_stranger(fili_convert_job *job, const fili_entry *e)
{
    if (!holds(job, e->dtype)) {
        fili_log(job->ctx, FIL_LOG_WARNING, "tensor '%s' is left out: a GGUF file has no type %s",
                 fili_quote(e->name, strlen(e->name)).text, fil_dtype_name(e->dtype));
        job->result.left_out++;
        return FIL_OK;
    }
    add(job, e->name, NULL, e, e->dtype);
    return FIL_OK;
}

static fil_status add_strangers(fili_convert_job *job, const bool *taken)
{
    const fili_tensors *set = fili_weights_set(job->w);
    for (size_t i = 0; i < set->n_entries; i++) {
        if (taken[i]) continue;
        if (fili_weights_is_mark(set->entries[i].name))
            job->result.left_out++;
        else
            FIL_TRY(add_stranger(job, &set->entries[i]));
    }
    return FIL_OK;
}

static fil_status add_all(fili_convert_job *job)
{
    const fili_tensors *set = fili_weights_set(job->w);
    void               *taken;
    FIL_TRY(fili_arena_calloc(&job->arena, set->n_entries, sizeof(bool), &taken));
    for (size_t i = 0; i < fili_weights_count(job->w); i++) {
        const fili_entry *e = fili_weights_at(job->w, i, NULL); /* its shape may be restored */
        FIL_TRY(add_weight(job, i));
        ((bool *)taken)[fili_tensors_find(set, e->name) - set->entries] = true;
    }
    return add_strangers(job, taken);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static fil_status check_part(const fili_convert_job *job)
{
    if (fili_weights_part(job->w) != FILI_PART_OTHER) return FIL_OK;
    if (job->gguf)
        return FIL_FAIL(
            job->ctx, FIL_E_MISMATCH,
            "a GGUF file names its architecture, and the tensors look like %s; expected "
            "a transformer, text encoder or VAE of Wan, or another ending of the output",
            fili_weights_likely(job->w));
    if (job->o.names == FIL_NAMES_ORIGINAL || job->o.names == FIL_NAMES_DIFFUSERS)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "names of another kind are known for a transformer, text encoder or VAE of "
                        "Wan; the tensors look like %s",
                        fili_weights_likely(job->w));
    return FIL_OK;
}

fil_status fili_convert_plan(fili_convert_job *job)
{
    const size_t n = fili_weights_set(job->w)->n_entries;
    void        *items;
    void        *descs;
    FIL_TRY(check_part(job));
    FIL_TRY(fili_arena_calloc(&job->arena, n, sizeof *job->item, &items));
    FIL_TRY(fili_arena_calloc(&job->arena, n, sizeof *job->desc, &descs));
    job->item = items;
    job->desc = descs;
    FIL_TRY(add_all(job));
    if (job->o.type == FIL_Q8_0 && job->result.quantised == 0)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "no matrix here suits Q8_0: expected two dimensions and rows of a multiple "
                        "of %d elements, of a transformer in its blocks",
                        FILI_Q8_0_ELEMENTS);
    return FIL_OK;
}
