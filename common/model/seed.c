/* seed.c - the graph of SEED under its published names; see seed.h. */
#include "common/model/seed.h"

#include "common/nn/qformer.h"
#include "common/nn/vit.h"

#include <string.h>

static const float VISION_EPS = 1e-5f; /* of ln_vision */
static const char CODEBOOK[] = "quantize.embedding.weight";

/* A learned table [1,T,D] as it is on disk. */
static var_t table(nn_t *nn, const char *name, size_t T, size_t D) {
    return nn_param(nn, name, 3, (size_t[]){1, T, D}, LAYOUT_SAME, init_normal(0.02f));
}

/* ---- from the image to codes ---- */

var_t seed_see(nn_t *nn, const seed_config_t *c, var_t image, var_t *block) {
    tape_t *t = nn->tape;
    size_t side = c->image_size / c->patch_size, T = side * side + 1, E = c->vision_width;
    size_t mark = nn_push(nn, "visual_encoder"), inner = nn_push(nn, "patch_embed");
    var_t patches = nn_patches(nn, image, c->patch_size, E);
    nn_pop(nn, inner);
    var_t rows[] = {tape_reshape(t, table(nn, "cls_token", 1, E), F32_2(1, E)),
                    tape_reshape(t, patches, F32_2(T - 1, E))};
    var_t x = tape_reshape(t, op_concat_rows(t, rows, 2), F32_3(1, T, E));
    x = op_add(t, x, table(nn, "pos_embed", T, E));
    for (size_t i = 0; i < c->vision_layers; i++) {
        inner = nn_push(nn, "blocks.%zu", i);
        x = nn_vit_block(
            nn, x, (vit_opts_t){.heads = c->vision_heads, .hidden = c->vision_mlp, .eva = true});
        nn_pop(nn, inner);
        if (block) block[i] = x;
    }
    nn_pop(nn, mark);
    return nn_layernorm(nn, "ln_vision", x, VISION_EPS);
}

var_t seed_query(nn_t *nn, const seed_config_t *c, var_t seen, var_t *layer) {
    qformer_opts_t o = {
        .layers = c->layers, .heads = c->heads, .hidden = c->mlp, .causal = c->causal};
    var_t queries = table(nn, "query_tokens", c->queries, c->width);
    size_t mark = nn_push(nn, "Qformer.bert");
    var_t x = nn_qformer(nn, queries, seen, o, layer);
    nn_pop(nn, mark);
    return x;
}

var_t seed_prequant(nn_t *nn, const seed_config_t *c, var_t embeddings) {
    return nn_tanh_pair(nn, "encode_task_layer", embeddings, c->width, c->code_width);
}

vq_out_t seed_quantize(nn_t *nn, const seed_config_t *c, var_t prequant) {
    var_t book =
        nn_param2(nn, CODEBOOK, c->codes, c->code_width, init_uniform(1 / (float)c->codes));
    return op_vq(nn->tape, prequant, book, 0, 0);
}

/* ---- from codes to the embedding ---- */

var_t seed_up(nn_t *nn, const seed_config_t *c, var_t quantized) {
    return nn_tanh_pair(nn, "decode_task_layer", quantized, c->code_width, c->width);
}

/* x + positions, then blocks. */
static var_t blocks(nn_t *nn, const seed_config_t *c, const char *positions, const char *name,
                    size_t layers, size_t mlp, var_t x, var_t *block) {
    x = op_add(nn->tape, x, table(nn, positions, c->queries, c->width));
    for (size_t i = 0; i < layers; i++) {
        size_t mark = nn_push(nn, "%s.%zu", name, i);
        x = nn_vit_block(nn, x, (vit_opts_t){.heads = c->heads, .hidden = mlp});
        nn_pop(nn, mark);
        if (block) block[i] = x;
    }
    return x;
}

var_t seed_decode(nn_t *nn, const seed_config_t *c, var_t up, var_t *block) {
    return blocks(nn, c, "pos_embed_image", "blocks_image", c->decode_layers, c->decode_mlp, up,
                  block);
}

var_t seed_reconstruct(nn_t *nn, const seed_config_t *c, var_t up) {
    if (!c->reconstructs) return NO_VAR;
    return blocks(nn, c, "pos_embed", "blocks", c->reconstruct_layers, c->reconstruct_mlp, up,
                  NULL);
}

/* One query reads the states. */
static var_t head_reverse(nn_t *nn, const seed_config_t *c, var_t states) {
    qformer_opts_t o = {.layers = c->reverse_layers, .heads = c->heads, .hidden = c->reverse_mlp};
    var_t query = table(nn, "reverse_tokens", 1, c->width);
    size_t mark = nn_push(nn, "Reverse_Qformer.bert");
    var_t x = nn_qformer(nn, query, states, o, NULL);
    nn_pop(nn, mark);
    return tape_reshape(nn->tape, x, F32_2(1, c->width));
}

/* Each state narrowed in three steps, then all of them side by side. */
static var_t head_down(nn_t *nn, const seed_config_t *c, var_t states) {
    size_t mark = nn_push(nn, "image_down");
    var_t x = states;
    for (size_t i = 0; i < SEED_DOWN; i++) {
        char name[8] = {(char)('0' + 2 * i)};
        if (i) x = op_act(nn->tape, x, ACT_RELU);
        x = nn_linear(nn, name, x, c->down[i], false);
    }
    nn_pop(nn, mark);
    return tape_reshape(nn->tape, x, F32_2(1, c->queries * c->down[SEED_DOWN - 1]));
}

var_t seed_embedding(nn_t *nn, const seed_config_t *c, var_t states) {
    if (c->head == SEED_HEAD_NONE) return NO_VAR;
    var_t x = c->head == SEED_HEAD_DOWN ? head_down(nn, c, states) : head_reverse(nn, c, states);
    return nn_linear(nn, "distill_image_proj", x, c->embedding, true);
}

/* ---- parameters ---- */

void seed_declare(params_t *p, const seed_config_t *c, bool apart) {
    tape_t *t = tape_new(p);
    nn_t nn;
    nn_begin(&nn, t);
    var_t image = tape_input(t, "image", F32_4(1, c->image_size, c->image_size, 3));
    var_t seen = seed_see(&nn, c, image, NULL);
    var_t prequant = seed_prequant(&nn, c, seed_query(&nn, c, seen, NULL));
    var_t up = seed_up(&nn, c, seed_quantize(&nn, c, prequant).quantized);
    seed_embedding(&nn, c, seed_decode(&nn, c, up, NULL));
    seed_reconstruct(&nn, c, up);
    tape_free(t);
    for (size_t i = 0; apart && i < params_n(p); i++)
        if (params_at(p, (int)i)->rank == 2 && strcmp(params_at(p, (int)i)->name, CODEBOOK) != 0)
            params_apart(p, (int)i);
}
