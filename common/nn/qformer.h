/* qformer.h - queries that read a memory: the Q-Former of BLIP-2 (Li et al. 2023), which is BERT's
 * post-norm encoder (Devlin et al. 2018) with cross-attention in every second layer.
 *
 * Use, 32 queries over the patches of an image:
 *
 *     qformer_opts_t o = {.layers = 12, .heads = 12, .hidden = 3072, .causal = true};
 *     var_t y = nn_qformer(&nn, queries, patches, o, NULL); // [B,32,768]
 */
#ifndef NN_QFORMER_H
#define NN_QFORMER_H

#include "common/nn/nn.h"

typedef struct {
    size_t layers, heads, hidden;
    /* Query i sees the queries j <= i, and all of the memory. Otherwise it sees all queries. */
    bool causal;
} qformer_opts_t;
/* queries [B,Q,D], memory [B,T,E] of any width -> [B,Q,D]. Under BERT's names in the caller's
 * scope:
 *
 *     x = embeddings.LayerNorm(queries)
 *     layer i, under encoder.layer.{i}:
 *     x = attention.output.LayerNorm(x + attention.output.dense(attend(x, x)))
 *     x = crossattention.output.LayerNorm(x + crossattention.output.dense(attend(x, memory)))
 *     x = output_query.LayerNorm(x + output_query.dense(gelu(intermediate_query.dense(x))))
 *
 * the cross-attention in layers 0, 2, 4 ..; attend(a, b) with attention.self.query(a),
 * attention.self.key(b), attention.self.value(b), or crossattention.self. Norms have eps 1e-12,
 * GELU is exact, there is no dropout.
 *
 * layer  NULL, or [o.layers]: receives the output of each layer */
var_t nn_qformer(nn_t *nn, var_t queries, var_t memory, qformer_opts_t o, var_t *layer);

#endif
