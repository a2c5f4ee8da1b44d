/* test_episode.c - played episodes, their disturbances, and steps as messages. Oracles: the label
 * is asked again from a replay of the executed actions; bursts and noise are found in the recorded
 * actions and counted against their probabilities; the world of env_child.py is a formula. */
#include "gato/play/message.h"
#include "tests/test.h"
#include <limits.h>
#include <unistd.h>

TEST(policy_names) {
    reason_t why = {""};
    CHECK(policy_find("expert", &why) == &policy_expert && policy_find("mix", &why) == &policy_mix);
    CHECK(policy_find("random", &why) == &policy_random &&
          policy_find("model", &why) == &policy_model);
    CHECK(!policy_find("randum", &why));
    CHECK(strstr(why.text, "'randum'") &&
              strstr(why.text, "(there are: random, expert, model, mix, plan)"),
          "%s", why.text);
}

/* ---- the world of env_child.py ---- */

/* The script lies in tests/ above the build folder, wherever that is. */
static const char *find_script(char script[PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", script, PATH_MAX - 32);
    script[n < 0 ? 0 : n] = 0;
    for (char *slash = strrchr(script, '/'); slash; slash = strrchr(script, '/')) {
        strcpy(slash, "/tests/env_child.py");
        if (access(script, R_OK) == 0) break;
        *slash = 0;
    }
    return script;
}

static env_t *open_child(const char *fault) {
    char command[PATH_MAX + 100], script[PATH_MAX];
    int rc;
    reason_t why;
    snprintf(command, sizeof command, "exec python3 -S '%s' %s", find_script(script), fault);
    env_t *e = env_open(&(env_opts_t){.command = command}, &rc, &why);
    if (!e) fprintf(stderr, "  %s\n", why.text);
    return e;
}

typedef struct {
    size_t steps, labels, wrists, end; /* end: of the last call */
    bool truncated, success[8];
    double x, pushed;
    const task_t *task;
    size_t fail_at; /* 0 = never */
} walk_t;

static int take_walk(void *ctx, const episode_step_t *step, reason_t *why) {
    walk_t *w = ctx;
    /* Through the bytes of a message and back. */
    message_t m = {0};
    message_step_t back;
    message_put_step(&m, w->task, step);
    message_get_step(m.v, m.n, w->task, &back);
    const episode_step_t *s = &back.step;
    const env_value_t *v = s->seen->slot;
    CHECK(s->step == w->steps);
    CHECK(v[3].vector[0] == (float)w->x && v[3].vector[1] == (float)w->steps &&
          v[3].vector[2] == 3);
    CHECK(v[4].discrete[0] == w->steps % 4 && v[4].discrete[1] == 2);
    CHECK_STR(v[2].text, "mission of episode 5");
    for (size_t i = 0; i < 4 * 6 * 3; i++) CHECK(v[0].rgb[i] == (uint8_t)((int)w->x + (int)i));
    w->wrists += v[1].rgb != NULL;
    CHECK((v[1].rgb != NULL) == (w->steps % 2 == 0));
    if (s->action) {
        CHECK((s->expert != NULL) == (w->steps != 1));
        w->labels += s->expert != NULL;
        if (s->expert)
            CHECK(s->expert->vector[0] == 0.5f && s->expert->vector[1] == -2 &&
                  s->expert->discrete[0] == w->steps % 3);
        CHECK(s->out.reward == s->action->vector[0] && fabsf(s->action->vector[0]) <= 1);
        CHECK(s->action->discrete[0] < 3);
        w->pushed += (double)s->out.reward;
        w->x = w->x + (double)s->action->vector[0] + (double)s->action->vector[1] +
               s->action->discrete[0];
        w->success[w->steps % 8] = s->out.success;
        w->truncated = s->out.truncated;
        w->steps++;
    } else {
        w->end = s->step;
    }
    free(m.v);
    return w->fail_at && w->steps == w->fail_at ? reason_set(why, "enough") : 0;
}

TEST(every_slot_of_every_step_is_handed_on) {
    env_t *e = open_child("");
    REQUIRE(e);
    episode_opts_t o = {.seed = 3, .labels = true, .burst = 0.3, .noise = 0.5, .noise_episodes = 1};
    reason_t why = {""};
    episode_result_t r;
    walk_t w = {.x = 53, .task = env_task(e)};
    REQUIRE(!episode_play(e, &policy_random, NULL, &o, 5, true, take_walk, &w, &r, &why), "%s",
            why.text);
    CHECK(w.steps == 5 && w.labels == 4 && w.wrists == 3 && w.end == 5 && r.T == 5 && r.success);
    CHECK(w.success[1] && !w.success[0] && !w.success[4] && !w.truncated);
    CHECK_NEAR(r.ret, w.pushed, 1e-6);
    o.max_steps = 3;
    w = (walk_t){.x = 53, .task = env_task(e)};
    REQUIRE(!episode_play(e, &policy_random, NULL, &o, 5, true, take_walk, &w, &r, &why));
    CHECK(r.T == 3 && w.truncated && w.end == 3, "--max-steps ends it");
    o.max_steps = 1;
    w = (walk_t){.x = 53, .task = env_task(e)};
    REQUIRE(!episode_play(e, &policy_random, NULL, &o, 5, true, take_walk, &w, &r, &why));
    CHECK(r.T == 1 && !r.success, "the flag comes at step 2");
    o.max_steps = 0;
    w = (walk_t){.x = 53, .task = env_task(e), .fail_at = 2};
    CHECK(episode_play(e, &policy_random, NULL, &o, 5, true, take_walk, &w, &r, &why));
    CHECK_STR(why.text, "enough");
    CHECK(episode_play(e, &policy_expert, NULL, &o, 5, true, NULL, NULL, &r, &why));
    CHECK(strstr(why.text, "'walk' has no expert for this state"), "%s", why.text);
    env_close(e);
}

TEST(a_child_that_dies_fails_its_episode) {
    env_t *e = open_child("die-step");
    REQUIRE(e);
    reason_t why = {""};
    episode_result_t r;
    episode_opts_t o = {.seed = 3};
    CHECK(episode_play(e, &policy_random, NULL, &o, 0, false, NULL, NULL, &r, &why));
    CHECK(strstr(why.text, "exit code 7"), "%s", why.text);
    env_close(e);
}

/* What Gymnasium's Box.sample draws: within bounds uniform, else exponential and normal. */
TEST(actions_are_drawn_from_the_whole_space) {
    task_t t = task_new("t", RECORD_EPISODE);
    slot_t *s = task_add(&t, SLOT_VECTOR, SIDE_ACTED, "v", 4);
    const float low[] = {2, 5, -INFINITY, -INFINITY}, high[] = {6, INFINITY, -3, INFINITY};
    memcpy(s->low, low, sizeof low);
    memcpy(s->high, high, sizeof high);
    s = task_add(&t, SLOT_DISCRETE, SIDE_ACTED, "d", 2);
    s->range = xcalloc(2, sizeof *s->range);
    s->range[0] = 3;
    s->range[1] = 7;
    enum { N = 20000 };
    double sum[4] = {0}, squares = 0, counts[7] = {0};
    rng_t r = rng_make(1, "x");
    for (size_t i = 0; i < N; i++) {
        env_action_t a;
        policy_draw(&t, r, i * 6, &a);
        for (int k = 0; k < 4; k++) {
            CHECK(a.vector[k] >= low[k] && a.vector[k] <= high[k]);
            sum[k] += a.vector[k] / N;
        }
        squares += a.vector[3] * a.vector[3] / N;
        CHECK(a.discrete[0] < 3 && a.discrete[1] < 7);
        counts[a.discrete[1]]++;
    }
    CHECK_NEAR(sum[0], 4, 4 * sqrt(16 / 12.0 / N));
    CHECK_NEAR(sum[1], 6, 4 / sqrt(N));
    CHECK_NEAR(sum[2], -4, 4 / sqrt(N));
    CHECK_NEAR(sum[3], 0, 4 / sqrt(N));
    CHECK_NEAR(squares, 1, 4 * sqrt(2.0 / N));
    for (int k = 0; k < 7; k++) CHECK_NEAR(counts[k], N / 7.0, 4 * sqrt(N * 6 / 49.0));
    task_release(&t);
}

#ifdef WITH_MUJOCO

enum { EPISODES = 60, STEPS = 50, DIM = 2 };

/* The arrays of one episode of the reacher. */
typedef struct {
    env_t *env;
    episode_result_t result;
    uint8_t rgb[(STEPS + 1) * 64 * 64 * 3];
    float vector[(STEPS + 1) * 6], action[STEPS * DIM], expert[STEPS * DIM], reward[STEPS];
    bool terminated[STEPS], truncated[STEPS], success[STEPS];
} stage_t;

static int collect(void *ctx, const episode_step_t *step, reason_t *why) {
    stage_t *s = ctx;
    size_t t = step->step;
    const env_value_t *v = step->seen->slot;
    memcpy(s->rgb + t * 64 * 64 * 3, v[0].rgb, 64 * 64 * 3);
    memcpy(s->vector + t * 6, v[2].vector, 6 * sizeof(float));
    if (!step->action) return 0;
    memcpy(s->action + t * DIM, step->action->vector, DIM * sizeof(float));
    memcpy(s->expert + t * DIM, step->expert->vector, DIM * sizeof(float));
    s->reward[t] = step->out.reward;
    s->terminated[t] = step->out.terminated;
    s->truncated[t] = step->out.truncated;
    s->success[t] = step->out.success;
    return 0;
}

static stage_t *stage_open(void) {
    int rc;
    reason_t why;
    stage_t *s = calloc(1, sizeof *s);
    s->env = env_open(&(env_opts_t){.name = "reacher"}, &rc, &why);
    if (!s->env) printf("FAIL env_open: %s\n", why.text), exit(1);
    return s;
}

static void stage_close(stage_t *s) {
    env_close(s->env);
    free(s);
}

static void record(stage_t *s, const char *policy, const episode_opts_t *o, uint64_t episode) {
    reason_t why = {""};
    episode_opts_t labelled = *o;
    labelled.labels = true;
    int failed = episode_play(s->env, policy_find(policy, NULL), NULL, &labelled, episode, true,
                              collect, s, &s->result, &why);
    CHECK(!failed && s->result.T == STEPS, "%s", why.text);
}

/* Replays the executed actions: the same rewards and observations must come, and the label must be
 * the expert's for each state. */
static void check_replay(stage_t *s, env_t *again, uint64_t seed, uint64_t episode) {
    double sum = 0;
    bool solved = false;
    REQUIRE(!env_reset(again, seed, episode, NULL));
    for (size_t t = 0; t <= STEPS; t++) {
        env_observation_t seen;
        env_action_t label, action = {0};
        env_outcome_t out;
        REQUIRE(!env_observe(again, true, &seen, NULL));
        CHECK(memcmp(seen.slot[2].vector, s->vector + t * 6, 6 * sizeof(float)) == 0,
              "vector of step %zu", t);
        CHECK(memcmp(seen.slot[0].rgb, s->rgb + t * 64 * 64 * 3, 64 * 64 * 3) == 0,
              "image of step %zu", t);
        if (t == STEPS) break;
        REQUIRE(env_expert(again, &label, NULL) == ENV_EXPERT);
        CHECK(memcmp(label.vector, s->expert + t * DIM, DIM * sizeof(float)) == 0,
              "label of step %zu", t);
        memcpy(action.vector, s->action + t * DIM, DIM * sizeof(float));
        REQUIRE(!env_step(again, &action, &out, NULL));
        CHECK(out.reward == s->reward[t] && out.success == s->success[t]);
        CHECK(!s->terminated[t] && s->truncated[t] == (t == STEPS - 1));
        sum += out.reward;
        solved |= out.success;
    }
    CHECK_NEAR(s->result.ret, sum, 1e-12);
    CHECK(s->result.success == solved);
}

TEST(episode_label_is_the_clean_expert) {
    stage_t *s = stage_open(), *other = stage_open();
    episode_opts_t o = {.seed = 4, .burst = 0.05, .noise = 0.3, .noise_episodes = 0.5};
    for (uint64_t i = 0; i < 6; i++) {
        record(s, i == 5 ? "random" : "expert", &o, i);
        check_replay(s, other->env, 4, i);
    }
    stage_close(s);
    stage_close(other);
}

TEST(episode_undisturbed_expert_executes_its_label) {
    stage_t *s = stage_open();
    episode_opts_t o = {.seed = 4, .noise = 0.3};
    for (uint64_t i = 0; i < 4; i++) {
        record(s, "expert", &o, i);
        CHECK(memcmp(s->action, s->expert, STEPS * DIM * sizeof(float)) == 0);
    }
    stage_close(s);
}

/* A burst shows as a run of one same action that is not the label. Its length is 3 to 8, cut by the
 * episode's end. */
TEST(episode_bursts) {
    stage_t *s = stage_open();
    episode_opts_t o = {.seed = 8, .burst = 0.05};
    size_t starts = 0, calm = 0, lengths[9] = {0};
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < EPISODES; i++) {
        record(s, "expert", &o, i);
        for (size_t t = 0; t < STEPS;) {
            const float *a = s->action + t * DIM;
            size_t n = 1;
            if (memcmp(a, s->expert + t * DIM, DIM * sizeof(float)) == 0) {
                calm++;
            } else {
                while (t + n < STEPS && memcmp(a, a + n * DIM, DIM * sizeof(float)) == 0) n++;
                CHECK(n <= 8 && (n >= 3 || t + n == STEPS), "%zu steps", n);
                if (t + n < STEPS && n <= 8) lengths[n]++;
                starts++;
                sum += a[0] + a[1];
                squares += a[0] * a[0] + a[1] * a[1];
            }
            t += n;
        }
    }
    /* Each step outside a burst begins one with probability 0.05: 4 standard errors. */
    double n = (double)(starts + calm), rate = (double)starts / n;
    CHECK(fabs(rate - 0.05) < 4 * sqrt(0.05 * 0.95 / n), "%g of %g", rate, n);
    for (int k = 3; k <= 8; k++) CHECK(lengths[k] > 0, "no burst of %d steps among %zu", k, starts);
    /* Uniform in [-1,1]: mean 0, mean square 1/3 with variances 1/3 and 4/45. */
    CHECK_NEAR(sum / (2 * starts), 0, 4 * sqrt(1.0 / 3 / (2 * starts)));
    CHECK_NEAR(squares / (2 * starts), 1.0 / 3, 4 * sqrt(4.0 / 45 / (2 * starts)));
    stage_close(s);
}

/* Only labels near 0 tell about sigma: the others are clamped after the noise. 0.3 reaches 1 at
 * three standard deviations. */
TEST(episode_noise) {
    stage_t *s = stage_open();
    episode_opts_t o = {.seed = 8, .noise = 0.3, .noise_episodes = 0.5};
    size_t noisy = 0, n = 0;
    double squares = 0;
    for (uint64_t i = 0; i < EPISODES; i++) {
        record(s, "expert", &o, i);
        if (memcmp(s->action, s->expert, STEPS * DIM * sizeof(float)) == 0) continue;
        noisy++;
        for (size_t k = 0; k < STEPS * DIM; k++) {
            CHECK(fabsf(s->action[k]) <= 1, "executed actions are within bounds");
            double d = s->action[k] - s->expert[k];
            if (d * s->expert[k] >= 0) continue;
            squares += d * d;
            n++;
        }
    }
    for (uint64_t i = 0; i < 8; i++) {
        episode_opts_t every = {.seed = 8, .noise = 0.3, .noise_episodes = 1};
        record(s, "expert", &every, i);
        CHECK(memcmp(s->action, s->expert, STEPS * DIM * sizeof(float)) != 0, "episode %d is calm",
              (int)i);
    }
    CHECK(fabs(noisy - 0.5 * EPISODES) < 4 * sqrt(0.25 * EPISODES), "%zu noisy episodes", noisy);
    double sigma = sqrt(squares / (double)n);
    CHECK(fabs(sigma - 0.3) < 4 * 0.3 / sqrt(2.0 * n), "sigma %g of %zu", sigma, n);
    stage_close(s);
}

TEST(episode_random_is_uniform) {
    stage_t *s = stage_open();
    episode_opts_t o = {.seed = 8};
    double sum = 0, squares = 0, n = 10 * STEPS * DIM;
    for (uint64_t i = 0; i < 10; i++) {
        record(s, "random", &o, i);
        for (size_t k = 0; k < STEPS * DIM; k++)
            sum += s->action[k], squares += s->action[k] * s->action[k];
    }
    CHECK_NEAR(sum / n, 0, 4 * sqrt(1 / 3.0 / n));
    CHECK_NEAR(squares / n, 1 / 3.0, 4 * sqrt(4 / 45.0 / n));
    stage_close(s);
}

#else

TEST(episodes_of_the_reacher) {
    SKIP("the reacher's episodes (built without MuJoCo)");
}

#endif
