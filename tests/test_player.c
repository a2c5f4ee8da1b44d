/* test_player.c - a policy at play against the same network run whole: the cache against a full
 * forward under the mask of the attention window, actions against the logits they are read from,
 * rebuilding against the cache. */
#include "tests/player_whole.h"

static void play_and_compare(const kind_t *k, size_t window, int layers, const char *text,
                             uint32_t missing, size_t T) {
    static game_t g;
    gato_model_t *m = make_run(k, window, layers);
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, k);
    CHECK(player_model(p)->window[0] == window, "%s: window %u, wanted %zu", k->name,
          player_model(p)->window[0], window);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7, .text = text, .missing = missing};
    size_t tokens = tokens_of(k, k->has);
    if (text) tokens += (k->has & HAS_BPE ? 7 : strlen(text) + 1) - TEXT_LEN;
    if (play_lane(p, 0, 0, &s, T, NULL, &g))
        check_difference(k->name, window, T,
                         differ(m, 0, (uint32_t)window, missing ? 0 : tokens, &s, &g));
    else
        CHECK(false, "%s", k->name);
    player_close(p);
    gato_model_free(m);
}

TEST(the_cache_is_the_full_forward_under_the_band) {
    static const size_t bands[] = {1, 2, 3, 12};
    for (size_t k = 0; k < KINDS; k++)
        for (size_t b = 0; b < 4; b++) play_and_compare(&kinds[k], bands[b], 2, NULL, 0, 12);
}
/* A policy of short training sequences sees no more timesteps at play than they held, whatever the
 * context has room for. */
TEST(no_further_than_a_training_sequence) {
    static const kind_t kind[] = {
        {"single steps", {"train.window=1", "loss.action_kind=mse"}, HAS_ACTION | HAS_IMAGE},
        {"pairs", {"train.window=2"}, HAS_ACTION}};
    static game_t g;
    for (size_t i = 0; i < 2; i++) {
        gato_model_t *m = make_run(&kind[i], 5, 2);
        player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, &kind[i]);
        scene_t s = {.task = &m->tasks.v[0], .seed = 7};
        size_t window = i + 1;
        REQUIRE(play_lane(p, 0, 0, &s, 12, NULL, &g));
        check_difference(kind[i].name, window, 12,
                         differ(m, 0, (uint32_t)window, tokens_of(&kind[i], kind[i].has), &s, &g));
        player_close(p);
        gato_model_free(m);
    }
}

/* The cache is moved to its front again and again. */
TEST(many_steps) {
    play_and_compare(&kinds[BIN], 3, 3, NULL, 0, LONGEST);
    play_and_compare(&kinds[LINEAR], 1, 2, NULL, 0, LONGEST);
    play_and_compare(&kinds[MSE], 7, 2, NULL, 0, LONGEST);
    play_and_compare(&kinds[CODES], 2, 2, NULL, 0, LONGEST);
}

static const kind_t with_text = {"text", {"model.vector_in=linear"}, HAS_ACTION | HAS_TEXT};
static const kind_t text_first = {
    "text first", {"model.vector_in=linear", "model.text_first=true"}, HAS_ACTION | HAS_TEXT};

TEST(a_mission_in_every_timestep) {
    play_and_compare(&with_text, 3, 2, "go", 0, 12);
    play_and_compare(&text_first, 3, 2, "go on", 0, 12);
    /* The window counts timesteps, by the longest text of training: what is seen can be far more
     * than the context. */
    play_and_compare(
        &with_text, 4, 2,
        "a mission of many more tokens than the band allows for, and then some more of "
        "them, until the cache has to grow",
        0, 12);
}

#ifdef WITH_PCRE2
TEST(a_mission_in_the_tokens_of_the_policy) {
    static const kind_t bpe = {"bpe", {"model.vector_in=linear"}, HAS_ACTION | HAS_TEXT | HAS_BPE};
    play_and_compare(&bpe, 3, 2, "the red ball", 0, 12);
}
#endif

TEST(a_mission_of_a_policy_without_missions) {
    static const kind_t deaf = {
        "deaf", {"model.vector_in=linear", "model.control_text=false"}, HAS_ACTION | HAS_TEXT};
    static game_t loud, silent;
    gato_model_t *m = make_run(&deaf, 3, 2);
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, &deaf);
    REQUIRE(play(p, "go", 6, &loud) && play(p, NULL, 6, &silent));
    CHECK(same_games(&loud, &silent));
    player_close(p);
    gato_model_free(m);
}

/* ---- many slots, missing ones ---- */

static const kind_t odd[] = {
    {"one choice", {"model.vector_in=linear"}, HAS_CHOICE},
    {"three choices", {"model.vector_in=bins"}, HAS_CHOICES | HAS_VALUE},
    {"action and choices", {0}, HAS_ACTION | HAS_GRIP | HAS_CHOICE | HAS_CHOICES},
    {"mse and choices", {"loss.action_kind=mse"}, HAS_ACTION | HAS_GRIP | HAS_CHOICES | HAS_VALUE},
    {"two cameras", {"model.vector_in=linear"}, HAS_IMAGE | HAS_WRIST | HAS_ACTION | HAS_VALUE},
    {"two cameras, merged, mse and a choice",
     {"model.merge=2", "loss.action_kind=mse"},
     HAS_IMAGE | HAS_WRIST | HAS_ACTION | HAS_CHOICE},
    {"two cameras, patches",
     {"model.image_in=patches", "model.patch=4", "model.patch_mid=6", "model.patch_groups=3"},
     HAS_IMAGE | HAS_WRIST | HAS_ACTION | HAS_TEXT},
};
enum { TWO_CAMERAS = 4, TWO_PATCHES = 6, ODD = 7 };

TEST(choices_and_cameras) {
    for (size_t k = 0; k < ODD; k++)
        for (size_t window = 1; window < 5; window++)
            play_and_compare(&odd[k], window, 2, odd[k].has & HAS_TEXT ? "left" : NULL, 0, 12);
    play_and_compare(&odd[2], 3, 3, NULL, 0, LONGEST);
}

/* Observed slots that come and go: the first of two cameras, the other, the vector. */
TEST(missing_slots_have_no_tokens) {
    for (size_t k = TWO_CAMERAS; k < ODD; k++)
        for (uint32_t missing = 1; missing < 8; missing++)
            play_and_compare(&odd[k], 3, 2, odd[k].has & HAS_TEXT ? "left" : NULL, missing, 12);
}

/* The attention window hides something: otherwise the comparisons above would hold without one. */
TEST(the_band_matters) {
    static game_t g;
    gato_model_t *m = make_run(&kinds[BIN], 3, 2);
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, &kinds[BIN]);
    REQUIRE(play(p, NULL, 12, &g));
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    for (uint32_t window = 2; window <= 4; window += 2) {
        difference_t d = differ(m, 0, window, 0, &s, &g);
        CHECK(d.hidden > 100 * TOLERANCE, "window %u: %g", window, d.hidden);
    }
    player_close(p);
    gato_model_free(m);
}

/* ---- reset, rebuilding, blank ---- */

static double farthest(const game_t *a, const game_t *b, bool first) {
    double d = 0;
    for (size_t t = 0; t < a->T; t++) {
        for (size_t i = 0; i < ENV_ACTIONS; i++)
            d = fmax(d, fabs((double)a->action[t].vector[i] - (double)b->action[t].vector[i]));
        for (size_t i = 0; i < WIDTH && !first; i++)
            d = fmax(d, fabs((double)a->hidden[t][i] - (double)b->hidden[t][i]));
    }
    return d;
}

TEST(a_reset_forgets_everything) {
    static game_t first, again;
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        gato_model_t *m = make_run(&kinds[BIN], 5, 2);
        player_t *p = open_run(
            &(player_opts_t){.decode = DECODE_SAMPLE, .temperature = 1, .rebuild = rebuild},
            &kinds[BIN]);
        REQUIRE(play(p, NULL, 12, &first) && play(p, NULL, 7, &again) && play(p, NULL, 12, &again));
        CHECK(same_games(&first, &again));
        player_close(p);
        gato_model_free(m);
    }
}

/* A context of the last N steps run anew sees what the cache holds while nothing was dropped; with
 * N = 1 always, and so with one layer, whose keys and values know nothing of older steps. */
TEST(rebuilding_equals_the_cache) {
    static const struct {
        const kind_t *kind;
        size_t window, T;
        int layers;
    } cases[] = {
        {&kinds[BIN], 12, 12, 2},   {&kinds[BIN], 20, 12, 3},    {&kinds[MSE], 12, 12, 2},
        {&kinds[CODES], 12, 12, 2}, {&kinds[PATCHES], 12, 5, 2}, {&kinds[MIX], 1, 12, 2},
        {&kinds[MSE], 1, 12, 2},    {&kinds[BIN], 3, 30, 1},     {&kinds[MSE_BIN], 4, 30, 1},
        {&odd[2], 12, 12, 2},       {&odd[3], 12, 12, 2},        {&odd[2], 3, 30, 1}};
    static game_t a, b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const kind_t *k = cases[i].kind;
        gato_model_t *m = make_run(k, cases[i].window, cases[i].layers);
        player_t *cache = open_run(&(player_opts_t){.decode = DECODE_MEAN}, k),
                 *anew = open_run(&(player_opts_t){.decode = DECODE_MEAN, .rebuild = true}, k);
        REQUIRE(play(cache, NULL, cases[i].T, &a) && play(anew, NULL, cases[i].T, &b));
        CHECK(farthest(&a, &b, false) < TOLERANCE, "%s, window %zu: %g", k->name, cases[i].window,
              farthest(&a, &b, false));
        for (size_t t = 0; t < a.T; t++)
            CHECK(!memcmp(a.action[t].discrete, b.action[t].discrete, sizeof a.action[t].discrete),
                  "%s, step %zu", k->name, t);
        player_close(cache);
        player_close(anew);
        gato_model_free(m);
    }
    /* and is something else once steps were dropped between two layers */
    gato_model_t *m = make_run(&kinds[BIN], 3, 2);
    player_t *cache = open_run(&(player_opts_t){.decode = -1}, &kinds[BIN]),
             *anew = open_run(&(player_opts_t){.decode = -1, .rebuild = true}, &kinds[BIN]);
    REQUIRE(play(cache, NULL, 12, &a) && play(anew, NULL, 12, &b));
    CHECK(farthest(&a, &b, true) > TOLERANCE);
    player_close(cache);
    player_close(anew);
    gato_model_free(m);
}

TEST(blank_is_a_black_image) {
    static const int seeing[] = {CODES, PATCHES};
    static game_t open, blank;
    for (size_t k = 0; k < 2; k++) {
        const kind_t *kind = &kinds[seeing[k]];
        gato_model_t *m = make_run(kind, 3, 2);
        player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, kind),
                 *b = open_run(&(player_opts_t){.decode = DECODE_MEAN, .blank = true}, kind);
        REQUIRE(play(p, NULL, 1, &open) && play(b, NULL, 1, &blank));
        uint8_t none[16 * 8 * 3] = {0};
        scene_t s = {.task = &m->tasks.v[0], .seed = 7};
        view_t v;
        reason_t why;
        show(&s, 0, &v);
        v.seen.slot[0].rgb = none;
        player_turn_t turn = {.seen = &v.seen, .draw = draw_of(0)};
        player_reset(p, 0, 0);
        REQUIRE(!player_push(p, &turn, 1, &why), "%s", why.text);
        view_release(&v);
        CHECK(!memcmp(blank.hidden[0], player_hidden(p, 0), sizeof blank.hidden[0]), "%s",
              kind->name);
        CHECK(farthest(&open, &blank, true) > 1e-3, "%s: what it sees does not matter", kind->name);
        player_close(p);
        player_close(b);
        gato_model_free(m);
    }
}

/* ---- packed weights ---- */

/* Coarser weights give other numbers, but not far from those: rounding of bf16 is 2^-9 of a weight,
 * of q8 2^-8 of the largest of its block. */
TEST(coarser_weights_play_almost_the_same) {
    static const struct {
        kern_weights_t weights;
        double least, most;
    } kind[] = {{WEIGHTS_BF16, 1e-6, 0.1}, {WEIGHTS_Q8, 1e-6, 0.2}, {WEIGHTS_Q4, 1e-6, 0.6}};
    static game_t exact, coarse;
    for (size_t k = 0; k < 3; k++) {
        gato_model_t *m = make_run(&odd[3], 3, 2);
        player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, &odd[3]),
                 *q = open_run(&(player_opts_t){.decode = DECODE_MEAN, .weights = kind[k].weights},
                               &odd[3]);
        REQUIRE(play(p, NULL, 12, &exact));
        scene_t s = {.task = &m->tasks.v[0], .seed = 7};
        REQUIRE(play_lane(q, 0, 0, &s, 12, NULL, &coarse));
        double d = 0;
        for (size_t i = 0; i < ACTIONS + 1; i++)
            d = fmax(d,
                     fabs((double)exact.action[0].vector[i] - (double)coarse.action[0].vector[i]));
        CHECK(d > kind[k].least && d < kind[k].most, "storage %zu: %g", k, d);
        player_close(p);
        player_close(q);
        gato_model_free(m);
    }
}
