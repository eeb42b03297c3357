list(APPEND FIL_SOURCES
    base/arena.c
    base/atomic_file.c
    base/cpu.c
    base/ctx.c
    base/error.c
    base/file.c
    base/mem.c
    base/os_posix.c
    base/status.c)
