/* config.h - the configuration of `vqvae train` (--help-config prints the table). What each key
 * means is said there, in config.c; here the members have the keys' names.
 *
 * config_t is this program's configuration, of the whole training; vqvae_config_t
 * (common/model/vqvae.h) is the network alone. Tables of keys in general, with config_defaults,
 * config_file, config_set, config_sets, config_json, config_print, config_help and config_diff, are
 * common/io/text/config.h; every other config_* is declared here.
 *
 *     config_t c;
 *     config_begin(&c);
 *     config_sets(config_table, &c, &set);
 *     config_settle(&c);
 *     vqvae_config_t network = config_model(&c);
 */
#ifndef VQVAE_CONFIG_H
#define VQVAE_CONFIG_H

#include "common/io/text/config.h"
#include "common/model/vqvae.h"
#include "common/train/optim_config.h"

/* In the order of their keys' choices. */
typedef enum { REC_L1, REC_MSE } rec_kind_t;
typedef enum { DISC_HINGE, DISC_VANILLA } disc_kind_t;
typedef enum { CROP_CENTER, CROP_RANDOM, CROP_RESIZED } crop_t;

typedef struct {
    struct {
        int kind; /* see model_kind_at */
        config_ints_t block_out_channels, attention_levels;
        int64_t layers_per_block, latent_channels, vq_embed_dim, num_vq_embeddings, norm_num_groups;
        bool mid_attention;
        int64_t queries, width, heads, encoder_layers, decoder_layers;
        bool causal;
        double tail_dropout;
    } model;
    struct {
        int kind; /* see quantizer_kind */
        double commitment_weight, codebook_weight, decay;
        bool restart, kmeans;
        config_ints_t levels;
    } quantizer;
    struct {
        int rec, disc_kind; /* rec_kind_t, disc_kind_t */
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
        char freeze[CONFIG_STRING];
    } train;
    struct {
        config_ints_t size, background;
        config_nums_t crop_scale, crop_ratio;
        int crop, split_by; /* crop_t, split_by_t */
        bool flip;
        double holdout, cache;
        char cache_file[CONFIG_PATH];
    } data;
} config_t;

extern const config_field_t config_table[];

/* The defaults, before files and settings. What depends on other keys is left open: config_settle
 * closes it. */
void config_begin(config_t *c);
/* After files and settings. model.vq_embed_dim and model.num_vq_embeddings, where nobody named
 * them, become what quantizer.levels demand, or the table's defaults; train.warmup_no_quant = -1
 * becomes a tenth of the steps. */
void config_settle(config_t *c);
/* The network that it describes; die(RC_USAGE) when there is no such network. */
vqvae_config_t config_model(const config_t *c);
/* The reverse: model.* (and quantizer.*, where the network allows one kind alone) from a
 * network. */
void config_from_model(config_t *c, const vqvae_config_t *m);

/* Reads into c the configuration that a RUN was trained with (its training.json). False, and c as
 * it was, when it has none; die(RC_DATA) when that is damaged. */
bool config_of_run(const char *run, config_t *c);
/* The train.warmup_no_quant that a RUN began with: a resume with more steps keeps it. -1 = not
 * known. */
int64_t config_warmup_of_run(const char *run);
/* How images are prepared and split for the tokenizer v of `run`, in `eval` and others: as it was
 * trained, so that what was held out is held out again; its own preprocessing; then `set`. */
config_t config_for_model(const vqvae_t *v, const char *run, const cli_list_t *set);
/* Where fine-tuning starts: the network of v, its preprocessing if it has a size, and the quantizer
 * from the first step on (steps without it would carry the encoder away from the codebook). */
void config_from_init(config_t *c, const vqvae_t *v);

/* How many codes at most keep their place when the tail of a sample's codes is dropped in training;
 * 0: the network of c needs all of them, or none is ever dropped. */
size_t config_tail(const config_t *c, const vqvae_config_t *m);
/* data.size in pixels. */
void config_size(const config_t *c, size_t *w, size_t *h);
/* How images are read; max_pixels 0 = the default. */
image_opts_t config_image_opts(const config_t *c, uint64_t max_pixels);
/* tokenizer.json's "preprocess", canonical JSON, malloc'ed. */
char *config_preprocess(const config_t *c);
/* The optimizer of optim.* and train.*; the caller sets which parameters it moves. */
optimizer_t config_optimizer(const config_t *c);

#endif
