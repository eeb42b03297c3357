/* tests/support/power.h: the real system up to the call at which the power goes. From there on
 * every call fails and changes nothing, and then power_cut does to the disk what a file system may
 * do then: of what was written and not synced the later half is lost, and so is a rename that no
 * sync of its folder has followed. One thread, one rename at a time.
 */
#ifndef FIL_TESTS_POWER_H
#define FIL_TESTS_POWER_H

#include "base/os.h"

enum { POWER_WRITES = 256 };

typedef struct power_write {
    int      fd; /* our own */
    uint64_t inode, from, bytes;
} power_write;

typedef struct power {
    int64_t calls, at; /* the call that does not come back; -1: none */
    int     torn;      /* if it is a write, half of it is done */
    int     off;

    power_write write[POWER_WRITES]; /* not synced */
    int         n_writes;
    int         folder; /* of the rename that is not synced; -1: there is none */
    int         had;    /* its target stood before: under the name below now */
    char        target[256];
} power;

/* `power` is to be zeros but for `at` and `torn`. */
fili_os power_table(power *p);
/* Behind the last call. loses_names: a rename that was not synced is undone. */
void power_cut(power *p, int loses_names);

#endif
