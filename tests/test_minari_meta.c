/* test_minari_meta.c - metadata.json of Minari datasets: spaces as leaves, and what is refused.
 * Pure functions of a text. */
#include "common/io/episodes/minari_meta.h"
#include "tests/minari_spaces.h"
#include "tests/test.h"

static int parse_spaces(const char *obs, const char *more, minari_meta_t *m, reason_t *why) {
    char *text = xasprintf("{\"total_episodes\": 2, \"total_steps\": 5, %s\"observation_space\": "
                           "\"%s\", \"action_space\": \"%s\"}",
                           more, obs, box2);
    int rc = minari_meta_parse(text, strlen(text), m, why);
    free(text);
    return rc;
}

TEST(fault_038_infinity_in_a_space) {
    minari_meta_t m;
    reason_t why = {""};
    REQUIRE(parse_spaces(box2, "", &m, &why) == 0, "%s", why.text);
    REQUIRE(m.n_obs == 1 && m.obs[0].kind == SPACE_BOX && m.obs[0].count == 2 &&
            m.obs[0].rank == 1);
    CHECK(m.obs[0].low[0] == -INFINITY && m.obs[0].low[1] == -1.5 && m.obs[0].high[0] == INFINITY &&
          m.obs[0].high[1] == INFINITY);
    CHECK(m.episodes == 2 && m.steps == 5 && m.jpeg && !m.env_spec && !m.dataset_id[0] &&
          !m.obs[0].path[0]);
    minari_meta_release(&m);
}

TEST(meta_flattens_dict_and_tuple) {
    minari_meta_t m;
    reason_t why = {""};
    const char *space = "{\\\"type\\\": \\\"Dict\\\", \\\"subspaces\\\": {\\\"b\\\": "
                        "{\\\"type\\\": \\\"Tuple\\\", \\\"subspaces\\\": "
                        "[" DISCRETE ", {\\\"type\\\": \\\"MultiBinary\\\", \\\"n\\\": 4}]}, "
                        "\\\"a\\\": {\\\"type\\\": \\\"Text\\\", "
                        "\\\"max_length\\\": 9}}}";
    REQUIRE(parse_spaces(space, "\"jpeg_encoding\": false, \"dataset_id\": \"x-v0\", ", &m, &why) ==
                0,
            "%s", why.text);
    REQUIRE(m.n_obs == 3);
    CHECK_STR(m.obs[0].path, "a"); /* sorted by path */
    CHECK_STR(m.obs[1].path, "b/_index_0");
    CHECK_STR(m.obs[2].path, "b/_index_1");
    CHECK(m.obs[1].kind == SPACE_DISCRETE && m.obs[1].n == 7 && m.obs[1].start == -3 &&
          m.obs[1].rank == 0 && m.obs[1].count == 1);
    CHECK(m.obs[2].kind == SPACE_DISCRETE && m.obs[2].n == 2 && m.obs[2].count == 4 &&
          m.obs[0].kind == SPACE_TEXT);
    CHECK(!m.jpeg && isnan(m.random_return) && isnan(m.expert_return));
    CHECK_STR(m.dataset_id, "x-v0");
    minari_meta_release(&m);
}

/* What is no finite number is not known. */
TEST(meta_reference_scores) {
    minari_meta_t m;
    reason_t why = {""};
    REQUIRE(parse_spaces(box2, "\"ref_min_score\": -3.5, \"ref_max_score\": \"12\", ", &m, &why) ==
                0,
            "%s", why.text);
    CHECK(m.random_return == -3.5 && isnan(m.expert_return));
    minari_meta_release(&m);
    REQUIRE(parse_spaces(box2, "\"ref_min_score\": NaN, \"ref_max_score\": Infinity, ", &m, &why) ==
                0,
            "%s", why.text);
    CHECK(isnan(m.random_return) && isnan(m.expert_return));
    minari_meta_release(&m);
}

TEST(fault_038_metadata_refused_with_the_field) {
    static const struct {
        const char *obs, *more, *says;
    } bad[] = {
        {"", "", "observation_space: "},
        {"{}", "", "observation_space: a space without 'type'"},
        {"{\\\"type\\\": \\\"Graph\\\"}", "",
         "observation_space: space type 'Graph' is not supported"},
        {"{\\\"type\\\": \\\"Dict\\\", \\\"subspaces\\\": {}}", "",
         "observation_space: no 'subspaces'"},
        {"{\\\"type\\\": \\\"Dict\\\", \\\"subspaces\\\": {\\\"x\\\": {\\\"type\\\": "
         "\\\"Discrete\\\", \\\"n\\\": 0}}}",
         "", "observation_space/x: 'n' is no positive integer"},
        {"{\\\"type\\\": \\\"Box\\\", \\\"dtype\\\": \\\"float32\\\", \\\"shape\\\": [3], "
         "\\\"low\\\": [0, 0], "
         "\\\"high\\\": [1, 1, 1]}",
         "", "observation_space: 'low' is no list of 3 numbers"},
        {"{\\\"type\\\": \\\"Box\\\", \\\"dtype\\\": \\\"float32\\\", \\\"shape\\\": "
         "[1000000000000000000], "
         "\\\"low\\\": [0], \\\"high\\\": [1]}",
         "", "observation_space: 'shape' has a side"},
        {"{\\\"type\\\": \\\"Box\\\", \\\"dtype\\\": \\\"complex64\\\", \\\"shape\\\": [1], "
         "\\\"low\\\": [0], "
         "\\\"high\\\": [1]}",
         "", "observation_space: unknown dtype 'complex64'"},
        {box2, "\"data_format\": \"arrow\", ", "data_format: 'arrow' is not read here"},
        {box2, "\"total_steps\": 1, ", ""}, /* duplicate key: the JSON layer's own words */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        minari_meta_t m;
        reason_t why = {""};
        CHECK(parse_spaces(bad[i].obs, bad[i].more, &m, &why) == -1, "case %zu", i);
        CHECK(strncmp(why.text, bad[i].says, strlen(bad[i].says)) == 0, "case %zu: %s", i,
              why.text);
    }
    minari_meta_t m;
    reason_t why = {""};
    const char *missing = "{\"total_episodes\": 2, \"total_steps\": 5}",
               *negative = "{\"total_episodes\": -2, \"total_steps\": 5}";
    CHECK(minari_meta_parse(missing, strlen(missing), &m, &why) == -1 &&
              strstr(why.text, "observation_space: missing"),
          "%s", why.text);
    CHECK(minari_meta_parse(negative, strlen(negative), &m, &why) == -1 &&
              strstr(why.text, "total_episodes"),
          "%s", why.text);
}
