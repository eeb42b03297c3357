/* tests/fuzz/memory_file.h: an OS table that serves one buffer as the file at every path.
 *
 * No disk is touched, so a fuzz target makes tens of thousands of calls in a second. What writes
 * fails with EROFS. The environment looks empty, so that FIL_ISA cannot change a run.
 */
#ifndef TESTS_FUZZ_MEMORY_FILE_H
#define TESTS_FUZZ_MEMORY_FILE_H

#include "base/os.h"

typedef struct memory_file {
    const unsigned char *data;
    size_t               bytes;
    int64_t              open;   /* descriptors not closed */
    int64_t              mapped; /* mappings not unmapped */
} memory_file;

/* `file` is borrowed; its data may change while nothing is open. A mapping is a copy that ends
 * exactly at the last byte, so that AddressSanitizer sees a read beyond it. */
fili_os memory_file_table(memory_file *file);

#endif
