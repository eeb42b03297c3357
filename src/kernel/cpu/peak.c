/* kernel/cpu/peak.c: choosing and timing a loop of kernel/cpu/peak.h.
 *
 * A window is cut into tasks of under a millisecond, many more than there are threads: a thread
 * that starts late or is taken away for a moment costs its share and no more, as with the kernels.
 */
#include "kernel/cpu/peak.h"

#include "base/pool.h"

#define WINDOW      10e-3 /* seconds */
#define TASKS       16    /* of a window, per thread */
#define FIRST_TURNS 1024

static const filk_peak_loop loops[] = {
#define FILK_PEAK(function, title, level, type, operations)                                        \
    {.name = (title), .isa = (level), .dtype = (type), .flops = (operations), .run = (function)},
#include "kernel/cpu/peak.inc"
#undef FILK_PEAK
};

enum { N_LOOPS = sizeof loops / sizeof loops[0] };

const filk_peak_loop *filk_peak_find(fili_isa isa, fil_dtype dtype)
{
    for (int32_t i = 0; i < N_LOOPS - 1; i++) {
        if (dtype != FIL_BF16 && loops[i].dtype == FIL_BF16) continue;
        if (fili_isa_has(isa, loops[i].isa)) return &loops[i];
    }
    return &loops[N_LOOPS - 1];
}

double filk_seconds(const fil_ctx *ctx)
{
    const fili_os *os    = ctx->os;
    const bool     alone = ctx->n_threads == 1 && ctx->device == NULL;
    return 1e-9 * (double)(alone ? os->thread_ns(os->self) : os->clock_ns(os->self));
}

typedef struct window {
    const filk_peak_loop *loop;
    int64_t               turns; /* of a task */
} window;

static fil_status one_task(void *arg, int64_t task, int32_t worker)
{
    const window *w = arg;
    (void)task;
    (void)worker;
    w->loop->run(w->turns);
    return FIL_OK;
}

/* Turns that take a window's share of one task; they also wake the vector units up. */
static int64_t calibrate(const fil_ctx *ctx, const filk_peak_loop *loop)
{
    int64_t turns = FIRST_TURNS;
    for (;;) {
        const double start = filk_seconds(ctx);
        loop->run(turns);
        const double seconds = filk_seconds(ctx) - start;
        if (seconds >= WINDOW / TASKS || turns > INT64_MAX / 4) return turns;
        turns *= 2;
    }
}

fil_status filk_peak_measure(fil_ctx *ctx, const filk_peak_loop *loop, double *rate)
{
    window        w     = {.loop = loop, .turns = calibrate(ctx, loop)};
    const int64_t tasks = (int64_t)ctx->n_threads * TASKS;
    const double  start = filk_seconds(ctx);
    FIL_TRY(fili_pool_run(ctx, "peak", tasks, one_task, &w));
    const double seconds = filk_seconds(ctx) - start;
    const double work    = (double)loop->flops * (double)w.turns * (double)tasks;
    *rate                = seconds > 0.0 ? work / seconds : 0.0;
    return FIL_OK;
}
