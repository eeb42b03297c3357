/* tests/unit/test_pth_files.c: PyTorch checkpoints on disk: what opening a large one costs, and the
 * fixtures that torch itself has written (FIL_FIXTURES), compared with their safetensors twins.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/tensors.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/pth_make.h"

/* ---- what opening costs --------------------------------------------------------------------- */

typedef struct counter {
    uint64_t calls, bytes;
} counter;

static int64_t counting_pread(void *self, int fd, void *dst, size_t bytes, uint64_t offset)
{
    counter      *c = self;
    const int64_t r = fili_os_posix.pread(NULL, fd, dst, bytes, offset);
    c->calls++;
    c->bytes += r > 0 ? (uint64_t)r : 0;
    return r;
}

enum { T5_STORAGES = 242 };

/* A file as large as the T5 encoder: 242 storages of 48 MB, all holes. */
static void make_large(const char *path)
{
    static char   names[T5_STORAGES][32];
    static char   keys[T5_STORAGES][16];
    static char   titles[T5_STORAGES][32];
    pth_tensor   *tensors = calloc(T5_STORAGES, sizeof *tensors);
    zip_item     *items   = calloc(T5_STORAGES + 2, sizeof *items);
    buffer        pickle  = {0};
    const int64_t n       = 24000000;
    assert_true(tensors != NULL && items != NULL);
    for (int i = 0; i < T5_STORAGES; i++) {
        snprintf(names[i], sizeof names[i], "t5/data/%d", i);
        snprintf(keys[i], sizeof keys[i], "%d", i);
        snprintf(titles[i], sizeof titles[i], "blocks.%d.weight", i);
        tensors[i]   = (pth_tensor){.name     = titles[i],
                                    .storage  = "BFloat16Storage",
                                    .key      = keys[i],
                                    .elements = n,
                                    .rank     = 2,
                                    .shape    = {n / 1000, 1000},
                                    .stride   = {1000, 1}};
        items[i + 2] = (zip_item){names[i], NULL, (uint64_t)n * 2};
    }
    /* The last storage alone has more than 4 GiB: its sizes need ZIP64, too. */
    items[T5_STORAGES + 1].bytes = 5ull << 30;
    pickle_tensors(&pickle, tensors, T5_STORAGES);
    items[0] = (zip_item){"t5/data.pkl", pickle.data, pickle.bytes};
    items[1] = (zip_item){"t5/byteorder", "little", 6};
    zip_make_sparse(path, items, T5_STORAGES + 2);
    buffer_free(&pickle);
    free(tensors);
    free(items);
}

static void opening_15_gigabytes_reads_the_directory_and_the_pickle_alone(void **state)
{
    counter      count = {0};
    fili_os      os    = fili_os_posix;
    fil_ctx     *ctx   = NULL;
    fili_tensors set;
    scratch      s;
    (void)state;
    os.self  = &count;
    os.pread = counting_pread;
    scratch_make(&s);
    const char *path = scratch_path(&s, "t5.pth");
    make_large(path);
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    count = (counter){0}; /* the context has looked at cgroup files */
    fili_tensors_init(&set, ctx, 0);
    const fil_status status = fili_tensors_open(&set, path);
    assert_string_equal(fil_ctx_error(ctx)->message, "");
    assert_int_equal(status, FIL_OK);
    assert_int_equal(set.n_entries, T5_STORAGES);
    assert_true(set.sources[0].file.size > 15ull << 30);
    assert_true(fili_tensors_find(&set, "blocks.240.weight")->offset > 1ull << 32);
    /* The first bytes, the tail, the ZIP64 record, the directory, one header each, two entries. */
    assert_int_equal(count.calls, 1 + 3 + (T5_STORAGES + 2) + 2);
    assert_in_range(count.bytes, 0, 160u << 10);
    print_message("%llu preads, %llu bytes, %llu bytes of memory\n",
                  (unsigned long long)count.calls, (unsigned long long)count.bytes,
                  (unsigned long long)fil_ctx_memory(ctx).peak);
    assert_in_range(fil_ctx_memory(ctx).peak, 0, 1u << 20);
    fili_tensors_fini(&set);
    fil_ctx_close(&ctx);
    scratch_remove(&s);
}

/* ---- files written by torch ----------------------------------------------------------------- */

static const char *fixture(const char *name)
{
    static char path[2][1024];
    static int  next;
    const char *root = getenv("FIL_FIXTURES");
    if (root == NULL) return NULL;
    char *p = path[next++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", root, name);
    return access(p, R_OK) == 0 ? p : NULL;
}

/* Both sets are opened in one context; the caller closes. */
typedef struct pair {
    alloc_fault  json; /* counts only; its memory is zeroed, which satisfies the memory sanitizer */
    fil_ctx     *ctx;
    fili_tensors pth, other;
} pair;

static void open_pair(pair *p, const char *pth, const char *other)
{
    p->json = (alloc_fault){.at = -1};
    alloc_fault_json(&p->json);
    assert_int_equal(fil_ctx_open(&p->ctx, NULL), FIL_OK);
    fili_tensors_init(&p->pth, p->ctx, 0);
    fili_tensors_init(&p->other, p->ctx, 0);
    assert_int_equal(fili_tensors_open(&p->pth, pth), FIL_OK);
    assert_int_equal(fili_tensors_open(&p->other, other), FIL_OK);
    assert_string_equal(p->pth.format, "pytorch");
    assert_string_equal(p->other.format, "safetensors");
}

static void close_pair(pair *p)
{
    fili_tensors_fini(&p->pth);
    fili_tensors_fini(&p->other);
    fil_ctx_close(&p->ctx);
    alloc_fault_json(NULL);
}

static unsigned char *read_tensor(const fili_tensors *set, const fili_entry *e)
{
    unsigned char *data = malloc(e->bytes + (e->bytes == 0));
    assert_non_null(data);
    assert_int_equal(fili_tensors_read(set, e, 0, data, e->bytes), FIL_OK);
    return data;
}

/* Number i of f32 or bf16 data, as the bits of an f32. */
static uint32_t f32_bits(const fili_entry *e, const unsigned char *data, uint64_t i)
{
    const unsigned char *p    = data + i * (fil_dtype_bits(e->dtype) / 8);
    const uint32_t       high = (uint32_t)(p[0] | p[1] << 8);
    return e->dtype == FIL_BF16 ? high << 16 : high | (uint32_t)(p[2] | p[3] << 8) << 16;
}

static void assert_same_values(const pair *p, const fili_entry *a, const fili_entry *b)
{
    unsigned char *x = read_tensor(&p->pth, a);
    unsigned char *y = read_tensor(&p->other, b);
    const uint64_t n = a->bytes / (fil_dtype_bits(a->dtype) / 8);
    assert_int_equal(n, b->bytes / (fil_dtype_bits(b->dtype) / 8));
    for (uint64_t i = 0; i < n; i++)
        if (f32_bits(a, x, i) != f32_bits(b, y, i))
            fail_msg("'%s' differs at element %llu", a->name, (unsigned long long)i);
    free(x);
    free(y);
}

static void torchs_vae_file_equals_the_safetensors_file_in_names_shapes_and_values(void **state)
{
    const char *pth   = fixture("pipeline/original/Wan2.1_VAE.pth");
    const char *other = fixture("vae/wan_vae_bf16.safetensors");
    pair        p;
    (void)state;
    if (pth == NULL || other == NULL) {
        skip();
        return;
    }
    open_pair(&p, pth, other);
    assert_int_equal(p.pth.n_entries, 194);
    assert_int_equal(p.other.n_entries, 194);
    for (size_t i = 0; i < p.pth.n_entries; i++) {
        const fili_entry *a = &p.pth.entries[i];
        const fili_entry *b = &p.other.entries[i];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, FIL_F32);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, a->rank * sizeof *a->shape);
        assert_same_values(&p, a, b);
    }
    assert_non_null(fili_tensors_find(&p.pth, "encoder.conv1.weight"));
    assert_non_null(fili_tensors_find(&p.pth, "decoder.head.2.bias"));
    close_pair(&p);
}

static void torchs_t5_file_equals_the_safetensors_file_where_names_correspond(void **state)
{
    static const struct {
        const char *ours, *theirs; /* wan.md section 11: official and transformers' names */
    } names[] = {
        {"token_embedding.weight", "shared.weight"},
        {"norm.weight", "encoder.final_layer_norm.weight"},
        {"blocks.0.norm1.weight", "encoder.block.0.layer.0.layer_norm.weight"},
        {"blocks.0.attn.q.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"},
        {"blocks.0.attn.o.weight", "encoder.block.0.layer.0.SelfAttention.o.weight"},
        {"blocks.1.ffn.fc2.weight", "encoder.block.1.layer.1.DenseReluDense.wo.weight"},
    };
    const char *pth   = fixture("pipeline/original/models_t5_umt5-xxl-enc-bf16.pth");
    const char *other = fixture("pipeline/text_encoder/model.safetensors");
    pair        p;
    (void)state;
    if (pth == NULL || other == NULL) {
        skip();
        return;
    }
    open_pair(&p, pth, other);
    assert_int_equal(p.pth.n_entries, 32);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const fili_entry *a = fili_tensors_find(&p.pth, names[i].ours);
        const fili_entry *b = fili_tensors_find(&p.other, names[i].theirs);
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(a->dtype, FIL_BF16);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, a->rank * sizeof *a->shape);
        assert_same_values(&p, a, b);
    }
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_15_gigabytes_reads_the_directory_and_the_pickle_alone),
        cmocka_unit_test(torchs_vae_file_equals_the_safetensors_file_in_names_shapes_and_values),
        cmocka_unit_test(torchs_t5_file_equals_the_safetensors_file_where_names_correspond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
