/* data.h - training images: weighted sources, held-out split, batches that are a function of seed
 * and sample number alone.
 */
#ifndef VQVAE_DATA_H
#define VQVAE_DATA_H

#include "common/base/rng.h"
#include "common/io/source/image_source.h"
#include "vqvae/config.h"

typedef struct {
    image_source_t *source;
    double weight;            /* normalised over the sources */
    size_t *train, *held_out; /* item numbers */
    size_t n_train, n_held_out, n_bad;
    size_t n_episodes;          /* of frames */
    bad_items_t *lost_episodes; /* of frames: those that proved unreadable when they were needed */
    bool frames; /* of episodes: one camera, so that the median is the scene without what moves */
    uint8_t *median; /* [h,w,3] of training images, for loss.focus; NULL until data_median */
} data_source_t;

typedef struct {
    data_source_t *source;
    size_t n;
    size_t w, h;
    image_opts_t opts;
    config_t config;
    uint64_t seed;
    bad_items_t *lost; /* images that could be read at first and cannot any more */
    image_notes_t notes;
} data_t;

typedef enum { SPLIT_TRAIN, SPLIT_VAL, SPLIT_ALL } split_t;

/* Opens and checks sources ("DIR", "DIR=0.25"): every image of a folder is decoded once, bad ones
 * are named and left out, and die(RC_DATA) when they are more than max_bad. What each source holds
 * is told. A dataset's bad items are its episodes: of a small one all are read now, of a large one
 * each when it is needed, and then counted. */
data_t *data_open(const cli_list_t *specs, const config_t *c, uint64_t seed, double max_bad,
                  uint64_t max_pixels, bool lenient);
/* At the end: what was lost on the way. */
void data_summary(const data_t *d);
void data_close(data_t *d);
/* die(RC_USAGE) when `out` is the folder of a source. */
void data_refuse_out(const cli_list_t *specs, const char *out);
/* Hash of all keys and sizes. */
uint64_t data_manifest(const data_t *d);
/* The per-pixel median of (up to 101 of) a source's training images; data_medians: of all
 * sources. */
void data_median(const data_t *d, data_source_t *s);
void data_medians(data_t *d);
/* Marks pixels of an image of the source that differ from its median by more than 16 in a channel:
 * returns how many.
 */
size_t data_foreground(const data_t *d, const data_source_t *s, const uint8_t *rgb, bool *front);

/* The part x, y, w, h of an image of w x h that data.crop = resized takes: an area within
 * crop_scale, a shape within crop_ratio (log-uniform, 1 = that of data.size); after ten tries that
 * do not fit, the middle. As torchvision's RandomResizedCrop. */
typedef struct {
    size_t x, y, w, h;
} crop_box_t;
crop_box_t data_crop_resized(const data_t *d, rng_t r, size_t w, size_t h);

/* Fills sample number `g` (counted over the whole run): rgb [h,w,3], and weight [h,w] of the
 * reconstruction loss (mean 1) when not NULL. An image that vanished or changed since data_open is
 * named, counted, and replaced by the next one of the epoch's order that can be read: still a
 * function of seed, sample and the files that are there. die(RC_DATA) when 64 in a row cannot. */
void data_sample(const data_t *d, uint64_t g, uint8_t *rgb, float *weight);
/* A batch of n samples from `first` on, in parallel: image [n,h,w,3] in [-1,1], weight [n,h,w] or
 * NULL. */
void data_batch(const data_t *d, uint64_t first, size_t n, float *image, float *weight);

/* Images of a split of one source, fitted, no augmentation. data_read: false when the image
 * cannot be read any more, which is named and counted. */
size_t data_count(const data_source_t *s, split_t split);
/* Warns of every source that has none in the split, with what to do; returns how many all have. */
size_t data_say_empty(const data_t *d, split_t split);
size_t data_item(const data_source_t *s, split_t split, size_t i); /* its number in the source */
bool data_read(const data_t *d, const data_source_t *s, size_t item, uint8_t *rgb);

/* "val", "train", "all"; die(RC_USAGE) otherwise. */
split_t parse_split(const char *text);
/* The tokenizer of a RUN, or die. */
vqvae_t *model_open(const char *run);
/* How data is prepared and split for a tokenizer loaded from `run`: as it was trained, so that what
 * was held out is held out again; its own preprocessing; then `set`. */
config_t config_for_model(const vqvae_t *v, const char *run, const cli_list_t *set);
/* Where fine-tuning starts: the loaded RUN's network, its preprocessing if it has a size, and the
 * quantizer from the first step on (an autoencoder's steps would carry the encoder away from the
 * codebook). */
void config_from_init(config_t *c, const vqvae_t *v);

#endif
