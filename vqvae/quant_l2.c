/* quant_l2.c - as ste, with vectors and codes of unit length (Yu et al. 2022, ViT-VQGAN). Rows of
 * unit length are published, so that a plain VQModel finds the same codes. */
#include "common/kernel/kernel.h"
#include "vqvae/quantizer_kind.h"

#include <math.h>
#include <string.h>

static vq_out_t l2_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m, var_t prequant) {
    var_t unit = op_unit_rows(nn->tape, prequant);
    var_t e = op_unit_rows(nn->tape, vqvae_codebook(nn, m));
    return quantizer_record_nearest(q, nn, unit, e, VQ_STRAIGHT);
}

static var_t l2_bypass(nn_t *nn, const vqvae_config_t *m, var_t prequant) {
    return op_unit_rows(nn->tape, prequant);
}

static void l2_place(const float *x, size_t n, size_t D, float *y) {
    kern_unit_rows_forward(x, n, D, y);
}

static void l2_publish(quantizer_t *q, int block) {
    const float *book = quantizer_codebook(q);
    kern_unit_rows_forward(book, q->K, q->D, q->published);
    for (size_t k = 0; k < q->K; k++) { /* rows of unit length already stay to the bit */
        const float *e = book + k * q->D;
        double square = 0;
        for (size_t d = 0; d < q->D; d++) square += (double)e[d] * (double)e[d];
        if (fabs(square - 1) < 1e-6) memcpy(q->published + k * q->D, e, q->D * sizeof *e);
    }
}

const quantizer_kind_t quant_l2 = {.name = "l2",
                                   .keys = "commitment_weight codebook_weight restart kmeans",
                                   .codebook = true,
                                   .moves = true,
                                   .gradient = true,
                                   .record = l2_record,
                                   .bypass = l2_bypass,
                                   .place = l2_place,
                                   .publish = l2_publish};
