/* test_env.c - the built-in environments. Oracles: forward kinematics and a pinhole projection
 * written here, the metrics measured for the reference environment, bit-equality of replays,
 * uniformity by Kolmogorov-Smirnov.
 */
#include "gato/env/env.h"
#include "tests/test.h"

#ifndef WITH_MUJOCO

TEST(env_without_mujoco_says_what_to_install) {
    int rc = RC_OK;
    reason_t why = {""};
    CHECK(!env_open(&(env_opts_t){.name = "reacher"}, &rc, &why));
    CHECK(rc == RC_RUNTIME, "%d", rc);
    CHECK_STR(why.text,
              "built without MuJoCo: install libmujoco-dev and libosmesa6-dev, then rebuild");
    SKIP("the environments' own tests (built without MuJoCo)");
}

#else

#include "common/base/rng.h"

enum { SIDE = 64, STEPS = 50, EPISODES = 1000 };

/* env_state's order */
typedef struct {
    double q0, q1, v0, v1, x, y;
} state_t;

static env_t *open_reacher(void) {
    int rc;
    reason_t why;
    env_t *e = env_open(&(env_opts_t){.name = "reacher"}, &rc, &why);
    if (!e) printf("FAIL env_open: %s\n", why.text), exit(1);
    return e;
}

static state_t state_of(const env_t *e) {
    double v[8];
    if (env_state(e, v, 8) != 6) printf("FAIL env_state has another size\n"), exit(1);
    return (state_t){v[0], v[1], v[2], v[3], v[4], v[5]};
}

static double tip_distance(state_t s) {
    double x = 0.15 * cos(s.q0) + 0.15 * cos(s.q0 + s.q1),
           y = 0.15 * sin(s.q0) + 0.15 * sin(s.q0 + s.q1);
    return sqrt((x - s.x) * (x - s.x) + (y - s.y) * (y - s.y));
}

static env_action_t random_action(uint64_t episode, size_t step) {
    env_action_t action = {0};
    rng_t r = rng_fold(rng_make(7, "test.actions"), episode);
    for (int i = 0; i < 2; i++) action.vector[i] = 2 * rng_uniform(r, 2 * step + i) - 1;
    return action;
}

static env_action_t choose(env_t *e, bool expert, uint64_t episode, size_t step) {
    env_action_t action = {0};
    if (!expert) return random_action(episode, step);
    if (env_expert(e, &action, NULL) != ENV_EXPERT) CHECK(false, "no expert");
    return action;
}

/* The three observed slots. */
static const env_value_t *find(const env_t *e, const env_observation_t *seen, const char *name) {
    int i = task_find(env_task(e), SIDE_OBSERVED, name);
    if (i < 0) printf("FAIL no slot '%s'\n", name), exit(1);
    return &seen->slot[i];
}

static const uint8_t *look(env_t *e) {
    env_observation_t seen;
    if (env_observe(e, true, &seen, NULL)) printf("FAIL env_observe\n"), exit(1);
    return find(e, &seen, "image")->rgb;
}

typedef struct {
    double ret;
    int solved;
} score_t;

static score_t play(env_t *e, bool expert, uint64_t episode) {
    score_t s = {0};
    if (env_reset(e, 3, episode, NULL)) CHECK(false, "reset");
    for (size_t t = 0; t < STEPS; t++) {
        env_action_t action = choose(e, expert, episode, t);
        env_outcome_t out;
        if (env_step(e, &action, &out, NULL)) CHECK(false, "step");
        s.ret += out.reward;
        s.solved = out.success;
    }
    return s;
}

static score_t play_many(bool expert) {
    env_t *e = open_reacher();
    score_t sum = {0};
    for (uint64_t i = 0; i < EPISODES; i++) {
        score_t s = play(e, expert, i);
        sum.ret += s.ret / EPISODES;
        sum.solved += s.solved;
    }
    env_close(e);
    return sum;
}

/* Returns have a standard deviation of 2.6 (expert) and 6.2 (random): two means of 1,000 episodes
 * differ by 0.12 and 0.28 at one standard error; four of them are allowed. */
TEST(env_reacher_expert_solves_it) {
    score_t s = play_many(true);
    CHECK_NEAR(s.ret, -4.76, 0.47);
    CHECK(s.solved >= 950, "%d of %d", s.solved, EPISODES);
}

TEST(env_reacher_random_does_not) {
    score_t s = play_many(false);
    CHECK_NEAR(s.ret, -15.9, 1.12);
    CHECK(s.solved <= 20, "%d of %d", s.solved, EPISODES);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Largest difference between the distribution of v and the uniform one on [low, high), times
 * sqrt(n): above 1.95 in one case of 1,000. */
static double uniformity(double *v, size_t n, double low, double high) {
    double worst = 0;
    qsort(v, n, sizeof *v, ascending);
    for (size_t i = 0; i < n; i++) {
        double u = (v[i] - low) / (high - low);
        if (u < 0 || u >= 1) return INFINITY;
        worst = fmax(worst, fmax(u - (double)i / n, (double)(i + 1) / n - u));
    }
    return worst * sqrt((double)n);
}

TEST(env_reacher_starts_as_specified) {
    static double v[4][EPISODES];
    env_t *e = open_reacher();
    for (uint64_t i = 0; i < EPISODES; i++) {
        REQUIRE(!env_reset(e, 11, i, NULL));
        state_t s = state_of(e);
        double angle = atan2(s.y, s.x);
        v[0][i] = s.q0;
        v[1][i] = s.q1;
        v[2][i] = hypot(s.x, s.y);
        v[3][i] = angle < 0 ? angle + 2 * M_PI : angle;
        CHECK(s.v0 == 0 && s.v1 == 0);
    }
    env_close(e);
    static const double range[4][2] = {{0, 2 * M_PI}, {-1, 1}, {0.08, 0.27}, {0, 2 * M_PI}};
    for (int k = 0; k < 4; k++) {
        double d = uniformity(v[k], EPISODES, range[k][0], range[k][1]);
        CHECK(d < 1.95, "variable %d: %g", k, d);
    }
}

static void trace(env_t *e, uint64_t seed, uint64_t episode, state_t out[STEPS + 1]) {
    if (env_reset(e, seed, episode, NULL)) CHECK(false, "reset");
    out[0] = state_of(e);
    for (size_t t = 0; t < STEPS; t++) {
        env_action_t action = random_action(5, t);
        env_outcome_t outcome;
        if (env_step(e, &action, &outcome, NULL)) CHECK(false, "step");
        out[t + 1] = state_of(e);
    }
}

TEST(env_reacher_same_seed_same_bits) {
    state_t a[STEPS + 1], b[STEPS + 1], c[STEPS + 1], d[STEPS + 1];
    env_t *e = open_reacher(), *other = open_reacher();
    trace(e, 1, 4, a);
    trace(e, 1, 5, b);
    trace(e, 2, 4, c);
    trace(other, 1, 4, d);
    CHECK(memcmp(a, d, sizeof a) == 0, "another instance");
    trace(e, 1, 4, d);
    CHECK(memcmp(a, d, sizeof a) == 0, "after other episodes");
    CHECK(a[0].x != b[0].x && a[0].q0 != b[0].q0, "episodes differ");
    CHECK(a[0].x != c[0].x && a[0].q0 != c[0].q0, "seeds differ");
    trace(e, 1, (UINT64_C(1) << 32) + 4, b);
    CHECK(a[0].x != b[0].x, "acting uses episodes from 2^32 on: never those of a recording");
    env_close(e);
    env_close(other);
}

TEST(env_reacher_reward_is_the_distance) {
    env_t *e = open_reacher();
    for (uint64_t i = 0; i < 40; i++) {
        REQUIRE(!env_reset(e, 9, i, NULL));
        for (size_t t = 0; t < STEPS; t++) {
            env_action_t action = choose(e, i & 1, i, t);
            env_outcome_t out = {.terminated = true};
            env_observation_t seen;
            REQUIRE(!env_step(e, &action, &out, NULL));
            state_t s = state_of(e);
            CHECK_NEAR(out.reward, -tip_distance(s), 1e-6); /* a float below 1 */
            CHECK(!out.terminated && out.truncated == (t == STEPS - 1), "step %zu", t);
            CHECK(out.success == (tip_distance(s) <= 0.02));
            REQUIRE(!env_observe(e, false, &seen, NULL));
            CHECK(!find(e, &seen, "image")->rgb, "an image that nobody wanted");
            CHECK_STR(find(e, &seen, "text")->text, "touch the red ball");
            const float *v = find(e, &seen, "vector")->vector;
            REQUIRE(v != NULL);
            double want[6] = {cos(s.q0), sin(s.q0), cos(s.q1), sin(s.q1), s.v0, s.v1};
            for (int k = 0; k < 6; k++) CHECK_NEAR(v[k], want[k], 1e-6 * fmax(1, fabs(want[k])));
        }
    }
    env_close(e);
}

/* A pinhole at (0, 0, 0.9) looking down, MuJoCo's default field of view of 45 degrees over the
 * height; x to the right, y up, so row 0 is the largest y. */
static void project(double x, double y, double z, double *column, double *row) {
    double focal = SIDE / 2 / tan(M_PI / 8);
    *column = SIDE / 2 + focal * x / (0.9 - z);
    *row = SIDE / 2 - focal * y / (0.9 - z);
}

static bool is_red(const uint8_t *p) {
    return p[0] > 200 && p[1] < 60 && p[2] < 60;
}
static bool is_arm(const uint8_t *p) {
    return p[2] > 100 && p[2] > p[0] + 50;
}

/* Centroid of the red pixels; their number. */
static size_t find_ball(const uint8_t *rgb, double *column, double *row) {
    size_t n = 0;
    *column = *row = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            if (is_red(rgb + (y * SIDE + x) * 3)) {
                *column += x + 0.5;
                *row += y + 0.5;
                n++;
            }
    *column /= (double)n;
    *row /= (double)n;
    return n;
}

static void check_image(const uint8_t *rgb, state_t s) {
    double column, row, c, r;
    size_t n = find_ball(rgb, &column, &row);
    project(s.x, s.y, 0.02, &c, &r);
    /* A disc of 3.5 pixels across covers 9.6 of them. Without smoothing each border pixel is in or
     * out: half a pixel for the centroid. */
    CHECK(n >= 6 && n <= 16, "%zu red pixels", n);
    CHECK_NEAR(column, c, 0.6);
    CHECK_NEAR(row, r, 0.6);
    /* Middle of both links, unless the ball lies over it. */
    double ex = 0.15 * cos(s.q0), ey = 0.15 * sin(s.q0);
    double mid[2][2] = {{ex / 2, ey / 2},
                        {ex + 0.075 * cos(s.q0 + s.q1), ey + 0.075 * sin(s.q0 + s.q1)}};
    for (int i = 0; i < 2; i++) {
        project(mid[i][0], mid[i][1], 0.015, &column, &row);
        const uint8_t *p = rgb + ((int)row * SIDE + (int)column) * 3;
        CHECK(is_arm(p) || hypot(column - c, row - r) < 3.5, "link %d: %d %d %d", i, p[0], p[1],
              p[2]);
    }
    /* Out of reach of everything. */
    CHECK(!is_red(rgb) && !is_arm(rgb), "corner");
    CHECK(memcmp(rgb, rgb + (SIDE * SIDE - 1) * 3, 3) == 0, "two corners differ");
}

TEST(env_reacher_image_shows_the_state) {
    static uint8_t rgb[SIDE * SIDE * 3];
    env_t *e = open_reacher(), *other = open_reacher();
    for (uint64_t i = 0; i < 25; i++) {
        REQUIRE(!env_reset(e, 21, i, NULL));
        for (size_t t = 0; t < STEPS; t++) {
            if (t % 12 == 0) check_image(look(e), state_of(e));
            env_action_t action = choose(e, true, i, t);
            env_outcome_t out;
            REQUIRE(!env_step(e, &action, &out, NULL));
        }
    }
    /* Two renderers side by side do not disturb each other. */
    REQUIRE(!env_reset(e, 1, 1, NULL) && !env_reset(other, 1, 2, NULL));
    memcpy(rgb, look(e), sizeof rgb);
    CHECK(memcmp(rgb, look(other), sizeof rgb) != 0);
    check_image(look(other), state_of(other));
    CHECK(memcmp(rgb, look(e), sizeof rgb) == 0);
    CHECK(*env_renderer(e, NULL));
    env_close(e);
    env_close(other);
}

/* Is the arm drawn with its elbow at (x, y) and its tip at the ball? */
static bool reaches(const uint8_t *rgb, state_t s, double x, double y) {
    double mid[2][2] = {{x / 2, y / 2}, {(x + s.x) / 2, (y + s.y) / 2}}, column, row;
    for (int i = 0; i < 2; i++) {
        project(mid[i][0], mid[i][1], 0.015, &column, &row);
        if (!is_arm(rgb + ((int)row * SIDE + (int)column) * 3)) return false;
    }
    return true;
}

/* Elbows lie where two circles of a link's length around base and ball meet. */
TEST(env_reacher_goal_is_the_tip_on_the_ball) {
    env_t *e = open_reacher();
    static uint8_t before[SIDE * SIDE * 3];
    for (uint64_t i = 0; i < 25; i++) {
        REQUIRE(!env_reset(e, 5, i, NULL));
        memcpy(before, look(e), sizeof before);
        state_t s = state_of(e), after;
        env_observation_t goal;
        REQUIRE(env_goal(e, &goal, NULL) == ENV_GOAL);
        const uint8_t *rgb = goal.slot[0].rgb;
        double c, r, column, row;
        CHECK(find_ball(rgb, &column, &row) >= 6 && !goal.slot[1].text && !goal.slot[2].vector);
        project(s.x, s.y, 0.02, &c, &r);
        CHECK_NEAR(column, c, 0.6);
        CHECK_NEAR(row, r, 0.6);
        double half = hypot(s.x, s.y) / 2, height = sqrt(0.15 * 0.15 - half * half);
        double nx = -s.y / (2 * half) * height, ny = s.x / (2 * half) * height;
        CHECK(reaches(rgb, s, s.x / 2 + nx, s.y / 2 + ny) ||
                  reaches(rgb, s, s.x / 2 - nx, s.y / 2 - ny),
              "episode %d", (int)i);
        after = state_of(e);
        CHECK(!memcmp(&s, &after, sizeof s) && !memcmp(before, look(e), sizeof before),
              "as it was");
    }
    env_close(e);
}

TEST(env_reacher_few_colors) {
    env_t *e = open_reacher();
    uint32_t seen[64];
    size_t n = 0;
    for (uint64_t i = 0; i < 10; i++) {
        REQUIRE(!env_reset(e, 2, i, NULL));
        const uint8_t *rgb = look(e);
        for (size_t p = 0; p < SIDE * SIDE; p++) {
            uint32_t color =
                (uint32_t)rgb[3 * p] << 16 | (uint32_t)rgb[3 * p + 1] << 8 | rgb[3 * p + 2];
            size_t k = 0;
            while (k < n && seen[k] != color) k++;
            if (k == n && n < 64) seen[n++] = color;
        }
    }
    CHECK(n >= 4 && n <= 16, "%zu colors: floor, two links, ball, each within one step of rounding",
          n);
    env_close(e);
}

TEST(env_reacher_clamps_actions) {
    env_t *e = open_reacher();
    static const env_action_t action[3] = {
        {.vector = {1e30f, -7}}, {.vector = {1, -1}}, {.vector = {0.5f, -0.5f}}};
    state_t s[3];
    for (int i = 0; i < 3; i++) {
        REQUIRE(!env_reset(e, 1, 1, NULL));
        env_outcome_t out;
        for (int t = 0; t < 5; t++) REQUIRE(!env_step(e, &action[i], &out, NULL));
        s[i] = state_of(e);
    }
    CHECK(memcmp(&s[0], &s[1], sizeof s[0]) == 0);
    CHECK(memcmp(&s[1], &s[2], sizeof s[0]) != 0);
    env_close(e);
}

TEST(fault_081_action_not_finite) {
    env_t *e = open_reacher();
    static const env_action_t bad[3] = {
        {.vector = {NAN, 0}}, {.vector = {0, INFINITY}}, {.vector = {-INFINITY, 0}}};
    for (int i = 0; i < 3; i++) {
        reason_t why = {""};
        env_action_t fine = {0};
        env_outcome_t out = {.success = true};
        REQUIRE(!env_reset(e, 1, 1, &why));
        CHECK(env_step(e, &bad[i], &out, &why) == -1);
        CHECK(strstr(why.text, "not finite"), "%s", why.text);
        CHECK(!out.success, "a failed episode is no success");
        CHECK(!env_reset(e, 1, 1, &why) && !env_step(e, &fine, &out, &why), "usable after a reset");
    }
    env_close(e);
}

TEST(env_reacher_declares_its_task) {
    env_t *e = open_reacher();
    const task_t *task = env_task(e);
    CHECK_STR(env_name(e), "reacher");
    CHECK_STR(task->name, "reacher");
    REQUIRE(task->kind == RECORD_EPISODE && task->n_slots == 4 && task->max_steps == STEPS);
    static const struct {
        const char *name;
        slot_kind_t kind;
        uint32_t width;
    } want[4] = {{"image", SLOT_IMAGE, 1},
                 {"text", SLOT_TEXT, 1},
                 {"vector", SLOT_VECTOR, 6},
                 {"", SLOT_VECTOR, 2}};
    for (int i = 0; i < 4; i++) {
        const slot_t *slot = &task->slot[i];
        CHECK_STR(slot->name, want[i].name);
        CHECK(slot->kind == want[i].kind && slot->width == want[i].width, "slot %d", i);
        CHECK(slot->side == (i < 3 ? SIDE_OBSERVED : SIDE_ACTED), "slot %d", i);
    }
    CHECK(task->slot[0].image_w == SIDE && task->slot[0].image_h == SIDE);
    for (int k = 0; k < 2; k++) CHECK(task->slot[3].low[k] == -1 && task->slot[3].high[k] == 1);
    CHECK(env_n_vector(task) == 2 && env_n_discrete(task) == 0);
    CHECK_NEAR(task->expert_return, -4.76, 0.47);
    CHECK_NEAR(task->random_return, -15.9, 1.12);
    CHECK(strstr(task->env, "\"id\":\"reacher-v0\"") &&
          strstr(task->env, "\"max_episode_steps\":50"));
    env_close(e);
}

TEST(env_unknown_name_is_usage) {
    int rc = RC_OK;
    reason_t why = {""};
    CHECK(!env_open(&(env_opts_t){.name = "reachr"}, &rc, &why));
    CHECK(rc == RC_USAGE, "%d", rc);
    CHECK(strstr(why.text, "'reachr'") && strstr(why.text, "'reacher'"), "%s", why.text);
}

#endif
