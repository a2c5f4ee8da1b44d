/* data.h - images for training and measuring: weighted sources, held-out split, and batches that
 * are a function of seed and sample number alone.
 *
 *     data_t *d = data_open(&specs, &config, seed, 0.01, 0, false);
 *     data_batch(d, step * n, n, image, NULL);         the next n samples of the training
 *     data_read(d, s, data_item(s, SPLIT_VAL, 0), rgb) the first held-out image of a source s
 *     data_close(d);
 *
 * Pixels are RGB bytes [h,w,3] of the configuration's data.size, unless said otherwise.
 * data_t and the functions data_* are this program's own; no library has them.
 */
#ifndef VQVAE_DATA_H
#define VQVAE_DATA_H

#include "common/base/rng.h"
#include "common/io/source/image_source.h"
#include "vqvae/config.h"
#include "vqvae/split.h"

/* An item in the cache (data_cache.h). */
typedef struct {
    uint64_t key[2]; /* what it was when it was read */
    image_t im;      /* {0} = not in memory */
    bool in_file;
} data_kept_t;
typedef struct data_cache data_cache_t;

typedef struct {
    image_source_t *source;
    /* Share of the samples, so that the sources' weights sum to 1. */
    double weight;
    /* Item numbers in the source; unreadable items are in neither. */
    size_t *train, *held_out;
    size_t n_train, n_held_out, n_bad;
    /* Are the items frames of episodes? One camera, so that the median is the scene without what
     * moves. */
    bool frames;
    /* Of frames: the episodes, and those that proved unreadable when they were needed. */
    size_t n_episodes;
    bad_items_t *lost_episodes;
    /* [items of the source]; NULL: nothing is kept. */
    data_kept_t *kept;
    /* [h,w,3] of the training images, for loss.focus; NULL until data_median. */
    uint8_t *median;
} data_source_t;

typedef struct {
    data_source_t *source;
    size_t n;
    /* data.size, in pixels. */
    size_t w, h;
    /* How images are decoded: as `tokenize` does, and for data.crop (of which as much must be left
     * as of the whole). With data.crop = center they are the same. */
    image_opts_t opts, crop_opts;
    data_cache_t *cache;
    config_t config;
    uint64_t seed;
    /* Images that could be read at first and cannot any more. */
    bad_items_t *lost;
    image_notes_t notes;
} data_t;

/* ---- sources (data.c) ---- */

/* Opens and checks sources ("DIR", "DIR=0.25"). Every image of a folder is decoded once, unless
 * data.cache_file has it, and kept where there is room; bad ones are named and left out;
 * die(RC_DATA) when their share exceeds max_bad. Says what each source holds. Of a dataset the bad
 * items are episodes: a small one is read whole now; of a large one each episode is read when it is
 * needed, and counted then. max_pixels: 0 = the default. */
data_t *data_open(const cli_list_t *specs, const config_t *c, uint64_t seed, double max_bad,
                  uint64_t max_pixels, bool lenient);
/* Says at the end what was lost on the way. */
void data_summary(const data_t *d);
void data_close(data_t *d);
/* die(RC_USAGE) when `out` is the folder of a source. */
void data_refuse_out(const cli_list_t *specs, const char *out);
/* Hash of all keys and sizes. */
uint64_t data_manifest(const data_t *d);

/* Warns of every source that has no image in the split, with what to do; returns how many images
 * all have. */
size_t data_say_empty(const data_t *d, split_t split);
/* How many items a split of a source has, and the number in the source of the i-th. */
size_t data_count(const data_source_t *s, split_t split);
size_t data_item(const data_source_t *s, split_t split, size_t i);

/* Brings a decoded image to the size that data.crop needs. center: the image fitted to data.size.
 * random and resized: smaller by a whole factor (image_reduce), so that the smallest crop still has
 * twice of data.size. */
void data_prepare(const data_t *d, image_t *im);
/* An item as data_prepare leaves it: of the cache, or in *own, which the caller releases in any
 * case. NULL when it cannot be read any more, which is named and counted; die(RC_DATA) when too
 * many episodes cannot. */
const image_t *data_take(const data_t *d, const data_source_t *s, size_t item, image_t *own);
/* An image fitted to rgb [h,w,3]. */
void data_fit(const data_t *d, const image_t *im, uint8_t *rgb);
/* An item without augmentation, as `tokenize` would see it. False when it cannot be read any more,
 * as data_take. */
bool data_read(const data_t *d, const data_source_t *s, size_t item, uint8_t *rgb);
/* So many images in a row may be unreadable before a training ends, by data_die_lost. */
enum { DATA_LOST_IN_A_ROW = 64 };
_Noreturn void data_die_lost(const data_source_t *s);

/* ---- medians (data_median.c) ---- */

/* Sets s->median: the per-pixel median of its training images, or of 101 spread over them. */
void data_median(const data_t *d, data_source_t *s);
/* Of all sources. */
void data_medians(data_t *d);
/* front [h,w]: pixels of an image of the source that differ from its median (image_differs).
 * Returns how many. */
size_t data_foreground(const data_t *d, const data_source_t *s, const uint8_t *rgb, bool *front);
/* weight [h,w] of the reconstruction loss: of the foreground loss.focus times that of the rest,
 * with mean 1, so that every image counts the same. */
void data_focus_weights(const data_t *d, const data_source_t *s, const uint8_t *rgb, float *weight);

/* ---- crops (data_crop.c) ---- */

typedef struct {
    size_t x, y, w, h;
} crop_box_t;
/* The part of an image of w x h pixels that data.crop = resized takes: an area within crop_scale, a
 * shape within crop_ratio (log-uniform, 1 = that of data.size). After ten tries that do not fit,
 * the middle. As torchvision's RandomResizedCrop. */
crop_box_t data_crop_resized(const data_t *d, rng_t r, size_t w, size_t h);
/* What data.crop and data.flip make of a prepared image: rgb [h,w,3]. */
void data_augment(const data_t *d, rng_t r, const image_t *im, uint8_t *rgb);

/* ---- batches (data_batch.c) ---- */

/* Sample number `g`, counted over the whole run: rgb [h,w,3] and, when not NULL, weight [h,w] as
 * data_focus_weights. An image that vanished or changed since data_open is replaced by the next one
 * of the epoch's order that can be read: still a function of seed, sample and the files that are
 * there. die(RC_DATA) when DATA_LOST_IN_A_ROW cannot. */
void data_sample(const data_t *d, uint64_t g, uint8_t *rgb, float *weight);
/* Samples first .. first+n-1, in parallel: image [n,h,w,3] in [-1,1], weight [n,h,w] or NULL. */
void data_batch(const data_t *d, uint64_t first, size_t n, float *image, float *weight);

#endif
