/* model.h - the policy: rows of the modalities, one gather, GPT-2 blocks, heads. Tensors bear
 * NEKO's names; those of codes are ours.
 *
 *   separator_token [D]
 *   embed_token.weight [vocab,D]
 *   predict_token.weight [vocab,D]
 *   pos_embed_observation.weight [context,D]
 *   transformer.h.*, transformer.ln_f
 *   image_embedding.* (patches)
 *   image_codes.codebook [K,Dc] (fixed)
 *   image_codes.white [K,Dc] (fixed): the codebook whitened, where model.code_norm = white
 *   image_codes.proj.{weight [D, m*m*Dc], bias}
 *   image_codes.{row,col}.weight [128,D]
 *   vector_embedding.{weight [D,n], bias} (vector_in = linear)
 *   predict_future.weight [m*m*K, D] (loss.image > 0): logits of the m*m codes of a merged token,
 *       code after code
 *   predict_action.{weight [A,D], bias} (action_kind = mse): the action, read at the separator
 *
 * The functions that record are the pieces that training and acting share: embed rows, run blocks,
 * read heads.
 */
#ifndef GATO_MODEL_H
#define GATO_MODEL_H

#include "common/nn/nn.h"
#include "common/train/freeze.h"
#include "gato/task/config.h"
#include "gato/task/facts.h"

enum { GATO_FIXED = 3 /* codebooks, which never train */ };

typedef struct {
    gato_config_t config;
    gato_facts_t facts;
    tokens_t tokens;
    int32_t attn_window; /* timesteps that a token sees, its own included */
    params_t *params;
    freeze_t freeze;
    const char *wrt[GATO_FIXED + FREEZE_MOST]; /* what trains: all but the codebooks and freeze */
    size_t n_wrt;
} gato_model_t;

/* Copies config and facts and declares every parameter in a fixed order, initialised from `seed`.
 * The facts give the codebook, and the mean and deviation that the vector's layer starts with. Free
 * with gato_model_free. */
gato_model_t *gato_model_new(const gato_config_t *c, const gato_facts_t *f, uint64_t seed);
/* The same with every parameter zero, to be filled from a file. */
gato_model_t *gato_model_blank(const gato_config_t *c, const gato_facts_t *f);
void gato_model_free(gato_model_t *m);
/* How many floats train. */
size_t gato_model_parameters(const gato_model_t *m);
/* "f32", "bf16" or "q8": how forward-only use stores the weights of linear layers. die()s with
 * RC_USAGE for another name. */
kern_weights_t gato_weights_named(const char *name);
/* Do its timesteps have an image (pixels or codes, by model.image_in)? */
bool gato_has_images(const gato_model_t *m);

/* ---- recording (nn's scope is the top) ---- */

/* How many rows each pool has. A pool of 0 rows is absent. */
typedef struct {
    size_t tokens, images, vectors;
} gato_pools_t;
/* The inputs that gato_embed made; NO_VAR where absent. Row numbers in `at` count over
 * [separator | tokens | images | vectors]. */
typedef struct {
    var_t token;      /* I32 [tokens], -1 = none */
    var_t code;       /* I32 [images * m * m] codes */
    var_t table_code; /* I32 [images] rows of embed_token (image_in = table, both) */
    var_t row, col;   /* I32 [images] or NO_VAR */
    var_t pixel;      /* F32 [images, patch, patch, 3] */
    var_t vector;     /* F32 [vectors, n_continuous] */
    var_t at, inner;  /* I32 [B,T], -1 = zero row */
} gato_inputs_t;

/* Records the embeddings [B,T,D], with all positions added; its inputs go to *in. */
var_t gato_embed(nn_t *nn, const gato_model_t *m, gato_pools_t n, size_t B, size_t T,
                 gato_inputs_t *in);
/* Records the blocks and ln_f over x [B,T,D]. first I32 [B,T]: the first position of its row that
 * every position sees (kern_attention_t.first); NO_VAR = plain causal attention. train: with
 * dropout. */
var_t gato_hidden(nn_t *nn, const gato_model_t *m, var_t x, var_t first, bool train);
/* The options of the blocks (for nn_block_rest, in scope "transformer"). */
transformer_opts_t gato_blocks(const gato_model_t *m, var_t first, bool train);
/* Head of tokens: rows [n,D] -> logits [n, vocab]. */
var_t gato_logits(nn_t *nn, const gato_model_t *m, var_t rows);
/* Head of image codes: rows [n,D] -> logits [n * m * m, K], m = model.merge. */
var_t gato_future(nn_t *nn, const gato_model_t *m, var_t rows);
/* Head of regressed actions: rows [n,D] -> [n, n_actions]. */
var_t gato_action(nn_t *nn, const gato_model_t *m, var_t rows);

/* patches.c: the patch block. pixels [n, patch, patch, 3] -> rows [n, D]. */
var_t gato_patch_rows(nn_t *nn, const gato_model_t *m, var_t pixels);

#endif
