/* tests/unit/test_index.c: what a good sharded model gives. Bad ones: test_malformed.c. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka_all.h"
#include "support/invariants.h"
#include "support/malformed.h"

typedef struct bench {
    scratch      dir;
    fil_ctx     *ctx;
    fili_tensors set;
} bench;

static void set_up(bench *b)
{
    scratch_make(&b->dir);
    assert_int_equal(fil_ctx_open(&b->ctx, NULL), FIL_OK);
    fili_tensors_init(&b->set, b->ctx, 0);
    write_shard(&b->dir, "a.safetensors", "a");
    write_shard(&b->dir, "b.safetensors", "b");
    scratch_write(&b->dir, INDEX_NAME, GOOD_INDEX, sizeof GOOD_INDEX - 1);
}

static fil_status open_index(bench *b, const char *path, uint32_t flags)
{
    fili_tensors_fini(&b->set);
    fili_ctx_enter(b->ctx);
    fili_tensors_init(&b->set, b->ctx, flags);
    return fili_tensors_open(&b->set, path);
}

static void tear_down(bench *b)
{
    fili_tensors_fini(&b->set);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    scratch_remove(&b->dir);
}

static void put(bench *b, const char *index)
{
    scratch_write(&b->dir, INDEX_NAME, index, strlen(index));
}

static void tensors_of_all_shards_stand_in_one_directory(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++) {
        bench b;
        set_up(&b);
        assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), flags), FIL_OK);
        assert_null(tensors_broken(&b.set));
        assert_string_equal(b.set.format, "safetensors-index");
        assert_int_equal(b.set.n_sources, 2);
        assert_int_equal(b.set.n_entries, 2);
        const fili_entry *e = fili_tensors_find(&b.set, "b");
        assert_string_equal(b.set.sources[e->source].name, "b.safetensors");
        tear_down(&b);
    }
}

static void an_index_is_found_from_the_folder_itself(void **state)
{
    (void)state;
    bench b;
    char  before[512];
    set_up(&b);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(b.dir.path), 0);
    const fil_status plain = open_index(&b, INDEX_NAME, 0);
    const fil_status dot   = open_index(&b, "./" INDEX_NAME, 0);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(plain, FIL_OK);
    assert_int_equal(dot, FIL_OK);
    tear_down(&b);
}

static void the_order_of_the_map_does_not_matter(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    put(&b, "{\"weight_map\":{\"b\":\"b.safetensors\",\"a\":\"a.safetensors\"},\"other\":[1.5]}");
    assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0), FIL_OK);
    assert_string_equal(b.set.entries[0].name, "a");
    tear_down(&b);
}

static void metadata_of_index_and_shards_is_checked_and_not_kept(void **state)
{
    (void)state;
    static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\","
                               "\"shape\":[0],\"data_offsets\":[0,0]}}";
    static const char bad[]  = "{\"__metadata__\":{\"format\":1},\"b\":{\"dtype\":\"F32\","
                               "\"shape\":[0],\"data_offsets\":[0,0]}}";
    bench             b;
    set_up(&b);
    blob file = blob_safetensors(good, sizeof good - 1, 0);
    scratch_write(&b.dir, "b.safetensors", file.data, file.bytes);
    blob_free(&file);
    assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0), FIL_OK);
    assert_int_equal(b.set.n_pairs, 0);
    file = blob_safetensors(bad, sizeof bad - 1, 0);
    scratch_write(&b.dir, "b.safetensors", file.data, file.bytes);
    blob_free(&file);
    assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0), FIL_E_FORMAT);
    tear_down(&b);
}

static void a_failure_names_the_shard_and_the_index(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    assert_int_equal(unlink(scratch_path(&b.dir, "b.safetensors")), 0);
    assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0), FIL_E_IO);
    const fil_error *e = fil_ctx_error(b.ctx);
    assert_int_equal(e->n_frames, 2);
    assert_string_equal(e->frame[0], "shard b.safetensors");
    assert_string_equal(e->frame[1], "file " INDEX_NAME);
    tear_down(&b);
}

static void shards_and_tensors_are_limited_over_the_whole_model(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    for (uint64_t limit = 1; limit <= 3; limit++) {
        b.ctx->opt.limits.shards  = limit;
        b.ctx->opt.limits.tensors = 100;
        assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0),
                         limit < 2 ? FIL_E_LIMIT : FIL_OK);
        if (limit < 2) assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "limit: shards"));
        b.ctx->opt.limits.shards  = 100;
        b.ctx->opt.limits.tensors = limit;
        assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0),
                         limit < 2 ? FIL_E_LIMIT : FIL_OK);
        if (limit < 2) assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "limit: tensors"));
    }
    tear_down(&b);
}

static void an_index_is_limited_by_header_bytes(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    const uint64_t size = sizeof GOOD_INDEX - 1;
    for (uint64_t limit = size - 1; limit <= size + 1; limit++) {
        b.ctx->opt.limits.header_bytes = limit;
        assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0),
                         limit < size ? FIL_E_LIMIT : FIL_OK);
    }
    tear_down(&b);
}

static void a_shard_may_have_a_name_of_255_bytes(void **state)
{
    (void)state;
    char  name[256];
    char  index[400];
    bench b;
    set_up(&b);
    memset(name, 'n', 255);
    memcpy(name + 243, ".safetensors", 13);
    write_shard(&b.dir, name, "a");
    snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"%s\"}}", name);
    put(&b, index);
    assert_int_equal(open_index(&b, scratch_path(&b.dir, INDEX_NAME), 0), FIL_OK);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_all_shards_stand_in_one_directory),
        cmocka_unit_test(an_index_is_found_from_the_folder_itself),
        cmocka_unit_test(the_order_of_the_map_does_not_matter),
        cmocka_unit_test(metadata_of_index_and_shards_is_checked_and_not_kept),
        cmocka_unit_test(a_failure_names_the_shard_and_the_index),
        cmocka_unit_test(shards_and_tensors_are_limited_over_the_whole_model),
        cmocka_unit_test(an_index_is_limited_by_header_bytes),
        cmocka_unit_test(a_shard_may_have_a_name_of_255_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
