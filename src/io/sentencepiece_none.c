/* io/sentencepiece_none.c: what sentencepiece_door.h offers in a build without the library. */
#include "io/sentencepiece_door.h"

fili_sp_result fili_sp_open(const void *model, size_t bytes, fili_sp **out, char *message,
                            size_t size)
{
    (void)model;
    (void)bytes;
    *out = NULL;
    if (size > 0) message[0] = '\0';
    return FILI_SP_ABSENT;
}

fili_sp_result fili_sp_encode(const fili_sp *sp, const char *text, size_t bytes,
                              fili_sp_take_fn take, void *user)
{
    (void)sp;
    (void)text;
    (void)bytes;
    (void)take;
    (void)user;
    return FILI_SP_ABSENT;
}

void fili_sp_close(fili_sp *sp)
{
    (void)sp;
}
