/* quant_fsq.c - finite scalar quantization (Mentzer et al. 2023): each channel rounded to its
 * levels; nothing to learn, no loss. The codes are codes_fsq's. */
#include "vqvae/quantizer_kind.h"

static void fsq_settle(const config_t *c, int64_t *width, int64_t *codes) {
    const config_ints_t *levels = &c->quantizer.levels;
    *width = levels->n;
    *codes = 1;
    for (int i = 0; i < levels->n && *codes < 1 << 30; i++) *codes *= levels->v[i];
}

static void fsq_network(const config_t *c, vqvae_config_t *m) {
    const config_ints_t *levels = &c->quantizer.levels;
    if (levels->n < 1 || levels->n > KERN_FSQ_DIMS)
        die(RC_USAGE, "quantizer.levels: 1 to %d numbers are needed", KERN_FSQ_DIMS);
    m->fsq.n = (size_t)levels->n;
    for (int i = 0; i < levels->n; i++) m->fsq.level[i] = (int32_t)levels->v[i];
}

static bool fsq_from_network(config_t *c, const vqvae_config_t *m) {
    if (!m->fsq.n) return false;
    c->quantizer.levels = (config_ints_t){.n = (int)m->fsq.n};
    for (size_t i = 0; i < m->fsq.n; i++) c->quantizer.levels.v[i] = m->fsq.level[i];
    return true;
}

static vq_out_t fsq_record(const quantizer_t *q, nn_t *nn, const vqvae_config_t *m,
                           var_t prequant) {
    return op_fsq(nn->tape, prequant, &m->fsq);
}

static var_t fsq_bypass(nn_t *nn, const vqvae_config_t *m, var_t prequant) {
    return op_fsq_bound(nn->tape, prequant, &m->fsq);
}

const quantizer_kind_t quant_fsq = {.name = "fsq",
                                    .keys = "levels",
                                    .settle = fsq_settle,
                                    .network = fsq_network,
                                    .from_network = fsq_from_network,
                                    .record = fsq_record,
                                    .bypass = fsq_bypass};
