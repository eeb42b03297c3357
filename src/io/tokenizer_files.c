/* io/tokenizer_files.c: tokenizer_config.json and tokenizer.json (tokenizer_files.h). */
#include <string.h>

#include "base/file.h"
#include "io/json.h"
#include "io/tokenizer_files.h"

enum {
    MAX_VALUES    = 1 << 17,
    MAX_TOKENS    = 4096,
    MAX_TOKEN     = 256, /* bytes */
    MAX_ID        = 1 << 22,
    CHUNK         = 1 << 14,
    WORD          = 32, /* longer keys are not ours */
    MODEL_SETTING = 2   /* depth of what stands in "model" */
};

static const char config_name[]    = "tokenizer_config.json";
static const char tokenizer_name[] = "tokenizer.json";

static bool is_absent(fil_ctx *ctx, int dir, const char *name)
{
    const int fd = fili_open_retrying(ctx->os, dir, name, FILI_OPEN_PATH);
    if (fd >= 0) (void)ctx->os->close(ctx->os->self, fd);
    return fd == -ENOENT;
}

/* ---- added tokens --------------------------------------------------------------------------- */

static fil_status read_token(fil_ctx *ctx, fili_arena *arena, const char *key, json_t *value,
                             fili_special *out)
{
    int64_t       id      = 0;
    const json_t *content = json_object_get(value, "content");
    const size_t  bytes   = json_string_length(content);
    for (const char *p = key; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || id > MAX_ID) id = MAX_ID + 1;
        if (id <= MAX_ID) id = id * 10 + (*p - '0');
    }
    const fili_quoted name = fili_quote(key, strlen(key));
    if (key[0] == '\0' || id > MAX_ID)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "'%s': added token '%s' has no id", config_name,
                        name.text);
    if (bytes == 0 || bytes > MAX_TOKEN)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "'%s': added token %s has no text of 1 to %d bytes",
                        config_name, name.text, MAX_TOKEN);
    char *text;
    FIL_TRY(fili_arena_text(arena, json_string_value(content), bytes, &text));
    *out = (fili_special){.text = text, .bytes = (uint32_t)bytes, .id = (int32_t)id};
    return FIL_OK;
}

static fil_status take_tokens(fil_ctx *ctx, fili_arena *arena, json_t *list, fili_special **out,
                              size_t *n)
{
    void       *block;
    const char *key;
    json_t     *value;
    if (json_object_size(list) > MAX_TOKENS)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "'%s' has %zu added tokens; at most %d", config_name,
                        json_object_size(list), MAX_TOKENS);
    FIL_TRY(fili_arena_calloc(arena, json_object_size(list), sizeof **out, &block));
    *out = block;
    json_object_foreach(list, key, value)
    {
        FIL_TRY(read_token(ctx, arena, key, value, &(*out)[*n]));
        ++*n;
    }
    return FIL_OK;
}

fil_status fili_added_tokens_read(fil_ctx *ctx, int dir, fili_arena *arena, fili_special **out,
                                  size_t *n, bool *present)
{
    fili_json json;
    *out     = NULL;
    *n       = 0;
    *present = false;
    if (is_absent(ctx, dir, config_name)) return FIL_OK;
    FIL_TRY(fili_json_read(ctx, dir, config_name, 0, MAX_VALUES, FILI_JSON_REALS, &json));
    json_t    *list   = json_object_get(json.root, "added_tokens_decoder");
    fil_status status = FIL_OK;
    if (json_is_object(list)) {
        *present = true;
        status   = take_tokens(ctx, arena, list, out, n);
    }
    fili_json_fini(ctx, &json);
    return status;
}

/* ---- byte_fallback -------------------------------------------------------------------------- */

/* Where a reader of JSON stands, for one question. Not a validator: what is no JSON answers no. */
typedef struct scan {
    int  depth, in_string, escaped, in_model, found;
    char word[WORD]; /* the last string or literal */
    int  n;
    char key[WORD]; /* the last string before a colon */
} scan;

static void end_value(scan *s)
{
    if (s->depth == MODEL_SETTING && s->in_model && strcmp(s->key, "byte_fallback") == 0)
        s->found = strcmp(s->word, "true") == 0;
    s->key[0] = '\0';
}

static void put(scan *s, char c)
{
    if (s->n < WORD - 1) s->word[s->n++] = c;
    s->word[s->n] = '\0';
}

static void scan_char(scan *s, char c)
{
    if (s->in_string) {
        const int ends = c == '"' && !s->escaped;
        s->escaped     = c == '\\' && !s->escaped;
        if (ends)
            s->in_string = 0;
        else
            put(s, c);
        return;
    }
    if (c == '"' || c == ':' || c == ',' || c == '{' || c == '[' || c == '}' || c == ']') {
        if (c == ':') {
            memcpy(s->key, s->word, sizeof s->key);
            if (s->depth == 1) s->in_model = strcmp(s->key, "model") == 0;
        }
        if (c == ',' || c == '}' || c == ']') end_value(s);
        s->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        s->in_string = c == '"';
        s->n         = 0;
        if (c != ',' && c != '}' && c != ']') s->word[0] = '\0';
    } else if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
        put(s, c);
    }
}

static fil_status scan_file(fil_ctx *ctx, const fili_file *file, scan *s)
{
    char chunk[CHUNK];
    for (uint64_t at = 0; at < file->size;) {
        const uint64_t left  = file->size - at;
        const size_t   bytes = left < CHUNK ? (size_t)left : CHUNK;
        FIL_TRY(fili_file_read(ctx, file, at, chunk, bytes));
        for (size_t i = 0; i < bytes; i++)
            scan_char(s, chunk[i]);
        at += bytes;
    }
    return FIL_OK;
}

fil_status fili_byte_fallback_read(fil_ctx *ctx, int dir, bool *bytes_kept)
{
    fili_file file;
    scan      s = {0};
    *bytes_kept = false;
    if (is_absent(ctx, dir, tokenizer_name)) return FIL_OK;
    FIL_TRY(fili_file_open(ctx, dir, tokenizer_name, 0, &file));
    const uint64_t limit = ctx->opt.limits.header_bytes;
    fil_status     status;
    if (file.size > limit)
        status = FIL_FAIL(ctx, FIL_E_LIMIT, "'%s' has %llu bytes; the limit is %llu (header_bytes)",
                          tokenizer_name, (unsigned long long)file.size, (unsigned long long)limit);
    else
        status = scan_file(ctx, &file, &s);
    fili_file_close(ctx, &file);
    *bytes_kept = status == FIL_OK && s.found;
    return status;
}
