/* nn.h - blocks: named parameters and ops, so that a model reads as an expression.
 *
 * A block's function takes a name and makes its parameters under "<scope>.<name>." at first use;
 * the names are those of the checkpoint (diffusers', NEKO's). Use (tests/examples/example_nn.c), a
 * network of two layers:
 *
 *     nn_t nn;
 *     nn_begin(&nn, tape);
 *     size_t mark = nn_push(&nn, "mlp");
 *     var_t h = nn_linear(&nn, "fc1", x, 32, true); // mlp.fc1.weight [32,2], mlp.fc1.bias [32]
 *     h = op_act(tape, h, ACT_RELU);
 *     var_t y = nn_linear(&nn, "fc2", h, 1, true);
 *     nn_pop(&nn, mark);
 *
 * First values are PyTorch's where nothing else is said: U(+-1/sqrt(fan_in)) for weight and bias.
 */
#ifndef NN_NN_H
#define NN_NN_H

#include "common/tape/ops.h"
#include "common/tape/tape.h"

typedef struct nn_packed nn_packed_t;

/* Low-rank adapters of Conv1D layers (lora.c). */
typedef struct {
    size_t rank;         /* r; 0 = none */
    float scale;         /* alpha / r */
    float dropout;       /* of their input; 0 outside training */
    const char *targets; /* "c_attn,c_fc": last parts of the layers' names. Borrowed */
} nn_lora_t;

/* Where and how blocks are recorded. A plain value: copies are independent. */
typedef struct {
    tape_t *tape;
    nn_packed_t *packed; /* NULL: matrix products over the parameters themselves */
    bool plain_conv;     /* convolutions of least error instead of most speed (kern_conv_t.plain) */
    float conv1d_std;    /* of new Conv1D weights: GPT-2's 0.02, unless changed after nn_begin */
    nn_lora_t lora;      /* of a transformer's layers */
    char scope[2048];
} nn_t;

/* ---- nn.c: scopes and parameters ---- */

void nn_begin(nn_t *nn, tape_t *t);
/* Enters a scope: nn_push(nn, "encoder.down_blocks.%d", i) ... nn_pop(nn, mark). The tape's scope
 * follows. BUG: a path longer than the field. */
size_t nn_push(nn_t *nn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nn_pop(nn_t *nn, size_t mark);

/* The parameter "<scope>.<name>" of any rank, of rank 1 [a] and of rank 2 [a,b]. dim: on disk. */
var_t nn_param(nn_t *nn, const char *name, int rank, const size_t *dim, param_layout_t layout,
               param_init_t init);
var_t nn_param1(nn_t *nn, const char *name, size_t a, param_init_t init);
var_t nn_param2(nn_t *nn, const char *name, size_t a, size_t b, param_init_t init);

static inline param_init_t init_zero(void) {
    return (param_init_t){INIT_ZERO, 0};
}
static inline param_init_t init_one(void) {
    return (param_init_t){INIT_ONE, 0};
}
static inline param_init_t init_normal(float std) {
    return (param_init_t){INIT_NORMAL, std};
}
static inline param_init_t init_uniform(float a) {
    return (param_init_t){INIT_UNIFORM, a};
}
static inline param_init_t init_near_one(float std) {
    return (param_init_t){INIT_NEAR_ONE, std};
}

/* ---- nn.c: layers ----
 *
 * x is [..,in], feature maps [N,H,W,in]. Parameters' shapes are those on disk. */

/* y = x W^T (+ b). <name>.weight [out,in], <name>.bias [out]. */
var_t nn_linear(nn_t *nn, const char *name, var_t x, size_t out, bool bias);
/* Linear(tanh(Linear(x))): <name>.0, `inner` wide, and <name>.2, both with bias. */
var_t nn_tanh_pair(nn_t *nn, const char *name, var_t x, size_t inner, size_t out);
/* GPT-2's Conv1D, y = x W + b. <name>.weight [in,out] from N(0, conv1d_std^2), <name>.bias [out]
 * zero. */
var_t nn_conv1d(nn_t *nn, const char *name, var_t x, size_t out);
/* Columns lo .. hi - 1 of that alone. */
var_t nn_conv1d_columns(nn_t *nn, const char *name, var_t x, size_t out, size_t lo, size_t hi);
/* k x k, stride 1, k / 2 zeros on each side; up as in conv_opts_t (1 or 2). k = 1 is a linear
 * layer. <name>.weight [out,in,k,k], <name>.bias [out]. */
var_t nn_conv2d(nn_t *nn, const char *name, var_t x, size_t out, size_t k, size_t up);
/* 3 x 3, stride 2, a row of zeros below and a column of zeros to the right: [N,H,W,C] ->
 * [N,H/2,W/2,C] (taming's Downsample). */
var_t nn_downsample(nn_t *nn, const char *name, var_t x);
/* op_groupnorm and op_layernorm; <name>.weight [C] = gamma, one; <name>.bias [C] = beta, zero. */
var_t nn_groupnorm(nn_t *nn, const char *name, var_t x, size_t groups, float eps, bool silu);
var_t nn_layernorm(nn_t *nn, const char *name, var_t x, float eps);

/* ---- packed.c: linear layers over 32, 16, 8 or 4 bits per weight; convolutions and codebooks ----
 *
 * For tapes that only run forward. A matrix is packed when a layer first asks for it; the
 * parameters stay as they are and must not change any more. Filters and codebooks are packed in 32
 * bits, with the same results as unpacked; filters up to 128 MB, the rest stays as it is. */

/* Borrows p, which must outlive it. */
nn_packed_t *nn_packed_new(params_t *p, kern_weights_t kind);
/* NULL is allowed. The tapes that use it must be freed before it. */
void nn_packed_free(nn_packed_t *p);
/* Packs parameter i, [out,in] on disk, from W instead: for parameters that keep no numbers
 * themselves (params_apart). BUG: it is packed already. */
void nn_packed_put(nn_packed_t *p, int i, const float *W);
/* Bytes packed so far. */
size_t nn_packed_bytes(const nn_packed_t *p);
/* x W (+ b), W a parameter, b [out] or NO_VAR: op_linear, or op_packed_linear where nn->packed is
 * set. */
var_t nn_apply(nn_t *nn, var_t x, var_t W, var_t b, weight_order_t order);
/* Columns lo .. hi - 1 of that alone, with the same bits: [.., hi - lo]. Only that part of W is
 * read. */
var_t nn_apply_columns(nn_t *nn, var_t x, var_t W, var_t b, weight_order_t order, size_t lo,
                       size_t hi);
/* op_head_xent over W, a parameter [V,D], or op_packed_head_xent where nn->packed is set. */
head_xent_out_t nn_head_xent(nn_t *nn, var_t x, var_t W, head_xent_t o);

/* op_conv2d over w, a parameter [kh,kw,in,out], or op_conv2d_packed where nn->packed is set. */
var_t nn_apply_conv(nn_t *nn, var_t x, var_t w, var_t b, conv_opts_t o);
/* I32 [..]: the nearest rows of a codebook, a parameter [K,D], to vectors z [..,D]. */
var_t nn_nearest(nn_t *nn, var_t z, var_t codebook);

/* ---- lora.c: y = x W + b + (alpha / r) B(A(drop(x))) (Hu et al. 2021) ----
 *
 * The adapter of a layer x W + b is two more parameters under peft's names:
 * <name>.lora_A.default.weight [r,in], Kaiming uniform, and <name>.lora_B.default.weight [out,r],
 * zero: at first it changes nothing. */

/* y, columns lo and following of the layer `name` (x -> [..,out]), with its adapter added; y itself
 * where nn->lora has none for it. sample, at: as in op_dropout_some (at may be NO_VAR). */
var_t nn_lora(nn_t *nn, const char *name, var_t x, var_t y, size_t out, size_t lo, size_t sample,
              var_t at);
/* Is the last part of `name` in the list "c_attn,c_fc"? */
bool nn_lora_targets(const char *list, const char *name);
/* Does the parameter belong to an adapter? */
bool nn_lora_owns(const char *name);
/* Adds every adapter to its layer, W += scale A^T B^T, and leaves it where it is: record no
 * adapters from then on. Returns how many there were. */
size_t nn_lora_merge(params_t *p, float scale);

/* ---- resnet.c, attention.c: blocks of VQGANs under the caller's scope, x [N,H,W,C] ---- */

/* s(x) + conv2(silu(norm2(conv1(silu(norm1(x)))))), s = conv_shortcut (1 x 1) where the width
 * changes and x itself elsewhere: diffusers' ResnetBlock2D without time embedding ->
 * [N,H,W,out]. */
var_t nn_resnet(nn_t *nn, var_t x, size_t out, size_t groups, float eps);
/* x + to_out.0(softmax(q k^T / sqrt(C)) v), q, k, v = to_q, to_k, to_v of group_norm(x): attention
 * of one head over the pixels (taming's AttnBlock, diffusers' names) -> [N,H,W,C]. */
var_t nn_pixel_attention(nn_t *nn, var_t x, size_t groups, float eps);

/* ---- transformer.c: GPT-2's pre-LN blocks (Radford et al. 2019) under the caller's scope ----
 *
 *     a = x + attn.c_proj(attention(attn.c_attn(ln_1(x))))
 *     y = a + mlp.c_proj(act(mlp.c_fc(ln_2(a))) [ * mlp.gated_layer(ln_2(a)) ])
 *
 * all under h.{i}. for block i, and ln_f behind the last; the c_* layers with the adapters of
 * nn->lora. Dropout acts on both branches, not on the
 * attention's probabilities. */
typedef struct {
    size_t layers, heads;
    /* GELU, its tanh form, or GELU gated by a linear layer. */
    enum { MLP_GELU, MLP_GELU_NEW, MLP_GEGLU } activation;
    float dropout;
    var_t first; /* I32 [B,T] or NO_VAR: kern_attention_t.first */
} transformer_opts_t;
/* x [B,T,D] -> [B,T,D] after ln_f.
 *
 * read  NO_VAR, or I32 [n]: the rows of [B*T] that are wanted, ascending, padding (negative) last
 *       -> [n,D]. The last block then computes all keys and values, and everything else of those
 *       rows alone: the same numbers, dropout too. */
var_t nn_transformer(nn_t *nn, var_t x, var_t read, transformer_opts_t o);
/* The pieces around a caller's own attention over its KV cache, for block `layer`: qkv [B,T,3D] =
 * nn_block_qkv(x); the caller attends; x = nn_block_rest(x, attended); behind the last block
 * nn_final_norm. */
var_t nn_block_qkv(nn_t *nn, size_t layer, var_t x);
var_t nn_block_rest(nn_t *nn, size_t layer, var_t x, var_t attended, transformer_opts_t o);
var_t nn_final_norm(nn_t *nn, var_t x);

#endif
