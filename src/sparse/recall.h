/* sparse/recall.h: how much of the attention a mask keeps.
 *
 * Recall = softmax mass inside the kept blocks, over the total, from exact block masses
 * (kernel/mass.h). With masses relative to each row's own lse a query token has mass 1, so that the
 * total of a query block is its number of tokens.
 */
#ifndef FILI_SPARSE_RECALL_H
#define FILI_SPARSE_RECALL_H

#include "sparse/mask.h"

/* recall[heads] and, if not NULL, *overall (mass of all heads together). mass: f32 [heads, mq, mk];
 * a shared mask serves all heads. Sums in f64, in a fixed order. A head without any mass has recall
 * 1: nothing is lost. A NaN in the masses makes the recall of its head, and the overall one, NaN.
 * E_ARG: heads below 1; E_SHAPE: the mask has other heads. */
FIL_MUSTCHECK fil_status fili_mask_recall(const fili_mask *mask, const float *mass, int32_t heads,
                                          double *recall, double *overall);

#endif
