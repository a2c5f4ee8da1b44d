/* test_dataset_top.c - the best episodes of a shard. Oracle: returns written down beside them. */
#include "tests/shard_case.h"

enum { N = 8 };
static const uint32_t steps[N] = {3, 2, 4, 1, 5, 2, 2, 6};
static const float rewards[N] = {1, -2, 7, 0.5f, 7, -9, 3, 7};

static size_t best_of(const char *path, size_t k, uint64_t *id) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(path, &c);
    size_t n = dataset_top(d, 0, 0, k, id);
    dataset_close(d);
    return n;
}

TEST(best_episodes_by_return) {
    static const uint64_t wanted[N] = {2, 4, 7, 6, 0, 3, 1, 5}; /* of equal ones the earlier */
    uint64_t id[N + 2];
    shard_spec_t s = {.codes = 4, .actions = 2, .steps = steps, .n = N, .rewards = rewards};
    const char *path = make_shard("best.lmdb", &s);
    for (size_t k = 1; k <= N; k++) {
        memset(id, 0xff, sizeof id);
        CHECK(best_of(path, k, id) == N);
        CHECK(!memcmp(id, wanted, k * sizeof *id) && id[k] == UINT64_MAX, "the best %zu", k);
    }
    CHECK(best_of(path, N + 2, id) == N && id[N] == UINT64_MAX);
}

/* Halves: returns -1, 7.5, -2 and 10; the end of each is its second half. Texts are none. */
TEST(pieces_of_an_episode_count_together) {
    static const uint64_t wanted[4] = {7, 3, 1, 5};
    uint64_t id[4];
    shard_spec_t s = {.codes = 4,
                      .actions = 2,
                      .steps = steps,
                      .n = N,
                      .rewards = rewards,
                      .halves = true,
                      .texts = 3,
                      .text_len = 5};
    CHECK(best_of(make_shard("halves.lmdb", &s), 4, id) == 4 && !memcmp(id, wanted, sizeof id));
}

static int without_rewards(void *arg) {
    uint64_t id[1];
    shard_spec_t s = {.codes = 4, .actions = 2, .steps = steps, .n = N};
    (void)arg;
    best_of(make_shard("none.lmdb", &s), 1, id);
    return 0;
}
static int some_steps(void *arg) {
    uint64_t id[1];
    shard_spec_t s = {.codes = 4,
                      .actions = 2,
                      .steps = steps,
                      .n = N,
                      .rewards = rewards,
                      .arguments = "{\"frames\":2}"};
    (void)arg;
    best_of(make_shard("some.lmdb", &s), 1, id);
    return 0;
}

TEST(returns_that_are_not_known_are_refused) {
    child_t c;
    child_run(without_rewards, NULL, &c);
    CHECK(c.code == RC_MISFIT && strstr(c.err, "has no rewards"), "%d %s", c.code, c.err);
    child_run(some_steps, NULL, &c);
    CHECK(c.code == RC_MISFIT && strstr(c.err, "returns are not known"), "%d %s", c.code, c.err);
}
