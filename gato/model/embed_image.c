/* embed_image.c - see embed_image.h. */
#include "gato/model/embed_image.h"

#include "common/base/die.h"
#include "common/base/sizes.h"
#include "gato/model/layout.h"
#include "gato/model/model.h"

static int check_positions(const gato_config_t *c, const image_size_t *size, reason_t *why) {
    if (c->model.patch_pos == POS_NONE) return 0;
    if (size->rows <= IMAGE_POSITIONS && size->cols <= IMAGE_POSITIONS) return 0;
    return reason_set(why,
                      "an image of %zu x %zu tokens exceeds the %d positions of an axis "
                      "(model.patch_pos = none has no limit)",
                      size->rows, size->cols, IMAGE_POSITIONS);
}

int image_patches(const gato_config_t *c, const slot_value_t *value, image_size_t *size,
                  reason_t *why) {
    size_t patch = (size_t)c->model.patch;
    *size = (image_size_t){ceil_div(value->image_h, patch), ceil_div(value->image_w, patch)};
    return check_positions(c, size, why);
}

int image_codes(const gato_config_t *c, const slot_value_t *value, image_size_t *size,
                reason_t *why) {
    size_t merge = (size_t)c->model.merge;
    *size = (image_size_t){value->grid_h / merge, value->grid_w / merge};
    if (value->grid_h % merge || value->grid_w % merge)
        return reason_set(why, "model.merge = %zu does not divide a grid of %zu x %zu codes", merge,
                          value->grid_h, value->grid_w);
    return check_positions(c, size, why);
}

int image_codes_tokens(const gato_config_t *c, const slot_t *slot, const slot_value_t *value,
                       size_t *n, reason_t *why) {
    (void)slot;
    image_size_t size;
    if (image_codes(c, value, &size, why)) return -1;
    *n = size.rows * size.cols;
    return 0;
}

size_t image_block_cell(const gato_config_t *c, size_t grid_w, size_t i, size_t j) {
    size_t merge = (size_t)c->model.merge, cols = grid_w / merge;
    return (i / cols * merge + j / merge) * grid_w + i % cols * merge + j % merge;
}

void image_block(const gato_config_t *c, const slot_value_t *value, size_t i, int32_t *out) {
    size_t n = (size_t)(c->model.merge * c->model.merge);
    for (size_t j = 0; j < n; j++)
        out[j] = (int32_t)value->codes[image_block_cell(c, value->grid_w, i, j)];
}

size_t image_place_inputs(const gato_model_t *m, input_spec_t *spec, size_t n) {
    if (m->config.model.patch_pos == POS_NONE) return n;
    spec[n++] = (input_spec_t){.name = "row", .type = DT_I32, .pad = {-1, -1}};
    spec[n++] = (input_spec_t){.name = "col", .type = DT_I32, .pad = {-1, -1}};
    return n;
}

/* One draw per row and one per column. */
void image_put_places(const embed_put_t *p, image_size_t size, rows_t *rows, size_t first) {
    const gato_config_t *c = &p->model->config;
    if (c->model.patch_pos == POS_NONE) return;
    bool closed = c->model.patch_pos == POS_GATO;
    bool mean = !p->train || (!gato_config_image_in(c)->pixels && !c->model.code_pos_random);
    size_t n = size.rows * size.cols;
    int32_t *row = column_ints(&rows->input[first], n),
            *col = column_ints(&rows->input[first + 1], n);
    for (size_t i = 0; i < n; i++) {
        size_t y = i / size.cols, x = i % size.cols;
        row[i] = layout_position(y, size.rows, IMAGE_POSITIONS, closed, mean,
                                 mean ? 0 : rng_uniform(p->draw, y));
        col[i] = layout_position(x, size.cols, IMAGE_POSITIONS, closed, mean,
                                 mean ? 0 : rng_uniform(p->draw, size.rows + x));
    }
}

var_t image_places(nn_t *nn, const gato_model_t *m, var_t x, const var_t *in, const char *row_table,
                   const char *col_table) {
    tape_t *t = nn->tape;
    size_t D = (size_t)m->config.model.width;
    param_init_t init = init_normal((float)m->config.model.pos_init);
    var_t row = nn_param2(nn, row_table, IMAGE_POSITIONS, D, init);
    var_t col = nn_param2(nn, col_table, IMAGE_POSITIONS, D, init);
    if (m->config.model.patch_pos == POS_NONE) return x;
    return op_add(t, op_add(t, x, op_gather(t, row, in[0])), op_gather(t, col, in[1]));
}

var_t image_code_places(nn_t *nn, const gato_model_t *m, var_t x, const var_t *in) {
    return image_places(nn, m, x, in, "image_codes.row.weight", "image_codes.col.weight");
}
