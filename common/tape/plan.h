/* plan.h - plan once, replay many: memory and schedule for one use of a tape.
 *
 * A plan is a list of values to keep and 0..n backward passes. Use (tests/examples/example_plan.c),
 * for a tape with input x, and the scalar loss of a model whose only parameter is w:
 *
 *     pass_t pass = {.root = {loss}, .n_roots = 1, .wrt = (const char *[]){"w"}, .n_wrt = 1};
 *     plan_opts_t opts = {.keep = &y, .n_keep = 1, .pass = &pass, .n_pass = 1};
 *     plan_t *plan = plan_new(tape, &opts);
 *     for (int step = 0; step < 3; step++) {
 *         memcpy(plan_data(plan, x), batch, sizeof batch);
 *         plan_forward(plan);
 *         plan_backward(plan, 0);
 *         weight[0] -= 0.1f * params_ptr(params, PARAMS_GRAD, w)[0];
 *     }
 *     float value = plan_scalar(plan, loss), first = ((float *)plan_data(plan, y))[0];
 *     plan_free(plan);
 *
 * What is promised:
 *   - An op runs backward in a pass if and only if a gradient can arrive from the pass's roots and
 *     leads to a parameter that the pass selects. Freezing is leaving a name out of `wrt`; a GAN is
 *     two passes on one tape; no pass is inference, by the same model code in a fraction of the
 *     memory.
 *   - A value lives until its last reader; backward readers count only where the op's `keeps` says
 *     so. All values share one arena. Where an op allows it (op.h), its output takes the memory of
 *     an input that ends there, and the gradient of an input that of the output.
 *   - The first writer of a gradient overwrites, later ones add. No bit of a result depends on what
 *     shares memory.
 */
#ifndef TAPE_PLAN_H
#define TAPE_PLAN_H

#include "common/tape/tape.h"

enum { PASS_ROOTS = 256 };
typedef struct {
    /* Scalars whose weighted sum is differentiated; the weights are seeds: 1, or as plan_seed
     * says. */
    var_t root[PASS_ROOTS];
    size_t n_roots;
    const char *const *wrt; /* params_match patterns of the parameters that get gradients; copied */
    size_t n_wrt;
    bool add; /* to parameter gradients (accumulation) instead of overwriting them */
} pass_t;

/* Memory that several plans share which never run at once; grows to what the largest needs. */
typedef struct {
    void *base;
    size_t bytes;
} plan_memory_t;
void plan_memory_release(plan_memory_t *m);

typedef struct {
    const var_t
        *keep; /* what the caller reads after forward; NO_VAR is passed over, roots are kept */
    size_t n_keep;
    const pass_t *pass;
    size_t n_pass;
    plan_memory_t *memory; /* borrowed; NULL: the plan owns its arena */
    bool unshared; /* tests: every buffer apart, NaN before its first use and after its last */
} plan_opts_t;

typedef struct plan plan_t;

/* Borrows the tape, which must outlive the plan and not grow any more. BUG: a root that is no
 * scalar. */
plan_t *plan_new(const tape_t *t, const plan_opts_t *o);
/* NULL is allowed. */
void plan_free(plan_t *p);
/* Bytes of the arena that the plan needs. */
size_t plan_bytes(const plan_t *p);

/* Where to write an input before a replay, or read a kept value after it; parameters and externs
 * too. Never NULL. BUG: a value that is not kept, an extern that is not bound. */
void *plan_data(plan_t *p, var_t v);
/* The first float of plan_data. */
float plan_scalar(plan_t *p, var_t v);
/* Binds an extern to the caller's memory until it is bound anew. */
void plan_bind(plan_t *p, var_t v, const void *memory);
/* Weight of a root (by its place in pass_t.root) in what the pass differentiates, from now on. */
void plan_seed(plan_t *p, size_t pass, size_t root, float seed);
/* The random key of dropout and its like, from now on: what is drawn is a function of seed,
 * optimizer step, scope path and the global number of the sample; first_sample is that of the first
 * one. */
void plan_key(plan_t *p, uint64_t seed, uint64_t step, uint64_t first_sample);
/* Overrides pass_t.add from now on. */
void plan_accumulate(plan_t *p, size_t pass, bool add);

/* Runs all ops. Inputs are undefined afterwards unless they were kept. */
void plan_forward(plan_t *p);
/* Runs a pass, after plan_forward; passes in any order, each at most once per forward. Gradients
 * are in PARAMS_GRAD. Those of selected parameters out of the pass's reach become zero, unless it
 * adds. */
void plan_backward(plan_t *p, size_t pass);

/* From now on a line per op on stderr with its milliseconds: for people hunting time. */
void plan_profile(plan_t *p, bool on);

#endif
