/* tests/support/invariants.h: what must hold for every set of tensors that a reader let through.
 * Computed anew, with none of the library's arithmetic.
 */
#ifndef TESTS_SUPPORT_INVARIANTS_H
#define TESTS_SUPPORT_INVARIANTS_H

#include "io/tensors.h"

/* NULL if all hold, else a sentence in static storage. Reads the first and last byte of each
 * tensor. */
const char *tensors_broken(fili_tensors *set);

/* The same for one safetensors file: its tensors cover everything behind the header, once. */
const char *safetensors_broken(fili_tensors *set);

#endif
