/* model.h - the policy: rows of the pools, one gather, GPT-2 blocks, heads. Tensors bear NEKO's
 * names; those of codes and of tasks are ours.
 *
 *   separator_token [D]
 *   embed_token.weight [vocab,D]
 *   predict_token.weight [vocab,D]
 *   pos_embed_observation.weight [context,D]
 *   transformer.h.*, transformer.ln_f
 *   transformer.h.*.<layer>.lora_{A,B}.default.weight (lora.rank > 0): adapters, peft's names
 *   image_embedding.* (patches); patch_embedding is residual block 1, patch_embedding_2 block 2
 *   image_codes.codebook [K,Dc] (fixed)
 *   image_codes.white [K,Dc] (fixed): the codebook whitened, where model.code_norm = white
 *   image_codes.proj.{weight [D, m*m*Dc], bias}
 *   image_codes.{row,col}.weight [128,D]
 *   predict_future.weight [m*m*K, D] (loss.image > 0): logits of the m*m codes of a merged token,
 *       code after code, at the first horizon of loss.horizon; predict_future.{k}.weight for each
 *       further horizon k
 *   predict_future.{norm,fc1,fc2,code}.* (merge > 1): see future.h
 *   predict_future.last.weight [D, m*m*Dc], predict_future.copy.{weight [m*m,D], bias}
 *       (image_last): the codes one timestep before, and how much each is copied
 *   vector_embedding.<task>.<slot>.{weight [D,n], bias} (vector_in = linear)
 *   predict_action.<task>.{weight [chunk*A,D], bias} (action_kind = mse): the acted vectors, read
 *       at the separator; slot after slot, of each the actions of the chunk one after the other
 *   predict_vector.<task>.<slot>.{weight [n,D], bias} (loss.vector with vector_in = linear)
 *
 * <task> and <slot> are names escaped for tensors (model_tensor_name).
 */
#ifndef GATO_MODEL_H
#define GATO_MODEL_H

#include "common/nn/nn.h"
#include "common/train/freeze.h"
#include "gato/model/head.h"
#include "gato/task/fast.h"
#include "gato/task/vocabulary.h"

enum {
    GATO_FIXED = 3,  /* patterns: all but the codebooks, which never train */
    GATO_ADAPTED = 2 /* those of adapters: of the transformer they alone train */
};

typedef struct gato_model {
    gato_config_t config;
    vocabulary_t vocabulary;
    tasks_t tasks;
    tokens_t tokens;
    fast_t *fast;     /* of acted vectors (bin_kind = fast); NULL = none */
    uint32_t *window; /* [tasks.n] timesteps that a token of each task sees, its own included */
    pool_t *pool;     /* [n_pools] in the order of embeds[], then task, then slot */
    size_t n_pools;
    group_t *group; /* [n_groups] in the order of heads[], then task */
    size_t n_groups;
    params_t *params;
    freeze_t freeze;
    /* what trains: all but the codebooks, the blocks beside adapters, and freeze */
    const char *wrt[GATO_FIXED + GATO_ADAPTED + FREEZE_MOST];
    size_t n_wrt;
} gato_model_t;

/* Copies its arguments and declares every parameter in a fixed order, initialised from `seed` and
 * its name: a parameter's first value does not depend on the other tasks. The tasks' statistics
 * give what vectors' layers start with. Free with gato_model_free. */
gato_model_t *gato_model_new(const gato_config_t *c, const vocabulary_t *v, const tasks_t *tasks,
                             uint64_t seed);
/* The same with every parameter zero, to be filled from a file. */
gato_model_t *gato_model_blank(const gato_config_t *c, const vocabulary_t *v, const tasks_t *tasks);
void gato_model_free(gato_model_t *m);
/* How many floats are parameters: all but the codebooks, also where train.freeze keeps them. */
size_t gato_model_parameters(const gato_model_t *m);
/* Adds the adapters to their layers: from then on they are recorded no more. For forward use. */
void gato_model_merge(gato_model_t *m);
/* ---- storage.c ----
 * "f32", "bf16", "q8" or "q4": how forward-only use stores the weights of linear layers. -1 with a
 * reason for another name. */
int gato_weights_named(const char *name, kern_weights_t *kind, reason_t *why);
/* Warns, in one line, where that was measured to be slower than f32 with the kernels in use.
 *
 *   rows  layers see many rows at a time (a control step), else one or few (a text's next id) */
void gato_weights_warn(kern_weights_t kind, bool rows);
/* The number of the pool of a task's slot. */
size_t gato_model_pool(const gato_model_t *m, uint32_t task, uint32_t slot);
/* A name as a part of a tensor's name: letters, digits, '_' and '-' stay; every other byte becomes
 * %XX. Returns buf. */
const char *model_tensor_name(const char *name, char buf[3 * TASK_NAME]);
/* "<prefix>.<task>" and "<prefix>.<task>.<slot>", names escaped. */
enum { MODEL_TENSOR = 6 * TASK_NAME + 64 };
void model_task_tensor(const gato_model_t *m, const char *prefix, uint32_t task,
                       char buf[MODEL_TENSOR]);
void model_slot_tensor(const gato_model_t *m, const char *prefix, uint32_t task, uint32_t slot,
                       char buf[MODEL_TENSOR]);

/* ---- recording (nn's scope is the top) ---- */

/* Records the embeddings [B,T,D], with all positions added: rows of the pools (n[i] rows of pool i;
 * 0 = absent), the separator first. */
typedef struct {
    var_t *pool_input; /* [n_pools * ROWS_INPUTS], the caller's array; NO_VAR where absent */
    var_t at, inner;   /* I32 [B,T], -1 = zero row */
} gato_inputs_t;
/* The shape of n rows of an input. */
shape_t gato_input_shape(const input_spec_t *spec, size_t n);
var_t gato_embed(nn_t *nn, const gato_model_t *m, const size_t *n, size_t B, size_t T,
                 gato_inputs_t *in);
/* Records the blocks and ln_f over x [B,T,D]. first I32 [B,T]: the first position of its row that
 * every position sees (kern_attention_t.first); NO_VAR = plain causal attention. read: NO_VAR, or
 * the rows of [B*T] that are wanted (nn_transformer). train: with dropout. */
var_t gato_hidden(nn_t *nn, const gato_model_t *m, var_t x, var_t first, var_t read, bool train);
/* The options of the blocks (for nn_block_rest, in scope "transformer"). */
transformer_opts_t gato_blocks(const gato_model_t *m, var_t first, bool train);
/* The weight of the token head, predict_token.weight [vocab,D]. */
var_t gato_head(nn_t *nn, const gato_model_t *m);
/* A linear layer without bias: its weight [out,D], U(+-1/sqrt(D)) at first, and the layer, rows
 * [n,D] -> [n,out]. */
var_t gato_predictor(nn_t *nn, const gato_model_t *m, const char *name, size_t out);
var_t gato_predict(nn_t *nn, const gato_model_t *m, const char *name, var_t rows, size_t out);
/* The token head: rows [n,D] -> logits [n, hi - lo] of the ids lo .. hi - 1. */
var_t gato_logits(nn_t *nn, const gato_model_t *m, var_t rows, uint32_t lo, uint32_t hi);

#endif
