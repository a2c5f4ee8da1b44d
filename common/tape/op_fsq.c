/* op_fsq.c - finite scalar quantization: codes without a codebook, and their vectors. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#include <string.h>

enum { Z, N_IN };
enum { INDEX, QUANTIZED, LOSS, COUNTS, N_OUT };
enum { CHANNELS, FIRST_LEVEL }; /* attr.i: how many levels, then each of them */

#define ROWS(r) shape_rows(*(r)->in_shape[Z])

static kern_fsq_t levels_of(const op_run_t *r) {
    kern_fsq_t f = {.n = (size_t)r->attr->i[CHANNELS]};
    for (size_t d = 0; d < f.n; d++) f.level[d] = (int32_t)r->attr->i[FIRST_LEVEL + d];
    return f;
}

static void set_levels(op_spec_t *s, const kern_fsq_t *f) {
    s->attr.i[CHANNELS] = (int64_t)f->n;
    for (size_t d = 0; d < f->n; d++) s->attr.i[FIRST_LEVEL + d] = f->level[d];
}

static void forward(const op_run_t *r) {
    kern_fsq_t f = levels_of(r);
    kern_fsq_forward(&f, r->in[Z], ROWS(r), r->out[INDEX], r->out[QUANTIZED]);
    kern_vq_stats(NULL, r->out[INDEX], ROWS(r), kern_fsq_codes(&f), 0, r->out[COUNTS], NULL);
    *(float *)r->out[LOSS] = 0;
}

static void backward(const op_run_t *r) {
    kern_fsq_t f = levels_of(r);
    if (r->dout[QUANTIZED])
        kern_fsq_backward(&f, r->in[Z], r->dout[QUANTIZED], ROWS(r), r->din[Z], r->add[Z]);
    else if (!r->add[Z])
        memset(r->din[Z], 0, ROWS(r) * f.n * sizeof(float));
}

static const opdef_t fsq_def = {.name = "fsq",
                                .forward = forward,
                                .backward = backward,
                                .keeps_in = OP_BIT(Z),
                                .grads_in = OP_BIT(Z)};

vq_out_t op_fsq(tape_t *t, var_t z, const kern_fsq_t *f) {
    shape_t sz = tape_shape(t, z);
    if (shape_cols(sz) != f->n) tape_shape_bug(t, "fsq", "one channel a level", sz, F32_1(f->n));
    op_spec_t s = {.def = &fsq_def,
                   .n_in = N_IN,
                   .n_out = N_OUT,
                   .in = {z},
                   .out = {sz, sz, F32_0(), F32_1(kern_fsq_codes(f))}};
    s.out[INDEX].type = DT_I32;
    s.out[INDEX].rank--;
    set_levels(&s, f);
    var_t v = tape_op(t, &s);
    return (vq_out_t){v + INDEX, v + QUANTIZED, v + LOSS, NO_VAR, v + COUNTS, NO_VAR};
}

static void bound_forward(const op_run_t *r) {
    kern_fsq_t f = levels_of(r);
    kern_fsq_bound(&f, r->in[Z], ROWS(r), r->out[0]);
}
static void bound_backward(const op_run_t *r) {
    kern_fsq_t f = levels_of(r);
    kern_fsq_backward(&f, r->in[Z], r->dout[0], ROWS(r), r->din[Z], r->add[Z]);
}

static const opdef_t bound_def = {.name = "fsq_bound",
                                  .forward = bound_forward,
                                  .backward = bound_backward,
                                  .keeps_in = OP_BIT(Z),
                                  .grads_in = OP_BIT(Z)};

var_t op_fsq_bound(tape_t *t, var_t z, const kern_fsq_t *f) {
    shape_t sz = tape_shape(t, z);
    if (shape_cols(sz) != f->n)
        tape_shape_bug(t, "fsq_bound", "one channel a level", sz, F32_1(f->n));
    op_spec_t s = {.def = &bound_def, .n_in = 1, .n_out = 1, .in = {z}, .out = {sz}};
    set_levels(&s, f);
    return tape_op(t, &s);
}

static void vectors(const op_run_t *r) {
    kern_fsq_t f = levels_of(r);
    kern_fsq_vectors(&f, r->in[0], shape_count(*r->in_shape[0]), r->out[0]);
}

static const opdef_t vectors_def = {.name = "fsq_vectors", .forward = vectors};

var_t op_fsq_vectors(tape_t *t, var_t idx, const kern_fsq_t *f) {
    shape_t si = tape_shape(t, idx), out = si;
    if (si.type != DT_I32 || si.rank >= TAPE_RANK)
        tape_shape_bug(t, "fsq_vectors", "not a list of codes", si, si);
    out.type = DT_F32;
    out.dim[out.rank++] = f->n;
    op_spec_t s = {.def = &vectors_def, .n_in = 1, .n_out = 1, .in = {idx}, .out = {out}};
    set_levels(&s, f);
    return tape_op(t, &s);
}
