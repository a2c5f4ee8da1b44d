/* op_vq.c - the vector quantizer: nearest codes, the gradient past them (straight through or turned
 * back), both halves of its loss, counts and sums for an EMA codebook; rows of unit length for
 * codes that are directions. */
#include "common/base/die.h"
#include "common/tape/op.h"
#include "common/tape/ops.h"

#include <string.h>

enum { Z, CODEBOOK, N_IN };
enum { INDEX, QUANTIZED, LOSS, MSE, COUNTS, SUMS, N_OUT };
enum { THROUGH };                            /* attr.i: vq_through_t */
enum { COMMITMENT_WEIGHT, CODEBOOK_WEIGHT }; /* attr.f */

#define ROWS(r) shape_rows(*(r)->in_shape[Z])
#define DIM(r) shape_cols(*(r)->in_shape[Z])
#define CODES(r) shape_rows(*(r)->in_shape[CODEBOOK])

static void forward(const op_run_t *r) {
    kern_vq_nearest(r->in[Z], ROWS(r), r->in[CODEBOOK], CODES(r), DIM(r), r->out[INDEX]);
    kern_gather_forward(r->in[CODEBOOK], r->out[INDEX], ROWS(r), DIM(r), r->out[QUANTIZED], false);
    kern_vq_stats(r->in[Z], r->out[INDEX], ROWS(r), CODES(r), DIM(r), r->out[COUNTS], r->out[SUMS]);
    float *mse = r->out[MSE], *loss = r->out[LOSS];
    kern_loss_forward(LOSS_MSE, r->out[QUANTIZED], r->in[Z], NULL, ROWS(r), DIM(r), mse);
    /* Both halves of the loss have the same value. */
    *loss = (r->attr->f[COMMITMENT_WEIGHT] + r->attr->f[CODEBOOK_WEIGHT]) * *mse;
}

static void backward(const op_run_t *r) {
    const float *z = r->in[Z], *q = r->out[QUANTIZED];
    size_t n = ROWS(r), D = DIM(r);
    if (r->din[Z]) { /* past the codes + d/dz commitment mean (sg(e) - z)^2 */
        bool add = r->add[Z];
        if (r->dout[QUANTIZED]) {
            if (r->attr->i[THROUGH] == VQ_ROTATED)
                kern_vq_rotate_backward(z, q, r->dout[QUANTIZED], n, D, r->din[Z], add);
            else
                kern_scale(r->dout[QUANTIZED], 1, n * D, r->din[Z], add);
            add = true;
        }
        if (r->dout[LOSS])
            kern_loss_backward(LOSS_MSE, z, q, NULL, n, D,
                               r->attr->f[COMMITMENT_WEIGHT] * *r->dout[LOSS], r->din[Z], add);
        if (!r->dout[QUANTIZED] && !r->dout[LOSS] && !add)
            memset(r->din[Z], 0, n * D * sizeof(float));
    }
    /* d/de codebook_weight mean (e - sg(z))^2, summed over the rows of each code. */
    if (r->din[CODEBOOK]) {
        float *d = r->scratch;
        if (r->dout[LOSS])
            kern_loss_backward(LOSS_MSE, q, z, NULL, n, D,
                               r->attr->f[CODEBOOK_WEIGHT] * *r->dout[LOSS], d, false);
        else
            memset(d, 0, n * D * sizeof *d);
        kern_gather_backward(d, r->out[INDEX], n, D, r->din[CODEBOOK], CODES(r), r->add[CODEBOOK]);
    }
}

static size_t scratch(const op_run_t *r, bool backward_pass) {
    return backward_pass ? ROWS(r) * DIM(r) * sizeof(float) : 0;
}
static double flops(const op_run_t *r) {
    return 2.0 * (double)ROWS(r) * (double)CODES(r) * (double)DIM(r);
}

static const opdef_t vq_def = {.name = "vq",
                               .forward = forward,
                               .backward = backward,
                               .scratch = scratch,
                               .keeps_in = OP_BIT(Z),
                               .keeps_out = OP_BIT(INDEX) | OP_BIT(QUANTIZED),
                               .grads_in = OP_BIT(Z) | OP_BIT(CODEBOOK),
                               .flops = flops};

vq_out_t op_vq(tape_t *t, var_t z, var_t codebook, float commitment_weight, float codebook_weight) {
    return op_vq_through(t, z, codebook, commitment_weight, codebook_weight, VQ_STRAIGHT);
}

vq_out_t op_vq_through(tape_t *t, var_t z, var_t codebook, float commitment_weight,
                       float codebook_weight, vq_through_t through) {
    shape_t sz = tape_shape(t, z), se = tape_shape(t, codebook);
    if (se.rank != 2 || shape_cols(sz) != se.dim[1])
        tape_shape_bug(t, "vq", "z and codebook do not fit", sz, se);
    op_spec_t s = {.def = &vq_def,
                   .n_in = N_IN,
                   .n_out = N_OUT,
                   .in = {z, codebook},
                   .out = {sz, sz, F32_0(), F32_0(), F32_1(se.dim[0]), se}};
    s.out[INDEX].type = DT_I32;
    s.out[INDEX].rank--;
    s.attr.f[COMMITMENT_WEIGHT] = commitment_weight;
    s.attr.f[CODEBOOK_WEIGHT] = codebook_weight;
    s.attr.i[THROUGH] = through;
    var_t v = tape_op(t, &s);
    return (vq_out_t){v + INDEX, v + QUANTIZED, v + LOSS, v + MSE, v + COUNTS, v + SUMS};
}

enum { N_CODES }; /* attr.i of vq_packed */

static void packed_forward(const op_run_t *r) {
    kern_vq_nearest_packed(r->in[Z], ROWS(r), r->in[CODEBOOK], (size_t)r->attr->i[N_CODES], DIM(r),
                           r->out[INDEX]);
}
static double packed_flops(const op_run_t *r) {
    return 2.0 * (double)ROWS(r) * (double)r->attr->i[N_CODES] * (double)DIM(r);
}
static const opdef_t packed_def = {
    .name = "vq_packed", .forward = packed_forward, .flops = packed_flops};

var_t op_vq_packed(tape_t *t, var_t z, var_t packed, size_t K) {
    shape_t sz = tape_shape(t, z);
    if (tape_count(t, packed) * sizeof(float) != kern_vq_pack_bytes(K, shape_cols(sz)))
        tape_shape_bug(t, "vq_packed", "z and codebook do not fit", sz, tape_shape(t, packed));
    op_spec_t s = {.def = &packed_def, .n_in = N_IN, .n_out = 1, .in = {z, packed}, .out = {sz}};
    s.out[0].type = DT_I32;
    s.out[0].rank--;
    s.attr.i[N_CODES] = (int64_t)K;
    return tape_op(t, &s);
}

static void unit_forward(const op_run_t *r) {
    kern_unit_rows_forward(r->in[Z], ROWS(r), DIM(r), r->out[0]);
}
static void unit_backward(const op_run_t *r) {
    kern_unit_rows_backward(r->in[Z], r->dout[0], ROWS(r), DIM(r), r->din[Z], r->add[Z]);
}
static const opdef_t unit_def = {.name = "unit_rows",
                                 .forward = unit_forward,
                                 .backward = unit_backward,
                                 .keeps_in = OP_BIT(Z),
                                 .grads_in = OP_BIT(Z)};

var_t op_unit_rows(tape_t *t, var_t x) {
    op_spec_t s = {.def = &unit_def, .n_in = 1, .n_out = 1, .in = {x}, .out = {tape_shape(t, x)}};
    return tape_op(t, &s);
}
