/* kind_causal1d.c - Q ordered codes of a whole image instead of a grid: a small causal Q-Former, as
 * in SEED (Ge et al. 2023), over the features of the convolutional encoder, and mask tokens on the
 * grid of features that attend to the codes, as in TiTok (Yu et al. 2024), before its decoder. With
 * G = rows x columns features, W the width, b for pre-norm blocks (nn_query_block):
 *
 *     context = norm(Linear(features) + positions)        [N,G,W]
 *     x       = norm(b(queries; context))                 [N,Q,W]  context in blocks 0, 2, ...
 *     z       = Linear(tanh(Linear(x)))                   [N,Q,D]  -> quantizer
 *
 *     h       = Linear(tanh(Linear(codes)))               [N,Q,W]  or the mask token, see below
 *     h       = norm(b(h + positions))
 *     y       = Linear(norm(b(grid tokens; h)))           [N,G,latent] -> decoder
 *
 * With `causal` query i attends to the queries 0 .. i, so that code i depends on nothing behind it.
 * Where the tail of the codes is not kept, a learned mask token stands in its place: a training
 * that drops tails at random gives a decoder to which any first codes are an image.
 *
 * What decides codes is under encoder., the rest under decoder., as in the kind `grid`. */
#include "common/io/text/json.h"
#include "common/model/kind.h"
#include "common/nn/cross_attention.h"

static const float EPS = 1e-5f;
/* Of learned rows at first: as large as what blocks add to them. Small ones drown in what all rows
 * have in common, and queries and places on the grid stay alike for thousands of steps. */
static const float FIRST_STD = 1;
enum { MOST_QUERIES = 1024, MOST_WIDTH = 8192, MOST_LAYERS = 64, MOST_SIDE = 1 << 13 };
static const size_t MOST_NUMBERS = (size_t)1 << 28; /* of the positions */

static bool causal1d_is(const vqvae_config_t *c) {
    return c->causal1d.queries > 0;
}

static void causal1d_shape(vqvae_config_t *c, const vqvae_causal1d_t *asked, size_t w, size_t h) {
    size_t f = vqvae_stride(c);
    c->causal1d = *asked;
    c->causal1d.rows = h / f;
    c->causal1d.columns = w / f;
}

static int causal1d_check(const vqvae_config_t *c, reason_t *why) {
    const vqvae_causal1d_t *s = &c->causal1d;
    if (s->queries > MOST_QUERIES)
        return reason_set(why, "%zu queries; at most %d are possible", s->queries, MOST_QUERIES);
    if (!s->width || s->width > MOST_WIDTH)
        return reason_set(why, "width = %zu; 1 to %d are possible", s->width, MOST_WIDTH);
    if (!s->heads || s->width % s->heads)
        return reason_set(why, "heads = %zu do not divide width = %zu", s->heads, s->width);
    if (!s->encoder_layers || s->encoder_layers > MOST_LAYERS || !s->decoder_layers ||
        s->decoder_layers > MOST_LAYERS)
        return reason_set(why, "encoder_layers and decoder_layers must be 1 to %d", MOST_LAYERS);
    if (!s->rows || !s->columns || s->rows > MOST_SIDE || s->columns > MOST_SIDE)
        return reason_set(why, "features of %zu x %zu: images have no size", s->columns, s->rows);
    if (s->rows * s->columns > MOST_NUMBERS / s->width)
        return reason_set(why, "%zu x %zu features of width %zu are too many", s->columns, s->rows,
                          s->width);
    return 0;
}

static void causal1d_fixed_size(const vqvae_config_t *c, size_t *w, size_t *h) {
    *w = c->causal1d.columns * vqvae_stride(c);
    *h = c->causal1d.rows * vqvae_stride(c);
}

static void causal1d_grid(const vqvae_config_t *c, size_t w, size_t h, size_t *gw, size_t *gh) {
    size_t own_w, own_h;
    causal1d_fixed_size(c, &own_w, &own_h);
    bool own = w == own_w && h == own_h;
    *gw = own ? c->causal1d.queries : 0;
    *gh = own ? 1 : 0;
}

static void causal1d_image_size(const vqvae_config_t *c, size_t gw, size_t gh, size_t *w,
                                size_t *h) {
    *w = 0;
    *h = 0;
    if (gh == 1 && gw >= 1 && gw <= c->causal1d.queries) causal1d_fixed_size(c, w, h);
}

static size_t causal1d_most_kept(const vqvae_config_t *c) {
    return c->causal1d.queries;
}

/* ---- graph ---- */

/* The parameter `name` [rows,W] for each of n images. */
static var_t learned(nn_t *nn, const char *name, size_t n, size_t rows, size_t W) {
    var_t v = op_repeat(nn->tape, nn_param2(nn, name, rows, W, init_normal(FIRST_STD)), n);
    return tape_reshape(nn->tape, v, F32_3(n, rows, W));
}

static var_t causal1d_encode(nn_t *nn, const vqvae_config_t *c, var_t features) {
    const vqvae_causal1d_t *s = &c->causal1d;
    tape_t *t = nn->tape;
    size_t N = tape_shape(t, features).dim[0], G = s->rows * s->columns, W = s->width;
    size_t mark = nn_push(nn, "encoder");
    var_t context = tape_reshape(t, features, F32_3(N, G, c->latent_channels));
    context = nn_linear(nn, "context", context, W, true);
    context = op_add(t, context, learned(nn, "positions", N, G, W));
    context = nn_layernorm(nn, "context_norm", context, EPS);
    var_t x = learned(nn, "queries", N, s->queries, W);
    for (size_t i = 0; i < s->encoder_layers; i++) {
        size_t block = nn_push(nn, "blocks.%zu", i);
        x = nn_query_block(nn, x, i % 2 ? NO_VAR : context, s->heads,
                           s->causal ? SELF_CAUSAL : SELF_FULL);
        nn_pop(nn, block);
    }
    x = nn_tanh_pair(nn, "to_code", nn_layernorm(nn, "norm", x, EPS), W, c->vq_embed_dim);
    nn_pop(nn, mark);
    return tape_reshape(t, x, F32_4(N, 1, s->queries, c->vq_embed_dim));
}

/* h [N,Q,W], the mask token in place of rows that are not kept. */
static var_t mask_tail(nn_t *nn, var_t h, var_t kept) {
    tape_t *t = nn->tape;
    shape_t s = tape_shape(t, h);
    size_t rows = s.dim[0] * s.dim[1], W = s.dim[2];
    var_t mask = nn_param2(nn, "mask_token", 1, W, init_normal(FIRST_STD));
    var_t both[] = {tape_reshape(t, h, F32_2(rows, W)), mask};
    return tape_reshape(t, op_gather(t, op_concat_rows(t, both, 2), kept), s);
}

static var_t causal1d_decode(nn_t *nn, const vqvae_config_t *c, var_t quantized, var_t kept) {
    const vqvae_causal1d_t *s = &c->causal1d;
    tape_t *t = nn->tape;
    size_t N = tape_shape(t, quantized).dim[0], Q = s->queries, G = s->rows * s->columns,
           W = s->width, D = c->vq_embed_dim;
    size_t mark = nn_push(nn, "decoder");
    var_t h = nn_tanh_pair(nn, "from_code", tape_reshape(t, quantized, F32_3(N, Q, D)), W, W);
    if (kept != NO_VAR) h = mask_tail(nn, h, kept);
    h = op_add(t, h, learned(nn, "positions", N, Q, W));
    for (size_t i = 0; i < s->decoder_layers; i++) {
        size_t block = nn_push(nn, "blocks.%zu", i);
        h = nn_query_block(nn, h, NO_VAR, s->heads, SELF_FULL);
        nn_pop(nn, block);
    }
    h = nn_layernorm(nn, "norm", h, EPS);
    var_t y = learned(nn, "grid_tokens", N, G, W);
    for (size_t i = 0; i < s->decoder_layers; i++) {
        size_t block = nn_push(nn, "grid_blocks.%zu", i);
        y = nn_query_block(nn, y, h, s->heads, SELF_NONE);
        nn_pop(nn, block);
    }
    y = nn_linear(nn, "to_features", nn_layernorm(nn, "grid_norm", y, EPS), c->latent_channels,
                  true);
    nn_pop(nn, mark);
    return tape_reshape(t, y, F32_4(N, s->rows, s->columns, c->latent_channels));
}

/* ---- files ---- */

static void causal1d_describe(const vqvae_config_t *c, cJSON *quantizer) {
    cJSON_AddStringToObject(quantizer, "model", kind_causal1d.name);
    cJSON_AddBoolToObject(quantizer, "causal", c->causal1d.causal != 0);
    cJSON_AddNumberToObject(quantizer, "heads", (double)c->causal1d.heads);
}

static void causal1d_write(const vqvae_config_t *c, cJSON *config) {
    const vqvae_causal1d_t *s = &c->causal1d;
    cJSON *size = cJSON_CreateArray();
    cJSON_AddItemToArray(size, cJSON_CreateNumber((double)s->rows));
    cJSON_AddItemToArray(size, cJSON_CreateNumber((double)s->columns));
    cJSON_AddBoolToObject(config, "causal", s->causal != 0);
    cJSON_AddNumberToObject(config, "decoder_layers", (double)s->decoder_layers);
    cJSON_AddNumberToObject(config, "encoder_layers", (double)s->encoder_layers);
    cJSON_AddItemToObject(config, "feature_size", size);
    cJSON_AddNumberToObject(config, "heads", (double)s->heads);
    cJSON_AddNumberToObject(config, "queries", (double)s->queries);
    cJSON_AddNumberToObject(config, "width", (double)s->width);
}

static int positive(const cJSON *item, const char *key, size_t *out, reason_t *why) {
    uint64_t v;
    if (!json_u64(item, &v) || v < 1 || v > 1 << 24)
        return reason_set(why, "'%s' needs positive integers", key);
    *out = (size_t)v;
    return 0;
}

static int causal1d_parse(vqvae_config_t *c, const cJSON *config, reason_t *why) {
    vqvae_causal1d_t *s = &c->causal1d;
    const struct {
        const char *key;
        size_t *to;
    } number[] = {{"queries", &s->queries},
                  {"width", &s->width},
                  {"heads", &s->heads},
                  {"encoder_layers", &s->encoder_layers},
                  {"decoder_layers", &s->decoder_layers}};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (positive(cJSON_GetObjectItemCaseSensitive(config, number[i].key), number[i].key,
                     number[i].to, why))
            return -1;
    const cJSON *causal = cJSON_GetObjectItemCaseSensitive(config, "causal"),
                *size = cJSON_GetObjectItemCaseSensitive(config, "feature_size");
    if (!cJSON_IsBool(causal)) return reason_set(why, "'causal' is neither true nor false");
    s->causal = cJSON_IsTrue(causal);
    if (!cJSON_IsArray(size) || cJSON_GetArraySize(size) != 2)
        return reason_set(why, "'feature_size' needs two numbers: rows and columns");
    return positive(cJSON_GetArrayItem(size, 0), "feature_size", &s->rows, why) ||
                   positive(cJSON_GetArrayItem(size, 1), "feature_size", &s->columns, why)
               ? -1
               : 0;
}

const model_kind_t kind_causal1d = {
    .name = "causal1d",
    .suffix = "Causal1D",
    .keys = "queries width heads encoder_layers decoder_layers causal tail_dropout",
    .file_keys = "causal decoder_layers encoder_layers feature_size heads queries width",
    .is = causal1d_is,
    .shape = causal1d_shape,
    .check = causal1d_check,
    .grid = causal1d_grid,
    .image_size = causal1d_image_size,
    .fixed_size = causal1d_fixed_size,
    .most_kept = causal1d_most_kept,
    .encode = causal1d_encode,
    .decode = causal1d_decode,
    .describe = causal1d_describe,
    .write = causal1d_write,
    .parse = causal1d_parse};
