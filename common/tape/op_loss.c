/* op_loss.c - scalars that passes start from. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { FUNCTION }; /* attr.i of loss and gan: kern_loss_t, kern_gan_t */

/* ---- distance of two matrices ---- */

enum { A, TARGET, ROW_WEIGHT, N_LOSS_IN };

static void loss_forward(const op_run_t *r) {
    const shape_t *a = r->in_shape[A];
    kern_loss_forward((kern_loss_t)r->attr->i[FUNCTION], r->in[A], r->in[TARGET], r->in[ROW_WEIGHT],
                      shape_rows(*a), shape_cols(*a), r->out[0]);
}
/* All distances are symmetric: the target's gradient is that of a, with the two exchanged. */
static void loss_backward(const op_run_t *r) {
    const shape_t *a = r->in_shape[A];
    kern_loss_t function = (kern_loss_t)r->attr->i[FUNCTION];
    for (int i = A; i <= TARGET; i++) {
        int other = i == A ? TARGET : A;
        if (r->din[i])
            kern_loss_backward(function, r->in[i], r->in[other], r->in[ROW_WEIGHT], shape_rows(*a),
                               shape_cols(*a), r->dout[0][0], r->din[i], r->add[i]);
    }
}
static const opdef_t loss_def = {.name = "loss",
                                 .forward = loss_forward,
                                 .backward = loss_backward,
                                 .keeps_in = OP_BIT(A) | OP_BIT(TARGET) | OP_BIT(ROW_WEIGHT),
                                 .grads_in = OP_BIT(A)};
static const opdef_t both_sides_def = {.name = "loss",
                                       .forward = loss_forward,
                                       .backward = loss_backward,
                                       .keeps_in = OP_BIT(A) | OP_BIT(TARGET) | OP_BIT(ROW_WEIGHT),
                                       .grads_in = OP_BIT(A) | OP_BIT(TARGET)};

var_t op_loss(tape_t *t, kern_loss_t f, var_t a, var_t target, var_t weight, bool both_sides) {
    shape_t sa = tape_shape(t, a);
    if (tape_count(t, target) != shape_count(sa))
        tape_shape_bug(t, "loss", "counts differ", sa, tape_shape(t, target));
    if (weight != NO_VAR && tape_count(t, weight) != shape_rows(sa))
        tape_shape_bug(t, "loss", "one weight a row is needed", sa, tape_shape(t, weight));
    op_spec_t s = {.def = both_sides ? &both_sides_def : &loss_def,
                   .n_in = N_LOSS_IN,
                   .n_out = 1,
                   .in = {a, target, weight},
                   .out = {F32_0()}};
    s.attr.i[FUNCTION] = f;
    return tape_op(t, &s);
}

/* ---- cross entropy and expectation over a range of each row ---- */

enum { LOGITS, LABEL, RANGE, LABEL_WEIGHT, N_XENT_IN };
enum { MEAN_LOSS, ROW_LOSS, N_XENT_OUT };

static void xent_forward(const op_run_t *r) {
    const shape_t *l = r->in_shape[LOGITS];
    kern_xent_forward(r->in[LOGITS], r->in[LABEL], r->in[RANGE], r->in[LABEL_WEIGHT], l->dim[0],
                      l->dim[1], r->out[ROW_LOSS], r->out[MEAN_LOSS]);
}
static void xent_backward(const op_run_t *r) {
    const shape_t *l = r->in_shape[LOGITS];
    kern_xent_backward(r->in[LOGITS], r->in[LABEL], r->in[RANGE], r->in[LABEL_WEIGHT], l->dim[0],
                       l->dim[1], r->dout[MEAN_LOSS][0], r->din[LOGITS], r->add[LOGITS]);
}
static const opdef_t xent_def = {.name = "xent",
                                 .forward = xent_forward,
                                 .backward = xent_backward,
                                 .keeps_in = OP_BIT(LOGITS) | OP_BIT(LABEL) | OP_BIT(RANGE) |
                                             OP_BIT(LABEL_WEIGHT),
                                 .grads_in = OP_BIT(LOGITS)};

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
                   .n_in = N_XENT_IN,
                   .n_out = N_XENT_OUT,
                   .in = {logits, target, range, weight},
                   .out = {F32_0(), F32_1(n)}};
    var_t out = tape_op(t, &s);
    /* For reports: backward reads the mean's gradient alone. */
    if (row) *row = tape_detach(t, out + ROW_LOSS);
    return out + MEAN_LOSS;
}

enum { EXPECT_LOGITS, EXPECT_RANGE, N_EXPECT_IN };

static void expect_forward(const op_run_t *r) {
    const shape_t *l = r->in_shape[EXPECT_LOGITS];
    kern_expect_forward(r->in[EXPECT_LOGITS], r->in[EXPECT_RANGE], l->dim[0], l->dim[1], r->out[0]);
}
static void expect_backward(const op_run_t *r) {
    const shape_t *l = r->in_shape[EXPECT_LOGITS];
    kern_expect_backward(r->in[EXPECT_LOGITS], r->in[EXPECT_RANGE], r->out[0], r->dout[0],
                         l->dim[0], l->dim[1], r->din[EXPECT_LOGITS], r->add[EXPECT_LOGITS]);
}
static const opdef_t expect_def = {.name = "expect",
                                   .forward = expect_forward,
                                   .backward = expect_backward,
                                   .keeps_in = OP_BIT(EXPECT_LOGITS) | OP_BIT(EXPECT_RANGE),
                                   .keeps_out = OP_BIT(0),
                                   .grads_in = OP_BIT(EXPECT_LOGITS)};

var_t op_expect(tape_t *t, var_t logits, var_t range) {
    check_range(t, "expect", logits, range);
    op_spec_t s = {.def = &expect_def,
                   .n_in = N_EXPECT_IN,
                   .n_out = 1,
                   .in = {logits, range},
                   .out = {F32_1(tape_shape(t, logits).dim[0])}};
    return tape_op(t, &s);
}

/* ---- a discriminator's logits ---- */

static void gan_forward(const op_run_t *r) {
    kern_gan_forward((kern_gan_t)r->attr->i[FUNCTION], r->in[0], shape_count(*r->in_shape[0]),
                     r->out[0]);
}
static void gan_backward(const op_run_t *r) {
    kern_gan_backward((kern_gan_t)r->attr->i[FUNCTION], r->in[0], shape_count(*r->in_shape[0]),
                      r->dout[0][0], r->din[0], r->add[0]);
}
static const opdef_t gan_def = {.name = "gan",
                                .forward = gan_forward,
                                .backward = gan_backward,
                                .keeps_in = OP_BIT(0),
                                .grads_in = OP_BIT(0)};

var_t op_gan(tape_t *t, kern_gan_t f, var_t x) {
    op_spec_t s = {.def = &gan_def, .n_in = 1, .n_out = 1, .in = {x}, .out = {F32_0()}};
    s.attr.i[FUNCTION] = f;
    return tape_op(t, &s);
}
