/* ops.h - the ops that models are written with. Each records one op on the tape and returns its
 * output; kernel/kernel.h has the loops behind them.
 *
 * x is a matrix [..,C] (rows x columns, all leading dims folded) unless a shape is named; feature
 * maps are [N,H,W,C]. Values are F32, indices I32. Gradients flow into all F32 inputs unless the
 * comment says otherwise. Shapes that do not fit are BUG()s.
 */
#ifndef TAPE_OPS_H
#define TAPE_OPS_H

#include "common/kernel/kernel.h"
#include "common/tape/tape.h"

/* ---- op_linear.c, op_packed.c: matrix products ---- */

typedef enum { W_OUT_IN, W_IN_OUT } weight_order_t;
/* y[..,out] = x[..,in] W (+ b)
 *
 *   W        [out,in] with W_OUT_IN (torch's Linear: y = x W^T), or [in,out] with W_IN_OUT (GPT-2's
 *            Conv1D, and the memory of a 1x1 convolution, [1,1,in,out])
 *   b        [out] or NO_VAR
 */
var_t op_linear(tape_t *t, var_t x, var_t W, var_t b, weight_order_t order);
/* Columns lo .. hi - 1 of that alone -> [.., hi - lo]: only that part of W is read. */
var_t op_linear_columns(tape_t *t, var_t x, var_t W, var_t b, weight_order_t order, size_t lo,
                        size_t hi);

/* The same over kern_pack's weights. Forward only.
 *
 *   packed   an extern of kern_pack_bytes(kind, in, out) / 4 floats
 *   b        [out] or NO_VAR
 */
var_t op_packed_linear(tape_t *t, var_t x, var_t packed, var_t b, size_t out, kern_weights_t kind);
/* Columns lo .. hi - 1 of that alone. */
var_t op_packed_columns(tape_t *t, var_t x, var_t packed, var_t b, size_t out, kern_weights_t kind,
                        size_t lo, size_t hi);

/* ---- op_conv.c ---- */

typedef struct {
    size_t stride, pad_top, pad_left, pad_bottom, pad_right; /* pads are zeros */
    size_t up;  /* 1, or 2: x is enlarged first, each pixel becomes 2 x 2 */
    bool plain; /* kern_conv_t.plain */
} conv_opts_t;
/* y[n,oh,ow,o] = b[o] + sum over kh, kw, c of x[n, oh stride + kh - pad_top, ow stride + kw -
 * pad_left, c] w[kh,kw,c,o]
 *
 *   x        [N,H,W,Cin]
 *   w        [kh,kw,Cin,Cout]
 *   b        [Cout] or NO_VAR
 *   returns  [N,OH,OW,Cout], OH = (H up + pad_top + pad_bottom - kh) / stride + 1, OW likewise
 */
var_t op_conv2d(tape_t *t, var_t x, var_t w, var_t b, conv_opts_t o);
/* The kernel's view of that for x and w of these shapes. BUG: they do not fit. */
kern_conv_t op_conv2d_shape(const tape_t *t, shape_t x, shape_t w, conv_opts_t o);
/* The same over weights that kern_conv_pack made for that view, with the same bits; forward only.
 *
 *   packed  an extern of kern_conv_pack_bytes / 4 floats
 *   w       the shape of the weights */
var_t op_conv2d_packed(tape_t *t, var_t x, var_t packed, shape_t w, var_t b, conv_opts_t o);

/* ---- op_norm.c: y = gamma (x - mean) / sqrt(variance + eps) + beta; gamma, beta [C] ---- */

/* Mean and variance per image and group of C / groups channels (Wu & He 2018). x [N,..,C]. silu: y
 * sigmoid(y) instead of y. */
var_t op_groupnorm(tape_t *t, var_t x, var_t gamma, var_t beta, size_t groups, float eps,
                   bool silu);
/* Mean and variance per row (Ba et al. 2016). */
var_t op_layernorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps);
typedef struct {
    var_t y;         /* leaky ReLU (0.2) behind it when asked for */
    var_t mean, var; /* [C] of this batch, variance unbiased: for running statistics, no gradient */
} batchnorm_out_t;
/* Mean and variance per channel over all rows, as in training (Ioffe & Szegedy 2015). */
batchnorm_out_t op_batchnorm(tape_t *t, var_t x, var_t gamma, var_t beta, float eps, bool leaky);

/* ---- op_math.c: element by element; x may have any shape ---- */

/* y = act(x) */
var_t op_act(tape_t *t, var_t x, kern_act_t act);
/* a + b and a b: a and b have the same count, the result the shape of a. */
var_t op_add(tape_t *t, var_t a, var_t b);
var_t op_mul(tape_t *t, var_t a, var_t b);
/* factor x */
var_t op_scale(tape_t *t, var_t x, float factor);
/* y = x / (1 - p) with probability 1 - p, else 0; p <= 0 records nothing. What is drawn depends on
 * plan_key and the scope path. row_elements: elements per sample, so that an element's number is
 * the same for any batch. */
var_t op_dropout(tape_t *t, var_t x, float p, size_t row_elements);
/* The same for some rows of a larger x: row i of x [n,D] is row at[i] of it, at I32 [n], and gets
 * what that row gets; 0 where at[i] < 0. */
var_t op_dropout_some(tape_t *t, var_t x, float p, size_t row_elements, var_t at);
/* sum over i of weight[i] scalar[i], 1 <= n <= OP_IN: the total loss. The weights are copied. */
var_t op_weighted_sum(tape_t *t, const var_t *scalar, const float *weight, size_t n);

/* ---- op_attention.c: softmax(scale q k^T + mask) v, per head ---- */

typedef struct {
    size_t heads; /* divides D; dh = D / heads */
    float scale;  /* 0 = 1 / sqrt(dh) */
    bool causal;  /* position i sees j <= i */
    var_t first;  /* I32 [B,T] or NO_VAR; with causal: kern_attention_t.first */
} attention_opts_t;
/* q [B,Tq,D], k and v [B,Tk,D] -> [B,Tq,D]; with causal Tq = Tk. Either all three get a gradient or
 * none. */
var_t op_attention(tape_t *t, var_t q, var_t k, var_t v, attention_opts_t o);
/* qkv [B,T,3D], columns q | k | v -> [B,T,D]. */
var_t op_attention_packed(tape_t *t, var_t qkv, attention_opts_t o);
/* The rows of some positions alone, causal: q [n,D], kv [B,T,2D], columns k | v -> [n,D]. at I32
 * [n]: the row of [B*T] that each row of q stands at, ascending; negative ones come last and are
 * padding, whose rows become 0. q and kv get gradients together. */
var_t op_attention_some(tape_t *t, var_t q, var_t kv, var_t at, attention_opts_t o);

/* For acting: new positions of some sequences, each a lane with a KV cache of its own. */
typedef struct {
    size_t T; /* new positions, at least one */
    /* New position i sees the cache's rows first .. used + i, and writes row used + i; the first
     * `early` positions, which belong to an older timestep, see rows early_first .. used + i. */
    size_t used, first, early, early_first;
    size_t capacity;     /* rows of the cache, a multiple of KERN_CACHE_PANEL */
    float *const *cache; /* by layer: F32 [capacity, kern_cache_width], the caller's */
} attention_lane_t;
/* The first n lanes of an array that outlives the tape's plans: their contents may change from
 * replay to replay. */
var_t op_attention_lanes(tape_t *t, const attention_lane_t *lane, size_t n);
/* Attention over the lanes' caches, to which keys and values of the new positions are written.
 * Forward only.
 *
 *   qkv      [..,3D]: the new positions of the first lane, then of the second ...; as many rows as
 *            the lanes have new positions
 *   lanes    op_attention_lanes
 *   layer    which of the caches
 * last only the last position of each lane is computed: in a network's last layer only what is
 *            read is worth its attention
 *   returns  [rows,D], or [lanes,D] with `last`
 *
 * A lane has the bits that it has alone. A replay with the same lanes writes the same rows. BUG at
 * replay: a full cache, an impossible lane. */
var_t op_attention_cached(tape_t *t, var_t qkv, var_t lanes, size_t heads, size_t layer, bool last);

/* ---- op_rows.c ---- */

/* y[i] = table[idx[i]], or zeros where idx[i] < 0. table [rows,D], idx I32 of shape s -> [s..,D].
 * Indices must be less than rows: the caller has checked them. */
var_t op_gather(tape_t *t, var_t table, var_t idx);
/* Rows first, first + step, .. of x [rows,D], F32 or I32 -> [ceil((rows - first) / step), D]. No
 * gradient. */
var_t op_every_row(tape_t *t, var_t x, size_t first, size_t step);
/* y = x [n,D], but y[i][idx[i]] = x[i][idx[i]] + gate[i] + plus where idx[i] >= 0. idx I32 [n],
 * gate [n]. Indices must be less than D: the caller has checked them. */
var_t op_add_at(tape_t *t, var_t x, var_t idx, var_t gate, float plus);
/* x [rows,C] `times` times under one another: y[i * rows + j] = x[j] -> [times * rows, C]. */
var_t op_repeat(tape_t *t, var_t x, size_t times);
/* n matrices [n_i,D] under one another, 1 <= n <= OP_IN -> [sum n_i, D]. */
var_t op_concat_rows(tape_t *t, const var_t *v, size_t n);

/* ---- op_resample.c ---- */

/* Maximum over 2 x 2 with stride 2: [N,H,W,C] -> [N,H/2,W/2,C]; a last odd row or column is left
 * out. */
var_t op_maxpool2(tape_t *t, var_t x);

/* ---- op_loss.c: scalars, and two results per row ---- */

/* sum over i of w_i f(a_i - target_i) / sum over i of w_i, f = |.| or (.)^2
 *
 *   a, target   of the same count
 *   weight      [rows of a] or NO_VAR (1); no gradient
 *   both_sides  the target gets a gradient too
 */
var_t op_loss(tape_t *t, kern_loss_t f, var_t a, var_t target, var_t weight, bool both_sides);
/* Weighted mean over rows of -log softmax(logits in [lo, hi))[target]
 *
 *   logits   [n,V]
 *   target   I32 [n], in the row's range
 *   range    I32 [n,2]: lo, hi; columns outside do not take part
 *   weight   [n] or NO_VAR (1)
 *   row      NULL, or receives the var of each row's loss [n], 0 where its weight is 0; no gradient
 */
var_t op_xent(tape_t *t, var_t logits, var_t target, var_t range, var_t weight, var_t *row);
/* Expected bin center of each row [n]: sum over j of softmax(logits in [lo, hi))_j c_(j - lo), c_b
 * = (2b + 1) / (hi - lo) - 1. logits [n,V], range I32 [n,2]. */
var_t op_expect(tape_t *t, var_t logits, var_t range);
/* Mean of f (kern_gan_t) over all elements of a discriminator's logits. */
var_t op_gan(tape_t *t, kern_gan_t f, var_t x);

/* ---- op_head.c: op_linear, op_xent and op_expect in one, without the logits of all rows ---- */

typedef struct {
    var_t target;    /* I32 [n], in the row's range */
    var_t range;     /* I32 [n,2]: lo, hi */
    var_t weight;    /* [n] or NO_VAR (1) */
    var_t own_range; /* I32 [n,2]: lo, hi of the expectation and the maximum; NO_VAR = neither */
} head_xent_t;
typedef struct {
    var_t loss;  /* weighted mean of the rows' cross entropies */
    var_t row;   /* [n] of each row, 0 where its weight is 0; no gradient */
    var_t value; /* [n] expected bin center over own_range, with gradient; NO_VAR without */
    var_t best;  /* I32 [n] the first column of the largest logit in own_range; NO_VAR without */
} head_xent_out_t;
/* logits = x w^T of rows x [n,D] (or [..,D]), w [V,D]. A slice of rows is computed at a time, in
 * about 8 MB, and once more in backward. */
head_xent_out_t op_head_xent(tape_t *t, var_t x, var_t w, head_xent_t o);
/* The same over packed weights of `out` columns, as op_packed_linear takes them; forward only. */
head_xent_out_t op_packed_head_xent(tape_t *t, var_t x, var_t packed, size_t out,
                                    kern_weights_t kind, head_xent_t o);

/* ---- op_perceptual.c: LPIPS (Zhang et al. 2018) ---- */

/* (x - mean) / std per column; mean, std [C] get no gradient. */
var_t op_standardize(tape_t *t, var_t x, var_t mean, var_t std);
/* Scalar: mean over rows of sum over c of w_c (a_c / |a| - b_c / |b|)^2, |.| the length of the row;
 * w [C] gets no gradient. */
var_t op_feature_distance(tape_t *t, var_t a, var_t b, var_t w);

/* ---- op_vq.c: vector quantization (van den Oord et al. 2017) ---- */

typedef struct {
    var_t index;     /* I32, shape of z without its last dim: argmin_k |z - e_k|^2 */
    var_t quantized; /* e[index], shape of z; its gradient passes to z */
    var_t loss;      /* commitment_weight mean (sg(e) - z)^2 + codebook_weight mean (e - sg(z))^2 */
    var_t mse;       /* mean (e - z)^2, no gradient */
    var_t counts;    /* [K] assignments in this batch */
    var_t sums;      /* [K,D] sums of the assigned z */
} vq_out_t;
/* z [..,D], codebook e [K,D] (parameter or extern); sg = no gradient. The gradient of `quantized`
 * goes to z unchanged (straight through). */
vq_out_t op_vq(tape_t *t, var_t z, var_t codebook, float commitment_weight, float codebook_weight);
/* VQ_ROTATED: that gradient is turned back as z was turned onto its code (Fifty et al. 2024;
 * kern_vq_rotate_backward). */
typedef enum { VQ_STRAIGHT, VQ_ROTATED } vq_through_t;
vq_out_t op_vq_through(tape_t *t, var_t z, var_t codebook, float commitment_weight,
                       float codebook_weight, vq_through_t through);
/* Its codes alone, over a codebook of K codes that kern_vq_pack made; forward only.
 *
 *   packed  an extern of kern_vq_pack_bytes / 4 floats */
var_t op_vq_packed(tape_t *t, var_t z, var_t packed, size_t K);
/* y = x / |x| per row, |x| at least 1e-12. */
var_t op_unit_rows(tape_t *t, var_t x);

/* ---- op_fsq.c: finite scalar quantization (Mentzer et al. 2023), one channel of z per level ----
 *
 * A code is the number that its channels' levels spell; there is no codebook (kernel.h). */

/* z [..,f->n]. Of the result loss is 0, and mse and sums are NO_VAR. */
vq_out_t op_fsq(tape_t *t, var_t z, const kern_fsq_t *f);
/* `quantized` before it is rounded: what the autoencoder without quantizer sees. */
var_t op_fsq_bound(tape_t *t, var_t z, const kern_fsq_t *f);
/* Codes I32 of shape s -> their vectors [s..,f->n]. No gradient. */
var_t op_fsq_vectors(tape_t *t, var_t idx, const kern_fsq_t *f);

#endif
