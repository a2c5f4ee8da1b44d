/* op_conv.c - 2-D convolution, NHWC. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { X, W, B, N_IN };
enum { STRIDE, PAD_TOP, PAD_LEFT, UP, PLAIN }; /* attr.i */

static kern_conv_t geometry(const op_run_t *r) {
    const shape_t *x = r->in_shape[X], *w = r->in_shape[W], *y = r->out_shape[0];
    const int64_t *a = r->attr->i;
    return (kern_conv_t){.N = x->dim[0],
                         .H = x->dim[1],
                         .W = x->dim[2],
                         .Cin = x->dim[3],
                         .OH = y->dim[1],
                         .OW = y->dim[2],
                         .Cout = y->dim[3],
                         .kh = w->dim[0],
                         .kw = w->dim[1],
                         .stride = (size_t)a[STRIDE],
                         .pad_top = (size_t)a[PAD_TOP],
                         .pad_left = (size_t)a[PAD_LEFT],
                         .up = (size_t)a[UP],
                         .plain = a[PLAIN] != 0};
}

static void forward(const op_run_t *r) {
    kern_conv_t g = geometry(r);
    kern_conv_forward(&g, r->in[X], r->in[W], r->in[B], r->out[0]);
}

static void backward(const op_run_t *r) {
    kern_conv_t g = geometry(r);
    if (r->din[X]) kern_conv_backward_input(&g, r->dout[0], r->in[W], r->din[X], r->add[X]);
    if (r->din[W]) kern_conv_backward_weight(&g, r->in[X], r->dout[0], r->din[W], r->add[W]);
    if (r->din[B]) kern_colsum(r->dout[0], g.N * g.OH * g.OW, g.Cout, r->din[B], r->add[B]);
}

static double flops(const op_run_t *r) {
    kern_conv_t g = geometry(r);
    return 2.0 * (double)(g.N * g.OH * g.OW) * (double)(g.kh * g.kw * g.Cin) * (double)g.Cout;
}

static const opdef_t conv_def = {.name = "conv2d",
                                 .forward = forward,
                                 .backward = backward,
                                 .keeps_in = OP_BIT(X) | OP_BIT(W),
                                 .grads_in = OP_BIT(X) | OP_BIT(W) | OP_BIT(B),
                                 .flops = flops};

var_t op_conv2d(tape_t *t, var_t x, var_t w, var_t b, conv_opts_t o) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, w);
    if (sx.rank != 4 || sw.rank != 4 || sx.dim[3] != sw.dim[2])
        tape_shape_bug(t, "conv2d", "x and w do not fit", sx, sw);
    if (b != NO_VAR && tape_count(t, b) != sw.dim[3])
        tape_shape_bug(t, "conv2d", "w and b do not fit", sw, tape_shape(t, b));
    size_t padded_h = sx.dim[1] * o.up + o.pad_top + o.pad_bottom;
    size_t padded_w = sx.dim[2] * o.up + o.pad_left + o.pad_right;
    if (padded_h < sw.dim[0] || padded_w < sw.dim[1])
        tape_shape_bug(t, "conv2d", "the kernel is larger than the padded input", sx, sw);
    op_spec_t s = {.def = &conv_def, .n_in = N_IN, .n_out = 1, .in = {x, w, b}};
    size_t out_h = (padded_h - sw.dim[0]) / o.stride + 1;
    size_t out_w = (padded_w - sw.dim[1]) / o.stride + 1;
    s.out[0] = F32_4(sx.dim[0], out_h, out_w, sw.dim[3]);
    s.attr.i[STRIDE] = (int64_t)o.stride;
    s.attr.i[PAD_TOP] = (int64_t)o.pad_top;
    s.attr.i[PAD_LEFT] = (int64_t)o.pad_left;
    s.attr.i[UP] = (int64_t)o.up;
    s.attr.i[PLAIN] = o.plain;
    return tape_op(t, &s);
}
