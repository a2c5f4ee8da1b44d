/* test_parts.c - large weights read a tensor at a time: the same numbers as from the whole file,
 * damage that is noticed, and memory near one tensor; parameters whose room is reserved by a
 * sketch.
 */
#include "common/io/safetensors/safetensors.h"
#include "common/tape/params.h"
#include "tests/folder.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <unistd.h>

enum { TENSORS = 24, COUNT = 1 << 20 };

static void fill(void *ctx, size_t i, void *data) {
    (void)ctx;
    for (size_t k = 0; k < COUNT; k++) ((float *)data)[k] = (float)(i * 7 + k % 1013);
}

static const char *large(void) {
    const char *path = in_folder("large.safetensors");
    st_writer_t *w = st_writer_new();
    reason_t why;
    for (size_t i = 0; i < TENSORS; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%zu", i);
        st_writer_lazy(w, name, ST_F32, 1, (uint64_t[]){COUNT}, fill, NULL, i);
    }
    if (st_write(w, path, &why)) BUG("%s", why.text);
    st_writer_free(w);
    return path;
}

/* Reads every tensor; how many numbers are not what fill gave. */
static size_t wrong_numbers(st_file_t *f) {
    size_t wrong = 0;
    float *v = xmalloc(COUNT * sizeof *v);
    for (size_t i = 0; i < f->n; i++) {
        reason_t why;
        st_tensor_t t;
        CHECK(!f->tensor[i].data, "no data before it is asked for");
        if (st_part(f, &f->tensor[i], &t, &why) || st_read_f32(&t, v, &why)) BUG("%s", why.text);
        size_t which = (size_t)atoi(t.name + 1);
        for (size_t k = 0; k < COUNT; k++) wrong += v[k] != (float)(which * 7 + k % 1013);
        free((void *)(uintptr_t)t.data);
    }
    free(v);
    return wrong;
}

static int read_all(void *ctx) {
    st_file_t f;
    reason_t why = {""};
    rss_reset();
    long before = rss_peak_mb();
    if (st_open_parts(&f, ctx, &why)) BUG("%s", why.text);
    size_t n = f.n, wrong = wrong_numbers(&f);
    int rc = st_parts_end(&f, &why);
    printf("%zu %zu %d %ld\n", n, wrong, rc, rss_peak_mb() - before);
    return 0;
}

TEST(a_tensor_at_a_time) {
    folder_open();
    child_t c;
    child_run(read_all, (void *)(uintptr_t)large(), &c);
    size_t n = 0, wrong = 0;
    int rc = -1;
    long more = 1000;
    CHECK(!c.code && sscanf(c.out, "%zu %zu %d %ld", &n, &wrong, &rc, &more) == 4,
          "left with %d: %s", c.code, c.err);
    CHECK(n == TENSORS && !wrong && !rc, "%zu tensors, %zu wrong numbers, %d", n, wrong, rc);
    CHECK(more < 20, "%ld MB for tensors of 4 in a file of %d", more, 4 * TENSORS);
    folder_remove();
}

TEST(fault_065_changed_while_it_is_read) {
    folder_open();
    const char *path = large();
    st_file_t f;
    reason_t why = {""};
    REQUIRE(!st_open_parts(&f, path, &why), "%s", why.text);
    FILE *other = fopen(path, "r+b");
    REQUIRE(other && !fseek(other, -5, SEEK_END) && fputc(77, other) == 77 && !fclose(other),
            "cannot change it");
    CHECK(st_parts_end(&f, &why) && strstr(why.text, "xxh3"), "'%s'", why.text);
    st_tensor_t t;
    REQUIRE(!truncate(path, 4 * COUNT), "cannot cut it");
    CHECK(st_open_parts(&f, path, &why) && strstr(why.text, "rule 13"), "'%s'", why.text);
    path = large();
    REQUIRE(!st_open_parts(&f, path, &why), "%s", why.text);
    REQUIRE(!truncate(path, 4 * COUNT), "cannot cut it");
    CHECK(st_part(&f, st_find(&f, "t9"), &t, &why) && strstr(why.text, "ends before"), "'%s'",
          why.text);
    CHECK(st_parts_end(&f, &why), "a file that ends before its data has no hash");
    folder_remove();
}

TEST(not_a_file_by_parts) {
    st_file_t f;
    reason_t why;
    CHECK(st_open_parts(&f, "tests", &why) && strstr(why.text, "tests"), "a folder");
    CHECK(st_open_parts(&f, "tests/none", &why) && strstr(why.text, "No such file"), "nothing");
    CHECK(st_open_parts(&f, "/dev/null", &why) && strstr(why.text, "no regular file"), "'%s'",
          why.text);
}

TEST(room_by_a_sketch) {
    params_t *sketch = params_sketch(), *a = params_new(3), *b = params_new(3);
    params_t *all[] = {sketch, a, b};
    for (int i = 0; i < 3; i++) {
        if (i == 2) params_reserve(b, params_block(sketch));
        float *base = i == 2 ? params_base(b, PARAMS_VALUE) : NULL;
        for (size_t k = 1; k < 9; k++) {
            char name[8];
            snprintf(name, sizeof name, "p%zu", k);
            params_get(all[i], name, 2, (size_t[]){k * 100, 77}, LAYOUT_SAME,
                       (param_init_t){INIT_NORMAL, 1});
        }
        if (i == 2) CHECK(base == params_base(b, PARAMS_VALUE), "it grew all the same");
    }
    CHECK(params_n(sketch) == 8 && params_block(sketch) == params_block(a), "names and sizes");
    CHECK(params_block(a) == params_block(b) &&
              !memcmp(params_base(a, PARAMS_VALUE), params_base(b, PARAMS_VALUE),
                      params_block(a) * sizeof(float)),
          "the same numbers");
    for (int i = 0; i < 3; i++) params_free(all[i]);
}

TEST(blank_parameters_are_zero) {
    params_t *p = params_blank();
    size_t nonzero = 0;
    for (int k = 0; k < 4; k++) { /* the block comes after two of them */
        const char *name[] = {"a", "b", "c", "d"};
        params_get(p, name[k], 2, (size_t[]){70, 77}, LAYOUT_SAME, (param_init_t){INIT_NORMAL, 1});
        if (k >= 1) params_ptr(p, PARAMS_VALUE, 0)[k] = 1;
    }
    for (size_t i = 0; i < params_block(p); i++) nonzero += params_base(p, PARAMS_VALUE)[i] != 0;
    CHECK(params_n(p) == 4 && nonzero == 3, "%zu of %zu numbers", nonzero, params_block(p));
    params_free(p);
}
