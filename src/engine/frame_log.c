/* engine/frame_log.c: decoded frames that wait in a file (engine/frame_log.h). */
#include <stdio.h>

#include "engine/frame_log.h"

static size_t frame_bytes(const fili_frame_log *log)
{
    return (size_t)log->width * (size_t)log->height * 3;
}

static uint64_t place_of(const fili_frame_log *log, int32_t index)
{
    return (uint64_t)index * (frame_bytes(log) + FILI_PIECE_CRC);
}

uint64_t fili_frame_log_bytes(int32_t n, int32_t width, int32_t height)
{
    const fili_frame_log log = {.width = width, .height = height};
    return fili_piece_log_bytes(n, (uint64_t)n * frame_bytes(&log));
}

void fili_frame_log_tell(fil_ctx *ctx, const fil_error *before)
{
    fili_log(ctx, FIL_LOG_WARNING,
             "decoded frames are not kept: %s; if the run is stopped, they are decoded again",
             ctx->error.message);
    ctx->error = *before;
}

/* The failure is told and forgotten; the run goes on without a log, and what it takes of a full
 * disk is given back. */
static void give_up(fili_frame_log *log, bool opened, const fil_error *before)
{
    fili_frame_log_tell(log->ctx, before);
    fili_frame_log_close(log);
    if (opened) fili_piece_log_remove(log->ctx, log->path);
}

static void count_kept(fili_frame_log *log)
{
    while (log->kept < log->n &&
           fili_piece_log_has(&log->pieces, place_of(log, log->kept), frame_bytes(log)))
        log->kept++;
}

void fili_frame_log_open(fili_frame_log *log, fil_ctx *ctx, const fili_frame_log_what *what,
                         int goes_on)
{
    const fil_error     before = ctx->error;
    char                made_of[FILI_PIECE_MADE_OF];
    fili_piece_log_what pieces = {.path = what->path, .made_of = made_of, .goes_on = goes_on != 0};
    *log                       = (fili_frame_log){.ctx = ctx, .path = what->path, .n = what->n};
    log->width                 = what->width;
    log->height                = what->height;
    if (what->path == NULL) return;
    fili_ctx_enter(ctx);
    snprintf(made_of, sizeof made_of, "%s %d %d %d", what->key, (int)what->n, (int)what->width,
             (int)what->height);
    if (fili_piece_log_open(&log->pieces, ctx, &pieces) != FIL_OK) {
        give_up(log, false, &before);
        return;
    }
    log->on    = true;
    ctx->error = before;
    if (log->pieces.goes_on) count_kept(log);
}

void fili_frame_log_cut(fili_frame_log *log, int32_t kept)
{
    log->kept = kept;
}

fil_status fili_frame_log_read(fili_frame_log *log, int32_t index, uint8_t *rgb)
{
    return fili_piece_log_get(&log->pieces, place_of(log, index), rgb, frame_bytes(log));
}

void fili_frame_log_put(fili_frame_log *log, int32_t index, const uint8_t *rgb)
{
    if (!log->on || index != log->kept) return;
    const fil_error before = log->ctx->error;
    fili_ctx_enter(log->ctx);
    if (fili_piece_log_put(&log->pieces, place_of(log, index), rgb, frame_bytes(log)) != FIL_OK) {
        give_up(log, true, &before);
        return;
    }
    log->ctx->error = before;
    log->kept++;
}

void fili_frame_log_close(fili_frame_log *log)
{
    fili_piece_log_close(&log->pieces);
    log->on = false;
}
