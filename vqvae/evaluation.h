/* evaluation.h - a tokenizer measured on the images of a source: how near its reconstructions are,
 * which codes it uses, how fast it encodes. */
#ifndef VQVAE_EVALUATION_H
#define VQVAE_EVALUATION_H

#include "common/base/log.h"
#include "common/io/image/image_metrics.h"
#include "vqvae/data.h"

/* What is measured. Owns nothing. */
typedef struct {
    vqvae_t *v;
    data_t *d;
    split_t split;
    /* The object whose survival is counted; NULL: none. */
    const object_color_t *object;
    /* Images per source; 0 = all. */
    size_t limit;
} evaluation_t;

/* The most numbers of first codes that are measured. */
enum { EVALUATION_KEPT = 12 };

/* Sums over images. Shares and means follow from them, so that sources add up. */
typedef struct {
    size_t images;
    double mse, ssim;
    /* Of encoding. */
    double seconds;
    /* The same of images of their first codes alone, by place in evaluation_kept's list. */
    double kept_mse[EVALUATION_KEPT], kept_ssim[EVALUATION_KEPT];
    /* [K]: how often each code was used. */
    float *counts;
    /* Pixels that differ from their source's median image, and the squared error of their
     * channels. */
    size_t front_pixels;
    double front_error;
    /* Images that show the object, those whose reconstruction kept it, and how far those moved it,
     * in pixels. */
    size_t with_object, object_kept;
    double object_error;
} evaluation_sums_t;

/* Sums over no image; K codes. */
evaluation_sums_t evaluation_sums_new(size_t K);
void evaluation_sums_release(evaluation_sums_t *s);
/* to += from */
void evaluation_sums_add(evaluation_sums_t *to, const evaluation_sums_t *from, size_t K);

/* Of a tokenizer whose codes are ordered: the numbers of first codes that are measured, 1, 2, 4 ..
 * and all. Returns how many there are; 0 for other tokenizers. */
size_t evaluation_kept(const vqvae_config_t *c, size_t keep[EVALUATION_KEPT]);
/* How many images of the source are measured. */
size_t evaluation_images(const evaluation_t *e, const data_source_t *s);
/* Adds the source's images to *sums: the foreground only where the source has its median. *done
 * counts images for the progress bar. */
void evaluation_source(const evaluation_t *e, const data_source_t *s, evaluation_sums_t *sums,
                       progress_t *bar, size_t *done);

#endif
