/* sparse/map_prior.c: levels to masses (sparse/map_prior.h). */
#include <string.h>

#include "sparse/map_prior.h"

static void one_row(const uint8_t *level, int32_t m, const float *levels, int32_t n_levels,
                    float weight, int32_t *count, float *out)
{
    float sum = 0.0f;
    memset(count, 0, (size_t)n_levels * sizeof *count);
    for (int32_t v = 0; v < m; v++)
        count[level[v]]++;
    /* Empty levels leave their share to the next that holds a block: the crossing block is in. */
    for (int32_t v = 0; v < m; v++) {
        int32_t below = level[v];
        while (below > 0 && count[below - 1] == 0)
            below--;
        const float lower = below > 0 ? levels[below - 1] : 0.0f;
        out[v]            = (levels[level[v]] - lower) / (float)count[level[v]];
        sum += out[v];
    }
    for (int32_t v = 0; v < m && sum > 0.0f; v++)
        out[v] *= weight / sum;
}

void fili_map_prior(const uint8_t *level, int32_t m, const float *levels, int32_t n_levels,
                    const int32_t *weight, int32_t *count, float *out)
{
    for (int32_t u = 0; u < m; u++) {
        const int64_t at = (int64_t)u * m;
        one_row(level + at, m, levels, n_levels, (float)(weight[u + 1] - weight[u]), count,
                out + at);
    }
}
