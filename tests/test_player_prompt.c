/* test_player_prompt.c - prompts at play: a lane that is fed the first timesteps of a game as data
 * hold them goes on as one that played them. Oracle: the game itself, which is compared with the
 * same network run whole, [prompt, main] under the attention window's mask. */
#include "tests/player_whole.h"

enum { STEPS = 12 };

static void feed_and_compare(const kind_t *k, size_t window, size_t prompt, bool rebuild) {
    static game_t played;
    reason_t why;
    gato_model_t *m = make_run(k, window, 2);
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN, .rebuild = rebuild}, k);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    REQUIRE(play_lane(p, 0, 0, &s, STEPS, NULL, &played));
    if (!rebuild) /* which is another context where the window is full */
        check_difference(k->name, window, STEPS,
                         differ(m, 0, (uint32_t)window, tokens_of(k, k->has), &s, &played));
    /* its timesteps as data: codes by the tokenizer's own call, actions scaled by hand */
    whole_t *w = whole_open(m, 0, (uint32_t)window, 0, &s, &played);
    player_reset(p, 0, 0);
    view_t past[STEPS];
    for (size_t t = 0; t < prompt; t++) {
        timestep_t step = w->batch.place[t].data;
        show(&s, t, &past[t]); /* those of `w` are gone */
        for (uint32_t i = 0; i < s.task->n_slots; i++)
            if (s.task->slot[i].kind == SLOT_VECTOR && s.task->slot[i].side == SIDE_OBSERVED)
                step.slot[i].vector = past[t].seen.slot[i].vector;
        player_turn_t turn = {.lane = 0, .recorded = &step};
        if (player_push(p, &turn, 1, &why)) CHECK(false, "%s", why.text);
    }
    double apart = 0;
    for (size_t t = prompt; t < STEPS; t++) {
        view_t v;
        show(&s, t, &v);
        player_turn_t turn = {.lane = 0, .seen = &v.seen, .draw = draw_of(t)};
        if (player_push(p, &turn, 1, &why)) CHECK(false, "%s", why.text);
        view_release(&v);
        for (int i = 0; i < ACTIONS; i++)
            apart = fmax(apart,
                         fabs((double)turn.action.vector[i] - (double)played.action[t].vector[i]));
        for (size_t i = 0; i < WIDTH; i++)
            apart = fmax(apart, fabs((double)player_hidden(p, 0)[i] - (double)played.hidden[t][i]));
    }
    CHECK(apart < TOLERANCE, "%s, window %zu, prompt %zu: %g apart", k->name, window, prompt,
          apart);
    player_reset(p, 0, 0); /* before what it was fed goes */
    for (size_t t = 0; t < prompt; t++) view_release(&past[t]);
    whole_close(w);
    player_close(p);
    gato_model_free(m);
}

TEST(a_prompt_is_a_past) {
    static const int kind[] = {BIN, MSE, CODES, MERGED, TABLE};
    for (int i = 0; i < 5; i++)
        for (int rebuild = 0; rebuild < 2; rebuild++) {
            feed_and_compare(&kinds[kind[i]], 4, 3, rebuild);
            feed_and_compare(&kinds[kind[i]], 4, 1, rebuild);
            feed_and_compare(&kinds[kind[i]], 3, 7, rebuild); /* more than the window holds */
        }
}
