/* tests/support/pth_open.c: one checkpoint in memory, opened once (pth_open.h). */
#include <stdio.h>
#include <string.h>

#include "fuzz/memory_file.h"
#include "support/cmocka_all.h"
#include "support/pth_open.h"

static void take(const fili_tensors *set, pth_result *out)
{
    out->n_tensors = set->n_entries;
    for (size_t i = 0; i < set->n_entries && i < 8; i++) {
        out->entries[i]      = set->entries[i];
        out->entries[i].name = NULL;
        snprintf(out->names[i], sizeof out->names[i], "%s", set->entries[i].name);
    }
}

void pth_open(const buffer *file, const fil_limits *limits, pth_result *out)
{
    memory_file   memory = {.data = file->data, .bytes = file->bytes};
    const fili_os os     = memory_file_table(&memory);
    fil_options   opt;
    fil_ctx      *ctx = NULL;
    fili_tensors  set;
    int32_t       source;
    memset(out, 0, sizeof *out); /* padding too: pth_same compares bytes */
    fil_options_init(&opt);
    if (limits != NULL) opt.limits = *limits;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, &opt), FIL_OK);
    fili_tensors_init(&set, ctx, 0);
    out->status = fili_tensors_source(&set, FILI_CWD, "x.pth", 0, &source);
    if (out->status == FIL_OK) out->status = fili_pth_read_header(&set, source);
    if (out->status == FIL_OK) out->status = fili_tensors_seal(&set);
    if (out->status == FIL_OK) take(&set, out);
    if (out->status == FIL_OK) assert_string_equal(set.format, "pytorch");
    assert_int_equal(out->status, fil_ctx_error(ctx)->status);
    memcpy(out->message, fil_ctx_error(ctx)->message, sizeof out->message);
    fili_tensors_fini(&set);
    out->peak = fil_ctx_memory(ctx).peak;
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
    assert_int_equal(memory.open, 0);
}

void pth_expect(const char *what, const pth_result *r, fil_status status, const char *needle)
{
    if (r->status == status && strstr(r->message, needle) != NULL) return;
    fail_msg("%s: got %s '%s', expected %s '...%s...'", what, fil_status_name(r->status),
             r->message, fil_status_name(status), needle);
}

int pth_same(const pth_result *a, const pth_result *b)
{
    return a->status == FIL_OK && b->status == FIL_OK && a->n_tensors == b->n_tensors &&
           memcmp(a->names, b->names, sizeof a->names) == 0 &&
           memcmp(a->entries, b->entries, sizeof a->entries) == 0;
}
