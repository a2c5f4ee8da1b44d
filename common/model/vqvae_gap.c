/* vqvae_gap.c - how near to a tie a code was: what tells another machine's rounding from another
 * image or model. */
#include "common/model/codes.h"

#include <math.h>

/* Squared distance in double. */
static double distance(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

void codes_gaps(const float *z, size_t n, const float *book, size_t K, size_t D,
                const uint32_t *codes, double *gap) {
    for (size_t i = 0; i < n; i++) {
        double best = INFINITY, mine = distance(z + i * D, book + codes[i] * D, D);
        for (size_t k = 0; k < K; k++) {
            double d = distance(z + i * D, book + k * D, D);
            if (d < best) best = d;
        }
        gap[i] = best > 0 ? (mine - best) / best : mine > 0 ? INFINITY : 0;
    }
}

void vqvae_code_gaps(vqvae_t *v, const uint8_t *rgb, size_t w, size_t h, const uint32_t *codes,
                     double *gap) {
    const vqvae_config_t *c = vqvae_config(v);
    size_t D = c->vq_embed_dim, n = vqvae_tokens(c, w, h);
    const float *book = vqvae_codebook_data(v);
    tape_t *tape = tape_new(vqvae_params(v));
    nn_t nn;
    nn_begin(&nn, tape);
    var_t in = tape_input(tape, "image", F32_4(1, h, w, 3)), out = vqvae_encode(&nn, c, in, NULL);
    const codes_kind_t *kind = codes_kind(c);
    if (kind->space) out = kind->space(&nn, c, out);
    plan_t *plan = plan_new(tape, &(plan_opts_t){.keep = &out, .n_keep = 1});
    image_to_float(rgb, w * h * 3, plan_data(plan, in));
    plan_forward(plan);
    codes_gaps(plan_data(plan, out), n, book, c->codes, D, codes, gap);
    plan_free(plan);
    tape_free(tape);
}
