/* op_linear.c - y = x W (+ b). */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#define ROWS(r) shape_rows(*(r)->in_shape[0])
#define IN(r) shape_cols(*(r)->in_shape[0])
#define OUT(r) shape_cols(*(r)->out_shape[0])

static void forward(const op_run_t *r) {
    bool tb = r->attr->i[0] == W_OUT_IN;
    kern_gemm(false, tb, ROWS(r), OUT(r), IN(r), r->in[0], IN(r), r->in[1], tb ? IN(r) : OUT(r),
              r->out[0], OUT(r), false, r->in[2]);
}

static void backward(const op_run_t *r) {
    bool tb = r->attr->i[0] == W_OUT_IN;
    size_t n = ROWS(r), in = IN(r), out = OUT(r);
    const float *x = r->in[0], *W = r->in[1], *dy = r->dout[0];
    if (r->din[0])
        kern_gemm(false, !tb, n, in, out, dy, out, W, tb ? in : out, r->din[0], in, r->add[0],
                  NULL);
    if (r->din[1] && tb)
        kern_gemm(true, false, out, in, n, dy, out, x, in, r->din[1], in, r->add[1], NULL);
    if (r->din[1] && !tb)
        kern_gemm(true, false, in, out, n, x, in, dy, out, r->din[1], out, r->add[1], NULL);
    if (r->din[2]) kern_colsum(dy, n, out, r->din[2], r->add[2]);
}

static double flops(const op_run_t *r) {
    return 2.0 * (double)ROWS(r) * (double)IN(r) * (double)OUT(r);
}

static const opdef_t linear_def = {.name = "linear",
                                   .forward = forward,
                                   .backward = backward,
                                   .keeps_in = 3,
                                   .grads_in = 7,
                                   .flops = flops};

var_t op_linear(tape_t *t, var_t x, var_t W, var_t b, weight_order_t order) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, W);
    size_t in = shape_cols(sw),
           out = shape_rows(sw); /* a 1x1 convolution's [1,1,in,out] counts as [in,out] */
    if (order == W_IN_OUT) {
        size_t swap = in;
        in = out;
        out = swap;
    }
    if (shape_cols(sx) != in) tape_shape_bug(t, "linear", "x and W do not fit", sx, sw);
    if (b != NO_VAR && tape_count(t, b) != out)
        tape_shape_bug(t, "linear", "W and b do not fit", sw, tape_shape(t, b));
    op_spec_t s = {.def = &linear_def, .n_in = 3, .n_out = 1, .in = {x, W, b}, .out = {sx}};
    s.attr.i[0] = order;
    s.out[0].dim[sx.rank - 1] = out;
    return tape_op(t, &s);
}
