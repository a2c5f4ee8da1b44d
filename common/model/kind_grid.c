/* kind_grid.c - a code per feature, a grid of them per image, with a 1x1 convolution on either side
 * of the quantizer: diffusers' VQModel. */
#include "common/model/kind.h"

static bool grid_is(const vqvae_config_t *c) {
    return !c->causal1d.queries;
}

static void grid_grid(const vqvae_config_t *c, size_t w, size_t h, size_t *gw, size_t *gh) {
    size_t f = vqvae_stride(c);
    bool whole = w % f == 0 && h % f == 0;
    *gw = whole ? w / f : 0;
    *gh = whole ? h / f : 0;
}

static void grid_image_size(const vqvae_config_t *c, size_t gw, size_t gh, size_t *w, size_t *h) {
    *w = gw * vqvae_stride(c);
    *h = gh * vqvae_stride(c);
}

static var_t grid_encode(nn_t *nn, const vqvae_config_t *c, var_t features) {
    return nn_conv2d(nn, "quant_conv", features, c->vq_embed_dim, 1, 1);
}

static var_t grid_decode(nn_t *nn, const vqvae_config_t *c, var_t quantized, var_t kept) {
    if (kept != NO_VAR) BUG("a grid of codes without some of them");
    return nn_conv2d(nn, "post_quant_conv", quantized, c->latent_channels, 1, 1);
}

const model_kind_t kind_grid = {.name = "grid",
                                .suffix = "",
                                .keys = "",
                                .file_keys = "",
                                .is = grid_is,
                                .grid = grid_grid,
                                .image_size = grid_image_size,
                                .encode = grid_encode,
                                .decode = grid_decode};
