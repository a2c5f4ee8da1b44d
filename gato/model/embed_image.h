/* embed_image.h - what embeddings of images share: how many tokens an image has, and the rows and
 * columns of the position tables that stand for their places. Every image has its own.
 */
#ifndef GATO_EMBED_IMAGE_H
#define GATO_EMBED_IMAGE_H

#include "gato/model/embed.h"

/* Rows of a table of positions. */
enum { IMAGE_POSITIONS = 128 };

/* The sizes in tokens of an image that is cut into patches, or whose codes are merged; 0 x 0 where
 * the value has no such image. -1 with a reason: an axis of more tokens than positions, or codes
 * that model.merge does not divide. */
typedef struct {
    size_t rows, cols;
} image_size_t;
int image_patches(const gato_config_t *c, const slot_value_t *value, image_size_t *size,
                  reason_t *why);
int image_codes(const gato_config_t *c, const slot_value_t *value, image_size_t *size,
                reason_t *why);
/* embed_t.tokens of images that enter as codes. */
int image_codes_tokens(const gato_config_t *c, const slot_t *slot, const slot_value_t *value,
                       size_t *n, reason_t *why);

/* The codes of merged token i of an image: its block of merge x merge, row by row. cell: where the
 * j-th of them lies in a grid of grid_w columns. */
size_t image_block_cell(const gato_config_t *c, size_t grid_w, size_t i, size_t j);
void image_block(const gato_config_t *c, const slot_value_t *value, size_t i, int32_t *out);

/* Writes the inputs "row" and "col" behind the n others that an embedding has; returns how many
 * inputs there are then. None with model.patch_pos = none. */
size_t image_place_inputs(const struct gato_model *m, input_spec_t *spec, size_t n);
/* Appends the places of an image to the columns `first` and first + 1. */
void image_put_places(const embed_put_t *p, image_size_t size, rows_t *rows, size_t first);
/* x [n,D] + the rows of both tables at in[0], in[1]. The tables exist even without positions, as in
 * NEKO. */
var_t image_places(nn_t *nn, const struct gato_model *m, var_t x, const var_t *in,
                   const char *row_table, const char *col_table);
/* The same with the tables of codes. */
var_t image_code_places(nn_t *nn, const struct gato_model *m, var_t x, const var_t *in);

#endif
