/* engine/folder_api.c: the public face of io/model_folder.h (filigree/file.h, "model folders"). */
#include <string.h>

#include "base/mem.h"
#include "io/model_folder.h"

struct fil_folder {
    fil_ctx    *ctx;
    fili_folder f;
};

static fil_status folder_open(fil_ctx *ctx, const char *path, uint32_t flags, fil_folder **out)
{
    void *block;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_folder), "folder handle", &block));
    fil_folder *folder      = block;
    folder->ctx             = ctx;
    const fil_status status = fili_folder_open(&folder->f, ctx, path, flags);
    if (status != FIL_OK) fil_folder_close(&folder);
    *out = folder;
    return status;
}

fil_status fil_folder_open(fil_ctx *ctx, const char *path, uint32_t flags, fil_folder **out)
{
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_folder_open: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && out != NULL, "fil_folder_open: %s is NULL",
              path == NULL ? "path" : "out");
    FIL_CHECK(ctx, (flags & ~FIL_OPEN_TRUSTED) == 0, "fil_folder_open: unknown flags 0x%x", flags);
    const fil_status status = folder_open(ctx, path, flags, out);
    if (status != FIL_OK) fili_error_frame(ctx, "folder %s", fili_quote(path, strlen(path)).text);
    return status;
}

void fil_folder_close(fil_folder **folder)
{
    if (folder == NULL || *folder == NULL) return;
    fili_folder_fini(&(*folder)->f);
    fili_free((*folder)->ctx, *folder, sizeof **folder);
    *folder = NULL;
}

size_t fil_folder_files(const fil_folder *folder)
{
    return folder != NULL ? folder->f.n_files : 0;
}

const char *fil_folder_file(const fil_folder *folder, size_t i)
{
    return i < fil_folder_files(folder) ? folder->f.files[i] : NULL;
}

const char *fil_folder_layout(const fil_folder *folder)
{
    return folder != NULL ? folder->f.layout : "";
}
