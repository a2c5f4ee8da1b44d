/* encoder.h - turns many images of any sizes into codes and PNG files.
 *
 * An image's codes depend on that image alone, not on its neighbours or on the batch. The caller
 * reads the images; the encoder owns no thread and uses the pool.
 */
#ifndef TOKENIZE_ENCODER_H
#define TOKENIZE_ENCODER_H

#include "common/model/tokenizer.h"

/* One image on its way from pixels to codes. Zeroed means: no pixels yet. */
typedef struct {
    image_t im;              /* owned */
    uint32_t *codes;         /* [grid_h, grid_w], owned; NULL without a tokenizer */
    uint32_t grid_h, grid_w; /* in codes; 0 without a tokenizer */
    uint8_t *png;            /* png_size bytes, owned; NULL unless kept */
    size_t png_size;
} encoded_t;
void encoded_release(encoded_t *image);

typedef struct {
    tokenizer_t *tokenizer; /* NULL: no codes. Not owned */
    size_t batch;           /* most images per call of tokenizer_encode, at least 1 */
    bool keep;              /* PNG files too */
    /* Above 0: only so many first codes of an image as its decoded image needs for this PSNR in dB,
     * or all when it does not come there; the tokenizer's codes are ordered. */
    double psnr;
} encoder_t;

/* Tells the decoder which size the encoder will scale images to, so that giant images are decoded
 * at a smaller one. Changes nothing without a tokenizer, or for one that takes native sizes. */
void encoder_hint_size(tokenizer_t *tokenizer, image_opts_t *opts);
/* Replaces the image's pixels by what the tokenizer sees (scaled, cropped). Thread-safe. */
void encoder_prepare(const encoder_t *encoder, encoded_t *image);
/* Fills the codes and PNG files of n prepared images; passes over those without pixels (im.rgb
 * NULL). Uses the whole pool: call it from one thread at a time. die()s (1) when a PNG file cannot
 * be made. */
void encoder_run(const encoder_t *encoder, encoded_t *image, size_t n);

#endif
