/* op.h - for authors of ops: one static opdef_t per operator, data rather than code.
 *
 * The recording function (declared in ops.h) checks shapes, fills an op_spec_t and calls tape_op.
 * At replay the plan calls forward and backward with resolved pointers. An op is pure: its outputs
 * depend on inputs, attributes and the replay's random key alone; it may be replayed any number of
 * times. README.md in this folder lists the files that a new op touches.
 */
#ifndef TAPE_OP_H
#define TAPE_OP_H

#include "common/tape/tape.h"

enum { OP_IN = 12, OP_OUT = 6, OP_INTS = 16, OP_FLOATS = OP_IN };

/* Masks of an opdef_t: input or output i, and all inputs that an op may have. */
#define OP_BIT(i) (1u << (i))
#define OP_ALL (OP_BIT(OP_IN) - 1)

/* An op's constants, indexed by an enum of its file. */
typedef struct {
    int64_t i[OP_INTS];
    float f[OP_FLOATS];
    uint64_t stream; /* hash of the scope path: for random ops; set by tape_op */
} op_attr_t;

/* What a replay hands to an op. Absent inputs (NO_VAR) are NULL. */
typedef struct {
    const op_attr_t *attr;
    int n_in, n_out;
    const shape_t *in_shape[OP_IN], *out_shape[OP_OUT];
    const void *in[OP_IN];
    void *out[OP_OUT];
    /* In backward alone: */
    const float *dout[OP_OUT]; /* NULL: no gradient arrives */
    float *din[OP_IN];         /* NULL: none is wanted */
    bool add[OP_IN];           /* add to din instead of overwriting it */
    /* In both: */
    void *scratch; /* opdef_t.scratch bytes, 64-byte aligned, undefined content */
    uint64_t seed, step, first_sample; /* plan_key's */
} op_run_t;

typedef struct opdef {
    const char *name;
    void (*forward)(const op_run_t *r);
    /* NULL: no gradient flows. */
    void (*backward)(const op_run_t *r);
    /* Bytes of scratch of forward or backward, from shapes and attributes alone: pointers in r are
     * not set. NULL: 0. */
    size_t (*scratch)(const op_run_t *r, bool backward);
    /* FLOPs of forward; NULL: 0. */
    double (*flops)(const op_run_t *r);

    /* What backward reads of the inputs and outputs. The plan drops everything else after its last
     * forward reader. Bits of parameters and externs cost nothing. */
    uint32_t keeps_in, keeps_out;
    /* Inputs that can receive a gradient. */
    uint32_t grads_in;
    /* Memory that the op can do with once. Both values must have the same number of elements.
     *   over_in     out[0] may be in[i]; the plan does so where in[i] has no later reader
     *   over_dout   din[i] may be dout[0], if it is not added to
     *   same_dout   din[i] equals dout[0]: they may be one buffer while they stay equal */
    uint32_t over_in, over_dout, same_dout;
} opdef_t;

typedef struct {
    const opdef_t *def;
    op_attr_t attr;
    int n_in, n_out;
    var_t in[OP_IN]; /* NO_VAR: absent */
    shape_t out[OP_OUT];
} op_spec_t;

/* Appends the op; returns its first output, output j is the returned var + j. BUG: more inputs or
 * outputs than there is room for, or a var of no value. */
var_t tape_op(tape_t *t, const op_spec_t *spec);

/* BUG() "<scope path>: <op>: <what>: <shape a> and <shape b>". */
void tape_shape_bug(const tape_t *t, const char *op, const char *what, shape_t a, shape_t b)
    __attribute__((noreturn));

#endif
