/* test_rollout.c - recorded episodes and the farm of worker processes. Oracles: the label is asked
 * again from a replay of the executed actions; bursts and noise are found in the recorded actions
 * and counted against their probabilities.
 */
#include "gato/play/rollout.h"
#include "gato/play/workers.h"
#include "tests/test.h"
#include <sys/wait.h>
#include <unistd.h>

enum { SQUARES = 1000 };

static void square(void *ctx, size_t i, void *block) {
    for (size_t k = 0; k < SQUARES; k++) ((uint64_t *)block)[k] = i * i + k + *(uint64_t *)ctx;
}

TEST(farm_returns_items_in_order) {
    uint64_t offset = 5, block[SQUARES];
    for (size_t workers = 1; workers <= 5; workers++)
        for (size_t items = 1; items <= 17; items += 4) {
            workers_t *f = workers_start(workers, items, sizeof block, square, &offset);
            for (size_t i = 0; i < items; i++) {
                workers_next(f, block);
                for (size_t k = 0; k < SQUARES; k++)
                    CHECK(block[k] == i * i + k + 5, "%zu workers, item %zu", workers, i);
            }
            workers_end(f);
        }
}

static void write_pid(void *ctx, size_t i, void *block) {
    *(pid_t *)block = getpid();
}

TEST(farm_works_in_so_many_processes) {
    pid_t pid[6];
    for (size_t workers = 1; workers <= 3; workers++) {
        workers_t *f = workers_start(workers, 6, sizeof pid[0], write_pid, NULL);
        for (size_t i = 0; i < 6; i++) workers_next(f, &pid[i]);
        workers_end(f);
        for (size_t i = 0; i < 6; i++)
            for (size_t k = 0; k < 6; k++)
                CHECK((pid[i] == pid[k]) == (i % workers == k % workers));
        CHECK((pid[0] == getpid()) == (workers == 1));
    }
}

static void die_at_three(void *ctx, size_t i, void *block) {
    if (i == 3) _exit(9);
}

/* The farm dies with its worker, so it lives in a child of its own here. */
TEST(fault_090_worker_dies) {
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        char block[8];
        workers_t *f = workers_start(2, 6, sizeof block, die_at_three, NULL);
        for (size_t i = 0; i < 6; i++) workers_next(f, block);
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9, "status %x", status);
}

TEST(policy_names) {
    reason_t why = {""};
    CHECK(policy_find("expert", &why) && policy_find("random", &why));
    CHECK(!policy_find("exprt", &why));
    CHECK(strstr(why.text, "'exprt'") && strstr(why.text, "expert, random"), "%s", why.text);
}

#ifdef WITH_MUJOCO

enum { EPISODES = 60, STEPS = 50, DIM = 2 };

typedef struct {
    env_t *env;
    const env_info_t *info;
    void *block;
    rollout_t r;
} stage_t;

static stage_t stage_open(void) {
    int rc;
    reason_t why;
    stage_t s = {.env = env_open("reacher", &rc, &why)};
    if (!s.env) printf("FAIL env_open: %s\n", why.text), exit(1);
    s.info = env_info(s.env);
    s.block = xaligned(rollout_bytes(s.info));
    s.r = rollout_view(s.info, s.block);
    return s;
}

static void stage_close(stage_t *s) {
    env_close(s->env);
    free(s->block);
}

static void record(stage_t *s, const char *policy, const rollout_opts_t *o, uint64_t episode) {
    rollout_play(&s->r, s->env, policy_find(policy, NULL), NULL, o, episode);
    CHECK(!s->r.head->failed && s->r.head->T == STEPS, "%s", s->r.head->why.text);
}

/* Replays the executed actions: the same rewards and observations must come, and the label must be
 * the expert's for each state. */
static void check_replay(stage_t *s, env_t *again, uint64_t seed, uint64_t episode) {
    static uint8_t rgb[64 * 64 * 3];
    double sum = 0;
    REQUIRE(!env_reset(again, seed, episode, NULL));
    for (size_t t = 0; t <= STEPS; t++) {
        float vector[6], label[DIM], reward;
        REQUIRE(!env_observe(again, rgb, vector, NULL));
        CHECK(memcmp(vector, s->r.vector + t * 6, sizeof vector) == 0, "vector of step %zu", t);
        CHECK(memcmp(rgb, s->r.rgb + t * sizeof rgb, sizeof rgb) == 0, "image of step %zu", t);
        if (t == STEPS) break;
        REQUIRE(!env_expert(again, label));
        CHECK(memcmp(label, s->r.expert + t * DIM, sizeof label) == 0, "label of step %zu", t);
        REQUIRE(!env_step(again, s->r.action + t * DIM, &reward, NULL, NULL, NULL));
        CHECK(reward == s->r.reward[t]);
        CHECK(!s->r.terminated[t] && s->r.truncated[t] == (t == STEPS - 1));
        sum += reward;
    }
    CHECK_NEAR(s->r.head->ret, sum, 1e-12);
    CHECK(s->r.head->success == env_success(again));
}

TEST(rollout_label_is_the_clean_expert) {
    stage_t s = stage_open(), other = stage_open();
    rollout_opts_t o = {.seed = 4, .burst = 0.05, .noise = 0.3, .noise_episodes = 0.5};
    for (uint64_t i = 0; i < 6; i++) {
        record(&s, i == 5 ? "random" : "expert", &o, i);
        check_replay(&s, other.env, 4, i);
    }
    stage_close(&s);
    stage_close(&other);
}

TEST(rollout_undisturbed_expert_executes_its_label) {
    stage_t s = stage_open();
    rollout_opts_t o = {.seed = 4, .noise = 0.3};
    for (uint64_t i = 0; i < 4; i++) {
        record(&s, "expert", &o, i);
        CHECK(memcmp(s.r.action, s.r.expert, STEPS * DIM * sizeof(float)) == 0);
    }
    stage_close(&s);
}

/* A burst shows as a run of one same action that is not the label. Its length is 3 to 8, cut by the
 * episode's end. */
TEST(rollout_bursts) {
    stage_t s = stage_open();
    rollout_opts_t o = {.seed = 8, .burst = 0.05};
    size_t starts = 0, calm = 0, lengths[9] = {0};
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < EPISODES; i++) {
        record(&s, "expert", &o, i);
        for (size_t t = 0; t < STEPS;) {
            const float *a = s.r.action + t * DIM;
            size_t n = 1;
            if (memcmp(a, s.r.expert + t * DIM, DIM * sizeof(float)) == 0) {
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
    stage_close(&s);
}

/* Only labels near 0 tell about sigma: the others are clamped after the noise. 0.3 reaches 1 at
 * three standard deviations. */
TEST(rollout_noise) {
    stage_t s = stage_open();
    rollout_opts_t o = {.seed = 8, .noise = 0.3, .noise_episodes = 0.5};
    size_t noisy = 0, n = 0;
    double squares = 0;
    for (uint64_t i = 0; i < EPISODES; i++) {
        record(&s, "expert", &o, i);
        if (memcmp(s.r.action, s.r.expert, STEPS * DIM * sizeof(float)) == 0) continue;
        noisy++;
        for (size_t k = 0; k < STEPS * DIM; k++) {
            CHECK(fabsf(s.r.action[k]) <= 1, "executed actions are within bounds");
            double d = s.r.action[k] - s.r.expert[k];
            if (d * s.r.expert[k] >= 0) continue;
            squares += d * d;
            n++;
        }
    }
    for (uint64_t i = 0; i < 8; i++) {
        rollout_opts_t every = {.seed = 8, .noise = 0.3, .noise_episodes = 1};
        record(&s, "expert", &every, i);
        CHECK(memcmp(s.r.action, s.r.expert, STEPS * DIM * sizeof(float)) != 0,
              "episode %d is calm", (int)i);
    }
    CHECK(fabs(noisy - 0.5 * EPISODES) < 4 * sqrt(0.25 * EPISODES), "%zu noisy episodes", noisy);
    double sigma = sqrt(squares / (double)n);
    CHECK(fabs(sigma - 0.3) < 4 * 0.3 / sqrt(2.0 * n), "sigma %g of %zu", sigma, n);
    stage_close(&s);
}

TEST(rollout_random_is_uniform) {
    stage_t s = stage_open();
    rollout_opts_t o = {.seed = 8};
    double sum = 0, squares = 0, n = 10 * STEPS * DIM;
    for (uint64_t i = 0; i < 10; i++) {
        record(&s, "random", &o, i);
        for (size_t k = 0; k < STEPS * DIM; k++)
            sum += s.r.action[k], squares += s.r.action[k] * s.r.action[k];
    }
    CHECK_NEAR(sum / n, 0, 4 * sqrt(1 / 3.0 / n));
    CHECK_NEAR(squares / n, 1 / 3.0, 4 * sqrt(4 / 45.0 / n));
    stage_close(&s);
}

#else

TEST(rollout_needs_an_environment) {
    printf("skipped: rollouts (built without MuJoCo)\n");
}

#endif
