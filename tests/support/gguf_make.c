/* tests/support/gguf_make.c: GGUF files, field by field (gguf_make.h). */
#include <string.h>

#include "support/gguf_make.h"

static void put_text(buffer *b, const char *text, uint64_t says)
{
    buffer_number(b, 8, says != 0 ? says : strlen(text));
    buffer_text(b, text);
}

static void put_info(buffer *b, const gguf_info *t)
{
    put_text(b, t->name, t->name_bytes);
    buffer_number(b, 4, t->rank);
    for (uint32_t i = 0; i < t->rank && i < 9; i++)
        buffer_number(b, 8, t->dims[i]);
    buffer_number(b, 4, t->type);
    buffer_number(b, 8, t->offset);
}

uint64_t gguf_make(buffer *b, const gguf_file *f)
{
    const uint64_t alignment = f->alignment != 0 ? f->alignment : 32;
    buffer_text(b, "GGUF");
    buffer_number(b, 4, f->version != 0 ? f->version : 3);
    buffer_number(b, 8, f->says_tensors != 0 ? f->says_tensors : f->n_infos);
    buffer_number(b, 8, f->says_pairs != 0 ? f->says_pairs : f->n_pairs);
    for (size_t i = 0; i < f->n_pairs; i++) {
        put_text(b, f->pair[i].key, f->pair[i].key_bytes);
        buffer_number(b, 4, f->pair[i].type);
        buffer_put(b, f->pair[i].value, f->pair[i].value_bytes);
    }
    for (size_t i = 0; i < f->n_infos; i++)
        put_info(b, &f->info[i]);
    buffer_fill(b, 0, (size_t)((alignment - b->bytes % alignment) % alignment));
    const uint64_t begin = b->bytes;
    buffer_fill(b, 0x5a, (size_t)f->data);
    for (size_t i = 0; i < f->n_infos; i++)
        if (f->info[i].data != NULL)
            memcpy(b->data + begin + f->info[i].offset, f->info[i].data, (size_t)f->info[i].bytes);
    return begin;
}

uint64_t gguf_lay_out(gguf_info *info, size_t n)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        info[i].offset = at;
        at += (info[i].bytes + 31) / 32 * 32;
    }
    return at;
}
