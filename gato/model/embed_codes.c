/* embed_codes.c - images as codes of a frozen tokenizer: the codebook's vectors, projected. */
#include "gato/model/embed_codes.h"

#include "gato/model/embed_image.h"
#include "gato/model/model.h"
#include "gato/model/whiten.h"

static size_t block(const gato_model_t *m) {
    return (size_t)(m->config.model.merge * m->config.model.merge);
}

bool codes_possible(const gato_model_t *m) {
    return m->vocabulary.codes > 0;
}

input_spec_t codes_input(const gato_model_t *m) {
    return (input_spec_t){
        .name = "code", .type = DT_I32, .rank = 1, .dim = {block(m)}, .pad = {-1, -1}};
}

/* The vectors that enter: the codebook as it is, or whitened. */
static var_t codebook(nn_t *nn, const gato_model_t *m) {
    size_t K = m->vocabulary.codes, D = m->vocabulary.code_dim;
    var_t plain = nn_param2(nn, "image_codes.codebook", K, D, init_zero());
    if (m->config.model.code_norm == CODE_NORM_NONE) return plain;
    return nn_param2(nn, "image_codes.white", K, D, init_zero());
}

var_t codes_vectors(nn_t *nn, const gato_model_t *m, var_t code) {
    return tape_detach(nn->tape, op_gather(nn->tape, codebook(nn, m), code));
}

var_t codes_rows(nn_t *nn, const gato_model_t *m, size_t n, var_t code) {
    tape_t *t = nn->tape;
    code = tape_reshape(t, code, I32_1(n * block(m)));
    var_t x = codes_vectors(nn, m, code);
    x = tape_reshape(t, x, F32_2(n, block(m) * m->vocabulary.code_dim));
    return nn_linear(nn, "image_codes.proj", x, (size_t)m->config.model.width, true);
}

void codes_start(gato_model_t *m, const pool_t *pool) {
    (void)pool;
    const vocabulary_t *v = &m->vocabulary;
    if (!v->codebook) return;
    int plain = params_find(m->params, "image_codes.codebook"),
        white = params_find(m->params, "image_codes.white");
    if (plain >= 0) params_import(m->params, PARAMS_VALUE, plain, v->codebook);
    if (white >= 0)
        whiten_codebook(v->codebook, v->codes, v->code_dim,
                        params_ptr(m->params, PARAMS_VALUE, white));
}

static bool serves(const gato_config_t *c, const slot_t *slot) {
    return slot->kind == SLOT_IMAGE && c->model.image_in == IMAGE_IN_CODES;
}

static size_t inputs(const gato_model_t *m, const pool_t *pool, input_spec_t spec[ROWS_INPUTS]) {
    (void)pool;
    spec[0] = codes_input(m);
    return image_place_inputs(m, spec, 1);
}

static void put(const embed_put_t *p, const slot_value_t *value, rows_t *rows, int32_t *id) {
    const gato_config_t *c = &p->model->config;
    image_size_t size;
    image_codes(c, value, &size, NULL);
    size_t n = size.rows * size.cols;
    int32_t *code = column_ints(&rows->input[0], n);
    for (size_t i = 0; i < n; i++) {
        image_block(c, value, i, code + i * rows->input[0].per);
        id[i] = 0;
    }
    image_put_places(p, size, rows, 1);
}

static var_t record(nn_t *nn, const gato_model_t *m, const pool_t *pool, size_t n,
                    const var_t *in) {
    (void)pool;
    return image_code_places(nn, m, codes_rows(nn, m, n, in[0]), in + 1);
}

const embed_t embed_codes = {.name = "image_codes",
                             .serves = serves,
                             .possible = codes_possible,
                             .tokens = image_codes_tokens,
                             .inputs = inputs,
                             .put = put,
                             .record = record,
                             .start = codes_start};
