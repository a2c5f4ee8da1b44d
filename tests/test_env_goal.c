/* test_env_goal.c - the images of a goal. Oracle: the environment itself, played on by its expert: a
 * goal shows what it shows last. Of the arm: test_env.c (geometry); of a child: test_wire.c. */
#include "common/base/rng.h"
#include "gato/env/env.h"
#include "tests/test.h"

enum { STATE = 160 };

static size_t pixels(const slot_t *slot) {
    return slot->kind == SLOT_IMAGE ? (size_t)slot->image_h * slot->image_w * 3 : 0;
}

static void compare(const task_t *task, uint8_t *const *goal, const env_observation_t *seen,
                    uint64_t episode) {
    for (uint32_t k = 0; k < task->n_slots; k++)
        if (goal[k])
            CHECK(!memcmp(goal[k], seen->slot[k].rgb, pixels(&task->slot[k])), "%s, episode %d: %s",
                  task->name, (int)episode, task->slot[k].name);
}

static void clear(uint8_t **goal) {
    for (int k = 0; k < TASK_SLOTS; k++) {
        free(goal[k]);
        goal[k] = NULL;
    }
}

/* Copies of the images of the goal, of which there is one for each camera. */
static void ask(env_t *e, uint8_t **goal) {
    const task_t *task = env_task(e);
    static double before[STATE], after[STATE];
    env_observation_t seen;
    size_t n = env_state(e, before, STATE);
    REQUIRE(env_goal(e, &seen, NULL) == ENV_GOAL);
    for (uint32_t k = 0; k < task->n_slots; k++) {
        CHECK(!seen.slot[k].text && !seen.slot[k].vector && !seen.slot[k].discrete);
        CHECK(!seen.slot[k].rgb == !pixels(&task->slot[k]));
        goal[k] = pixels(&task->slot[k]) ? xmalloc(pixels(&task->slot[k])) : NULL;
        if (goal[k]) memcpy(goal[k], seen.slot[k].rgb, pixels(&task->slot[k]));
    }
    CHECK(env_state(e, after, STATE) == n && !memcmp(before, after, n * sizeof *before));
}

/* Asked at the start of even episodes, after an action of others. */
static void ends_as_its_expert(const char *name, uint64_t episodes) {
    int rc;
    uint8_t *goal[TASK_SLOTS] = {0};
    env_t *e = env_open(&(env_opts_t){.name = name}, &rc, NULL);
    REQUIRE(e, "%s", name);
    for (uint64_t i = 0; i < episodes; i++) {
        env_observation_t seen;
        env_outcome_t out = {0};
        REQUIRE(!env_reset(e, 6, i, NULL));
        clear(goal);
        for (size_t t = 0; !out.terminated && !out.truncated; t++) {
            env_action_t action;
            if (t == i % 2) ask(e, goal);
            REQUIRE(env_expert(e, &action, NULL) == ENV_EXPERT);
            REQUIRE(!env_step(e, &action, &out, NULL));
        }
        REQUIRE(out.success && !env_observe(e, true, &seen, NULL));
        compare(env_task(e), goal, &seen, i);
    }
    clear(goal);
    env_close(e);
}

TEST(grid_goal_is_how_the_expert_ends) {
    ends_as_its_expert("grid", 20);
}

TEST(pusher_goal_is_how_the_expert_ends) {
#ifdef WITH_MUJOCO
    ends_as_its_expert("pusher", 6);
#else
    SKIP("pusher (built without MuJoCo)");
#endif
}
