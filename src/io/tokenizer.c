/* io/tokenizer.c: a prompt into token ids (tokenizer.h). */
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/sentencepiece_door.h"
#include "io/spiece_check.h"
#include "io/text_clean.h"
#include "io/tokenizer.h"
#include "io/tokenizer_files.h"

enum {
    /* The published tokenizer has 300 <extra_id_N> above its 256000 pieces; spiece.model alone does
     * not tell. */
    PUBLISHED_PIECES = 256000,
    PUBLISHED_EXTRA  = 300,
    /* What the library takes for a piece beside four times the file: 256,000 pieces took 80 MB. */
    LIBRARY_PIECE_BYTES = 320
};

struct fili_tokenizer {
    fil_ctx       *ctx;
    fili_arena     arena; /* specials, types */
    fili_sp       *sp;
    uint64_t       reserved;
    unsigned char *types; /* [n_pieces] fili_piece_type */
    int32_t        n_pieces, unk, eos, size;
    bool           bytes_kept;
    fili_special  *specials;
    size_t         n_specials;
};

/* ---- opening -------------------------------------------------------------------------------- */

static fil_status load_library(fili_tokenizer *t, const char *name, const void *model, size_t bytes)
{
    char              why[160];
    const uint64_t    room   = 4 * (uint64_t)bytes + (uint64_t)t->n_pieces * LIBRARY_PIECE_BYTES;
    const fili_quoted quoted = fili_quote(name, strlen(name));
    FIL_TRY(fili_mem_reserve(t->ctx, room, "a tokenizer"));
    t->reserved = room;
    switch (fili_sp_open(model, bytes, &t->sp, why, sizeof why)) {
    case FILI_SP_OK: return FIL_OK;
    case FILI_SP_ABSENT:
        return FIL_FAIL(t->ctx, FIL_E_UNSUP,
                        "this build has no sentencepiece, so it cannot read '%s': build it with "
                        "FIL_SENTENCEPIECE=ON",
                        quoted.text);
    case FILI_SP_NOMEM:
        return FIL_FAIL(t->ctx, FIL_E_NOMEM, "no memory for the tokenizer '%s'", quoted.text);
    default:
        return FIL_FAIL(t->ctx, FIL_E_FORMAT, "'%s' is not a usable sentencepiece model: %s",
                        quoted.text, why);
    }
}

static fil_status keep_types(fili_tokenizer *t, const fili_spiece *s)
{
    void *types;
    FIL_TRY(fili_arena_alloc(&t->arena, (size_t)s->n_pieces, &types));
    t->types    = types;
    t->n_pieces = s->n_pieces;
    t->unk      = s->unk;
    t->eos      = s->eos;
    t->size     = s->n_pieces;
    for (int32_t i = 0; i < s->n_pieces; i++)
        t->types[i] = s->pieces[i].type;
    return FIL_OK;
}

static void extra_id(char text[24], int32_t k)
{
    static const char begin[] = "<extra_id_";
    size_t            n       = sizeof begin - 1;
    memcpy(text, begin, n);
    if (k >= 100) text[n++] = (char)('0' + k / 100);
    if (k >= 10) text[n++] = (char)('0' + k / 10 % 10);
    text[n++] = (char)('0' + k % 10);
    text[n++] = '>';
    text[n]   = '\0';
}

static fil_status add_special(fili_tokenizer *t, const char *text, size_t bytes, int32_t id)
{
    char *copy;
    FIL_TRY(fili_arena_text(&t->arena, text, bytes, &copy));
    t->specials[t->n_specials++] = (fili_special){.text = copy, .bytes = (uint32_t)bytes, .id = id};
    return FIL_OK;
}

/* Without a tokenizer_config.json: control pieces and the unknown one, and the extra ids of the
 * published model. */
static fil_status default_specials(fili_tokenizer *t, const fili_spiece *s)
{
    void         *block;
    const int32_t extra = s->n_pieces == PUBLISHED_PIECES ? PUBLISHED_EXTRA : 0;
    size_t        n     = (size_t)extra;
    for (int32_t i = 0; i < s->n_pieces; i++)
        n += s->pieces[i].type == FILI_PIECE_CONTROL || s->pieces[i].type == FILI_PIECE_UNKNOWN;
    FIL_TRY(fili_arena_calloc(&t->arena, n, sizeof *t->specials, &block));
    t->specials = block;
    for (int32_t i = 0; i < s->n_pieces; i++) {
        const fili_piece *p = &s->pieces[i];
        if (p->type == FILI_PIECE_CONTROL || p->type == FILI_PIECE_UNKNOWN)
            FIL_TRY(add_special(t, p->text, p->bytes, i));
    }
    for (int32_t k = 0; k < extra; k++) {
        char text[24];
        extra_id(text, k);
        FIL_TRY(add_special(t, text, strlen(text), s->n_pieces + extra - 1 - k));
    }
    return FIL_OK;
}

/* dir: what lies beside the model, or -1. */
static fil_status read_files_beside(fili_tokenizer *t, int dir, bool *present)
{
    *present = false;
    if (dir < 0) return FIL_OK;
    FIL_TRY(fili_added_tokens_read(t->ctx, dir, &t->arena, &t->specials, &t->n_specials, present));
    return fili_byte_fallback_read(t->ctx, dir, &t->bytes_kept);
}

static fil_status build(fili_tokenizer *t, const char *name, const void *model, size_t bytes,
                        int dir)
{
    fili_spiece s;
    bool        present;
    fil_status  status;
    FIL_TRY(fili_spiece_check(t->ctx, name, model, bytes, &s));
    FIL_TRY_OR(done, keep_types(t, &s));
    FIL_TRY_OR(done, read_files_beside(t, dir, &present));
    if (!present) FIL_TRY_OR(done, default_specials(t, &s));
    for (size_t i = 0; i < t->n_specials; i++)
        if (t->specials[i].id >= t->size) t->size = t->specials[i].id + 1;
    status = load_library(t, name, model, bytes);
done:
    fili_spiece_fini(t->ctx, &s);
    return status;
}

static fil_status open_model(fil_ctx *ctx, const char *name, const void *model, size_t bytes,
                             int dir, fili_tokenizer **out)
{
    void *block;
    *out = NULL;
    FIL_TRY(fili_calloc(ctx, 1, sizeof **out, "a tokenizer", &block));
    fili_tokenizer *t = block;
    t->ctx            = ctx;
    fili_arena_init(&t->arena, ctx, "a tokenizer", 0);
    const fil_status status = build(t, name, model, bytes, dir);
    if (status != FIL_OK)
        fili_tokenizer_close(&t);
    else
        *out = t;
    return status;
}

fil_status fili_tokenizer_open_bytes(fil_ctx *ctx, const char *name, const void *model,
                                     size_t bytes, fili_tokenizer **out)
{
    return open_model(ctx, name, model, bytes, -1, out);
}

static fil_status open_file(fil_ctx *ctx, int dir, const char *name, fili_tokenizer **out)
{
    fil_status     status;
    fili_file      file;
    void          *model = NULL;
    const uint64_t limit = ctx->opt.limits.header_bytes;
    FIL_TRY(fili_file_open(ctx, dir, name, 0, &file));
    if (file.size > limit) {
        const fili_quoted quoted = fili_quote(name, strlen(name));
        status = FIL_FAIL(ctx, FIL_E_LIMIT, "'%s' has %llu bytes; the limit is %llu (header_bytes)",
                          quoted.text, (unsigned long long)file.size, (unsigned long long)limit);
        goto done;
    }
    FIL_TRY_OR(done, fili_alloc(ctx, (size_t)file.size, "a tokenizer", &model));
    FIL_TRY_OR(done, fili_file_read(ctx, &file, 0, model, (size_t)file.size));
    status = open_model(ctx, name, model, (size_t)file.size, dir, out);
done:
    fili_free(ctx, model, (size_t)file.size);
    fili_file_close(ctx, &file);
    return status;
}

/* The folder of a path, with its last slash; "." if it has none. */
static fil_status open_folder_of(fil_ctx *ctx, const char *path, const char **base, int *dir)
{
    const char *slash = strrchr(path, '/');
    char       *folder;
    fili_arena  arena;
    *base = slash == NULL ? path : slash + 1;
    if (slash == NULL) return fili_dir_open(ctx, ".", dir);
    fili_arena_init(&arena, ctx, "a path", 0);
    fil_status status = fili_arena_text(&arena, path, (size_t)(*base - path), &folder);
    if (status == FIL_OK) status = fili_dir_open(ctx, folder, dir);
    fili_arena_fini(&arena);
    return status;
}

fil_status fili_tokenizer_open(fil_ctx *ctx, const char *path, fili_tokenizer **out)
{
    int         dir;
    const char *name = "spiece.model";
    *out             = NULL;
    const int fd =
        fili_open_retrying(ctx->os, FILI_CWD, path, FILI_OPEN_READ | FILI_OPEN_DIRECTORY);
    if (fd >= 0)
        dir = fd;
    else if (fd == -ENOTDIR)
        FIL_TRY(open_folder_of(ctx, path, &name, &dir));
    else
        return fili_dir_open(ctx, path, &dir); /* says why not */
    const fil_status status = open_file(ctx, dir, name, out);
    fili_dir_close(ctx, &dir);
    return status;
}

void fili_tokenizer_close(fili_tokenizer **t)
{
    if (t == NULL || *t == NULL) return;
    fil_ctx *ctx = (*t)->ctx;
    fili_sp_close((*t)->sp);
    fili_mem_release(ctx, (*t)->reserved);
    fili_arena_fini(&(*t)->arena);
    fili_free(ctx, *t, sizeof **t);
    *t = NULL;
}

int32_t fili_tokenizer_size(const fili_tokenizer *t)
{
    return t->size;
}

/* ---- ids ------------------------------------------------------------------------------------ */

typedef struct output {
    const fili_tokenizer *t;
    int32_t              *ids;
    int64_t               n;       /* all of them; the first FILI_TOKENIZER_MAX - 1 are stored */
    bool                  unknown; /* the last id was part of an unknown run */
} output;

static void put_id(output *o, int32_t id)
{
    if (o->n < FILI_TOKENIZER_MAX - 1) o->ids[o->n] = id;
    o->n++;
}

/* From the library: a run of unknown characters comes as byte pieces, or as unknown ids. */
static int take_id(void *user, int32_t id)
{
    output               *o = user;
    const fili_tokenizer *t = o->t;
    if (id < 0 || id >= t->n_pieces) return 1;
    const bool is_byte = t->types[id] == FILI_PIECE_BYTE;
    const bool unknown = id == t->unk || (is_byte && !t->bytes_kept);
    if (!unknown || !o->unknown) put_id(o, unknown ? t->unk : id);
    o->unknown = unknown;
    return 0;
}

static fil_status take_stretch(const char *text, size_t bytes, output *o)
{
    fil_ctx *ctx = o->t->ctx;
    o->unknown   = false;
    while (bytes > 0 && text[bytes - 1] == ' ')
        bytes--;
    if (bytes == 0) return FIL_OK;
    switch (fili_sp_encode(o->t->sp, text, bytes, take_id, o)) {
    case FILI_SP_OK: return FIL_OK;
    case FILI_SP_NOMEM: return FIL_FAIL(ctx, FIL_E_NOMEM, "no memory to tokenize the prompt");
    default: return FIL_FAIL(ctx, FIL_E_FORMAT, "the sentencepiece model cannot encode the prompt");
    }
}

/* The longest special that begins at `text`, or NULL. */
static const fili_special *special_at(const fili_tokenizer *t, const char *text, size_t left)
{
    const fili_special *best = NULL;
    for (size_t i = 0; i < t->n_specials; i++) {
        const fili_special *s = &t->specials[i];
        if (s->text[0] != text[0] || s->bytes > left) continue;
        if (best != NULL && s->bytes <= best->bytes) continue;
        if (memcmp(s->text, text, s->bytes) == 0) best = s;
    }
    return best;
}

static fil_status take_all(const char *text, output *o)
{
    const size_t bytes = strlen(text);
    size_t       begin = 0;
    for (size_t i = 0; i < bytes;) {
        const fili_special *s = special_at(o->t, text + i, bytes - i);
        if (s == NULL) {
            i++;
            continue;
        }
        FIL_TRY(take_stretch(text + begin, i - begin, o));
        put_id(o, s->id);
        i += s->bytes;
        begin = i;
    }
    return take_stretch(text + begin, bytes - begin, o);
}

fil_status fili_tokenizer_clean_ids(fili_tokenizer *t, const char *clean, int32_t *ids, int32_t *n,
                                    int *truncated)
{
    output o = {.t = t, .ids = ids};
    *n       = 0;
    if (truncated != NULL) *truncated = 0;
    FIL_TRY(take_all(clean, &o));
    const int64_t kept = o.n < FILI_TOKENIZER_MAX ? o.n : FILI_TOKENIZER_MAX - 1;
    ids[kept]          = t->eos;
    *n                 = (int32_t)kept + 1;
    if (truncated != NULL) *truncated = (int)(o.n - kept);
    return FIL_OK;
}

fil_status fili_tokenizer_ids(fili_tokenizer *t, const char *text, int32_t *ids, int32_t *n,
                              int *truncated)
{
    char *clean;
    *n = 0;
    FIL_TRY(fili_text_clean(t->ctx, text, &clean));
    const fil_status status = fili_tokenizer_clean_ids(t, clean, ids, n, truncated);
    fili_text_free(t->ctx, clean);
    return status;
}
