/* op_norm.c - group, layer and batch normalisation: y = gamma (x - mean) rstd + beta. The
 * statistics are outputs, since backward reads them. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { X, GAMMA, BETA, N_IN };
enum { Y, MEAN, RSTD, N_OUT };
enum { EPS };          /* attr.f of all three */
enum { GROUPS, SILU }; /* attr.i of groupnorm */

#define HW(r) (shape_rows(*(r)->in_shape[X]) / (r)->in_shape[X]->dim[0])

#define ALL_IN (OP_BIT(X) | OP_BIT(GAMMA) | OP_BIT(BETA))
#define STATISTICS (OP_BIT(MEAN) | OP_BIT(RSTD))

static void groupnorm_forward(const op_run_t *r) {
    const shape_t *x = r->in_shape[X];
    kern_groupnorm_forward(r->in[X], r->in[GAMMA], r->in[BETA], x->dim[0], HW(r), shape_cols(*x),
                           (size_t)r->attr->i[GROUPS], r->attr->f[EPS], r->attr->i[SILU] != 0,
                           r->out[Y], r->out[MEAN], r->out[RSTD]);
}

static void groupnorm_backward(const op_run_t *r) {
    const shape_t *x = r->in_shape[X];
    kern_groupnorm_backward(r->in[X], r->in[GAMMA], r->in[BETA], r->out[MEAN], r->out[RSTD],
                            r->dout[Y], x->dim[0], HW(r), shape_cols(*x),
                            (size_t)r->attr->i[GROUPS], r->attr->i[SILU] != 0, r->din[X], r->add[X],
                            r->din[GAMMA], r->add[GAMMA], r->din[BETA], r->add[BETA]);
}

static const opdef_t groupnorm_def = {.name = "groupnorm",
                                      .forward = groupnorm_forward,
                                      .backward = groupnorm_backward,
                                      .keeps_in = ALL_IN,
                                      .keeps_out = STATISTICS,
                                      .grads_in = ALL_IN,
                                      .over_in = OP_BIT(X),
                                      .over_dout = OP_BIT(X)};

var_t op_groupnorm(tape_t *t, var_t x, var_t gamma, var_t beta, size_t groups, float eps,
                   bool silu) {
    shape_t sx = tape_shape(t, x);
    size_t C = shape_cols(sx);
    if (sx.rank < 2 || !groups || C % groups)
        tape_shape_bug(t, "groupnorm", "channels are no multiple of the groups", sx, F32_1(groups));
    if (tape_count(t, gamma) != C || tape_count(t, beta) != C)
        tape_shape_bug(t, "groupnorm", "x and gamma do not fit", sx, tape_shape(t, gamma));
    op_spec_t s = {.def = &groupnorm_def,
                   .n_in = N_IN,
                   .n_out = N_OUT,
                   .in = {x, gamma, beta},
                   .out = {sx, F32_2(sx.dim[0], groups), F32_2(sx.dim[0], groups)}};
    s.attr.i[GROUPS] = (int64_t)groups;
    s.attr.i[SILU] = silu;
    s.attr.f[EPS] = eps;
    return tape_op(t, &s);
}

static void layernorm_forward(const op_run_t *r) {
    const shape_t *x = r->in_shape[X];
    kern_layernorm_forward(r->in[X], r->in[GAMMA], r->in[BETA], shape_rows(*x), shape_cols(*x),
                           r->attr->f[EPS], r->out[Y], r->out[MEAN], r->out[RSTD]);
}

static void layernorm_backward(const op_run_t *r) {
    const shape_t *x = r->in_shape[X];
    kern_layernorm_backward(r->in[X], r->in[GAMMA], r->out[MEAN], r->out[RSTD], r->dout[Y],
                            shape_rows(*x), shape_cols(*x), r->din[X], r->add[X], r->din[GAMMA],
                            r->add[GAMMA], r->din[BETA], r->add[BETA]);
}

static const opdef_t layernorm_def = {.name = "layernorm",
                                      .forward = layernorm_forward,
                                      .backward = layernorm_backward,
                                      .keeps_in = OP_BIT(X) | OP_BIT(GAMMA),
                                      .keeps_out = STATISTICS,
                                      .grads_in = ALL_IN,
                                      .over_in = OP_BIT(X),
                                      .over_dout = OP_BIT(X)};

var_t op_layernorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps) {
    shape_t sx = tape_shape(t, x);
    if (tape_count(t, gamma) != shape_cols(sx) || tape_count(t, beta) != shape_cols(sx))
        tape_shape_bug(t, "layernorm", "x and gamma do not fit", sx, tape_shape(t, gamma));
    op_spec_t s = {.def = &layernorm_def,
                   .n_in = N_IN,
                   .n_out = N_OUT,
                   .in = {x, gamma, beta},
                   .out = {sx, F32_1(shape_rows(sx)), F32_1(shape_rows(sx))}};
    s.attr.f[EPS] = eps;
    return tape_op(t, &s);
}

enum { VARIANCE = N_OUT, N_BATCHNORM_OUT }; /* behind the three of all */
enum { LEAKY };                             /* attr.i of batchnorm */

static void batchnorm_forward(const op_run_t *r) {
    const shape_t *x = r->in_shape[X];
    kern_batchnorm_forward(r->in[X], r->in[GAMMA], r->in[BETA], shape_rows(*x), shape_cols(*x),
                           r->attr->f[EPS], r->attr->i[LEAKY] != 0, r->out[Y], r->out[MEAN],
                           r->out[RSTD], r->out[VARIANCE]);
}

static void batchnorm_backward(const op_run_t *r) {
    const shape_t *x = r->in_shape[X];
    kern_batchnorm_backward(r->in[X], r->in[GAMMA], r->in[BETA], r->out[MEAN], r->out[RSTD],
                            r->dout[Y], shape_rows(*x), shape_cols(*x), r->attr->i[LEAKY] != 0,
                            r->din[X], r->add[X], r->din[GAMMA], r->add[GAMMA], r->din[BETA],
                            r->add[BETA]);
}

static const opdef_t batchnorm_def = {.name = "batchnorm",
                                      .forward = batchnorm_forward,
                                      .backward = batchnorm_backward,
                                      .keeps_in = ALL_IN,
                                      .keeps_out = STATISTICS,
                                      .grads_in = ALL_IN};

batchnorm_out_t op_batchnorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps, bool leaky) {
    shape_t sx = tape_shape(t, x), sc = F32_1(shape_cols(sx));
    if (tape_count(t, gamma) != shape_cols(sx) || tape_count(t, beta) != shape_cols(sx))
        tape_shape_bug(t, "batchnorm", "x and gamma do not fit", sx, tape_shape(t, gamma));
    op_spec_t s = {.def = &batchnorm_def,
                   .n_in = N_IN,
                   .n_out = N_BATCHNORM_OUT,
                   .in = {x, gamma, beta},
                   .out = {sx, sc, sc, sc}};
    s.attr.i[LEAKY] = leaky;
    s.attr.f[EPS] = eps;
    var_t v = tape_op(t, &s);
    return (batchnorm_out_t){v + Y, tape_detach(t, v + MEAN), tape_detach(t, v + VARIANCE)};
}
