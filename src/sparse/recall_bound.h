/* sparse/recall_bound.h: how much attention a choice of blocks keeps at least.
 *
 * A stand-in for DFSAttn's Theorem 4.4, whose text is not at hand. One query block, M key blocks of
 * which m are kept, exact masses W_v and scores w_v that estimate them up to a common factor:
 *
 *     gap    Delta: ln(mean w of the kept) - ln(mean w of the others)
 *     error  delta: half of what the estimate is off at worst between a block that is left out and
 *            one that is kept: 2 delta = max over left a of ln(W_a / w_a) - min over kept b of
 *            ln(W_b / w_b), at least 0
 *     recall = W(kept) / W(all) >= 1 / (1 + (M - m)/m e^-(Delta - 2 delta))
 *
 * since W(left) <= w(left) max(W_a / w_a) and W(kept) >= w(kept) min(W_b / w_b). With the same
 * Delta and delta it is never below e^(-2 delta) / (1 + (M - m)/m e^-Delta), the product of the two
 * steps "the best m blocks keep" and "the chosen ones lose at most". With scores that are the
 * masses it is the recall itself. What Delta and delta say of rows whose delta was not measured is
 * an extrapolation, not a bound.
 */
#ifndef FILI_SPARSE_RECALL_BOUND_H
#define FILI_SPARSE_RECALL_BOUND_H

#include "sparse/mask.h"

/* Delta of one row, in f64. +inf: nothing with a score is left out; -inf: nothing with one is kept.
 * NaN: a score is. score[mk] >= 0, bits of `kept` as in a mask row. */
double fili_recall_gap(const float *score, const uint32_t *kept, int32_t mk);

/* delta of one row. +inf: a block that has mass has no score, or a kept one has a score and no
 * mass. NaN: a score or a mass is. */
double fili_recall_error(const float *score, const float *mass, const uint32_t *kept, int32_t mk);

/* The right-hand side above for n_kept of mk blocks, in [0, 1]; 0 where delta is infinite. */
double fili_recall_least(int32_t n_kept, int32_t mk, double gap, double error);

/* One head: rows of scores and mask, and for some of the rows exact masses. */
typedef struct fili_recall_head {
    int32_t         mq, mk;
    const float    *score;  /* [mq, mk] */
    const uint32_t *kept;   /* [mq, words of mk] */
    const int32_t  *weight; /* [mq] tokens of a query block */
    int32_t         n_rows; /* 1 or more */
    const int32_t  *row;    /* [n_rows] where masses are known */
    const float    *mass;   /* [n_rows, mk] */
} fili_recall_head;

/* Mean over the head's tokens of each row's bound, with its own Delta and the largest delta of the
 * rows that were measured: of those rows a lower bound of what they keep. Rounded down. *measured
 * (NULL = not wanted): the same over the measured rows alone. */
float fili_recall_bound(const fili_recall_head *head, float *measured);

#endif
