/* op_head.c - a linear layer over a vocabulary, its cross entropy, and what is read from the logits
 * besides, without the logits of all rows. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { X, W, TARGET, RANGE, WEIGHT, OWN, N_IN };
enum { MEAN_LOSS, ROW_LOSS, VALUE, BEST, N_OUT };
enum { COLUMNS, IS_PACKED, KIND }; /* attr.i: V; is W packed, and how (kern_weights_t) */

static kern_head_t head_of(const op_run_t *r) {
    bool packed = r->attr->i[IS_PACKED];
    return (kern_head_t){.n = shape_rows(*r->in_shape[X]),
                         .D = shape_cols(*r->in_shape[X]),
                         .V = (size_t)r->attr->i[COLUMNS],
                         .x = r->in[X],
                         .W = packed ? NULL : r->in[W],
                         .packed = packed ? r->in[W] : NULL,
                         .kind = (kern_weights_t)r->attr->i[KIND],
                         .target = r->in[TARGET],
                         .range = r->in[RANGE],
                         .w = r->in[WEIGHT],
                         .own = r->in[OWN]};
}

static void forward(const op_run_t *r) {
    kern_head_t g = head_of(r);
    kern_head_forward(&g, r->out[ROW_LOSS], r->out[MEAN_LOSS], r->out[VALUE], r->out[BEST],
                      r->scratch);
}

static void backward(const op_run_t *r) {
    kern_head_t g = head_of(r);
    kern_head_backward(&g, r->dout[MEAN_LOSS] ? r->dout[MEAN_LOSS][0] : 0, r->out[VALUE],
                       r->dout[VALUE], r->din[X], r->add[X], r->din[W], r->add[W], r->scratch);
}

static size_t scratch(const op_run_t *r, bool backward_pass) {
    (void)backward_pass;
    kern_head_t g = head_of(r);
    return kern_head_scratch(&g);
}

static double flops(const op_run_t *r) {
    kern_head_t g = head_of(r);
    return 2.0 * (double)g.n * (double)g.D * (double)g.V;
}

static const opdef_t head_def = {.name = "head_xent",
                                 .forward = forward,
                                 .backward = backward,
                                 .scratch = scratch,
                                 .keeps_in = OP_BIT(X) | OP_BIT(W) | OP_BIT(TARGET) |
                                             OP_BIT(RANGE) | OP_BIT(WEIGHT) | OP_BIT(OWN),
                                 .keeps_out = OP_BIT(VALUE),
                                 .grads_in = OP_BIT(X) | OP_BIT(W),
                                 .flops = flops};

static const opdef_t packed_def = {
    .name = "packed_head_xent", .forward = forward, .scratch = scratch, .flops = flops};

/* s: def and attributes are set. */
static head_xent_out_t record(tape_t *t, op_spec_t s, var_t x, var_t w, head_xent_t o) {
    shape_t sx = tape_shape(t, x);
    size_t n = shape_rows(sx);
    if (tape_count(t, o.target) != n || (o.weight != NO_VAR && tape_count(t, o.weight) != n))
        tape_shape_bug(t, "head_xent", "one target and weight a row are needed", sx,
                       tape_shape(t, o.target));
    const var_t range[] = {o.range, o.own_range};
    for (int i = 0; i < 2; i++)
        if (range[i] != NO_VAR && tape_count(t, range[i]) != 2 * n)
            tape_shape_bug(t, "head_xent", "one range (lo, hi) a row is needed", sx,
                           tape_shape(t, range[i]));
    bool own = o.own_range != NO_VAR;
    const var_t in[N_IN] = {x, w, o.target, o.range, o.weight, o.own_range};
    s.n_in = N_IN;
    s.n_out = own ? N_OUT : VALUE;
    for (int i = 0; i < N_IN; i++) s.in[i] = in[i];
    s.out[MEAN_LOSS] = F32_0();
    s.out[ROW_LOSS] = s.out[VALUE] = F32_1(n);
    s.out[BEST] = I32_1(n);
    var_t out = tape_op(t, &s);
    /* Rows are for reports: backward reads the mean's gradient and the expectation's alone. */
    return (head_xent_out_t){.loss = out + MEAN_LOSS,
                             .row = tape_detach(t, out + ROW_LOSS),
                             .value = own ? out + VALUE : NO_VAR,
                             .best = own ? out + BEST : NO_VAR};
}

head_xent_out_t op_head_xent(tape_t *t, var_t x, var_t w, head_xent_t o) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, w);
    if (sw.rank != 2 || shape_cols(sx) != shape_cols(sw))
        tape_shape_bug(t, "head_xent", "x and W do not fit", sx, sw);
    op_spec_t s = {.def = &head_def};
    s.attr.i[COLUMNS] = (int64_t)shape_rows(sw);
    return record(t, s, x, w, o);
}

head_xent_out_t op_packed_head_xent(tape_t *t, var_t x, var_t packed, size_t out,
                                    kern_weights_t kind, head_xent_t o) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, packed);
    if (shape_count(sw) * sizeof(float) != kern_pack_bytes(kind, shape_cols(sx), out))
        tape_shape_bug(t, "packed_head_xent", "x and W do not fit", sx, sw);
    op_spec_t s = {.def = &packed_def};
    s.attr.i[COLUMNS] = (int64_t)out;
    s.attr.i[IS_PACKED] = true;
    s.attr.i[KIND] = (int64_t)kind;
    return record(t, s, x, packed, o);
}
