/* embed_table.c - images as codes that have rows of the token table. */
#include "gato/model/embed_codes.h"
#include "gato/model/embed_image.h"
#include "gato/model/embed_token.h"
#include "gato/model/model.h"

static bool serves(const gato_config_t *c, const slot_t *slot) {
    return slot->kind == SLOT_IMAGE && c->model.image_in == IMAGE_IN_TABLE;
}

static size_t inputs(const gato_model_t *m, const pool_t *pool, input_spec_t spec[ROWS_INPUTS]) {
    (void)pool;
    spec[0] = (input_spec_t){.name = "table_code", .type = DT_I32, .pad = {-1, -1}};
    return image_place_inputs(m, spec, 1);
}

static void put(const embed_put_t *p, const slot_value_t *value, rows_t *rows, int32_t *id) {
    size_t n = value->grid_h * value->grid_w;
    int32_t *row = column_ints(&rows->input[0], n);
    for (size_t i = 0; i < n; i++)
        id[i] = row[i] = (int32_t)(tokens_codes(&p->model->tokens) + value->codes[i]);
    image_put_places(p, (image_size_t){value->grid_h, value->grid_w}, rows, 1);
}

static var_t record(nn_t *nn, const gato_model_t *m, const pool_t *pool, size_t n,
                    const var_t *in) {
    (void)pool, (void)n;
    return image_code_places(nn, m, op_gather(nn->tape, token_table(nn, m), in[0]), in + 1);
}

const embed_t embed_table = {.name = "image_table",
                             .serves = serves,
                             .possible = codes_possible,
                             .tokens = image_codes_tokens,
                             .inputs = inputs,
                             .put = put,
                             .record = record};
