list(APPEND FIL_SOURCES
    diffusion/guidance.c
    diffusion/noise.c
    diffusion/sigmas.c
    diffusion/solver.c
    diffusion/solver_dpmpp.c
    diffusion/solver_euler.c
    diffusion/solver_unipc.c)
