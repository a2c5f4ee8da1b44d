/* op_packed.c - y = x W (+ b) over packed weights, all columns or some; forward only. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { X, PACKED, B, N_IN };
enum { KIND, OUT, LO }; /* attr.i: kern_weights_t, columns of W, the first of y */

static void forward(const op_run_t *r) {
    size_t lo = (size_t)r->attr->i[LO];
    kern_packed_columns((kern_weights_t)r->attr->i[KIND], shape_rows(*r->in_shape[X]),
                        (size_t)r->attr->i[OUT], shape_cols(*r->in_shape[X]), r->in[X],
                        r->in[PACKED], r->in[B], lo, lo + shape_cols(*r->out_shape[0]), r->out[0]);
}

static double flops(const op_run_t *r) {
    return 2.0 * (double)shape_count(*r->in_shape[X]) * (double)shape_cols(*r->out_shape[0]);
}

static const opdef_t packed_def = {.name = "packed_linear", .forward = forward, .flops = flops};

var_t op_packed_columns(tape_t *t, var_t x, var_t packed, var_t b, size_t out, kern_weights_t kind,
                        size_t lo, size_t hi) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, packed);
    if (shape_count(sw) * sizeof(float) != kern_pack_bytes(kind, shape_cols(sx), out))
        tape_shape_bug(t, "packed_linear", "x and W do not fit", sx, sw);
    if (b != NO_VAR && tape_count(t, b) != out)
        tape_shape_bug(t, "packed_linear", "W and b do not fit", sw, tape_shape(t, b));
    if (lo >= hi || hi > out)
        tape_shape_bug(t, "packed_linear", "no such columns", sw, F32_2(lo, hi));
    op_spec_t s = {.def = &packed_def, .n_in = N_IN, .n_out = 1, .in = {x, packed, b}, .out = {sx}};
    s.attr.i[KIND] = kind;
    s.attr.i[OUT] = (int64_t)out;
    s.attr.i[LO] = (int64_t)lo;
    s.out[0].dim[sx.rank - 1] = hi - lo;
    return tape_op(t, &s);
}

var_t op_packed_linear(tape_t *t, var_t x, var_t packed, var_t b, size_t out, kern_weights_t kind) {
    return op_packed_columns(t, x, packed, b, out, kind, 0, out);
}
