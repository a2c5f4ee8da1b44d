/* test_pusher.c - the environment "pusher". Oracles: the reward's formula and a pinhole projection
 * written here, signs of contact forces and of friction, a hand-driven push, bit-equality of
 * replays, symmetries of the expert.
 */
#include "gato/env/env.h"
#include "gato/env/expert_push.h"
#include "tests/test.h"

/* ---- the expert by itself ---- */

static const double TOUCH = 0.065;

TEST(expert_push_pushes_from_behind) {
    static const double puck[2] = {0.02, 0.01}, goal[2] = {0.12, 0.01};
    float action[2];
    double pusher[2] = {0.02 - TOUCH - 0.002, 0.01};
    expert_push_act(pusher, puck, goal, TOUCH, action);
    CHECK(action[0] > 0.95f && fabsf(action[1]) < 0.05f, "%g %g", action[0], action[1]);
    /* A little beside the line it steers to the line, still pushing. */
    pusher[1] = 0.016;
    expert_push_act(pusher, puck, goal, TOUCH, action);
    CHECK(action[0] > 0.5f && action[1] < -0.1f, "%g %g", action[0], action[1]);
}

/* Between puck and goal it never moves toward the puck's middle. */
TEST(expert_push_goes_around) {
    static const double puck[2] = {0, 0}, goal[2] = {0.1, 0};
    for (int i = -10; i <= 10; i++) {
        double angle = i * 0.1;
        double pusher[2] = {(TOUCH + 0.004) * cos(angle), (TOUCH + 0.004) * sin(angle)};
        float action[2];
        expert_push_act(pusher, puck, goal, TOUCH, action);
        CHECK(action[0] * pusher[0] + action[1] * pusher[1] >= -1e-3, "angle %g", angle);
        CHECK(fmaxf(fabsf(action[0]), fabsf(action[1])) > 0.3f, "it moves");
    }
}

/* A scene turned by a quarter, or mirrored, gives the action turned or mirrored. */
TEST(expert_push_knows_no_direction) {
    for (int i = 0; i < 200; i++) {
        double p[2] = {0.2 * sin(i * 1.3), 0.2 * cos(i * 2.1)}, k[2] = {0.1 * sin(i * 0.7), 0.05},
               g[2] = {0.1 * cos(i * 0.9), -0.1 * sin(i * 1.7)};
        float a[2], b[2], c[2];
        expert_push_act(p, k, g, TOUCH, a);
        expert_push_act((double[]){-p[1], p[0]}, (double[]){-k[1], k[0]}, (double[]){-g[1], g[0]},
                        TOUCH, b);
        CHECK(fabsf(b[0] + a[1]) < 1e-4f && fabsf(b[1] - a[0]) < 1e-4f, "turned, scene %d", i);
        expert_push_act((double[]){p[0], -p[1]}, (double[]){k[0], -k[1]}, (double[]){g[0], -g[1]},
                        TOUCH, c);
        CHECK(fabsf(c[0] - a[0]) < 1e-4f && fabsf(c[1] + a[1]) < 1e-4f, "mirrored, scene %d", i);
        CHECK(fabsf(a[0]) <= 1 && fabsf(a[1]) <= 1);
    }
}

#ifndef WITH_MUJOCO

TEST(pusher_without_mujoco_says_what_to_install) {
    int rc = RC_OK;
    reason_t why = {""};
    CHECK(!env_open(&(env_opts_t){.name = "pusher"}, &rc, &why));
    CHECK(rc == RC_RUNTIME, "%d", rc);
    CHECK_STR(why.text,
              "built without MuJoCo: install libmujoco-dev and libosmesa6-dev, then rebuild");
    SKIP("the environment's own tests (built without MuJoCo)");
}

#else

#include "common/base/rng.h"

enum { FRONT = 64, TOP = 48, STEPS = 100, EPISODES = 1000, NOISE = 30 };
/* Of the task. */
enum { SLOT_FRONT, SLOT_TOP, SLOT_MISSION, SLOT_OWN };
static const double FASTEST = 0.25, ACTION_TIME = 0.04;

/* env_state's order */
typedef struct {
    double pusher[2], puck[2], turn, pusher_v[2], puck_v[2], turn_v, goal[2];
} state_t;

static env_t *open_pusher(void) {
    int rc;
    reason_t why;
    env_t *e = env_open(&(env_opts_t){.name = "pusher"}, &rc, &why);
    if (!e) printf("FAIL env_open: %s\n", why.text), exit(1);
    return e;
}

static state_t state_of(const env_t *e) {
    state_t s;
    if (env_state(e, (double *)&s, sizeof s / sizeof(double)) != 12)
        printf("FAIL env_state has another size\n"), exit(1);
    return s;
}

static double apart(const double a[2], const double b[2]) {
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]));
}

static env_outcome_t step(env_t *e, double x, double y) {
    env_action_t action = {.vector = {(float)x, (float)y}};
    env_outcome_t out;
    reason_t why;
    if (env_step(e, &action, &out, &why)) CHECK(false, "step: %s", why.text);
    return out;
}

static void reset(env_t *e, uint64_t seed, uint64_t episode) {
    reason_t why;
    if (env_reset(e, seed, episode, &why)) CHECK(false, "reset: %s", why.text);
}

static env_action_t random_action(uint64_t episode, uint64_t t) {
    rng_t r = rng_fold(rng_make(7, "test.actions"), episode);
    return (env_action_t){
        .vector = {2 * rng_uniform(r, 2 * t) - 1, 2 * rng_uniform(r, 2 * t + 1) - 1}};
}

static env_action_t expert_action(env_t *e) {
    env_action_t action;
    if (env_expert(e, &action, NULL) != ENV_EXPERT) CHECK(false, "no expert");
    return action;
}

/* ---- scores ---- */

typedef struct {
    double sum;
    int solved, steps;
} score_t;

/* Random for the first `noise` actions, then the expert's. */
static score_t play(env_t *e, int noise, uint64_t episode) {
    score_t s = {0};
    env_outcome_t out = {0};
    reset(e, 3, episode);
    while (!out.terminated && !out.truncated) {
        env_action_t action =
            s.steps < noise ? random_action(episode, (uint64_t)s.steps) : expert_action(e);
        out = step(e, action.vector[0], action.vector[1]);
        s.sum += out.reward;
        s.steps++;
    }
    s.solved = out.success;
    return s;
}

static score_t play_many(int noise, int episodes) {
    env_t *e = open_pusher();
    score_t all = {0};
    for (uint64_t i = 0; i < (uint64_t)episodes; i++) {
        score_t s = play(e, noise, i);
        all.sum += s.sum / episodes;
        all.solved += s.solved;
        all.steps += s.steps;
    }
    env_close(e);
    return all;
}

/* Returns have a standard deviation of 2.6 (expert) and 4.2 (random): two means of 1,000 episodes
 * differ by 0.12 and 0.19 at one standard error; four of them are allowed. */
TEST(pusher_expert_solves_it) {
    score_t s = play_many(0, EPISODES);
    CHECK_NEAR(s.sum, -5.45, 0.48);
    CHECK(s.solved >= 990, "%d of %d", s.solved, EPISODES);
    CHECK(s.steps > 30 * EPISODES && s.steps < 55 * EPISODES, "%d steps", s.steps);
}

TEST(pusher_expert_solves_it_from_anywhere) {
    score_t s = play_many(NOISE, 200);
    CHECK(s.solved >= 190, "%d of 200", s.solved);
}

TEST(pusher_random_does_not) {
    score_t s = play_many(STEPS, EPISODES);
    CHECK_NEAR(s.sum, -16.56, 0.76);
    CHECK(s.solved <= 20, "%d of %d", s.solved, EPISODES);
}

/* ---- what an episode is ---- */

TEST(pusher_declares_its_task) {
    env_t *e = open_pusher();
    const task_t *t = env_task(e);
    CHECK_STR(t->name, "pusher");
    REQUIRE(t->n_slots == 5 && t->max_steps == STEPS);
    static const char *const name[] = {"front", "top", "text", "vector", ""};
    static const slot_kind_t kind[] = {SLOT_IMAGE, SLOT_IMAGE, SLOT_TEXT, SLOT_VECTOR, SLOT_VECTOR};
    for (int i = 0; i < 5; i++) {
        CHECK_STR(t->slot[i].name, name[i]);
        CHECK(t->slot[i].kind == kind[i] && (t->slot[i].side == SIDE_ACTED) == (i == 4));
    }
    CHECK(t->slot[0].image_h == FRONT && t->slot[0].image_w == FRONT);
    CHECK(t->slot[1].image_h == TOP && t->slot[1].image_w == TOP);
    CHECK(t->slot[3].width == 4 && t->slot[4].width == 2);
    for (int i = 0; i < 2; i++) CHECK(t->slot[4].low[i] == -1 && t->slot[4].high[i] == 1);
    CHECK_NEAR(t->expert_return, -5.45, 0.01);
    CHECK_NEAR(t->random_return, -16.56, 0.01);
    env_close(e);
}

/* How many of n values lie in each fifth of [-reach, reach], against n / 5 within five standard
 * deviations. */
static void check_uniform(const char *what, const double *v, int n, double reach) {
    int count[5] = {0};
    for (int i = 0; i < n; i++) {
        CHECK(fabs(v[i]) <= reach, "%s: %g", what, v[i]);
        int fifth = (int)floor((v[i] + reach) / (2 * reach) * 5);
        count[fifth < 0 ? 0 : fifth > 4 ? 4 : fifth]++;
    }
    for (int k = 0; k < 5; k++)
        CHECK(fabs(count[k] - n * 0.2) < 5 * sqrt(n * 0.16), "%s, fifth %d: %d", what, k, count[k]);
}

TEST(pusher_starts_as_specified) {
    static double v[2][EPISODES];
    env_t *e = open_pusher();
    for (uint64_t i = 0; i < EPISODES; i++) {
        reset(e, 11, i);
        state_t s = state_of(e);
        for (int k = 0; k < 2; k++) {
            v[k][i] = s.puck[k];
            CHECK(s.pusher_v[k] == 0 && s.puck_v[k] == 0);
            CHECK(fabs(s.pusher[k]) <= 0.2 && fabs(s.goal[k]) <= 0.13);
        }
        CHECK(apart(s.puck, s.goal) >= 0.09 && apart(s.puck, s.pusher) >= 0.09);
        CHECK(s.turn == 0 && s.turn_v == 0);
    }
    check_uniform("x", v[0], EPISODES, 0.11);
    check_uniform("y", v[1], EPISODES, 0.11);
    env_close(e);
}

static void trace(env_t *e, uint64_t seed, uint64_t episode, state_t out[STEPS + 1]) {
    env_outcome_t end = {0};
    reset(e, seed, episode);
    for (int t = 0; t <= STEPS; t++) {
        out[t] = state_of(e);
        if (end.terminated || end.truncated) continue;
        env_action_t action =
            t % 3 ? expert_action(e) : random_action(5, (uint64_t)t); /* with contacts */
        end = step(e, action.vector[0], action.vector[1]);
    }
}

TEST(pusher_same_seed_same_bits) {
    static state_t a[STEPS + 1], b[STEPS + 1];
    env_t *e = open_pusher(), *other = open_pusher();
    trace(e, 1, 4, a);
    CHECK(a[0].puck[0] != a[STEPS].puck[0], "the puck moved");
    trace(other, 1, 4, b);
    CHECK(memcmp(a, b, sizeof a) == 0, "another instance");
    trace(e, 1, 5, b);
    CHECK(a[0].puck[0] != b[0].puck[0] && a[0].goal[0] != b[0].goal[0], "episodes differ");
    trace(e, 2, 4, b);
    CHECK(a[0].puck[0] != b[0].puck[0], "seeds differ");
    trace(e, 1, (UINT64_C(1) << 32) + 4, b);
    CHECK(a[0].puck[0] != b[0].puck[0], "acting's episodes, from 2^32 on");
    env_observation_t seen;
    REQUIRE(!env_observe(e, true, &seen, NULL));
    trace(e, 1, 4, b);
    CHECK(memcmp(a, b, sizeof a) == 0, "after other episodes and images");
    env_close(e);
    env_close(other);
}

TEST(pusher_reward_success_and_vector) {
    env_t *e = open_pusher();
    int solved = 0;
    for (uint64_t i = 0; i < 30; i++) {
        env_outcome_t out = {0};
        reset(e, 9, i);
        for (int t = 0; !out.terminated && !out.truncated; t++) {
            env_action_t action = i % 3 ? expert_action(e) : random_action(i, (uint64_t)t);
            out = step(e, action.vector[0], action.vector[1]);
            state_t s = state_of(e);
            double gap = fmax(0, apart(s.pusher, s.puck) - TOUCH);
            CHECK_NEAR(out.reward, -apart(s.puck, s.goal) - 0.1 * gap, 1e-6);
            CHECK(out.success == (apart(s.puck, s.goal) <= 0.03));
            CHECK(out.terminated == out.success &&
                  out.truncated == (t == STEPS - 1 && !out.success));
            env_observation_t seen;
            REQUIRE(!env_observe(e, false, &seen, NULL));
            CHECK(!seen.slot[SLOT_FRONT].rgb && !seen.slot[SLOT_TOP].rgb);
            CHECK_STR(seen.slot[SLOT_MISSION].text, "push the puck onto the goal");
            for (int k = 0; k < 2; k++) {
                CHECK_NEAR(seen.slot[SLOT_OWN].vector[k], s.pusher[k], 1e-7);
                CHECK_NEAR(seen.slot[SLOT_OWN].vector[2 + k], s.pusher_v[k], 1e-7);
            }
            solved += out.success;
        }
    }
    CHECK(solved >= 18, "%d of 20 with the expert", solved);
    env_close(e);
}

/* ---- physics ---- */

/* Drives the pusher to (x, y) as its motor can; false when it is not there within `most`
 * actions. */
static bool drive(env_t *e, double x, double y, int most) {
    for (int t = 0; t < most; t++) {
        state_t s = state_of(e);
        double to_x = x - s.pusher[0], to_y = y - s.pusher[1];
        if (hypot(to_x, to_y) < 0.002) return true;
        env_outcome_t out = step(e, 60 * to_x, 60 * to_y); /* clamped */
        if (out.terminated || out.truncated) return false;
    }
    return false;
}

TEST(pusher_moves_as_told) {
    env_t *e = open_pusher();
    int tried = 0;
    for (uint64_t i = 0; i < 20; i++) {
        reset(e, 13, i);
        state_t from = state_of(e);
        double y = from.pusher[1];
        /* A free way to the right. */
        if (from.pusher[0] > 0 || fabs(y - from.puck[1]) < 0.1) continue;
        for (int t = 0; t < 10; t++) step(e, 1, 0);
        state_t s = state_of(e);
        CHECK_NEAR(s.pusher_v[0], FASTEST, 0.005);
        CHECK_NEAR(s.pusher_v[1], 0, 1e-9);
        /* Ten actions at full speed, less what it needs to get there. */
        double way = s.pusher[0] - from.pusher[0];
        CHECK(way > 8 * FASTEST * ACTION_TIME && way < 10 * FASTEST * ACTION_TIME, "%g m", way);
        CHECK(memcmp(s.puck, from.puck, sizeof s.puck) == 0, "nothing touched the puck");
        for (int t = 0; t < 5; t++) step(e, 0, 0);
        CHECK(fabs(state_of(e).pusher_v[0]) < 0.01, "it brakes");
        for (int t = 0; t < 60; t++) step(e, 1, 0);
        CHECK(state_of(e).pusher[0] < 0.255, "the border stops it");
        tried++;
    }
    CHECK(tried >= 3, "%d", tried);
    env_close(e);
}

/* Head on, to the right: the puck goes right and nowhere else, keeps its place before it is
 * touched, and friction stops it when it is left alone. */
TEST(pusher_pushes_head_on) {
    env_t *e = open_pusher();
    int tried = 0;
    for (uint64_t i = 0; i < 200 && tried < 5; i++) {
        reset(e, 17, i);
        state_t from = state_of(e);
        /* Room behind the puck, none of its way used up by the border or the goal. */
        if (from.pusher[0] > from.puck[0] - 0.09 || from.goal[0] > from.puck[0] - 0.05 ||
            from.puck[0] > 0.06)
            continue;
        if (!drive(e, from.puck[0] - 0.09, from.puck[1], 40)) continue;
        state_t s = state_of(e);
        CHECK(memcmp(s.puck, from.puck, sizeof s.puck) == 0, "not touched yet");
        for (int t = 0; t < 10; t++) step(e, 1, 0);
        s = state_of(e);
        double pushed = s.puck[0] - from.puck[0];
        CHECK(pushed > 0.04 && pushed < 0.08, "%g m", pushed);
        CHECK(fabs(s.puck[1] - from.puck[1]) < 0.01, "%g m sideways", s.puck[1] - from.puck[1]);
        CHECK_NEAR(apart(s.pusher, s.puck), TOUCH, 0.003); /* they touch: no gap, no overlap */
        CHECK_NEAR(s.puck_v[0], s.pusher_v[0], 0.02);
        for (int t = 0; t < 6; t++) step(e, -1, 0);
        state_t rest = state_of(e);
        CHECK(fabs(rest.puck_v[0]) < 1e-3 && fabs(rest.puck_v[1]) < 1e-3, "it comes to rest");
        CHECK(rest.puck[0] >= s.puck[0] - 1e-6 && rest.puck[0] < s.puck[0] + 0.03,
              "nothing pulls it back: %g m", rest.puck[0] - s.puck[0]);
        tried++;
    }
    CHECK(tried == 5, "%d", tried);
    env_close(e);
}

/* In any play: contact pushes the puck away from the pusher, never toward it; without contact the
 * puck never gains speed; neither leaves its range; they never overlap. */
TEST(pusher_contacts_only_push) {
    env_t *e = open_pusher();
    int touched = 0;
    for (uint64_t i = 0; i < 60; i++) {
        env_outcome_t out = {0};
        reset(e, 19, i);
        for (uint64_t t = 0; !out.terminated && !out.truncated; t++) {
            state_t a = state_of(e);
            env_action_t action = t % 4 ? expert_action(e) : random_action(i, t);
            out = step(e, action.vector[0], action.vector[1]);
            state_t b = state_of(e);
            double speed_a = hypot(a.puck_v[0], a.puck_v[1]),
                   speed_b = hypot(b.puck_v[0], b.puck_v[1]), far = TOUCH + 0.011;
            if (apart(a.pusher, a.puck) > far && apart(b.pusher, b.puck) > far)
                CHECK(speed_b <= speed_a + 1e-9, "faster by itself");
            double away[2] = {b.puck[0] - b.pusher[0], b.puck[1] - b.pusher[1]};
            double gained =
                (b.puck_v[0] - a.puck_v[0]) * away[0] + (b.puck_v[1] - a.puck_v[1]) * away[1];
            if (speed_a < 1e-3 && speed_b > 0.02) {
                CHECK(gained > 0, "pulled from rest");
                touched++;
            }
            CHECK(apart(b.pusher, b.puck) > TOUCH - 0.004, "they overlap");
            for (int k = 0; k < 2; k++)
                CHECK(fabs(b.pusher[k]) < 0.255 && fabs(b.puck[k]) < 0.165, "out of range");
        }
    }
    CHECK(touched > 60, "%d pushes from rest", touched);
    env_close(e);
}

/* ---- images ---- */

typedef struct {
    double at[3], right[3], up[3], forward[3], fovy;
    int side, slot;
} camera_t;
static const camera_t cameras[2] = {
    {{0, -0.62, 0.5}, {1, 0, 0}, {0, 0.6281, 0.7781}, {0, 0.7781, -0.6281}, 42, FRONT, SLOT_FRONT},
    {{0, 0, 0.66}, {1, 0, 0}, {0, 1, 0}, {0, 0, -1}, 45, TOP, SLOT_TOP},
};

static double dot(const double a[3], const double b[3]) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* A pinhole with square pixels; the field of view is over the height. */
static void project(const camera_t *c, const double place[2], double z, double *column,
                    double *row) {
    double ray[3] = {place[0] - c->at[0], place[1] - c->at[1], z - c->at[2]};
    double focal = c->side / 2.0 / tan(c->fovy * M_PI / 360), depth = dot(ray, c->forward);
    *column = c->side / 2.0 + focal * dot(ray, c->right) / depth;
    *row = c->side / 2.0 - focal * dot(ray, c->up) / depth;
}

typedef enum { COLOR_PUCK, COLOR_GOAL, COLOR_PUSHER } color_t;

/* The tops of puck and pusher: (1, 0.2, 0.2) and (0.2, 0.6, 0.9); the goal: (0.2, 0.75, 0.3). */
static bool is_color(const uint8_t *p, color_t color) {
    switch (color) {
    case COLOR_PUCK:
        return p[0] > 230 && p[1] < 80 && p[2] < 80;
    case COLOR_GOAL:
        return p[0] < 80 && p[1] > 170 && p[2] < 100;
    default:
        return p[0] < 80 && p[1] > 130 && p[1] < 170 && p[2] > 200;
    }
}

/* Centroid of the pixels of a color; their number. */
static int find_color(const uint8_t *rgb, int side, color_t color, double *column, double *row) {
    int n = 0;
    *column = *row = 0;
    for (int i = 0; i < side * side; i++) {
        if (!is_color(rgb + 3 * i, color)) continue;
        *column += i % side + 0.5;
        *row += i / side + 0.5;
        n++;
    }
    *column /= n;
    *row /= n;
    return n;
}

/* Half a pixel for borders that are in or out; half a pixel more for perspective of discs. */
static void check_image(const camera_t *c, const uint8_t *rgb, const state_t *s) {
    static const double z[3] = {0.0265, 0.001, 0.0585};
    const double *place[3] = {s->puck, s->goal, s->pusher};
    for (color_t k = COLOR_PUCK; k <= COLOR_PUSHER; k++) {
        double column, row, want_column, want_row;
        int n = find_color(rgb, c->side, k, &column, &row);
        project(c, place[k], z[k], &want_column, &want_row);
        CHECK(n >= 6 && n <= 120, "camera %d, color %d: %d pixels", c->slot, (int)k, n);
        CHECK_NEAR(column, want_column, 1);
        CHECK_NEAR(row, want_row, 1);
    }
}

static bool all_apart(const state_t *s) {
    return apart(s->puck, s->goal) > 0.13 && apart(s->puck, s->pusher) > 0.15 &&
           apart(s->goal, s->pusher) > 0.15;
}

TEST(pusher_images_show_the_state) {
    env_t *e = open_pusher();
    int seen_apart = 0;
    for (uint64_t i = 0; i < 60; i++) {
        env_observation_t seen;
        reset(e, 21, i);
        for (int t = 0; t < 6; t++) {
            env_action_t action = random_action(i, (uint64_t)t);
            state_t s = state_of(e);
            if (all_apart(&s)) {
                REQUIRE(!env_observe(e, true, &seen, NULL));
                for (int c = 0; c < 2; c++)
                    check_image(&cameras[c], seen.slot[cameras[c].slot].rgb, &s);
                seen_apart++;
            }
            step(e, action.vector[0], action.vector[1]);
        }
    }
    CHECK(seen_apart > 60, "%d", seen_apart);
    CHECK(*env_renderer(e, NULL));
    env_close(e);
}

/* The puck alone moves between two images: only pixels near its two places change. */
TEST(pusher_images_follow_the_puck) {
    static uint8_t before[2][FRONT * FRONT * 3];
    env_t *e = open_pusher();
    int followed = 0;
    for (uint64_t i = 0; i < 10; i++) {
        env_outcome_t out = {0};
        env_observation_t seen;
        reset(e, 23, i);
        state_t first = state_of(e), s = first;
        REQUIRE(!env_observe(e, true, &seen, NULL));
        for (int c = 0; c < 2; c++)
            memcpy(before[c], seen.slot[cameras[c].slot].rgb,
                   (size_t)cameras[c].side * cameras[c].side * 3);
        while (!out.terminated && !out.truncated && apart(s.puck, first.puck) < 0.05) {
            env_action_t action = expert_action(e);
            out = step(e, action.vector[0], action.vector[1]);
            s = state_of(e);
        }
        if (apart(s.puck, first.puck) < 0.05) continue;
        REQUIRE(!env_observe(e, true, &seen, NULL));
        for (int c = 0; c < 2; c++) {
            double from[2], to[2], want[2][2];
            int side = cameras[c].side;
            find_color(before[c], side, COLOR_PUCK, &from[0], &from[1]);
            find_color(seen.slot[cameras[c].slot].rgb, side, COLOR_PUCK, &to[0], &to[1]);
            project(&cameras[c], first.puck, 0.0265, &want[0][0], &want[0][1]);
            project(&cameras[c], s.puck, 0.0265, &want[1][0], &want[1][1]);
            double moved = apart(from, to), expected = apart(want[0], want[1]);
            /* The pusher beside it may hide a part of it. */
            CHECK(fabs(moved - expected) < 2.5, "camera %d: %g pixels, %g expected", c, moved,
                  expected);
        }
        followed++;
    }
    CHECK(followed >= 8, "%d", followed);
    env_close(e);
}

TEST(pusher_few_colors) {
    env_t *e = open_pusher();
    uint32_t known[64];
    int n = 0;
    for (uint64_t i = 0; i < 10; i++) {
        env_observation_t seen;
        reset(e, 2, i);
        REQUIRE(!env_observe(e, true, &seen, NULL));
        for (int c = 0; c < 2; c++)
            for (int p = 0; p < cameras[c].side * cameras[c].side; p++) {
                const uint8_t *v = seen.slot[cameras[c].slot].rgb + 3 * p;
                uint32_t color = (uint32_t)v[0] << 16 | (uint32_t)v[1] << 8 | v[2];
                int k = 0;
                while (k < n && known[k] != color) k++;
                if (k == n && n < 64) known[n++] = color;
            }
    }
    /* Floor, table, goal, and two of puck and pusher each, within a step of rounding. */
    CHECK(n >= 7 && n <= 20, "%d colors", n);
    env_close(e);
}

TEST(pusher_clamps_and_refuses_actions) {
    env_t *e = open_pusher();
    state_t s[2];
    for (int i = 0; i < 2; i++) {
        reset(e, 1, 1);
        for (int t = 0; t < 5; t++) step(e, i ? 1e30 : 1, i ? -7 : -1);
        s[i] = state_of(e);
    }
    CHECK(memcmp(&s[0], &s[1], sizeof s[0]) == 0);
    static const float bad[3][2] = {{NAN, 0}, {0, INFINITY}, {-INFINITY, 0}};
    for (int i = 0; i < 3; i++) {
        reason_t why = {""};
        env_outcome_t out;
        reset(e, 1, 1);
        env_action_t action = {.vector = {bad[i][0], bad[i][1]}};
        CHECK(env_step(e, &action, &out, &why) == -1 && strstr(why.text, "not finite"), "%s",
              why.text);
        reset(e, 1, 1);
        step(e, 0, 0);
    }
    env_close(e);
}

#endif
