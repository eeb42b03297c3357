/* tests/unit/test_sha256.c: io/sha256.h against the examples of FIPS 180. */
#include <string.h>

#include "io/sha256.h"
#include "support/cmocka_all.h"

static void check(const char *text, size_t times, size_t piece, const char *want)
{
    fili_sha256  h;
    char         hex[FILI_SHA256_HEX];
    const size_t n = strlen(text);
    fili_sha256_begin(&h);
    for (size_t t = 0; t < times; t++)
        for (size_t at = 0; at < n; at += piece)
            fili_sha256_add(&h, text + at, n - at < piece ? n - at : piece);
    fili_sha256_end(&h, hex);
    assert_string_equal(hex, want);
}

static void the_examples_of_the_standard_come_out(void **state)
{
    (void)state;
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    check("", 1, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 1, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t piece = 1; piece < 60; piece += 13)
        check(two, 1, piece, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check("aaaaaaaaaa", 100000, 10,
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void lengths_around_a_block_are_padded(void **state)
{
    (void)state;
    char        text[66];
    char        whole[FILI_SHA256_HEX];
    char        pieces[FILI_SHA256_HEX];
    fili_sha256 h;
    memset(text, 'x', sizeof text);
    for (size_t n = 54; n <= 66; n++) {
        fili_sha256_begin(&h);
        fili_sha256_add(&h, text, n);
        fili_sha256_end(&h, whole);
        fili_sha256_begin(&h);
        fili_sha256_add(&h, text, n / 2);
        fili_sha256_add(&h, text, n - n / 2);
        fili_sha256_end(&h, pieces);
        assert_string_equal(whole, pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_come_out),
        cmocka_unit_test(lengths_around_a_block_are_padded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
