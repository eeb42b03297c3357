/* kernel/cuda/select_tiles.cu: block scores and the k largest of each row (kernel/select.h), from
 * pooled tiles to mask bits without leaving the device.
 *
 * Scores: a CTA takes some query blocks of one head, 64 tiles at most, and walks the key tiles 64
 * at a time: a product of 64 x 64 in f32 on the ordinary units (bf16 would make ties, and the
 * product is a 512th of dense attention's). For a softmax it walks twice: first each tile's log of
 * its sum, then the votes, which are added up for each pair of blocks by one thread, in the order
 * of the tiles. A key block may lie across two steps: its sum goes on in memory. The k largest: a
 * CTA takes one row, finds the k-th largest bit by bit from the top by counting, and writes bits:
 * all above it, and of its equals the first ones.
 */
#include "kernel/cuda/cuda_device.h"
#include "kernel/cuda/mma_tile.h"
#include "kernel/select.h"

using namespace filk;

namespace
{

#define STEP        64 /* tiles on either side */
#define PITCH       (STEP + 4)
#define THREADS     256
#define TOP_THREADS 256
#define MAX_D       128

struct params {
    filk_select_args a;
    const int32_t   *q_tiles, *k_tiles;
    float           *score;
    int32_t          heads, kv_heads, head_dim, tq, tk, mq, mk, keep;
    int32_t          group;  /* heads of a key-value head */
    int32_t          blocks; /* query blocks of a CTA */
};

struct shared_steps {
    float q[MAX_D][PITCH]; /* [d][tile] */
    float k[MAX_D][PITCH];
};

/* Transposed, zeros behind the last tile. */
__device__ inline void load_step(float (*to)[PITCH], const float *from, int64_t stride, int D,
                                 int first, int n)
{
    for (int i = threadIdx.x; i < STEP * D; i += THREADS) {
        const int tile = i / D;
        const int d    = i % D;
        to[d][tile]    = tile < n ? from[(int64_t)(first + tile) * stride + d] : 0.0f;
    }
}

/* Thread (x, y) of 16 x 16 has query tiles 4y to 4y + 3 against key tiles 4x to 4x + 3. */
__device__ inline void products(float (&c)[4][4], const shared_steps &s, int D)
{
    const int x = threadIdx.x & 15;
    const int y = threadIdx.x >> 4;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            c[i][j] = 0.0f;
#pragma unroll 4
    for (int d = 0; d < D; d++) {
        const float4 q    = *reinterpret_cast<const float4 *>(&s.q[d][4 * y]);
        const float4 k    = *reinterpret_cast<const float4 *>(&s.k[d][4 * x]);
        const float  a[4] = {q.x, q.y, q.z, q.w};
        const float  b[4] = {k.x, k.y, k.z, k.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                c[i][j] = fmaf(a[i], b[j], c[i][j]);
    }
}

__device__ inline bool takes_part(const params &p, const int32_t *count, int j)
{
    return j < p.tk && (count == nullptr || count[j] > 0);
}

struct tile_sums {
    float max[4], sum[4];
};

/* x in base 2. */
__device__ inline void add_to_sums(const float (&x)[4][4], tile_sums &t)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float top = t.max[i];
#pragma unroll
        for (int j = 0; j < 4; j++)
            top = fmaxf(top, x[i][j]);
        const float base = top == -INFINITY ? 0.0f : top;
        float       sum  = 0.0f;
#pragma unroll
        for (int j = 0; j < 4; j++)
            sum += exp2f(x[i][j] - base);
        t.sum[i] = t.sum[i] * exp2f(t.max[i] - base) + sum;
        t.max[i] = top;
    }
}

/* Joins the sixteen threads of a tile: the log of its sum, base 2; +inf if it has none. */
__device__ inline float join(const tile_sums &t, int i)
{
    float top = t.max[i];
#pragma unroll
    for (int w = 8; w > 0; w >>= 1)
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, w));
    const float base = top == -INFINITY ? 0.0f : top;
    float       sum  = t.sum[i] * exp2f(t.max[i] - base);
#pragma unroll
    for (int w = 8; w > 0; w >>= 1)
        sum += __shfl_xor_sync(0xffffffffu, sum, w);
    return sum == 0.0f ? INFINITY : base + log2f(sum);
}

struct place {
    int            head, first_block, blocks, first_tile, tiles;
    const float   *k;
    const int32_t *count;
};

/* Logits of a step, base 2, -inf where no tile takes part. All threads; syncs. */
__device__ inline void logits_of(float (&x)[4][4], const params &p, const place &at,
                                 shared_steps &s, int first)
{
    const int n = min(STEP, p.tk - first);
    __syncthreads();
    load_step(s.k, at.k, (int64_t)p.kv_heads * p.head_dim, p.head_dim, first, n);
    __syncthreads();
    products(x, s, p.head_dim);
    const float scale = p.a.scale * FILK_LOG2E;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const bool takes = takes_part(p, at.count, first + 4 * (threadIdx.x & 15) + j);
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[i][j] = takes ? x[i][j] * scale : -INFINITY;
    }
}

/* Adds the votes of a step, laid out in s.k's memory, to the scores of its blocks. v: the block
 * that holds tile `first`. Returns the block that holds the next step's first tile. */
__device__ inline int add_votes(const params &p, const place &at, const shared_steps &s,
                                const int32_t *k_tiles, int first, int v)
{
    const int end  = min(first + STEP, p.tk);
    int       last = v; /* the block that holds tile end - 1 */
    for (int low = v, high = p.mk; high - low > 1;) {
        const int middle = (low + high) / 2;
        if (k_tiles[middle] < end)
            low = last = middle;
        else
            high = middle;
    }
    const int n = last - v + 1;
    for (int pair = threadIdx.x; pair < n * at.blocks; pair += THREADS) {
        const int u    = at.first_block + pair / n;
        const int b    = v + pair % n;
        const int from = max(k_tiles[b], first) - first;
        const int to   = min(k_tiles[b + 1], end) - first;
        float    *out  = p.score + ((int64_t)at.head * p.mq + u) * p.mk + b;
        float     sum  = k_tiles[b] < first ? *out : 0.0f;
        for (int i = p.q_tiles[u]; i < p.q_tiles[u + 1]; i++)
            for (int j = from; j < to; j++)
                sum += s.k[i - at.first_tile][j];
        *out = sum;
    }
    return k_tiles[last + 1] > end ? last : last + 1;
}

__global__ void __launch_bounds__(THREADS) vote(const __grid_constant__ params p)
{
    FILK_SHARED_ARRAY(unsigned char, memory, 16);
    shared_steps &s       = *reinterpret_cast<shared_steps *>(memory);
    int32_t      *k_tiles = reinterpret_cast<int32_t *>(memory + sizeof(shared_steps));
    const int     x       = threadIdx.x & 15;
    const int     y       = threadIdx.x >> 4;
    place         at;
    at.head        = blockIdx.y;
    at.first_block = blockIdx.x * p.blocks;
    at.blocks      = min(p.blocks, p.mq - at.first_block);
    at.first_tile  = p.q_tiles[at.first_block];
    at.tiles       = p.q_tiles[at.first_block + at.blocks] - at.first_tile;
    at.k           = p.a.k + (at.head / p.group) * p.head_dim;
    at.count =
        p.a.count == nullptr ? nullptr : p.a.count + (at.head / p.group) * p.a.count_stride_h;
    for (int i = threadIdx.x; i <= p.mk; i += THREADS)
        k_tiles[i] = p.k_tiles[i];
    load_step(s.q, p.a.q + at.head * p.head_dim, (int64_t)p.heads * p.head_dim, p.head_dim,
              at.first_tile, at.tiles);

    float     c[4][4];
    float     lse[4];
    tile_sums t;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        t.max[i] = -INFINITY;
        t.sum[i] = 0.0f;
    }
    for (int first = 0; first < p.tk; first += STEP) {
        logits_of(c, p, at, s, first);
        add_to_sums(c, t);
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        lse[i] = join(t, i);

    int v = 0;
    for (int first = 0; first < p.tk; first += STEP) {
        logits_of(c, p, at, s, first);
        __syncthreads(); /* the keys have been read: the votes take their place, [tile][tile] */
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                s.k[4 * y + i][4 * x + j] =
                    takes_part(p, at.count, first + 4 * x + j) ? exp2f(c[i][j] - lse[i]) : 0.0f;
        __syncthreads();
        v = add_votes(p, at, s, k_tiles, first, v);
    }
}

/* Tiles are blocks: the logits are the scores. */
__global__ void __launch_bounds__(THREADS) dot(const __grid_constant__ params p)
{
    FILK_SHARED_ARRAY(unsigned char, memory, 16);
    shared_steps &s    = *reinterpret_cast<shared_steps *>(memory);
    const int     head = blockIdx.z;
    const int     u    = blockIdx.y * STEP;
    const int     v    = blockIdx.x * STEP;
    float         c[4][4];
    load_step(s.q, p.a.q + head * p.head_dim, (int64_t)p.heads * p.head_dim, p.head_dim, u,
              min(STEP, p.tq - u));
    load_step(s.k, p.a.k + (head / p.group) * p.head_dim, (int64_t)p.kv_heads * p.head_dim,
              p.head_dim, v, min(STEP, p.tk - v));
    __syncthreads();
    products(c, s, p.head_dim);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int row    = u + 4 * (threadIdx.x >> 4) + i;
            const int column = v + 4 * (threadIdx.x & 15) + j;
            if (row < p.mq && column < p.mk)
                p.score[((int64_t)head * p.mq + row) * p.mk + column] = c[i][j] * p.a.scale;
        }
}

/* ---- the k largest -------------------------------------------------------------------------- */

/* filk_select_key of kernel/select.h, on the device. */
__device__ inline uint32_t key_of(uint32_t bits)
{
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
    if (bits == 0x80000000u) bits = 0;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline int sum_of_block(int n, int *space)
{
    n = __reduce_add_sync(0xffffffffu, n);
    __syncthreads(); /* the last sum has been read */
    if ((threadIdx.x & 31) == 0) space[threadIdx.x >> 5] = n;
    __syncthreads();
    int total = 0;
#pragma unroll
    for (int w = 0; w < TOP_THREADS / 32; w++)
        total += space[w];
    return total;
}

__global__ void __launch_bounds__(TOP_THREADS) top(const __grid_constant__ params p)
{
    FILK_SHARED_ARRAY(uint32_t, keys, 16); /* [mk] */
    __shared__ int space[TOP_THREADS / 32];
    const int64_t  row   = (int64_t)blockIdx.y * p.mq + blockIdx.x;
    const int      words = (p.mk + 31) / 32;
    const int      lane  = threadIdx.x & 31;
    for (int b = threadIdx.x; b < p.mk; b += TOP_THREADS)
        keys[b] = key_of(__float_as_uint(p.score[row * p.mk + b]));
    __syncthreads();
    uint32_t limit = 0;
    int      equal = 0; /* of the numbers at the limit, how many are kept */
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        int n = 0;
        for (int b = threadIdx.x; b < p.mk; b += TOP_THREADS)
            n += keys[b] >= (limit | bit);
        if (sum_of_block(n, space) >= p.keep) limit |= bit;
    }
    int above = 0;
    for (int b = threadIdx.x; b < p.mk; b += TOP_THREADS)
        above += keys[b] > limit;
    equal = p.keep - sum_of_block(above, space);
    if (threadIdx.x >= 32) return;
    for (int w = 0; w < words; w++) { /* one warp, in order: ties go to the first */
        const int      b     = 32 * w + lane;
        const uint32_t key   = b < p.mk ? keys[b] : 0;
        const bool     tie   = b < p.mk && key == limit;
        const uint32_t ties  = __ballot_sync(0xffffffffu, tie);
        const int      place = __popc(ties & ((1u << lane) - 1));
        const bool     kept  = b < p.mk && (key > limit || (tie && place < equal));
        const uint32_t bits  = __ballot_sync(0xffffffffu, kept);
        if (lane == 0) p.a.mask[row * words + w] = bits;
        equal -= __popc(ties);
    }
}

/* Query blocks of a CTA, so that their tiles fit whatever they are. */
int32_t blocks_of(const filk_select_problem *p)
{
    int32_t most = 1;
    for (int32_t u = 0; u < p->mq; u++) {
        const int32_t n = p->q_tiles[u + 1] - p->q_tiles[u];
        most            = n > most ? n : most;
    }
    return most > STEP ? 1 : STEP / most;
}

fil_status score(filk_cuda_device *d, const filk_select_problem *p, const params &k)
{
    filk_grid g;
    g.block  = dim3(THREADS);
    g.shared = sizeof(shared_steps);
    if (p->kind == FILK_SELECT_LOGIT) {
        g.grid = dim3((unsigned)((p->mk + STEP - 1) / STEP), (unsigned)((p->mq + STEP - 1) / STEP),
                      (unsigned)p->heads);
        return filk_cuda_launch(&d->s, "select, logits", dot, g, k);
    }
    g.grid = dim3((unsigned)((p->mq + k.blocks - 1) / k.blocks), (unsigned)p->heads);
    g.shared += sizeof(int32_t) * (size_t)(p->mk + 1);
    return filk_cuda_launch(&d->s, "select, votes", vote, g, k);
}

} // namespace

size_t filk_cuda_select_workspace(const void *problem)
{
    const filk_select_problem *p = static_cast<const filk_select_problem *>(problem);
    return sizeof(float) * (size_t)p->heads * (size_t)p->mq * (size_t)p->mk;
}

fil_status filk_cuda_select_run(void *device, const void *problem, const void *args,
                                void *workspace)
{
    filk_cuda_device          *d = static_cast<filk_cuda_device *>(device);
    const filk_select_problem *p = static_cast<const filk_select_problem *>(problem);
    params                     k;
    filk_grid                  g;
    k.a               = *static_cast<const filk_select_args *>(args);
    k.score           = k.a.score != NULL ? k.a.score : static_cast<float *>(workspace);
    k.heads           = p->heads;
    k.kv_heads        = p->kv_heads;
    k.head_dim        = p->head_dim;
    k.tq              = p->tq;
    k.tk              = p->tk;
    k.mq              = p->mq;
    k.mk              = p->mk;
    k.keep            = p->keep;
    k.group           = p->heads / p->kv_heads;
    k.blocks          = blocks_of(p);
    fil_status status = filk_cuda_table_of(d, p->q_tiles, (size_t)p->mq + 1, &k.q_tiles);
    if (status == FIL_OK) status = filk_cuda_table_of(d, p->k_tiles, (size_t)p->mk + 1, &k.k_tiles);
    if (status == FIL_OK) status = score(d, p, k);
    if (status != FIL_OK) return status;
    g.grid   = dim3((unsigned)p->mq, (unsigned)p->heads);
    g.block  = dim3(TOP_THREADS);
    g.shared = sizeof(uint32_t) * (size_t)p->mk;
    return filk_cuda_launch(&d->s, "select, top", top, g, k);
}
