/* io/sentencepiece_door.h: the sentencepiece library behind C functions.
 *
 * sentencepiece_door.cc is the project's one C++ file; no exception leaves it, and nothing is
 * printed. Builds without the library have sentencepiece_none.c instead: opening then says ABSENT.
 * The model has been checked (spiece_check.h): the library trusts what it loads.
 */
#ifndef FILI_IO_SENTENCEPIECE_DOOR_H
#define FILI_IO_SENTENCEPIECE_DOOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fili_sp_result {
    FILI_SP_OK = 0,
    FILI_SP_ABSENT,  /* this build has no sentencepiece */
    FILI_SP_NOMEM,   /* the library ran out of memory */
    FILI_SP_REFUSED, /* the library does not take the model, or failed; it says why */
    FILI_SP_STOPPED  /* take returned other than 0 */
} fili_sp_result;

typedef struct fili_sp fili_sp;

/* message[size]: why, NUL-terminated; empty if there is nothing to say. */
fili_sp_result fili_sp_open(const void *model, size_t bytes, fili_sp **out, char *message,
                            size_t size);

/* Tells the ids of a text, one by one; take returns 0 to go on. Reads sp only. */
typedef int (*fili_sp_take_fn)(void *user, int32_t id);
fili_sp_result fili_sp_encode(const fili_sp *sp, const char *text, size_t bytes,
                              fili_sp_take_fn take, void *user);

/* NULL is accepted. */
void fili_sp_close(fili_sp *sp);

#ifdef __cplusplus
}
#endif

#endif
