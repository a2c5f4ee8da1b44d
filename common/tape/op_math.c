/* op_math.c - elementwise ops and sums of scalars. */
#include "common/base/die.h"
#include "common/base/rng.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { X };    /* the input of ops with one */
enum { A, B }; /* the inputs of ops with two */

#define COUNT(r) shape_count(*(r)->in_shape[X])

/* ---- activation ---- */

enum { FUNCTION }; /* attr.i: kern_act_t */

static void act_forward(const op_run_t *r) {
    kern_act_forward((kern_act_t)r->attr->i[FUNCTION], r->in[X], COUNT(r), r->out[0]);
}
static void act_backward(const op_run_t *r) {
    kern_act_backward((kern_act_t)r->attr->i[FUNCTION], r->in[X], r->dout[0], COUNT(r), r->din[X],
                      r->add[X]);
}
static const opdef_t act_def = {.name = "act",
                                .forward = act_forward,
                                .backward = act_backward,
                                .keeps_in = OP_BIT(X),
                                .grads_in = OP_BIT(X),
                                .over_in = OP_BIT(X),
                                .over_dout = OP_BIT(X)};

var_t op_act(tape_t *t, var_t x, kern_act_t act) {
    op_spec_t s = {.def = &act_def, .n_in = 1, .n_out = 1, .in = {x}, .out = {tape_shape(t, x)}};
    s.attr.i[FUNCTION] = act;
    return tape_op(t, &s);
}

/* ---- sum and product ---- */

static void add_forward(const op_run_t *r) {
    kern_add(r->in[A], r->in[B], COUNT(r), r->out[0]);
}
/* Where the plan lets an input's gradient lie over the output's, it is there already. */
static void add_backward(const op_run_t *r) {
    for (int i = A; i <= B; i++)
        if (r->din[i] && (r->add[i] || r->din[i] != r->dout[0]))
            kern_scale(r->dout[0], 1, COUNT(r), r->din[i], r->add[i]);
}
static const opdef_t add_def = {.name = "add",
                                .forward = add_forward,
                                .backward = add_backward,
                                .grads_in = OP_BIT(A) | OP_BIT(B),
                                .over_in = OP_BIT(A) | OP_BIT(B),
                                .same_dout = OP_BIT(A) | OP_BIT(B)};

var_t op_add(tape_t *t, var_t a, var_t b) {
    if (tape_count(t, a) != tape_count(t, b))
        tape_shape_bug(t, "add", "counts differ", tape_shape(t, a), tape_shape(t, b));
    op_spec_t s = {.def = &add_def, .n_in = 2, .n_out = 1, .in = {a, b}, .out = {tape_shape(t, a)}};
    return tape_op(t, &s);
}

static void mul_forward(const op_run_t *r) {
    kern_mul(r->in[A], r->in[B], COUNT(r), r->out[0], false);
}
static void mul_backward(const op_run_t *r) {
    if (r->din[A]) kern_mul(r->dout[0], r->in[B], COUNT(r), r->din[A], r->add[A]);
    if (r->din[B]) kern_mul(r->dout[0], r->in[A], COUNT(r), r->din[B], r->add[B]);
}
/* The gradient of A is written while that of B still needs dout: only B's may lie over dout. */
static const opdef_t mul_def = {.name = "mul",
                                .forward = mul_forward,
                                .backward = mul_backward,
                                .keeps_in = OP_BIT(A) | OP_BIT(B),
                                .grads_in = OP_BIT(A) | OP_BIT(B),
                                .over_in = OP_BIT(A) | OP_BIT(B),
                                .over_dout = OP_BIT(B)};

var_t op_mul(tape_t *t, var_t a, var_t b) {
    if (tape_count(t, a) != tape_count(t, b))
        tape_shape_bug(t, "mul", "counts differ", tape_shape(t, a), tape_shape(t, b));
    op_spec_t s = {.def = &mul_def, .n_in = 2, .n_out = 1, .in = {a, b}, .out = {tape_shape(t, a)}};
    return tape_op(t, &s);
}

/* ---- times a constant ---- */

enum { FACTOR }; /* attr.f */

static void scale_forward(const op_run_t *r) {
    kern_scale(r->in[X], r->attr->f[FACTOR], COUNT(r), r->out[0], false);
}
static void scale_backward(const op_run_t *r) {
    kern_scale(r->dout[0], r->attr->f[FACTOR], COUNT(r), r->din[X], r->add[X]);
}
static const opdef_t scale_def = {.name = "scale",
                                  .forward = scale_forward,
                                  .backward = scale_backward,
                                  .grads_in = OP_BIT(X),
                                  .over_in = OP_BIT(X),
                                  .over_dout = OP_BIT(X)};

var_t op_scale(tape_t *t, var_t x, float factor) {
    op_spec_t s = {.def = &scale_def, .n_in = 1, .n_out = 1, .in = {x}, .out = {tape_shape(t, x)}};
    s.attr.f[FACTOR] = factor;
    return tape_op(t, &s);
}

/* ---- dropout ---- */

enum { WHICH = 1 };    /* the input that numbers the rows, absent where x is whole */
enum { P };            /* attr.f: probability */
enum { ROW_ELEMENTS }; /* attr.i */

/* The mask is a function of the run's key, so backward draws it again instead of storing it. */
static void dropout(const op_run_t *r, const float *x, float *y, bool add) {
    uint64_t stream = rng_fold((rng_t){r->seed, r->attr->stream}, r->step).stream;
    uint64_t first = r->first_sample * (uint64_t)r->attr->i[ROW_ELEMENTS];
    float p = r->attr->f[P];
    if (!r->in[WHICH])
        kern_dropout(x, COUNT(r), p, r->seed, stream, first, y, add);
    else
        kern_dropout_rows(x, r->in[WHICH], shape_rows(*r->in_shape[X]), shape_cols(*r->in_shape[X]),
                          p, r->seed, stream, first, y, add);
}
static void dropout_forward(const op_run_t *r) {
    dropout(r, r->in[X], r->out[0], false);
}
static void dropout_backward(const op_run_t *r) {
    dropout(r, r->dout[0], r->din[X], r->add[X]);
}
static const opdef_t dropout_def = {.name = "dropout",
                                    .forward = dropout_forward,
                                    .backward = dropout_backward,
                                    .keeps_in = OP_BIT(WHICH),
                                    .grads_in = OP_BIT(X),
                                    .over_in = OP_BIT(X),
                                    .over_dout = OP_BIT(X)};

var_t op_dropout(tape_t *t, var_t x, float p, size_t row_elements) {
    return op_dropout_some(t, x, p, row_elements, NO_VAR);
}

var_t op_dropout_some(tape_t *t, var_t x, float p, size_t row_elements, var_t at) {
    if (p <= 0) return x;
    if (at != NO_VAR && tape_count(t, at) != shape_rows(tape_shape(t, x)))
        tape_shape_bug(t, "dropout", "rows and their numbers differ", tape_shape(t, x),
                       tape_shape(t, at));
    op_spec_t s = {
        .def = &dropout_def, .n_in = 2, .n_out = 1, .in = {x, at}, .out = {tape_shape(t, x)}};
    s.attr.f[P] = p;
    s.attr.i[ROW_ELEMENTS] = (int64_t)row_elements;
    return tape_op(t, &s);
}

/* ---- weighted sum of scalars ---- */

/* attr.f: a weight per input. */
static void sum_forward(const op_run_t *r) {
    float sum = 0;
    for (int i = 0; i < r->n_in; i++) sum += r->attr->f[i] * *(const float *)r->in[i];
    *(float *)r->out[0] = sum;
}
static void sum_backward(const op_run_t *r) {
    for (int i = 0; i < r->n_in; i++)
        if (r->din[i]) kern_scale(r->dout[0], r->attr->f[i], 1, r->din[i], r->add[i]);
}
static const opdef_t sum_def = {
    .name = "weighted_sum", .forward = sum_forward, .backward = sum_backward, .grads_in = OP_ALL};

var_t op_weighted_sum(tape_t *t, const var_t *scalar, const float *weight, size_t n) {
    if (!n || n > OP_IN) BUG("%s: weighted_sum of %zu scalars", tape_path(t), n);
    op_spec_t s = {.def = &sum_def, .n_in = (int)n, .n_out = 1, .out = {F32_0()}};
    for (size_t i = 0; i < n; i++) {
        if (tape_count(t, scalar[i]) != 1)
            tape_shape_bug(t, "weighted_sum", "not a scalar", tape_shape(t, scalar[i]), F32_0());
        s.in[i] = scalar[i];
        s.attr.f[i] = weight[i];
    }
    return tape_op(t, &s);
}
