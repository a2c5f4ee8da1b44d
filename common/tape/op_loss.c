/* op_loss.c - scalars that passes start from. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

static void loss_forward(const op_run_t *r) {
    const shape_t *a = r->in_shape[0];
    kern_loss_forward((kern_loss_t)r->attr->i[0], r->in[0], r->in[1], r->in[2], shape_rows(*a),
                      shape_cols(*a), r->out[0]);
}
static void loss_backward(const op_run_t *r) {
    const shape_t *a = r->in_shape[0];
    for (int i = 0; i < 2; i++)
        if (r->din[i])
            kern_loss_backward((kern_loss_t)r->attr->i[0], r->in[i], r->in[1 - i], r->in[2],
                               shape_rows(*a), shape_cols(*a), r->dout[0][0], r->din[i], r->add[i]);
}
static const opdef_t loss_def = {.name = "loss",
                                 .forward = loss_forward,
                                 .backward = loss_backward,
                                 .keeps_in = 7,
                                 .grads_in = 1};
static const opdef_t loss2_def = {.name = "loss",
                                  .forward = loss_forward,
                                  .backward = loss_backward,
                                  .keeps_in = 7,
                                  .grads_in = 3};

var_t op_loss(tape_t *t, kern_loss_t f, var_t a, var_t target, var_t weight, bool both_sides) {
    shape_t sa = tape_shape(t, a);
    if (tape_count(t, target) != shape_count(sa))
        tape_shape_bug(t, "loss", "counts differ", sa, tape_shape(t, target));
    if (weight != NO_VAR && tape_count(t, weight) != shape_rows(sa))
        tape_shape_bug(t, "loss", "one weight a row is needed", sa, tape_shape(t, weight));
    op_spec_t s = {.def = both_sides ? &loss2_def : &loss_def,
                   .n_in = 3,
                   .n_out = 1,
                   .in = {a, target, weight},
                   .out = {F32_0()}};
    s.attr.i[0] = f;
    return tape_op(t, &s);
}

static void xent_forward(const op_run_t *r) {
    const shape_t *l = r->in_shape[0];
    kern_xent_forward(r->in[0], r->in[1], r->in[2], r->in[3], l->dim[0], l->dim[1], r->out[1],
                      r->out[0]);
}
static void xent_backward(const op_run_t *r) {
    const shape_t *l = r->in_shape[0];
    kern_xent_backward(r->in[0], r->in[1], r->in[2], r->in[3], l->dim[0], l->dim[1], r->dout[0][0],
                       r->din[0], r->add[0]);
}
static const opdef_t xent_def = {.name = "xent",
                                 .forward = xent_forward,
                                 .backward = xent_backward,
                                 .keeps_in = 15,
                                 .grads_in = 1};

static void check_range(tape_t *t, const char *op, var_t logits, var_t range) {
    shape_t l = tape_shape(t, logits), r = tape_shape(t, range);
    if (l.rank != 2 || r.type != DT_I32 || shape_count(r) != 2 * l.dim[0])
        tape_shape_bug(t, op, "one range (lo, hi) a row is needed", l, r);
}

var_t op_xent(tape_t *t, var_t logits, var_t target, var_t range, var_t weight, var_t *row) {
    check_range(t, "xent", logits, range);
    size_t n = tape_shape(t, logits).dim[0];
    if (tape_count(t, target) != n || (weight != NO_VAR && tape_count(t, weight) != n))
        tape_shape_bug(t, "xent", "one target and weight a row are needed", tape_shape(t, logits),
                       tape_shape(t, target));
    op_spec_t s = {.def = &xent_def,
                   .n_in = 4,
                   .n_out = 2,
                   .in = {logits, target, range, weight},
                   .out = {F32_0(), F32_1(n)}};
    var_t out = tape_op(t, &s);
    if (row)
        *row = tape_detach(
            t, out + 1); /* figures to report: backward reads the mean's gradient alone */
    return out;
}

static void expect_forward(const op_run_t *r) {
    const shape_t *l = r->in_shape[0];
    kern_expect_forward(r->in[0], r->in[1], l->dim[0], l->dim[1], r->out[0]);
}
static void expect_backward(const op_run_t *r) {
    const shape_t *l = r->in_shape[0];
    kern_expect_backward(r->in[0], r->in[1], r->out[0], r->dout[0], l->dim[0], l->dim[1], r->din[0],
                         r->add[0]);
}
static const opdef_t expect_def = {.name = "expect",
                                   .forward = expect_forward,
                                   .backward = expect_backward,
                                   .keeps_in = 3,
                                   .keeps_out = 1,
                                   .grads_in = 1};

var_t op_expect(tape_t *t, var_t logits, var_t range) {
    check_range(t, "expect", logits, range);
    op_spec_t s = {.def = &expect_def,
                   .n_in = 2,
                   .n_out = 1,
                   .in = {logits, range},
                   .out = {F32_1(tape_shape(t, logits).dim[0])}};
    return tape_op(t, &s);
}

static void gan_forward(const op_run_t *r) {
    kern_gan_forward((kern_gan_t)r->attr->i[0], r->in[0], shape_count(*r->in_shape[0]), r->out[0]);
}
static void gan_backward(const op_run_t *r) {
    kern_gan_backward((kern_gan_t)r->attr->i[0], r->in[0], shape_count(*r->in_shape[0]),
                      r->dout[0][0], r->din[0], r->add[0]);
}
static const opdef_t gan_def = {
    .name = "gan", .forward = gan_forward, .backward = gan_backward, .keeps_in = 1, .grads_in = 1};

var_t op_gan(tape_t *t, kern_gan_t f, var_t x) {
    op_spec_t s = {.def = &gan_def, .n_in = 1, .n_out = 1, .in = {x}, .out = {F32_0()}};
    s.attr.i[0] = f;
    return tape_op(t, &s);
}
