/* io/sentencepiece_door.cc: the sentencepiece library behind C functions (sentencepiece_door.h).
 *
 * The one C++ file of the project: the library has no C interface.
 */
#include <sentencepiece_processor.h>

#include "io/sentencepiece_door.h"

struct fili_sp {
    sentencepiece::SentencePieceProcessor processor;
};

/* Not through a stream or a format: those may throw. */
static void say(char *message, std::size_t size, const char *text)
{
    std::size_t n = 0;
    if (size == 0) return;
    for (; n + 1 < size && text != nullptr && text[n] != '\0'; n++)
        message[n] = text[n];
    message[n] = '\0';
}

extern "C" fili_sp_result fili_sp_open(const void *model, std::size_t bytes, fili_sp **out,
                                       char *message, std::size_t size)
{
    fili_sp *sp = nullptr;
    *out        = nullptr;
    say(message, size, "");
    try {
        sp = new fili_sp;
        const auto status =
            sp->processor.LoadFromSerializedProto({static_cast<const char *>(model), bytes});
        if (status.ok()) {
            *out = sp;
            return FILI_SP_OK;
        }
        say(message, size, status.error_message());
    } catch (const std::bad_alloc &) {
        delete sp;
        return FILI_SP_NOMEM;
    } catch (...) {
        say(message, size, "the library gave up");
    }
    delete sp;
    return FILI_SP_REFUSED;
}

extern "C" fili_sp_result fili_sp_encode(const fili_sp *sp, const char *text, std::size_t bytes,
                                         fili_sp_take_fn take, void *user)
{
    try {
        std::vector<int> ids;
        if (!sp->processor.Encode({text, bytes}, &ids).ok()) return FILI_SP_REFUSED;
        for (const int id : ids)
            if (take(user, id) != 0) return FILI_SP_STOPPED;
    } catch (const std::bad_alloc &) {
        return FILI_SP_NOMEM;
    } catch (...) {
        return FILI_SP_REFUSED;
    }
    return FILI_SP_OK;
}

extern "C" void fili_sp_close(fili_sp *sp)
{
    delete sp;
}
