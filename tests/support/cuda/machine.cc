/* tests/support/cuda/machine.cc: see machine.h. */
#include "machine.h"

#include "cuda_bf16.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint3 threadIdx, blockIdx;
dim3  blockDim, gridDim;

/* Saves what a function must keep, and goes on on another stack. */
extern "C" void fil_machine_switch(void **save, void *to);
asm(".pushsection .text\n"
    ".globl fil_machine_switch\n"
    ".hidden fil_machine_switch\n"
    ".type fil_machine_switch, @function\n"
    "fil_machine_switch:\n"
    "pushq %rbp\n"
    "pushq %rbx\n"
    "pushq %r12\n"
    "pushq %r13\n"
    "pushq %r14\n"
    "pushq %r15\n"
    "movq %rsp, (%rdi)\n"
    "movq %rsi, %rsp\n"
    "popq %r15\n"
    "popq %r14\n"
    "popq %r13\n"
    "popq %r12\n"
    "popq %rbx\n"
    "popq %rbp\n"
    "ret\n"
    ".size fil_machine_switch, . - fil_machine_switch\n"
    ".popsection\n");

namespace machine
{

thread *now;

namespace
{

constexpr size_t        kStack    = (size_t)256 << 10;
constexpr size_t        kPage     = 4096;
constexpr size_t        kEnd      = (size_t)228 << 10; /* of shared memory: then a page faults */
constexpr size_t        kWindow   = (size_t)256 << 10; /* shared memory, on its own alignment */
constexpr unsigned long kPatience = 50000000; /* looks in a row at things that do not change */

struct late_copy {
    unsigned long         due;
    uint32_t              barrier, bytes;
    std::function<void()> work;
};

/* An mbarrier as it lies in shared memory. */
struct barrier {
    uint16_t expected, pending;
    int32_t  bytes_and_phase; /* bytes, which may be too many for a while, and a bit */
};

thread                       all[kMaxThreads];
warp                         warps[kMaxThreads / kWarp];
char                        *stacks;
unsigned char               *window;
std::vector<late_copy>       late;
const std::function<void()> *kernel;
void                        *scheduler;
unsigned                     n_threads, n_live, n_synced, n_warps;
bool                         ranked;
long                         lowest; /* rank */
unsigned long                steps, idle;
size_t                       shared_bytes; /* of a CTA */
uint64_t                     dice;

/* Any of n. */
unsigned draw(unsigned n)
{
    dice = dice * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((dice >> 32) * n >> 32);
}

void make_ready(thread &t)
{
    t.of->ready[t.of->n_ready++] = t.lane;
}

void do_late_copies();

/* The warp that goes on: the first of rank, or the first from a drawn one on. NULL: none can. */
warp *pick_warp()
{
    warp          *best  = nullptr;
    const unsigned first = ranked ? 0 : draw(n_warps);
    for (unsigned i = 0; i < n_warps; i++) {
        warp &w = warps[(first + i) % n_warps];
        if (w.n_ready == 0) continue;
        if (!ranked) return &w;
        if (best == nullptr || w.rank > best->rank) best = &w;
    }
    return best;
}

/* Who goes on; NULL if nobody can. */
thread *pick()
{
    steps++;
    if (!late.empty()) do_late_copies();
    if (idle > kPatience) fail("threads look at what nobody changes");
    warp *w = pick_warp();
    if (w == nullptr) return nullptr;
    const unsigned at   = draw(w->n_ready);
    const unsigned lane = w->ready[at];
    w->ready[at]        = w->ready[--w->n_ready];
    return &all[(unsigned)(w - warps) * kWarp + lane];
}

/* Goes on with another thread, or with the scheduler; comes back when somebody picks this one. */
void sleep()
{
    thread *me = now;
    thread *t  = pick();
    if (t == me) return;
    now = t;
    if (t != nullptr) threadIdx = t->index;
    fil_machine_switch(&me->stack, t != nullptr ? t->stack : scheduler);
}

void wake_block()
{
    n_synced = 0;
    for (unsigned i = 0; i < n_threads; i++)
        if (!all[i].done) make_ready(all[i]);
}

/* Where a thread begins, and how it ends. */
void begin_thread()
{
    (*kernel)();
    if (!now->copies.empty() || !now->products.empty())
        fail("a thread ended before the copies or products that it began");
    now->done = true;
    n_live--;
    if (n_live > 0 && n_synced == n_live) wake_block();
    sleep();
    fail("a thread that had ended went on");
}

void *map_memory(size_t bytes, void *where, int flags)
{
    void *p = mmap(where, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    return p != MAP_FAILED ? p : nullptr;
}

/* Shared memory anywhere below 2^32, on a boundary of its size. */
unsigned char *map_window()
{
    for (uintptr_t at = (uintptr_t)1 << 28; at < (uintptr_t)1 << 32; at += (uintptr_t)1 << 24) {
        void *p = map_memory(kWindow, (void *)at, MAP_FIXED_NOREPLACE);
        if ((uintptr_t)p == at) return static_cast<unsigned char *>(p);
        if (p != nullptr) (void)munmap(p, kWindow);
    }
    fail("no room for shared memory below 2^32");
}

void take_memory()
{
    if (stacks != nullptr) return;
    stacks = static_cast<char *>(map_memory(kMaxThreads * kStack, nullptr, MAP_STACK));
    if (stacks == nullptr) fail("no memory for stacks");
    for (unsigned i = 0; i < kMaxThreads; i++) /* a stack that runs over faults */
        (void)mprotect(stacks + i * kStack, kPage, PROT_NONE);
    window = map_window();
    (void)mprotect(window + kEnd, kWindow - kEnd, PROT_NONE);
}

void lay_stack(thread &t, unsigned i)
{
    /* Not at the same place of each: they would share a set of the cache. */
    char  *end = stacks + (i + 1) * kStack - i % 64 * 1088;
    void **top = reinterpret_cast<void **>(end);
    *--top     = nullptr; /* no caller */
    *--top     = reinterpret_cast<void *>(begin_thread);
    for (int r = 0; r < 6; r++)
        *--top = nullptr;
    t.stack = top;
}

void lay_threads(const dim3 &block)
{
    n_threads = n_live = block.x * block.y * block.z;
    n_warps            = (n_threads + kWarp - 1) / kWarp;
    n_synced           = 0;
    lowest             = 0;
    for (unsigned i = 0; i < n_threads; i++) {
        thread &t = all[i];
        t.index   = {i % block.x, i / block.x % block.y, i / block.x / block.y};
        t.lane    = i % kWarp;
        t.of      = &warps[i / kWarp];
        t.done    = false;
        t.copies.clear();
        t.products.clear();
        t.copy_groups = t.product_groups = 0;
        t.is_fenced = t.has_written = false;
        if (t.lane == 0) {
            t.of->lanes   = n_threads - i < kWarp ? n_threads - i : kWarp;
            t.of->arrived = 0;
            t.of->turn    = 0;
            t.of->n_ready = 0;
            t.of->rank    = 1 + (long)draw(1 << 30);
        }
        lay_stack(t, i);
        make_ready(t);
    }
}

barrier &barrier_at(uint32_t address)
{
    const unsigned char *p = reinterpret_cast<unsigned char *>((uintptr_t)address);
    if (p < window || p >= window + kWindow || address % 8 != 0)
        fail("an mbarrier is not in shared memory, or not on 8 bytes");
    return *reinterpret_cast<barrier *>((uintptr_t)address);
}

/* Arrivals, and bytes that the phase waits for on top, or that have come; the last of all ends it.
 */
void change_barrier(uint32_t address, uint32_t arrivals, int32_t bytes)
{
    barrier &b = barrier_at(address);
    if (b.pending < arrivals) fail("more arrivals at an mbarrier than it waits for");
    b.pending = (uint16_t)(b.pending - arrivals);
    b.bytes_and_phase += 2 * bytes;
    idle = 0;
    if (b.pending != 0 || b.bytes_and_phase >> 1 != 0) return;
    b.pending = b.expected;
    b.bytes_and_phase ^= 1;
}

void do_late_copies()
{
    for (size_t i = 0; i < late.size();) {
        if (late[i].due > steps) {
            i++;
            continue;
        }
        const late_copy c = late[i];
        late[i]           = late.back();
        late.pop_back();
        c.work();
        change_barrier(c.barrier, 0, -(int32_t)c.bytes);
    }
}

void run_block()
{
    while (n_live > 0) {
        thread *t = pick();
        if (t == nullptr) {
            if (late.empty()) fail("threads wait for others that will never come");
            continue;
        }
        now       = t;
        threadIdx = t->index;
        fil_machine_switch(&scheduler, t->stack);
    }
    now = nullptr;
    if (!late.empty()) fail("a CTA ended before its copies had arrived");
}

} // namespace

void fail(const char *text)
{
    fprintf(stderr, "the device that is this CPU: %s", text);
    if (now != nullptr)
        fprintf(stderr, "; CTA (%u, %u, %u) of %u x %u x %u, thread %u of %u", blockIdx.x,
                blockIdx.y, blockIdx.z, gridDim.x, gridDim.y, gridDim.z, (unsigned)(now - all),
                n_threads);
    fprintf(stderr, "\n");
    abort();
}

void run_grid(const dim3 &grid, const dim3 &block, size_t shared, const std::function<void()> &body)
{
    static unsigned long launches;
    const unsigned long  blocks   = (unsigned long)grid.x * grid.y * grid.z;
    const bool           backward = (launches++ & 1) != 0; /* CTAs come in no order */
    const size_t         dirty    = shared + kPage < kEnd ? shared + kPage : kEnd;
    take_memory();
    shared_bytes = shared;
    kernel       = &body;
    blockDim     = block;
    gridDim      = grid;
    dice         = launches;
    for (unsigned long n = 0; n < blocks; n++) {
        const unsigned long b = backward ? blocks - 1 - n : n;
        blockIdx              = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                                 (unsigned)(b / grid.x / grid.y)};
        memset(window + kEnd - dirty, 0xff, dirty);
        idle   = 0;
        ranked = (n & 1) != (launches & 2) / 2;
        lay_threads(block);
        run_block();
    }
}

unsigned char *dynamic_shared(size_t alignment)
{
    const size_t at = (kEnd - shared_bytes) / alignment;
    return window + (at - (at % 2 == 0 ? 1 : 0)) * alignment;
}

void pass()
{
    idle++;
    now->of->rank = --lowest; /* others must come to change it */
    make_ready(*now);
    sleep();
}

void sync_block()
{
    if (now->of->arrived != 0) fail("a warp is torn between a barrier and another instruction");
    if (++n_synced == n_live) wake_block();
    sleep();
}

const offer *exchange(const char *what, const offer &mine)
{
    if (now->has_written) fail("shared memory was written for the copy engine and not fenced");
    warp               &w     = *now->of;
    const unsigned long turn  = w.turn;
    offer              *shown = w.shown[turn & 1];
    if (w.arrived == 0) w.what[turn & 1] = what;
    if (w.what[turn & 1] != what && strcmp(w.what[turn & 1], what) != 0)
        fail("lanes of a warp meet at different instructions");
    shown[now->lane] = mine;
    if (++w.arrived < w.lanes) {
        sleep();
        return shown;
    }
    w.arrived = 0;
    w.turn++;
    idle = 0;
    for (thread *t = all + (now - all) / kWarp * kWarp; t < all + n_threads && t->of == &w; t++)
        if (t != now) make_ready(*t);
    return shown;
}

/* ---- cp.async -------------------------------------------------------------------------------- */

static void do_copy(const chunk_copy &c)
{
    if (c.from != nullptr)
        memcpy(c.to, c.from, 16);
    else
        memset(c.to, 0, 16);
}

void copy_chunk(void *to, const void *from)
{
    if (((uintptr_t)to | (uintptr_t)from) % 16 != 0) fail("cp.async is not on 16 bytes");
    now->copies.push_back({to, from, now->copy_groups});
    if (draw(2) != 0) return;
    do_copy(now->copies.back()); /* it may also have arrived at once */
    now->copies.pop_back();
}

void copy_commit()
{
    now->copy_groups++;
}

void copy_wait(unsigned left)
{
    std::vector<chunk_copy> &list = now->copies;
    size_t                   n    = 0;
    for (; n < list.size() && list[n].group + left < now->copy_groups; n++)
        do_copy(list[n]);
    list.erase(list.begin(), list.begin() + (ptrdiff_t)n);
}

/* ---- mbarrier -------------------------------------------------------------------------------- */

void barrier_init(uint32_t address, uint32_t arrivals)
{
    if (arrivals == 0 || arrivals > 0xFFFF) fail("an mbarrier for no arrival, or for too many");
    const uint16_t n    = (uint16_t)arrivals;
    barrier_at(address) = {n, n, 0};
}

void barrier_arrive(uint32_t address, uint32_t count)
{
    change_barrier(address, count, 0);
}

void barrier_expect(uint32_t address, uint32_t bytes)
{
    change_barrier(address, 1, (int32_t)bytes);
}

bool barrier_passed(uint32_t address, uint32_t parity)
{
    return ((uint32_t)barrier_at(address).bytes_and_phase & 1) != parity;
}

void write_for_engine()
{
    now->has_written = true;
}

void fence_for_engine()
{
    now->has_written = false;
}

void copy_later(uint32_t address, uint32_t bytes, const std::function<void()> &work)
{
    (void)barrier_at(address);
    if (bytes >= 1u << 20) fail("more bytes than an mbarrier counts");
    late.push_back({steps + draw(draw(8) == 0 ? 200000 : 500), address, bytes, work});
}

/* ---- wgmma ----------------------------------------------------------------------------------- */

void multiply_later(float *d, const uint32_t (&a)[4], uint64_t b, int columns, bool across,
                    bool accumulate)
{
    if (!now->is_fenced) fail("a product without wgmma.fence before it");
    const offer   *shown = exchange("wgmma", {{a[0], a[1], a[2], a[3], (uint32_t)b, 0}});
    const unsigned first = now->lane & ~3u;
    product        p;
    for (unsigned l = 0; l < 4; l++)
        memcpy(p.a[l], shown[first + l].word, sizeof p.a[l]);
    if (shown[0].word[4] != (uint32_t)b) fail("lanes of a warp multiply different matrices");
    p.d          = d;
    p.b          = b;
    p.columns    = columns;
    p.across     = across;
    p.accumulate = accumulate;
    p.group      = now->product_groups;
    now->products.push_back(p);
}

void multiply_fence()
{
    now->is_fenced = true;
}

void multiply_commit()
{
    now->product_groups++;
}

/* Eight elements of b from a column on, which is a multiple of 8: rows of 128 bytes, eight to an
 * atom of the swizzle; `chunk` from 64 columns to the next. */
static const uint16_t *eight_of(const product &p, uint32_t row, uint32_t column)
{
    const uint32_t start = (uint32_t)(p.b & 0x3FFF) << 4;
    const uint32_t chunk = (uint32_t)(p.b >> 16 & 0x3FFF) << 4;
    const uint32_t atom  = (uint32_t)(p.b >> 32 & 0x3FFF) << 4;
    const uint32_t linear =
        start + column / 64 * chunk + row / 8 * atom + row % 8 * 128 + column % 64 * 2;
    const uint32_t at = linear ^ (linear >> 7 & 7) << 4;
    if (at + 16 > kEnd) fail("wgmma reads behind the end of shared memory");
    return reinterpret_cast<const uint16_t *>(window + at);
}

/* Columns 8 j + pair and the next of b, all k. b is K major (a row is a column of the product, k
 * runs along it), or MN major (a row is a k, columns of the product run along it). */
static void columns_of(const product &p, int j, int pair, float (&b)[2][16])
{
    if (p.across) {
        for (int k = 0; k < 16; k++) {
            const uint16_t *x = eight_of(p, (uint32_t)k, (uint32_t)(8 * j)) + pair;
            b[0][k]           = widen_half(x[0]);
            b[1][k]           = widen_half(x[1]);
        }
        return;
    }
    for (int i = 0; i < 2; i++)
        for (int half = 0; half < 2; half++) {
            const uint16_t *x = eight_of(p, (uint32_t)(8 * j + pair + i), (uint32_t)(8 * half));
            for (int k = 0; k < 8; k++)
                b[i][8 * half + k] = widen_half(x[k]);
        }
}

/* Four sums side by side, joined. */
static float dot(const float (&x)[16], const float (&y)[16])
{
    float part[4] = {};
    for (int k = 0; k < 16; k += 4)
        for (int v = 0; v < 4; v++)
            part[v] += x[k + v] * y[k + v];
    return (part[0] + part[1]) + (part[2] + part[3]);
}

/* What a thread has of the product: rows lane / 4 and lane / 4 + 8 of its warp's 16, and two of
 * every eight columns. */
static void multiply(const product &p)
{
    const int pair = 2 * (int)(now->lane & 3);
    float     a[2][16], b[2][16];
    for (int k = 0; k < 16; k++)
        for (int r = 0; r < 2; r++) {
            const uint32_t word = p.a[k % 8 / 2][r + 2 * (k / 8)];
            a[r][k]             = widen_half((k & 1) != 0 ? word >> 16 : word & 0xFFFF);
        }
    for (int j = 0; j < p.columns / 8; j++) {
        columns_of(p, j, pair, b);
        for (int r = 0; r < 2; r++)
            for (int i = 0; i < 2; i++) {
                float *d = p.d + 4 * j + 2 * r + i;
                *d       = (p.accumulate ? *d : 0.0f) + dot(a[r], b[i]);
            }
    }
}

void multiply_wait(unsigned left)
{
    std::vector<product> &list = now->products;
    now->is_fenced             = false;
    size_t n                   = 0;
    for (; n < list.size() && list[n].group + left < now->product_groups; n++) {
        if (list[n].b >> 62 != 1) fail("a matrix of wgmma has not the swizzle of 128 bytes");
        multiply(list[n]);
    }
    list.erase(list.begin(), list.begin() + (ptrdiff_t)n);
    (void)exchange("wgmma.wait_group", {}); /* the product is the warp's: no lane is ahead */
}

} // namespace machine
