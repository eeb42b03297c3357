/* io/video_format.c: names of outputs, read (io/video_format.h). */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "io/video_format.h"

typedef struct known {
    const char *ending;
    int32_t     crf_most;
} known;

static const known formats[FILI_VIDEO_FORMATS] = {[FILI_VIDEO_MP4]  = {".mp4", 51},
                                                  [FILI_VIDEO_WEBM] = {".webm", 63},
                                                  [FILI_VIDEO_WEBP] = {".webp", 100},
                                                  [FILI_VIDEO_Y4M]  = {".y4m", 100}};

bool fili_ends_in(const char *path, const char *ending)
{
    return strlen(path) > strlen(ending) && fili_ends_with(path, ending);
}

bool fili_video_format_of(const char *path, fili_video_format *out)
{
    for (int i = 0; i < FILI_VIDEO_FORMATS; i++)
        if (fili_ends_in(path, formats[i].ending)) {
            *out = (fili_video_format)i;
            return true;
        }
    return false;
}

int32_t fili_video_crf_most(fili_video_format format)
{
    return formats[format].crf_most;
}

/* Behind a '%': "d" or "0Nd". Returns what stands behind it, or NULL. */
static const char *read_number(const char *text, int *digits)
{
    *digits = 1;
    if (text[0] == '0' && text[1] >= '1' && text[1] <= '9') {
        *digits = text[1] - '0';
        text += 2;
    }
    return text[0] == 'd' ? text + 1 : NULL;
}

bool fili_numbered_parse(const char *path, fili_numbered *out)
{
    const char *slash   = strrchr(path, '/');
    const char *percent = strchr(slash != NULL ? slash : path, '%');
    if (percent == NULL) return false;
    fili_numbered n = {.path = path, .head = (size_t)(percent - path)};
    n.tail          = read_number(percent + 1, &n.digits);
    if (n.tail == NULL || strchr(n.tail, '%') != NULL || strlen(path) + 16 >= FILI_NUMBERED_BYTES)
        return false;
    *out = n;
    return true;
}

const char *fili_numbered_name(const fili_numbered *n, int32_t number,
                               char name[FILI_NUMBERED_BYTES])
{
    snprintf(name, FILI_NUMBERED_BYTES, "%.*s%0*d%s", (int)n->head, n->path, n->digits, (int)number,
             n->tail);
    return name;
}
