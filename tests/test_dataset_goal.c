/* test_dataset_goal.c - goals by hindsight. Oracle: codes that count: those of step t of record i are
 * i + t, so a goal says which step it is. */
#include "gato/model/layout.h"
#include "tests/shard_case.h"

static const shard_spec_t counted = {
    .codes = 64, .actions = 2, .steps = thirty, .n = 30, .counted = true};

/* 2 x 4 codes + 1 number + separator + 2 actions: 12 tokens, 5 steps in 60. */
static gato_config_t with_goals(goal_t goal, int64_t ahead, double share) {
    gato_config_t c = narrow();
    c.model.context = 60;
    c.data.goal = goal;
    c.data.goal_ahead = ahead;
    c.data.goal_share = share;
    return c;
}

/* Checks the goals of a sequence, `ahead` steps on (0: the last). Returns how many there are. */
static size_t check_goals(const gato_model_t *m, const sequence_t *w, uint32_t ahead) {
    reason_t why;
    batch_t b;
    size_t seen = 0;
    int goal = task_find(&m->tasks.v[0], SIDE_OBSERVED, "goal");
    uint32_t r = record_of(w), last = thirty[r] - 1;
    batch_init(&b, m);
    batch_clear(&b, true, 1, 0);
    if (sequence_add(&b, w, &why)) CHECK(false, "%s", why.text);
    for (size_t i = 0; i < w->n_steps; i++) {
        const uint32_t *codes = b.place[i].data.slot[goal].codes;
        uint32_t at = w->step[i] + ahead;
        if (!ahead || at > last) at = last;
        CHECK(b.place[i].count[goal] == (codes ? 4 : 0));
        for (int j = 0; codes && j < 4; j++)
            CHECK(codes[j] == r + at, "record %u, step %u: %u", r, w->step[i], codes[j]);
        seen += codes != NULL;
    }
    batch_release(&b);
    return seen;
}

static gato_model_t *model_of(const gato_config_t *c, const dataset_t *d) {
    return gato_model_new(c, dataset_vocabulary(d), dataset_tasks(d), 1);
}

static void check_kind(goal_t goal, uint32_t ahead) {
    gato_config_t c = with_goals(goal, ahead, 1);
    dataset_t *d = open_one(make_shard("goal.lmdb", &counted), &c);
    const task_t *task = &dataset_tasks(d)->v[0];
    int k = task_find(task, SIDE_OBSERVED, "goal");
    REQUIRE(k == 1 && task->slot[k].kind == SLOT_IMAGE && layout_goal(&c, task) == 1);
    CHECK(task->slot[k].grid_h == 2 && task->slot[k].image_w == 16);
    CHECK(dataset_window(d, 0) == 5, "the window counts it");
    gato_model_t *m = model_of(&c, d);
    for (uint64_t step = 0; step < 12; step++)
        for (size_t i = 0; i < 8; i++) {
            sequence_t w;
            dataset_sample(d, 3, step, i, 8, &w); /* two of eight with a prompt */
            CHECK(check_goals(m, &w, goal == GOAL_END ? 0 : ahead) == w.n_steps);
            sequence_release(&w);
        }
    for (size_t i = 0; i < dataset_sequences(d, 0, ALL, SIDE_VAL); i++) {
        sequence_t w;
        dataset_sequence(d, 0, ALL, SIDE_VAL, i, &w);
        CHECK(check_goals(m, &w, goal == GOAL_END ? 0 : ahead) == w.n_steps);
        sequence_release(&w);
    }
    gato_model_free(m);
    dataset_close(d);
}

TEST(goals_are_the_end) {
    check_kind(GOAL_END, 10);
}

TEST(goals_are_steps_ahead_up_to_the_end) {
    static const uint32_t ahead[] = {1, 4, 39, 1000};
    for (int i = 0; i < 4; i++) check_kind(GOAL_AHEAD, ahead[i]);
}

/* 2,000 draws: a share lies within five standard deviations; whole sequences have it or miss it. */
TEST(goals_are_left_out_by_share) {
    gato_config_t c = with_goals(GOAL_END, 10, 0.3);
    dataset_t *d = open_one(make_shard("share.lmdb", &counted), &c);
    gato_model_t *m = model_of(&c, d);
    size_t with = 0;
    for (uint64_t step = 0; step < 250; step++)
        for (size_t i = 0; i < 8; i++) {
            sequence_t w;
            dataset_sample(d, 3, step, i, 8, &w);
            size_t n = check_goals(m, &w, 0);
            CHECK(n == 0 || n == w.n_steps);
            with += n > 0;
            sequence_release(&w);
        }
    CHECK(fabs((double)with - 600) < 5 * sqrt(2000 * 0.3 * 0.7), "%zu of 2000", with);
    for (size_t i = 0; i < dataset_sequences(d, 0, ALL, SIDE_ALL); i++) {
        sequence_t w;
        dataset_sequence(d, 0, ALL, SIDE_ALL, i, &w);
        CHECK(check_goals(m, &w, 0) == w.n_steps, "held-out metrics always have it");
        sequence_release(&w);
    }
    gato_model_free(m);
    dataset_close(d);
}

/* A policy keeps its slot where data.goal is off: it is missing. */
TEST(goals_of_a_policy_can_be_left_out) {
    gato_config_t c = with_goals(GOAL_END, 10, 1);
    const char *path = make_shard("off.lmdb", &counted);
    dataset_t *d = open_one(path, &c);
    gato_model_t *m = model_of(&c, d);
    c.data.goal = GOAL_NONE;
    dataset_t *off =
        dataset_open(&(cli_list_t){&path, 1, 1}, &c,
                     &(dataset_opts_t){.tasks = &m->tasks, .vocabulary = &m->vocabulary});
    sequence_t w;
    dataset_sequence(off, 0, ALL, SIDE_ALL, 0, &w);
    CHECK(check_goals(m, &w, 0) == 0);
    sequence_release(&w);
    dataset_close(off);
    gato_model_free(m);
    dataset_close(d);
}
