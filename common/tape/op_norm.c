/* op_norm.c - group, layer and batch normalisation. Statistics are outputs 1 and 2, kept for
 * backward. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#define HW(r) (shape_rows(*(r)->in_shape[0]) / (r)->in_shape[0]->dim[0])

static void groupnorm_forward(const op_run_t *r) {
    const shape_t *x = r->in_shape[0];
    kern_groupnorm_forward(r->in[0], r->in[1], r->in[2], x->dim[0], HW(r), shape_cols(*x),
                           (size_t)r->attr->i[0], r->attr->f[0], r->attr->i[1] != 0, r->out[0],
                           r->out[1], r->out[2]);
}

static void groupnorm_backward(const op_run_t *r) {
    const shape_t *x = r->in_shape[0];
    kern_groupnorm_backward(r->in[0], r->in[1], r->in[2], r->out[1], r->out[2], r->dout[0],
                            x->dim[0], HW(r), shape_cols(*x), (size_t)r->attr->i[0],
                            r->attr->i[1] != 0, r->din[0], r->add[0], r->din[1], r->add[1],
                            r->din[2], r->add[2]);
}

static const opdef_t groupnorm_def = {.name = "groupnorm",
                                      .forward = groupnorm_forward,
                                      .backward = groupnorm_backward,
                                      .keeps_in = 7,
                                      .keeps_out = 6,
                                      .grads_in = 7,
                                      .over_in = 1,
                                      .over_dout = 1};

var_t op_groupnorm(tape_t *t, var_t x, var_t gamma, var_t beta, size_t groups, float eps,
                   bool silu) {
    shape_t sx = tape_shape(t, x);
    size_t C = shape_cols(sx);
    if (sx.rank < 2 || !groups || C % groups)
        tape_shape_bug(t, "groupnorm", "channels are no multiple of the groups", sx, F32_1(groups));
    if (tape_count(t, gamma) != C || tape_count(t, beta) != C)
        tape_shape_bug(t, "groupnorm", "x and gamma do not fit", sx, tape_shape(t, gamma));
    op_spec_t s = {.def = &groupnorm_def,
                   .n_in = 3,
                   .n_out = 3,
                   .in = {x, gamma, beta},
                   .out = {sx, F32_2(sx.dim[0], groups), F32_2(sx.dim[0], groups)}};
    s.attr.i[0] = (int64_t)groups;
    s.attr.i[1] = silu;
    s.attr.f[0] = eps;
    return tape_op(t, &s);
}

static void layernorm_forward(const op_run_t *r) {
    const shape_t *x = r->in_shape[0];
    kern_layernorm_forward(r->in[0], r->in[1], r->in[2], shape_rows(*x), shape_cols(*x),
                           r->attr->f[0], r->out[0], r->out[1], r->out[2]);
}

static void layernorm_backward(const op_run_t *r) {
    const shape_t *x = r->in_shape[0];
    kern_layernorm_backward(r->in[0], r->in[1], r->out[1], r->out[2], r->dout[0], shape_rows(*x),
                            shape_cols(*x), r->din[0], r->add[0], r->din[1], r->add[1], r->din[2],
                            r->add[2]);
}

static const opdef_t layernorm_def = {.name = "layernorm",
                                      .forward = layernorm_forward,
                                      .backward = layernorm_backward,
                                      .keeps_in = 3,
                                      .keeps_out = 6,
                                      .grads_in = 7,
                                      .over_in = 1,
                                      .over_dout = 1};

var_t op_layernorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps) {
    shape_t sx = tape_shape(t, x);
    if (tape_count(t, gamma) != shape_cols(sx) || tape_count(t, beta) != shape_cols(sx))
        tape_shape_bug(t, "layernorm", "x and gamma do not fit", sx, tape_shape(t, gamma));
    op_spec_t s = {.def = &layernorm_def,
                   .n_in = 3,
                   .n_out = 3,
                   .in = {x, gamma, beta},
                   .out = {sx, F32_1(shape_rows(sx)), F32_1(shape_rows(sx))}};
    s.attr.f[0] = eps;
    return tape_op(t, &s);
}

static void batchnorm_forward(const op_run_t *r) {
    const shape_t *x = r->in_shape[0];
    kern_batchnorm_forward(r->in[0], r->in[1], r->in[2], shape_rows(*x), shape_cols(*x),
                           r->attr->f[0], r->attr->i[0] != 0, r->out[0], r->out[1], r->out[2],
                           r->out[3]);
}

static void batchnorm_backward(const op_run_t *r) {
    const shape_t *x = r->in_shape[0];
    kern_batchnorm_backward(r->in[0], r->in[1], r->in[2], r->out[1], r->out[2], r->dout[0],
                            shape_rows(*x), shape_cols(*x), r->attr->i[0] != 0, r->din[0],
                            r->add[0], r->din[1], r->add[1], r->din[2], r->add[2]);
}

static const opdef_t batchnorm_def = {.name = "batchnorm",
                                      .forward = batchnorm_forward,
                                      .backward = batchnorm_backward,
                                      .keeps_in = 7,
                                      .keeps_out = 6,
                                      .grads_in = 7};

batchnorm_out_t op_batchnorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps, bool leaky) {
    shape_t sx = tape_shape(t, x), sc = F32_1(shape_cols(sx));
    if (tape_count(t, gamma) != shape_cols(sx) || tape_count(t, beta) != shape_cols(sx))
        tape_shape_bug(t, "batchnorm", "x and gamma do not fit", sx, tape_shape(t, gamma));
    op_spec_t s = {.def = &batchnorm_def,
                   .n_in = 3,
                   .n_out = 4,
                   .in = {x, gamma, beta},
                   .out = {sx, sc, sc, sc}};
    s.attr.i[0] = leaky;
    s.attr.f[0] = eps;
    var_t v = tape_op(t, &s);
    return (batchnorm_out_t){v, tape_detach(t, v + 1), tape_detach(t, v + 3)};
}
