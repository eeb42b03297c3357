/* kernel/registry.c: choosing a row, and saying why (registry.h). */
#include <stdio.h>
#include <string.h>

#include "base/device.h"
#include "kernel/attention.h"
#include "kernel/conv3d.h"
#include "kernel/linear.h"
#include "kernel/mass.h"
#include "kernel/norm.h"
#include "kernel/pooling.h"
#include "kernel/registry.h"
#include "kernel/sampled.h"
#include "kernel/select.h"

const filk_family *const filk_families[] = {&filk_attention, &filk_mass,   &filk_pooling,
                                            &filk_selection, &filk_linear, &filk_norm,
                                            &filk_conv3d,    &filk_sampled};
const int32_t            filk_n_families = sizeof filk_families / sizeof filk_families[0];
_Static_assert(sizeof filk_families / sizeof filk_families[0] <= FILI_MAX_FAMILIES,
               "a context has a word for each family");

#define REASONS 200 /* characters for them in a message */
#define MORE    "; and %d more"

static int32_t family_index(const filk_family *family)
{
    for (int32_t i = 0; i < filk_n_families; i++)
        if (filk_families[i] == family) return i;
    return -1;
}

void filk_disable(fil_ctx *ctx, const filk_family *family, const filk_row *row)
{
    const int32_t f = family_index(family);
    if (f >= 0) ctx->disabled_rows[f] |= 1ull << (row - family->rows);
}

static int is_disabled(const fil_ctx *ctx, const filk_family *family, const filk_row *row)
{
    const int32_t f = family_index(family);
    return f >= 0 && (ctx->disabled_rows[f] >> (row - family->rows) & 1) != 0;
}

/* A row's level is one of the CPU, or of the device that the context has opened. */
static int lacks_level(const fil_ctx *ctx, const filk_row *row, char reason[FILK_REASON])
{
    const fili_device *device = ctx->device;
    const char        *need   = fili_isa_name(row->isa);
    if (!fili_isa_is_device(row->isa)) {
        if (fili_isa_has(ctx->isa, row->isa)) return 0;
        snprintf(reason, FILK_REASON, "needs %s; %s is in use", need, fili_isa_name(ctx->isa));
        return 1;
    }
    if (device != NULL && fili_isa_has(device->isa, row->isa)) return 0;
    if (device == NULL)
        snprintf(reason, FILK_REASON, "needs %s; no CUDA device is open", need);
    else
        snprintf(reason, FILK_REASON, "needs %s; the device is of compute capability %d.%d", need,
                 device->info.arch / 10, device->info.arch % 10);
    return 1;
}

int filk_explain(const fil_ctx *ctx, const filk_family *family, const filk_row *row,
                 const void *problem, char reason[FILK_REASON])
{
    reason[0] = '\0';
    if (lacks_level(ctx, row, reason)) return 0;
    if (is_disabled(ctx, family, row)) {
        snprintf(reason, FILK_REASON, "failed the self-test");
        return 0;
    }
    const char *refusal = problem != NULL ? row->refuse(problem) : NULL;
    if (refusal == NULL) return 1;
    snprintf(reason, FILK_REASON, "%s", refusal);
    return 0;
}

/* Rows, each with its reason, as many as fit: those of this CPU or device first, since they were in
 * question; then how many more there are. Device rows are no news where no device is open. */
static void list_reasons(const fil_ctx *ctx, const filk_family *family, const void *problem,
                         const char *name, char text[REASONS])
{
    size_t  at   = 0;
    int32_t more = 0;
    for (int32_t i = 0; i < 2 * family->n_rows; i++) {
        char            reason[FILK_REASON];
        char            piece[2 * FILK_REASON];
        const filk_row *row   = &family->rows[i % family->n_rows];
        const int       lacks = lacks_level(ctx, row, reason);
        if (lacks != (i >= family->n_rows)) continue;
        if (name != NULL && strcmp(name, row->name) != 0) continue;
        if (name == NULL && ctx->device == NULL && fili_isa_is_device(row->isa)) continue;
        filk_explain(ctx, family, row, problem, reason);
        snprintf(piece, sizeof piece, "; %s %s", row->name, reason);
        const size_t n = strlen(piece);
        if (more > 0 || at + n + sizeof MORE > REASONS) {
            more++;
            continue;
        }
        memcpy(text + at, piece, n);
        at += n;
    }
    text[at] = '\0';
    if (more > 0) snprintf(text + at, REASONS - at, MORE, more);
}

static fil_status none_taken(fil_ctx *ctx, const filk_family *family, const void *problem,
                             const char *name)
{
    char text[REASONS];
    list_reasons(ctx, family, problem, name, text);
    if (text[0] == '\0')
        return FIL_FAIL(ctx, FIL_E_UNSUP, "%s has no kernel '%.80s'", family->name, name);
    return FIL_FAIL(ctx, FIL_E_UNSUP, "no %s kernel takes this%s", family->name, text);
}

fil_status filk_select(fil_ctx *ctx, const filk_family *family, const void *problem,
                       const char *name, const filk_row **row)
{
    char reason[FILK_REASON];
    *row = NULL;
    for (int32_t i = 0; i < family->n_rows; i++) {
        if (name != NULL && strcmp(name, family->rows[i].name) != 0) continue;
        if (!filk_explain(ctx, family, &family->rows[i], problem, reason)) continue;
        *row = &family->rows[i];
        return FIL_OK;
    }
    return none_taken(ctx, family, problem, name);
}
