/* test_player_lanes.c - many lanes against each alone, bit by bit; given actions against chosen
 * ones; a refused push against none. */
#include "tests/player_case.h"

enum { LANES = 5, STEPS = 40 };

typedef struct {
    uint32_t task;
    scene_t scene;
    size_t begins, T; /* in ticks of all lanes */
    game_t game, alone;
} lane_case_t;

/* Pushes all lanes that are at play together, tick after tick. */
static bool play_together(player_t *p, lane_case_t *lane, size_t n) {
    reason_t why;
    for (size_t tick = 0, left = 1; left; tick++) {
        player_turn_t turn[LANES];
        view_t view[LANES];
        size_t k = 0;
        left = 0;
        for (size_t i = 0; i < n; i++) {
            lane_case_t *l = &lane[i];
            left += tick + 1 < l->begins + l->T;
            if (tick < l->begins || tick >= l->begins + l->T) continue;
            if (tick == l->begins) player_reset(p, i, l->task);
            show(&l->scene, tick - l->begins, &view[k]);
            turn[k] = (player_turn_t){.lane = i, .draw = draw_of(tick - l->begins)};
            turn[k].seen = &view[k].seen;
            k++;
        }
        if (k && player_push(p, turn, k, &why)) {
            fprintf(stderr, "  %s\n", why.text);
            return false;
        }
        for (size_t j = 0; j < k; j++) {
            lane_case_t *l = &lane[turn[j].lane];
            size_t t = tick - l->begins;
            l->game.T = t + 1;
            l->game.action[t] = turn[j].action;
            memcpy(l->game.hidden[t], player_hidden(p, turn[j].lane), sizeof l->game.hidden[t]);
            view_release(&view[j]);
        }
    }
    return true;
}

static void check_lanes(const kind_t *k, const unsigned *has, size_t tasks, player_opts_t o) {
    static lane_case_t lane[LANES];
    static const size_t begins[LANES] = {0, 0, 3, 7, 1}, T[LANES] = {STEPS, 9, 17, STEPS, 30};
    static const char *const text[LANES] = {"go", "go left", "a longer mission", NULL, "x"};
    gato_model_t *m = make_tasks(k, has, tasks, 3, 2);
    player_t *all = open_lanes(&o, has, tasks, LANES), *one = open_lanes(&o, has, tasks, 1);
    for (size_t i = 0; i < LANES; i++) {
        uint32_t task = (uint32_t)(i % tasks);
        lane[i].task = task;
        lane[i].scene = (scene_t){
            .task = &m->tasks.v[task], .seed = 20 + i, .text = text[i], .missing = i == 2};
        lane[i].begins = begins[i];
        lane[i].T = T[i];
        REQUIRE(play_lane(one, 0, task, &lane[i].scene, T[i], NULL, &lane[i].alone));
    }
    REQUIRE(play_together(all, lane, LANES));
    for (size_t i = 0; i < LANES; i++)
        CHECK(same_games(&lane[i].game, &lane[i].alone), "%s, lane %zu", k->name, i);
    player_close(all);
    player_close(one);
    gato_model_free(m);
}

static const unsigned bodies[] = {HAS_ACTION | HAS_IMAGE, HAS_CHOICES | HAS_WRIST | HAS_TEXT,
                                  HAS_ACTION | HAS_GRIP | HAS_CHOICE | HAS_IMAGE | HAS_WRIST};

TEST(lanes_are_those_of_each_alone) {
    static const kind_t with[] = {
        {"bins", {"model.vector_in=bins"}, 0},
        {"linear, mse", {"model.vector_in=linear", "loss.action_kind=mse"}, 0},
        {"codes", {"model.vector_in=linear"}, HAS_IMAGE},
        {"merged, mse", {"model.merge=2", "loss.action_kind=mse"}, HAS_IMAGE},
        {"table", {"model.image_in=table"}, HAS_IMAGE},
        {"patches",
         {"model.image_in=patches", "model.patch=4", "model.patch_mid=6", "model.patch_groups=3"},
         HAS_IMAGE}};
    for (size_t k = 0; k < sizeof with / sizeof *with; k++) {
        unsigned has[3];
        for (size_t i = 0; i < 3; i++)
            has[i] = with[k].has ? bodies[i] : bodies[i] & ~(unsigned)(HAS_IMAGE | HAS_WRIST);
        check_lanes(&with[k], has, 3, (player_opts_t){.decode = DECODE_MEAN});
        check_lanes(&with[k], has, 3, (player_opts_t){.decode = DECODE_SAMPLE, .temperature = 1});
        check_lanes(&with[k], has, 1, (player_opts_t){.decode = DECODE_MEAN});
    }
    check_lanes(&with[2], bodies, 3, (player_opts_t){.decode = DECODE_MEAN, .rebuild = true});
    check_lanes(&with[0], (unsigned[]){HAS_ACTION, HAS_CHOICES}, 2,
                (player_opts_t){.decode = DECODE_MEAN, .weights = WEIGHTS_Q8});
    check_lanes(&with[0], (unsigned[]){HAS_ACTION, HAS_CHOICES}, 2,
                (player_opts_t){.decode = DECODE_MEAN, .weights = WEIGHTS_BF16});
}

/* A lane that another game used before, of another task, forgets it. */
TEST(a_lane_changes_its_task) {
    static const kind_t k = {"bins", {0}, 0};
    static const unsigned has[] = {HAS_ACTION, HAS_CHOICES | HAS_VALUE};
    static game_t fresh, again, other;
    gato_model_t *m = make_tasks(&k, has, 2, 3, 2);
    player_t *p = open_lanes(&(player_opts_t){.decode = DECODE_MEAN}, has, 2, 2);
    scene_t a = {.task = &m->tasks.v[0], .seed = 1}, b = {.task = &m->tasks.v[1], .seed = 2};
    REQUIRE(play_lane(p, 1, 0, &a, 12, NULL, &fresh) && play_lane(p, 1, 1, &b, 20, NULL, &other) &&
            play_lane(p, 1, 0, &a, 12, NULL, &again));
    CHECK(same_games(&fresh, &again));
    player_close(p);
    gato_model_free(m);
}

/* ---- given actions ---- */

/* What was chosen, given, leaves the same hidden states of the separators and so the same choice
 * after any number of given steps. */
TEST(given_actions_are_as_good_as_chosen_ones) {
    static const kind_t with[] = {
        {"bins", {0}, HAS_ACTION | HAS_GRIP | HAS_CHOICES},
        {"linear, mse", {"model.vector_in=linear", "loss.action_kind=mse"}, HAS_ACTION},
        {"codes", {"model.vector_in=linear"}, HAS_IMAGE | HAS_ACTION | HAS_CHOICE}};
    static game_t chosen, given;
    reason_t why;
    for (size_t k = 0; k < 3; k++)
        for (int rebuild = 0; rebuild < 2; rebuild++) {
            gato_model_t *m = make_run(&with[k], 4, 2);
            scene_t s = {.task = &m->tasks.v[0], .seed = 7};
            player_t *p =
                open_run(&(player_opts_t){.decode = DECODE_CENTER, .rebuild = rebuild}, &with[k]);
            REQUIRE(play_lane(p, 0, 0, &s, 20, NULL, &chosen));
            for (size_t n = 1; n < 20; n += 5) {
                REQUIRE(play_lane(p, 0, 0, &s, n, &chosen, &given));
                view_t v;
                show(&s, n, &v);
                player_turn_t turn = {.seen = &v.seen, .draw = draw_of(n)};
                REQUIRE(!player_push(p, &turn, 1, &why), "%s", why.text);
                view_release(&v);
                CHECK(!memcmp(given.action, chosen.action, n * sizeof *given.action));
                double d = 0, same = 0;
                for (size_t i = 0; i < WIDTH; i++)
                    d = fmax(d, fabs((double)player_hidden(p, 0)[i] - (double)chosen.hidden[n][i]));
                for (size_t i = 0; i < ENV_ACTIONS; i++)
                    same = fmax(same, fabs((double)turn.action.vector[i] -
                                           (double)chosen.action[n].vector[i]));
                CHECK(d < TOLERANCE && same < TOLERANCE, "%s, %zu given steps: %g, %g",
                      with[k].name, n, d, same);
                CHECK(!memcmp(turn.action.discrete, chosen.action[n].discrete,
                              sizeof turn.action.discrete));
            }
            player_close(p);
            gato_model_free(m);
        }
}

/* Other given actions matter: otherwise the test above would hold without them. */
TEST(given_actions_are_seen) {
    static game_t chosen, given;
    gato_model_t *m = make_run(&kinds[BIN], 4, 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_CENTER}, &kinds[BIN]);
    REQUIRE(play_lane(p, 0, 0, &s, 3, NULL, &chosen));
    game_t other = chosen;
    other.action[0].vector[0] = other.action[0].vector[0] > 0 ? -0.9f : 0.9f;
    REQUIRE(play_lane(p, 0, 0, &s, 3, &chosen, &given));
    float as_chosen = given.hidden[1][0];
    CHECK(given.hidden[0][0] != chosen.hidden[0][0], "the hidden state is that of the separator");
    REQUIRE(play_lane(p, 0, 0, &s, 3, &other, &given));
    CHECK(fabs((double)as_chosen - (double)given.hidden[1][0]) > TOLERANCE);
    player_close(p);
    gato_model_free(m);
}

/* ---- refusals ---- */

static const kind_t all_parts = {
    "all", {0}, HAS_IMAGE | HAS_ACTION | HAS_GRIP | HAS_CHOICES | HAS_VALUE};

/* What a refusal must say, and how it is caused: in a view and a given action. */
typedef struct {
    const char *says;
    void (*spoil)(const task_t *t, view_t *v, env_action_t *given);
} refusal_t;

static float *numbers(const task_t *t, view_t *v) {
    return (float *)(uintptr_t)v->seen.slot[task_find(t, SIDE_OBSERVED, "state")].vector;
}
static void spoil_nan(const task_t *t, view_t *v, env_action_t *given) {
    numbers(t, v)[1] = NAN;
}
static void spoil_infinite(const task_t *t, view_t *v, env_action_t *given) {
    numbers(t, v)[2] = INFINITY;
}
static void spoil_value(const task_t *t, view_t *v, env_action_t *given) {
    *(uint32_t *)(uintptr_t)v->seen.slot[task_find(t, SIDE_OBSERVED, "value")].discrete = 40;
}
static void spoil_given(const task_t *t, view_t *v, env_action_t *given) {
    given->vector[ACTIONS] = -INFINITY;
}
static void spoil_choice(const task_t *t, view_t *v, env_action_t *given) {
    given->discrete[1] = 47;
}

/* A push that is refused leaves every lane as it was. */
TEST(a_refused_push_changes_nothing) {
    static const refusal_t refusal[] = {
        {"lane 1: observation state[1] is not finite", spoil_nan},
        {"lane 1: observation state[2] is not", spoil_infinite},
        {"lane 1: observation value[0] = 40 is not", spoil_value},
        {"lane 1: given grip is not finite", spoil_given},
        {"lane 1: given choices[1] = 47 is not below 47", spoil_choice}};
    static game_t want[3], got[3];
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        gato_model_t *m = make_run(&all_parts, 3, 2);
        player_t *p = open_lanes(&(player_opts_t){.decode = DECODE_MEAN, .rebuild = rebuild},
                                 &all_parts.has, 1, 3);
        scene_t s[3];
        reason_t why;
        for (size_t i = 0; i < 3; i++) {
            s[i] = (scene_t){.task = &m->tasks.v[0], .seed = 30 + i};
            REQUIRE(play_lane(p, i, 0, &s[i], 12, NULL, &want[i]));
            player_reset(p, i, 0);
        }
        for (size_t t = 0; t < 12; t++) {
            view_t v[3];
            player_turn_t turn[3];
            for (size_t i = 0; i < 3; i++) {
                show(&s[i], t, &v[i]);
                turn[i] = (player_turn_t){.lane = i, .seen = &v[i].seen, .draw = draw_of(t)};
            }
            view_t bad;
            show(&s[1], t, &bad);
            env_action_t given = {0};
            const refusal_t *r = &refusal[t % 5];
            r->spoil(s[0].task, &bad, &given);
            turn[1].seen = &bad.seen;
            turn[1].given = &given;
            CHECK(player_push(p, turn, 3, &why) == -1 && strstr(why.text, r->says), "%s", why.text);
            turn[1].seen = &v[1].seen;
            turn[1].given = NULL;
            REQUIRE(!player_push(p, turn, 3, &why), "%s", why.text);
            for (size_t i = 0; i < 3; i++) {
                got[i].T = t + 1;
                got[i].action[t] = turn[i].action;
                memcpy(got[i].hidden[t], player_hidden(p, i), sizeof got[i].hidden[t]);
                view_release(&v[i]);
            }
            view_release(&bad);
        }
        for (size_t i = 0; i < 3; i++)
            CHECK(same_games(&want[i], &got[i]), "lane %zu, rebuild %d", i, rebuild);
        player_close(p);
        gato_model_free(m);
    }
}

/* Alone, no lane is named; given vectors beyond their bounds are their ends. */
TEST(given_actions_beyond_their_bounds_are_the_ends) {
    static game_t beyond, ends;
    gato_model_t *m = make_run(&all_parts, 3, 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, &all_parts);
    for (size_t t = 0; t < 4; t++)
        for (size_t i = 0; i < 3; i++) {
            beyond.action[t].vector[i] = t % 2 ? 7 : -3;
            ends.action[t].vector[i] = t % 2 ? 1 : -1;
        }
    static game_t a, b;
    REQUIRE(play_lane(p, 0, 0, &s, 4, &beyond, &a) && play_lane(p, 0, 0, &s, 4, &ends, &b));
    CHECK(!memcmp(a.hidden, b.hidden, 4 * sizeof *a.hidden));
    env_action_t given = {.vector = {NAN}};
    view_t v;
    reason_t why;
    show(&s, 4, &v);
    player_turn_t turn = {.seen = &v.seen, .given = &given};
    CHECK(player_push(p, &turn, 1, &why) == -1 &&
              !strcmp(why.text, "given action[0] is not finite"),
          "%s", why.text);
    view_release(&v);
    player_close(p);
    gato_model_free(m);
}

TEST(a_number_of_lanes) {
    gato_model_t *m = make_run(&kinds[BIN], 3, 1);
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN}, &kinds[BIN]);
    static game_t before, after;
    reason_t why;
    CHECK(player_lanes(p, 0, &why) == -1 && strstr(why.text, "0 lanes"), "%s", why.text);
    REQUIRE(play(p, NULL, 6, &before));
    REQUIRE(!player_lanes(p, 8, &why));
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    REQUIRE(play_lane(p, 7, 0, &s, 6, NULL, &after));
    CHECK(same_games(&before, &after));
    player_close(p);
    gato_model_free(m);
}
