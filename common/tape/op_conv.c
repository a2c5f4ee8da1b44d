/* op_conv.c - 2-D convolution, NHWC. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

static kern_conv_t geometry(const op_run_t *r) {
    const shape_t *x = r->in_shape[0], *w = r->in_shape[1], *y = r->out_shape[0];
    const int64_t *a = r->attr->i;
    return (kern_conv_t){x->dim[0],    x->dim[1],    x->dim[2],    x->dim[3], y->dim[1],
                         y->dim[2],    y->dim[3],    w->dim[0],    w->dim[1], (size_t)a[0],
                         (size_t)a[1], (size_t)a[2], (size_t)a[3], a[4]};
}

static void forward(const op_run_t *r) {
    kern_conv_t g = geometry(r);
    kern_conv_forward(&g, r->in[0], r->in[1], r->in[2], r->out[0]);
}

static void backward(const op_run_t *r) {
    kern_conv_t g = geometry(r);
    if (r->din[0]) kern_conv_backward_input(&g, r->dout[0], r->in[1], r->din[0], r->add[0]);
    if (r->din[1]) kern_conv_backward_weight(&g, r->in[0], r->dout[0], r->din[1], r->add[1]);
    if (r->din[2]) kern_colsum(r->dout[0], g.N * g.OH * g.OW, g.Cout, r->din[2], r->add[2]);
}

static double flops(const op_run_t *r) {
    kern_conv_t g = geometry(r);
    return 2.0 * (double)(g.N * g.OH * g.OW) * (double)(g.kh * g.kw * g.Cin) * (double)g.Cout;
}

static const opdef_t conv_def = {.name = "conv2d",
                                 .forward = forward,
                                 .backward = backward,
                                 .keeps_in = 3,
                                 .grads_in = 7,
                                 .flops = flops};

var_t op_conv2d(tape_t *t, var_t x, var_t w, var_t b, conv_opts_t o) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, w);
    if (sx.rank != 4 || sw.rank != 4 || sx.dim[3] != sw.dim[2])
        tape_shape_bug(t, "conv2d", "x and w do not fit", sx, sw);
    if (b != NO_VAR && tape_count(t, b) != sw.dim[3])
        tape_shape_bug(t, "conv2d", "w and b do not fit", sw, tape_shape(t, b));
    size_t H = sx.dim[1] * o.up + o.pad_top + o.pad_bottom,
           W = sx.dim[2] * o.up + o.pad_left + o.pad_right;
    if (H < sw.dim[0] || W < sw.dim[1])
        tape_shape_bug(t, "conv2d", "the kernel is larger than the padded input", sx, sw);
    op_spec_t s = {.def = &conv_def, .n_in = 3, .n_out = 1, .in = {x, w, b}};
    s.out[0] =
        F32_4(sx.dim[0], (H - sw.dim[0]) / o.stride + 1, (W - sw.dim[1]) / o.stride + 1, sw.dim[3]);
    s.attr.i[0] = (int64_t)o.stride;
    s.attr.i[1] = (int64_t)o.pad_top;
    s.attr.i[2] = (int64_t)o.pad_left;
    s.attr.i[3] = (int64_t)o.up;
    s.attr.i[4] = o.plain;
    return tape_op(t, &s);
}
