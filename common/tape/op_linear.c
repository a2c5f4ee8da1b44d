/* op_linear.c - y = x W (+ b), all columns of y or some. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#include <string.h>

enum { X, W, B, N_IN };
enum { ORDER, LO }; /* attr.i: weight_order_t, the first column of y */

#define ROWS(r) shape_rows(*(r)->in_shape[X])
#define IN(r) shape_cols(*(r)->in_shape[X])
#define OUT(r) shape_cols(*(r)->out_shape[0])
#define FIRST(r) ((size_t)(r)->attr->i[LO])

/* W as it is stored: the floats of a row, and where the first column that y reads begins. */
typedef struct {
    bool out_in;
    size_t ld, at;
} weight_t;
static weight_t weight_of(const op_run_t *r) {
    if (r->attr->i[ORDER] == W_OUT_IN) return (weight_t){true, IN(r), FIRST(r) * IN(r)};
    return (weight_t){false, shape_count(*r->in_shape[W]) / IN(r), FIRST(r)};
}

static void forward(const op_run_t *r) {
    weight_t w = weight_of(r);
    const float *b = r->in[B];
    kern_gemm(false, w.out_in, ROWS(r), OUT(r), IN(r), r->in[X], IN(r),
              (const float *)r->in[W] + w.at, w.ld, r->out[0], OUT(r), false,
              b ? b + FIRST(r) : NULL);
}

/* Of an input's n rows of `all` numbers y has read lo .. hi - 1: the gradients of the others are
 * 0. */
static void clear_unread(const op_run_t *r, int input, size_t n, size_t lo, size_t hi, size_t all) {
    if (r->add[input]) return;
    for (size_t i = 0; i < n; i++) {
        memset(r->din[input] + i * all, 0, lo * sizeof(float));
        memset(r->din[input] + i * all + hi, 0, (all - hi) * sizeof(float));
    }
}

/* y = x W' + b, W' [in,out]: dx = dy W'^T, dW' = x^T dy, db = column sums of dy. */
static void backward(const op_run_t *r) {
    weight_t w = weight_of(r);
    size_t n = ROWS(r), in = IN(r), out = OUT(r), lo = FIRST(r), hi = lo + out;
    const float *x = r->in[X], *dy = r->dout[0];
    if (r->din[X])
        kern_gemm_train(false, !w.out_in, n, in, out, dy, out, (const float *)r->in[W] + w.at, w.ld,
                        r->din[X], in, r->add[X]);
    if (r->din[W] && w.out_in) {
        clear_unread(r, W, 1, lo * in, hi * in, shape_count(*r->in_shape[W]));
        kern_gemm_train(true, false, out, in, n, dy, out, x, in, r->din[W] + w.at, w.ld, r->add[W]);
    }
    if (r->din[W] && !w.out_in) {
        clear_unread(r, W, in, lo, hi, w.ld);
        kern_gemm_train(true, false, in, out, n, x, in, dy, out, r->din[W] + w.at, w.ld, r->add[W]);
    }
    if (r->din[B]) {
        clear_unread(r, B, 1, lo, hi, shape_count(*r->in_shape[B]));
        kern_colsum(dy, n, out, r->din[B] + FIRST(r), r->add[B]);
    }
}

static double flops(const op_run_t *r) {
    return 2.0 * (double)ROWS(r) * (double)IN(r) * (double)OUT(r);
}

static const opdef_t linear_def = {.name = "linear",
                                   .forward = forward,
                                   .backward = backward,
                                   .keeps_in = OP_BIT(X) | OP_BIT(W),
                                   .grads_in = OP_BIT(X) | OP_BIT(W) | OP_BIT(B),
                                   .flops = flops};

static var_t record(tape_t *t, var_t x, var_t w, var_t b, weight_order_t order, size_t lo,
                    size_t hi) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, w);
    /* Rows and columns: a 1x1 convolution's [1,1,in,out] counts as [in,out]. */
    size_t in = order == W_OUT_IN ? shape_cols(sw) : shape_rows(sw);
    size_t out = order == W_OUT_IN ? shape_rows(sw) : shape_cols(sw);
    if (shape_cols(sx) != in) tape_shape_bug(t, "linear", "x and W do not fit", sx, sw);
    if (b != NO_VAR && tape_count(t, b) != out)
        tape_shape_bug(t, "linear", "W and b do not fit", sw, tape_shape(t, b));
    if (lo >= hi || hi > out) tape_shape_bug(t, "linear", "no such columns", sw, F32_2(lo, hi));
    op_spec_t s = {.def = &linear_def, .n_in = N_IN, .n_out = 1, .in = {x, w, b}, .out = {sx}};
    s.attr.i[ORDER] = order;
    s.attr.i[LO] = (int64_t)lo;
    s.out[0].dim[sx.rank - 1] = hi - lo;
    return tape_op(t, &s);
}

var_t op_linear(tape_t *t, var_t x, var_t w, var_t b, weight_order_t order) {
    shape_t sw = tape_shape(t, w);
    return record(t, x, w, b, order, 0, order == W_OUT_IN ? shape_rows(sw) : shape_cols(sw));
}

var_t op_linear_columns(tape_t *t, var_t x, var_t w, var_t b, weight_order_t order, size_t lo,
                        size_t hi) {
    return record(t, x, w, b, order, lo, hi);
}
