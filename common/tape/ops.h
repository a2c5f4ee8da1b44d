/* ops.h - the ops that models are written with. Each records one op on the tape and returns its
 * output.
 *
 * x is [.., C] (rows x columns) unless a shape is named; feature maps are [N,H,W,C]. Formulas are
 * in kernel/kernel.h.
 */
#ifndef TAPE_OPS_H
#define TAPE_OPS_H

#include "common/kernel/kernel.h"
#include "common/tape/tape.h"

/* op_linear.c */
typedef enum { W_OUT_IN, W_IN_OUT } weight_order_t;
/* y[..,out] = x[..,in] W (+ b). W is [out,in] (torch Linear) or [in,out] (Conv1D; also a 1x1
 * convolution's memory layout). */
var_t op_linear(tape_t *t, var_t x, var_t W, var_t b /* or NO_VAR */, weight_order_t order);

/* op_packed.c: the same over kern_pack's weights, an extern of kern_pack_bytes / 4 floats. Forward
 * only. */
var_t op_packed_linear(tape_t *t, var_t x, var_t packed, var_t b /* or NO_VAR */, size_t out,
                       kern_weights_t kind);

/* op_conv.c: x [N,H,W,Cin], w [kh,kw,Cin,Cout]; pads are zeros, up = 1 or 2 (nearest enlargement
 * first). */
typedef struct {
    size_t stride, pad_top, pad_left, pad_bottom, pad_right, up;
    bool plain; /* kern_conv_t.plain */
} conv_opts_t;
var_t op_conv2d(tape_t *t, var_t x, var_t w, var_t b, conv_opts_t o);

/* op_norm.c */
var_t op_groupnorm(tape_t *t, var_t x, var_t gamma, var_t beta, size_t groups, float eps,
                   bool silu);
var_t op_layernorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps);
typedef struct {
    var_t y;         /* leaky ReLU (0.2) behind it when asked for */
    var_t mean, var; /* [C] of this batch, variance unbiased: for running statistics, no gradient */
} batchnorm_out_t;
/* In training mode, over all rows (N, H, W). */
batchnorm_out_t op_batchnorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps, bool leaky);

/* op_math.c */
var_t op_act(tape_t *t, var_t x, kern_act_t act);
var_t op_add(tape_t *t, var_t a, var_t b); /* same count; shape of a */
var_t op_mul(tape_t *t, var_t a, var_t b);
var_t op_scale(tape_t *t, var_t x, float s);
var_t op_dropout(tape_t *t, var_t x, float p,
                 size_t row_elements); /* row_elements: elements a sample, for the random key */
/* sum_i weight[i] * scalar[i], n <= OP_IN: the total loss. */
var_t op_weighted_sum(tape_t *t, const var_t *scalar, const float *weight, size_t n);

/* op_attention.c */
typedef struct {
    size_t heads;
    float scale; /* 0 = 1/sqrt(dh) */
    bool causal;
    var_t timestep; /* I32 [B,T] or NO_VAR: kern_attention_t.timestep */
    int32_t window;
} attention_opts_t;
/* q, k, v [B,T,D] -> [B,T,D]. */
var_t op_attention(tape_t *t, var_t q, var_t k, var_t v, attention_opts_t o);
/* qkv [B,T,3D], columns q | k | v. */
var_t op_attention_packed(tape_t *t, var_t qkv, attention_opts_t o);
/* Acting: qkv [1,T,3D] of T new positions against a cache that the caller owns: cache F32
 * [capacity, kern_cache_width] (kernel.h) and span I32 [4] = {first, used, early, early_first} are
 * externs. The new keys and values are written to rows used .. used+T-1; position i sees rows first
 * .. used+i, the first `early` positions (of an older timestep) rows early_first .. used+i.
 * Replaying with the same span writes the same rows. -> [1,rows,D], of the last `rows` positions
 * (in a network's last layer only what is read is worth its attention). Forward only. */
var_t op_attention_cached(tape_t *t, var_t qkv, var_t cache, var_t span, size_t heads, size_t rows);

/* op_rows.c */
/* table [rows,D], idx I32 any shape s -> [s..,D]; idx < 0 gives a zero row. */
var_t op_gather(tape_t *t, var_t table, var_t idx);
/* Rows of several [n_i,D] under one another. */
var_t op_concat_rows(tape_t *t, const var_t *v, size_t n);

/* op_resample.c */
/* 2x2, stride 2; a last odd row or column is left out. */
var_t op_maxpool2(tape_t *t, var_t x);

/* op_loss.c: scalars */
/* weight: [rows] or NO_VAR; target gets no gradient unless both_sides. */
var_t op_loss(tape_t *t, kern_loss_t f, var_t a, var_t target, var_t weight, bool both_sides);
/* logits [n,V], target I32 [n], range I32 [n,2], weight [n] or NO_VAR. *row (may be NULL) receives
 * the var of loss a row [n], through which no gradient flows. */
var_t op_xent(tape_t *t, var_t logits, var_t target, var_t range, var_t weight, var_t *row);
/* Expected bin center of each row [n]. */
var_t op_expect(tape_t *t, var_t logits, var_t range);
/* Mean over all elements of a discriminator's logits. */
var_t op_gan(tape_t *t, kern_gan_t f, var_t x);

/* op_perceptual.c */
/* (x - mean) / std a column; mean, std [C] get no gradient. */
var_t op_standardize(tape_t *t, var_t x, var_t mean, var_t std);
/* Scalar: mean over rows of sum_c w_c (a_c/|a| - b_c/|b|)^2; w [C] gets no gradient. */
var_t op_feature_distance(tape_t *t, var_t a, var_t b, var_t w);

/* op_vq.c */
typedef struct {
    var_t index;     /* I32, shape of z without its last dim */
    var_t quantized; /* e[index], shape of z; straight through: its gradient goes to z unchanged */
    var_t loss; /* commitment_weight * mean (sg(e) - z)^2 + codebook_weight * mean (e - sg(z))^2 */
    var_t mse;  /* mean (e - z)^2, no gradient */
    var_t counts; /* [K] assignments in this batch */
    var_t sums;   /* [K,D] sums of the assigned z */
} vq_out_t;
/* z [..,D], codebook [K,D] (parameter or extern). */
vq_out_t op_vq(tape_t *t, var_t z, var_t codebook, float commitment_weight, float codebook_weight);
/* VQ_ROTATED: the gradient of `quantized` is turned back as z was turned onto its code
 * (kern_vq_rotate_backward). */
typedef enum { VQ_STRAIGHT, VQ_ROTATED } vq_through_t;
vq_out_t op_vq_through(tape_t *t, var_t z, var_t codebook, float commitment_weight,
                       float codebook_weight, vq_through_t through);
/* Every row over its length. */
var_t op_unit_rows(tape_t *t, var_t x);

/* op_fsq.c: finite scalar quantization, one channel of z a level (kernel.h). A code is its
 * channels' number, no codebook: loss is 0, mse and sums are NO_VAR. */
vq_out_t op_fsq(tape_t *t, var_t z, const kern_fsq_t *f);
/* The same before it is rounded. */
var_t op_fsq_bound(tape_t *t, var_t z, const kern_fsq_t *f);
/* Codes idx I32 s -> their vectors [s..,D]. */
var_t op_fsq_vectors(tape_t *t, var_t idx, const kern_fsq_t *f);

#endif
