/* tests/support/cuda/machine.h: a multiprocessor that is this CPU, so that tests run the CUDA
 * backend's own sources on machines without a GPU: kernels, launches, copies, streams.
 *
 * The sources are compiled as C++ against the headers in this folder, which stand in for the
 * vendor's: cuda_runtime.h and cuda_bf16.h (what the language and the runtime have), cuda.h and
 * cublasLt.h (what the driver and cuBLASLt have), kernel/cuda/ptx_*.cuh (the instructions). A
 * thread of a kernel is a fiber here. It runs until it waits for others; which one goes on then is
 * drawn, from a number that every launch begins anew with. In every other CTA any thread may be
 * next. In the others warps have an order, drawn too: one runs as far as it can while all that come
 * after it stand still, which shows barriers that are missing. What hardware may do late is done
 * late: asynchronous copies and products when they are waited for, bulk copies some steps later,
 * queued work at the next wait for the stream. Dynamic shared memory is full of NaN when a CTA
 * begins, ends where a page faults, and is aligned no better than it was asked to be.
 *
 * It judges whether kernels are right, as far as their instructions are what these headers say. It
 * knows nothing of time, of memory ordering between threads, and of registers.
 */
#ifndef FIL_TEST_CUDA_MACHINE_H
#define FIL_TEST_CUDA_MACHINE_H

#include <stddef.h>
#include <stdint.h>
#include <functional>
#include <vector>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern uint3 threadIdx, blockIdx; /* of the thread whose code runs */
extern dim3  blockDim, gridDim;

namespace machine
{

constexpr unsigned kWarp       = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t   kShared     = (size_t)227 << 10; /* of a CTA */

/* What a lane shows to its warp: the largest is a fragment of mma.m16n8k16. */
struct offer {
    uint32_t word[6];
};

struct warp {
    unsigned      lanes, arrived;
    unsigned      ready[kWarp], n_ready; /* lanes that can go on */
    long          rank;                  /* the highest goes first */
    unsigned long turn;
    const char   *what[2]; /* the instruction of a turn */
    offer         shown[2][kWarp];
};

/* cp.async: 16 bytes, or zeros where from is null. */
struct chunk_copy {
    void       *to;
    const void *from;
    unsigned    group;
};

/* d += a b, or = : see wgmma in machine.cc. */
struct product {
    float   *d;
    uint32_t a[4][4]; /* of the four lanes that hold these rows */
    uint64_t b;
    int      columns;
    bool     across, accumulate;
    unsigned group;
};

struct thread {
    uint3                   index;
    unsigned                lane;
    warp                   *of;
    void                   *stack; /* where it goes on */
    bool                    done;
    unsigned                copy_groups, product_groups;
    bool                    is_fenced;   /* wgmma.fence, since the last wait */
    bool                    has_written; /* for the copy engine or wgmma, without a fence since */
    std::vector<chunk_copy> copies;
    std::vector<product>    products;
};

extern thread *now; /* whose code runs */

/* Runs body() as every thread of every CTA. */
void run_grid(const dim3 &grid, const dim3 &block, size_t shared,
              const std::function<void()> &body);

/* The CTA's dynamic shared memory, at an odd multiple of `alignment`: its address fits in 32 bits,
 * and its low 18 bits say where in shared memory it is. */
unsigned char *dynamic_shared(size_t alignment);

/* Lets other threads go on: at each look at something that another one is to change. */
void pass();

void sync_block();

/* Waits for all lanes of the warp; what each of them shows. Valid until the thread's next exchange.
 * `what` names the instruction: lanes that meet at different ones are an error. */
const offer *exchange(const char *what, const offer &mine);

/* ---- instructions that the headers of kernel/cuda hand on ------------------------------------ */

void copy_chunk(void *to, const void *from);
void copy_commit();
void copy_wait(unsigned left);

/* mbarriers, by address in shared memory */
void barrier_init(uint32_t barrier, uint32_t arrivals);
void barrier_arrive(uint32_t barrier, uint32_t count);
void barrier_expect(uint32_t barrier, uint32_t bytes);
bool barrier_passed(uint32_t barrier, uint32_t parity);

/* Shared memory was written by a thread for the copy engine or wgmma; fence.proxy.async. */
void write_for_engine();
void fence_for_engine();

/* `work` some steps later, then `bytes` arrive at the barrier. */
void copy_later(uint32_t barrier, uint32_t bytes, const std::function<void()> &work);

/* d[64 x columns] of this thread, a[64 x 16] of its warpgroup, b by descriptor. */
void multiply_later(float *d, const uint32_t (&a)[4], uint64_t b, int columns, bool across,
                    bool accumulate);
void multiply_fence();
void multiply_commit();
void multiply_wait(unsigned left);

/* Says what is wrong, and which thread did it; ends the program. */
[[noreturn]] void fail(const char *text);

} // namespace machine

#endif
