/* plan_cache.h - plans by key: recorded when first asked for, the least recently used one goes.
 *
 * A model is recorded for one set of shapes. Who meets many shapes keeps the last few plans here.
 * All of them share one arena, so only one may be between its inputs and its outputs at a time. Use
 * (tests/examples/example_plan_cache.c):
 *
 *     typedef struct {
 *         size_t rows; // what the recording depends on
 *     } plan_key_t;
 *     typedef struct {
 *         var_t in, out; // what the caller wants to find again
 *     } plan_vars_t;
 *     static void record(void *model, const void *key, plan_memory_t *memory, cached_plan_t *at) {
 *         plan_vars_t *vars = at->vars;
 *         at->tape = tape_new(model);
 *         vars->in = tape_input(at->tape, "in", F32_2(((const plan_key_t *)key)->rows, 3));
 *         vars->out = op_scale(at->tape, vars->in, 2);
 *         plan_opts_t opts = {.keep = &vars->out, .n_keep = 1, .memory = memory};
 *         at->plan = plan_new(at->tape, &opts);
 *     }
 *
 *     plan_cache_t *cache = plan_cache_new(8, sizeof(plan_key_t), sizeof(plan_vars_t), record);
 *     const cached_plan_t *at = plan_cache_get(cache, &(plan_key_t){.rows = 2}, model);
 *     const plan_vars_t *vars = at->vars;
 *     memcpy(plan_data(at->plan, vars->in), x, sizeof x);
 *     plan_forward(at->plan);
 *     const float *twice = plan_data(at->plan, vars->out);
 */
#ifndef TAPE_PLAN_CACHE_H
#define TAPE_PLAN_CACHE_H

#include "common/tape/plan.h"

typedef struct plan_cache plan_cache_t;

/* One recorded model. The cache owns all three and frees them when it forgets the key. */
typedef struct {
    tape_t *tape;
    plan_t *plan;
    void *vars; /* the caller's, vars_bytes, zeroed before recording; never moves */
} cached_plan_t;

/* Records the model for `key`: makes at->tape and, over `memory`, at->plan; fills at->vars.
 * context: as given to plan_cache_get. */
typedef void (*plan_record_t)(void *context, const void *key, plan_memory_t *memory,
                              cached_plan_t *at);

/* A cache of at most `capacity` (>= 1) plans. Keys are compared as key_bytes bytes: a key that is a
 * struct must have no padding, or have it zeroed. */
plan_cache_t *plan_cache_new(size_t capacity, size_t key_bytes, size_t vars_bytes,
                             plan_record_t record);
/* NULL is allowed. */
void plan_cache_free(plan_cache_t *cache);

/* The plan for `key`, recorded now if it is not there. What it returns is valid until
 * plan_cache_get records another one, plan_cache_clear or plan_cache_free. */
const cached_plan_t *plan_cache_get(plan_cache_t *cache, const void *key, void *context);
/* Forgets all plans, as is needed when memory that they are bound to moves. The arena stays. */
void plan_cache_clear(plan_cache_t *cache);

#endif
