/* model.c - see model.h. */
#include "gato/model/model.h"

#include "gato/model/whiten.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POSITIONS = 128 };

static size_t width(const gato_model_t *m) {
    return (size_t)m->config.model.width;
}

static size_t block(const gato_model_t *m) {
    return (size_t)(m->config.model.merge * m->config.model.merge);
}

kern_weights_t gato_weights_named(const char *name) {
    static const char *const names[] = {"f32", "bf16", "q8"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) return (kern_weights_t)i;
    die(RC_USAGE, "--weights '%s': f32, bf16 or q8", name);
}

bool gato_has_images(const gato_model_t *m) {
    return m->config.model.image_in == IMAGE_IN_PATCHES ? m->facts.image_h > 0 : m->facts.codes > 0;
}

/* ---- rows ---- */

static var_t token_table(nn_t *nn, const gato_model_t *m) {
    return nn_param2(nn, "embed_token.weight", tokens_total(&m->tokens), width(m), init_normal(1));
}

/* The vectors that enter: the codebook as it is, or whitened. */
static var_t codebook(nn_t *nn, const gato_model_t *m) {
    size_t K = m->facts.codes, D = m->facts.code_dim;
    var_t plain = nn_param2(nn, "image_codes.codebook", K, D, init_zero());
    if (m->config.model.code_norm == CODE_NORM_NONE) return plain;
    return nn_param2(nn, "image_codes.white", K, D, init_zero());
}

static var_t code_rows(nn_t *nn, const gato_model_t *m, size_t n, gato_inputs_t *in) {
    tape_t *t = nn->tape;
    int kind = m->config.model.image_in;
    var_t x = NO_VAR;
    if (kind != IMAGE_IN_TABLE) {
        in->code = tape_input(t, "code", I32_1(n * block(m)));
        x = tape_detach(t, op_gather(t, codebook(nn, m), in->code));
        x = tape_reshape(t, x, F32_2(n, block(m) * m->facts.code_dim));
        x = nn_linear(nn, "image_codes.proj", x, width(m), true);
    }
    if (kind != IMAGE_IN_CODES) {
        in->table_code = tape_input(t, "table_code", I32_1(n));
        var_t rows = op_gather(t, token_table(nn, m), in->table_code);
        x = x == NO_VAR ? rows : op_add(t, x, rows);
    }
    return x;
}

static var_t image_rows(nn_t *nn, const gato_model_t *m, size_t n, gato_inputs_t *in) {
    tape_t *t = nn->tape;
    bool pixels = m->config.model.image_in == IMAGE_IN_PATCHES;
    size_t p = (size_t)m->config.model.patch;
    var_t x;
    if (pixels) {
        in->pixel = tape_input(t, "pixel", F32_4(n, p, p, 3));
        x = gato_patch_rows(nn, m, in->pixel);
    } else {
        x = code_rows(nn, m, n, in);
    }
    param_init_t init = init_normal((float)m->config.model.pos_init);
    const char *row_name = "image_codes.row.weight", *col_name = "image_codes.col.weight";
    if (pixels) {
        row_name = "image_embedding.patch_pos_encoding.height_pos_embedding.weight";
        col_name = "image_embedding.patch_pos_encoding.width_pos_embedding.weight";
    }
    var_t row = nn_param2(nn, row_name, POSITIONS, width(m), init);
    var_t col = nn_param2(nn, col_name, POSITIONS, width(m), init);
    if (m->config.model.patch_pos == POS_NONE) return x; /* the tables exist anyway, as in NEKO */
    in->row = tape_input(t, "row", I32_1(n));
    in->col = tape_input(t, "col", I32_1(n));
    return op_add(t, op_add(t, x, op_gather(t, row, in->row)), op_gather(t, col, in->col));
}

var_t gato_embed(nn_t *nn, const gato_model_t *m, gato_pools_t n, size_t B, size_t T,
                 gato_inputs_t *in) {
    tape_t *t = nn->tape;
    size_t D = width(m), pools = 0;
    var_t pool[4];
    *in = (gato_inputs_t){NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR};
    pool[pools++] = tape_reshape(t, nn_param1(nn, "separator_token", D, init_zero()), F32_2(1, D));
    var_t table = token_table(nn, m);
    if (n.tokens) {
        in->token = tape_input(t, "token", I32_1(n.tokens));
        pool[pools++] = op_gather(t, table, in->token);
    }
    if (n.images) pool[pools++] = image_rows(nn, m, n.images, in);
    if (n.vectors) {
        in->vector = tape_input(t, "vector", F32_2(n.vectors, m->facts.n_continuous));
        pool[pools++] = nn_linear(nn, "vector_embedding", in->vector, D, true);
    }
    in->at = tape_input(t, "at", I32_2(B, T));
    var_t x = op_gather(t, op_concat_rows(t, pool, pools), in->at);
    var_t inner = nn_param2(nn, "pos_embed_observation.weight", (size_t)m->config.model.context, D,
                            init_normal((float)m->config.model.pos_init));
    if (!m->config.model.inner_pos) return x;
    in->inner = tape_input(t, "inner", I32_2(B, T));
    return op_add(t, x, op_gather(t, inner, in->inner));
}

/* ---- blocks and heads ---- */

transformer_opts_t gato_blocks(const gato_model_t *m, var_t first, bool train) {
    static const int activation[] = {MLP_GELU, MLP_GELU_NEW, MLP_GEGLU};
    transformer_opts_t o = {.layers = (size_t)m->config.model.layers,
                            .heads = (size_t)m->config.model.heads,
                            .dropout = train ? (float)m->config.model.dropout : 0,
                            .first = first};
    o.activation = activation[m->config.model.activation];
    return o;
}

var_t gato_hidden(nn_t *nn, const gato_model_t *m, var_t x, var_t first, bool train) {
    shape_t s = tape_shape(nn->tape, x);
    transformer_opts_t o = gato_blocks(m, first, train);
    size_t mark = nn_push(nn, "transformer");
    x = op_dropout(nn->tape, x, o.dropout, s.dim[1] * s.dim[2]);
    x = nn_transformer(nn, x, o);
    nn_pop(nn, mark);
    return x;
}

/* A linear layer without bias, initialised as PyTorch does. */
static var_t head(nn_t *nn, const gato_model_t *m, const char *name, var_t rows, size_t out) {
    var_t W = nn_param2(nn, name, out, width(m), init_uniform(1 / sqrtf((float)width(m))));
    return nn_apply(nn, rows, W, NO_VAR, W_OUT_IN);
}

var_t gato_logits(nn_t *nn, const gato_model_t *m, var_t rows) {
    return head(nn, m, "predict_token.weight", rows, tokens_total(&m->tokens));
}

var_t gato_future(nn_t *nn, const gato_model_t *m, var_t rows) {
    size_t n = shape_rows(tape_shape(nn->tape, rows));
    var_t y = head(nn, m, "predict_future.weight", rows, block(m) * m->facts.codes);
    return tape_reshape(nn->tape, y, F32_2(n * block(m), m->facts.codes));
}

var_t gato_action(nn_t *nn, const gato_model_t *m, var_t rows) {
    return nn_linear(nn, "predict_action", rows, m->facts.n_actions, true);
}

/* ---- the model ---- */

/* Records everything once: parameters then exist in one order, whatever runs first. */
static void declare(gato_model_t *m) {
    tape_t *t = tape_new(m->params);
    nn_t nn;
    nn_begin(&nn, t);
    nn.conv1d_std = (float)m->config.model.block_init;
    bool linear = m->config.model.vector_in == VECTOR_IN_LINEAR && m->facts.n_continuous;
    gato_inputs_t in;
    gato_pools_t n = {.tokens = 1, .images = gato_has_images(m), .vectors = linear};
    var_t x = gato_embed(&nn, m, n, 1, 1, &in);
    x = gato_hidden(&nn, m, x, NO_VAR, false);
    var_t rows = tape_reshape(t, x, F32_2(1, width(m)));
    gato_logits(&nn, m, rows);
    if (m->config.loss.image > 0 && m->facts.codes) gato_future(&nn, m, rows);
    if (m->config.loss.action_kind == ACTION_MSE && m->facts.n_actions) gato_action(&nn, m, rows);
    tape_free(t);
}

/* The prefixes of params_match: what trains; "!" excludes. */
static void choose_trainable(gato_model_t *m) {
    static const char *const fixed[GATO_FIXED] = {"", "!image_codes.codebook",
                                                  "!image_codes.white"};
    for (size_t i = 0; i < GATO_FIXED; i++) m->wrt[m->n_wrt++] = fixed[i];
    reason_t why;
    if (freeze_init(&m->freeze, m->config.train.freeze, &why)) return; /* gato train refuses it */
    for (size_t i = 0; i < m->freeze.n; i++) m->wrt[m->n_wrt++] = m->freeze.pattern[i];
}

static void set_codebook(gato_model_t *m) {
    if (!m->facts.codebook) return;
    int plain = params_find(m->params, "image_codes.codebook"),
        white = params_find(m->params, "image_codes.white");
    if (plain >= 0) params_import(m->params, PARAMS_VALUE, plain, m->facts.codebook);
    if (white >= 0)
        whiten_codebook(m->facts.codebook, m->facts.codes, m->facts.code_dim,
                        params_ptr(m->params, PARAMS_VALUE, white));
}

/* Lets the initial W x + b see standardized numbers: W' = W / deviation, b' = b - W' mean.
 * Otherwise a number of large spread (a velocity) fills the token, and the first LayerNorm divides
 * the others away. */
static void standardize_vector(gato_model_t *m) {
    int weight = params_find(m->params, "vector_embedding.weight"),
        bias = params_find(m->params, "vector_embedding.bias");
    if (weight < 0 || !m->facts.vector_mean) return;
    float *w = params_ptr(m->params, PARAMS_VALUE, weight),
          *b = params_ptr(m->params, PARAMS_VALUE, bias);
    size_t n = m->facts.n_continuous;
    for (size_t i = 0; i < width(m); i++)
        for (size_t j = 0; j < n; j++) {
            w[i * n + j] /= m->facts.vector_deviation[j];
            b[i] -= w[i * n + j] * m->facts.vector_mean[j];
        }
}

static gato_model_t *model_over(params_t *p, const gato_config_t *c, const gato_facts_t *f) {
    gato_model_t *m = NEW(gato_model_t);
    m->config = *c;
    m->facts = gato_facts_copy(f);
    m->tokens = gato_tokens(c, f);
    m->attn_window = gato_attn_window(c, f);
    m->params = p;
    choose_trainable(m);
    declare(m);
    return m;
}

gato_model_t *gato_model_blank(const gato_config_t *c, const gato_facts_t *f) {
    return model_over(params_blank(), c, f);
}

gato_model_t *gato_model_new(const gato_config_t *c, const gato_facts_t *f, uint64_t seed) {
    gato_model_t *m = model_over(params_new(seed), c, f);
    set_codebook(m);
    standardize_vector(m);
    return m;
}

void gato_model_free(gato_model_t *m) {
    if (!m) return;
    gato_facts_release(&m->facts);
    params_free(m->params);
    free(m);
}

size_t gato_model_parameters(const gato_model_t *m) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        if (params_match(p->name, m->wrt, m->n_wrt)) n += p->count;
    }
    return n;
}
