/* wan/model_paths.c: finds the parts of a model in its folder, by name (model_paths.h).
 *
 * Every tensor file of the folder gets points for each part from the rules below; the highest wins
 * and a tie is a failure that names both. Layouts: wan.md 1.2. Looks into no tensor file.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "io/model_folder.h"
#include "wan/model_paths.h"

typedef struct part_words {
    const char *what;   /* in messages */
    const char *option; /* that names the part */
    const char *looked; /* what was looked for */
} part_words;

static const part_words words[3] = {
    [FILI_PART_DIT] =
        {"DiT", "--dit",
         "transformer/, diffusion_pytorch_model*.safetensors, diffusion_models/, *.gguf"},
    [FILI_PART_T5]  = {"text encoder", "--t5",
                       "text_encoder/, models_t5_*.pth, text_encoders/*t5*, *t5*.gguf"},
    [FILI_PART_VAE] = {"VAE", "--vae", "vae/, *VAE*.pth, *vae*.safetensors"},
};

/* ---- rules ---------------------------------------------------------------------------------- */

static bool begins_in_any_case(const char *text, const char *lower)
{
    while (*lower != '\0' && tolower((unsigned char)*text) == *lower) {
        text++;
        lower++;
    }
    return *lower == '\0';
}

static bool contains(const char *text, const char *lower)
{
    while (*text != '\0' && !begins_in_any_case(text, lower))
        text++;
    return *text != '\0';
}

/* True if the file lies in the subfolder `sub`; *name: its name without folder. */
static bool in_sub(const char *path, const char *sub, const char **name)
{
    const char *slash = strchr(path, '/');
    *name             = slash != NULL ? slash + 1 : path;
    if (slash == NULL) return sub[0] == '\0';
    return (size_t)(slash - path) == strlen(sub) && fili_begins_with(path, sub);
}

/* The name that save_pretrained gives, not a variant's ("model.fp16.safetensors"). */
static int is_plain(const char *name)
{
    return fili_begins_with(name, "diffusion_pytorch_model.safetensors") ||
           fili_begins_with(name, "model.safetensors");
}

static int points_dit(const char *path)
{
    const char *name;
    if (in_sub(path, "transformer", &name)) return 8 + is_plain(name);
    if (in_sub(path, "diffusion_models", &name) || in_sub(path, "unet", &name)) return 4;
    if (!in_sub(path, "", &name)) return 0;
    if (fili_begins_with(name, "diffusion_pytorch_model")) return 6 + is_plain(name);
    return contains(name, "vae") || contains(name, "t5") || contains(name, "clip") ? 0 : 1;
}

static int points_t5(const char *path)
{
    const char *name;
    if (in_sub(path, "text_encoder", &name)) return 8 + is_plain(name);
    if (in_sub(path, "", &name))
        return fili_begins_with(name, "models_t5") ? 6 : contains(name, "t5") ? 1 : 0;
    if (in_sub(path, "text_encoders", &name)) return contains(name, "t5") ? 4 : 2;
    return in_sub(path, "clip", &name) && contains(name, "t5") ? 4 : 0;
}

static int points_vae(const char *path)
{
    const char *name;
    if (in_sub(path, "vae", &name)) return 8 + is_plain(name);
    return in_sub(path, "", &name) && contains(name, "vae") ? 6 : 0;
}

static int points(fili_part part, const char *path)
{
    return part == FILI_PART_DIT  ? points_dit(path)
           : part == FILI_PART_T5 ? points_t5(path)
                                  : points_vae(path);
}

/* ---- choosing ------------------------------------------------------------------------------- */

static fil_status join(fili_arena *arena, const char *dir, const char *name, const char **out)
{
    const size_t n     = strlen(dir);
    const size_t m     = strlen(name);
    const bool   slash = n > 0 && dir[n - 1] == '/';
    void        *block;
    FIL_TRY(fili_arena_alloc(arena, n + m + 2, &block));
    snprintf(block, n + m + 2, "%s%s%s", dir, slash ? "" : "/", name);
    *out = block;
    return FIL_OK;
}

static fil_status choose(fil_ctx *ctx, const fili_folder *folder, fili_part part, const char **out)
{
    int         best  = 0;
    const char *other = NULL;
    *out              = NULL;
    for (size_t i = 0; i < folder->n_files; i++) {
        const int p = points(part, folder->files[i]);
        if (p == 0 || p < best) continue;
        other = p == best ? *out : NULL;
        best  = p;
        *out  = folder->files[i];
    }
    if (other == NULL) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_MISMATCH, "'%s' and '%s' could both be the %s; choose one with %s",
                    fili_quote(other, strlen(other)).text, fili_quote(*out, strlen(*out)).text,
                    words[part].what, words[part].option);
}

static const char *layout_of(const fili_folder *folder)
{
    const char *name;
    if (strcmp(folder->layout, "files") != 0) return folder->layout;
    for (size_t i = 0; i < folder->n_files; i++)
        if (in_sub(folder->files[i], "diffusion_models", &name) ||
            in_sub(folder->files[i], "text_encoders", &name))
            return "comfy";
    return folder->layout;
}

static bool is_there(fil_ctx *ctx, const char *path, fili_file_kind kind)
{
    fili_stat st = {0};
    const int fd = fili_open_retrying(ctx->os, FILI_CWD, path, FILI_OPEN_PATH);
    if (fd < 0) return false;
    const int r = ctx->os->fstat(ctx->os->self, fd, &st);
    (void)ctx->os->close(ctx->os->self, fd);
    return r >= 0 && st.kind == kind;
}

bool fili_is_folder(fil_ctx *ctx, const char *path)
{
    return is_there(ctx, path, FILI_KIND_DIRECTORY);
}

static fil_status find_tokenizer(fili_model_paths *p, const char *dir)
{
    static const char *const places[] = {"tokenizer", "google/umt5-xxl", "."};
    for (size_t i = 0; i < sizeof places / sizeof places[0] && p->tokenizer == NULL; i++) {
        const char *folder;
        const char *file;
        FIL_TRY(join(&p->arena, dir, places[i], &folder));
        FIL_TRY(join(&p->arena, folder, "spiece.model", &file));
        if (is_there(p->ctx, file, FILI_KIND_REGULAR)) p->tokenizer = folder;
    }
    return FIL_OK;
}

/* ---- the model ------------------------------------------------------------------------------ */

static fil_status copy(fili_arena *arena, const char *text, const char **out)
{
    char *made = NULL;
    if (text != NULL) FIL_TRY(fili_arena_text(arena, text, strlen(text), &made));
    *out = made;
    return FIL_OK;
}

static fil_status ask_folder(fili_model_paths *p, const char *dir, uint32_t flags)
{
    fili_folder folder;
    FIL_TRY(fili_folder_open(&folder, p->ctx, dir, flags));
    fil_status status = FIL_OK;
    p->layout         = layout_of(&folder);
    for (int i = 0; i < 3 && status == FIL_OK; i++) {
        const char *name;
        if (p->part[i] != NULL) continue;
        status = choose(p->ctx, &folder, (fili_part)i, &name);
        if (status == FIL_OK && name != NULL) status = join(&p->arena, dir, name, &p->part[i]);
    }
    fili_folder_fini(&folder);
    return status;
}

static fil_status find_all(fili_model_paths *p, const fili_model_choice *choice, uint32_t flags)
{
    FIL_TRY(copy(&p->arena, choice->dit, &p->part[FILI_PART_DIT]));
    FIL_TRY(copy(&p->arena, choice->t5, &p->part[FILI_PART_T5]));
    FIL_TRY(copy(&p->arena, choice->vae, &p->part[FILI_PART_VAE]));
    FIL_TRY(copy(&p->arena, choice->tokenizer, &p->tokenizer));
    if (choice->dir == NULL) return FIL_OK;
    if (p->part[0] == NULL || p->part[1] == NULL || p->part[2] == NULL)
        FIL_TRY(ask_folder(p, choice->dir, flags));
    return p->tokenizer == NULL ? find_tokenizer(p, choice->dir) : FIL_OK;
}

fil_status fili_model_paths_open(fili_model_paths *out, fil_ctx *ctx,
                                 const fili_model_choice *choice, uint32_t flags)
{
    *out = (fili_model_paths){.ctx = ctx, .layout = "files"};
    fili_arena_init(&out->arena, ctx, "model paths", 0);
    const fil_status status = find_all(out, choice, flags);
    if (status != FIL_OK && choice->dir != NULL)
        fili_error_frame(ctx, "folder %s", fili_quote(choice->dir, strlen(choice->dir)).text);
    if (status != FIL_OK) fili_model_paths_close(out);
    return status;
}

void fili_model_paths_close(fili_model_paths *paths)
{
    fil_ctx *ctx = paths->ctx;
    fili_arena_fini(&paths->arena);
    *paths = (fili_model_paths){.ctx = ctx, .layout = "files", .arena = paths->arena};
}

fil_status fili_model_paths_need(const fili_model_paths *paths, fili_part part)
{
    if (paths->part[part] != NULL) return FIL_OK;
    return FIL_FAIL(paths->ctx, FIL_E_MISMATCH,
                    "the model has no %s (looked for %s); name it with %s", words[part].what,
                    words[part].looked, words[part].option);
}

fil_status fili_model_paths_need_tokenizer(const fili_model_paths *paths)
{
    if (paths->tokenizer != NULL) return FIL_OK;
    return FIL_FAIL(paths->ctx, FIL_E_MISMATCH,
                    "the model has no tokenizer (looked for spiece.model in tokenizer/ and "
                    "google/umt5-xxl/); name it with --tokenizer");
}

void fili_model_paths_frame(const fili_model_paths *paths, fili_part part)
{
    const char *path = paths->part[part];
    if (path == NULL || paths->ctx->error.n_frames > 0) return;
    fili_error_frame(paths->ctx, "%s %s", words[part].what, fili_quote(path, strlen(path)).text);
}

/* ---- one part ------------------------------------------------------------------------------- */

fil_status fili_model_part_path(fil_ctx *ctx, fili_arena *arena, const char *dir, fili_part part,
                                uint32_t flags, const char **out)
{
    fili_folder folder;
    const char *name = NULL;
    *out             = NULL;
    FIL_TRY(fili_folder_open(&folder, ctx, dir, flags));
    fil_status status = FIL_OK;
    if (folder.n_files == 1)
        name = folder.files[0]; /* the part's own folder */
    else
        status = choose(ctx, &folder, part, &name);
    if (status == FIL_OK && name == NULL)
        status = FIL_FAIL(ctx, FIL_E_MISMATCH, "'%s' has no %s (looked for %s)",
                          fili_quote(dir, strlen(dir)).text, words[part].what, words[part].looked);
    if (status == FIL_OK) status = join(arena, dir, name, out);
    fili_folder_fini(&folder);
    return status;
}
