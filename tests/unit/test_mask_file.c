/* tests/unit/test_mask_file.c: sparse/mask_file.h: what is written comes back, Python reads it with
 * its standard library alone, and broken files are refused with a sentence.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sparse/mask_file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static uint64_t rng_state;

static uint32_t draw(uint32_t n) /* splitmix64 */
{
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

/* ---- a set of masks ------------------------------------------------------------------------- */

enum { MASKS = 3, HEADS = 2 };

static const fili_mask_key keys[MASKS] = {{0, 7, 1}, {0, -1, -1}, {5, -1, 0}};

typedef struct sample {
    fil_ctx    *ctx;
    scratch     dir;
    fili_order  order;
    fili_blocks blocks;
    fili_mask   mask[MASKS];
} sample;

static void draw_masks(sample *s, uint64_t seed)
{
    rng_state = seed;
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < MASKS; i++) {
        assert_int_equal(fili_mask_init(&s->mask[i], s->ctx, HEADS, s->blocks.m, s->blocks.m),
                         FIL_OK);
        for (int32_t k = 0; k < HEADS * s->blocks.m * s->blocks.m / 3; k++)
            assert_int_equal(fili_mask_set(&s->mask[i], (int32_t)draw(HEADS),
                                           (int32_t)draw((uint32_t)s->blocks.m),
                                           (int32_t)draw((uint32_t)s->blocks.m), true),
                             FIL_OK);
    }
}

static void sample_make(sample *s, const fili_os *os, fil_options *opt)
{
    fili_order_spec spec;
    assert_int_equal(fili_ctx_open_on(os, &s->ctx, opt), FIL_OK);
    scratch_make(&s->dir);
    assert_int_equal(fili_order_parse(s->ctx, "hilbert-cubes 4x4x4", &spec), FIL_OK);
    assert_int_equal(fili_order_init(&s->order, s->ctx, (fili_grid){5, 9, 14}, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&s->blocks, &s->order), FIL_OK);
    assert_true(s->blocks.m % 32 != 0); /* so that there are unused bits */
    draw_masks(s, 51);
}

static void sample_free(sample *s)
{
    for (int i = 0; i < MASKS; i++)
        fili_mask_fini(&s->mask[i]);
    fili_blocks_fini(&s->blocks);
    fili_order_fini(&s->order);
    scratch_remove(&s->dir);
    fil_ctx_close(&s->ctx);
}

static fili_mask_desc desc_of(const sample *s)
{
    return (fili_mask_desc){.order   = &s->order,
                            .q       = &s->blocks,
                            .k       = &s->blocks,
                            .map     = keys,
                            .n_masks = MASKS,
                            .heads   = HEADS};
}

static fil_status write_file(const sample *s, const char *path)
{
    fili_mask_writer     w;
    const fili_mask_desc d      = desc_of(s);
    fil_status           status = fili_mask_writer_open(&w, s->ctx, path, &d, 1);
    for (int i = 0; i < MASKS && status == FIL_OK; i++)
        status = fili_mask_writer_put(&w, &s->mask[i]);
    if (status == FIL_OK) status = fili_mask_writer_finish(&w);
    fili_mask_writer_close(&w);
    return status;
}

static const char *written(const sample *s)
{
    const char *path = scratch_path(&s->dir, "m.safetensors");
    assert_int_equal(write_file(s, path), FIL_OK);
    return path;
}

static void says(const fil_ctx *ctx, const char *text)
{
    if (strcmp(fil_ctx_error(ctx)->message, text) != 0)
        fail_msg("'%s' is not '%s'", fil_ctx_error(ctx)->message, text);
}

/* ---- writing and reading -------------------------------------------------------------------- */

static void what_is_written_comes_back(void **state)
{
    (void)state;
    sample         s;
    fili_mask_file f;
    fili_mask      m;
    sample_make(&s, &fili_os_posix, NULL);
    assert_int_equal(fili_mask_file_open(&f, s.ctx, written(&s)), FIL_OK);
    assert_string_equal(f.order_name, "hilbert-cubes 4x4x4");
    assert_memory_equal(&f.grid, &s.order.grid, sizeof f.grid);
    assert_int_equal(f.n, s.order.n);
    assert_memory_equal(f.order, s.order.order, (size_t)f.n * sizeof *f.order);
    assert_int_equal(f.q.m, s.blocks.m);
    assert_memory_equal(f.q.offset, s.blocks.offset, ((size_t)f.q.m + 1) * sizeof *f.q.offset);
    assert_memory_equal(f.k.offset, s.blocks.offset, ((size_t)f.k.m + 1) * sizeof *f.k.offset);
    assert_int_equal(f.heads, HEADS);
    assert_int_equal(f.n_masks, MASKS);
    assert_memory_equal(f.map, keys, sizeof keys);
    assert_int_equal(fili_mask_init(&m, s.ctx, HEADS, f.q.m, f.k.m), FIL_OK);
    for (int32_t i = 0; i < MASKS; i++) {
        assert_int_equal(fili_mask_file_read(&f, i, &m), FIL_OK);
        assert_true(fili_mask_equal(&m, &s.mask[i]));
    }
    fili_mask_fini(&m);
    fili_mask_file_close(&f);
    fili_mask_file_close(&f);
    sample_free(&s);
}

static void the_first_mask_whose_key_fits_is_found(void **state)
{
    (void)state;
    sample         s;
    fili_mask_file f;
    sample_make(&s, &fili_os_posix, NULL);
    assert_int_equal(fili_mask_file_open(&f, s.ctx, written(&s)), FIL_OK);
    assert_int_equal(fili_mask_file_find(&f, (fili_mask_key){0, 7, 1}), 0);
    assert_int_equal(fili_mask_file_find(&f, (fili_mask_key){0, 7, 0}), 1);
    assert_int_equal(fili_mask_file_find(&f, (fili_mask_key){0, 3, 1}), 1);
    assert_int_equal(fili_mask_file_find(&f, (fili_mask_key){5, 40, 0}), 2);
    assert_int_equal(fili_mask_file_find(&f, (fili_mask_key){5, 40, 1}), -1);
    assert_int_equal(fili_mask_file_find(&f, (fili_mask_key){1, 7, 1}), -1);
    fili_mask_file_close(&f);
    sample_free(&s);
}

static void a_shared_mask_is_one_head_or_every_head_of_a_file(void **state)
{
    (void)state;
    sample           s;
    fili_mask_file   f;
    fili_mask_writer w;
    fili_mask        one;
    fili_mask        back;
    sample_make(&s, &fili_os_posix, NULL);
    const int32_t m = s.blocks.m;
    assert_int_equal(fili_mask_init(&one, s.ctx, 1, m, m), FIL_OK);
    assert_int_equal(fili_mask_spread(&one, &s.mask[0], 1), FIL_OK);
    for (int32_t heads = 1; heads <= 3; heads += 2) {
        const char    *path = scratch_path(&s.dir, heads == 1 ? "one" : "three");
        fili_mask_desc d    = desc_of(&s);
        d.n_masks           = 1;
        d.heads             = heads;
        assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_OK);
        assert_int_equal(fili_mask_writer_put(&w, &one), FIL_OK);
        assert_int_equal(fili_mask_writer_finish(&w), FIL_OK);
        assert_int_equal(fili_mask_file_open(&f, s.ctx, path), FIL_OK);
        assert_int_equal(f.heads, heads);
        assert_int_equal(fili_mask_init(&back, s.ctx, heads, m, m), FIL_OK);
        assert_int_equal(fili_mask_file_read(&f, 0, &back), FIL_OK);
        assert_true(fili_mask_equal(&back, &one));
        fili_mask_fini(&back);
        fili_mask_file_close(&f);
    }
    fili_mask_fini(&one);
    sample_free(&s);
}

static void an_order_of_an_unknown_name_is_taken_as_it_is(void **state)
{
    (void)state;
    sample           s;
    fili_mask_writer w;
    fili_mask_file   f;
    sample_make(&s, &fili_os_posix, NULL);
    const char    *path = scratch_path(&s.dir, "morton");
    fili_mask_desc d    = desc_of(&s);
    d.order_name        = "morton";
    d.n_masks           = 1;
    assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_OK);
    assert_int_equal(fili_mask_writer_put(&w, &s.mask[0]), FIL_OK);
    assert_int_equal(fili_mask_writer_finish(&w), FIL_OK);
    assert_int_equal(fili_mask_file_open(&f, s.ctx, path), FIL_OK);
    assert_string_equal(f.order_name, "morton");
    assert_int_equal(fil_ctx_error(s.ctx)->status, FIL_OK);
    fili_mask_file_close(&f);
    sample_free(&s);
}

/* Prints what the test prints, from the file alone, by its definition and nothing else. */
static const char *const python =
    "import json, struct, sys\n"
    "data = open(sys.argv[1], 'rb').read()\n"
    "size = struct.unpack('<Q', data[:8])[0]\n"
    "head = json.loads(data[8:8 + size])\n"
    "def array(name, code):\n"
    "    a, b = head[name]['data_offsets']\n"
    "    return struct.unpack('<%d%s' % ((b - a) // 4, code), data[8 + size + a:8 + size + b])\n"
    "meta = head['__metadata__']\n"
    "print(meta['format'], meta['grid'], meta['order_name'], sep='|')\n"
    "words, order, q, k = array('words', 'I'), array('order', 'i'), array('q_offsets', 'i'), "
    "array('k_offsets', 'i')\n"
    "print(*array('map', 'i'))\n"
    "G, H, M, W = head['words']['shape']\n"
    "for g in range(G):\n"
    "    for h in range(H):\n"
    "        pairs, tokens = 0, 0\n"
    "        for u in range(M):\n"
    "            for v in range(len(k) - 1):\n"
    "                if words[((g * H + h) * M + u) * W + v // 32] >> v % 32 & 1:\n"
    "                    pairs += (q[u + 1] - q[u]) * (k[v + 1] - k[v])\n"
    "                    tokens += order[q[u]] * order[k[v]]\n"
    "        print(g, h, pairs, tokens)\n";

static size_t print_facts(const sample *s, char *text, size_t size)
{
    size_t n =
        (size_t)snprintf(text, size, "%s|%d,%d,%d|%s\n0 7 1 0 -1 -1 5 -1 0\n", FILI_MASK_FORMAT,
                         s->order.grid.f, s->order.grid.h, s->order.grid.w, "hilbert-cubes 4x4x4");
    for (int g = 0; g < MASKS; g++) {
        uint64_t kept[HEADS];
        assert_int_equal(fili_mask_kept(&s->mask[g], &s->blocks, &s->blocks, kept), FIL_OK);
        for (int32_t h = 0; h < HEADS; h++) {
            int64_t tokens = 0;
            for (int32_t u = 0; u < s->blocks.m; u++)
                for (int32_t v = 0; v < s->blocks.m; v++)
                    if (fili_mask_get(&s->mask[g], h, u, v))
                        tokens += (int64_t)s->order.order[s->blocks.offset[u]] *
                                  s->order.order[s->blocks.offset[v]];
            n += (size_t)snprintf(text + n, size - n, "%d %d %llu %lld\n", g, h,
                                  (unsigned long long)kept[h], (long long)tokens);
        }
    }
    return n;
}

static void python_reads_it_with_its_standard_library(void **state)
{
    (void)state;
    sample s;
    char   command[1200];
    char   want[1024];
    char   got[1024];
    if (system("python3 -c 'pass' >/dev/null 2>&1") != 0) {
        printf("skipped: no python3\n");
        skip();
    }
    sample_make(&s, &fili_os_posix, NULL);
    const char *path   = written(&s);
    const char *script = scratch_path(&s.dir, "read.py");
    scratch_write(&s.dir, "read.py", python, strlen(python));
    snprintf(command, sizeof command, "python3 '%s' '%s'", script, path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    const size_t n = fread(got, 1, sizeof got - 1, pipe);
    got[n]         = '\0';
    assert_int_equal(pclose(pipe), 0);
    print_facts(&s, want, sizeof want);
    assert_string_equal(got, want);
    sample_free(&s);
}

/* ---- callers' mistakes ---------------------------------------------------------------------- */

static void a_writer_refuses_what_no_reader_would_take(void **state)
{
    (void)state;
    static const fili_mask_key below[] = {{0, 0, 0}, {0, -2, 0}};
    static const fili_mask_key twice[] = {{0, -1, 0}, {1, 0, 0}, {0, -1, 0}};
    sample                     s;
    fili_mask_writer           w;
    fili_blocks                short_run;
    sample_make(&s, &fili_os_posix, NULL);
    const char    *path = scratch_path(&s.dir, "m");
    fili_mask_desc d    = desc_of(&s);
    d.map               = below;
    d.n_masks           = 2;
    assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_E_ARG);
    says(s.ctx, "mask 1 is for layer 0, step -2, pass 0; expected each from 0, or -1 for any");
    fili_ctx_enter(s.ctx);
    d.map     = twice;
    d.n_masks = 3;
    assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_E_ARG);
    says(s.ctx, "two masks for layer 0, step -1, pass 0");
    fili_ctx_enter(s.ctx);
    d.n_masks = 0;
    assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_E_ARG);
    says(s.ctx, "mask file of 0 masks and 2 heads; expected at least 1 of each");
    fili_ctx_enter(s.ctx);
    d = desc_of(&s);
    assert_int_equal(fili_blocks_uniform(&short_run, s.ctx, 629), FIL_OK);
    d.k = &short_run;
    assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_E_SHAPE);
    says(s.ctx, "mask file: the order has 630 tokens, query blocks 630, key blocks 629");
    fili_mask_writer_close(&w);
    assert_int_equal(scratch_count(&s.dir), 0);
    fili_blocks_fini(&short_run);
    sample_free(&s);
}

static void masks_that_do_not_fit_or_are_missing_leave_no_file(void **state)
{
    (void)state;
    sample           s;
    fili_mask_writer w;
    fili_mask        other;
    sample_make(&s, &fili_os_posix, NULL);
    const char          *path = scratch_path(&s.dir, "m");
    const fili_mask_desc d    = desc_of(&s);
    assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_OK);
    assert_int_equal(fili_mask_init(&other, s.ctx, 3, s.blocks.m, s.blocks.m), FIL_OK);
    assert_int_equal(fili_mask_writer_put(&w, &other), FIL_E_SHAPE);
    fili_ctx_enter(s.ctx);
    const int32_t last = s.mask[1].words - 1;
    fili_mask_row(&s.mask[1], 1, 3)[last] |= 1u << 31;
    assert_int_equal(fili_mask_writer_put(&w, &s.mask[1]), FIL_E_ARG);
    fili_ctx_enter(s.ctx);
    assert_int_equal(fili_mask_writer_put(&w, &s.mask[0]), FIL_OK);
    assert_int_equal(fili_mask_writer_finish(&w), FIL_E_ARG);
    says(s.ctx, "mask file: 1 of 3 masks were written");
    assert_int_equal(scratch_count(&s.dir), 0);
    fili_ctx_enter(s.ctx);
    assert_int_equal(fili_mask_writer_open(&w, s.ctx, path, &d, 0), FIL_OK);
    for (int i = 0; i < MASKS; i++)
        assert_int_equal(fili_mask_writer_put(&w, &s.mask[i == 1 ? 0 : i]), FIL_OK);
    assert_int_equal(fili_mask_writer_put(&w, &s.mask[0]), FIL_E_ARG);
    says(s.ctx, "mask file: all 3 masks are written already");
    fili_mask_writer_close(&w);
    assert_int_equal(scratch_count(&s.dir), 0);
    fili_mask_fini(&other);
    sample_free(&s);
}

static void a_reader_refuses_a_wrong_index_and_a_wrong_mask(void **state)
{
    (void)state;
    sample         s;
    fili_mask_file f;
    fili_mask      m;
    sample_make(&s, &fili_os_posix, NULL);
    assert_int_equal(fili_mask_file_open(&f, s.ctx, written(&s)), FIL_OK);
    assert_int_equal(fili_mask_file_read(&f, 3, &s.mask[0]), FIL_E_ARG);
    says(s.ctx, "mask file: mask 3; there are 3");
    fili_ctx_enter(s.ctx);
    assert_int_equal(fili_mask_file_read(&f, -1, &s.mask[0]), FIL_E_ARG);
    fili_ctx_enter(s.ctx);
    assert_int_equal(fili_mask_init(&m, s.ctx, 1, f.q.m, f.k.m), FIL_OK);
    assert_int_equal(fili_mask_file_read(&f, 0, &m), FIL_E_SHAPE);
    fili_mask_fini(&m);
    fili_mask_file_close(&f);
    sample_free(&s);
}

/* ---- broken files --------------------------------------------------------------------------- */

/* A small mask file, 2 x 2 x 3 = 12 tokens in raster order as blocks of 5 and 7, changed in one
 * place. A zero or NULL field means: as it should be. */
typedef struct broken {
    fil_status     status;
    const char    *text;
    const char    *format, *grid, *order_name;
    const char    *missing; /* tensor or metadata key that is left out */
    const char    *odd;     /* tensor that gets another type, rank or shape: */
    fil_dtype      dtype;
    uint32_t       rank;
    int64_t        shape[4];
    const int32_t *order, *map, *offsets;
    uint32_t       word; /* set in the last row */
} broken;

static const int32_t good_order[]   = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const int32_t good_map[]     = {0, 0, -1, 1, 0, -1};
static const int32_t good_offsets[] = {0, 5, 12};

typedef struct part {
    fil_tensor_desc desc;
    const void     *data;
} part;

static const unsigned char zeros[4096];

static size_t drop(part *parts, size_t n, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (name == NULL || strcmp(parts[i].desc.name, name) != 0) parts[kept++] = parts[i];
    return kept;
}

static uint64_t bytes_of(const fil_tensor_desc *t)
{
    uint64_t n = fil_dtype_bits(t->dtype) / 8;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (uint64_t)t->shape[i];
    return n;
}

static void put_file(fil_ctx *ctx, const char *path, const part *parts, size_t n,
                     const fil_pair *pairs, size_t n_pairs)
{
    fil_tensor_desc descs[8];
    fili_writer     w;
    for (size_t i = 0; i < n; i++)
        descs[i] = parts[i].desc;
    const fili_writer_input in = {
        .tensors = descs, .n_tensors = n, .metadata = pairs, .n_pairs = n_pairs};
    assert_int_equal(fili_writer_open(&w, ctx, path, &in, 1), FIL_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fili_writer_put(&w, i, parts[i].data, bytes_of(&descs[i])), FIL_OK);
    assert_int_equal(fili_writer_finish(&w), FIL_OK);
}

static void put_broken(fil_ctx *ctx, const char *path, const broken *b)
{
    const uint32_t words[8] = {1, 2, 3, 0, 1, 2, 3, b->word != 0 ? b->word : 3};
    part           parts[]  = {
                   {{.name = "words", .dtype = FIL_U32, .rank = 4, .shape = {2, 2, 2, 1}}, words},
                   {{.name = "map", .dtype = FIL_I32, .rank = 2, .shape = {2, 3}},
         b->map != NULL ? b->map : good_map},
                   {{.name = "order", .dtype = FIL_I32, .rank = 1, .shape = {12}},
         b->order != NULL ? b->order : good_order},
                   {{.name = "q_offsets", .dtype = FIL_I32, .rank = 1, .shape = {3}}, good_offsets},
                   {{.name = "k_offsets", .dtype = FIL_I32, .rank = 1, .shape = {3}},
         b->offsets != NULL ? b->offsets : good_offsets}};
    fil_pair pairs[] = {{"format", b->format != NULL ? b->format : "filigree.mask.1"},
                        {"grid", b->grid != NULL ? b->grid : "2,2,3"},
                        {"order_name", b->order_name != NULL ? b->order_name : "raster"}};
    size_t   n_pairs = 0;
    for (size_t i = 0; i < 5; i++)
        if (b->odd != NULL && strcmp(b->odd, parts[i].desc.name) == 0) {
            parts[i].desc.dtype = b->dtype;
            parts[i].desc.rank  = b->rank;
            memcpy(parts[i].desc.shape, b->shape, sizeof b->shape);
            if (bytes_of(&parts[i].desc) > 32) parts[i].data = zeros;
        }
    for (size_t i = 0; i < 3; i++)
        if (b->missing == NULL || strcmp(b->missing, pairs[i].key) != 0)
            pairs[n_pairs++] = pairs[i];
    put_file(ctx, path, parts, drop(parts, 5, b->missing), pairs, n_pairs);
}

static const int32_t twice_order[]   = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10};
static const int32_t beyond_order[]  = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12};
static const int32_t other_order[]   = {1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const int32_t twice_map[]     = {0, 0, -1, 0, 0, -1};
static const int32_t below_map[]     = {0, 0, -1, 1, 0, -2};
static const int32_t fall_offsets[]  = {0, 0, 12};
static const int32_t late_offsets[]  = {1, 5, 12};
static const int32_t short_offsets[] = {0, 5, 11};

static const broken table[] = {
    {.status = FIL_OK},
    {FIL_E_FORMAT, "mask file: metadata 'format' is missing", .missing = "format"},
    {FIL_E_FORMAT, "mask file: the format is 'filigree.mask.2'; expected 'filigree.mask.1'",
     .format = "filigree.mask.2"},
    {FIL_E_FORMAT, "mask file: metadata 'grid' is missing", .missing = "grid"},
    {FIL_E_FORMAT, "mask file: metadata 'order_name' is missing", .missing = "order_name"},
    {FIL_E_FORMAT, "mask file: metadata 'order_name' is not printable", .order_name = "a\nb"},
    {FIL_E_FORMAT,
     "grid '2x2x3': expected 'f,h,w', three numbers of 1 to 2147483647, as in '21,30,52'",
     .grid = "2x2x3"},
    {FIL_E_LIMIT, "grid 65536,65536,1 has more than 2147483647 tokens", .grid = "65536,65536,1"},
    {FIL_E_MISMATCH, "mask file: 'order' has 12 tokens, the grid 2,2,4 has 16", .grid = "2,2,4"},
    {FIL_E_FORMAT, "mask file: tensor 'words' is missing", .missing = "words"},
    {FIL_E_FORMAT, "mask file: tensor 'map' is missing", .missing = "map"},
    {FIL_E_FORMAT, "mask file: tensor 'order' is missing", .missing = "order"},
    {FIL_E_FORMAT, "mask file: tensor 'q_offsets' is missing", .missing = "q_offsets"},
    {FIL_E_FORMAT, "mask file: tensor 'k_offsets' is missing", .missing = "k_offsets"},
    {FIL_E_FORMAT, "mask file: 'words' is I32 with 4 dimensions; expected U32 with 4",
     .odd = "words", .dtype = FIL_I32, .rank = 4, .shape = {2, 2, 2, 1}},
    {FIL_E_FORMAT, "mask file: 'words' is U32 with 3 dimensions; expected U32 with 4",
     .odd = "words", .dtype = FIL_U32, .rank = 3, .shape = {2, 2, 2}},
    {FIL_E_FORMAT, "mask file: dimension 1 of 'words' is 0; expected 1 to 2147483647",
     .odd = "words", .dtype = FIL_U32, .rank = 4, .shape = {2, 0, 2, 1}},
    {FIL_E_MISMATCH,
     "mask file: 'words' has 2 rows of 2; 2 query and 2 key blocks need 2 rows of 1",
     .odd = "words", .dtype = FIL_U32, .rank = 4, .shape = {2, 1, 2, 2}},
    {FIL_E_MISMATCH,
     "mask file: 'words' has 1 rows of 1; 2 query and 2 key blocks need 2 rows of 1",
     .odd = "words", .dtype = FIL_U32, .rank = 4, .shape = {2, 4, 1, 1}},
    {FIL_E_MISMATCH, "mask file: 'map' is 2 x 3; expected 4 x 3, a row for each mask",
     .odd = "words", .dtype = FIL_U32, .rank = 4, .shape = {4, 1, 2, 1}},
    {FIL_E_MISMATCH, "mask file: 'map' is 2 x 2; expected 2 x 3, a row for each mask", .odd = "map",
     .dtype = FIL_I32, .rank = 2, .shape = {2, 2}},
    {FIL_E_FORMAT, "two masks for layer 0, step 0, pass -1", .map = twice_map},
    {FIL_E_FORMAT, "mask 1 is for layer 1, step 0, pass -2; expected each from 0, or -1 for any",
     .map = below_map},
    {FIL_E_FORMAT, "mask file: 'order' is I64 with 1 dimensions; expected I32 with 1",
     .odd = "order", .dtype = FIL_I64, .rank = 1, .shape = {12}},
    {FIL_E_FORMAT, "order names token 10 twice, at 10 and at 11", .order = twice_order},
    {FIL_E_FORMAT, "order[11] is 12; expected 0 to 11", .order = beyond_order},
    {FIL_E_MISMATCH, "mask file: 'order' is not the order 'raster' of the grid 2,2,3",
     .order = other_order},
    {FIL_OK, NULL, .order = other_order, .order_name = "swapped"},
    {FIL_OK, NULL, .order = other_order, .order_name = "cubes four"},
    {FIL_E_FORMAT, "block offsets do not rise: 0 and 0 at block 0", .offsets = fall_offsets},
    {FIL_E_FORMAT, "the first block begins at token 1; expected 0", .offsets = late_offsets},
    {FIL_E_FORMAT, "the last block ends at token 11; expected 12", .offsets = short_offsets},
    {FIL_E_FORMAT, "0 blocks; expected at least 1", .odd = "k_offsets", .dtype = FIL_I32, .rank = 1,
     .shape = {1}},
    {FIL_E_FORMAT, "mask: head 1, query block 1 keeps key block 2; there are 2", .word = 4},
    {FIL_E_FORMAT, "mask: head 1, query block 1 keeps key block 31; there are 2",
     .word = 0x80000000u},
};

/* The words are looked at when a mask is read. */
static fil_status open_and_read(fil_ctx *ctx, const char *path)
{
    fili_mask_file f;
    fili_mask      m      = {.ctx = ctx};
    fil_status     status = fili_mask_file_open(&f, ctx, path);
    if (status == FIL_OK) status = fili_mask_init(&m, ctx, f.heads, f.q.m, f.k.m);
    for (int32_t i = 0; i < f.n_masks && status == FIL_OK; i++)
        status = fili_mask_file_read(&f, i, &m);
    fili_mask_fini(&m);
    fili_mask_file_close(&f);
    return status;
}

static void a_broken_file_is_refused_with_a_sentence(void **state)
{
    (void)state;
    fil_ctx *ctx;
    scratch  dir;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    scratch_make(&dir);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *path = scratch_path(&dir, "broken");
        put_broken(ctx, path, &table[i]);
        const fil_status status = open_and_read(ctx, path);
        if (status != table[i].status)
            fail_msg("file %zu: %s, %s", i, fil_status_name(status), fil_ctx_error(ctx)->message);
        if (status != FIL_OK) says(ctx, table[i].text);
        assert_int_equal(fil_ctx_error(ctx)->status, status);
        assert_int_equal(fil_ctx_memory(ctx).used, 0);
        fili_ctx_enter(ctx);
    }
    scratch_remove(&dir);
    fil_ctx_close(&ctx);
}

static void every_truncated_file_is_refused(void **state)
{
    (void)state;
    fil_ctx     *ctx;
    scratch      dir;
    size_t       size;
    const broken good = {.status = FIL_OK};
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    scratch_make(&dir);
    put_broken(ctx, scratch_path(&dir, "good"), &good);
    unsigned char *data = scratch_read(&dir, "good", &size);
    for (size_t n = 0; n < size; n++) {
        scratch_write(&dir, "cut", data, n);
        assert_int_equal(open_and_read(ctx, scratch_path(&dir, "cut")), FIL_E_FORMAT);
        fili_ctx_enter(ctx);
    }
    free(data);
    scratch_remove(&dir);
    fil_ctx_close(&ctx);
}

/* ---- failing calls -------------------------------------------------------------------------- */

static void every_allocation_of_reading_and_writing_may_fail(void **state)
{
    (void)state;
    alloc_fault f = {.at = -1};
    fil_options opt;
    sample      s;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&f);
    sample_make(&s, &fili_os_posix, &opt);
    const char   *path = written(&s);
    const int64_t live = f.live;
    for (int writing = 0; writing < 2; writing++) {
        fil_status status = FIL_E_NOMEM;
        for (int64_t at = 0; status != FIL_OK; at++) {
            f.calls = f.failed = 0;
            f.at               = at;
            fili_ctx_enter(s.ctx);
            status = writing ? write_file(&s, path) : open_and_read(s.ctx, path);
            assert_int_equal(status, f.failed > 0 ? FIL_E_NOMEM : FIL_OK);
            assert_int_equal(f.live, live);
        }
        assert_true(f.calls >= 2);
    }
    f.at = -1;
    assert_int_equal(scratch_count(&s.dir), 1);
    sample_free(&s);
    assert_int_equal(f.live, 0);
}

static void every_system_call_of_reading_and_writing_may_fail(void **state)
{
    (void)state;
    os_fault fault = {.call = OS_ANY, .at = -1};
    fili_os  os    = os_fault_table(&fault);
    sample   s;
    sample_make(&s, &os, NULL);
    const char *path = written(&s);
    for (int writing = 0; writing < 2; writing++) {
        fault.failed = 1;
        for (int64_t at = 0; fault.failed > 0; at++) {
            fault.calls = fault.failed = 0;
            fault.at                   = at;
            fili_ctx_enter(s.ctx);
            const fil_status status = writing ? write_file(&s, path) : open_and_read(s.ctx, path);
            if (fault.failed == 0) assert_int_equal(status, FIL_OK);
            assert_true(status == FIL_OK || status == FIL_E_IO);
            fault.at = -1;
            fili_ctx_enter(s.ctx);
            assert_int_equal(open_and_read(s.ctx, path), FIL_OK);
            assert_int_equal(fault.open, 0);
        }
    }
    sample_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(the_first_mask_whose_key_fits_is_found),
        cmocka_unit_test(a_shared_mask_is_one_head_or_every_head_of_a_file),
        cmocka_unit_test(an_order_of_an_unknown_name_is_taken_as_it_is),
        cmocka_unit_test(python_reads_it_with_its_standard_library),
        cmocka_unit_test(a_writer_refuses_what_no_reader_would_take),
        cmocka_unit_test(masks_that_do_not_fit_or_are_missing_leave_no_file),
        cmocka_unit_test(a_reader_refuses_a_wrong_index_and_a_wrong_mask),
        cmocka_unit_test(a_broken_file_is_refused_with_a_sentence),
        cmocka_unit_test(every_truncated_file_is_refused),
        cmocka_unit_test(every_allocation_of_reading_and_writing_may_fail),
        cmocka_unit_test(every_system_call_of_reading_and_writing_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
