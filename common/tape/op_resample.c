/* op_resample.c - 2x2 maximum. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

static void maxpool_forward(const op_run_t *r) {
    const size_t *d = r->in_shape[0]->dim;
    kern_maxpool2_forward(r->in[0], d[0], d[1], d[2], d[3], r->out[0]);
}
static void maxpool_backward(const op_run_t *r) {
    const size_t *d = r->in_shape[0]->dim;
    kern_maxpool2_backward(r->in[0], r->dout[0], d[0], d[1], d[2], d[3], r->din[0], r->add[0]);
}
static const opdef_t maxpool2_def = {.name = "maxpool2",
                                     .forward = maxpool_forward,
                                     .backward = maxpool_backward,
                                     .keeps_in = OP_BIT(0),
                                     .grads_in = OP_BIT(0)};

var_t op_maxpool2(tape_t *t, var_t x) {
    shape_t s = tape_shape(t, x);
    if (s.rank != 4 || s.dim[1] < 2 || s.dim[2] < 2)
        tape_shape_bug(t, "maxpool2", "needs [N,H,W,C] of 2x2 or more", s, s);
    op_spec_t spec = {.def = &maxpool2_def, .n_in = 1, .n_out = 1, .in = {x}};
    spec.out[0] = F32_4(s.dim[0], s.dim[1] / 2, s.dim[2] / 2, s.dim[3]);
    return tape_op(t, &spec);
}
