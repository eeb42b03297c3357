/* tests/unit/test_json.c: the JSON reader (io/json.h): what it takes, what it refuses, its bounds.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static fil_ctx *ctx;

static int open_context(void **state)
{
    (void)state;
    return fil_ctx_open(&ctx, NULL) == FIL_OK ? 0 : -1;
}

static int close_context(void **state)
{
    (void)state;
    fil_ctx_close(&ctx);
    return 0;
}

static fil_status parse(const char *text, size_t bytes, uint64_t max, int flags, fili_json *json)
{
    /* A copy that ends with the text, so that a sanitizer sees a read beyond it. */
    char *copy = malloc(bytes + (bytes == 0));
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    fili_ctx_enter(ctx);
    const fil_status status = fili_json_parse(ctx, "text", copy, bytes, max, flags, json);
    free(copy);
    assert_int_equal(status, fil_ctx_error(ctx)->status);
    assert_true((json->root != NULL) == (status == FIL_OK));
    return status;
}

static void assert_takes(const char *text, int flags)
{
    fili_json json;
    if (parse(text, strlen(text), 1000, flags, &json) != FIL_OK)
        fail_msg("%s: %s", text, fil_ctx_error(ctx)->message);
    fili_json_fini(ctx, &json);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
}

static void assert_refuses(const char *text, int flags, fil_status status, const char *message)
{
    fili_json json;
    if (parse(text, strlen(text), 1000, flags, &json) != status ||
        strstr(fil_ctx_error(ctx)->message, message) == NULL)
        fail_msg("%s: %s '%s'", text, fil_status_name(fil_ctx_error(ctx)->status),
                 fil_ctx_error(ctx)->message);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
}

static void values_of_every_type_arrive(void **state)
{
    (void)state;
    static const char text[] = " {\"i\":9223372036854775807 ,\"z\":0,\"t\":true,\"f\":false,"
                               "\"n\":null,\"s\":\"x\",\"\":{},\"a\":[ [ ] , 1 ]}\t\r\n";
    fili_json         json;
    assert_int_equal(parse(text, sizeof text - 1, 1000, 0, &json), FIL_OK);
    json_t *root = json.root;
    assert_int_equal(json_object_size(root), 8);
    assert_true(json_integer_value(json_object_get(root, "i")) == INT64_MAX);
    assert_true(json_is_integer(json_object_get(root, "z")));
    assert_true(json_is_true(json_object_get(root, "t")));
    assert_true(json_is_false(json_object_get(root, "f")));
    assert_true(json_is_null(json_object_get(root, "n")));
    assert_string_equal(json_string_value(json_object_get(root, "s")), "x");
    assert_true(json_is_object(json_object_get(root, "")));
    assert_int_equal(json_array_size(json_object_get(root, "a")), 2);
    fili_json_fini(ctx, &json);
}

static void keys_keep_the_order_of_the_text(void **state)
{
    (void)state;
    char      text[2048] = "{";
    char      key[16];
    fili_json json;
    int       n = 0;
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"%d\":%d", i ? "," : "",
                 (i * 37) % 100, i);
    strcat(text, "}");
    assert_int_equal(parse(text, strlen(text), 1000, 0, &json), FIL_OK);
    for (void *i = json_object_iter(json.root); i; i = json_object_iter_next(json.root, i)) {
        snprintf(key, sizeof key, "%d", (n++ * 37) % 100);
        assert_string_equal(json_object_iter_key(i), key);
    }
    assert_int_equal(n, 100);
    fili_json_fini(ctx, &json);
}

static void every_escape_is_decoded(void **state)
{
    (void)state;
    static const char text[] = "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\","
                               "\"\\u007f\\u0080\\u07ff\\u0800\\uffff\\udbff\\udfff\"]";
    static const char *const want[] = {
        "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
        "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf"};
    fili_json json;
    assert_int_equal(parse(text, sizeof text - 1, 1000, 0, &json), FIL_OK);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(json_string_value(json_array_get(json.root, i)), want[i]);
    fili_json_fini(ctx, &json);
}

static void a_key_with_an_escape_survives_a_value_with_one(void **state)
{
    (void)state;
    static const char text[] = "{\"k\\u0031\":\"v\\u0031\",\"k\\u0032\":[\"v\\u0032 and longer\"],"
                               "\"k3\":{\"\\u006b\":1}}";
    fili_json         json;
    assert_int_equal(parse(text, sizeof text - 1, 1000, 0, &json), FIL_OK);
    assert_string_equal(json_string_value(json_object_get(json.root, "k1")), "v1");
    assert_int_equal(json_array_size(json_object_get(json.root, "k2")), 1);
    assert_int_equal(json_object_size(json_object_get(json.root, "k3")), 1);
    fili_json_fini(ctx, &json);
}

static void long_strings_and_characters_at_every_place_arrive_whole(void **state)
{
    (void)state;
    static char text[9000];
    fili_json   json;
    for (size_t n = 0; n < 4096; n = n * 2 + 1) {
        text[0] = '[';
        text[1] = '"';
        memset(text + 2, 'x', n);
        memcpy(text + 2 + n, "\xe2\x82\xac\"]", 6);
        assert_int_equal(parse(text, n + 7, 1000, 0, &json), FIL_OK);
        const json_t *s = json_array_get(json.root, 0);
        assert_int_equal(json_string_length(s), n + 3);
        assert_memory_equal(json_string_value(s), text + 2, n + 3);
        fili_json_fini(ctx, &json);
    }
}

static void reals_are_read_only_where_they_are_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double      value;
    } reals[] = {{"[0.5]", 0.5},           {"[-0.5]", -0.5},
                 {"[1e3]", 1e3},           {"[1E+2]", 1e2},
                 {"[25e-1]", 2.5},         {"[1e-06]", 1e-06},
                 {"[0.1]", 0.1},           {"[1.7976931348623157e308]", 1.7976931348623157e308},
                 {"[4.9e-324]", 4.9e-324}, {"[1e-400]", 0.0}};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        const char *text = reals[i].text;
        fili_json   json;
        assert_int_equal(parse(text, strlen(text), 10, FILI_JSON_REALS, &json), FIL_OK);
        const json_t *v = json_array_get(json.root, 0);
        assert_true(json_is_real(v));
        assert_true(json_real_value(v) == reals[i].value);
        fili_json_fini(ctx, &json);
        assert_refuses(text, 0, FIL_E_FORMAT, "number");
    }
    assert_takes("[-1,-9223372036854775807,-0]", FILI_JSON_REALS);
    assert_refuses("[-1]", 0, FIL_E_FORMAT, "a negative number");
}

static void numbers_that_json_does_not_have_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"[01]",  "[-]",   "[-a]",   "[1.]",  "[.5]",
                                      "[1e]",  "[1e+]", "[+1]",   "[00]",  "[0x1]",
                                      "[1_0]", "[--1]", "[1.e1]", "[NaN]", "[-Infinity]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refuses(bad[i], FILI_JSON_REALS, FIL_E_FORMAT, "is not valid JSON");
    assert_refuses("[9223372036854775808]", 0, FIL_E_FORMAT, "outside 0 to 2^63 - 1");
    assert_refuses("[9223372036854775808]", FILI_JSON_REALS, FIL_E_FORMAT, "outside");
    assert_refuses("[-9223372036854775808]", FILI_JSON_REALS, FIL_E_FORMAT, "outside");
    assert_refuses("[1e309]", FILI_JSON_REALS, FIL_E_FORMAT, "no double holds");
    assert_refuses("[-1e999999999999999999999]", FILI_JSON_REALS, FIL_E_FORMAT, "no double holds");
}

static void a_number_may_have_64_characters(void **state)
{
    (void)state;
    char text[80];
    memset(text, '1', sizeof text);
    text[0] = '[';
    memcpy(text + 1, "0.", 2);
    memcpy(text + 65, "]", 2);
    assert_takes(text, FILI_JSON_REALS);
    memcpy(text + 65, "1]", 3);
    assert_refuses(text, FILI_JSON_REALS, FIL_E_FORMAT, "more than 64 characters");
}

static void every_prefix_of_a_document_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1,-2.5e+3,\"\\u00e9\\n\xe2\x82\xac\",{\"b\":null}],\"c\":false}";
    fili_json json;
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_int_equal(parse(text, n, 1000, FILI_JSON_REALS, &json), FIL_E_FORMAT);
    assert_takes(text, FILI_JSON_REALS);
}

static void nesting_ends_at_depth_8(void **state)
{
    (void)state;
    assert_takes("[[[[[[[1]]]]]]]", 0);
    assert_takes("[[[[[[[[1]]]]]]]]", 0);
    assert_refuses("[[[[[[[[[1]]]]]]]]]", 0, FIL_E_LIMIT, "nests deeper than 8");
    assert_takes("[[[[[[[[]]]]]]],[[[[[[[]]]]]]]]", 0);
    assert_takes("{\"a\":{\"a\":{\"a\":{\"a\":[{\"a\":{\"a\":{}}}]}}}}", 0);
}

static void values_are_counted_with_their_keys(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,2,\"x\"],\"b\":null}"; /* 1 + 2 keys + 1 + 3 + 1 */
    fili_json         json;
    assert_int_equal(parse(text, sizeof text - 1, 9, 0, &json), FIL_OK);
    fili_json_fini(ctx, &json);
    assert_int_equal(parse(text, sizeof text - 1, 8, 0, &json), FIL_OK);
    fili_json_fini(ctx, &json);
    assert_int_equal(parse(text, sizeof text - 1, 7, 0, &json), FIL_E_LIMIT);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "more than 7 JSON values"));
    assert_int_equal(parse(text, sizeof text - 1, 0, 0, &json), FIL_E_LIMIT);
}

static void a_key_may_not_be_there_twice(void **state)
{
    (void)state;
    assert_refuses("{\"a\":1,\"a\":1}", 0, FIL_E_FORMAT, "the key 'a' twice, again at byte 7");
    assert_refuses("{\"a\":1,\"\\u0061\":1}", 0, FIL_E_FORMAT, "twice");
    assert_refuses("[{\"a\":{\"b\":1,\"b\":2}}]", 0, FIL_E_FORMAT, "the key 'b' twice");
    assert_takes("{\"a\":{\"a\":1},\"A\":1}", 0);
}

static void a_message_says_what_and_where(void **state)
{
    (void)state;
    assert_refuses("{\"a\":1\n,\"b\"}", 0, FIL_E_FORMAT,
                   "text is not valid JSON: expected ':', found '}' at byte 11 (line 2)");
    assert_refuses("[1", 0, FIL_E_FORMAT, "it ends after 2 bytes, ',' or ']' was expected");
    assert_refuses("[\n\n\"\\q\"]", 0, FIL_E_FORMAT, "an unknown escape at byte 4 (line 3)");
    assert_refuses("", 0, FIL_E_FORMAT, "it ends after 0 bytes");
    assert_refuses("[\x1b]", 0, FIL_E_FORMAT, "found '?'");
}

/* What glibc takes from the heap for a tree, measured, must not exceed what was counted for it. */
static size_t heap_bytes;

static void *counting_alloc(size_t bytes)
{
    size_t *p = malloc(bytes + 16);
    if (p == NULL) return NULL;
    p[0] = bytes + 8 < 24 ? 32 : (bytes + 8 + 15) / 16 * 16;
    heap_bytes += p[0];
    return p + 2;
}

static void counting_free(void *block)
{
    size_t *p = block;
    if (p == NULL) return;
    heap_bytes -= p[-2];
    free(p - 2);
}

static void the_tree_takes_no_more_than_is_counted(void **state)
{
    (void)state;
    static const char *const items[] = {"{}",        "[]",
                                        "\"\"",      "1",
                                        "null",      "\"abcdefghi\"",
                                        "{\"k\":1}", "[1,2,3,4,5,6,7,8,9]",
                                        "-0.25",     "{\"a\":[],\"b\":{},\"c\":\"\\u00e9\"}"};
    static char              text[200000];
    json_set_alloc_funcs(counting_alloc, counting_free);
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
        for (int object = 0; object < 2; object++)
            for (int count = 0; count < 3000; count = count * 3 + 1) {
                fili_json json;
                size_t    n = 0;
                text[n++]   = object ? '{' : '[';
                for (int k = 0; k < count; k++) {
                    if (k > 0) text[n++] = ',';
                    if (object) n += (size_t)snprintf(text + n, sizeof text - n, "\"%d\":", k);
                    n += (size_t)snprintf(text + n, sizeof text - n, "%s", items[i]);
                }
                text[n++]  = object ? '}' : ']';
                heap_bytes = 0;
                assert_int_equal(parse(text, n, 100000, FILI_JSON_REALS, &json), FIL_OK);
                assert_true(fil_ctx_memory(ctx).used == json.reserved);
                if (heap_bytes > json.reserved)
                    fail_msg("%d of %s: %zu on the heap, %llu counted", count, items[i], heap_bytes,
                             (unsigned long long)json.reserved);
                fili_json_fini(ctx, &json);
                assert_int_equal(heap_bytes, 0);
            }
    json_set_alloc_funcs(malloc, free);
}

static void a_file_is_read_within_the_header_limit(void **state)
{
    (void)state;
    scratch   s;
    fili_json json;
    scratch_make(&s);
    const uint64_t limit         = ctx->opt.limits.header_bytes;
    ctx->opt.limits.header_bytes = 16;
    scratch_write(&s, "15", "{\"a\":        1}", 15);
    scratch_write(&s, "16", "{\"a\":         1}", 16);
    scratch_write(&s, "17", "{\"a\":          1}", 17);
    for (int n = 15; n <= 17; n++) {
        char name[16];
        snprintf(name, sizeof name, "%d", n);
        fili_ctx_enter(ctx);
        const fil_status status =
            fili_json_read(ctx, FILI_CWD, scratch_path(&s, name), 0, 10, 0, &json);
        assert_int_equal(status, n <= 16 ? FIL_OK : FIL_E_LIMIT);
        fili_json_fini(ctx, &json);
    }
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "limit: header_bytes"));
    ctx->opt.limits.header_bytes = limit;
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    scratch_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type_arrive),
        cmocka_unit_test(keys_keep_the_order_of_the_text),
        cmocka_unit_test(every_escape_is_decoded),
        cmocka_unit_test(a_key_with_an_escape_survives_a_value_with_one),
        cmocka_unit_test(long_strings_and_characters_at_every_place_arrive_whole),
        cmocka_unit_test(reals_are_read_only_where_they_are_allowed),
        cmocka_unit_test(numbers_that_json_does_not_have_are_refused),
        cmocka_unit_test(a_number_may_have_64_characters),
        cmocka_unit_test(every_prefix_of_a_document_is_refused),
        cmocka_unit_test(nesting_ends_at_depth_8),
        cmocka_unit_test(values_are_counted_with_their_keys),
        cmocka_unit_test(a_key_may_not_be_there_twice),
        cmocka_unit_test(a_message_says_what_and_where),
        cmocka_unit_test(the_tree_takes_no_more_than_is_counted),
        cmocka_unit_test(a_file_is_read_within_the_header_limit),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
