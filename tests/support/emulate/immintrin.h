/* support/emulate/immintrin.h: stands before the compiler's <immintrin.h> where sources for AVX-512
 * are compiled for AVX2 (FIL_EMULATE): that one first, then SIMDe under the same names for what is
 * above AVX2, then what SIMDe lacks or has less exactly. A name that none of them has stays the
 * compiler's own and does not compile, so nothing is left out in silence.
 */
#ifndef TESTS_EMULATE_IMMINTRIN_H
#define TESTS_EMULATE_IMMINTRIN_H

#pragma GCC system_header /* for include_next, and warnings in macros of others */

#include_next <immintrin.h>

/* With sanitizers the compiler would take ten minutes for one kernel. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIMDE_NO_INLINE
#define EMULATE static __attribute__((noinline, unused))
#else
#define EMULATE static inline __attribute__((always_inline))
#endif

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "avx512_bf16.h"
#include "avx512_more.h"

#endif
