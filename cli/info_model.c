/* cli/info_model.c: the part of `filigree info FOLDER` that says what model it is (info.h). */
#include <string.h>

#include "info.h"

void info_json_model(cli_out *out, const fil_model_info *m)
{
    cli_json_open(out, "model");
    cli_json_text(out, "model", m->likely);
    cli_json_text(out, "layout", m->layout);
    cli_json_number(out, "weight_bytes", m->weight_bytes);
    if (m->problem[0] != '\0') {
        cli_json_text(out, "problem", m->problem);
    } else {
        cli_json_number(out, "dim", (uint64_t)m->dim);
        cli_json_number(out, "ffn_dim", (uint64_t)m->ffn_dim);
        cli_json_number(out, "heads", (uint64_t)m->heads);
        cli_json_number(out, "layers", (uint64_t)m->layers);
        cli_json_number(out, "channels", (uint64_t)m->channels);
        cli_json_number(out, "text_dim", (uint64_t)m->text_dim);
        cli_json_number(out, "parameters", m->parameters);
        cli_json_number(out, "memory_weights", m->memory_weights);
        cli_json_number(out, "memory_480p", m->memory_480p);
        cli_json_number(out, "memory_decode_480p", m->memory_decode_480p);
    }
    cli_json_bool(out, "text_encoder", m->has_text_encoder != 0);
    cli_json_bool(out, "vae", m->has_vae != 0);
    cli_json_bool(out, "tokenizer", m->has_tokenizer != 0);
    cli_json_close(out);
}

static const char *found(int32_t has)
{
    return has != 0 ? "found" : "missing";
}

void info_text_model(cli_out *out, const fil_model_info *m)
{
    char weights[CLI_HUMAN];
    char all[CLI_HUMAN];
    cli_putf(out, "\nmodel         %s (%s layout)\n", m->likely, m->layout);
    if (m->problem[0] != '\0') {
        cli_put(out, "problem       ");
        cli_put_escaped(out, m->problem, strlen(m->problem), CLI_SHOWN, SIZE_MAX);
        cli_put(out, "\n");
    } else {
        cli_putf(out, "transformer   %d layers, dim %d, ffn %d, %d heads, %d channels, text %d\n",
                 (int)m->layers, (int)m->dim, (int)m->ffn_dim, (int)m->heads, (int)m->channels,
                 (int)m->text_dim);
        cli_putf(out, "parameters    %llu\n", (unsigned long long)m->parameters);
        cli_putf(out, "memory        %s of weights; for 81 frames of 832 x 480 (bf16) %s to sample",
                 cli_human(weights, m->memory_weights), cli_human(all, m->memory_480p));
        if (m->memory_decode_480p > 0)
            cli_putf(out, ", then %s to decode", cli_human(all, m->memory_decode_480p));
        cli_put(out, "\n");
    }
    cli_putf(out, "text encoder  %s\nVAE           %s\ntokenizer     %s\n",
             found(m->has_text_encoder), found(m->has_vae), found(m->has_tokenizer));
}
