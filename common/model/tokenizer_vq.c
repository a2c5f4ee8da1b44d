/* tokenizer_vq.c - a folder of vqvae (vqvae.h) as a tokenizer: a grid of codes, each for a square
 * of stride x stride pixels, or what another kind makes of an image (kind.h). */
#include "common/io/fs.h"
#include "common/model/tokenizer.h"
#include "common/model/vqvae.h"

#include <stdlib.h>

static bool vq_probe(const char *dir) {
    char *weights = fs_join(dir, "diffusion_pytorch_model.safetensors");
    bool there = fs_exists(weights);
    free(weights);
    return there;
}

static void *vq_open(const char *dir, int *rc, reason_t *why) {
    return vqvae_open(dir, rc, why);
}

static void vq_free(void *self) {
    vqvae_free(self);
}

static size_t vq_codes(const void *self) {
    return vqvae_config(self)->codes;
}

static size_t vq_width(const void *self) {
    return vqvae_config(self)->vq_embed_dim;
}

static const float *vq_vectors(void *self) {
    return vqvae_codebook_data(self);
}

static const char *vq_fingerprint(const void *self) {
    return vqvae_fingerprint(self);
}

static const char *vq_quantizer_json(const void *self) {
    return vqvae_quantizer_json(self);
}

static const char *vq_preprocess_json(const void *self) {
    return vqvae_preprocess_json(self);
}

static void vq_warn_untrained(const void *self, const char *dir) {
    vqvae_warn_untrained(self, dir);
}

static tokenizer_grid_t vq_grid(const void *self, size_t w, size_t h) {
    tokenizer_grid_t grid;
    vqvae_grid(vqvae_config(self), w, h, &grid.w, &grid.h);
    return grid;
}

static void vq_image_size(const void *self, tokenizer_grid_t grid, size_t *w, size_t *h) {
    vqvae_image_size(vqvae_config(self), grid.w, grid.h, w, h);
}

static size_t vq_most_kept(const void *self) {
    return vqvae_most_kept(vqvae_config(self));
}

static void vq_preprocess_size(const void *self, size_t *w, size_t *h) {
    vqvae_preprocess_size(self, w, h);
}

static bool vq_preprocess_background(const void *self, uint8_t rgb[3]) {
    return vqvae_preprocess_background(self, rgb);
}

static image_t vq_preprocess(const void *self, const image_t *im) {
    return vqvae_preprocess(self, im);
}

static void vq_encode(void *self, const uint8_t *rgb, size_t n, size_t w, size_t h,
                      uint32_t *codes) {
    vqvae_encode_images(self, rgb, n, w, h, codes);
}

static void vq_decode(void *self, const uint32_t *codes, size_t n, tokenizer_grid_t grid,
                      uint8_t *rgb) {
    vqvae_decode_codes(self, codes, n, grid.w, grid.h, rgb);
}

static void vq_code_gaps(void *self, const uint8_t *rgb, size_t w, size_t h, const uint32_t *codes,
                         double *gap) {
    vqvae_code_gaps(self, rgb, w, h, codes, gap);
}

static const char *const vq_files[] = {"config.json", "diffusion_pytorch_model.safetensors",
                                       "tokenizer.json", NULL};

const tokenizer_kind_t tokenizer_vq = {.name = "vq",
                                       .files = vq_files,
                                       .probe = vq_probe,
                                       .open = vq_open,
                                       .free = vq_free,
                                       .codes = vq_codes,
                                       .width = vq_width,
                                       .vectors = vq_vectors,
                                       .fingerprint = vq_fingerprint,
                                       .quantizer_json = vq_quantizer_json,
                                       .preprocess_json = vq_preprocess_json,
                                       .warn_untrained = vq_warn_untrained,
                                       .grid = vq_grid,
                                       .image_size = vq_image_size,
                                       .most_kept = vq_most_kept,
                                       .preprocess_size = vq_preprocess_size,
                                       .preprocess_background = vq_preprocess_background,
                                       .preprocess = vq_preprocess,
                                       .encode = vq_encode,
                                       .decode = vq_decode,
                                       .code_gaps = vq_code_gaps};
