/* op.h - for authors of ops: one static opdef_t an operator, data rather than code.
 *
 * The recording function (declared in ops.h) fills an op_spec_t and calls tape_op. At replay the
 * plan calls forward and backward with resolved pointers. An op is pure: outputs depend on inputs,
 * attributes and the replay's random key only; it may be replayed any number of times.
 */
#ifndef TAPE_OP_H
#define TAPE_OP_H

#include "common/tape/tape.h"

enum { OP_IN = 12, OP_OUT = 6, OP_INTS = 16, OP_FLOATS = 4 };

/* Masks of an opdef_t: input or output i, and all inputs that an op may have. */
#define OP_BIT(i) (1u << (i))
#define OP_ALL (OP_BIT(OP_IN) - 1)

typedef struct {
    int64_t i[OP_INTS];
    float f[OP_FLOATS];
    uint64_t stream; /* hash of the scope path: for random ops */
} op_attr_t;

/* What a replay hands to an op. Absent inputs (NO_VAR) are NULL. */
typedef struct {
    const op_attr_t *attr;
    int n_in, n_out;
    const shape_t *in_shape[OP_IN], *out_shape[OP_OUT];
    const void *in[OP_IN];
    void *out[OP_OUT];
    /* backward only: */
    const float *dout[OP_OUT];         /* NULL when no gradient arrives */
    float *din[OP_IN];                 /* NULL when none is wanted */
    bool add[OP_IN];                   /* add to din instead of overwriting it */
    void *scratch;                     /* opdef.scratch bytes, 64-byte aligned, undefined content */
    uint64_t seed, step, first_sample; /* the replay's random key */
} op_run_t;

typedef struct opdef {
    const char *name;
    void (*forward)(const op_run_t *r);
    void (*backward)(const op_run_t *r); /* NULL: no gradient flows */
    /* Bytes of scratch for forward / backward, from shapes and attributes only (pointers in r are
     * not set); NULL = 0.
     */
    size_t (*scratch)(const op_run_t *r, bool backward);
    /* What backward reads: bit i = input i / output i. The plan drops everything else. Bits of
     * parameters, externs are free. */
    uint32_t keeps_in, keeps_out;
    /* Inputs that can receive a gradient. */
    uint32_t grads_in;
    /* Memory that the op can do with once; both have the same number of elements. over_in: out[0]
     * may be in[i] (the plan does so where in[i] has no later reader). over_dout: din[i] may be
     * dout[0] (where it is not added). same_dout: din[i] equals dout[0], so the two may be one
     * buffer for as long as they stay equal. */
    uint32_t over_in, over_dout, same_dout;
    /* FLOPs of forward; NULL = 0. */
    double (*flops)(const op_run_t *r);
} opdef_t;

typedef struct {
    const opdef_t *def;
    op_attr_t attr;
    int n_in, n_out;
    var_t in[OP_IN];
    shape_t out[OP_OUT];
} op_spec_t;

/* Appends the op; returns its first output, output j is the returned var + j. */
var_t tape_op(tape_t *t, const op_spec_t *spec);

/* BUG() with scope path, op name and both shapes. */
void tape_shape_bug(const tape_t *t, const char *op, const char *what, shape_t a, shape_t b)
    __attribute__((noreturn));

#endif
