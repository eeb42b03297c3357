/* engine/disk_room.h: what a run writes, and whether the file systems have room for it, asked
 * before any work.
 *
 * The files stand in a list in the order in which they are written; those of one file system
 * (st_dev) are added up as they will lie there: a file that replaces another stands beside it
 * until it has its name, a checkpoint beside its former self, and what a run needs on its way alone
 * is given back at its end. Sizes are those of the data, so what is told is sure: a run needs that
 * much, and the few bytes of headers. What nobody can know before (compressed videos and pictures)
 * is in no list; nor is anything asked of a file system that does not say for sure what it has room
 * for (fili_os.disk_free).
 */
#ifndef FILI_ENGINE_DISK_ROOM_H
#define FILI_ENGINE_DISK_ROOM_H

#include <stdbool.h>

#include "base/file.h"

typedef enum fili_disk_manner {
    FILI_DISK_WHOLE,   /* written at once under a temporary name, which it then loses */
    FILI_DISK_AGAIN,   /* the same, and more than once */
    FILI_DISK_LONG,    /* written bit by bit under a temporary name, until the end */
    FILI_DISK_PLACE,   /* written where it lies: what is there already counts */
    FILI_DISK_NAMELESS /* has no name; lies in the folder of `path` */
} fili_disk_manner;

typedef struct fili_disk_file {
    const char      *what; /* "the video": for messages */
    const char      *path; /* NULL: nothing is written */
    uint64_t         bytes;
    fili_disk_manner manner;
    bool             passes; /* of no use when the run is over */
    bool             spare;  /* the run does without it where there is no room: not asked for */
} fili_disk_file;

enum { FILI_DISK_FILES = 8 };

typedef struct fili_disk_list {
    fili_disk_file file[FILI_DISK_FILES];
    int            n;
} fili_disk_list;

/* At most FILI_DISK_FILES in all. */
void fili_disk_add(fili_disk_list *list, const fili_disk_file *file);

/* Bytes beyond what is there before. */
typedef struct fili_disk_level {
    int64_t now, most;
} fili_disk_level;

/* Of all files of a list, where nothing of them is there: the most at one time, and `now` what
 * stays. */
fili_disk_level fili_disk_level_of(const fili_disk_list *list);

/* A file system, and what runs that come one after the other take of it. */
typedef struct fili_disk {
    uint64_t        dev, room;
    bool            known; /* `room` is */
    fili_disk_level level;
} fili_disk;

enum { FILI_DISKS = 8 }; /* file systems that are looked at; further ones are not */

typedef struct fili_disks {
    fili_disk disk[FILI_DISKS];
    int       n;
} fili_disks;

/* E_IO: one of the file systems has less room than the list takes, for sure, on top of the lists
 * that were added to *disks before; zeroed, or with NULL, there were none. What cannot be found out
 * is no failure here: whoever writes there will say it. */
FIL_MUSTCHECK fil_status fili_disks_take(fil_ctx *ctx, fili_disks *disks,
                                         const fili_disk_list *list);

#endif
