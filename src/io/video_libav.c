/* io/video_libav.c: the plug-in libfiligree-video.so over libavformat, libavcodec and libswscale
 * (io/video_plugin.h). Part of no other library.
 *
 * It writes H.264 in mp4, VP9 in webm and animated webp, and reads the first video stream of
 * whatever these libraries know (no animated webp: libav skips that). Colour is converted and
 * tagged explicitly, since libav's default is BT.601 without a tag while players take large
 * pictures for BT.709. libav prints to stderr by default: its level is set to quiet for the length
 * of each call and put back.
 */
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
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
    int                     pixels, siting; /* of the frames that it is for */
    int64_t                 n;              /* frames so far */
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
    const int hd              = c->height >= HD_LINES;
    c->colorspace             = hd ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    c->color_primaries        = hd ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
    c->color_trc              = hd ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;
    c->color_range            = AVCOL_RANGE_MPEG;
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
}

static int tune_x264(AVCodecContext *c, int crf)
{
    return av_opt_set_double(c->priv_data, "crf", (double)crf, 0);
}

/* Constant quality, two steps faster than libvpx's default: a third of the time for 6 % more bytes
 * (832 x 480, crf 10). */
static int tune_vp9(AVCodecContext *c, int crf)
{
    c->bit_rate = 0;
    return av_opt_set_int(c->priv_data, "crf", crf, 0) |
           av_opt_set_int(c->priv_data, "lossless", crf == 0, 0) |
           av_opt_set_int(c->priv_data, "cpu-used", 3, 0) |
           av_opt_set_int(c->priv_data, "row-mt", 0, 0);
}

static int tune_webp(AVCodecContext *c, int crf)
{
    return av_opt_set_int(c->priv_data, "lossless", crf == 0, 0) |
           av_opt_set_double(c->priv_data, "quality", crf == 0 ? 75.0 : 100.0 - (double)crf, 0);
}

/* webp: libwebp converts colours itself. Its other encoder, libwebp_anim, would leave out what does
 * not change from frame to frame, and hold the whole animation in memory until the end. */
typedef struct container {
    const char        *muxer, *encoder;
    enum AVPixelFormat pixels;
    int                most_side;
    int (*tune)(AVCodecContext *c, int crf);
} container;

static const container containers[FILI_VIDEO_FORMATS] = {
    [FILI_VIDEO_MP4]  = {"mp4", "libx264", AV_PIX_FMT_YUV420P, 16384, tune_x264},
    [FILI_VIDEO_WEBM] = {"webm", "libvpx-vp9", AV_PIX_FMT_YUV420P, 16384, tune_vp9},
    [FILI_VIDEO_WEBP] = {"webp", "libwebp", AV_PIX_FMT_BGRA, 16383, tune_webp}};

static int write_check(const fili_video_shape *shape, char *why)
{
    const container *f = &containers[shape->format];
    if (f->encoder == NULL) return complain(why, "the plug-in does not write this format", 0);
    if (avcodec_find_encoder_by_name(f->encoder) == NULL ||
        av_guess_format(f->muxer, NULL, NULL) == NULL) {
        snprintf(why, FILI_VIDEO_WHY, "this libav writes no .%s: it has no encoder %s", f->muxer,
                 f->encoder);
        return -1;
    }
    if (shape->width > f->most_side || shape->height > f->most_side) {
        snprintf(why, FILI_VIDEO_WHY, "a .%s has sides of at most %d pixels", f->muxer,
                 f->most_side);
        return -1;
    }
    return 0;
}

static int open_encoder(media *m, const fili_video_shape *shape, char *why)
{
    const container *f       = &containers[shape->format];
    const AVCodec   *encoder = avcodec_find_encoder_by_name(f->encoder);
    AVCodecContext  *c = m->codec = avcodec_alloc_context3(encoder);
    if (c == NULL) return complain(why, "no memory for the encoder", 0);
    c->width        = shape->width;
    c->height       = shape->height;
    c->time_base    = (AVRational){shape->fps_den, shape->fps_num};
    c->framerate    = (AVRational){shape->fps_num, shape->fps_den};
    c->pix_fmt      = f->pixels;
    c->thread_count = 1;
    if (m->format->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (f->pixels == AV_PIX_FMT_YUV420P) set_colour(c);
    int r = f->tune(c, shape->crf);
    if (r >= 0) r = avcodec_open2(c, encoder, NULL);
    return r < 0 ? complain(why, "the encoder does not open", r) : 0;
}

/* From or to RGB24. swscale's own default lies between four pixels, while H.264, VP9 and our tags
 * mean beside the left column, between two lines. What is not subsampled has no place to name. */
static struct SwsContext *new_scaler(const AVFrame *frame, enum AVPixelFormat from,
                                     enum AVPixelFormat to, enum AVChromaLocation siting)
{
    const int how =
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT;
    const int                 out    = from == AV_PIX_FMT_RGB24;
    const AVPixFmtDescriptor *yuv    = av_pix_fmt_desc_get(out ? to : from);
    const int                 middle = siting == AVCHROMA_LOC_CENTER || siting == AVCHROMA_LOC_TOP;
    const int                 top    = siting == AVCHROMA_LOC_TOPLEFT || siting == AVCHROMA_LOC_TOP;
    const int                 unset  = -513;
    const int                 h = yuv == NULL || yuv->log2_chroma_w == 0 ? unset : middle ? 128 : 0;
    const int                 v = yuv == NULL || yuv->log2_chroma_h == 0 ? unset : top ? 0 : 128;
    const struct {
        const char *name;
        int         value;
    } options[]            = {{"srcw", frame->width},
                              {"srch", frame->height},
                              {"src_format", from},
                              {"dstw", frame->width},
                              {"dsth", frame->height},
                              {"dst_format", to},
                              {"sws_flags", how},
                              {out ? "dst_h_chr_pos" : "src_h_chr_pos", h},
                              {out ? "dst_v_chr_pos" : "src_v_chr_pos", v}};
    struct SwsContext *s   = sws_alloc_context();
    int                bad = s == NULL;
    for (size_t i = 0; !bad && i < sizeof options / sizeof options[0]; i++)
        bad = av_opt_set_int(s, options[i].name, options[i].value, 0) < 0;
    if (!bad && sws_init_context(s, NULL, NULL) >= 0) return s;
    sws_freeContext(s);
    return NULL;
}

static int open_scaler(media *m, char *why)
{
    const AVCodecContext *c = m->codec;
    const int *table = sws_getCoefficients(c->height >= HD_LINES ? SWS_CS_ITU709 : SWS_CS_ITU601);
    m->frame->format = c->pix_fmt;
    m->frame->width  = c->width;
    m->frame->height = c->height;
    m->scale         = new_scaler(m->frame, AV_PIX_FMT_RGB24, c->pix_fmt, AVCHROMA_LOC_LEFT);
    if (m->scale == NULL ||
        (c->pix_fmt == AV_PIX_FMT_YUV420P &&
         sws_setColorspaceDetails(m->scale, table, 1, table, 0, 0, 1 << 16, 1 << 16) < 0))
        return complain(why, "libswscale does not convert RGB", 0);
    const int r = av_frame_get_buffer(m->frame, 0);
    return r < 0 ? complain(why, "no memory for a frame", r) : 0;
}

/* mp4 calls the program its encoding tool. Between init and header, as what stands there as the
 * encoder before is taken out of bit-exact files. */
static int add_notes(AVFormatContext *format, const fili_video_shape *shape)
{
    const fili_video_notes *n       = &shape->notes;
    const char             *program = shape->format == FILI_VIDEO_MP4 ? "encoding_tool" : "encoder";
    return av_dict_set(&format->metadata, program, n->software, 0) |
           av_dict_set(&format->metadata, "description", n->description, 0) |
           av_dict_set(&format->metadata, "comment", n->comment, 0);
}

static int open_muxer(media *m, const fili_video_shape *shape, char *why)
{
    const container *f = &containers[shape->format];
    int              r = avformat_alloc_output_context2(&m->format, NULL, f->muxer, NULL);
    if (r < 0) return complain(why, "the container cannot be written", r);
    m->format->pb = m->io;
    m->format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    if (open_encoder(m, shape, why) != 0) return -1;
    m->stream = avformat_new_stream(m->format, NULL);
    if (m->stream == NULL) return complain(why, "no memory for the stream", 0);
    m->stream->time_base      = m->codec->time_base;
    m->stream->avg_frame_rate = m->codec->framerate;
    r                         = avcodec_parameters_from_context(m->stream->codecpar, m->codec);
    if (r >= 0 && shape->format == FILI_VIDEO_WEBP)
        r = av_opt_set_int(m->format->priv_data, "loop", 0, 0);
    if (r >= 0) r = avformat_init_output(m->format, NULL);
    if (r >= 0) r = add_notes(m->format, shape);
    if (r >= 0) r = avformat_write_header(m->format, NULL);
    return r < 0 ? complain(why, "the header of the video cannot be written", r) : 0;
}

static int write_open(const fili_video_shape *shape, const fili_video_bytes *bytes, void **writer,
                      char *why)
{
    const int level = quiet();
    media    *m     = media_new(bytes, 1, why);
    int       bad   = !is_complete(m) || write_check(shape, why) != 0;
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
    if (r < 0) return complain(why, "the decoder does not open", r);
    if (m->codec->width > 0 && m->codec->height > 0) return 0;
    return complain(why, "libav finds no pictures in it (an animated .webp is not read)", 0);
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

/* Stills of webp are cut as those of JPEG are, and not tagged. */
static enum AVChromaLocation siting_of(const media *m)
{
    const enum AVChromaLocation tagged  = m->frame->chroma_location;
    const int                   is_webp = m->codec->codec_id == AV_CODEC_ID_WEBP;
    return tagged == AVCHROMA_LOC_UNSPECIFIED && is_webp ? AVCHROMA_LOC_CENTER : tagged;
}

/* As the stream's tags say; untagged: by its lines. */
static int choose_scaler(media *m)
{
    const enum AVChromaLocation siting = siting_of(m);
    const AVFrame              *f      = m->frame;
    const int                   hd     = f->colorspace == AVCOL_SPC_BT709 ||
                   (f->colorspace == AVCOL_SPC_UNSPECIFIED && f->height >= HD_LINES);
    const int *in = sws_getCoefficients(hd ? SWS_CS_ITU709 : SWS_CS_ITU601);
    if (m->scale == NULL || m->pixels != f->format || m->siting != (int)siting) {
        sws_freeContext(m->scale);
        m->pixels = f->format;
        m->siting = (int)siting;
        m->scale  = new_scaler(f, (enum AVPixelFormat)f->format, AV_PIX_FMT_RGB24, siting);
    }
    if (m->scale == NULL) return -1;
    (void)sws_setColorspaceDetails(m->scale, in, f->color_range == AVCOL_RANGE_JPEG, in, 1, 0,
                                   1 << 16, 1 << 16);
    return 0;
}

static int convert(media *m, uint8_t *rgb, char *why)
{
    const AVFrame *f         = m->frame;
    uint8_t *const to[4]     = {rgb};
    const int      stride[4] = {3 * m->width};
    if (f->width != m->width || f->height != m->height)
        return complain(why, "the frames of the video change their size", 0);
    if (choose_scaler(m) != 0) return complain(why, "libswscale does not know these colours", 0);
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

static const char *note_of(const media *m, const char *key)
{
    const AVDictionaryEntry *e = av_dict_get(m->format->metadata, key, NULL, 0);
    return e != NULL ? e->value : NULL;
}

/* Counted by the container, or from how long it says to be. */
static int64_t frames_of(const media *m)
{
    const AVStream *s = m->stream;
    double          seconds;
    if (s->nb_frames > 0) return s->nb_frames;
    if (s->avg_frame_rate.num <= 0 || s->avg_frame_rate.den <= 0) return -1;
    if (s->duration > 0)
        seconds = (double)s->duration * av_q2d(s->time_base);
    else if (m->format->duration > 0)
        seconds = (double)m->format->duration / AV_TIME_BASE;
    else
        return -1;
    const double frames = seconds * av_q2d(s->avg_frame_rate) + 0.5;
    return frames >= 1.0 && frames < 1e12 ? (int64_t)frames : -1;
}

static void read_told(void *reader, fili_video_told *told)
{
    const media *m    = reader;
    const char  *tool = note_of(m, "encoder"); /* mp4's encoding_tool comes back under this name */
    *told             = (fili_video_told){.codec  = avcodec_get_name(m->codec->codec_id),
                                          .frames = frames_of(m),
                                          .notes  = {.software    = tool,
                                                     .description = note_of(m, "description"),
                                                     .comment     = note_of(m, "comment")}};
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

__attribute__((visibility("default"))) const fili_video_plugin *fil_video_plugin_v3(void);

const fili_video_plugin *fil_video_plugin_v3(void)
{
    static const fili_video_plugin plugin = {.describe     = describe,
                                             .write_check  = write_check,
                                             .write_open   = write_open,
                                             .write_frame  = write_frame,
                                             .write_finish = write_finish,
                                             .write_close  = write_close,
                                             .read_open    = read_open,
                                             .read_frame   = read_frame,
                                             .read_told    = read_told,
                                             .read_close   = read_close};
    return &plugin;
}
