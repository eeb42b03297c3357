/* cli/attn_options.h: how self-attention is computed, as options: the same words in generate, bench
 * and probe.
 */
#ifndef CLI_ATTN_OPTIONS_H
#define CLI_ATTN_OPTIONS_H

#include "filigree/policy.h"
#include "video_run.h"

/* A part of a verb's values. */
typedef struct cli_attn {
    const char *attn, *preset, *mask, *topology, *budgets, *order;
    const char *dense_steps, *dense_layers; /* texts, since 0 and none differ from not given */
    const char *tail, *gate, *fallback;     /* on, off; dense */
    double      density, fidelity, tau;
    int64_t     min_tokens, block, refresh;
} cli_attn;

extern const char *const cli_on_off_names[];
extern const char *const cli_attn_preset_names[];
extern const char *const cli_budget_names[];
extern const char *const cli_fallback_names[];

/* Fills *out; strings are borrowed. Returns 0, or an exit code after one sentence. */
int cli_attn_take(const cli_attn *v, fil_policy_options *out);

#define CLI_SHARE_OPTION(option, text, place)                                                      \
    {                                                                                              \
        .name = (option), .kind = CLI_SHARE, .arg = "P", .help = (text), .at = (place)             \
    }

/* place(field): offset of a field of cli_attn. */
#define CLI_ATTN_OPTIONS(place)                                                                    \
    CLI_TEXT_OPTION("attn", 0, "NAME",                                                             \
                    "policy of the self-attention: dense, dfs, vsa, west, window, radial, svg, "   \
                    "topk-oracle, mask or auto; default dense",                                    \
                    place(attn)),                                                                  \
        CLI_CHOICE_OPTION("attn-preset", "NAME",                                                   \
                          "quality, balanced or fast: policy and density by the size of the "      \
                          "model, where --attn and --density are not given",                       \
                          place(preset), cli_attn_preset_names),                                   \
        CLI_SHARE_OPTION("density",                                                                \
                         "compute this share of the token pairs, over the whole run, dense steps " \
                         "and layers included; default: what the method's authors publish",        \
                         place(density)),                                                          \
        CLI_SHARE_OPTION(                                                                          \
            "fidelity",                                                                            \
            "instead: mean fidelity (1 - Hellinger distance) that west's budgets are "             \
            "to keep",                                                                             \
            place(fidelity)),                                                                      \
        CLI_CHOICE_OPTION("budgets", "KIND",                                                       \
                          "how west and auto share the density over layers, steps and heads: "     \
                          "uniform, fast or error, topk-oracle: mass; default fast, auto: error",  \
                          place(budgets), cli_budget_names),                                       \
        CLI_TEXT_OPTION("topology", 0, "FILE", "what filigree calibrate wrote, for west and auto", \
                        place(topology)),                                                          \
        CLI_TEXT_OPTION("mask", 0, "FILE", "the masks of a file, in place of a policy",            \
                        place(mask)),                                                              \
        CLI_TEXT_OPTION("order", 0, "NAME",                                                        \
                        "order of the tokens: raster, hilbert, hilbert-xyz, 'cubes TxHxW' or "     \
                        "'hilbert-cubes TxHxW'; default: the policy's",                            \
                        place(order)),                                                             \
        CLI_NUMBER_OPTION("block", 0, "N", "tokens of a block, 64 or 128; default: the policy's",  \
                          place(block), 64, 128),                                                  \
        CLI_CHOICE_OPTION("tail", "WHEN",                                                          \
                          "on: a block that is left out takes part as its mean key and value; "    \
                          "default off, auto: on",                                                 \
                          place(tail), cli_on_off_names),                                          \
        CLI_CHOICE_OPTION("gate", "WHEN",                                                          \
                          "vsa's coarse branch: on: the model must have its gate, off: leave it "  \
                          "out; default: if the model has one",                                    \
                          place(gate), cli_on_off_names),                                          \
        CLI_NUMBER_OPTION("refresh", 0, "N", "choose anew every N steps; default: the policy's",   \
                          place(refresh), 1, 1000),                                                \
        CLI_REAL_OPTION("tau",                                                                     \
                        "auto: choose anew when the pooled queries or keys moved by this share",   \
                        place(tau), 1000),                                                         \
        CLI_TEXT_OPTION("dense-steps", 0, "N",                                                     \
                        "the first N steps run dense; default: the method's share",                \
                        place(dense_steps)),                                                       \
        CLI_TEXT_OPTION("dense-layers", 0, "LIST",                                                 \
                        "these layers run dense: 0,2-4 or none; default: the method's",            \
                        place(dense_layers)),                                                      \
        CLI_NUMBER_OPTION("min-tokens", 0, "N", "videos of fewer tokens run dense; default 0",     \
                          place(min_tokens), 1, INT32_MAX),                                        \
        CLI_CHOICE_OPTION("fallback", "WHAT",                                                      \
                          "dense: what the policy cannot do runs dense, with a warning; default: " \
                          "it is refused",                                                         \
                          place(fallback), cli_fallback_names)

#endif
