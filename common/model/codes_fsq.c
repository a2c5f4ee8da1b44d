/* codes_fsq.c - finite scalar quantization (Mentzer et al. 2023): each of D channels is rounded to
 * one of its levels; a code is the number of that combination, and there is no codebook. */
#include "common/io/text/json.h"
#include "common/kernel/kernel.h"
#include "common/model/codes.h"

enum { MOST_CODES = 1 << 20 };

static bool fsq_is(const vqvae_config_t *c) {
    return c->fsq.n > 0;
}

static int fsq_check(const vqvae_config_t *c, reason_t *why) {
    size_t codes = 1;
    for (size_t d = 0; d < c->fsq.n; d++) {
        int32_t level = c->fsq.level[d];
        if (level < 3 || level > KERN_FSQ_MOST)
            return reason_set(why, "a level of %d; 3 to %d are possible", (int)level,
                              KERN_FSQ_MOST);
        if (codes <= MOST_CODES) codes *= (size_t)level;
    }
    if (codes > MOST_CODES)
        return reason_set(why, "the product of the levels exceeds %d codes", MOST_CODES);
    if (c->vq_embed_dim != c->fsq.n)
        return reason_set(why, "vq_embed_dim = %zu, but there are %zu levels", c->vq_embed_dim,
                          c->fsq.n);
    if (c->codes != codes)
        return reason_set(why, "num_vq_embeddings = %zu, but the product of the levels is %zu",
                          c->codes, codes);
    return 0;
}

static vq_out_t fsq_record(nn_t *nn, const vqvae_config_t *c, var_t prequant) {
    return op_fsq(nn->tape, prequant, &c->fsq);
}

static var_t fsq_vectors(nn_t *nn, const vqvae_config_t *c, var_t codes) {
    return op_fsq_vectors(nn->tape, codes, &c->fsq);
}

/* Within the outer levels rounding each channel is the nearest of all vectors. */
static var_t fsq_space(nn_t *nn, const vqvae_config_t *c, var_t prequant) {
    return op_fsq_bound(nn->tape, prequant, &c->fsq);
}

static float *fsq_table(const vqvae_config_t *c) {
    float *table = xmalloc(c->codes * c->fsq.n * sizeof *table);
    kern_fsq_vectors(&c->fsq, NULL, c->codes, table);
    return table;
}

static cJSON *levels(const vqvae_config_t *c) {
    cJSON *list = cJSON_CreateArray();
    for (size_t d = 0; d < c->fsq.n; d++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(c->fsq.level[d]));
    return list;
}

static void fsq_describe(const vqvae_config_t *c, cJSON *quantizer) {
    cJSON_AddItemToObject(quantizer, "levels", levels(c));
}

static void fsq_write(const vqvae_config_t *c, cJSON *config) {
    cJSON_AddItemToObject(config, "fsq_levels", levels(c));
}

static int fsq_parse(vqvae_config_t *c, const cJSON *config, reason_t *why) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(config, "fsq_levels");
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n < 1 || n > KERN_FSQ_DIMS)
        return reason_set(why, "a VQModelFSQ needs 'fsq_levels': 1 to %d numbers", KERN_FSQ_DIMS);
    c->fsq.n = (size_t)n;
    for (int i = 0; i < n; i++) {
        uint64_t level;
        if (!json_u64(cJSON_GetArrayItem(list, i), &level) || level > KERN_FSQ_MOST)
            return reason_set(why, "'fsq_levels' holds something other than integers from 3 to %d",
                              KERN_FSQ_MOST);
        c->fsq.level[i] = (int32_t)level;
    }
    return 0;
}

const codes_kind_t codes_fsq = {.name = "fsq",
                                .class_name = "VQModelFSQ",
                                .key = "fsq_levels",
                                .is = fsq_is,
                                .check = fsq_check,
                                .record = fsq_record,
                                .vectors = fsq_vectors,
                                .space = fsq_space,
                                .table = fsq_table,
                                .describe = fsq_describe,
                                .write = fsq_write,
                                .parse = fsq_parse};
