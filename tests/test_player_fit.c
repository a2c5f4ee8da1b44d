/* test_player_fit.c - observations, environments and tokenizers that do not fit a policy, and the
 * units in which its actions leave. */
#include "tests/player_case.h"

/* ---- what is refused ---- */

TEST(observations_that_are_none) {
    gato_model_t *m = make_run(&kinds[BIN], 2, 1);
    player_t *p = open_run(&(player_opts_t){.decode = -1});
    float vector[VECTOR] = {0, NAN, 0}, action[ACTIONS];
    reason_t why = {""};
    CHECK(player_act(p, NULL, 0, 0, vector, NULL, draw_of(0), action, &why) == -1 &&
              strstr(why.text, "observation 1 is not finite"),
          "%s", why.text);
    CHECK(player_act(p, NULL, 0, 0, NULL, NULL, draw_of(0), action, &why) == -1);
    vector[1] = 0;
    CHECK(!player_act(p, NULL, 0, 0, vector, NULL, draw_of(0), action, &why));
    player_close(p);
    gato_model_free(m);
    m = make_run(&kinds[CODES], 2, 1);
    p = open_run(&(player_opts_t){.decode = -1});
    uint8_t rgb[W * H * 3] = {0};
    CHECK(player_act(p, rgb, H, W, vector, NULL, draw_of(0), action, &why) == -1 &&
              strstr(why.text, "4 x 2 codes") && strstr(why.text, "2 x 4"),
          "%s", why.text);
    player_close(p);
    gato_model_free(m);
}

TEST(environments_that_do_not_fit) {
    gato_model_t *m = make_run(&kinds[CODES], 2, 1);
    player_t *p = open_run(&(player_opts_t){.decode = -1});
    env_info_t good = {.name = "somewhere",
                       .image_w = W,
                       .image_h = H,
                       .n_vector = VECTOR,
                       .n_actions = ACTIONS},
               bad = good;
    reason_t why = {""};
    CHECK(!player_fits(p, &good, &why), "%s", why.text);
    bad.n_vector = 5;
    CHECK(player_fits(p, &bad, &why) && strstr(why.text, "3") && strstr(why.text, "5"), "%s",
          why.text);
    bad = good, bad.n_actions = 1;
    CHECK(player_fits(p, &bad, &why) && strstr(why.text, "2") && strstr(why.text, "1"), "%s",
          why.text);
    bad = good, bad.image_w = 0;
    CHECK(player_fits(p, &bad, &why) && strstr(why.text, "image"), "%s", why.text);
    player_close(p);
    gato_model_free(m);
}

/* The same policy under other ends gives the same bytes to the network and other units to the
 * environment. */
TEST(actions_leave_in_the_units_of_the_environment) {
    static const float low[ACTIONS] = {-3, 1e-3f}, high[ACTIONS] = {5, 1000};
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        gato_model_t *m = make_run(&kinds[BIN], 3, 2);
        player_opts_t o = {.decode = -1, .rebuild = rebuild};
        player_t *p = open_run(&o);
        static game_t plain, scaled;
        REQUIRE(play(p, NULL, 6, &plain));
        player_close(p);
        m->facts.action_low = memcpy(xmalloc(sizeof low), low, sizeof low);
        m->facts.action_high = memcpy(xmalloc(sizeof high), high, sizeof high);
        reason_t why;
        REQUIRE(!run_save(m, in_folder("run"), &why));
        p = open_run(&o);
        REQUIRE(play(p, NULL, 6, &scaled));
        for (size_t t = 0; t < 6; t++)
            for (size_t i = 0; i < ACTIONS; i++) {
                double share = ((double)plain.action[t][i] + 1) / 2;
                CHECK_NEAR(scaled.action[t][i],
                           (double)low[i] + share * ((double)high[i] - (double)low[i]), 1e-3);
            }
        CHECK(!memcmp(plain.hidden, scaled.hidden, 6 * sizeof plain.hidden[0]));
        player_close(p);
        gato_model_free(m);
    }
}

TEST(an_environment_of_other_names) {
    gato_model_t *m = make_run(&kinds[CODES], 2, 1);
    env_info_t info = {
        .name = "somewhere", .image_w = W, .image_h = H, .n_vector = VECTOR, .n_actions = ACTIONS};
    reason_t why = {""};
    m->facts.leaves = env_leaves(&info);
    REQUIRE(!run_save(m, in_folder("run"), &why));
    player_t *p = open_run(&(player_opts_t){.decode = -1});
    CHECK(!player_fits(p, &info, &why), "%s", why.text);
    player_close(p);
    char *vector = strstr(m->facts.leaves, "vector");
    REQUIRE(vector);
    memcpy(vector, "joints", 6);
    REQUIRE(!run_save(m, in_folder("run"), &why));
    p = open_run(&(player_opts_t){.decode = -1});
    CHECK(player_fits(p, &info, &why) && strstr(why.text, "[joints (3 columns)]") &&
              strstr(why.text, "[vector (3 columns)]"),
          "%s", why.text);
    player_close(p);
    gato_model_free(m);
}

TEST(fault_047_a_tokenizer_of_another_fingerprint) {
    gato_model_t *m = make_run(&kinds[CODES], 2, 1);
    char other[] = "0123456789abcdef0123456789abcdef";
    free(m->facts.fingerprint);
    m->facts.fingerprint = xstrdup(other);
    reason_t why = {""};
    int rc = 0;
    REQUIRE(!run_save(m, in_folder("run"), &why));
    CHECK(!player_open(in_folder("run"), &(player_opts_t){.decode = -1}, &rc, &why));
    CHECK(rc == RC_MISFIT && strstr(why.text, other), "%d %s", rc, why.text);
    rc = 0;
    CHECK(!player_open(in_folder("nowhere"), &(player_opts_t){.decode = -1}, &rc, &why) &&
              rc == RC_USAGE,
          "%d %s", rc, why.text);
    gato_model_free(m);
}
