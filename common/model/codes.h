/* codes.h - what the codes of a tokenizer stand for: a table with one row per kind, one file each.
 * K is the number of codes, D the width of a code's vector.
 *
 * codes_vq.c   code k is row k of quantize.embedding.weight: diffusers' VQModel
 * codes_fsq.c  code k is a product of levels (Mentzer et al. 2023): VQModelFSQ, which is ours alone
 *
 * A frozen tokenizer needs nothing else to encode and decode. How codes are learned is
 * vqvae/quantizer_kind.h. To add a kind: one file, and its row in codes.c.
 */
#ifndef MODEL_CODES_H
#define MODEL_CODES_H

#include "common/model/vqvae.h"

#include <cjson/cJSON.h>

typedef struct {
    /* "kind" of tokenizer.json's quantizer. */
    const char *name;
    /* "_class_name" of config.json, and a key that this kind alone has there; NULL: none. */
    const char *class_name, *key;
    /* Is this the kind of c? */
    bool (*is)(const vqvae_config_t *c);
    /* What must hold beside vqvae_config_check: -1 with a reason. NULL: nothing. */
    int (*check)(const vqvae_config_t *c, reason_t *why);
    /* Creates its parameters. NULL: there are none. */
    void (*declare)(nn_t *nn, const vqvae_config_t *c);
    /* Codes I32 [N,h,w] and vectors of prequant [N,h,w,D], without losses. Where nn->packed is set
     * the codes alone are sure to be there. */
    vq_out_t (*record)(nn_t *nn, const vqvae_config_t *c, var_t prequant);
    /* Vectors [s..,D] of codes I32 s. */
    var_t (*vectors)(nn_t *nn, const vqvae_config_t *c, var_t codes);
    /* prequant in the space where a code is the nearest of all vectors. NULL: it is there. */
    var_t (*space)(nn_t *nn, const vqvae_config_t *c, var_t prequant);
    /* All vectors [K,D], malloc'ed. NULL: they are the parameter quantize.embedding.weight. */
    float *(*table)(const vqvae_config_t *c);
    /* Adds its members to tokenizer.json's quantizer. NULL: the name says all. */
    void (*describe)(const vqvae_config_t *c, cJSON *quantizer);
    /* config.json, written and read (-1 with a reason). NULL: nothing beside the network's keys. */
    void (*write)(const vqvae_config_t *c, cJSON *config);
    int (*parse)(vqvae_config_t *c, const cJSON *config, reason_t *why);
} codes_kind_t;

extern const codes_kind_t codes_vq, codes_fsq;

/* gap[i] = (d - d_min) / d_min of squared distances of row i of z [n,D] to row codes[i] of book
 * [K,D] and to its nearest row (vqvae_gap.c). */
void codes_gaps(const float *z, size_t n, const float *book, size_t K, size_t D,
                const uint32_t *codes, double *gap);

/* The kind of a network's codes. */
const codes_kind_t *codes_kind(const vqvae_config_t *c);
/* The kind with this _class_name in config.json; NULL: there is none. */
const codes_kind_t *codes_kind_of_class(const char *class_name);

#endif
