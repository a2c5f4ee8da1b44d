/* quant_ema.c - the codebook follows moving averages of the vectors assigned to each code (van den
 * Oord et al. 2017, appendix A.1):
 *
 *     N_k = g N_k + (1-g) n_k        S_k = g S_k + (1-g) sum of the vectors of code k
 *     e_k = S_k / (smoothed N_k),    smoothed N_k = (N_k + eps) / (sum N + K eps) * sum N
 */
#include "vqvae/quantizer_kind.h"

static const double EPS = 1e-5;

static void ema_init(quantizer_t *q, const config_t *c) {
    q->codebook_weight = 0; /* no gradient reaches the codes */
}

static void ema_update(quantizer_t *q, const float *counts, const float *sums) {
    float g = (float)q->decay, *e = quantizer_codebook(q);
    double total = 0; /* sum N */
    for (size_t k = 0; k < q->K; k++) {
        q->N[k] = g * q->N[k] + (1 - g) * counts[k];
        total += q->N[k];
        for (size_t d = 0; d < q->D; d++)
            q->S[k * q->D + d] = g * q->S[k * q->D + d] + (1 - g) * sums[k * q->D + d];
    }
    for (size_t k = 0; k < q->K; k++) {
        double n = (q->N[k] + EPS) / (total + (double)q->K * EPS) * total;
        for (size_t d = 0; d < q->D; d++) e[k * q->D + d] = (float)(q->S[k * q->D + d] / n);
    }
}

const quantizer_kind_t quant_ema = {.name = "ema",
                                    .keys = "commitment_weight decay restart kmeans",
                                    .codebook = true,
                                    .moves = true,
                                    .same_space = true,
                                    .fixed = "!quantize.",
                                    .init = ema_init,
                                    .record = quantizer_record_plain,
                                    .update = ema_update};
