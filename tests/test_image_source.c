/* test_image_source.c - groups, splits and manifests of a source; bad items. */
#include "tests/image_source_case.h"

/* ---- groups, splits, manifests ---- */

TEST(groups) {
    static const struct {
        const char *key, *name, *dir, *episode;
    } cases[] = {
        {"a/b/photo_12.png", "a/b/photo", "a", "a/b"},
        {"a/photo-7.tar.png", "a/photo-7.tar", "a", "a"},
        {"a/photo-7.jpg", "a/photo", "a", "a"},
        {"a/photo7.jpg", "a/photo7", "a", "a"},
        {"a/12.jpg", "a/12", "a", "a"},
        {"a/_12.jpg", "a/_12", "a", "a"},
        {"a/p_1_2.jpg", "a/p_1", "a", "a"},
        {"b_3/x.png", "b_3/x", "b_3", "b_3"},
        {"b_4/noext_5", "b_4/noext", "b_4", "b_4"},
        {"top_1.png", "top", "top", "top"},
    };
    enum { N = sizeof cases / sizeof *cases };
    char buf[512];
    open_folder();
    for (size_t i = 0; i < N; i++) put_file(cases[i].key, "\x89PNG\r\n\x1A\n", 8);
    image_source_t *s = image_source_open_or_die(folder);
    CHECK(image_source_count(s) == N);
    for (size_t i = 0; i < image_source_count(s); i++) {
        size_t k = 0;
        while (k < N && strcmp(cases[k].key, image_source_key(s, i)) != 0) k++;
        REQUIRE(k < N);
        CHECK_STR(image_source_group(s, i, SPLIT_NAME, buf), cases[k].name);
        CHECK_STR(image_source_group(s, i, SPLIT_FOLDER, buf), cases[k].dir);
        CHECK_STR(image_source_group(s, i, SPLIT_EPISODE, buf), cases[k].episode);
    }
    image_source_close(s);
    remove_folder();
}

/* XXH64 of "" and "a" are published: ...999 = 17241709254077376921 and 15154266338359012955. */
TEST(split_rule) {
    CHECK(!split_held_out("", 0.921) && split_held_out("", 0.922));
    CHECK(!split_held_out("a", 0.955) && split_held_out("a", 0.956));
    CHECK(!split_held_out("a", 0) && split_held_out("", 1));
    int held = 0;
    for (int i = 0; i < 20000; i++) {
        char name[20];
        snprintf(name, sizeof name, "g%d", i);
        held += split_held_out(name, 0.05);
    }
    CHECK(abs(held - 1000) < 150, "%d", held);
}

typedef struct {
    int group_size, first;
} names_case_t;

static const char *test_group(void *ctx, size_t i, char buf[512]) {
    const names_case_t *n = ctx;
    snprintf(buf, 512, "g%d", n->first + (int)i / n->group_size);
    return buf;
}
static const char *test_key(void *ctx, size_t i, char buf[512]) {
    snprintf(buf, 512, "g%d", ((const names_case_t *)ctx)->first + (int)i);
    return buf;
}

/* Held of n items; false when a group stands on both sides. */
static size_t split_count(size_t n, double holdout, names_case_t names, bool whole, bool *held) {
    size_t count = 0;
    split_items(n, holdout, test_group, test_key, &names, held);
    for (size_t i = 0; i < n; i++) {
        count += held[i];
        if (whole && i)
            CHECK(held[i] == held[i - 1] ||
                  (int)i / names.group_size != (int)(i - 1) / names.group_size);
    }
    return count;
}

TEST(split_leaves_no_side_empty) {
    bool held[1000];
    char buf[512];
    names_case_t ones = {1, 0};
    split_items(1000, 0.1, test_group, test_key, &ones, held);
    for (size_t i = 0; i < 1000; i++)
        CHECK(held[i] == split_held_out(test_group(&ones, i, buf), 0.1));
    for (int first = 0; first < 200; first++) {
        /* Four groups of five: the rule alone often leaves a side empty. */
        names_case_t four = {5, first};
        size_t low = split_count(20, 0.001, four, true, held),
               high = split_count(20, 0.999, four, true, held);
        CHECK(low >= 5 && low < 20 && low % 5 == 0, "%zu held", low);
        CHECK(high > 0 && high <= 15 && high % 5 == 0, "%zu held", high);
        /* One group: each item for itself. */
        size_t single = split_count(20, 0.001, (names_case_t){20, first}, false, held);
        CHECK(single >= 1 && single < 20, "%zu held", single);
    }
    CHECK(split_count(20, 0, ones, true, held) == 0 && split_count(20, 1, ones, true, held) == 20);
    split_count(0, 0.5, ones, true, held);
}

static const char *one_name(void *ctx, size_t i, char buf[512]) {
    snprintf(buf, 512, "%s", (const char *)ctx);
    return buf;
}

/* One item, or several of one name: whatever it is called, training has it. */
TEST(split_never_holds_out_a_lone_item) {
    size_t tried = 0;
    for (int i = 0; i < 300; i++) {
        char name[32];
        bool held[5];
        snprintf(name, sizeof name, "n%d", i);
        tried += split_held_out(name, 0.5);
        for (size_t n = 1; n <= 5; n += 4) {
            memset(held, 1, sizeof held);
            CHECK(split_items(n, 0.5, one_name, one_name, name, held) == 0, "%s", name);
            for (size_t k = 0; k < n; k++) CHECK(!held[k], "%s, %zu", name, k);
        }
        names_case_t two = {1, i};
        CHECK(split_items(2, 0.05, test_group, test_key, &two, held) == 1);
        CHECK(held[0] != held[1]);
    }
    CHECK(tried > 100 && tried < 200, "the rule alone holds out half of the names: %zu", tried);
}

TEST(groups_of_keys) {
    static const struct {
        const char *key, *name, *folder, *episode;
    } rows[] = {
        {"x.png", "x", "x", "x"},
        {"a/b/x_12.png", "a/b/x", "a", "a/b"},
        {"a/x-3.tar.png", "a/x-3.tar", "a", "a"},
        {"photo_12.png", "photo", "photo", "photo"},
        {"_12.png", "_12", "_12", "_12"},
        {".hidden", ".hidden", ".hidden", ".hidden"},
        {"a/.png", "a/.png", "a", "a"},
        {"12.png", "12", "12", "12"},
        {"v1.2/x", "v1.2/x", "v1.2", "v1.2"},
        {"", "", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char buf[512], tail[64];
        /* What stands behind the n bytes is not read. */
        snprintf(tail, sizeof tail, "%s/_9.jpg", rows[i].key);
        size_t n = strlen(rows[i].key);
        CHECK_STR(split_group(tail, n, SPLIT_NAME, buf), rows[i].name);
        CHECK_STR(split_group(tail, n, SPLIT_FOLDER, buf), rows[i].folder);
        CHECK_STR(split_group(tail, n, SPLIT_EPISODE, buf), rows[i].episode);
        CHECK_STR(split_whole(tail, n, buf), rows[i].key);
    }
    char longest[600], a[512], b[512];
    memset(longest, 'x', sizeof longest);
    CHECK(strlen(split_whole(longest, 511, a)) == 511);
    CHECK(strlen(split_whole(longest, 512, a)) == 32);
    longest[511] = 'y';
    CHECK(strlen(split_whole(longest, 512, b)) == 32 && strcmp(a, b) != 0);
}

TEST(manifest_tells_data_sets_apart) {
    open_folder();
    put_png("a.png", 1);
    put_png("b.png", 2);
    uint64_t first = manifest();
    put_text("notes.txt", "x");
    CHECK(manifest() == first);
    CHECK(!rename(in_folder("b.png"), in_folder("c.png")) && manifest() != first);
    CHECK(!rename(in_folder("c.png"), in_folder("b.png")) && manifest() == first);
    FILE *f = fopen(in_folder("b.png"), "ab");
    CHECK(f && fputc(0, f) == 0 && !fclose(f) && manifest() != first);
    put_png("b.png", 2);
    CHECK(manifest() == first);
    put_png("d.png", 2);
    CHECK(manifest() != first);
    remove_folder();
}

static int spec_in_child(void *spec) {
    char *path;
    printf("%g", source_spec_split(spec, &path));
    printf(" %s", path);
    free(path);
    return 0;
}

TEST(spec_with_weight) {
    static const char *const cases[][2] = {{"x", "1 x"},
                                           {"x=2", "2 x"},
                                           {"x=0.5", "0.5 x"},
                                           {"a=b=3", "3 a=b"},
                                           {"a=b", "1 a=b"},
                                           {"x=1e-2", "0.01 x"},
                                           {"x=", "1 x="},
                                           {"x=inf", "1 x=inf"},
                                           {"x=0x2", "1 x=0x2"},
                                           {"x=1.2.3", "1 x=1.2.3"},
                                           {"a b/c=.25", "0.25 a b/c"}};
    child_t c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        child_run(spec_in_child, (void *)cases[i][0], &c);
        CHECK(c.code == 0);
        CHECK_STR(c.out, cases[i][1]);
    }
    static const char *const bad[] = {"x=0", "x=-1", "x=1e999"};
    for (size_t i = 0; i < 3; i++) {
        child_run(spec_in_child, (void *)bad[i], &c);
        CHECK(c.code == RC_USAGE, "%s: %d", bad[i], c.code);
    }
    open_folder();
    put_png("set=2/a.png", 1);
    char want[200];
    snprintf(want, sizeof want, "1 %s/set=2", folder);
    child_run(spec_in_child, (void *)in_folder("set=2"), &c);
    CHECK_STR(c.out, want);
    remove_folder();
}

/* ---- bad items ---- */

typedef struct {
    int bad, unsupported, total;
    double max;
} tally_case_t;

static int bad_in_child(void *arg) {
    const tally_case_t *t = arg;
    bad_items_t *b = bad_items_new(t->max);
    for (int round = 0; round < 2; round++) { /* a second epoch changes nothing */
        for (int i = 0; i < t->bad + t->unsupported; i++) {
            char key[20], why[40];
            snprintf(key, sizeof key, "k%d\n%%s", i);
            snprintf(why, sizeof why, "broken at byte %d", i);
            bad_items_add(b, "src", key, i < t->bad ? why : "unsupported format: GIF", i >= t->bad);
        }
    }
    if (bad_items_count(b) != (size_t)t->bad || bad_items_unsupported(b) != (size_t)t->unsupported)
        return 98;
    bad_items_check(b, (size_t)t->total);
    bad_items_summary(b);
    bad_items_free(b);
    return 0;
}

TEST(bad_items_limit) {
    static const struct {
        tally_case_t t;
        int code;
        const char *text;
    } cases[] = {
        {{0, 0, 100, 0.01}, 0, ""},
        {{0, 0, 0, 0}, 0, ""},
        {{1, 0, 100, 0.01}, 0, "skipped 1 bad items"},
        {{2, 0, 100, 0.01},
         RC_DATA,
         "2 of 100 items are bad (2 %), more than --max-bad 1 %: remove or mend them, or raise "
         "--max-bad"},
        {{1, 0, 1000, 0}, RC_DATA, "1 of 1000 items are bad"},
        {{0, 99, 100, 0}, 0, "99 of unsupported formats"},
        {{0, 100, 100, 0.5},
         RC_DATA,
         "none of 100 items can be used: 0 bad, 100 of unsupported formats"},
        {{3, 7, 10, 0.5}, RC_DATA, "none of 10 items"},
        {{5, 0, 10, 0.5}, 0, "5: broken at byte N"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        child_t c;
        child_run(bad_in_child, (void *)&cases[i].t, &c);
        CHECK(c.code == cases[i].code, "case %zu: %d %s", i, c.code, c.err);
        CHECK(strstr(c.err, cases[i].text), "case %zu: \"%s\"", i, c.err);
    }
}

TEST(bad_items_are_named_twenty_times) {
    tally_case_t t = {30, 0, 1000, 1};
    child_t c;
    child_run(bad_in_child, &t, &c);
    CHECK(c.code == 0);
    CHECK(child_lines(c.err) == 20 + 1 + 2, "%d lines",
          child_lines(c.err)); /* named, "further ...", the summary's two */
    CHECK(strstr(c.err, "k0\\x0A%s") && strstr(c.err, "broken at byte 19") &&
              !strstr(c.err, "broken at byte 20"),
          "%s", c.err);
}

static void *add_many(void *arg) {
    char key[20];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%d", i);
        bad_items_add(arg, "s", key, "x", false);
    }
    return NULL;
}

static int threads_add(void *arg) {
    bad_items_t *b = bad_items_new(1);
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, add_many, b);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    int ok = bad_items_count(b) == 200;
    bad_items_free(b);
    return ok ? 0 : 1;
}

TEST(bad_items_threads) {
    child_t c;
    child_run(threads_add, NULL, &c);
    CHECK(c.code == 0 && child_lines(c.err) == 21, "%d", c.code);
}
