/* wan/dit_hash.h: which transformer is this? A hash over its sizes and a sample of every tensor:
 * 64 values from its beginning and 64 from its end, as bf16. So it is quick for models of any size,
 * the same for f32 and bf16 files of one model in any layout, and differs after any training.
 */
#ifndef FILI_WAN_DIT_HASH_H
#define FILI_WAN_DIT_HASH_H

#include "io/sha256.h"
#include "wan/dit.h"

/* The weights have been checked (fili_dit_check_weights). E_IO, E_UNSUP. */
FIL_MUSTCHECK fil_status fili_dit_hash(fili_weights *w, const fili_dit_config *config,
                                       char hex[FILI_SHA256_HEX]);

#endif
