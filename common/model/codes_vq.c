/* codes_vq.c - a codebook: the code of a vector is the nearest row (van den Oord et al. 2017). */
#include "common/model/codes.h"

static bool vq_is(const vqvae_config_t *c) {
    return true;
}

static void vq_declare(nn_t *nn, const vqvae_config_t *c) {
    vqvae_codebook(nn, c);
}

static vq_out_t vq_record(nn_t *nn, const vqvae_config_t *c, var_t prequant) {
    var_t codebook = vqvae_codebook(nn, c);
    if (nn->packed)
        return (vq_out_t){
            nn_nearest(nn, prequant, codebook), NO_VAR, NO_VAR, NO_VAR, NO_VAR, NO_VAR};
    return op_vq(nn->tape, prequant, codebook, 0, 0);
}

static var_t vq_vectors(nn_t *nn, const vqvae_config_t *c, var_t codes) {
    return op_gather(nn->tape, vqvae_codebook(nn, c), codes);
}

const codes_kind_t codes_vq = {.name = "vq",
                               .class_name = "VQModel",
                               .is = vq_is,
                               .declare = vq_declare,
                               .record = vq_record,
                               .vectors = vq_vectors};
