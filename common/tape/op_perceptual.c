/* op_perceptual.c - standardised pixels and the distance between features. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#define ROWS(r) shape_rows(*(r)->in_shape[0])
#define COLS(r) shape_cols(*(r)->in_shape[0])

enum { X, MEAN, STD, N_STANDARDIZE_IN };

static void standardize_forward(const op_run_t *r) {
    kern_standardize_forward(r->in[X], r->in[MEAN], r->in[STD], ROWS(r), COLS(r), r->out[0]);
}
static void standardize_backward(const op_run_t *r) {
    kern_standardize_backward(r->dout[0], r->in[STD], ROWS(r), COLS(r), r->din[X], r->add[X]);
}
static const opdef_t standardize_def = {.name = "standardize",
                                        .forward = standardize_forward,
                                        .backward = standardize_backward,
                                        .keeps_in = OP_BIT(STD),
                                        .grads_in = OP_BIT(X)};

var_t op_standardize(tape_t *t, var_t x, var_t mean, var_t std) {
    shape_t sx = tape_shape(t, x);
    if (tape_count(t, mean) != shape_cols(sx) || tape_count(t, std) != shape_cols(sx))
        tape_shape_bug(t, "standardize", "x and mean do not fit", sx, tape_shape(t, mean));
    op_spec_t s = {.def = &standardize_def,
                   .n_in = N_STANDARDIZE_IN,
                   .n_out = 1,
                   .in = {x, mean, std},
                   .out = {sx}};
    return tape_op(t, &s);
}

enum { A, B, WEIGHT, N_DISTANCE_IN };

static void distance_forward(const op_run_t *r) {
    kern_feature_distance_forward(r->in[A], r->in[B], r->in[WEIGHT], ROWS(r), COLS(r), r->out[0]);
}
static void distance_backward(const op_run_t *r) {
    for (int i = A; i <= B; i++) {
        int other = i == A ? B : A; /* the distance is symmetric */
        if (r->din[i])
            kern_feature_distance_backward(r->in[i], r->in[other], r->in[WEIGHT], ROWS(r), COLS(r),
                                           r->dout[0][0], r->din[i], r->add[i]);
    }
}
static const opdef_t distance_def = {.name = "feature_distance",
                                     .forward = distance_forward,
                                     .backward = distance_backward,
                                     .keeps_in = OP_BIT(A) | OP_BIT(B) | OP_BIT(WEIGHT),
                                     .grads_in = OP_BIT(A) | OP_BIT(B)};

var_t op_feature_distance(tape_t *t, var_t a, var_t b, var_t w) {
    shape_t sa = tape_shape(t, a);
    if (tape_count(t, b) != shape_count(sa))
        tape_shape_bug(t, "feature_distance", "counts differ", sa, tape_shape(t, b));
    if (tape_count(t, w) != shape_cols(sa))
        tape_shape_bug(t, "feature_distance", "one weight a channel is needed", sa,
                       tape_shape(t, w));
    op_spec_t s = {
        .def = &distance_def, .n_in = N_DISTANCE_IN, .n_out = 1, .in = {a, b, w}, .out = {F32_0()}};
    return tape_op(t, &s);
}
