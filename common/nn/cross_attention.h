/* cross_attention.h - attention of one sequence to another, and pre-norm transformer blocks around
 * it, under diffusers' names (BasicTransformerBlock) and the caller's scope.
 *
 *     x = x + attn1(norm1(x))             self-attention, full or causal
 *     x = x + attn2(norm2(x), context)    cross-attention: queries of x, keys and values of context
 *     x = x + ff.net.2(gelu(ff.net.0.proj(norm3(x))))
 *
 * where attn(q, c) = to_out.0(softmax(to_q(q) to_k(c)^T / sqrt(D / heads)) to_v(c)), by head; to_q,
 * to_k and to_v have no bias, LayerNorms an eps of 1e-5, and ff is 4 D wide. A part that a block
 * does not have has no parameters. At first to_q is four times as large as Glorot's.
 */
#ifndef NN_CROSS_ATTENTION_H
#define NN_CROSS_ATTENTION_H

#include "common/nn/nn.h"

/* x [B,Tq,D], context [B,Tk,C] -> [B,Tq,D]; context may be x. causal needs Tq = Tk: row i then sees
 * rows 0 .. i of the context. <name>.{to_q,to_k,to_v}.weight, <name>.to_out.0.{weight,bias}. */
var_t nn_cross_attention(nn_t *nn, const char *name, var_t x, var_t context, size_t heads,
                         bool causal);

typedef enum { SELF_NONE, SELF_FULL, SELF_CAUSAL } self_attention_t;
/* One block: x [B,Tq,D] -> [B,Tq,D]. context [B,Tk,C], or NO_VAR: without cross-attention. heads
 * divides D. */
var_t nn_query_block(nn_t *nn, var_t x, var_t context, size_t heads, self_attention_t self);

#endif
