/* op_head.c - a linear layer over a vocabulary, its cross entropy, and what is read from the logits
 * besides, without the logits of all rows. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

enum { X, W, TARGET, RANGE, WEIGHT, OWN, N_IN };
enum { MEAN_LOSS, ROW_LOSS, VALUE, BEST, N_OUT };

static kern_head_t head_of(const op_run_t *r) {
    return (kern_head_t){.n = shape_rows(*r->in_shape[X]),
                         .D = shape_cols(*r->in_shape[X]),
                         .V = shape_rows(*r->in_shape[W]),
                         .x = r->in[X],
                         .W = r->in[W],
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

head_xent_out_t op_head_xent(tape_t *t, var_t x, var_t w, head_xent_t o) {
    shape_t sx = tape_shape(t, x), sw = tape_shape(t, w);
    size_t n = shape_rows(sx);
    if (sw.rank != 2 || shape_cols(sx) != shape_cols(sw))
        tape_shape_bug(t, "head_xent", "x and W do not fit", sx, sw);
    if (tape_count(t, o.target) != n || (o.weight != NO_VAR && tape_count(t, o.weight) != n))
        tape_shape_bug(t, "head_xent", "one target and weight a row are needed", sx,
                       tape_shape(t, o.target));
    const var_t range[] = {o.range, o.own_range};
    for (int i = 0; i < 2; i++)
        if (range[i] != NO_VAR && tape_count(t, range[i]) != 2 * n)
            tape_shape_bug(t, "head_xent", "one range (lo, hi) a row is needed", sx,
                           tape_shape(t, range[i]));
    bool own = o.own_range != NO_VAR;
    op_spec_t s = {.def = &head_def,
                   .n_in = N_IN,
                   .n_out = own ? N_OUT : VALUE,
                   .in = {x, w, o.target, o.range, o.weight, o.own_range}};
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
