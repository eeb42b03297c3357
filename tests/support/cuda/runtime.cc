/* tests/support/cuda/runtime.cc: the runtime and the driver's tensor maps, on the CPU (machine.h).
 *
 * Memory of the device faults for everybody but queued work, ends at a page that faults, and is
 * full of NaN when it is fresh. Work is queued and runs when somebody waits for it, so that what it
 * reads of the host's memory is read as late as it may be.
 *
 *     FIL_EMULATED_ARCH=80   what chip it is (90 otherwise)
 *     FIL_FAKE_BYTES=N       its memory (4 GiB otherwise)
 */
#include <cuda_runtime.h>
#include <cuda.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <deque>
#include <map>
#include <mutex>

struct machine_stream {
    std::deque<std::function<void()>> work;
};

struct machine_event {
    cudaStream_t stream;
    double       seconds;
    bool         has_run;
};

namespace
{

constexpr size_t kPage  = 4096;
constexpr size_t kLine  = 256;
constexpr size_t kPlain = (size_t)48 << 10; /* of shared memory, without asking */
constexpr int    kSms   = 2;

struct block {
    char  *map;
    size_t map_bytes, bytes;
};

std::recursive_mutex           lock;
std::map<const char *, block>  blocks; /* by their address */
std::map<const void *, size_t> allowed;
std::map<const char *, size_t> pinned; /* memory of the host */
std::deque<cudaStream_t>       streams;
cudaError_t                    last;
size_t                         used;
int                            inside;

#define LOCKED const std::lock_guard<std::recursive_mutex> guard(lock)

cudaError_t fails(cudaError_t e)
{
    if (e != cudaSuccess) last = e;
    return e;
}

size_t number_of(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    return text != nullptr ? strtoull(text, nullptr, 10) : otherwise;
}

size_t all_bytes()
{
    return number_of("FIL_FAKE_BYTES", (size_t)4 << 30);
}

/* The block that holds p and the bytes behind it, or NULL. */
const block *block_of(const void *p, size_t bytes)
{
    const char *at = static_cast<const char *>(p);
    auto        it = blocks.upper_bound(at);
    if (it == blocks.begin()) return nullptr;
    --it;
    return at + bytes <= it->first + it->second.bytes ? &it->second : nullptr;
}

/* Not scratch memory, which comes in pieces of 32 MiB that the host gets no pointer to. */
bool is_guarded(const block &b)
{
    return b.bytes < (size_t)32 << 20;
}

void protect(const block &b, int prot)
{
    if (is_guarded(b)) (void)mprotect(b.map + kPage, b.map_bytes - 2 * kPage, prot);
}

/* Between the two the device's memory can be touched. */
void go_in()
{
    if (inside++ > 0) return;
    for (const auto &b : blocks)
        protect(b.second, PROT_READ | PROT_WRITE);
}

void go_out()
{
    if (--inside > 0) return;
    for (const auto &b : blocks)
        protect(b.second, PROT_NONE);
}

void drain(cudaStream_t s)
{
    if (s->work.empty()) return;
    go_in();
    while (!s->work.empty()) {
        const std::function<void()> work = std::move(s->work.front());
        s->work.pop_front();
        work();
    }
    go_out();
}

void drain_all()
{
    for (cudaStream_t s : streams)
        drain(s);
}

cudaError_t take(size_t bytes, void **out)
{
    block        b;
    const size_t whole = (bytes + kLine - 1) / kLine * kLine;
    const size_t pages = (whole + kPage - 1) / kPage * kPage;
    *out               = nullptr;
    b.bytes            = whole;
    b.map_bytes        = pages + 2 * kPage;
    if (used + whole > all_bytes()) return fails(cudaErrorMemoryAllocation);
    void *map =
        mmap(nullptr, b.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return fails(cudaErrorMemoryAllocation);
    b.map = static_cast<char *>(map);
    (void)mprotect(b.map + kPage, pages, PROT_READ | PROT_WRITE);
    memset(b.map + kPage, 0xff, pages);
    if (inside == 0) protect(b, PROT_NONE);
    char *data   = b.map + kPage + pages - whole;
    blocks[data] = b;
    used += whole;
    *out = data;
    return cudaSuccess;
}

cudaError_t give_back(void *data)
{
    if (data == nullptr) return cudaSuccess;
    const auto it = blocks.find(static_cast<char *>(data));
    if (it == blocks.end()) return fails(cudaErrorInvalidValue);
    drain_all();
    used -= it->second.bytes;
    (void)munmap(it->second.map, it->second.map_bytes);
    blocks.erase(it);
    return cudaSuccess;
}

/* Whether a copy's end is on the side that its kind says. */
bool is_right(const void *p, size_t bytes, bool on_device)
{
    return on_device ? block_of(p, bytes) != nullptr : block_of(p, 1) == nullptr;
}

/* Whether pages that are pinned hold a part of these bytes, but not all. */
bool is_split(const void *p, size_t bytes)
{
    const uintptr_t begin = (uintptr_t)p;
    for (const auto &b : pinned) {
        const uintptr_t from = (uintptr_t)b.first / kPage * kPage;
        const uintptr_t to   = ((uintptr_t)b.first + b.second + kPage - 1) / kPage * kPage;
        if (begin < to && begin + bytes > from && (begin < from || begin + bytes > to)) return true;
    }
    return false;
}

CUresult encode(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *base,
                const cuuint64_t *sizes, const cuuint64_t *strides, const cuuint32_t *box,
                const cuuint32_t *steps, CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
                CUtensorMapL2promotion, CUtensorMapFloatOOBfill)
{
    bool good = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 && rank == 3 &&
                swizzle == CU_TENSOR_MAP_SWIZZLE_128B && (uintptr_t)map % 64 == 0 &&
                (uintptr_t)base % 16 == 0 && box[0] * 2 <= 128 && box[2] == 1;
    for (int i = 0; i < 3; i++)
        good = good && sizes[i] > 0 && sizes[i] <= (uint64_t)1 << 32 && box[i] > 0 &&
               box[i] <= 256 && steps[i] == 1;
    for (int i = 0; i < 2; i++)
        good = good && strides[i] % 16 == 0 && strides[i] < (uint64_t)1 << 40;
    if (!good) return CUDA_ERROR_INVALID_VALUE;
    *map = {static_cast<const unsigned char *>(base),
            {sizes[0], sizes[1], sizes[2]},
            {strides[0], strides[1]},
            {box[0], box[1], box[2]},
            {}};
    return CUDA_SUCCESS;
}

} // namespace

/* ---- devices, errors ------------------------------------------------------------------------- */

cudaError_t cudaSetDevice(int device)
{
    return fails(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    const int arch = (int)number_of("FIL_EMULATED_ARCH", 90);
    if (device != 0) return fails(cudaErrorInvalidDevice);
    snprintf(p->name, sizeof p->name, "a CPU that emulates sm_%d", arch);
    p->major               = arch / 10;
    p->minor               = arch % 10;
    p->multiProcessorCount = kSms;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    LOCKED;
    *total      = all_bytes();
    *free_bytes = *total - used;
    return cudaSuccess;
}

cudaError_t cudaGetLastError()
{
    LOCKED;
    const cudaError_t e = last;
    last                = cudaSuccess;
    return e;
}

const char *cudaGetErrorName(cudaError_t e)
{
    static const char *const names[] = {
        "cudaSuccess",
        "cudaErrorInvalidValue",
        "cudaErrorMemoryAllocation",
        "cudaErrorInvalidConfiguration",
        "cudaErrorInvalidDevice",
        "cudaErrorSymbolNotFound",
        "cudaErrorNotReady",
    };
    return names[e];
}

const char *cudaGetErrorString(cudaError_t e)
{
    static const char *const words[] = {
        "no error",
        "invalid argument",
        "out of memory",
        "invalid configuration argument",
        "invalid device ordinal",
        "named symbol not found",
        "device not ready",
    };
    return words[e];
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **entry, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult *result)
{
    const bool known = strcmp(name, "cuTensorMapEncodeTiled") == 0;
    *entry           = known ? reinterpret_cast<void *>(encode) : nullptr;
    *result          = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

/* ---- streams --------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    LOCKED;
    *stream = new machine_stream;
    streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    LOCKED;
    drain(stream);
    for (auto it = streams.begin(); it != streams.end(); ++it)
        if (*it == stream) {
            streams.erase(it);
            break;
        }
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    LOCKED;
    drain(stream);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = new machine_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    LOCKED;
    drain_all();
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    LOCKED;
    event->stream  = stream;
    event->has_run = false;
    machine::queue(stream, [event]() {
        timespec t;
        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        event->seconds = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
        event->has_run = true;
    });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    LOCKED;
    if (event->stream != nullptr) drain(event->stream);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    LOCKED;
    if (!from->has_run || !to->has_run) return fails(cudaErrorNotReady);
    *ms = (float)(1e3 * (to->seconds - from->seconds));
    return cudaSuccess;
}

/* ---- memory ---------------------------------------------------------------------------------- */

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    LOCKED;
    return take(bytes, out);
}

cudaError_t cudaFree(void *data)
{
    LOCKED;
    return give_back(data);
}

cudaError_t cudaHostRegister(void *data, size_t bytes, unsigned)
{
    LOCKED;
    const char *begin = static_cast<char *>(data);
    for (const auto &b : pinned)
        if (begin < b.first + b.second && begin + bytes > b.first)
            return fails(cudaErrorInvalidValue);
    if (bytes == 0) return fails(cudaErrorInvalidValue);
    pinned[begin] = bytes;
    return cudaSuccess;
}

/* Does not wait: work that is queued would find the memory gone. */
cudaError_t cudaHostUnregister(void *data)
{
    LOCKED;
    for (cudaStream_t s : streams)
        if (!s->work.empty()) machine::fail("memory is unpinned while work is queued");
    return fails(pinned.erase(static_cast<char *>(data)) == 0 ? cudaErrorInvalidValue
                                                              : cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    LOCKED;
    a->device = 0;
    a->type   = block_of(p, 1) != nullptr ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    for (const auto &b : pinned)
        if (p >= b.first && p < b.first + b.second) a->type = cudaMemoryTypeHost;
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream)
{
    LOCKED;
    if (width == 0 || height == 0) return cudaSuccess;
    const bool to_device   = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (to_pitch < width || from_pitch < width ||
        !is_right(to, (height - 1) * to_pitch + width, to_device) ||
        !is_right(from, (height - 1) * from_pitch + width, from_device) ||
        is_split(to, (height - 1) * to_pitch + width) ||
        is_split(from, (height - 1) * from_pitch + width))
        return fails(cudaErrorInvalidValue);
    machine::queue(stream, [=]() {
        for (size_t i = 0; i < height; i++)
            memcpy(static_cast<char *>(to) + i * to_pitch,
                   static_cast<const char *>(from) + i * from_pitch, width);
    });
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream)
{
    LOCKED;
    if (bytes > 0 && !is_right(to, bytes, true)) return fails(cudaErrorInvalidValue);
    machine::queue(stream, [=]() { memset(to, byte, bytes); });
    return cudaSuccess;
}

/* ---- kernels --------------------------------------------------------------------------------- */

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute, int value)
{
    LOCKED;
    if (value < 0 || (size_t)value > machine::kShared) return fails(cudaErrorInvalidValue);
    allowed[kernel] = (size_t)value;
    return cudaSuccess;
}

void machine::queue(cudaStream_t stream, const std::function<void()> &work)
{
    LOCKED;
    stream->work.push_back(work);
}

void machine::refuse_host(const void *words, size_t bytes)
{
    LOCKED;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uintptr_t     word;
        unsigned char there;
        memcpy(&word, static_cast<const char *>(words) + i, sizeof word);
        const uintptr_t page = word & ~(uintptr_t)(kPage - 1);
        if (word < (uintptr_t)1 << 16 || word >= (uintptr_t)1 << 47) continue;
        if (block_of(reinterpret_cast<void *>(word), 1) != nullptr) continue;
        if (block_of(reinterpret_cast<void *>(word - 1), 1) != nullptr) continue; /* its end */
        if (mincore(reinterpret_cast<void *>(page), 1, &there) != 0) continue;
        fprintf(stderr, "word %zu of a kernel's argument of %zu: %#zx\n", i / 8, bytes / 8, word);
        fail("an argument of a kernel points to the host's memory");
    }
}

cudaError_t machine::launch(const cudaLaunchConfig_t &c, const void *kernel,
                            const std::function<void()> &body)
{
    LOCKED;
    const auto     it      = allowed.find(kernel);
    const size_t   most    = it != allowed.end() && it->second > kPlain ? it->second : kPlain;
    const dim3     g       = c.gridDim;
    const dim3     b       = c.blockDim;
    const uint64_t threads = (uint64_t)b.x * b.y * b.z;
    if (threads == 0 || threads > kMaxThreads || g.x == 0 || g.x > 0x7fffffffu || g.y == 0 ||
        g.y > 65535 || g.z == 0 || g.z > 65535)
        return fails(cudaErrorInvalidConfiguration);
    if (c.dynamicSmemBytes > most) return fails(cudaErrorInvalidValue);
    const size_t shared = c.dynamicSmemBytes;
    queue(c.stream, [=]() { run_grid(g, b, shared, body); });
    return cudaSuccess;
}
