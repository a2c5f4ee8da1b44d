/* vqvae_folder.h - a tokenizer's folder with weights of our own, for the tests of what reads it. */
#ifndef TESTS_VQVAE_FOLDER_H
#define TESTS_VQVAE_FOLDER_H

#include "common/io/fs.h"
#include "common/model/vqvae.h"
#include "common/train/checkpoint.h"

#include <string.h>

static const char WEIGHTS[] = "diffusion_pytorch_model.safetensors";

static const vqvae_config_t OWN = {.levels = 3,
                                   .channels = {16, 24, 32},
                                   .attention = {false, false, true},
                                   .layers_per_block = 2,
                                   .latent_channels = 12,
                                   .vq_embed_dim = 6,
                                   .codes = 70,
                                   .norm_groups = 4,
                                   .in_channels = 3,
                                   .out_channels = 3,
                                   .mid_attention = true};

static inline void put(const char *dir, const char *name, const char *text) {
    reason_t why;
    char *path = fs_join(dir, name);
    if (fs_write(path, text, strlen(text), &why)) BUG("%s", why.text);
    free(path);
}

/* Weights in a folder of the running test, whose codes are spread over the codebook. */
static inline params_t *own_params(const vqvae_config_t *c) {
    params_t *p = params_new(12);
    vqvae_declare(p, c);
    int e = params_find(p, "quantize.embedding.weight");
    float *v = e < 0 ? NULL : params_ptr(p, PARAMS_VALUE, e);
    for (size_t i = 0; v && i < params_at(p, e)->count; i++)
        v[i] = 0.3f * rng_normal(rng_make(1, "codes"), i);
    return p;
}

static inline void write_run(const char *dir, params_t *p, const vqvae_config_t *c,
                             const char *tokenizer) {
    static const char *const all[] = {""};
    char *config = vqvae_config_json(c, 32);
    checkpoint_text_t text[] = {{"config.json", config}, {"tokenizer.json", tokenizer}};
    checkpoint_t k = {.params = p,
                      .weights_file = WEIGHTS,
                      .weights = all,
                      .n_weights = 1,
                      .text = text,
                      .n_text = tokenizer ? 2 : 1};
    reason_t why;
    if (checkpoint_save_weights(dir, &k, &why)) BUG("%s", why.text);
    free(config);
}

#endif
