/* tests/unit/test_png_image.c: io/png_image.h: a picture comes back as it was, and broken files are
 * refused without a leak.
 */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/png_image.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/folder_rig.h"

enum { W = 37, H = 21, BYTES = W * H * 3 };

static scratch dir;
static uint8_t picture[BYTES];

static int set_up(void **state)
{
    for (int i = 0; i < BYTES; i++)
        picture[i] = (uint8_t)fili_philox_u32(1, 2, (uint64_t)i);
    return folder_rig_open(&dir, state);
}

static int tear_down(void **state)
{
    return folder_rig_close(&dir, state);
}

static void a_picture_comes_back_as_it_was(void **state)
{
    fil_ctx     *ctx = *state;
    fili_picture p;
    assert_int_equal(fili_png_write(ctx, scratch_path(&dir, "a.png"), 0,
                                    &(fili_png_source){.rgb = picture, .width = W, .height = H}),
                     FIL_OK);
    assert_int_equal(fili_png_read(ctx, scratch_path(&dir, "a.png"), &p), FIL_OK);
    assert_int_equal(p.width, W);
    assert_int_equal(p.height, H);
    assert_memory_equal(p.rgb, picture, BYTES);
    fili_picture_free(ctx, &p);
    assert_int_equal(scratch_count(&dir), 1);
}

static void an_existing_file_stays_unless_it_is_to_be_replaced(void **state)
{
    fil_ctx *ctx = *state;
    scratch_write(&dir, "a.png", "old", 3);
    assert_int_equal(fili_png_write(ctx, scratch_path(&dir, "a.png"), 0,
                                    &(fili_png_source){.rgb = picture, .width = W, .height = H}),
                     FIL_E_IO);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_png_write(ctx, scratch_path(&dir, "a.png"), 1,
                                    &(fili_png_source){.rgb = picture, .width = W, .height = H}),
                     FIL_OK);
    assert_int_equal(fili_png_write(ctx, scratch_path(&dir, "b.png"), 1,
                                    &(fili_png_source){.rgb = picture, .width = 0, .height = H}),
                     FIL_E_ARG);
}

static void every_cut_of_a_file_is_refused_without_a_leak(void **state)
{
    fil_ctx     *ctx = *state;
    fili_picture p;
    size_t       n;
    assert_int_equal(fili_png_write(ctx, scratch_path(&dir, "a.png"), 0,
                                    &(fili_png_source){.rgb = picture, .width = W, .height = H}),
                     FIL_OK);
    unsigned char *data = scratch_read(&dir, "a.png", &n);
    for (size_t cut = 0; cut + 12 < n; cut += cut < 64 ? 1 : 97) {
        scratch_write(&dir, "cut.png", data, cut);
        assert_int_equal(fili_png_read(ctx, scratch_path(&dir, "cut.png"), &p), FIL_E_FORMAT);
        assert_null(p.rgb);
        assert_non_null(strstr(fil_ctx_error(ctx)->message, "cut.png"));
        fili_ctx_enter(ctx);
    }
    free(data);
}

/* The chunk of that type that begins with the keyword; NULL: there is none. */
static const unsigned char *find_chunk(const unsigned char *png, size_t bytes, const char *type,
                                       const char *keyword)
{
    for (size_t at = 8; at + 12 <= bytes;) {
        const unsigned char *c = png + at;
        const size_t         n = (size_t)c[0] << 24 | (size_t)c[1] << 16 | (size_t)c[2] << 8 | c[3];
        if (memcmp(c + 4, type, 4) == 0 && strcmp((const char *)c + 8, keyword) == 0) return c;
        at += 12 + n;
    }
    return NULL;
}

static void notes_are_text_chunks_and_the_picture_stays(void **state)
{
    fil_ctx              *ctx    = *state;
    const fili_png_source source = {.rgb    = picture,
                                    .width  = W,
                                    .height = H,
                                    .notes  = {.software    = "filigree 1",
                                               .description = "a red f\xc3\xb6x",
                                               .comment     = "{\"seed\": 1}"}};
    fili_picture          p;
    size_t                n;
    assert_int_equal(fili_png_write(ctx, scratch_path(&dir, "a.png"), 0, &source), FIL_OK);
    assert_int_equal(fili_png_read(ctx, scratch_path(&dir, "a.png"), &p), FIL_OK);
    assert_memory_equal(p.rgb, picture, BYTES);
    fili_picture_free(ctx, &p);
    unsigned char       *data        = scratch_read(&dir, "a.png", &n);
    const unsigned char *software    = find_chunk(data, n, "tEXt", "Software");
    const unsigned char *description = find_chunk(data, n, "iTXt", "Description");
    const unsigned char *comment     = find_chunk(data, n, "tEXt", "Comment");
    assert_non_null(software);
    assert_non_null(description);
    assert_non_null(comment);
    assert_memory_equal(software + 8 + 9, "filigree 1", 10);
    assert_memory_equal(description + 8 + 12, "\0\0\0\0a red f\xc3\xb6x", 4 + 10);
    assert_memory_equal(comment + 8 + 8, "{\"seed\": 1}", 11);
    free(data);
}

static void a_header_that_asks_for_too_much_is_refused(void **state)
{
    /* Signature and IHDR of 65536 x 1 pixels, with its checksum, then an empty IDAT. */
    static const unsigned char wide[] = {137, 80, 78, 71, 13, 10, 26, 10,   0,    0,    0,
                                         13,  73, 72, 68, 82, 0,  1,  0,    0,    0,    0,
                                         0,   1,  8,  2,  0,  0,  0,  0x29, 0xd8, 0x34, 0x49};
    fil_ctx                   *ctx    = *state;
    fili_picture               p;
    scratch_write(&dir, "wide.png", wide, sizeof wide);
    const fil_status status = fili_png_read(ctx, scratch_path(&dir, "wide.png"), &p);
    assert_true(status == FIL_E_LIMIT || status == FIL_E_FORMAT);
    assert_null(p.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_picture_comes_back_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_existing_file_stays_unless_it_is_to_be_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_cut_of_a_file_is_refused_without_a_leak, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(notes_are_text_chunks_and_the_picture_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_header_that_asks_for_too_much_is_refused, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
