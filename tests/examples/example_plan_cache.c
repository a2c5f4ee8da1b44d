/* example_plan_cache.c - the use that plan_cache.h opens with. */
#include "common/tape/ops.h"
#include "common/tape/plan_cache.h"
#include "tests/test.h"

/* use of common/tape/plan_cache.h */
typedef struct {
    size_t rows; // what the recording depends on
} plan_key_t;
typedef struct {
    var_t in, out; // what the caller wants to find again
} plan_vars_t;
static void record(void *model, const void *key, plan_memory_t *memory, cached_plan_t *at) {
    plan_vars_t *vars = at->vars;
    at->tape = tape_new(model);
    vars->in = tape_input(at->tape, "in", F32_2(((const plan_key_t *)key)->rows, 3));
    vars->out = op_scale(at->tape, vars->in, 2);
    plan_opts_t opts = {.keep = &vars->out, .n_keep = 1, .memory = memory};
    at->plan = plan_new(at->tape, &opts);
}
/* end of use */

TEST(plans_by_key) {
    params_t *model = NULL;
    const float x[6] = {1, 2, 3, 4, 5, 6};
    /* use of common/tape/plan_cache.h */
    plan_cache_t *cache = plan_cache_new(8, sizeof(plan_key_t), sizeof(plan_vars_t), record);
    const cached_plan_t *at = plan_cache_get(cache, &(plan_key_t){.rows = 2}, model);
    const plan_vars_t *vars = at->vars;
    memcpy(plan_data(at->plan, vars->in), x, sizeof x);
    plan_forward(at->plan);
    const float *twice = plan_data(at->plan, vars->out);
    /* end of use */
    for (size_t i = 0; i < 6; i++) CHECK_NEAR(twice[i], 2 * x[i], 0);
    plan_cache_free(cache);
}
