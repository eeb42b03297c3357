/* tests/unit/test_malformed.c: every malformed file of the table is refused, with its status and
 * its reason, and leaves nothing behind. Also: every truncation and every flipped header bit of a
 * good file, things that are no files, and a file that shrinks.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka_all.h"
#include "support/invariants.h"
#include "support/malformed.h"

typedef struct bench {
    scratch     dir;
    alloc_fault memory;
    os_fault    system;
    fili_os     os;
    fil_ctx    *ctx;
} bench;

static void set_up(bench *b)
{
    memset(b, 0, sizeof *b);
    scratch_make(&b->dir);
    b->memory.at = -1;
    b->system.at = -1;
    b->os        = os_fault_table(&b->system);
    alloc_fault_json(&b->memory);
    fil_options opt;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&b->memory);
    assert_int_equal(fili_ctx_open_on(&b->os, &b->ctx, &opt), FIL_OK);
}

static void tear_down(bench *b)
{
    fil_ctx_close(&b->ctx);
    alloc_fault_json(NULL);
    scratch_remove(&b->dir);
}

/* Nothing but the context itself is held. */
static int holds_something(const bench *b)
{
    return b->memory.live != 1 || fil_ctx_memory(b->ctx).used != 0 || b->system.open != 0 ||
           b->system.mapped != 0;
}

static fil_status open_name(bench *b, const char *name, uint32_t flags, const char **broken)
{
    fili_tensors set;
    fili_ctx_enter(b->ctx);
    fili_tensors_init(&set, b->ctx, flags);
    const fil_status status = fili_tensors_open(&set, scratch_path(&b->dir, name));
    *broken                 = NULL;
    if (status == FIL_OK)
        *broken = strcmp(set.format, "safetensors") == 0 ? safetensors_broken(&set)
                                                         : tensors_broken(&set);
    fili_tensors_fini(&set);
    return status;
}

/* 1 and a line on stderr unless the file is refused as the table says. */
static int check(bench *b, const char *name, const char *file, fil_status status,
                 const char *message)
{
    int bad = 0;
    for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++) {
        const char      *broken;
        const fil_status got = open_name(b, file, flags, &broken);
        const fil_error *e   = fil_ctx_error(b->ctx);
        if (flags == FIL_OPEN_TRUSTED && strncmp(name, "link-", 5) == 0) continue;
        if (got == status && e->status == status && strstr(e->message, message) != NULL &&
            e->n_frames >= 1 && !holds_something(b))
            continue;
        fprintf(stderr, "%s (flags %u): %s '%s'; expected %s '...%s...'%s\n", name, flags,
                fil_status_name(got), e->message, fil_status_name(status), message,
                holds_something(b) ? "; something is held" : "");
        bad = 1;
    }
    return bad;
}

static void the_table_has_at_least_120_entries(void **state)
{
    (void)state;
    printf("%zu files, %zu models\n", n_malformed_files, n_malformed_models);
    assert_true(n_malformed_files >= 120);
    for (size_t i = 0; i < n_malformed_files; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(malformed_files[i].name, malformed_files[j].name);
}

static void every_malformed_file_is_refused_with_its_reason(void **state)
{
    (void)state;
    bench b;
    int   bad = 0;
    set_up(&b);
    for (size_t i = 0; i < n_malformed_files; i++) {
        const malformed *c    = &malformed_files[i];
        blob             file = malformed_blob(c);
        scratch_write(&b.dir, "case.safetensors", file.data, file.bytes);
        bad += check(&b, c->name, "case.safetensors", c->status, c->message);
        blob_free(&file);
    }
    tear_down(&b);
    assert_int_equal(bad, 0);
}

static void every_malformed_gguf_is_refused_with_its_reason(void **state)
{
    (void)state;
    bench b;
    int   bad = 0;
    set_up(&b);
    for (size_t i = 0; i < n_malformed_ggufs; i++) {
        blob        file;
        fil_status  status;
        const char *message;
        const char *name = malformed_gguf(i, &file, &status, &message);
        scratch_write(&b.dir, "case.gguf", file.data, file.bytes);
        bad += check(&b, name, "case.gguf", status, message);
        blob_free(&file);
    }
    printf("%zu GGUF files\n", n_malformed_ggufs);
    tear_down(&b);
    assert_int_equal(bad, 0);
}

static void every_malformed_model_is_refused_with_its_reason(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < n_malformed_models; i++) {
        const malformed_model *c = &malformed_models[i];
        bench                  b;
        set_up(&b);
        malformed_folder(&b.dir, c);
        bad += check(&b, c->name, INDEX_NAME, c->status, c->message);
        tear_down(&b);
    }
    assert_int_equal(bad, 0);
}

/* ---- damage to a good file ------------------------------------------------------------------ */

/* 4 KiB: 40 tensors of several types, metadata, a zero-size tensor, a scalar, padding. */
static blob good_file(void)
{
    char   header[4096];
    size_t n  = 0;
    size_t at = 0;
    n += (size_t)snprintf(header, sizeof header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < 30; i++) {
        const size_t bytes = i == 7 ? 0 : 32;
        n += (size_t)snprintf(header + n, sizeof header - n,
                              ",\"blocks.%d.w\":{\"dtype\":\"%s\",\"shape\":[%d,%s],"
                              "\"data_offsets\":[%zu,%zu]}",
                              i, i % 2 ? "F32" : "BF16", i == 7 ? 0 : 2, i % 2 ? "4" : "8", at,
                              at + bytes);
        at += bytes;
    }
    n += (size_t)snprintf(header + n, sizeof header - n, "}");
    const size_t tail = 4096 - 8 - at;
    assert_true(n <= tail);
    memset(header + n, ' ', tail - n);
    blob b = blob_safetensors(header, tail, at);
    assert_int_equal(b.bytes, 4096);
    return b;
}

static void every_truncation_of_a_4_kib_file_is_refused(void **state)
{
    (void)state;
    bench       b;
    const char *broken;
    blob        file = good_file();
    set_up(&b);
    for (size_t bytes = 0; bytes < file.bytes; bytes++) {
        scratch_write(&b.dir, "cut.safetensors", file.data, bytes);
        const fil_status status = open_name(&b, "cut.safetensors", 0, &broken);
        if (status != FIL_E_FORMAT || holds_something(&b))
            fail_msg("cut to %zu bytes: %s", bytes, fil_status_name(status));
    }
    scratch_write(&b.dir, "cut.safetensors", file.data, file.bytes);
    assert_int_equal(open_name(&b, "cut.safetensors", 0, &broken), FIL_OK);
    assert_null(broken);
    blob_free(&file);
    tear_down(&b);
}

/* A flip may change a name, a metadata text, a space, or a dtype into one of the same width: then
 * the file is another valid one, and everything that holds for valid files must hold for it. */
static void every_flipped_bit_of_a_header_is_refused_or_gives_a_valid_file(void **state)
{
    (void)state;
    bench  b;
    blob   file     = good_file();
    int    accepted = 0;
    size_t header   = 0;
    set_up(&b);
    for (int i = 7; i >= 0; i--)
        header = header << 8 | file.data[i];
    for (size_t bit = 0; bit < (8 + header) * 8; bit++) {
        const char *broken;
        file.data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        scratch_write(&b.dir, "flip.safetensors", file.data, file.bytes);
        const fil_status status = open_name(&b, "flip.safetensors", bit % 2, &broken);
        if (status == FIL_OK ? broken != NULL : status != FIL_E_FORMAT && status != FIL_E_LIMIT)
            fail_msg("bit %zu: %s %s", bit, fil_status_name(status), broken ? broken : "");
        if (holds_something(&b)) fail_msg("bit %zu: something is held", bit);
        accepted += status == FIL_OK;
        file.data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    printf("%zu bits, %d give another valid file\n", (8 + header) * 8, accepted);
    assert_true(accepted > 0);
    assert_true(accepted < (int)((8 + header) * 4));
    blob_free(&file);
    tear_down(&b);
}

static void a_file_that_shrinks_after_opening_gives_e_io(void **state)
{
    (void)state;
    bench         b;
    fili_tensors  set;
    unsigned char data[16];
    set_up(&b);
    write_shard(&b.dir, "a.safetensors", "a");
    fili_tensors_init(&set, b.ctx, 0);
    assert_int_equal(fili_tensors_open(&set, scratch_path(&b.dir, "a.safetensors")), FIL_OK);
    const fili_entry *e = fili_tensors_find(&set, "a");
    assert_non_null(e);
    assert_int_equal(fili_tensors_read(&set, e, 0, data, 16), FIL_OK);
    assert_int_equal(truncate(scratch_path(&b.dir, "a.safetensors"), (off_t)e->offset + 8), 0);
    fili_ctx_enter(b.ctx);
    assert_int_equal(fili_tensors_read(&set, e, 0, data, 16), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "when it was opened"));
    fili_tensors_fini(&set);
    assert_false(holds_something(&b));
    tear_down(&b);
}

/* ---- things that are no files --------------------------------------------------------------- */

static void a_folder_a_fifo_a_socket_and_a_device_are_refused_at_once(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    assert_int_equal(mkdir(scratch_path(&b.dir, "folder"), 0777), 0);
    assert_int_equal(mkfifo(scratch_path(&b.dir, "fifo"), 0666), 0);
    assert_int_equal(symlink("/dev/null", scratch_path(&b.dir, "null")), 0);
    assert_int_equal(symlink("/dev/zero", scratch_path(&b.dir, "zero")), 0);
    assert_int_equal(check(&b, "folder", "folder", FIL_E_FORMAT, "is a directory"), 0);
    assert_int_equal(check(&b, "fifo", "fifo", FIL_E_FORMAT, "is a fifo"), 0);
    assert_int_equal(check(&b, "null", "null", FIL_E_FORMAT, "is a device"), 0);
    assert_int_equal(check(&b, "zero", "zero", FIL_E_FORMAT, "is a device"), 0);

    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%.90s", scratch_path(&b.dir, "socket"));
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(check(&b, "socket", "socket", FIL_E_IO, "cannot open"), 0);
    close(fd);
    tear_down(&b);
}

static void a_name_that_is_not_there_gives_e_io(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    assert_int_equal(check(&b, "none", "none", FIL_E_IO, "No such file"), 0);
    assert_int_equal(check(&b, "none", "none/" INDEX_NAME, FIL_E_IO, "No such file"), 0);
    assert_int_equal(check(&b, "none", INDEX_NAME, FIL_E_IO, "No such file"), 0);
    tear_down(&b);
}

static void links_beside_an_index_are_followed_in_trusted_mode_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_malformed_models; i++) {
        const malformed_model *c = &malformed_models[i];
        bench                  b;
        const char            *broken;
        if (strncmp(c->name, "link-", 5) != 0 || strcmp(c->name, "link-dangling") == 0 ||
            strcmp(c->name, "link-loop") == 0)
            continue;
        set_up(&b);
        malformed_folder(&b.dir, c);
        assert_int_equal(open_name(&b, INDEX_NAME, FIL_OPEN_TRUSTED, &broken), FIL_OK);
        assert_null(broken);
        assert_int_equal(open_name(&b, INDEX_NAME, 0, &broken), FIL_E_FORMAT);
        tear_down(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_has_at_least_120_entries),
        cmocka_unit_test(every_malformed_file_is_refused_with_its_reason),
        cmocka_unit_test(every_malformed_gguf_is_refused_with_its_reason),
        cmocka_unit_test(every_malformed_model_is_refused_with_its_reason),
        cmocka_unit_test(every_truncation_of_a_4_kib_file_is_refused),
        cmocka_unit_test(every_flipped_bit_of_a_header_is_refused_or_gives_a_valid_file),
        cmocka_unit_test(a_file_that_shrinks_after_opening_gives_e_io),
        cmocka_unit_test(a_folder_a_fifo_a_socket_and_a_device_are_refused_at_once),
        cmocka_unit_test(a_name_that_is_not_there_gives_e_io),
        cmocka_unit_test(links_beside_an_index_are_followed_in_trusted_mode_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
