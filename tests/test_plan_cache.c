/* test_plan_cache.c - plans by key: what is recorded and forgotten when, against a list of keys
 * kept by hand; results of plans that share an arena, against sums in the test.
 */
#include "common/base/die.h"
#include "common/tape/ops.h"
#include "common/tape/plan_cache.h"
#include "tests/child.h"
#include "tests/test.h"

#include <signal.h>
#include <string.h>

enum { ROOM = 4, KEYS = 7, ASKED = 400 };

typedef struct {
    size_t rows, cols;
} shape_key_t;

typedef struct {
    var_t in, out;
    size_t rows;
} vars_t;

static size_t recorded; /* calls of record */

/* out = 3 (in + in): two ops, so that the arena holds more than one value. */
static void record(void *context, const void *key, plan_memory_t *memory, cached_plan_t *at) {
    const shape_key_t *k = key;
    vars_t *vars = at->vars;
    CHECK(vars->rows == 0, "vars are not zeroed");
    vars->rows = k->rows;
    at->tape = tape_new(context);
    vars->in = tape_input(at->tape, "in", F32_2(k->rows, k->cols));
    vars->out = op_scale(at->tape, op_add(at->tape, vars->in, vars->in), 3);
    at->plan =
        plan_new(at->tape, &(plan_opts_t){.keep = &vars->out, .n_keep = 1, .memory = memory});
    recorded++;
}

static shape_key_t key_of(size_t i) {
    return (shape_key_t){.rows = 1 + i % 3, .cols = 5 + 11 * i};
}

static void check_result(const cached_plan_t *at, const shape_key_t *k, size_t salt) {
    const vars_t *vars = at->vars;
    size_t n = k->rows * k->cols;
    CHECK(vars->rows == k->rows && tape_count(at->tape, vars->in) == n, "another key's plan");
    float *in = plan_data(at->plan, vars->in);
    for (size_t i = 0; i < n; i++) in[i] = (float)(i + salt);
    plan_forward(at->plan);
    const float *out = plan_data(at->plan, vars->out);
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) wrong += out[i] != 6 * (float)(i + salt);
    CHECK(wrong == 0, "%zu of %zu numbers", wrong, n);
}

/* Most recently used first; the last of a full list goes. Returns whether the key was there. */
static bool use_by_hand(size_t list[ROOM], size_t *n, size_t key) {
    size_t at = 0;
    while (at < *n && list[at] != key) at++;
    bool there = at < *n;
    if (!there) {
        if (*n < ROOM) ++*n;
        at = *n - 1;
    }
    memmove(list + 1, list, at * sizeof *list);
    list[0] = key;
    return there;
}

TEST(least_recently_used_goes) {
    plan_cache_t *cache = plan_cache_new(ROOM, sizeof(shape_key_t), sizeof(vars_t), record);
    size_t list[ROOM], n = 0, hits = 0;
    rng_t r = rng_make(5, "keys");
    recorded = 0;
    for (size_t i = 0; i < ASKED; i++) {
        size_t key = rng_below(r, i, KEYS);
        shape_key_t k = key_of(key);
        size_t before = recorded;
        const cached_plan_t *at = plan_cache_get(cache, &k, NULL);
        bool there = use_by_hand(list, &n, key);
        hits += there;
        CHECK(recorded - before == !there, "ask %zu, key %zu: recorded %zu times", i, key,
              recorded - before);
        check_result(at, &k, i);
    }
    CHECK(hits > ASKED / 4 && hits < ASKED * 3 / 4, "%zu hits of %d say little", hits, ASKED);
    plan_cache_free(cache);
}

TEST(keys_that_stay_keep_their_plan) {
    plan_cache_t *cache = plan_cache_new(ROOM, sizeof(shape_key_t), sizeof(vars_t), record);
    shape_key_t first = key_of(0), second = key_of(1);
    const cached_plan_t *at = plan_cache_get(cache, &first, NULL);
    const plan_t *plan = at->plan;
    const void *vars = at->vars;
    plan_cache_get(cache, &second, NULL); /* larger: the arena moves */
    at = plan_cache_get(cache, &first, NULL);
    CHECK(at->plan == plan && at->vars == vars);
    check_result(at, &first, 9);
    plan_cache_free(cache);
    plan_cache_free(NULL);
}

TEST(clear_forgets_all) {
    plan_cache_t *cache = plan_cache_new(ROOM, sizeof(shape_key_t), sizeof(vars_t), record);
    recorded = 0;
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < ROOM; i++) {
            shape_key_t k = key_of(i);
            check_result(plan_cache_get(cache, &k, NULL), &k, round + i);
        }
        CHECK(recorded == (round + 1) * ROOM, "%zu recorded in round %zu", recorded, round);
        plan_cache_clear(cache);
    }
    plan_cache_free(cache);
}

static void record_nothing(void *context, const void *key, plan_memory_t *memory,
                           cached_plan_t *at) {}

static int mistake(void *arg) {
    if (*(int *)arg == 0) plan_cache_new(0, 1, 1, record);
    plan_cache_t *cache = plan_cache_new(1, 1, 1, record_nothing);
    plan_cache_get(cache, "k", NULL);
    return 0;
}

TEST(mistakes_are_bugs) {
    static const char *const says[] = {"without room", "not recorded"};
    for (int i = 0; i < 2; i++) {
        child_t c;
        child_run(mistake, &i, &c);
        CHECK(c.code == 128 + SIGABRT && strstr(c.err, says[i]), "code %d: %s", c.code, c.err);
    }
}
