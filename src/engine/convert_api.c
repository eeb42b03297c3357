/* engine/convert_api.c: fil_convert: a plan, a file, and each tensor in pieces
 * (filigree/convert.h).
 *
 * Bytes that stay as they are are copied as bytes; all others are taken as values in the type of
 * the result (wan/weights.h), or as F32 and quantised. A value that the new type cannot hold shows
 * as an infinity where the source has none: that is looked for in every piece.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/convert_job.h"
#include "engine/video_job.h"
#include "io/gguf_writer.h"
#include "tensor/dtype.h"
#include "tensor/quantise.h"

/* Elements of a piece that is converted, whole blocks of every type; bytes of one that is copied.
 */
enum { PIECE = 1 << 18, PIECE_BYTES = PIECE * 4 };
/* The buffer: a piece as F32, and behind it the same in blocks. */
enum { BLOCKS_BYTES = PIECE / FILI_Q8_0_ELEMENTS * FILI_Q8_0_BYTES };

void fil_convert_options_init(fil_convert_options *options)
{
    *options = (fil_convert_options){.struct_size = (uint32_t)sizeof *options};
}

/* ---- options -------------------------------------------------------------------------------- */

static fil_status check_inputs(const fili_convert_job *job)
{
    const fil_convert_options *o = &job->o;
    FIL_CHECK(job->ctx, o->inputs != NULL && o->n_inputs >= 1, "expected a file to convert");
    FIL_CHECK(job->ctx, o->output != NULL, "expected an output");
    for (int32_t i = 0; i < o->n_inputs; i++) {
        FIL_CHECK(job->ctx, o->inputs[i] != NULL, "input %d is NULL", (int)i);
        FIL_CHECK(job->ctx, !fili_same_path(job->ctx, o->inputs[i], o->output),
                  "'%.160s' is read and was to be written; expected another file", o->output);
    }
    return FIL_OK;
}

static fil_status take_options(fili_convert_job *job, const fil_convert_options *options)
{
    fil_convert_options *o = &job->o;
    fil_convert_options_init(o);
    FIL_TRY(fili_take_options(job->ctx, "fil_convert_options", o, sizeof *o, options));
    FIL_CHECK(job->ctx, (o->flags & ~FIL_OPEN_TRUSTED) == 0, "fil_convert: unknown flags 0x%x",
              o->flags);
    FIL_TRY(check_inputs(job));
    job->gguf = fili_ends_with(o->output, ".gguf");
    FIL_CHECK(job->ctx, job->gguf || fili_ends_with(o->output, ".safetensors"),
              "output '%.160s': expected an ending .safetensors or .gguf", o->output);
    FIL_CHECK(job->ctx,
              o->type == FIL_DTYPE_NONE || o->type == FIL_F32 || o->type == FIL_F16 ||
                  o->type == FIL_BF16 || o->type == FIL_Q8_0,
              "type: expected F32, F16, BF16 or Q8_0, found %s", fil_dtype_name(o->type));
    FIL_CHECK(job->ctx, o->type != FIL_Q8_0 || job->gguf,
              "type: a safetensors file holds no Q8_0; expected an output ending in .gguf");
    FIL_CHECK(job->ctx, o->names >= FIL_NAMES_AUTO && o->names <= FIL_NAMES_DIFFUSERS,
              "there are no names of number %d", (int)o->names);
    return FIL_OK;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* Numbers of llama.cpp's list of file types: what most bytes are; 0: none of them. */
static bool file_type(const fili_convert_job *job, uint32_t *number)
{
    static const struct {
        fil_dtype dtype;
        uint32_t  number;
    } types[]         = {{FIL_F32, 0}, {FIL_F16, 1}, {FIL_Q8_0, 7}, {FIL_BF16, 32}};
    uint64_t best     = 0;
    uint64_t all      = 0;
    uint64_t known[4] = {0};
    for (size_t i = 0; i < job->n; i++) {
        const fil_tensor_desc *t     = &job->desc[i];
        uint64_t               bytes = 0;
        (void)fili_shape_bytes(t->dtype, t->rank, t->shape, &bytes);
        all += bytes;
        for (int k = 0; k < 4; k++)
            if (types[k].dtype == t->dtype) known[k] += bytes;
    }
    for (int k = 0; k < 4; k++) {
        if (known[k] <= best) continue;
        best    = known[k];
        *number = types[k].number;
    }
    return best > all / 2;
}

static bool has_blocks(const fili_convert_job *job)
{
    for (size_t i = 0; i < job->n; i++)
        if (fil_dtype_bits(job->desc[i].dtype) == 0) return true;
    return false;
}

static fil_status open_gguf(fili_convert_job *job)
{
    static const char *const architecture[] = {
        [FILI_PART_DIT] = "wan", [FILI_PART_T5] = "t5encoder", [FILI_PART_VAE] = "wan_vae"};
    fili_gguf_key key[3] = {
        {.key = "general.architecture", .text = architecture[fili_weights_part(job->w)]}};
    fili_gguf_input in     = {.tensors = job->desc, .n_tensors = job->n, .keys = key};
    uint32_t        number = 0;
    in.n_keys              = 1;
    if (has_blocks(job))
        key[in.n_keys++] = (fili_gguf_key){.key = "general.quantization_version", .number = 2};
    if (file_type(job, &number))
        key[in.n_keys++] = (fili_gguf_key){.key = "general.file_type", .number = number};
    return fili_gguf_writer_open(&job->writer, job->ctx, job->o.output, &in, job->o.replace);
}

/* Metadata of one safetensors file stay; others get what torch's readers ask for. */
static fil_status open_output(fili_convert_job *job)
{
    static const fil_pair torch[] = {{.key = "format", .value = "pt"}};
    const fili_tensors   *set     = fili_weights_set(job->w);
    const bool            keeps   = strcmp(set->format, "safetensors") == 0 && set->n_pairs > 0;
    if (job->gguf) return open_gguf(job);
    const fili_writer_input in = {.tensors   = job->desc,
                                  .n_tensors = job->n,
                                  .metadata  = keeps ? set->metadata : torch,
                                  .n_pairs   = keeps ? set->n_pairs : 1};
    return fili_writer_open(&job->writer, job->ctx, job->o.output, &in, job->o.replace);
}

/* ---- values --------------------------------------------------------------------------------- */

static fil_status copy_bytes(fili_convert_job *job, size_t i)
{
    const fili_entry   *e   = job->item[i].entry;
    const fili_tensors *set = fili_weights_set(job->w);
    for (uint64_t at = 0; at < e->bytes; at += PIECE_BYTES) {
        const uint64_t bytes = e->bytes - at < PIECE_BYTES ? e->bytes - at : PIECE_BYTES;
        FIL_TRY(fili_check_cancel(job->ctx));
        const fil_status status = fili_tensors_read(set, e, at, job->buffer, bytes);
        if (status != FIL_OK) {
            fili_error_frame(job->ctx, "tensor %s", fili_quote(e->name, strlen(e->name)).text);
            return status;
        }
        FIL_TRY(fili_writer_put(&job->writer, i, job->buffer, bytes));
    }
    return FIL_OK;
}

/* A piece of a tensor in its new type, which lies in the buffer. */
typedef struct piece {
    const char *name; /* canonical */
    fil_dtype   to;
    uint64_t    first, n;
} piece;

/* Index of an infinity in the buffer; n if there is none. */
static uint64_t find_infinity(const void *buffer, fil_dtype dtype, uint64_t n)
{
    const uint16_t *half  = buffer;
    const float    *wide  = buffer;
    const uint16_t  limit = dtype == FIL_F16 ? 0x7c00 : 0x7f80;
    if (dtype == FIL_F32)
        for (uint64_t i = 0; i < n; i++)
            if (isinf(wide[i])) return i;
    if (dtype == FIL_F16 || dtype == FIL_BF16)
        for (uint64_t i = 0; i < n; i++)
            if ((half[i] & 0x7fff) == limit) return i;
    return n;
}

static fil_status overflow(const fili_convert_job *job, const piece *p, uint64_t i, double value)
{
    return FIL_FAIL(job->ctx, FIL_E_NONFINITE,
                    "tensor '%s': element %llu is %.9g, which %s cannot hold", p->name,
                    (unsigned long long)(p->first + i), value, fil_dtype_name(p->to));
}

/* An infinity of the result must be one of the source. */
static fil_status check_range(const fili_convert_job *job, const piece *p)
{
    const char *at = job->buffer;
    for (uint64_t i = 0; i < p->n; i++) {
        double         value;
        const uint64_t size = fil_dtype_bits(p->to) / 8;
        i += find_infinity(at + i * size, p->to, p->n - i);
        if (i >= p->n) break;
        FIL_TRY(fili_weights_read_part(job->w, p->name, FIL_F64, p->first + i, 1, &value));
        if (isfinite(value)) return overflow(job, p, i, value);
    }
    return FIL_OK;
}

static fil_status put_numbers(fili_convert_job *job, size_t i, const piece *p)
{
    FIL_TRY(fili_weights_read_part(job->w, p->name, p->to, p->first, p->n, job->buffer));
    FIL_TRY(check_range(job, p));
    return fili_writer_put(&job->writer, i, job->buffer, p->n * (fil_dtype_bits(p->to) / 8));
}

static fil_status put_blocks(fili_convert_job *job, size_t i, const piece *p)
{
    const size_t   blocks = (size_t)(p->n / FILI_Q8_0_ELEMENTS);
    unsigned char *out    = (unsigned char *)job->buffer + PIECE_BYTES;
    const float   *values = job->buffer;
    FIL_TRY(fili_weights_read_part(job->w, p->name, FIL_F32, p->first, p->n, job->buffer));
    if (!fili_quantise_q8_0(out, values, blocks)) {
        uint64_t worst = 0; /* the first that is no number, or the largest */
        for (uint64_t k = 1; k < p->n && isfinite(values[worst]); k++)
            if (!(fabsf(values[k]) <= fabsf(values[worst]))) worst = k;
        return overflow(job, p, worst, (double)values[worst]);
    }
    return fili_writer_put(&job->writer, i, out, blocks * FILI_Q8_0_BYTES);
}

static fil_status convert_values(fili_convert_job *job, size_t i)
{
    const fil_tensor_desc *t = &job->desc[i];
    uint64_t               n = 0;
    (void)fili_shape_elements(t->rank, t->shape, &n); /* the reader has checked it */
    for (uint64_t first = 0; first < n; first += PIECE) {
        const piece p = {.name  = job->item[i].canonical,
                         .to    = t->dtype,
                         .first = first,
                         .n     = n - first < PIECE ? n - first : PIECE};
        FIL_TRY(fili_check_cancel(job->ctx));
        FIL_TRY(t->dtype == FIL_Q8_0 ? put_blocks(job, i, &p) : put_numbers(job, i, &p));
    }
    return FIL_OK;
}

static fil_status write_all(fili_convert_job *job)
{
    for (size_t i = 0; i < job->n; i++) {
        fili_progress(job->ctx, "convert", i, job->n);
        FIL_TRY(job->item[i].canonical == NULL ? copy_bytes(job, i) : convert_values(job, i));
    }
    fili_progress(job->ctx, "convert", job->n, job->n);
    return FIL_OK;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static uint64_t source_bytes(const fili_convert_job *job)
{
    const fili_tensors *set = fili_weights_set(job->w);
    uint64_t            sum = 0;
    for (size_t i = 0; i < set->n_sources; i++)
        if (!fili_add_u64(sum, set->sources[i].file.size, &sum)) return UINT64_MAX;
    return sum;
}

static fil_status write_output(fili_convert_job *job)
{
    FIL_TRY(fili_alloc(job->ctx, PIECE_BYTES + BLOCKS_BYTES, "a piece on its way", &job->buffer));
    FIL_TRY(open_output(job));
    job->result.bytes_out = job->writer.bytes;
    fil_status status     = write_all(job);
    if (status == FIL_OK)
        status = fili_writer_finish(&job->writer);
    else
        fili_writer_close(&job->writer);
    return status;
}

static fil_status convert(fili_convert_job *job, const fil_convert_options *options)
{
    FIL_TRY(take_options(job, options));
    FIL_TRY(fili_output_check(job->ctx, "output", job->o.output, job->o.replace));
    FIL_TRY(fili_weights_open_files(job->ctx, job->o.inputs, (size_t)job->o.n_inputs, job->o.flags,
                                    &job->w));
    FIL_TRY(fili_convert_plan(job));
    job->result.model    = fili_weights_likely(job->w);
    job->result.bytes_in = source_bytes(job);
    return write_output(job);
}

fil_status fil_convert(fil_ctx *ctx, const fil_convert_options *options, fil_convert_result *result)
{
    fili_convert_job job = {.ctx = ctx};
    if (result != NULL) *result = (fil_convert_result){.model = NULL};
    FIL_CHECK(NULL, ctx != NULL, "fil_convert: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, options != NULL, "fil_convert: options is NULL");
    fili_arena_init(&job.arena, ctx, "conversion", 0);
    const fil_status status = convert(&job, options);
    if (status == FIL_OK && result != NULL) *result = job.result;
    fili_free(ctx, job.buffer, PIECE_BYTES + BLOCKS_BYTES);
    fili_weights_close(&job.w);
    fili_arena_fini(&job.arena);
    return status;
}
