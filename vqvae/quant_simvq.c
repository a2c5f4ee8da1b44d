/* quant_simvq.c - a frozen codebook C behind a learned linear map (Zhu et al. 2024):
 *
 *     e = C W^T + b
 *
 * A gradient of W moves all codes together, so that none dies. e is what is published. */
#include "common/kernel/kernel.h"
#include "vqvae/quantizer_kind.h"

#include <math.h>
#include <string.h>

static const char EMBEDDING[] = "quantize.embedding.weight";
static const char WEIGHT[] = QUANTIZER_PREFIX "weight";
static const char BIAS[] = QUANTIZER_PREFIX "bias";

static void simvq_declare(const config_t *c, params_t *p) {
    size_t D = (size_t)c->model.vq_embed_dim;
    float bound = 1 / sqrtf((float)D);
    bool loaded = params_find(p, EMBEDDING) >= 0;
    params_get(p, EMBEDDING, 2, (size_t[]){(size_t)c->model.num_vq_embeddings, D}, LAYOUT_SAME,
               init_normal(bound));
    int weight = params_get(p, WEIGHT, 2, (size_t[]){D, D}, LAYOUT_SAME, init_uniform(bound));
    int bias = params_get(p, BIAS, 1, &D, LAYOUT_SAME, init_uniform(bound));
    if (!loaded) return;
    /* Over a codebook that is there W = 1 and b = 0: it starts as that codebook. */
    float *W = params_ptr(p, PARAMS_VALUE, weight);
    memset(W, 0, D * D * sizeof *W);
    for (size_t d = 0; d < D; d++) W[d * D + d] = 1;
    memset(params_ptr(p, PARAMS_VALUE, bias), 0, D * sizeof(float));
}

static void simvq_init(quantizer_t *q, const config_t *c) {
    q->weight = params_find(q->params, WEIGHT);
    q->bias = params_find(q->params, BIAS);
}

static vq_out_t simvq_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m,
                             var_t prequant) {
    var_t e = vqvae_codebook(nn, m);
    size_t mark = nn_push(nn, "quantize");
    e = nn_linear(nn, "embedding_proj", e, q->D, true);
    nn_pop(nn, mark);
    return quantizer_record_nearest(q, nn, prequant, e, VQ_STRAIGHT);
}

static void simvq_publish(quantizer_t *q, int block) { /* as op_linear does */
    kern_gemm(false, true, q->K, q->D, q->D, quantizer_codebook(q), q->D,
              params_ptr(q->params, block, q->weight), q->D, q->published, q->D, false,
              params_ptr(q->params, block, q->bias));
}

const quantizer_kind_t quant_simvq = {.name = "simvq",
                                      .keys = "commitment_weight codebook_weight",
                                      .codebook = true,
                                      .same_space = true,
                                      .fixed = "!quantize.embedding.",
                                      .declare = simvq_declare,
                                      .init = simvq_init,
                                      .record = simvq_record,
                                      .publish = simvq_publish};
