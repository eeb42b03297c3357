/* tensor/convert_base.c: conversion rows for the compiler's baseline (SSE2, armv8-a, anything).
 * The reference that the other variants are compared with bit by bit. Loops: convert_tmpl.c.
 */
#include <stdint.h>

#include "tensor/convert_sets.h"

static inline size_t wide_load_f16(unsigned char *dst, const unsigned char *src, size_t n)
{
    (void)dst;
    (void)src;
    (void)n;
    return 0;
}

static inline size_t wide_store_f16(unsigned char *dst, const unsigned char *src, size_t n)
{
    (void)dst;
    (void)src;
    (void)n;
    return 0;
}

#define CONVERT_SET fili_convert_base
#include "tensor/convert_tmpl.c"
