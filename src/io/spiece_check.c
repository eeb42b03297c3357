/* io/spiece_check.c: looks through a spiece.model (spiece_check.h).
 *
 * Protocol buffers: wire types 0, 1, 2 and 5; fields that are not known are passed over, as the
 * format wants. The trie is Darts' double array: a unit's children lie at its base XOR byte.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/le.h"
#include "io/spiece_check.h"

enum {
    MAX_PIECES      = 1 << 22,
    MAX_PIECE_BYTES = 512, /* the library's trie builder recurses once per byte */
    MAX_TRIE_BYTES  = 8 << 20,
    UNIGRAM         = 1
};

typedef struct message {
    const unsigned char *p, *end;
} message;

typedef struct field {
    uint32_t number, wire;
    uint64_t value;  /* wire 0, 1, 5 */
    message  inside; /* wire 2 */
} field;

typedef struct check {
    fil_ctx     *ctx;
    fili_quoted  name;
    fili_spiece *out;
    uint64_t     model_type;
    int64_t      eos; /* as the trainer says; -1 = not said */
} check;

static fil_status broken(const check *c, const char *what)
{
    return FIL_FAIL(c->ctx, FIL_E_FORMAT, "'%s' is not a sentencepiece model: %s", c->name.text,
                    what);
}

/* ---- protobuf ------------------------------------------------------------------------------- */

static bool read_varint(message *m, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && m->p < m->end; shift += 7) {
        const unsigned char byte = *m->p++;
        if (shift == 63 && byte > 1) return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* The next field of a message that is not at its end. */
static bool read_field(message *m, field *f)
{
    uint64_t tag;
    if (!read_varint(m, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return false;
    *f = (field){.number = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
    if (f->wire == 0) return read_varint(m, &f->value);
    if (f->wire == 1 || f->wire == 5) {
        const size_t bytes = f->wire == 1 ? 8 : 4;
        if ((size_t)(m->end - m->p) < bytes) return false;
        f->value = bytes == 8 ? fili_le64(m->p) : fili_le32(m->p);
        m->p += bytes;
        return true;
    }
    uint64_t bytes;
    if (f->wire != 2 || !read_varint(m, &bytes) || bytes > (uint64_t)(m->end - m->p)) return false;
    f->inside = (message){.p = m->p, .end = m->p + bytes};
    m->p += bytes;
    return true;
}

static bool is_utf8(const unsigned char *p, size_t n)
{
    while (n > 0) {
        const int length = fili_utf8_length(p, n);
        if (length <= 0) return false;
        p += length;
        n -= (size_t)length;
    }
    return true;
}

/* ---- pieces --------------------------------------------------------------------------------- */

static fil_status read_piece(const check *c, message m, fili_piece *piece)
{
    float score = 0.0f;
    *piece      = (fili_piece){.type = FILI_PIECE_NORMAL};
    while (m.p < m.end) {
        field f;
        if (!read_field(&m, &f)) return broken(c, "a piece is damaged");
        if (f.number == 1 && f.wire == 2) {
            const size_t bytes = (size_t)(f.inside.end - f.inside.p);
            if (bytes > MAX_PIECE_BYTES) return broken(c, "a piece is longer than 512 bytes");
            piece->text  = (const char *)f.inside.p;
            piece->bytes = (uint32_t)bytes;
        } else if (f.number == 2 && f.wire == 5) {
            const uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
        } else if (f.number == 3 && f.wire == 0) {
            if (f.value < FILI_PIECE_NORMAL || f.value > FILI_PIECE_BYTE)
                return broken(c, "a piece has no known type");
            piece->type = (uint8_t)f.value;
        } else if (f.number <= 3) {
            return broken(c, "a field of a piece has the wrong type");
        }
    }
    if (piece->bytes == 0 || memchr(piece->text, 0, piece->bytes) != NULL ||
        !is_utf8((const unsigned char *)piece->text, piece->bytes))
        return broken(c, "a piece is empty or not UTF-8");
    if (!isfinite(score)) return broken(c, "a piece has a score that is no number");
    return FIL_OK;
}

static int64_t count_pieces(message m)
{
    int64_t n = 0;
    while (m.p < m.end) {
        field f;
        if (!read_field(&m, &f)) return -1;
        n += f.number == 1;
    }
    return n;
}

static int is_text(const fili_piece *piece, const char *text)
{
    return piece->bytes == strlen(text) && memcmp(piece->text, text, piece->bytes) == 0;
}

/* ---- the trainer's and the normalizer's settings -------------------------------------------- */

static fil_status read_trainer(check *c, message m)
{
    while (m.p < m.end) {
        field f;
        if (!read_field(&m, &f)) return broken(c, "its training settings are damaged");
        if (f.wire != 0) continue;
        if (f.number == 3) c->model_type = f.value;
        /* Signed 32-bit: -1 comes as ten bytes. */
        if (f.number == 42) c->eos = (int32_t)(uint32_t)f.value;
    }
    return FIL_OK;
}

/* Every place that a walk can reach is inside the array, every value inside the texts. */
typedef struct trie {
    const unsigned char *units, *texts;
    uint32_t             n_units, n_texts;
    unsigned char       *seen;  /* [n_units] */
    uint32_t            *stack; /* [n_units] */
    uint32_t             depth;
} trie;

static uint32_t unit(const trie *t, uint32_t at)
{
    return fili_le32(t->units + 4 * (size_t)at);
}

static uint32_t base_of(uint32_t at, uint32_t u)
{
    return at ^ ((u >> 10) << ((u & 0x200) >> 6));
}

static bool leaf_fits(const trie *t, uint32_t base)
{
    const uint32_t value = unit(t, base) & 0x7fffffff;
    return value < t->n_texts && (t->texts[value] & 0xc0) != 0x80;
}

static bool push_children(trie *t, uint32_t base)
{
    if ((base | 0xff) >= t->n_units) return false;
    for (uint32_t byte = 1; byte < 256; byte++) {
        const uint32_t at = base ^ byte;
        if ((unit(t, at) & 0x800000ff) != byte || t->seen[at]) continue;
        t->seen[at]          = 1;
        t->stack[t->depth++] = at;
    }
    return true;
}

static bool walk_trie(trie *t)
{
    t->depth = 0;
    if (t->n_units == 0 || !push_children(t, base_of(0, unit(t, 0)))) return false;
    while (t->depth > 0) {
        const uint32_t at   = t->stack[--t->depth];
        const uint32_t u    = unit(t, at);
        const uint32_t base = base_of(at, u);
        if (!push_children(t, base)) return false;
        if ((u & 0x100) && !leaf_fits(t, base)) return false;
    }
    return true;
}

static fil_status check_trie(const check *c, trie *t)
{
    fil_status status;
    void      *seen  = NULL;
    void      *stack = NULL;
    FIL_TRY_OR(done, fili_calloc(c->ctx, t->n_units, 1, "a tokenizer", &seen));
    FIL_TRY_OR(done, fili_calloc(c->ctx, t->n_units, sizeof(uint32_t), "a tokenizer", &stack));
    t->seen  = seen;
    t->stack = stack;
    if (!walk_trie(t)) status = broken(c, "its character replacements lead outside of their table");
done:
    fili_free(c->ctx, seen, t->n_units);
    fili_free(c->ctx, stack, t->n_units * sizeof(uint32_t));
    return status;
}

static fil_status check_charsmap(const check *c, message m)
{
    const size_t bytes = (size_t)(m.end - m.p);
    if (bytes == 0) return FIL_OK;
    const uint32_t trie_bytes = bytes < 4 ? 0 : fili_le32(m.p);
    if (bytes < 4 || trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes >= bytes - 4)
        return broken(c, "its table of character replacements is cut off");
    if (trie_bytes > MAX_TRIE_BYTES)
        return FIL_FAIL(c->ctx, FIL_E_LIMIT,
                        "'%s': a table of %u bytes of character replacements; at most %d",
                        c->name.text, trie_bytes, MAX_TRIE_BYTES);
    trie t = {.units   = m.p + 4,
              .texts   = m.p + 4 + trie_bytes,
              .n_units = trie_bytes / 4,
              .n_texts = (uint32_t)(bytes - 4 - trie_bytes)};
    if (t.texts[t.n_texts - 1] != 0 || !is_utf8(t.texts, t.n_texts))
        return broken(c, "its character replacements are not UTF-8");
    return check_trie(c, &t);
}

static fil_status read_normalizer(const check *c, message m)
{
    while (m.p < m.end) {
        field f;
        if (!read_field(&m, &f)) return broken(c, "its normalization settings are damaged");
        if (f.number == 2 && f.wire == 2) FIL_TRY(check_charsmap(c, f.inside));
    }
    return FIL_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static fil_status read_model(check *c, message m)
{
    while (m.p < m.end) {
        field f;
        if (!read_field(&m, &f)) return broken(c, "it is damaged or cut off");
        if (f.number > 5) continue;
        if (f.wire != 2) return broken(c, "a part of it has the wrong type");
        if (f.number == 1) FIL_TRY(read_piece(c, f.inside, &c->out->pieces[c->out->n_pieces++]));
        if (f.number == 2) FIL_TRY(read_trainer(c, f.inside));
        if (f.number == 3 || f.number == 5) FIL_TRY(read_normalizer(c, f.inside));
    }
    return FIL_OK;
}

/* The ids that the trainer names, or the pieces that are called so. */
static fil_status find_specials(check *c)
{
    fili_spiece *s       = c->out;
    int32_t      unknown = 0;
    s->unk               = -1;
    s->eos               = c->eos >= 0 && c->eos < s->n_pieces ? (int32_t)c->eos : -1;
    for (int32_t i = 0; i < s->n_pieces; i++) {
        if (s->pieces[i].type == FILI_PIECE_UNKNOWN) {
            s->unk = i;
            unknown++;
        }
        if (s->pieces[i].type == FILI_PIECE_CONTROL && is_text(&s->pieces[i], "</s>")) s->eos = i;
    }
    if (unknown != 1) return broken(c, "it needs one piece of the type 'unknown'");
    if (s->eos < 0) return broken(c, "it has no closing piece '</s>'");
    return FIL_OK;
}

fil_status fili_spiece_check(fil_ctx *ctx, const char *name, const void *model, size_t bytes,
                             fili_spiece *out)
{
    check c = {.ctx        = ctx,
               .name       = fili_quote(name, strlen(name)),
               .out        = out,
               .model_type = UNIGRAM,
               .eos        = -1};
    void *pieces;
    *out = (fili_spiece){.pieces = NULL};
    if (bytes == 0) return broken(&c, "it is empty"); /* model may be NULL then */
    const message all = {.p = model, .end = (const unsigned char *)model + bytes};
    if (bytes > ctx->opt.limits.header_bytes || bytes > INT32_MAX)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "'%s' has %zu bytes; the limit is %llu (header_bytes)",
                        c.name.text, bytes, (unsigned long long)ctx->opt.limits.header_bytes);
    const int64_t n = count_pieces(all);
    if (n < 0) return broken(&c, "it is damaged or cut off");
    if (n == 0) return broken(&c, "it has no pieces");
    if (n > MAX_PIECES)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "'%s' has %lld pieces; at most %d", c.name.text,
                        (long long)n, MAX_PIECES);
    FIL_TRY(fili_calloc(ctx, (size_t)n, sizeof(fili_piece), "a tokenizer", &pieces));
    out->pieces       = pieces;
    fil_status status = read_model(&c, all);
    if (status == FIL_OK && c.model_type != UNIGRAM)
        status = FIL_FAIL(ctx, FIL_E_UNSUP,
                          "'%s' is a sentencepiece model of type %llu; only "
                          "unigram (1) is read",
                          c.name.text, (unsigned long long)c.model_type);
    if (status == FIL_OK) status = find_specials(&c);
    if (status != FIL_OK) {
        fili_free(ctx, out->pieces, (size_t)n * sizeof(fili_piece));
        *out = (fili_spiece){.pieces = NULL};
    }
    return status;
}

void fili_spiece_fini(fil_ctx *ctx, fili_spiece *s)
{
    fili_free(ctx, s->pieces, (size_t)s->n_pieces * sizeof(fili_piece));
    *s = (fili_spiece){.pieces = NULL};
}
