/* tests/unit/test_video_format.c: io/video_format.h: formats by endings, and names with numbers. */
#include <string.h>

#include "io/video_format.h"
#include "support/cmocka_all.h"

static void endings_tell_the_format(void **state)
{
    static const struct {
        const char       *path;
        fili_video_format format;
    } known[]                        = {{"a.mp4", FILI_VIDEO_MP4},
                                        {"dir.png/b.webm", FILI_VIDEO_WEBM},
                                        {"a.b.webp", FILI_VIDEO_WEBP},
                                        {"./a.y4m", FILI_VIDEO_Y4M}};
    static const char *const other[] = {"", ".mp4", "mp4", "a.MP4", "a.mp4/", "a.mkv", "a.png"};
    fili_video_format        f;
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_true(fili_video_format_of(known[i].path, &f));
        assert_int_equal(f, known[i].format);
        assert_true(fili_video_crf_most(f) >= 51);
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        assert_false(fili_video_format_of(other[i], &f));
}

static void a_number_is_written_as_printf_writes_it(void **state)
{
    static const struct {
        const char *path;
        int32_t     number;
        const char *name;
    } cases[] = {{"frames/%05d.png", 7, "frames/00007.png"},
                 {"%d", 100000, "100000"},
                 {"a%02db.png", 123, "a123b.png"},
                 {"100%/%03d.png", 0, "100%/000.png"},
                 {"%s%d/x%09d.png", 12, "%s%d/x000000012.png"}};
    char          name[FILI_NUMBERED_BYTES];
    fili_numbered n;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(fili_numbered_parse(cases[i].path, &n));
        assert_string_equal(fili_numbered_name(&n, cases[i].number, name), cases[i].name);
    }
}

static void other_names_have_no_number(void **state)
{
    static const char *const other[] = {"",          "a.png",    "%d/a.png", "%s.png",  "%5d.png",
                                        "%010d.png", "%0d.png",  "%",        "%0",      "%05",
                                        "%d%d.png",  "%d%%.png", "%%d.png",  "%ld.png", "%-5d.png"};
    static char              longest[FILI_NUMBERED_BYTES + 8];
    fili_numbered            n = {.digits = 42};
    (void)state;
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        assert_false(fili_numbered_parse(other[i], &n));
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest + sizeof longest - 3, "%d", 3);
    assert_false(fili_numbered_parse(longest, &n));
    assert_int_equal(n.digits, 42); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endings_tell_the_format),
        cmocka_unit_test(a_number_is_written_as_printf_writes_it),
        cmocka_unit_test(other_names_have_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
