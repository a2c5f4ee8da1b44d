/* plan_private.h - what the parts of a plan share: plan.c builds it, plan_lifetime.c finds out when
 * each buffer is in use, plan_place.c gives it an offset, plan_replay.c runs the ops.
 *
 * Time is counted in moments. Forward, op i runs at moment i. Each pass runs the ops again, last
 * first. Behind the last pass comes the end, where the caller reads what was kept. With three ops
 * and two passes:
 *
 *     moment    0   1   2 |  3   4   5 |  6   7   8 |  9
 *     op        0   1   2 |  2   1   0 |  2   1   0 | end
 *               forward   |  pass 0    |  pass 1    |
 */
#ifndef TAPE_PLAN_PRIVATE_H
#define TAPE_PLAN_PRIVATE_H

#include "common/tape/plan.h"
#include "common/tape/tape_private.h"

enum { PLAN_ALIGN = 64, NO_BUFFER = -1 };

/* A piece of the arena for one value, gradient or scratch, from its first use to its last. */
typedef struct {
    size_t bytes, offset; /* bytes: a multiple of PLAN_ALIGN */
    long first, last;     /* moments; first < 0: never in use, takes no memory */
} buffer_t;

/* One backward pass. Values are named by their owner (tape_private.h). */
typedef struct {
    bool *runs;     /* [ops]: the op runs backward */
    bool *arrives;  /* [values]: a gradient comes here from a root of the pass */
    bool *leads;    /* [values]: a gradient here goes on to a selected parameter */
    int *gradient;  /* [values]: its buffer, which several values may share, or NO_BUFFER */
    int *scratch;   /* [ops]: buffer of the backward scratch, or NO_BUFFER */
    char **pattern; /* pass_t.wrt, copied */
    size_t n_patterns;
    var_t root[PASS_ROOTS]; /* owners */
    float seed[PASS_ROOTS];
    size_t n_roots;
    bool add; /* to parameter gradients */
} pass_plan_t;

struct plan {
    const tape_t *tape;
    buffer_t *buffer;
    size_t n_buffers, cap_buffers;
    int *value;         /* [values], by owner: buffer, or NO_BUFFER for parameters and externs */
    const void **bound; /* [values], by owner: memory of externs */
    bool *kept;         /* [values], by owner: the caller reads it at the end */
    int *scratch;       /* [ops]: buffer of the forward scratch, or NO_BUFFER */
    pass_plan_t *pass;
    size_t n_passes;
    plan_memory_t own, *memory; /* memory: own, or the caller's */
    size_t bytes;               /* of the arena that this plan needs */
    uint64_t key_seed, key_step, key_first;
    bool unshared, profile;
};

static inline long forward_moment(size_t op) {
    return (long)op;
}
static inline long backward_moment(const plan_t *plan, size_t pass, size_t op) {
    size_t n = plan->tape->n_ops;
    return (long)(n * (pass + 1) + (n - 1 - op));
}
static inline long end_moment(const plan_t *plan) {
    return (long)(plan->tape->n_ops * (plan->n_passes + 1));
}

/* The value whose memory holds v: v itself unless it is a reshape or detached. */
static inline var_t owner_of(const tape_t *tape, var_t v) {
    return v == NO_VAR ? NO_VAR : tape->value[v].owner;
}

/* Bit i of a mask of an opdef_t. */
static inline bool has_bit(uint32_t mask, int i) {
    return (mask >> i & 1) != 0;
}

/* A gradient can flow from the op into its input i: the op has one for it, and the value is neither
 * detached nor an integer. */
bool plan_input_flows(const tape_t *tape, const tape_op_t *op, int i);
/* Attributes and shapes of an op, without pointers to numbers. */
void plan_op_shapes(const tape_t *tape, const tape_op_t *op, op_run_t *run);
/* Where a buffer lies; NULL for NO_BUFFER. */
void *plan_buffer(const plan_t *plan, int buffer);
/* Where a value lies that owns its memory: arena, parameter block or the caller's. */
void *plan_value(const plan_t *plan, var_t owner);

/* Makes the buffers, with first and last use of each (plan_lifetime.c). */
void plan_lifetimes(plan_t *plan, const plan_opts_t *opts);
/* Gives every buffer in use its offset, and the plan its size (plan_place.c). */
void plan_place(plan_t *plan);

#endif
