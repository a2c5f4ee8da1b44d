/* test_leaves.c - names of columns: order of a Dict's leaves, the list in shard and policy, what
 * fits what.
 */
#include "tests/test.h"

#include "common/io/episodes/minari_meta.h"
#include "common/io/token_db/leaves.h"
#include "common/io/token_db/token_db_value.h"

/* ---- the order of leaves ---- */

#define BOX(n)                                                                                     \
    "{\\\"type\\\":\\\"Box\\\",\\\"dtype\\\":\\\"float32\\\",\\\"shape\\\":[" #n                   \
    "],\\\"low\\\":[0],\\\"high\\\":[1]}"
#define KEY(name) "\\\"" name "\\\":"
#define DICT(inside) "{\\\"type\\\":\\\"Dict\\\",\\\"subspaces\\\":{" inside "}}"
#define META(space)                                                                                \
    "{\"total_episodes\":1,\"total_steps\":1,\"observation_space\":\"" space                       \
    "\",\"action_space\":\"" BOX(1) "\"}"

static void check_order(const char *meta, const char *const *want, size_t n) {
    minari_meta_t m;
    reason_t why = {""};
    REQUIRE(!minari_meta_parse(meta, strlen(meta), &m, &why), "%s", why.text);
    CHECK(m.n_obs == n);
    for (size_t i = 0; i < n && i < m.n_obs; i++) CHECK_STR(m.obs[i].path, want[i]);
    minari_meta_release(&m);
}

TEST(leaves_are_sorted_by_path_whatever_the_text_says) {
    static const char *const flat[] = {"Z", "a", "b", "ba"};
    check_order(
        META(DICT(KEY("b") BOX(1) "," KEY("Z") BOX(1) "," KEY("ba") BOX(1) "," KEY("a") BOX(1))),
        flat, 4);
    check_order(
        META(DICT(KEY("a") BOX(1) "," KEY("ba") BOX(1) "," KEY("b") BOX(1) "," KEY("Z") BOX(1))),
        flat, 4);
    static const char *const nested[] = {"a/x", "a/y", "b", "\xc3\xa4"};
    check_order(META(DICT(KEY("\xc3\xa4") BOX(1) "," KEY("b") BOX(1) "," KEY("a")
                              DICT(KEY("y") BOX(1) "," KEY("x") BOX(1)))),
                nested, 4);
}

TEST(a_tuple_keeps_its_order) {
    static const char *const want[] = {"_index_0", "_index_1", "_index_2", "_index_3",
                                       "_index_4", "_index_5", "_index_6", "_index_7",
                                       "_index_8", "_index_9", "_index_10"};
    check_order(
        META("{\\\"type\\\":\\\"Tuple\\\",\\\"subspaces\\\":[" BOX(1) "," BOX(1) "," BOX(1) "," BOX(
            1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "]}"),
        want, 11);
}

/* ---- the list ---- */

static char *list_of(const char *a, uint32_t n, const char *b, uint32_t m) {
    leaves_t l = {0};
    leaves_add(&l, LEAF_OBSERVATION, LEAF_CONTINUOUS, a, n);
    if (b) leaves_add(&l, LEAF_OBSERVATION, LEAF_CONTINUOUS, b, m);
    leaves_add(&l, LEAF_ACTION, LEAF_DISCRETE, "grip", 1);
    char *text = leaves_json(&l);
    leaves_release(&l);
    return text;
}

TEST(odd_names_come_back) {
    static const char *const names[] = {
        "a\"b\\c", "\xf0\x9f\xa4\x96", "a b/c=d+e,f", "tab\there\x01", "", "{}[]:,null"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = list_of(names[i], 3, "second", 4), buf[300];
        leaves_t l;
        reason_t why = {""};
        REQUIRE(!leaves_parse(&l, text, &why), "%s", why.text);
        CHECK(l.n == 3 && leaves_width(&l, LEAF_OBSERVATION, LEAF_CONTINUOUS) == 7);
        for (size_t k = 0; k < l.n; k++)
            if (l.v[k].side == LEAF_OBSERVATION && l.v[k].width == 3)
                CHECK_STR(l.v[k].name, names[i]);
        CHECK_STR(leaves_column(&l, LEAF_OBSERVATION, LEAF_CONTINUOUS, 5, buf), "second[2]");
        CHECK_STR(leaves_column(&l, LEAF_OBSERVATION, LEAF_CONTINUOUS, 7, buf), "");
        CHECK_STR(leaves_column(&l, LEAF_ACTION, LEAF_DISCRETE, 0, buf), "grip");
        leaves_release(&l);
        free(text);
    }
}

TEST(what_is_no_list) {
    static const char *const bad[] = {
        "",
        "[]",
        "{\"actions\":[]}",
        "{\"actions\":[],\"observations\":{}}",
        "{\"actions\":[1],\"observations\":[]}",
        "{\"actions\":[{\"name\":\"a\",\"part\":\"sound\",\"width\":1}],\"observations\":[]}",
        "{\"actions\":[{\"name\":\"a\",\"part\":\"text\",\"width\":0}],\"observations\":[]}",
        "{\"actions\":[{\"name\":\"a\",\"part\":\"text\",\"width\":-1}],\"observations\":[]}",
        "{\"actions\":[{\"part\":\"text\",\"width\":1}],\"observations\":[]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        leaves_t l;
        reason_t why = {""};
        CHECK(leaves_parse(&l, bad[i], &why) == -1 && *why.text && !l.n, "%s", bad[i]);
    }
}

TEST(what_fits) {
    reason_t why = {""};
    char *ab = list_of("a", 2, "b", 2), *ba = list_of("b", 2, "a", 2),
         *wide = list_of("a", 4, NULL, 0), *unnamed = list_of("", 4, NULL, 0),
         *other = list_of("a", 1, "b", 3);
    CHECK(!leaves_fit(ab, ab, &why) && !leaves_fit(NULL, ab, &why) && !leaves_fit(ab, NULL, &why));
    CHECK(leaves_fit(ab, ba, &why) && strstr(why.text, "[a (2 columns), b (2 columns)]") &&
              strstr(why.text, "[b (2 columns), a (2 columns)]"),
          "%s", why.text);
    CHECK(leaves_fit(ab, wide, &why) && leaves_fit(ab, other, &why));
    CHECK(!leaves_fit(wide, unnamed, &why) && leaves_fit(ab, unnamed, &why));
    leaves_t image = {0};
    leaves_add(&image, LEAF_OBSERVATION, LEAF_IMAGE, "front", 1);
    char *front = leaves_json(&image), *both = leaves_merge(front, ab);
    CHECK(!leaves_fit(front, ab, &why) && !leaves_fit(both, ab, &why) &&
          !leaves_fit(both, front, &why) && leaves_fit(both, ba, &why));
    free(both);
    free(front);
    leaves_release(&image);
    free(ab);
    free(ba);
    free(wide);
    free(unnamed);
    free(other);
}

/* ---- in a shard ---- */

TEST(a_shard_keeps_them) {
    float low[2] = {-1, -INFINITY}, high[2] = {1, INFINITY};
    uint8_t raw[2] = {0, 1};
    leaves_t l = {0};
    leaves_add(&l, LEAF_ACTION, LEAF_CONTINUOUS, "joint \"1\"", 2);
    shard_meta_t m = {.n_actions = 2,
                      .action_low = low,
                      .action_high = high,
                      .action_raw = raw,
                      .leaves = leaves_json(&l)},
                 back;
    size_t size;
    reason_t why = {""};
    uint8_t *v = token_meta_build(&m, &size);
    REQUIRE(!token_meta_parse(v, size, &back, &why), "%s", why.text);
    CHECK_STR(back.leaves, m.leaves);
    CHECK(!shard_action_raw(&back, 0) && shard_action_raw(&back, 1) && back.action_raw);
    shard_meta_release(&back);
    free(v);
    m.n_actions = 1; /* more names than columns */
    v = token_meta_build(&m, &size);
    CHECK(token_meta_parse(v, size, &back, &why) == RC_DATA && strstr(why.text, "leaves"));
    free(v);
    free(m.leaves);
    leaves_release(&l);
}
