/* tensor/convert_tmpl.c: the loops of one variant. Included, not compiled: the including file sets
 * the compiler flags, names the set (CONVERT_SET), and gives wide_load_f16 and wide_store_f16,
 * which convert the first elements with the CPU's own instructions and return how many.
 *
 * Each step is a function of bits without a branch, so that the compiler makes vectors of the
 * loops. f is the bit pattern of an F32, h of an F16, b of an F8_E4M3. Subnormal results are
 * rounded by adding a number whose last bit weighs as much as the result's last bit, and read back
 * by subtracting the smallest normal number; both are exact where they have to be.
 * NaN and range rules: convert.h.
 */
#include <string.h>

#define F32_SIGN  0x80000000u
#define F32_INF   0x7f800000u
#define F32_QUIET 0x00400000u
#define F64_SIGN  0x8000000000000000u
#define F64_INF   0x7ff0000000000000u

static inline float float_of(uint32_t f)
{
    float x;
    memcpy(&x, &f, sizeof x);
    return x;
}

static inline uint32_t bits_of(float x)
{
    uint32_t f;
    memcpy(&f, &x, sizeof f);
    return f;
}

static inline uint64_t bits64_of(double x)
{
    uint64_t d;
    memcpy(&d, &x, sizeof d);
    return d;
}

/* a where x < y, else b; x and y are below 2^31, so compared as signed, which every vector unit
 * can. A mask, not a branch: a compiler that makes one keeps the floating-point addition behind it,
 * and then no vectors. */
static inline uint32_t pick_below(uint32_t x, uint32_t y, uint32_t a, uint32_t b)
{
    const uint32_t mask = 0u - (uint32_t)((int32_t)x < (int32_t)y);
    return (a & mask) | (b & ~mask);
}

/* ---- one element ---------------------------------------------------------------------------- */

static inline uint32_t f32_of_bf16(uint16_t h)
{
    const uint32_t f = (uint32_t)h << 16;
    return pick_below(F32_INF, f & ~F32_SIGN, f | F32_QUIET, f);
}

static inline uint16_t bf16_of_f32(uint32_t f)
{
    const uint32_t rounded = f + 0x7fffu + (f >> 16 & 1);
    const uint32_t nan     = f | F32_QUIET;
    return (uint16_t)(pick_below(F32_INF, f & ~F32_SIGN, nan, rounded) >> 16);
}

static inline uint32_t f32_of_f16(uint16_t h)
{
    const uint32_t rebias    = (127u - 15) << 23;
    const uint32_t least     = (127u - 14) << 23; /* 2^-14, the smallest normal F16 */
    const uint32_t f         = (uint32_t)h << 16;
    const uint32_t a         = (f & ~F32_SIGN) >> 3;
    const uint32_t subnormal = bits_of(float_of(a + least) - float_of(least)) & ~F32_SIGN;
    const uint32_t finite    = pick_below(a, 0x400u << 13, subnormal, a + rebias);
    const uint32_t special   = a | F32_INF | pick_below(0x7c00u << 13, a, F32_QUIET, 0);
    return (f & F32_SIGN) | pick_below(a, 0x7c00u << 13, finite, special);
}

static inline uint16_t f16_of_f32(uint32_t f)
{
    const uint32_t rebias    = (127u - 15) << 23;
    const uint32_t step      = (127u - 1) << 23; /* 0.5, whose last bit weighs 2^-24 */
    const uint32_t a         = f & ~F32_SIGN;
    const uint32_t normal    = (a - rebias + 0xfffu + (a >> 13 & 1)) >> 13;
    const uint32_t subnormal = bits_of(float_of(a) + float_of(step)) - step;
    const uint32_t finite    = pick_below(a, (127u - 14) << 23, subnormal, normal);
    const uint32_t special   = pick_below(F32_INF, a, 0x7e00u | (a >> 13 & 0x3ffu), 0x7c00u);
    return (uint16_t)((f & F32_SIGN) >> 16 | pick_below(a, (127u + 16) << 23, finite, special));
}

static inline uint32_t f32_of_f8(uint8_t b)
{
    const uint32_t rebias    = (127u - 7) << 23;
    const uint32_t least     = (127u - 6) << 23; /* 2^-6, the smallest normal F8_E4M3 */
    const uint32_t f         = (uint32_t)b << 24;
    const uint32_t a         = (f & ~F32_SIGN) >> 4;
    const uint32_t subnormal = bits_of(float_of(a + least) - float_of(least)) & ~F32_SIGN;
    const uint32_t finite    = pick_below(a, 8u << 20, subnormal, a + rebias);
    return (f & F32_SIGN) | pick_below(a, 0x7fu << 20, finite, F32_INF | F32_QUIET);
}

static inline uint8_t f8_of_f32(uint32_t f)
{
    const uint32_t rebias    = (127u - 7) << 23;
    const uint32_t step      = (127u + 14) << 23; /* 2^14, whose last bit weighs 2^-9 */
    const uint32_t a         = f & ~F32_SIGN;
    const uint32_t normal    = (a - rebias + 0x7ffffu + (a >> 20 & 1)) >> 20;
    const uint32_t subnormal = bits_of(float_of(a) + float_of(step)) - step;
    const uint32_t finite    = pick_below(a, (127u - 6) << 23, subnormal, normal);
    return (uint8_t)((f & F32_SIGN) >> 24 | pick_below(0x43e80000u /* 464 */, a, 0x7fu, finite));
}

/* Truncates towards zero and sets the last bit if anything was lost. F32 has at least two bits more
 * than the types that it is then rounded to, so that rounding sees every tie for what it is.
 * Magnitudes are compared as integers below 2^63, by the sign of a difference. */
static inline uint32_t f32_odd_of_f64(double x)
{
    const float    near    = (float)x;
    const uint64_t size    = bits64_of(x) & ~F64_SIGN;
    const uint64_t reached = bits64_of((double)near) & ~F64_SIGN;
    const uint64_t number  = 1 ^ (F64_INF - size) >> 63;
    const uint64_t above   = number & (size - reached) >> 63;
    const uint64_t below   = number & (reached - size) >> 63;
    return (bits_of(near) - (uint32_t)above) | (uint32_t)(above | below);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void load_bf16(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, s + 2 * i, sizeof h);
        const uint32_t f = f32_of_bf16(h);
        memcpy(d + 4 * i, &f, sizeof f);
    }
}

static void store_bf16(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = 0; i < n; i++) {
        uint32_t f;
        memcpy(&f, s + 4 * i, sizeof f);
        const uint16_t h = bf16_of_f32(f);
        memcpy(d + 2 * i, &h, sizeof h);
    }
}

static void load_f16(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = wide_load_f16(d, s, n); i < n; i++) {
        uint16_t h;
        memcpy(&h, s + 2 * i, sizeof h);
        const uint32_t f = f32_of_f16(h);
        memcpy(d + 4 * i, &f, sizeof f);
    }
}

static void store_f16(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = wide_store_f16(d, s, n); i < n; i++) {
        uint32_t f;
        memcpy(&f, s + 4 * i, sizeof f);
        const uint16_t h = f16_of_f32(f);
        memcpy(d + 2 * i, &h, sizeof h);
    }
}

static void load_f8(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = 0; i < n; i++) {
        const uint32_t f = f32_of_f8(s[i]);
        memcpy(d + 4 * i, &f, sizeof f);
    }
}

static void store_f8(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = 0; i < n; i++) {
        uint32_t f;
        memcpy(&f, s + 4 * i, sizeof f);
        d[i] = f8_of_f32(f);
    }
}

static void load_f64(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = 0; i < n; i++) {
        double x;
        memcpy(&x, s + 8 * i, sizeof x);
        const float f = (float)x;
        memcpy(d + 4 * i, &f, sizeof f);
    }
}

static void load_f64_odd(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = 0; i < n; i++) {
        double x;
        memcpy(&x, s + 8 * i, sizeof x);
        const uint32_t f = f32_odd_of_f64(x);
        memcpy(d + 4 * i, &f, sizeof f);
    }
}

static void store_f64(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char       *d = dst;
    const unsigned char *s = src;
    for (size_t i = 0; i < n; i++) {
        float f;
        memcpy(&f, s + 4 * i, sizeof f);
        const double x = (double)f;
        memcpy(d + 8 * i, &x, sizeof x);
    }
}

const fili_convert_set CONVERT_SET = {
    .load_bf16    = load_bf16,
    .load_f16     = load_f16,
    .load_f8      = load_f8,
    .load_f64     = load_f64,
    .load_f64_odd = load_f64_odd,
    .store_f64    = store_f64,
    .store_bf16   = store_bf16,
    .store_f16    = store_f16,
    .store_f8     = store_f8,
};
