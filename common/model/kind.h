/* kind.h - the kinds of tokenizer that vqvae trains: a table with one row per kind, one file each.
 *
 * kind_grid.c      a code per square of pixels: diffusers' VQModel
 * kind_causal1d.c  Q ordered codes per image, of which any first few give an image: ours alone
 *
 * A kind is what lies between the convolutions that all share (vqvae.h) and the quantizer
 * (codes.h): it makes the vectors that are quantized from the features of the image, and features
 * from the quantized vectors. Every quantizer works with every kind. To add one: one file and its
 * line in MODEL_KINDS; where it has a shape of its own also a member of vqvae_config_t and its keys
 * in vqvae/config.c.
 */
#ifndef MODEL_KIND_H
#define MODEL_KIND_H

#include "common/model/vqvae.h"

#include <cjson/cJSON.h>

typedef struct model_kind {
    /* Of model.kind. */
    const char *name;
    /* What _class_name of config.json has behind that of the codes ("" or "Causal1D"). */
    const char *suffix;
    /* The keys of model.* in vqvae's configuration, and those of config.json, that it alone reads;
     * with blanks between. */
    const char *keys, *file_keys;
    /* Is this the kind of c? */
    bool (*is)(const vqvae_config_t *c);
    /* Gives the network that a configuration describes the kind's shape, for images of w x h
     * pixels. NULL: it has none. */
    void (*shape)(vqvae_config_t *c, const vqvae_causal1d_t *asked, size_t w, size_t h);
    /* What must hold beside vqvae_config_check: -1 with a reason. NULL: nothing. */
    int (*check)(const vqvae_config_t *c, reason_t *why);
    /* vqvae_grid and vqvae_image_size. */
    void (*grid)(const vqvae_config_t *c, size_t w, size_t h, size_t *gw, size_t *gh);
    void (*image_size)(const vqvae_config_t *c, size_t gw, size_t gh, size_t *w, size_t *h);
    /* The only size of its images; NULL: any multiple of the stride. */
    void (*fixed_size)(const vqvae_config_t *c, size_t *w, size_t *h);
    /* How many first codes are enough for an image; NULL: all are needed. */
    size_t (*most_kept)(const vqvae_config_t *c);
    /* features [N,h,w,latent] -> prequant [N,gh,gw,D]. */
    var_t (*encode)(nn_t *nn, const vqvae_config_t *c, var_t features);
    /* quantized [N,gh,gw,D] -> features [N,h,w,latent]. kept: as in vqvae_decode. */
    var_t (*decode)(nn_t *nn, const vqvae_config_t *c, var_t quantized, var_t kept);
    /* Adds to tokenizer.json's quantizer what decides codes and no weight shows. NULL: nothing. */
    void (*describe)(const vqvae_config_t *c, cJSON *quantizer);
    /* config.json, written and read (-1 with a reason). NULL: nothing beside the network's keys. */
    void (*write)(const vqvae_config_t *c, cJSON *config);
    int (*parse)(vqvae_config_t *c, const cJSON *config, reason_t *why);
} model_kind_t;

/* model.kind's choices and what --help-config says of each, in its order; the first is the
 * default. */
#define MODEL_KINDS(X)                                                                             \
    X(grid, "a code per square of pixels, diffusers' VQModel")                                     \
    X(causal1d, "model.queries ordered codes per image, coarse to fine; images have one size")
#define MODEL_KIND_EXTERN(name, help) extern const model_kind_t kind_##name;
MODEL_KINDS(MODEL_KIND_EXTERN)
/* "grid|causal1d": each name with a bar before it, without the first bar. */
#define MODEL_KIND_BAR(name, help) "|" #name
#define MODEL_KIND_CHOICES (&(MODEL_KINDS(MODEL_KIND_BAR))[1])
/* "; grid: ...; causal1d: ..." */
#define MODEL_KIND_HELP(name, help) "; " #name ": " help

/* The kind of a network. */
const model_kind_t *model_kind(const vqvae_config_t *c);
/* All kinds in that order: model_kind_at(0 .. model_kinds() - 1), and the way back. */
size_t model_kinds(void);
const model_kind_t *model_kind_at(size_t i);
int model_kind_index(const model_kind_t *kind);
/* Is `key` one of the words of `keys` (model_kind_t.keys, .file_keys)? */
bool model_kind_reads(const char *keys, const char *key);

#endif
