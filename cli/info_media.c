/* cli/info_media.c: the part of `filigree info` that tells of a video or a picture (info.h). */
#include <string.h>
#include <unistd.h>

#include "info.h"
#include "video_run.h"

/* "fox.webp.json", if it lies there; else NULL. */
static const char *sidecar_of(const char *path, char place[CLI_PLACE])
{
    return cli_beside(place, path, ".json") && access(place, F_OK) == 0 ? place : NULL;
}

static double rate_of(const fil_media_info *m)
{
    return m->fps_den > 0 ? (double)m->fps_num / (double)m->fps_den : 0.0;
}

/* "generate.seed" */
static void full_name(char *text, size_t size, const fil_media_setting *s)
{
    snprintf(text, size, "%s%s%s", s->section, s->section[0] != '\0' ? "." : "", s->name);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void json_text_if(cli_out *out, const char *key, const char *value)
{
    if (value != NULL) cli_json_text(out, key, value);
}

static void settings_json(cli_out *out, const fil_media *media)
{
    for (size_t i = 0; i < fil_media_settings(media) && out->error == 0; i++) {
        fil_media_setting s;
        fil_media_setting_get(media, i, &s);
        cli_json_open(out, "setting");
        cli_json_text(out, "section", s.section);
        cli_json_text(out, "name", s.name);
        cli_json_text(out, "value", s.value);
        cli_json_close(out);
    }
}

void info_json_media(cli_out *out, const char *path, const fil_media *media)
{
    fil_media_info m;
    fil_media_info_get(media, &m);
    cli_json_open(out, "media");
    cli_json_text(out, "path", path);
    cli_json_text(out, "format", m.format);
    cli_json_text(out, "codec", m.codec);
    cli_json_number(out, "width", (uint64_t)m.width);
    cli_json_number(out, "height", (uint64_t)m.height);
    if (m.frames >= 0) cli_json_number(out, "frames", (uint64_t)m.frames);
    if (m.fps_den > 0) cli_json_real(out, "fps", rate_of(&m));
    cli_json_number(out, "file_bytes", m.file_bytes);
    json_text_if(out, "software", m.software);
    json_text_if(out, "description", m.description);
    json_text_if(out, "comment", m.comment);
    cli_json_number(out, "settings", fil_media_settings(media));
    cli_json_close(out);
    settings_json(out, media);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void text_line(cli_out *out, const char *name, const char *value, bool whole)
{
    if (value == NULL) return;
    cli_putf(out, "  %-8s  ", name);
    info_text_value(out, value, whole);
}

static void frames_line(cli_out *out, const fil_media_info *m)
{
    if (m->frames < 0)
        cli_put(out, "  frames    the file does not tell");
    else
        cli_putf(out, "  frames    %lld", (long long)m->frames);
    if (m->fps_den > 0) cli_putf(out, ", %.4g a second", rate_of(m));
    if (m->fps_den > 0 && m->frames >= 0) cli_putf(out, ", %.3g s", (double)m->frames / rate_of(m));
    cli_put(out, "\n");
}

static bool has_no_place(const char *format)
{
    return strcmp(format, "webp") == 0 || strcmp(format, "y4m") == 0;
}

/* Why there are none, as far as that can be told. */
static void no_settings_line(cli_out *out, const fil_media_info *m, const char *path)
{
    char        place[CLI_PLACE];
    const char *sidecar = sidecar_of(path, place);
    if (has_no_place(m->format))
        cli_putf(out, "  settings  none: a .%s has no place for them", m->format);
    else if (m->software != NULL && strncmp(m->software, "filigree ", 9) == 0)
        cli_put(out, "  settings  none: saved latents do not tell of their run");
    else
        return;
    if (sidecar != NULL) {
        cli_put(out, "; beside it lies ");
        cli_put_escaped(out, sidecar, strlen(sidecar), CLI_SHOWN, SIZE_MAX);
    }
    cli_put(out, "\n");
}

enum { NAME = 64 };

/* FIL_AUTO, as JSON writes it. */
static bool is_default(const fil_media_setting *s)
{
    return strcmp(s->value, "-1") == 0 || strcmp(s->value, "-1.0") == 0;
}

/* Those left to a default tell nothing: what it came out as stands under `result`. */
static void settings_text(cli_out *out, const fil_media *media, bool whole)
{
    const size_t      n     = fil_media_settings(media);
    size_t            width = 0;
    char              name[NAME];
    fil_media_setting s;
    for (size_t i = 0; i < n; i++) {
        fil_media_setting_get(media, i, &s);
        full_name(name, sizeof name, &s);
        if ((whole || !is_default(&s)) && cli_width(name) > width) width = cli_width(name);
    }
    cli_put(out, "\nsettings\n");
    for (size_t i = 0; i < n && out->error == 0; i++) {
        fil_media_setting_get(media, i, &s);
        if (!whole && is_default(&s)) continue;
        full_name(name, sizeof name, &s);
        cli_put(out, "  ");
        cli_put_escaped(out, name, strlen(name), CLI_SHOWN, SIZE_MAX);
        cli_pad(out, width - cli_width(name) + 2);
        info_text_value(out, s.value, whole);
    }
}

void info_text_media(cli_out *out, const char *path, const fil_media *media, bool whole)
{
    fil_media_info m;
    fil_media_info_get(media, &m);
    info_text_title(out, path);
    cli_putf(out, "  format    %s%s%s\n", m.format, m.codec[0] != '\0' ? ", " : "", m.codec);
    info_text_size(out, m.file_bytes);
    cli_putf(out, "  pixels    %d x %d\n", (int)m.width, (int)m.height);
    frames_line(out, &m);
    text_line(out, "made by", m.software, whole);
    if (fil_media_settings(media) > 0) {
        settings_text(out, media, whole);
        return;
    }
    text_line(out, "text", m.description, whole);
    text_line(out, "comment", m.comment, whole);
    no_settings_line(out, &m, path);
}
