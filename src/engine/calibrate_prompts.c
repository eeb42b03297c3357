/* engine/calibrate_prompts.c: a text file of prompts, one a line; # begins a comment
 * (calibration.h, prompts_api.c).
 */
#include <string.h>

#include "base/mem.h"
#include "engine/calibration.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The line without blanks at its ends; its length may be 0. */
static size_t trim(const char **line, size_t bytes)
{
    while (bytes > 0 && is_blank(**line)) {
        ++*line;
        bytes--;
    }
    while (bytes > 0 && is_blank((*line)[bytes - 1]))
        bytes--;
    return bytes;
}

static fil_status add(fili_arena *arena, const char *line, size_t bytes, int64_t number,
                      const char **to)
{
    char *text;
    if (memchr(line, '\0', bytes) != NULL)
        return FIL_FAIL(arena->ctx, FIL_E_FORMAT, "line %lld has a NUL character",
                        (long long)number);
    FIL_TRY(fili_arena_text(arena, line, bytes, &text));
    *to = text;
    return FIL_OK;
}

static fil_status split(fili_arena *arena, const char *text, size_t bytes, const char **prompts,
                        int32_t *n)
{
    int64_t number = 0;
    *n             = 0;
    for (size_t at = 0; at < bytes;) {
        const char  *line = text + at;
        const char  *end  = memchr(line, '\n', bytes - at);
        const size_t all  = end != NULL ? (size_t)(end - line) : bytes - at;
        const size_t some = trim(&line, all);
        at += all + 1;
        number++;
        if (some == 0 || *line == '#') continue;
        if (*n == FILI_PROMPTS_MOST)
            return FIL_FAIL(arena->ctx, FIL_E_LIMIT, "more than %d prompts", FILI_PROMPTS_MOST);
        FIL_TRY(add(arena, line, some, number, &prompts[*n]));
        ++*n;
    }
    if (*n > 0) return FIL_OK;
    return FIL_FAIL(arena->ctx, FIL_E_FORMAT, "expected a prompt on each line, found none");
}

static fil_status read(fili_arena *arena, const fili_file *file, const char **prompts, int32_t *n)
{
    void *text;
    if (file->size > FILI_PROMPTS_BYTES)
        return FIL_FAIL(arena->ctx, FIL_E_LIMIT, "%llu bytes; expected at most %d of prompts",
                        (unsigned long long)file->size, FILI_PROMPTS_BYTES);
    FIL_TRY(fili_alloc(arena->ctx, (size_t)file->size, "prompts", &text));
    fil_status status = fili_file_read(arena->ctx, file, 0, text, (size_t)file->size);
    if (status == FIL_OK) status = split(arena, text, (size_t)file->size, prompts, n);
    fili_free(arena->ctx, text, (size_t)file->size);
    return status;
}

fil_status fili_prompts_read(fili_arena *arena, const char *path, const char ***prompts, int32_t *n)
{
    fil_ctx  *ctx  = arena->ctx;
    fili_file file = FILI_FILE_CLOSED;
    void     *block;
    FIL_TRY(fili_arena_calloc(arena, FILI_PROMPTS_MOST, sizeof **prompts, &block));
    *prompts          = block;
    fil_status status = fili_file_open(ctx, FILI_CWD, path, 0, &file);
    if (status == FIL_OK) status = read(arena, &file, *prompts, n);
    if (status != FIL_OK)
        fili_error_frame(ctx, "reading the prompts of %s", fili_quote(path, strlen(path)).text);
    fili_file_close(ctx, &file);
    return status;
}
