/* plan_cache.h - plans by key: recorded when first asked for, the least recently used one goes.
 *
 * A model is recorded for one set of shapes. Who meets many shapes keeps the last few plans here;
 * all of them share one arena, so only one may be between its inputs and its outputs at a time.
 *
 *     typedef struct { size_t n; } key_t;          // what the recording depends on
 *     typedef struct { var_t in, out; } vars_t;    // what the caller wants to find again
 *
 *     plan_cache_t *cache = plan_cache_new(8, sizeof(key_t), sizeof(vars_t), record);
 *     const cached_plan_t *at = plan_cache_get(cache, &key, model);
 *     memcpy(plan_data(at->plan, ((vars_t *)at->vars)->in), x, bytes);
 *     plan_forward(at->plan);
 *     plan_cache_free(cache);
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

/* The plan for `key`, recorded now if it is not there. What it returns is valid until plan_cache_get
 * records another one, plan_cache_clear or plan_cache_free. */
const cached_plan_t *plan_cache_get(plan_cache_t *cache, const void *key, void *context);
/* Forgets all plans, as is needed when memory that they are bound to moves. The arena stays. */
void plan_cache_clear(plan_cache_t *cache);

#endif
