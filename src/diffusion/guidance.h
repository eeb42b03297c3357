/* diffusion/guidance.h: classifier-free guidance: v = u + g (c - u), where c is the model's answer
 * to the prompt and u its answer to the negative prompt. At g = 1 this is c: nobody asks for u
 * then.
 */
#ifndef FILI_DIFFUSION_GUIDANCE_H
#define FILI_DIFFUSION_GUIDANCE_H

#include <stdint.h>

/* 1 where one pass per step is enough: g at most 1, as in both reference implementations. */
int fili_guidance_is_off(double g);

/* c[n] becomes u + g (c - u). */
void fili_guide(float *c, const float *u, double g, int64_t n);

#endif
