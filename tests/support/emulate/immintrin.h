/* support/emulate/immintrin.h: stands before the compiler's <immintrin.h> where sources for AVX-512
 * are compiled for AVX2 (FIL_EMULATE): that one first, then SIMDe under the same names for what is
 * above AVX2, then what SIMDe lacks or has less exactly. A name that none of them has stays the
 * compiler's own and does not compile, so nothing is left out in silence.
 */
#ifndef TESTS_EMULATE_IMMINTRIN_H
#define TESTS_EMULATE_IMMINTRIN_H

#pragma GCC system_header /* for include_next, and warnings in macros of others */

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "avx512_bf16.h"
#include "avx512_more.h"

#endif
