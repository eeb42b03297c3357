list(APPEND FIL_SOURCES
    base/arena.c
    base/atomic_file.c
    base/cpu.c
    base/ctx.c
    base/device.c
    base/error.c
    base/file.c
    base/mem.c
    base/os_posix.c
    base/pool.c
    base/rng_mt19937.c
    base/rng_philox.c
    base/spool.c
    base/status.c)
if(FIL_OPENMP)
    list(APPEND FIL_SOURCES base/pool_openmp.c)
else()
    list(APPEND FIL_SOURCES base/pool_threads.c)
endif()
