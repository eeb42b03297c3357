/* engine/disk_room.c: files of a run against the room there is (disk_room.h). */
#include <string.h>

#include "engine/disk_room.h"

#define MOST ((uint64_t)1 << 58) /* of a file, so that sums of a list stay below 2^63 */

enum { FOLDER = 4096 };

void fili_disk_add(fili_disk_list *list, const fili_disk_file *file)
{
    if (file->path != NULL && file->bytes > 0 && list->n < FILI_DISK_FILES)
        list->file[list->n++] = *file;
}

/* ---- what lies there, as time goes ---------------------------------------------------------- */

static int64_t bytes_of(const fili_disk_file *f)
{
    return (int64_t)(f->bytes < MOST ? f->bytes : MOST);
}

static void rise(fili_disk_level *l, int64_t bytes)
{
    l->now += bytes;
    if (l->now > l->most) l->most = l->now;
}

/* there: bytes of the file that has its name before, and is gone when it has. */
static void put_in_place(fili_disk_level *l, int64_t bytes, int64_t there)
{
    rise(l, bytes);
    l->now -= there;
}

static void write_file(fili_disk_level *l, const fili_disk_file *f, int64_t there)
{
    const int64_t bytes = bytes_of(f);
    switch (f->manner) {
    case FILI_DISK_AGAIN:
        put_in_place(l, bytes, there);
        put_in_place(l, bytes, bytes);
        break;
    case FILI_DISK_WHOLE: put_in_place(l, bytes, there); break;
    case FILI_DISK_PLACE: rise(l, bytes > there ? bytes - there : 0); break;
    case FILI_DISK_LONG:
    case FILI_DISK_NAMELESS: rise(l, bytes); break;
    }
}

/* The run is over. */
static void end_file(fili_disk_level *l, const fili_disk_file *f, int64_t there)
{
    const int64_t bytes = bytes_of(f);
    if (f->manner == FILI_DISK_LONG) l->now -= there;
    if (f->passes) l->now -= f->manner == FILI_DISK_PLACE && there > bytes ? there : bytes;
}

fili_disk_level fili_disk_level_of(const fili_disk_list *list)
{
    fili_disk_level l = {.now = 0};
    for (int i = 0; i < list->n; i++)
        write_file(&l, &list->file[i], 0);
    for (int i = 0; i < list->n; i++)
        end_file(&l, &list->file[i], 0);
    return l;
}

/* ---- the file systems ----------------------------------------------------------------------- */

/* Of a folder that is there, or will be made in it. Below 0: it cannot be told. */
static int open_folder_of(const fil_ctx *ctx, const char *path)
{
    char   folder[FOLDER];
    size_t n  = strlen(path);
    int    fd = -ENOENT;
    if (n >= sizeof folder) return -1;
    memcpy(folder, path, n + 1);
    while (fd == -ENOENT && n > 0) {
        while (n > 0 && folder[n - 1] != '/')
            n--;
        while (n > 1 && folder[n - 1] == '/')
            n--;
        folder[n] = '\0';
        fd        = fili_open_retrying(ctx->os, FILI_CWD, n > 0 ? folder : ".",
                                       FILI_OPEN_READ | FILI_OPEN_DIRECTORY);
    }
    return fd;
}

/* Of a file with that name, or a link's own. */
static int64_t size_there(const fil_ctx *ctx, const fili_disk_file *f)
{
    const fili_os *os = ctx->os;
    fili_stat      st = {.size = 0};
    if (f->manner == FILI_DISK_NAMELESS) return 0;
    const int fd = fili_open_retrying(os, FILI_CWD, f->path, FILI_OPEN_PATH | FILI_OPEN_NOFOLLOW);
    if (fd < 0) return 0;
    if (os->fstat(os->self, fd, &st) < 0) st.size = 0;
    (void)os->close(os->self, fd);
    return (int64_t)(st.size < MOST ? st.size : MOST);
}

/* A new one where it has not been met. NULL: there is no place for another. */
static fili_disk *find_disk(const fil_ctx *ctx, fili_disks *disks, int folder)
{
    const fili_os *os = ctx->os;
    fili_stat      st;
    if (os->fstat(os->self, folder, &st) < 0) return NULL;
    for (int i = 0; i < disks->n; i++)
        if (disks->disk[i].dev == st.dev) return &disks->disk[i];
    if (disks->n == FILI_DISKS) return NULL;
    fili_disk *d = &disks->disk[disks->n++];
    *d           = (fili_disk){.dev = st.dev};
    d->known     = os->disk_free(os->self, folder, &d->room) >= 0;
    return d;
}

static fili_disk *disk_of(const fil_ctx *ctx, fili_disks *disks, const fili_disk_file *f)
{
    if (f->spare) return NULL;
    const int folder = open_folder_of(ctx, f->path);
    if (folder < 0) return NULL;
    fili_disk *d = find_disk(ctx, disks, folder);
    (void)ctx->os->close(ctx->os->self, folder);
    return d != NULL && d->known ? d : NULL;
}

/* ---- all of it ------------------------------------------------------------------------------ */

typedef struct place {
    fili_disk *disk; /* NULL: nothing is known of it */
    int64_t    there;
} place;

static fil_status check(fil_ctx *ctx, const fili_disk *d, const fili_disk_list *list,
                        const place *places)
{
    const fili_disk_file *largest = NULL;
    int                   files   = 0;
    if (d->level.most <= 0 || (uint64_t)d->level.most <= d->room) return FIL_OK;
    for (int i = 0; i < list->n; i++) {
        if (places[i].disk != d) continue;
        if (largest == NULL || list->file[i].bytes > largest->bytes) largest = &list->file[i];
        files++;
    }
    if (largest == NULL) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_IO,
                    "too little room on the disk of '%s': %llu bytes are needed, %sfor %s; %llu "
                    "are free",
                    fili_quote(largest->path, strlen(largest->path)).text,
                    (unsigned long long)d->level.most, files > 1 ? "most of them " : "",
                    largest->what, (unsigned long long)d->room);
}

fil_status fili_disks_take(fil_ctx *ctx, fili_disks *disks, const fili_disk_list *list)
{
    place      places[FILI_DISK_FILES] = {{.disk = NULL}};
    fili_disks fresh                   = {.n = 0};
    if (disks == NULL) disks = &fresh;
    for (int i = 0; i < list->n; i++) {
        places[i] = (place){.disk  = disk_of(ctx, disks, &list->file[i]),
                            .there = size_there(ctx, &list->file[i])};
        if (places[i].disk != NULL)
            write_file(&places[i].disk->level, &list->file[i], places[i].there);
    }
    for (int i = 0; i < disks->n; i++)
        FIL_TRY(check(ctx, &disks->disk[i], list, places));
    for (int i = 0; i < list->n; i++)
        if (places[i].disk != NULL)
            end_file(&places[i].disk->level, &list->file[i], places[i].there);
    return FIL_OK;
}
