/* vqvae.c - the graph of the image tokenizer; see vqvae.h. */
#include "common/model/vqvae.h"

#include "common/model/codes.h"
#include "common/model/kind.h"

#include <math.h>

static const float EPS = 1e-6f;

static var_t resnet_attention(nn_t *nn, const vqvae_config_t *c, var_t x, size_t j, size_t out,
                              bool attention) {
    size_t mark = nn_push(nn, "resnets.%zu", j);
    x = nn_resnet(nn, x, out, c->norm_groups, EPS);
    nn_pop(nn, mark);
    if (!attention) return x;
    mark = nn_push(nn, "attentions.%zu", j);
    x = nn_pixel_attention(nn, x, c->norm_groups, EPS);
    nn_pop(nn, mark);
    return x;
}

static var_t mid_block(nn_t *nn, const vqvae_config_t *c, var_t x) {
    size_t out = shape_cols(tape_shape(nn->tape, x)), mark = nn_push(nn, "mid_block");
    x = resnet_attention(nn, c, x, 0, out, c->mid_attention);
    x = resnet_attention(nn, c, x, 1, out, false);
    nn_pop(nn, mark);
    return x;
}

static var_t norm_conv_out(nn_t *nn, const vqvae_config_t *c, var_t x, size_t out) {
    x = nn_groupnorm(nn, "conv_norm_out", x, c->norm_groups, EPS, true);
    return nn_conv2d(nn, "conv_out", x, out, 3, 1);
}

var_t vqvae_encode(nn_t *nn, const vqvae_config_t *c, var_t image, var_t *encoder_out) {
    size_t mark = nn_push(nn, "encoder");
    var_t x = nn_conv2d(nn, "conv_in", image, c->channels[0], 3, 1);
    for (size_t i = 0; i < c->levels; i++) {
        size_t level = nn_push(nn, "down_blocks.%zu", i);
        for (size_t j = 0; j < c->layers_per_block; j++)
            x = resnet_attention(nn, c, x, j, c->channels[i], c->attention[i]);
        if (i + 1 < c->levels) x = nn_downsample(nn, "downsamplers.0.conv", x);
        nn_pop(nn, level);
    }
    x = norm_conv_out(nn, c, mid_block(nn, c, x), c->latent_channels);
    nn_pop(nn, mark);
    if (encoder_out) *encoder_out = x;
    return model_kind(c)->encode(nn, c, x);
}

var_t vqvae_codebook(nn_t *nn, const vqvae_config_t *c) {
    return nn_param2(nn, "quantize.embedding.weight", c->codes, c->vq_embed_dim,
                     init_uniform(1 / (float)c->codes));
}

var_t vqvae_decode(nn_t *nn, const vqvae_config_t *c, var_t quantized, var_t kept) {
    size_t L = c->levels;
    var_t x = model_kind(c)->decode(nn, c, quantized, kept);
    size_t mark = nn_push(nn, "decoder");
    x = nn_conv2d(nn, "conv_in", x, c->channels[L - 1], 3, 1);
    x = mid_block(nn, c, x);
    for (size_t i = 0; i < L; i++) { /* up_blocks.0 is the lowest resolution */
        size_t level = nn_push(nn, "up_blocks.%zu", i), from = L - 1 - i;
        for (size_t j = 0; j <= c->layers_per_block; j++)
            x = resnet_attention(nn, c, x, j, c->channels[from], c->attention[from]);
        if (from > 0) x = nn_conv2d(nn, "upsamplers.0.conv", x, c->channels[from], 3, 2);
        nn_pop(nn, level);
    }
    x = norm_conv_out(nn, c, x, c->out_channels);
    nn_pop(nn, mark);
    return x;
}

void vqvae_keep(size_t n, size_t Q, size_t i, size_t keep, int32_t *kept) {
    for (size_t t = 0; t < Q; t++) kept[i * Q + t] = (int32_t)(t < keep ? i * Q + t : n * Q);
}

vq_out_t vqvae_quantize(nn_t *nn, const vqvae_config_t *c, var_t prequant) {
    return codes_kind(c)->record(nn, c, prequant);
}

var_t vqvae_vectors(nn_t *nn, const vqvae_config_t *c, var_t codes) {
    return codes_kind(c)->vectors(nn, c, codes);
}

static void declare(params_t *p, const vqvae_config_t *c) {
    tape_t *t = tape_new(p);
    nn_t nn;
    nn_begin(&nn, t);
    size_t w = vqvae_stride(c) * 2, h = w, gw, gh, most_kept = vqvae_most_kept(c);
    vqvae_fixed_size(c, &w, &h);
    vqvae_grid(c, w, h, &gw, &gh);
    vqvae_encode(&nn, c, tape_input(t, "image", F32_4(1, h, w, 3)), NULL);
    if (codes_kind(c)->declare) codes_kind(c)->declare(&nn, c);
    vqvae_decode(&nn, c, tape_input(t, "quantized", F32_4(1, gh, gw, c->vq_embed_dim)),
                 most_kept ? tape_input(t, "kept", I32_1(most_kept)) : NO_VAR);
    tape_free(t);
}

void vqvae_declare(params_t *p, const vqvae_config_t *c) {
    if (params_find(p, "encoder.conv_in.weight") <
        0) { /* the room at once: growing would hold the network twice */
        params_t *sketch = params_sketch();
        declare(sketch, c);
        params_reserve(p, params_block(p) + params_block(sketch));
        params_free(sketch);
    }
    declare(p, c);
}
