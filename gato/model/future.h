/* future.h - what predicts observed images and vectors from hidden states, in training and at
 * play.
 *
 * The codes of an image token, at one horizon of loss.horizon: a token stands for B = merge x
 * merge codes c_0 .. c_(B-1). With B = 1 its logits are W h. A larger block is predicted code
 * after code, so that a draw of all is a draw from their joint distribution (the chain rule, as
 * NADE, Larochelle & Murray 2011, and the depth transformer of Lee et al. 2022 use it):
 *
 *     x_i      = h + sum over j < i of E_j v(c_j)      v: a code's vector, as it enters the model
 *     u_i      = LayerNorm(x_i)
 *     logits_i = W_i (u_i + fc2 gelu(fc1 u_i))         W_i: rows i K .. (i+1) K - 1 of W
 *
 * Where model.image_last is set, horizon 1 also knows the codes c'_j of the block one timestep
 * before, in the same episode; every term of them is zero where there is none. Copying, which most
 * codes ask for, need then not be learned through attention. A block of one is predicted as larger
 * ones are.
 *
 *     x_i           = h + sum over j of P_j v(c'_j) + sum over j < i of E_j v(c_j)
 *     logits_i[c'_i] += log K + g_i(u_i)               g_i: linear; at 0 c'_i has half of the odds
 *
 * Use: x = future_begin(.., h, last); for each i: logits = future_logits(.., i, x, last); choose or
 * know the code c; x = future_take(.., i, x, c).
 */
#ifndef GATO_FUTURE_H
#define GATO_FUTURE_H

#include "gato/model/model.h"

/* Codes of a token. */
size_t future_block(const gato_model_t *m);
/* Does a horizon know the block one timestep before? part: the number of the horizon. */
bool future_knows_last(const gato_model_t *m, uint32_t part);
/* Records what the first code is predicted from, [n,D], of hidden states h [n,D]. last: I32
 * [n,block], the codes one timestep before, -1 = none; NO_VAR where the horizon does not know. */
var_t future_begin(nn_t *nn, const gato_model_t *m, uint32_t part, var_t h, var_t last);
/* Records the logits [n,K] of code i from x [n,D]. */
var_t future_logits(nn_t *nn, const gato_model_t *m, uint32_t part, size_t i, var_t x, var_t last);
/* Records x + E_i v(code) [n,D], code I32 [n]; i + 1 < the block. */
var_t future_take(nn_t *nn, const gato_model_t *m, uint32_t part, size_t i, var_t x, var_t code);
/* Records an observed vector [n,width] from the rows [n,D] before its token, standardized
 * (model.vector_in = linear). */
var_t future_vector(nn_t *nn, const gato_model_t *m, uint32_t task, uint32_t slot, var_t rows);
/* Column i of a value of the block, [n, per * block] -> [n, per]; no gradient. */
var_t future_column(tape_t *t, var_t in, size_t block, size_t i, size_t per);
/* The number of the horizon k in loss.horizon; -1 when it is not there. */
int future_part(const gato_model_t *m, int64_t k);

#endif
