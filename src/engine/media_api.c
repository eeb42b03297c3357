/* engine/media_api.c: fil_media_*: what a file tells (io/media_head.h), and the comment that is a
 * run's settings taken apart (filigree/media.h).
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "filigree/media.h"
#include "io/json.h"
#include "io/media_head.h"

struct fil_media {
    fil_ctx           *ctx;
    fili_arena         arena;
    fili_media_head    head;
    fil_media_setting *settings; /* [n] */
    size_t             n, room;
};

/* ---- settings ------------------------------------------------------------------------------- */

/* Of the whole tree: that bounds the settings, too. */
enum { MOST_VALUES = 8192 };

static fil_status copy(fil_media *m, const char *text, const char **out)
{
    char *block;
    FIL_TRY(fili_arena_text(&m->arena, text, strlen(text), &block));
    *out = block;
    return FIL_OK;
}

static fil_status copy_value(fil_media *m, const json_t *value, const char **out)
{
    if (json_is_string(value)) return copy(m, json_string_value(value), out);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text == NULL) return FIL_FAIL(m->ctx, FIL_E_NOMEM, "the settings of a file: no memory");
    const fil_status status = copy(m, text, out);
    fili_json_drop(text);
    return status;
}

/* An object's members that are no objects; `section` outlives the handle. */
static fil_status take_members(fil_media *m, const char *section, json_t *object)
{
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const json_t *value = json_object_iter_value(i);
        if (json_is_object(value) || m->n == m->room) continue;
        fil_media_setting *s = &m->settings[m->n];
        s->section           = section;
        FIL_TRY(copy(m, json_object_iter_key(i), &s->name));
        FIL_TRY(copy_value(m, value, &s->value));
        m->n++;
    }
    return FIL_OK;
}

static fil_status take_sections(fil_media *m, json_t *root)
{
    FIL_TRY(take_members(m, "", root));
    for (void *i = json_object_iter(root); i != NULL; i = json_object_iter_next(root, i)) {
        const char *section;
        if (!json_is_object(json_object_iter_value(i))) continue;
        FIL_TRY(copy(m, json_object_iter_key(i), &section));
        FIL_TRY(take_members(m, section, json_object_iter_value(i)));
    }
    return FIL_OK;
}

/* Members of the root and of its objects. */
static size_t count(json_t *root)
{
    size_t n = json_object_size(root);
    for (void *i = json_object_iter(root); i != NULL; i = json_object_iter_next(root, i))
        n += json_object_size(json_object_iter_value(i));
    return n;
}

static fil_status take_settings(fil_media *m, json_t *root)
{
    void *block;
    m->room = count(root);
    FIL_TRY(fili_arena_calloc(&m->arena, m->room, sizeof *m->settings, &block));
    m->settings           = block;
    m->head.notes.comment = NULL;
    return take_sections(m, root);
}

/* A comment that only looks like ours stays a comment. */
static fil_status read_comment(fil_media *m)
{
    const char *text = m->head.notes.comment;
    fili_json   json = {.root = NULL};
    if (text == NULL || !fili_begins_with(text, "{\"filigree\":")) return FIL_OK;
    fil_status status =
        fili_json_parse(m->ctx, "comment", text, strlen(text), MOST_VALUES, FILI_JSON_REALS, &json);
    if (status == FIL_OK) {
        status = take_settings(m, json.root);
        fili_json_fini(m->ctx, &json);
    } else if (status != FIL_E_NOMEM) {
        fili_ctx_enter(m->ctx);
        status = FIL_OK;
    }
    return status;
}

/* ---- the calls ------------------------------------------------------------------------------ */

const char *fil_media_format(fil_ctx *ctx, const char *path)
{
    return ctx != NULL && path != NULL ? fili_media_format_of(ctx, path) : NULL;
}

static fil_status read_file(fil_media *m, const char *path)
{
    fil_status status = fili_media_head_read(&m->arena, path, &m->head);
    if (status == FIL_OK) status = read_comment(m);
    if (status != FIL_OK) fili_error_frame(m->ctx, "file %s", fili_quote(path, strlen(path)).text);
    return status;
}

fil_status fil_media_open(fil_ctx *ctx, const char *path, fil_media **out)
{
    void *block;
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_media_open: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && out != NULL, "fil_media_open: %s is NULL",
              path == NULL ? "path" : "out");
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_media), "a media file", &block));
    fil_media *m = block;
    m->ctx       = ctx;
    fili_arena_init(&m->arena, ctx, "a media file", 0);
    const fil_status status = read_file(m, path);
    if (status != FIL_OK)
        fil_media_close(&m);
    else
        *out = m;
    return status;
}

void fil_media_close(fil_media **media)
{
    if (media == NULL || *media == NULL) return;
    fil_ctx *ctx = (*media)->ctx;
    fili_arena_fini(&(*media)->arena);
    fili_free(ctx, *media, sizeof **media);
    *media = NULL;
}

void fil_media_info_get(const fil_media *media, fil_media_info *info)
{
    if (info == NULL) return;
    *info = (fil_media_info){.format = NULL};
    if (media == NULL) return;
    const fili_media_head *h = &media->head;
    *info                    = (fil_media_info){.format      = h->format,
                                                .codec       = h->codec,
                                                .width       = h->width,
                                                .height      = h->height,
                                                .frames      = h->frames,
                                                .fps_num     = h->fps_num,
                                                .fps_den     = h->fps_den,
                                                .file_bytes  = h->bytes,
                                                .software    = h->notes.software,
                                                .description = h->notes.description,
                                                .comment     = h->notes.comment};
}

size_t fil_media_settings(const fil_media *media)
{
    return media != NULL ? media->n : 0;
}

void fil_media_setting_get(const fil_media *media, size_t i, fil_media_setting *setting)
{
    if (setting == NULL) return;
    *setting =
        i < fil_media_settings(media) ? media->settings[i] : (fil_media_setting){.section = NULL};
}
