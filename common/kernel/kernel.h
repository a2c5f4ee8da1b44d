/* kernel.h - the contract of every numeric kernel.
 *
 * Plain pointers and sizes; row-major; a feature map is NHWC = a matrix [N*H*W, C]. Kernels never
 * fail, allocate nothing that outlives the call, and may use the thread pool. Unless said otherwise
 * outputs do not overlap inputs.
 *
 * Promises (tests/test_kernel.c holds them against double-precision loops):
 *  - an output element depends only on its own row / image and on shapes of ONE image, never on the batch size, the
 *    place in the batch or the number of threads;
 *  - sums over the batch (weight, bias, table gradients, losses) are cut into at most KERN_PIECES pieces fixed by the
 *    shape and added in order: the same bytes for any number of threads;
 *  - `add` false overwrites the output, true adds to it.
 */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KERN_PIECES = 8 };

/* ---- gemm.c: C[M,N] (+)= op(A)[M,K] op(B)[K,N] (+ bias[N])
 * ------------------------------------------------------------ ta: A is stored [K,M]; tb: B is stored [N,K]. ld* are
 * row strides in floats. bias may be NULL. Parallel over blocks of C; kern_gemm_serial is the same
 * on the calling thread alone (for use inside parallel_for). */
void kern_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
               const float *B, size_t ldb, float *C, size_t ldc, bool add, const float *bias);
void kern_gemm_serial(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
                      const float *B, size_t ldb, float *C, size_t ldc, bool add,
                      const float *bias);

/* ---- packed.c: y[M,N] = x[M,K] W (+ bias[N]) over weights packed once, for networks that only run forward ----
 * F32 keeps every bit; BF16 rounds each weight to 8 bits of mantissa; Q8 keeps a signed byte a
 * weight and a float scale for every 64 weights of a column (symmetric, the largest becomes 127),
 * and rounds the values of a row likewise, so that 64 products are summed as integers; the sums of
 * those are floats. */
typedef enum { WEIGHTS_F32, WEIGHTS_BF16, WEIGHTS_Q8 } kern_weights_t;
size_t kern_pack_bytes(kern_weights_t kind, size_t K, size_t N);
/* tb: W is stored [N,K]. `packed`: kern_pack_bytes, 4-byte aligned. */
void kern_pack(kern_weights_t kind, bool tb, size_t K, size_t N, const float *W, void *packed);
/* The weights that a product sees. */
void kern_unpack(kern_weights_t kind, bool tb, size_t K, size_t N, const void *packed, float *W);
void kern_packed_linear(kern_weights_t kind, size_t M, size_t N, size_t K, const float *x,
                        const void *packed, const float *bias, float *y);

/* out[C] (+)= sum over rows of x[rows,C] (bias gradients). */
void kern_colsum(const float *x, size_t rows, size_t C, float *out, bool add);

/* ---- conv.c: 2-D convolution, NHWC, weights [kh,kw,Cin,Cout]
 * ---------------------------------------------------------- y[n,oy,ox,:] = bias + sum_{r,s} x[n, oy*stride+r-pad_top,
 * ox*stride+s-pad_left, :] w[r,s,:,:]; outside x is zero, so padding below and to the right follows
 * from OH, OW. up = 2 reads x through a nearest-neighbour x2 enlargement (H, W are then the sizes
 * of x itself; stride must be 1). */
typedef struct {
    size_t N, H, W, Cin, OH, OW, Cout, kh, kw, stride, pad_top, pad_left, up;
    bool
        plain; /* sums as they are written, never Winograd's: a few times less error, a third of the speed */
} kern_conv_t;
void kern_conv_forward(const kern_conv_t *g, const float *x, const float *w, const float *bias,
                       float *y);
void kern_conv_backward_input(const kern_conv_t *g, const float *dy, const float *w, float *dx,
                              bool add);
void kern_conv_backward_weight(const kern_conv_t *g, const float *x, const float *dy, float *dw,
                               bool add);

/* ---- norm.c
 * ---------------------------------------------------------------------------------------------------------- GroupNorm
 * (Wu & He 2018) over x[N,HW,C] in G groups of C/G channels, per image; y = act(gamma*xhat + beta),
 * act = SiLU when `silu`. mean, rstd [N*G] are written by forward and read by backward. dgamma,
 * dbeta, dx may each be NULL. y may be x, and dx may be dy unless it is added to; so in
 * LayerNorm. */
void kern_groupnorm_forward(const float *x, const float *gamma, const float *beta, size_t N,
                            size_t HW, size_t C, size_t G, float eps, bool silu, float *y,
                            float *mean, float *rstd);
void kern_groupnorm_backward(const float *x, const float *gamma, const float *beta,
                             const float *mean, const float *rstd, const float *dy, size_t N,
                             size_t HW, size_t C, size_t G, bool silu, float *dx, bool add_dx,
                             float *dgamma, bool add_dgamma, float *dbeta, bool add_dbeta);
/* LayerNorm (Ba et al. 2016) over rows of x[rows,C]; mean, rstd [rows]. */
void kern_layernorm_forward(const float *x, const float *gamma, const float *beta, size_t rows,
                            size_t C, float eps, float *y, float *mean, float *rstd);
void kern_layernorm_backward(const float *x, const float *gamma, const float *mean,
                             const float *rstd, const float *dy, size_t rows, size_t C, float *dx,
                             bool add_dx, float *dgamma, bool add_dgamma, float *dbeta,
                             bool add_dbeta);

/* ---- batchnorm.c: BatchNorm (Ioffe & Szegedy 2015) in training mode over rows of x[rows,C] (all pixels of the batch),
 * biased variance; y = act(gamma*xhat + beta), act = leaky ReLU of slope 0.2 when `leaky`. Unlike
 * the others an output depends on the whole batch. mean, rstd [C] are read by backward; var [C] is
 * the unbiased variance, for running statistics. dgamma, dbeta, dx may each be NULL. */
void kern_batchnorm_forward(const float *x, const float *gamma, const float *beta, size_t rows,
                            size_t C, float eps, bool leaky, float *y, float *mean, float *rstd,
                            float *var);
void kern_batchnorm_backward(const float *x, const float *gamma, const float *beta,
                             const float *mean, const float *rstd, const float *dy, size_t rows,
                             size_t C, bool leaky, float *dx, bool add_dx, float *dgamma,
                             bool add_dgamma, float *dbeta, bool add_dbeta);

/* ---- act.c: elementwise ---- */
typedef enum {
    ACT_SILU,      /* x sigmoid(x) */
    ACT_GELU,      /* 0.5 x (1 + erf(x / sqrt 2)) */
    ACT_GELU_TANH, /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's gelu_new */
    ACT_RELU,
    ACT_LEAKY_RELU, /* slope 0.2 */
    ACT_TANH
} kern_act_t;
/* Elementwise kernels may write over what they read: y may be x, a or b, dx may be dy. */
void kern_act_forward(kern_act_t act, const float *x, size_t n, float *y);
/* dx (+)= act'(x) dy */
void kern_act_backward(kern_act_t act, const float *x, const float *dy, size_t n, float *dx,
                       bool add);
/* y (+)= s x */
void kern_scale(const float *x, float s, size_t n, float *y, bool add);
/* y = a + b */
void kern_add(const float *a, const float *b, size_t n, float *y);
/* y = a b ; with add: y += a b (GEGLU) */
void kern_mul(const float *a, const float *b, size_t n, float *y, bool add);
/* Inverted dropout: y[i] = keep(first + i) ? x[i] / (1-p) : 0, keep drawn by rng (seed, stream) at
 * that index; the backward is the same function on dy. */
void kern_dropout(const float *x, size_t n, float p, uint64_t seed, uint64_t stream, uint64_t first,
                  float *y, bool add);

/* ---- attention.c: softmax(scale q k^T + mask) v, one task a (batch, head, block of rows); no T x T matrix is stored
 * ----- q, k, v, o point at [B,Tq,heads,dh], [B,Tk,heads,dh] inside rows of strides ldq, ldk, ldv, ldo floats (head h
 * at column h*dh), so a packed [B*T,3D] matrix serves. Row i of q sits at key position i + (Tk - Tq). causal  keys j <=
 * i + Tk - Tq only; timestep NULL, or int32 [B,Tk]: the timestep of every key position; query i sees key j only if
 *           timestep[j] > timestep[i + Tk - Tq] - window (the attention window of the KV cache). A negative one marks padding:
 * never seen by others; a padding query sees only itself. lse [B,heads,Tq]: log of the softmax
 * denominator, written by forward, read by backward. */
typedef struct {
    size_t B, Tq, Tk, heads, dh, ldq, ldk, ldv, ldo;
    float scale;
    bool causal;
    const int32_t *timestep;
    int32_t window;
} kern_attention_t;
void kern_attention_forward(const kern_attention_t *g, const float *q, const float *k,
                            const float *v, float *o, float *lse);
/* dq, dk, dv have the strides of q, k, v; requires Tq == Tk. scratch: kern_attention_scratch(g)
 * bytes. */
size_t kern_attention_scratch(const kern_attention_t *g);
void kern_attention_backward(const kern_attention_t *g, const float *q, const float *k,
                             const float *v, const float *o, const float *lse, const float *do_,
                             float *dq, float *dk, float *dv, bool add, void *scratch);

/* ---- attention_cache.c: the same for T new positions over a KV cache, which kern_attention_cached alone writes and
 * reads: kern_cache_width floats a position, `capacity` positions (a multiple of KERN_CACHE_PANEL).
 * qkv [T,3D]: the new positions' queries, keys and values, D = heads*dh; keys and values go to
 * positions used .. used+T-1. Position i sees first .. used+i, the first `early` ones early_first
 * .. used+i. out [T-skip,D]: all but the first `skip`. */
enum { KERN_CACHE_PANEL = 16 };
typedef struct {
    size_t T, heads, dh, capacity, used, first, early, early_first, skip;
    float scale;
    const float *qkv;
    float *cache, *out;
} kern_cached_t;
size_t kern_cache_width(size_t heads, size_t dh);
void kern_attention_cached(const kern_cached_t *g);
/* Positions first .. first+n-1 to the front of `to`, which may be the same cache; `first` begins a
 * panel. */
void kern_cache_move(size_t heads, size_t dh, const float *from, size_t capacity, size_t first,
                     size_t n, float *to, size_t to_capacity);

/* ---- rows.c: tables and row shuffles
 * ------------------------------------------------------------------------------------ out[i,:] = table[idx[i],:], zero
 * when idx[i] < 0. Indices are in range: checked when they were made. */
void kern_gather_forward(const float *table, const int32_t *idx, size_t n, size_t D, float *out,
                         bool add);
/* dtable[idx[i],:] += dout[i,:] in order of i; `add` false clears dtable[rows,D] first. Parallel
 * over columns/row ranges. */
void kern_gather_backward(const float *dout, const int32_t *idx, size_t n, size_t D, float *dtable,
                          size_t rows, bool add);

/* ---- resample.c
 * ----------------------------------------------------------------------------------------------------------
 * Maximum over 2x2 with stride 2: y[N,H/2,W/2,C]; a last odd row or column is left out. The
 * gradient goes to the first largest, row by row. */
void kern_maxpool2_forward(const float *x, size_t N, size_t H, size_t W, size_t C, float *y);
void kern_maxpool2_backward(const float *x, const float *dy, size_t N, size_t H, size_t W, size_t C,
                            float *dx, bool add);

/* ---- vq.c: codebook (van den Oord et al. 2017; specs in common/model/vqvae.h)
 * -------------------------------------------- idx[i] = argmin_k |z_i|^2 + |e_k|^2 - 2 z_i.e_k over codebook e[K,D];
 * the lowest index wins ties. */
void kern_vq_nearest(const float *z, size_t n, const float *e, size_t K, size_t D, int32_t *idx);
/* counts[K] = assignments, sums[K,D] = sums of the assigned vectors (in order of i). D = 0: counts
 * alone. */
void kern_vq_stats(const float *z, const int32_t *idx, size_t n, size_t K, size_t D, float *counts,
                   float *sums);
/* The rotation trick (Fifty et al. 2024): z is turned and stretched onto its code q, and the
 * gradient is turned back. u = z/|z|, v = q/|q|, w = (u+v)/|u+v| (norms floored at 1e-6), all
 * constants: dz (+)= |q|/|z| (dq - 2 (dq.w) w + 2 (dq.v) u). */
void kern_vq_rotate_backward(const float *z, const float *q, const float *dq, size_t n, size_t D,
                             float *dz, bool add);
/* y[i,:] = x[i,:] / |x_i|, the norm floored at 1e-12 (y may be x); and its gradient. */
void kern_unit_rows_forward(const float *x, size_t n, size_t D, float *y);
void kern_unit_rows_backward(const float *x, const float *dy, size_t n, size_t D, float *dx,
                             bool add);

/* ---- fsq.c: finite scalar quantization (Mentzer et al. 2023)
 * -------------------------------------------- a channel of l levels, h = (l-1) 1.001/2, o = 1/2 for even l else 0:
 * b = tanh(z + atanh(o/h)) h - o; k = b rounded, ties to even; q = k / floor(l/2); code = sum_i
 * (k_i + floor(l_i/2)) prod_(j<i) l_j. Levels are 3..KERN_FSQ_MOST. */
enum { KERN_FSQ_DIMS = 8, KERN_FSQ_MOST = 1000 };
typedef struct {
    size_t n;
    int32_t level[KERN_FSQ_DIMS];
} kern_fsq_t;
/* The number of codes. */
size_t kern_fsq_codes(const kern_fsq_t *f);
/* z [n,D] -> idx [n], q [n,D]. */
void kern_fsq_forward(const kern_fsq_t *f, const float *z, size_t n, int32_t *idx, float *q);
/* dz (+)= dq h tanh'(z + atanh(o/h)) / floor(l/2): straight through the rounding. */
void kern_fsq_backward(const kern_fsq_t *f, const float *z, const float *dq, size_t n, float *dz,
                       bool add);
/* q [n,D] = b / floor(l/2), not rounded; the same gradient. */
void kern_fsq_bound(const kern_fsq_t *f, const float *z, size_t n, float *q);
/* q of codes idx[n], or of codes 0 .. n-1 when idx is NULL: the implicit codebook. */
void kern_fsq_vectors(const kern_fsq_t *f, const int32_t *idx, size_t n, float *q);

/* ---- loss.c: scalars out[1]; sums in double, cut as promised above ---- */
typedef enum { LOSS_L1, LOSS_MSE } kern_loss_t;
/* sum_i w_i f(a_i - b_i) / sum_i w_i over n = rows*C elements; w[rows] weighs a row (pixel), NULL =
 * 1. */
void kern_loss_forward(kern_loss_t f, const float *a, const float *b, const float *w, size_t rows,
                       size_t C, float *out);
/* da (+)= dout * d/da; for db pass a and b swapped. */
void kern_loss_backward(kern_loss_t f, const float *a, const float *b, const float *w, size_t rows,
                        size_t C, float dout, float *da, bool add);
/* Cross entropy over logits[n,V], restricted to columns [lo_i, hi_i) of each row (ranges int32
 * [n,2]); target int32[n]; w[n] or NULL. loss_row[n] = -log p(target) (0 where w = 0); out = sum w
 * loss_row / sum w (0 when sum w = 0). */
void kern_xent_forward(const float *logits, const int32_t *target, const int32_t *range,
                       const float *w, size_t n, size_t V, float *loss_row, float *out);
void kern_xent_backward(const float *logits, const int32_t *target, const int32_t *range,
                        const float *w, size_t n, size_t V, float dout, float *dlogits, bool add);
/* value[i] = sum_j p_ij c_(j-lo) over the softmax of row i restricted to its range; centers c_b =
 * (2b+1)/bins - 1. */
void kern_expect_forward(const float *logits, const int32_t *range, size_t n, size_t V,
                         float *value);
void kern_expect_backward(const float *logits, const int32_t *range, const float *value,
                          const float *dvalue, size_t n, size_t V, float *dlogits, bool add);

/* ---- loss_gan.c: means over n logits of a discriminator */
typedef enum {
    GAN_GENERATOR,    /* -x */
    GAN_HINGE_REAL,   /* max(0, 1 - x) (Lim & Ye 2017) */
    GAN_HINGE_FAKE,   /* max(0, 1 + x) */
    GAN_VANILLA_REAL, /* softplus(-x) (Goodfellow et al. 2014) */
    GAN_VANILLA_FAKE  /* softplus(x) */
} kern_gan_t;
void kern_gan_forward(kern_gan_t f, const float *x, size_t n, float *out);
void kern_gan_backward(kern_gan_t f, const float *x, size_t n, float dout, float *dx, bool add);

/* ---- perceptual.c (LPIPS, Zhang et al. 2018) */
/* y = (x - mean[c]) / std[c] over x[rows,C]; dx (+)= dy / std[c]. */
void kern_standardize_forward(const float *x, const float *mean, const float *std, size_t rows,
                              size_t C, float *y);
void kern_standardize_backward(const float *dy, const float *std, size_t rows, size_t C, float *dx,
                               bool add);
/* Mean over rows of sum_c w_c (a_c / (|a| + 1e-10) - b_c / (|b| + 1e-10))^2, |a| the length of the
 * row. For db pass a and b swapped; the gradient of a row of zeros is zero. */
void kern_feature_distance_forward(const float *a, const float *b, const float *w, size_t rows,
                                   size_t C, float *out);
void kern_feature_distance_backward(const float *a, const float *b, const float *w, size_t rows,
                                    size_t C, float dout, float *da, bool add);

/* ---- optim.c: one sweep over one block ---- */
typedef struct {
    float lr, beta1, beta2, eps,
        /* decay decoupled (AdamW) when `decoupled`, else added to the gradient (Adam L2) */
        weight_decay;
    bool decoupled;
    float grad_scale; /* multiplies the gradient first (clipping, 1/accumulate) */
    int64_t step;     /* 1 at the first update: bias correction 1 - beta^step */
} kern_adam_t;
void kern_adam(const kern_adam_t *o, float *w, const float *g, float *m, float *v, size_t n);
/* Sum of squares in double, fixed pieces. */
double kern_sumsq(const float *x, size_t n);

#endif
