/* cli/bench_model.h: what `filigree bench dit` prints; shared by benches of whole models. */
#ifndef CLI_BENCH_MODEL_H
#define CLI_BENCH_MODEL_H

#include "filigree/bench.h"
#include "output.h"

/* One JSON object: `bench` is what was measured, `attn` the kind of mask or NULL. */
void bench_model_json(cli_out *out, const char *bench, const char *attn,
                      const fil_bench_model_result *r);

/* A table of the parts. */
void bench_model_text(cli_out *out, const char *bench, const char *attn,
                      const fil_bench_model_result *r);

/* Several ways of attention that ran in turn, the first one dense. `of Amdahl`: the time that the
 * dense run allows at that density, with everything else as it was, over the time it took. */
void bench_dits_json(cli_out *out, const char *const *attn, const fil_bench_model_result *r,
                     size_t n);
void bench_dits_text(cli_out *out, const char *const *attn, const fil_bench_model_result *r,
                     size_t n);

#endif
