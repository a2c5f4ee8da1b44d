/* plan.h - plan once, replay many: memory and schedule for one use of a tape.
 *
 * A plan is: outputs to keep, and 0..n backward passes. An op runs backward in a pass iff the
 * gradient can arrive from the pass's roots AND leads to a parameter that the pass selects. A value
 * lives until its last reader (backward readers count only where the op's `keeps` says so);
 * everything shares one arena. Where an op allows it (over_in, over_dout, same_dout in op.h), its
 * output takes the memory of an input that ends there, and the gradient of an input that of the
 * output. The first writer of a gradient overwrites, later ones add. No pass = inference: the same
 * model code, a fraction of the memory.
 */
#ifndef TAPE_PLAN_H
#define TAPE_PLAN_H

#include "common/tape/tape.h"

enum { PASS_ROOTS = 8 };
typedef struct {
    var_t root
        /* scalars; seeds default to 1 and can be changed before a replay (plan_seed) */
        [PASS_ROOTS];
    size_t n_roots;
    const char *const *wrt; /* patterns of params_match over parameter names; copied */
    size_t n_wrt;
    bool add; /* parameter gradients: add to what is there (accumulation) instead of overwriting */
} pass_t;

/* Memory that several plans (of different shapes, never running at once) share; grows to the
 * largest. */
typedef struct {
    void *base;
    size_t bytes;
} plan_memory_t;
void plan_memory_release(plan_memory_t *m);

typedef struct {
    const var_t
        *keep; /* values that the caller reads after forward (roots are kept by themselves) */
    size_t n_keep;
    const pass_t *pass;
    size_t n_pass;
    plan_memory_t *memory; /* NULL: the plan owns its arena */
    bool
        /* tests: every buffer apart, NaN before its first writer and after its last reader */
        unshared;
} plan_opts_t;

typedef struct plan plan_t;

plan_t *plan_new(const tape_t *t, const plan_opts_t *o); /* the tape must outlive the plan */
void plan_free(plan_t *p);
size_t plan_bytes(const plan_t *p); /* of the arena */

/* Where to write an input before a replay, or read a kept value after it. Never NULL (BUG
 * otherwise). */
void *plan_data(plan_t *p, var_t v);
float plan_scalar(plan_t *p, var_t v);
void plan_bind(plan_t *p, var_t v, const void *memory);
void plan_seed(plan_t *p, size_t pass, size_t root, float seed);
/* The random key of dropout and its like: f(seed, optimizer step, scope, first global sample
 * index). */
void plan_key(plan_t *p, uint64_t seed, uint64_t step, uint64_t first_sample);
/* Whether parameter gradients of pass i are added to (overrides pass_t.add from now on). */
void plan_accumulate(plan_t *p, size_t pass, bool add);

void plan_forward(plan_t *p);
/* After plan_forward, passes in any order, each at most once a forward. Gradients of selected
 * parameters that the pass cannot reach become zero (unless it adds). */
void plan_backward(plan_t *p, size_t pass);

/* Replay with NaN poison and per-op seconds to stderr: for people hunting bugs or time. */
void plan_profile(plan_t *p, bool on);

#endif
