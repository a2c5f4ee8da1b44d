/* quant_rotation.c - as ste, but the decoder's gradient is turned back by the rotation that takes a
 * vector onto its code (Fifty et al. 2024). */
#include "vqvae/quantizer_kind.h"

static vq_out_t rotation_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m,
                                var_t prequant) {
    return quantizer_record_nearest(q, nn, prequant, vqvae_codebook(nn, m), VQ_ROTATED);
}

const quantizer_kind_t quant_rotation = {.name = "rotation",
                                         .keys = "commitment_weight codebook_weight restart kmeans",
                                         .codebook = true,
                                         .moves = true,
                                         .gradient = true,
                                         .same_space = true,
                                         .record = rotation_record};
