/* test_player_chunk.c - chunks of actions at play: against the hidden states of the game run whole,
 * the layer by a double loop, and the use of its rows by the book. */
#include "tests/player_whole.h"

enum { CHUNK = 4, STEPS = 23, NUMBERS = ACTIONS + 1 };

static const kind_t arm = {"arm",
                           {"model.vector_in=linear", "loss.action_kind=mse", "model.chunk=4"},
                           HAS_ACTION | HAS_GRIP | HAS_IMAGE};
static const kind_t both = {"arm with choices",
                            {"model.chunk=4", "loss.action_kind=mse"},
                            HAS_ACTION | HAS_GRIP | HAS_CHOICES};

/* What the chunk of timestep t says for j timesteps later, of acted column i. */
static double says(const gato_model_t *m, const whole_t *w, size_t t, size_t j, size_t i) {
    const float *W = params_ptr(m->params, PARAMS_VALUE,
                                params_find(m->params, "predict_action.body0.weight")),
                *bias = params_ptr(m->params, PARAMS_VALUE,
                                   params_find(m->params, "predict_action.body0.bias"));
    size_t row = i < ACTIONS ? j * ACTIONS + i : CHUNK * ACTIONS + j;
    double sum = (double)bias[row];
    for (size_t d = 0; d < WIDTH; d++)
        sum += (double)W[row * WIDTH + d] * (double)w->hidden[w->separator[t] * WIDTH + d];
    return sum;
}

/* The action of timestep t when the policy acts from timestep `begin` on. */
static double wanted(const player_opts_t *o, const gato_model_t *m, const whole_t *w, size_t begin,
                     size_t t, size_t i) {
    size_t n = t - begin;
    if (!o->averages) {
        size_t j = n % (size_t)o->execute;
        return says(m, w, t - j, j, i);
    }
    size_t oldest = n < CHUNK ? begin : t - CHUNK + 1;
    double sum = 0, all = 0;
    for (size_t s = oldest; s <= t; s++) {
        double weight = exp(-o->ensemble * (double)(s - oldest));
        sum += weight * says(m, w, s, t - s, i);
        all += weight;
    }
    return sum / all;
}

static void check_game(const player_opts_t *o, gato_model_t *m, const kind_t *k, uint32_t window,
                       const scene_t *s, const game_t *g, size_t begin) {
    whole_t *w = whole_open(m, 0, window, tokens_of(k, k->has), s, g);
    double worst = 0, moved = 0;
    for (size_t t = begin; t < g->T; t++)
        for (size_t i = 0; i < NUMBERS; i++) {
            const slot_t *slot = &s->task->slot[task_first(s->task, SIDE_ACTED, SLOT_VECTOR)];
            size_t column = i;
            if (i >= ACTIONS) slot++, column = i - ACTIONS;
            double got = scaled(slot, (uint32_t)column, (double)g->action[t].vector[i]),
                   want = fmin(1, fmax(-1, wanted(o, m, w, begin, t, i)));
            worst = fmax(worst, fabs(got - want));
            moved = fmax(moved, fabs(want - fmin(1, fmax(-1, says(m, w, t, 0, i)))));
        }
    CHECK(worst < TOLERANCE, "%s, window %u, execute %d, ensemble %g: %g", k->name, window,
          (int)o->execute, o->ensemble, worst);
    CHECK(moved > 100 * TOLERANCE || o->execute == 1, "%s: chunks say the same: %g", k->name,
          moved);
    whole_close(w);
}

static const player_opts_t uses[] = {{.execute = 1},
                                     {.execute = 2},
                                     {.execute = 3},
                                     {.execute = 4},
                                     {.averages = true, .ensemble = 0},
                                     {.averages = true, .ensemble = 0.3}};
enum { USES = sizeof uses / sizeof *uses };

/* A context that is rebuilt is the attention window of the cache in a network of one layer. */
static void play_all(const kind_t *k, uint32_t window, bool rebuild) {
    static game_t g;
    gato_model_t *m = make_run(k, window, rebuild ? 1 : 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    for (size_t u = 0; u < USES; u++) {
        player_opts_t o = uses[u];
        o.rebuild = rebuild;
        player_t *p = open_run(&o, k);
        REQUIRE(play_lane(p, 0, 0, &s, STEPS, NULL, &g));
        check_game(&o, m, k, window, &s, &g, 0);
        player_close(p);
    }
    gato_model_free(m);
}

TEST(chunks_are_used_by_the_book) {
    play_all(&arm, 1, false);
    play_all(&arm, 3, false);
    play_all(&both, 1, false);
    play_all(&both, 5, false);
    play_all(&arm, 3, true);
}

/* Where no later step sees an observation and its action is planned, the network does not run. */
TEST(a_planned_step_costs_nothing_where_nobody_sees_it) {
    static game_t g;
    for (uint32_t window = 1; window < 3; window++) {
        gato_model_t *m = make_run(&arm, window, 2);
        scene_t s = {.task = &m->tasks.v[0], .seed = 7};
        player_t *p = open_run(&(player_opts_t){.execute = 4}, &arm);
        REQUIRE(play_lane(p, 0, 0, &s, STEPS, NULL, &g));
        for (size_t t = 1; t < STEPS; t++) {
            bool same = !memcmp(g.hidden[t], g.hidden[t - 1], sizeof g.hidden[t]);
            CHECK(same == (window == 1 && t % 4 != 0), "window %u, step %zu", window, t);
        }
        player_close(p);
        gato_model_free(m);
    }
}

/* A given action voids what was planned. */
TEST(given_actions_void_the_plan) {
    static game_t own, game;
    reason_t why;
    enum { GIVEN = 6 };
    gato_model_t *m = make_run(&arm, 3, 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    for (size_t u = 0; u < USES; u++) {
        player_t *p = open_run(&uses[u], &arm);
        REQUIRE(play_lane(p, 0, 0, &s, STEPS, NULL, &own));
        game.T = STEPS;
        player_reset(p, 0, 0);
        for (size_t t = 0; t < STEPS; t++) {
            view_t v;
            show(&s, t, &v);
            player_turn_t turn = {.seen = &v.seen, .draw = draw_of(t)};
            if (t == GIVEN - 1) turn.given = &own.action[STEPS - 1];
            REQUIRE(!player_push(p, &turn, 1, &why), "%s", why.text);
            game.action[t] = turn.action;
            view_release(&v);
        }
        check_game(&uses[u], m, &arm, 3, &s, &game, GIVEN);
        player_close(p);
    }
    gato_model_free(m);
}

/* A prompt whose last timestep has no action: what the policy chose there is of the prompt, and the
 * episode begins with a chunk of its own, as where a chunk is predicted in every step. */
TEST(a_prompt_starts_no_chunk) {
    enum { PROMPT = 3 };
    static game_t game;
    reason_t why;
    gato_model_t *m = make_run(&arm, 4, 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    env_action_t first[2];
    for (int execute = 1; execute < 5; execute += 3) {
        player_t *p = open_run(&(player_opts_t){.execute = execute}, &arm);
        if (execute == 1) REQUIRE(play_lane(p, 0, 0, &s, PROMPT + 1, NULL, &game));
        whole_t *w = whole_open(m, 0, 4, 0, &s, &game);
        timestep_t past[PROMPT];
        view_t v[PROMPT + 1];
        for (size_t t = 0; t <= PROMPT; t++) show(&s, t, &v[t]);
        for (size_t t = 0; t < PROMPT; t++) {
            past[t] = w->batch.place[t].data;
            for (uint32_t i = 0; i < s.task->n_slots; i++) {
                bool vector = s.task->slot[i].kind == SLOT_VECTOR;
                if (s.task->slot[i].side == SIDE_OBSERVED && vector)
                    past[t].slot[i].vector = v[t].seen.slot[i].vector;
                if (s.task->slot[i].side == SIDE_ACTED && t + 1 == PROMPT)
                    past[t].slot[i] = (slot_value_t){0};
            }
        }
        player_reset(p, 0, 0);
        REQUIRE(!player_feed(p, 0, past, PROMPT, draw_of(0), &why), "%s", why.text);
        player_turn_t turn = {.seen = &v[PROMPT].seen, .draw = draw_of(PROMPT)};
        REQUIRE(!player_push(p, &turn, 1, &why), "%s", why.text);
        first[execute > 1] = turn.action;
        player_reset(p, 0, 0);
        for (size_t t = 0; t <= PROMPT; t++) view_release(&v[t]);
        whole_close(w);
        player_close(p);
    }
    CHECK(!memcmp(first[0].vector, first[1].vector, NUMBERS * sizeof first[0].vector[0]),
          "%g and %g", first[0].vector[0], first[1].vector[0]);
    gato_model_free(m);
}

/* Lanes that began at different times predict in different steps; each is as if alone. */
TEST(lanes_plan_for_themselves) {
    enum { LANES = 3 };
    static game_t alone[LANES], game[LANES];
    reason_t why;
    gato_model_t *m = make_run(&both, 2, 2);
    for (size_t u = 0; u < USES; u++) {
        player_t *p = open_lanes(&uses[u], &both.has, 1, LANES);
        scene_t s[LANES];
        for (size_t i = 0; i < LANES; i++) {
            s[i] = (scene_t){.task = &m->tasks.v[0], .seed = 20 + i};
            REQUIRE(play_lane(p, 0, 0, &s[i], STEPS - 2 * i, NULL, &alone[i]));
            game[i].T = STEPS - 2 * i;
        }
        for (size_t tick = 0; tick < STEPS; tick++) {
            player_turn_t turn[LANES];
            view_t v[LANES];
            size_t n = 0;
            for (size_t i = 0; i < LANES && tick >= 2 * i; i++, n++) {
                if (tick == 2 * i) player_reset(p, i, 0);
                show(&s[i], tick - 2 * i, &v[i]);
                turn[i] =
                    (player_turn_t){.lane = i, .seen = &v[i].seen, .draw = draw_of(tick - 2 * i)};
            }
            REQUIRE(!player_push(p, turn, n, &why), "%s", why.text);
            for (size_t i = 0; i < n; i++) {
                game[i].action[tick - 2 * i] = turn[i].action;
                memcpy(game[i].hidden[tick - 2 * i], player_hidden(p, i), sizeof game[i].hidden[0]);
                view_release(&v[i]);
            }
        }
        for (size_t i = 0; i < LANES; i++)
            CHECK(same_games(&game[i], &alone[i]), "use %zu, lane %zu", u, i);
        player_close(p);
    }
    gato_model_free(m);
}

/* Nothing said: as the RUN says; what it cannot do is refused. */
TEST(the_run_says_how_chunks_are_used) {
    static game_t said, silent;
    int rc;
    reason_t why;
    gato_model_t *m = make_run(&arm, 2, 2);
    m->config.act.execute = 3;
    save(m);
    player_t *p = open_run(&(player_opts_t){.decode = -1}, &arm),
             *q = open_run(&(player_opts_t){.execute = 3}, &arm);
    REQUIRE(play(p, NULL, 12, &silent) && play(q, NULL, 12, &said));
    CHECK(same_games(&said, &silent));
    player_close(p);
    player_close(q);
    p = open_run(&(player_opts_t){.averages = true, .ensemble = 0.01}, &arm);
    char text[128];
    CHECK(
        !strcmp(player_chunks(p, text), "4 actions at once, averaged by the weights exp(-0.01 i)"),
        "%s", text);
    player_close(p);
    CHECK(!player_open(in_folder("run"), &(player_opts_t){.execute = 5}, &rc, &why) &&
              rc == RC_USAGE && strstr(why.text, "more than a chunk"),
          "%s", why.text);
    gato_model_free(m);
}
