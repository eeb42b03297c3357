/* tests/support/alloc_fault.c: a counting, failing, poisoning allocator (fault.h). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fault.h"

static int fails(alloc_fault *f)
{
    const int64_t call = f->calls++;
    const int     hit  = f->at >= 0 && (call == f->at || (f->forever && call > f->at));
    f->failed += hit;
    return hit;
}

#define HEAD 64u /* in front of the block: its size, so that free can check it */

static void *fault_alloc(void *user, size_t bytes, size_t align)
{
    alloc_fault *f = user;
    if (fails(f) || align > HEAD) return NULL;
    unsigned char *block = aligned_alloc(HEAD, (HEAD + bytes + HEAD - 1) / HEAD * HEAD);
    if (block == NULL) return NULL;
    memcpy(block, &bytes, sizeof bytes);
    memset(block + HEAD, 0xAA, bytes);
    f->live++;
    return block + HEAD;
}

static void fault_free(void *user, void *p, size_t bytes)
{
    alloc_fault   *f     = user;
    unsigned char *block = (unsigned char *)p - HEAD;
    size_t         size;
    memcpy(&size, block, sizeof size);
    if (size != bytes) {
        fprintf(stderr, "freed with %zu bytes, allocated with %zu\n", bytes, size);
        abort();
    }
    memset(p, 0xDD, bytes);
    free(block);
    f->live--;
}

fil_allocator alloc_fault_allocator(alloc_fault *fault)
{
    return (fil_allocator){.alloc = fault_alloc, .free = fault_free, .user = fault};
}

static alloc_fault *json_fault;

static void *json_alloc(size_t bytes)
{
    if (fails(json_fault)) return NULL;
    void *p = calloc(1, bytes); /* zeroed: the memory sanitizer does not see jansson's stores */
    if (p != NULL) json_fault->live++;
    return p;
}

static void json_free(void *p)
{
    if (p == NULL) return;
    free(p);
    json_fault->live--;
}

void alloc_fault_json(alloc_fault *fault)
{
    json_fault = fault;
    if (fault != NULL)
        json_set_alloc_funcs(json_alloc, json_free);
    else
        json_set_alloc_funcs(malloc, free);
}
