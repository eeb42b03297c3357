/* io/pickle_machine.h: the state that pickle.c (opcodes) and pickle_torch.c (globals) share.
 *
 * Invariants: stack[0 .. n_stack) holds values and marks; a memo slot of kind MARK is empty; every
 * byte in [at, end) is unread. All growth goes through fili_pickle_take and fili_pickle_push, which
 * bound it.
 */
#ifndef FILI_IO_PICKLE_MACHINE_H
#define FILI_IO_PICKLE_MACHINE_H

#include "io/pickle.h"

typedef struct fili_pickle_machine {
    fil_ctx             *ctx;
    fili_arena          *arena;
    const unsigned char *begin, *at, *end;
    const unsigned char *op; /* the opcode that is being carried out */
    fili_pickle_value   *stack;
    size_t               n_stack, max_stack;
    fili_pickle_value   *memo;
    size_t               n_memo; /* slots in use */
    size_t               max_memo;
    uint64_t             slots; /* bound of stack and memo, each */
    uint64_t             room;  /* bytes that values may still take */
    bool                 stopped;
} fili_pickle_machine;

/* Position of the opcode in hand, for messages. */
static inline size_t fili_pickle_at(const fili_pickle_machine *m)
{
    return (size_t)(m->op - m->begin);
}

/* Memory for values, counted against `room`. E_LIMIT, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_pickle_take(fili_pickle_machine *m, size_t bytes, void **out);

FIL_MUSTCHECK fil_status fili_pickle_push(fili_pickle_machine *m, fili_pickle_value value);

/* The top value, which must be no mark. E_FORMAT. */
FIL_MUSTCHECK fil_status fili_pickle_pop(fili_pickle_machine *m, fili_pickle_value *value);

/* ---- pickle_torch.c ------------------------------------------------------------------------- */

/* The value of an accepted global. E_UNSUP: any other. Names are not NUL-terminated. */
FIL_MUSTCHECK fil_status fili_pickle_global(fili_pickle_machine *m, const char *module,
                                            size_t module_bytes, const char *name,
                                            size_t name_bytes, fili_pickle_value *value);

/* What torch's persistent id stands for: a storage. */
FIL_MUSTCHECK fil_status fili_pickle_persistent(fili_pickle_machine *m, fili_pickle_value id,
                                                fili_pickle_value *value);

/* function(*args), for the three functions of the list. */
FIL_MUSTCHECK fil_status fili_pickle_call(fili_pickle_machine *m, fili_pickle_value function,
                                          fili_pickle_value args, fili_pickle_value *value);

#endif
