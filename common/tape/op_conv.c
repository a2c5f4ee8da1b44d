/* op_conv.c - 2-D convolution, NHWC; over packed weights forward only. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { X, W, B, N_IN };
enum { STRIDE, PAD_TOP, PAD_LEFT, UP, PLAIN, HEIGHT, WIDTH }; /* attr.i; the kernel's sides */

static kern_conv_t geometry(const op_run_t *r) {
    const shape_t *x = r->in_shape[X], *y = r->out_shape[0];
    const int64_t *a = r->attr->i;
    return (kern_conv_t){.N = x->dim[0],
                         .H = x->dim[1],
                         .W = x->dim[2],
                         .Cin = x->dim[3],
                         .OH = y->dim[1],
                         .OW = y->dim[2],
                         .Cout = y->dim[3],
                         .kh = (size_t)a[HEIGHT],
                         .kw = (size_t)a[WIDTH],
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

static void forward_packed(const op_run_t *r) {
    kern_conv_t g = geometry(r);
    kern_conv_packed(&g, r->in[X], r->in[W], r->in[B], r->out[0]);
}

static const opdef_t packed_def = {
    .name = "conv2d_packed", .forward = forward_packed, .flops = flops};

kern_conv_t op_conv2d_shape(const tape_t *t, shape_t x, shape_t w, conv_opts_t o) {
    if (x.rank != 4 || w.rank != 4 || x.dim[3] != w.dim[2])
        tape_shape_bug(t, "conv2d", "x and w do not fit", x, w);
    size_t padded_h = x.dim[1] * o.up + o.pad_top + o.pad_bottom;
    size_t padded_w = x.dim[2] * o.up + o.pad_left + o.pad_right;
    if (padded_h < w.dim[0] || padded_w < w.dim[1])
        tape_shape_bug(t, "conv2d", "the kernel is larger than the padded input", x, w);
    return (kern_conv_t){.N = x.dim[0],
                         .H = x.dim[1],
                         .W = x.dim[2],
                         .Cin = x.dim[3],
                         .OH = (padded_h - w.dim[0]) / o.stride + 1,
                         .OW = (padded_w - w.dim[1]) / o.stride + 1,
                         .Cout = w.dim[3],
                         .kh = w.dim[0],
                         .kw = w.dim[1],
                         .stride = o.stride,
                         .pad_top = o.pad_top,
                         .pad_left = o.pad_left,
                         .up = o.up,
                         .plain = o.plain};
}

static var_t record(tape_t *t, const opdef_t *def, var_t x, var_t w, var_t b, kern_conv_t g) {
    if (b != NO_VAR && tape_count(t, b) != g.Cout)
        tape_shape_bug(t, "conv2d", "w and b do not fit", tape_shape(t, w), tape_shape(t, b));
    op_spec_t s = {.def = def, .n_in = N_IN, .n_out = 1, .in = {x, w, b}};
    s.out[0] = F32_4(g.N, g.OH, g.OW, g.Cout);
    s.attr.i[STRIDE] = (int64_t)g.stride;
    s.attr.i[PAD_TOP] = (int64_t)g.pad_top;
    s.attr.i[PAD_LEFT] = (int64_t)g.pad_left;
    s.attr.i[UP] = (int64_t)g.up;
    s.attr.i[PLAIN] = g.plain;
    s.attr.i[HEIGHT] = (int64_t)g.kh;
    s.attr.i[WIDTH] = (int64_t)g.kw;
    return tape_op(t, &s);
}

var_t op_conv2d(tape_t *t, var_t x, var_t w, var_t b, conv_opts_t o) {
    return record(t, &conv_def, x, w, b, op_conv2d_shape(t, tape_shape(t, x), tape_shape(t, w), o));
}

var_t op_conv2d_packed(tape_t *t, var_t x, var_t packed, shape_t w, var_t b, conv_opts_t o) {
    kern_conv_t g = op_conv2d_shape(t, tape_shape(t, x), w, o);
    if (tape_count(t, packed) * sizeof(float) != kern_conv_pack_bytes(&g))
        tape_shape_bug(t, "conv2d_packed", "w and its packed form do not fit", w,
                       tape_shape(t, packed));
    return record(t, &packed_def, x, packed, b, g);
}
