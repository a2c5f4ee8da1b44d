/* nn.h - blocks: named parameters + ops. A block's function takes its name and creates its
 * parameters under "<scope>.<name>." at first use; names are those of the checkpoint (diffusers',
 * NEKO's).
 *
 * Initialisation is PyTorch's default where nothing else is said: U(+-1/sqrt(fan_in)) for weight
 * and bias.
 */
#ifndef NN_NN_H
#define NN_NN_H

#include "common/tape/ops.h"
#include "common/tape/tape.h"

/* packed.c: the matrices of a network's linear layers, packed at first use (kernel.h: 32, 16 or 8
 * bits a weight) for tapes that only run forward. The parameters stay as they are and must not
 * change any more. */
typedef struct nn_packed nn_packed_t;
nn_packed_t *nn_packed_new(params_t *p, kern_weights_t kind);
void nn_packed_free(nn_packed_t *p);
size_t nn_packed_bytes(const nn_packed_t *p);

typedef struct {
    tape_t *tape;
    nn_packed_t *packed; /* NULL: matrix products over the parameters themselves */
    bool plain_conv;     /* convolutions of least error instead of most speed (kern_conv_t.plain) */
    float conv1d_std;    /* of new Conv1D weights: GPT-2's 0.02, unless changed after nn_begin */
    char scope[512];
} nn_t;

void nn_begin(nn_t *nn, tape_t *t);
/* nn_push(nn, "encoder.down_blocks.%d", i) ... nn_pop(nn, mark): also the tape's scope. */
size_t nn_push(nn_t *nn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nn_pop(nn_t *nn, size_t mark);

/* The parameter "<scope>.<name>". */
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

/* x W (+ b), W a parameter: op_linear, or its packed twin where the scope has packed weights. */
var_t nn_apply(nn_t *nn, var_t x, var_t W, var_t b /* or NO_VAR */, weight_order_t order);
/* <name>.weight [out,in], <name>.bias [out] */
var_t nn_linear(nn_t *nn, const char *name, var_t x, size_t out, bool bias);
/* GPT-2's Conv1D: weight [in,out] N(0,conv1d_std), bias 0 */
var_t nn_conv1d(nn_t *nn, const char *name, var_t x, size_t out);
/* <name>.weight OIHW, <name>.bias; k x k, stride 1, "same" zero padding; up as in conv_opts_t (1 or
 * 2). k = 1 is a linear layer. */
var_t nn_conv2d(nn_t *nn, const char *name, var_t x, size_t out, size_t k, size_t up);
/* 3x3, stride 2, one zero row below and one zero column to the right (taming's Downsample). */
var_t nn_downsample(nn_t *nn, const char *name, var_t x);
var_t nn_groupnorm(nn_t *nn, const char *name, var_t x, size_t groups, float eps, bool silu);
var_t nn_layernorm(nn_t *nn, const char *name, var_t x, float eps);

/* resnet.c: diffusers' ResnetBlock2D without time embedding: x + conv2(silu(norm2(conv1(silu(norm1
 * x))))), conv_shortcut 1x1 where the width changes. Names norm1 conv1 norm2 conv2
 * conv_shortcut. */
var_t nn_resnet(nn_t *nn, var_t x, size_t out, size_t groups, float eps);
/* attention.c: single-head attention over pixels, x + to_out.0(softmax(q k^T / sqrt(C)) v), names
 * group_norm to_q to_k to_v to_out.0. */
var_t nn_pixel_attention(nn_t *nn, var_t x, size_t groups, float eps);

/* transformer.c (under the caller's scope): GPT-2 pre-LN blocks
 * h.{i}.{ln_1,attn.c_attn,attn.c_proj,ln_2,mlp.c_fc,mlp.c_proj[,mlp.gated_layer]} and ln_f. */
typedef struct {
    size_t layers, heads;
    enum { MLP_GELU, MLP_GELU_NEW, MLP_GEGLU } activation;
    float dropout;
    var_t timestep; /* I32 [B,T]; kern_attention_t.timestep */
    int32_t window;
} transformer_opts_t;
/* x [B,T,D] -> [B,T,D] after ln_f. Dropout acts on the residual branches (not on attention
 * probabilities). */
var_t nn_transformer(nn_t *nn, var_t x, transformer_opts_t o);
/* Acting: the pieces around a caller's attention over its KV cache. Layer i: qkv = nn_block_qkv(x);
 * the caller attends; x = nn_block_rest(x, attended). */
var_t nn_block_qkv(nn_t *nn, size_t layer, var_t x);
var_t nn_block_rest(nn_t *nn, size_t layer, var_t x, var_t attended, transformer_opts_t o);
var_t nn_final_norm(nn_t *nn, var_t x);

#endif
