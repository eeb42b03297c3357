/* sparse/recall.c: kept softmax mass of a mask (sparse/recall.h). */
#include "sparse/recall.h"

typedef struct share {
    double kept, total;
} share;

static double recall_of(share s)
{
    return s.total == 0.0 ? 1.0 : s.kept / s.total;
}

static share share_of_head(const fili_mask *mask, const float *mass, int32_t h)
{
    share s = {0.0, 0.0};
    for (int32_t q = 0; q < mask->mq; q++) {
        const uint32_t *row   = fili_mask_row(mask, h, q);
        const int64_t   block = (int64_t)h * mask->mq + q;
        const float    *m     = mass + block * mask->mk;
        for (int32_t k = 0; k < mask->mk; k++) {
            s.total += (double)m[k];
            if ((row[k / 32] >> (k % 32) & 1u) != 0) s.kept += (double)m[k];
        }
    }
    return s;
}

fil_status fili_mask_recall(const fili_mask *mask, const float *mass, int32_t heads, double *recall,
                            double *overall)
{
    share all = {0.0, 0.0};
    FIL_CHECK(mask->ctx, heads >= 1, "recall: heads is %d; expected 1 or more", heads);
    if (mask->heads != 1 && mask->heads != heads)
        return FIL_FAIL(mask->ctx, FIL_E_SHAPE, "recall: the mask has %d heads, the masses %d",
                        mask->heads, heads);
    for (int32_t h = 0; h < heads; h++) {
        const share s = share_of_head(mask, mass, h);
        recall[h]     = recall_of(s);
        all.kept += s.kept;
        all.total += s.total;
    }
    if (overall != NULL) *overall = recall_of(all);
    return FIL_OK;
}
