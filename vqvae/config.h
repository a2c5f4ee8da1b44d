/* config.h - what `vqvae train` can be told (--help-config prints the table). */
#ifndef VQVAE_CONFIG_H
#define VQVAE_CONFIG_H

#include "common/io/text/config.h"
#include "common/model/vqvae.h"
#include "common/train/optim_config.h"

typedef enum { CROP_CENTER, CROP_RANDOM, CROP_RESIZED } crop_t;
typedef enum { DISC_HINGE, DISC_VANILLA } disc_kind_t;

typedef struct {
    struct {
        config_ints_t block_out_channels, attention_levels;
        int64_t layers_per_block, latent_channels, vq_embed_dim, num_vq_embeddings, norm_num_groups;
        bool mid_attention;
    } model;
    struct {
        int kind;
        double commitment_weight, codebook_weight, decay;
        bool restart, kmeans;
        config_ints_t levels;
    } quantizer;
    struct {
        int rec, disc_kind;
        double focus, perceptual, disc;
        int64_t disc_start, disc_ramp, disc_channels, disc_layers;
        bool disc_adaptive;
        char perceptual_weights[CONFIG_PATH];
    } loss;
    optim_config_t optim;
    struct {
        int64_t steps, batch, accumulate, warmup_no_quant, save_every, eval_every, log_every;
        double weight_average;
        bool tensorboard;
        char freeze[64];
    } train;
    struct {
        config_ints_t size, background;
        config_nums_t crop_scale, crop_ratio;
        int crop, split_by;
        bool flip;
        double holdout;
    } data;
} config_t;

extern const config_field_t config_table[];

/* The defaults, before files and settings; config_settle after them gives the width and the number
 * of codes, where nobody named them, what the table says or what quantizer.levels demand, and
 * train.warmup_no_quant its tenth of the steps. */
void config_begin(config_t *c);
void config_settle(config_t *c);
/* The network it describes; die(RC_USAGE) when impossible. */
vqvae_config_t config_model(const config_t *c);
/* Reads the network back from a loaded RUN (fine-tuning, trace). */
void config_from_model(config_t *c, const vqvae_config_t *m);
/* The recipe of a RUN that was trained here (its training.json); false if there is none. */
bool config_of_run(const char *run, config_t *c);
/* The first steps without quantizer that a RUN was begun with: a resume with more steps keeps them.
 * -1 = not known. */
int64_t config_warmup_of_run(const char *run);
void config_size(const config_t *c, size_t *w, size_t *h);
image_opts_t config_image_opts(const config_t *c, uint64_t max_pixels);
/* tokenizer.json's parts, canonical JSON, malloc'ed. */
char *config_preprocess(const config_t *c);
/* wrt points at static strings and at freeze (which must live on). */
optimizer_t config_optimizer(const config_t *c);

#endif
