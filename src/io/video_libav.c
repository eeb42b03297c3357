/* io/video_libav.c: the plug-in libfiligree-video.so over libavformat, libavcodec and libswscale
 * (io/video_plugin.h). Part of no other library.
 *
 * It writes H.264 in mp4 and reads the first video stream of whatever these libraries know. Colour
 * is converted and tagged explicitly, since libav's default is BT.601 without a tag while players
 * take large pictures for BT.709. libav prints to stderr by default: its level is set to quiet for
 * the length of each call and put back.
 */
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <string.h>

#include "io/video_plugin.h"

enum { BUFFER = 1 << 16, HD_LINES = 577 };

/* One struct for both directions. */
typedef struct media {
    const fili_video_bytes *bytes;
    uint64_t                at, end; /* position and end of the file */
    AVFormatContext        *format;
    AVIOContext            *io;
    AVCodecContext         *codec;
    AVStream               *stream;
    AVFrame                *frame;
    AVPacket               *packet;
    struct SwsContext      *scale;
    int64_t                 n; /* frames so far */
    int32_t                 width, height;
    int                     drained;
} media;

static int complain(char *why, const char *what, int error)
{
    char reason[AV_ERROR_MAX_STRING_SIZE] = "";
    if (error < 0) av_strerror(error, reason, sizeof reason);
    snprintf(why, FILI_VIDEO_WHY, "%s%s%s", what, error < 0 ? ": " : "", reason);
    return -1;
}

static int quiet(void)
{
    const int level = av_log_get_level();
    av_log_set_level(AV_LOG_QUIET);
    return level;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static int put_bytes(void *user, uint8_t *data, int n)
{
    media *m = user;
    if (m->bytes->write(m->bytes->user, m->at, data, (size_t)n) != 0) return AVERROR(EIO);
    m->at += (uint64_t)n;
    if (m->at > m->end) m->end = m->at;
    return n;
}

static int get_bytes(void *user, uint8_t *data, int n)
{
    media *m = user;
    if (m->at >= m->end) return AVERROR_EOF;
    if ((uint64_t)n > m->end - m->at) n = (int)(m->end - m->at);
    if (m->bytes->read(m->bytes->user, m->at, data, (size_t)n) != 0) return AVERROR(EIO);
    m->at += (uint64_t)n;
    return n;
}

static int64_t move(void *user, int64_t offset, int whence)
{
    media *m = user;
    if (whence == AVSEEK_SIZE) return (int64_t)m->end;
    if (whence == SEEK_CUR) offset += (int64_t)m->at;
    if (whence == SEEK_END) offset += (int64_t)m->end;
    if (offset < 0) return AVERROR(EINVAL);
    m->at = (uint64_t)offset;
    return offset;
}

static media *media_new(const fili_video_bytes *bytes, int writes, char *why)
{
    media         *m      = av_mallocz(sizeof *m);
    unsigned char *buffer = av_malloc(BUFFER);
    if (m != NULL) {
        m->bytes  = bytes;
        m->end    = writes ? 0 : bytes->size;
        m->frame  = av_frame_alloc();
        m->packet = av_packet_alloc();
        if (buffer != NULL)
            m->io = avio_alloc_context(buffer, BUFFER, writes, m, writes ? NULL : get_bytes,
                                       writes ? put_bytes : NULL, move);
    }
    if (m != NULL && m->frame != NULL && m->packet != NULL && m->io != NULL) return m;
    if (m == NULL || m->io == NULL) av_free(buffer);
    complain(why, "no memory for libav", 0);
    return m; /* incomplete: io, frame or packet is NULL */
}

static int is_complete(const media *m)
{
    return m != NULL && m->frame != NULL && m->packet != NULL && m->io != NULL;
}

static void media_close(void *handle, int writes)
{
    media *m = handle;
    if (m == NULL) return;
    const int level = quiet();
    sws_freeContext(m->scale);
    avcodec_free_context(&m->codec);
    if (writes)
        avformat_free_context(m->format);
    else
        avformat_close_input(&m->format);
    if (m->io != NULL) av_freep(&m->io->buffer);
    avio_context_free(&m->io);
    av_frame_free(&m->frame);
    av_packet_free(&m->packet);
    av_free(m);
    av_log_set_level(level);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void set_colour(AVCodecContext *c)
{
    const int hd       = c->height >= HD_LINES;
    c->colorspace      = hd ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    c->color_primaries = hd ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
    c->color_trc       = hd ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;
    c->color_range     = AVCOL_RANGE_MPEG;
    /* Where swscale takes chroma samples from: beside the left column, between two lines. */
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
}

static int open_encoder(media *m, const fili_video_shape *shape, char *why)
{
    const AVCodec *x264 = avcodec_find_encoder_by_name("libx264");
    if (x264 == NULL) return complain(why, "this libav has no encoder libx264", 0);
    AVCodecContext *c = m->codec = avcodec_alloc_context3(x264);
    if (c == NULL) return complain(why, "no memory for the encoder", 0);
    c->width        = shape->width;
    c->height       = shape->height;
    c->time_base    = (AVRational){shape->fps_den, shape->fps_num};
    c->framerate    = (AVRational){shape->fps_num, shape->fps_den};
    c->pix_fmt      = AV_PIX_FMT_YUV420P;
    c->thread_count = 1;
    if (m->format->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    set_colour(c);
    av_opt_set_double(c->priv_data, "crf", (double)shape->crf, 0);
    const int r = avcodec_open2(c, x264, NULL);
    return r < 0 ? complain(why, "libx264 does not open", r) : 0;
}

static int open_scaler(media *m, char *why)
{
    const AVCodecContext *c = m->codec;
    const int *table = sws_getCoefficients(c->height >= HD_LINES ? SWS_CS_ITU709 : SWS_CS_ITU601);
    const int  how   = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_BITEXACT;
    m->scale         = sws_getContext(c->width, c->height, AV_PIX_FMT_RGB24, c->width, c->height,
                                      AV_PIX_FMT_YUV420P, how, NULL, NULL, NULL);
    if (m->scale == NULL ||
        sws_setColorspaceDetails(m->scale, table, 1, table, 0, 0, 1 << 16, 1 << 16) < 0)
        return complain(why, "libswscale does not convert RGB", 0);
    m->frame->format = AV_PIX_FMT_YUV420P;
    m->frame->width  = c->width;
    m->frame->height = c->height;
    const int r      = av_frame_get_buffer(m->frame, 0);
    return r < 0 ? complain(why, "no memory for a frame", r) : 0;
}

static int open_muxer(media *m, const fili_video_shape *shape, char *why)
{
    int r = avformat_alloc_output_context2(&m->format, NULL, "mp4", NULL);
    if (r < 0) return complain(why, "this libav does not write mp4", r);
    m->format->pb = m->io;
    m->format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    if (open_encoder(m, shape, why) != 0) return -1;
    m->stream = avformat_new_stream(m->format, NULL);
    if (m->stream == NULL) return complain(why, "no memory for the stream", 0);
    m->stream->time_base      = m->codec->time_base;
    m->stream->avg_frame_rate = m->codec->framerate;
    r                         = avcodec_parameters_from_context(m->stream->codecpar, m->codec);
    if (r >= 0) r = avformat_write_header(m->format, NULL);
    return r < 0 ? complain(why, "the mp4 header cannot be written", r) : 0;
}

static int write_open(const fili_video_shape *shape, const fili_video_bytes *bytes, void **writer,
                      char *why)
{
    const int level = quiet();
    media    *m     = media_new(bytes, 1, why);
    int       bad   = !is_complete(m);
    if (!bad) {
        m->width  = shape->width;
        m->height = shape->height;
        bad       = open_muxer(m, shape, why) != 0 || open_scaler(m, why) != 0;
    }
    av_log_set_level(level);
    if (bad) {
        media_close(m, 1);
        m = NULL;
    }
    *writer = m;
    return bad ? -1 : 0;
}

/* frame NULL: nothing more will come. */
static int encode(media *m, const AVFrame *frame, char *why)
{
    int r = avcodec_send_frame(m->codec, frame);
    while (r >= 0) {
        r = avcodec_receive_packet(m->codec, m->packet);
        if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return 0;
        if (r < 0) break;
        m->packet->stream_index = m->stream->index;
        m->packet->duration     = 1;
        av_packet_rescale_ts(m->packet, m->codec->time_base, m->stream->time_base);
        r = av_interleaved_write_frame(m->format, m->packet);
    }
    return complain(why, "the video cannot be written", r);
}

static int write_frame(void *writer, const uint8_t *rgb, char *why)
{
    media               *m         = writer;
    const uint8_t *const source[4] = {rgb};
    const int            stride[4] = {3 * m->width};
    const int            level     = quiet();
    int                  r         = av_frame_make_writable(m->frame);
    if (r >= 0)
        r = sws_scale(m->scale, source, stride, 0, m->height, m->frame->data, m->frame->linesize);
    m->frame->pts = m->n++;
    r = r < 0 ? complain(why, "a frame cannot be converted", r) : encode(m, m->frame, why);
    av_log_set_level(level);
    return r;
}

static int write_finish(void *writer, char *why)
{
    media    *m     = writer;
    const int level = quiet();
    int       bad   = encode(m, NULL, why);
    if (!bad) {
        const int r = av_write_trailer(m->format);
        if (r < 0 || m->io->error < 0)
            bad = complain(why, "the video cannot be finished", r < 0 ? r : m->io->error);
    }
    av_log_set_level(level);
    return bad;
}

static void write_close(void *writer)
{
    media_close(writer, 1);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int open_demuxer(media *m, char *why)
{
    m->format = avformat_alloc_context();
    if (m->format == NULL) return complain(why, "no memory for libav", 0);
    m->format->pb = m->io;
    m->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    /* A file may name other files and addresses: none of them is opened. */
    int r = av_opt_set(m->format, "protocol_whitelist", "", 0);
    if (r >= 0) r = avformat_open_input(&m->format, NULL, NULL, NULL);
    if (r < 0) return complain(why, "not a video that libav reads", r);
    r = avformat_find_stream_info(m->format, NULL);
    if (r < 0) return complain(why, "not a video that libav reads", r);
    const AVCodec *decoder = NULL;
    r = av_find_best_stream(m->format, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    if (r < 0) return complain(why, "the file has no video stream", r);
    m->stream = m->format->streams[r];
    m->codec  = avcodec_alloc_context3(decoder);
    if (m->codec == NULL) return complain(why, "no memory for the decoder", 0);
    m->codec->thread_count = 1;
    r                      = avcodec_parameters_to_context(m->codec, m->stream->codecpar);
    if (r >= 0) r = avcodec_open2(m->codec, decoder, NULL);
    return r < 0 ? complain(why, "the decoder does not open", r) : 0;
}

static int read_open(const fili_video_bytes *bytes, fili_video_shape *shape, void **reader,
                     char *why)
{
    const int level = quiet();
    media    *m     = media_new(bytes, 0, why);
    int       bad   = !is_complete(m) || open_demuxer(m, why) != 0;
    av_log_set_level(level);
    if (bad) {
        media_close(m, 0);
        m = NULL;
    } else {
        m->width  = m->codec->width;
        m->height = m->codec->height;
        *shape    = (fili_video_shape){.width   = m->width,
                                       .height  = m->height,
                                       .fps_num = m->stream->avg_frame_rate.num,
                                       .fps_den = m->stream->avg_frame_rate.den};
    }
    *reader = m;
    return bad ? -1 : 0;
}

/* The next decoded frame into m->frame: 1, 0 at the end, -1. */
static int next_frame(media *m, char *why)
{
    for (;;) {
        int r = avcodec_receive_frame(m->codec, m->frame);
        if (r >= 0) return 1;
        if (r == AVERROR_EOF || (r == AVERROR(EAGAIN) && m->drained)) return 0;
        if (r != AVERROR(EAGAIN)) return complain(why, "a frame cannot be decoded", r);
        r = av_read_frame(m->format, m->packet);
        if (r == AVERROR_EOF) {
            m->drained = 1;
            r          = avcodec_send_packet(m->codec, NULL);
        } else if (r >= 0) {
            if (m->packet->stream_index == m->stream->index)
                r = avcodec_send_packet(m->codec, m->packet);
            av_packet_unref(m->packet);
        }
        if (r < 0) return complain(why, "the video cannot be read", r);
    }
}

/* As the stream's tags say; untagged: by its lines. */
static int convert(media *m, uint8_t *rgb, char *why)
{
    const AVFrame *f  = m->frame;
    const int      hd = f->colorspace == AVCOL_SPC_BT709 ||
                   (f->colorspace == AVCOL_SPC_UNSPECIFIED && f->height >= HD_LINES);
    const int     *in        = sws_getCoefficients(hd ? SWS_CS_ITU709 : SWS_CS_ITU601);
    uint8_t *const to[4]     = {rgb};
    const int      stride[4] = {3 * m->width};
    if (f->width != m->width || f->height != m->height)
        return complain(why, "the frames of the video change their size", 0);
    m->scale = sws_getCachedContext(m->scale, f->width, f->height, (enum AVPixelFormat)f->format,
                                    f->width, f->height, AV_PIX_FMT_RGB24,
                                    SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT |
                                        SWS_FULL_CHR_H_INP | SWS_BITEXACT,
                                    NULL, NULL, NULL);
    if (m->scale == NULL) return complain(why, "libswscale does not know these colours", 0);
    (void)sws_setColorspaceDetails(m->scale, in, f->color_range == AVCOL_RANGE_JPEG, in, 1, 0,
                                   1 << 16, 1 << 16);
    const int r =
        sws_scale(m->scale, (const uint8_t *const *)f->data, f->linesize, 0, f->height, to, stride);
    return r < 0 ? complain(why, "a frame cannot be converted", r) : 0;
}

static int read_frame(void *reader, uint8_t *rgb, char *why)
{
    media    *m     = reader;
    const int level = quiet();
    int       r     = next_frame(m, why);
    if (r == 1 && convert(m, rgb, why) != 0) r = -1;
    av_frame_unref(m->frame);
    av_log_set_level(level);
    return r;
}

static void read_close(void *reader)
{
    media_close(reader, 0);
}

/* ---- the one symbol ------------------------------------------------------------------------- */

static const char *describe(void)
{
    static const char text[] = "libavformat " AV_STRINGIFY(
        LIBAVFORMAT_VERSION) ", libavcodec " AV_STRINGIFY(LIBAVCODEC_VERSION);
    return text;
}

__attribute__((visibility("default"))) const fili_video_plugin *fil_video_plugin_v1(void);

const fili_video_plugin *fil_video_plugin_v1(void)
{
    static const fili_video_plugin plugin = {.describe     = describe,
                                             .write_open   = write_open,
                                             .write_frame  = write_frame,
                                             .write_finish = write_finish,
                                             .write_close  = write_close,
                                             .read_open    = read_open,
                                             .read_frame   = read_frame,
                                             .read_close   = read_close};
    return &plugin;
}
