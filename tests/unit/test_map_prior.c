/* tests/unit/test_map_prior.c: sparse/map_prior.h: masses that levels stand for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/map_prior.h"
#include "support/cmocka_all.h"

enum { M = 40, K = 64 };

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, expected %.9g", got, want);
}

static void what_lies_between_two_levels_is_shared_by_the_blocks_of_the_upper_one(void **state)
{
    const uint8_t level[9]  = {0, 1, 1, 2, 0, 2, 1, 1, 1};
    const float   levels[3] = {0.5f, 0.8f, 1.0f};
    const int32_t weight[4] = {0, 1, 3, 4};
    const double  want[9] = {0.5, 0.15, 0.15, 2 * 0.25, 2 * 0.5, 2 * 0.25, 1 / 3., 1 / 3., 1 / 3.};
    int32_t       count[3];
    float         out[9];
    (void)state;
    /* row 0 holds nothing at level 2, so its masses are scaled to one; row 1 nothing at level 1 */
    fili_map_prior(level, 3, levels, 3, weight, count, out);
    near((double)out[0], want[0] / 0.8, 1e-6);
    near((double)out[1], want[1] / 0.8, 1e-6);
    near((double)out[3], want[3], 1e-6);
    near((double)out[4], want[4], 1e-6);
    for (int i = 6; i < 9; i++)
        near((double)out[i], want[i], 1e-6);
}

/* Levels made of masses give the masses back to the width of a level. */
static void masses_come_back_from_their_levels(void **state)
{
    float   mass[M];
    float   levels[K];
    uint8_t level[M * M];
    float   out[M * M];
    int32_t weight[M + 1];
    int32_t count[K];
    (void)state;
    for (int32_t i = 0; i <= M; i++)
        weight[i] = 4 * i;
    for (int32_t k = 0; k < K; k++)
        levels[k] = (float)(k + 1) / K;
    for (int32_t u = 0; u < M; u++) {
        double sum   = 0.0;
        double order = 0.0;
        fili_philox_uniform(3, (uint64_t)u, 0, mass, M);
        for (int32_t v = 0; v < M; v++) {
            mass[v] = powf(mass[v], 6.0f);
            sum += (double)mass[v];
        }
        for (int32_t v = 0; v < M; v++) { /* mass of all that are larger, and itself */
            order = 0.0;
            for (int32_t w = 0; w < M; w++)
                if (mass[w] > mass[v] || w == v) order += (double)mass[w];
            int32_t k = 0;
            while (k + 1 < K && (double)levels[k] < order / sum - 1e-9)
                k++;
            level[u * M + v] = (uint8_t)k;
        }
        fili_map_prior(level, M, levels, K, weight, count, out);
        double total = 0.0;
        for (int32_t v = 0; v < M; v++) {
            total += (double)out[u * M + v];
            near((double)out[u * M + v], 4.0 * (double)mass[v] / sum, 4.0 * 2.0 / K);
        }
        near(total, 4.0, 1e-4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_between_two_levels_is_shared_by_the_blocks_of_the_upper_one),
        cmocka_unit_test(masses_come_back_from_their_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
