/* encoder.h - many images of any sizes to codes and PNG files. An image's codes depend on that
 * image alone.
 */
#ifndef TOKENIZE_ENCODER_H
#define TOKENIZE_ENCODER_H

#include "common/model/tokenizer.h"

typedef struct {
    image_t im;      /* owned */
    uint32_t *codes; /* [grid_h, grid_w], owned; NULL without a model */
    uint32_t grid_h, grid_w;
    uint8_t *png; /* owned; NULL unless kept */
    size_t png_size;
} encoded_t;
void encoded_release(encoded_t *p);

typedef struct {
    tokenizer_t *tokenizer; /* NULL: no codes */
    size_t batch;           /* images of one replay */
    bool keep;              /* PNG files too */
} encoder_t;

/* What the encoder will scale images to, so that giants may be decoded smaller; nothing without a
 * model or for one of native size. */
void encoder_hint_size(tokenizer_t *tokenizer, image_opts_t *o);
/* Turns im into what the encoder sees. Thread-safe. */
void encoder_prepare(const encoder_t *e, encoded_t *p);
/* Codes and PNG files of prepared images; those without pixels (im.rgb NULL) are passed over.
 * Uses the whole pool. */
void encoder_run(const encoder_t *e, encoded_t *p, size_t n);

#endif
