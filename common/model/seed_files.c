/* seed_files.c - the files that SEED's networks are published in: whose tensor is whose, and what
 * their shapes say; see seed.h.
 *
 * The quantizer's file holds all but the ViT, which is a file of its own (EVA-CLIP's, without
 * "visual_encoder." before its names), or all is in one.
 */
#include "common/model/seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char VISION[] = "visual_encoder.";
enum { VISION_HEAD = 88, HEAD = 64, NAME = 1024 };

int seed_file_open(seed_file_t *f, const char *path, reason_t *why) {
    *f = (seed_file_t){.path = path, .vision_layers = SEED_LAYERS};
    if (st_open_parts(&f->file, path, why)) return -1;
    f->bare = st_find(&f->file, "patch_embed.proj.weight") || st_find(&f->file, "cls_token");
    f->whole = f->bare && st_find(&f->file, "norm.weight");
    return 0;
}

static bool starts(const char *name, const char *prefix) {
    return !strncmp(name, prefix, strlen(prefix));
}

/* The number behind a prefix, before a dot: "blocks.12.norm1.weight" -> 12; -1: there is none. */
static long number_behind(const char *name, const char *prefix) {
    if (!starts(name, prefix)) return -1;
    const char *digits = name + strlen(prefix);
    size_t n = strspn(digits, "0123456789");
    if (!n || n > 3 || digits[n] != '.' || (n > 1 && *digits == '0')) return -1;
    return strtol(digits, NULL, 10);
}

/* What a ViT that was trained to classify, or whole, has beside the blocks that are used. */
static bool of_whole_vit(const seed_file_t *f, const char *name) {
    long block = number_behind(name, "blocks.");
    return starts(name, "norm.") || starts(name, "fc_norm.") || starts(name, "head.") ||
           (block >= 0 && (size_t)block >= f->vision_layers);
}

bool seed_file_name(const seed_file_t *f, const char *theirs, char *out, size_t size) {
    static const char *const passed[] = {"Qformer.bert.embeddings.position_ids",
                                         "Reverse_Qformer.bert.embeddings.position_ids"};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (!strcmp(theirs, passed[i])) return false;
    if (f->bare && of_whole_vit(f, theirs)) return false;
    snprintf(out, size, "%s%s", f->bare ? VISION : "", theirs);
    return true;
}

const st_tensor_t *seed_files_find(seed_file_t *f, size_t n, const char *name, seed_file_t **in) {
    for (size_t i = 0; i < n; i++) {
        const char *theirs = name;
        if (f[i].bare && !starts(name, VISION)) continue;
        if (f[i].bare) theirs += strlen(VISION);
        const st_tensor_t *t = st_find(&f[i].file, theirs);
        if (t && in) *in = &f[i];
        if (t) return t;
    }
    return NULL;
}

/* ---- sizes by shapes ---- */

typedef struct {
    seed_file_t *f;
    size_t n;
    reason_t *why;
} files_t;

static bool has(const files_t *x, const char *name) {
    return seed_files_find(x->f, x->n, name, NULL) != NULL;
}

/* Dimension d of a tensor of this rank. */
static int dim_of(const files_t *x, const char *name, int rank, int d, size_t *out) {
    const st_tensor_t *t = seed_files_find(x->f, x->n, name, NULL);
    if (!t) return reason_set(x->why, "missing tensor '%s'", name);
    if (t->rank != rank)
        return reason_set(x->why, "another shape of '%s' (%d axes, not %d)", name, t->rank, rank);
    *out = (size_t)t->dim[d];
    return 0;
}

/* One more than the largest number behind a prefix: so a block in which a tensor is missing counts,
 * and the tensor is missed. */
static size_t count(const files_t *x, const char *prefix) {
    long most = -1;
    for (size_t i = 0; i < x->n; i++)
        for (size_t k = 0; k < x->f[i].file.n; k++) {
            char name[NAME];
            if (!seed_file_name(&x->f[i], x->f[i].file.tensor[k].name, name, sizeof name)) continue;
            long number = number_behind(name, prefix);
            if (number > most && number < SEED_LAYERS) most = number;
        }
    return (size_t)(most + 1);
}

/* The hidden width of the first of `layers` layers. */
static int hidden(const files_t *x, size_t layers, const char *name, size_t *out) {
    *out = 0;
    return layers ? dim_of(x, name, 2, 0, out) : 0;
}

static int infer_vision(seed_config_t *c, const files_t *x) {
    size_t T, side = 1;
    if (dim_of(x, "visual_encoder.patch_embed.proj.weight", 4, 0, &c->vision_width) ||
        dim_of(x, "visual_encoder.patch_embed.proj.weight", 4, 2, &c->patch_size) ||
        dim_of(x, "visual_encoder.pos_embed", 3, 1, &T))
        return -1;
    while (side * side + 1 < T && side < 4096) side++;
    if (side * side + 1 != T)
        return reason_set(
            x->why,
            "another shape of 'visual_encoder.pos_embed' (%zu positions are no square "
            "and one)",
            T);
    c->image_size = side * c->patch_size;
    c->vision_layers = count(x, "visual_encoder.blocks.");
    c->vision_heads = c->vision_width % VISION_HEAD ? 0 : c->vision_width / VISION_HEAD;
    if (!c->vision_layers)
        return reason_set(x->why, "missing tensor 'visual_encoder.blocks.0.attn.qkv.weight'");
    return hidden(x, c->vision_layers, "visual_encoder.blocks.0.mlp.fc1.weight", &c->vision_mlp);
}

static int infer_head(seed_config_t *c, const files_t *x) {
    static const char *const down[SEED_DOWN] = {"image_down.0.weight", "image_down.2.weight",
                                                "image_down.4.weight"};
    bool reverse = has(x, "reverse_tokens"), narrow = has(x, down[0]);
    if (reverse && narrow)
        return reason_set(x->why, "two heads, 'reverse_tokens' and 'image_down.0.weight': only one "
                                  "can feed 'distill_image_proj.weight'");
    c->head = reverse ? SEED_HEAD_REVERSE : narrow ? SEED_HEAD_DOWN : SEED_HEAD_NONE;
    if (c->head == SEED_HEAD_NONE) return 0;
    if (dim_of(x, "distill_image_proj.weight", 2, 0, &c->embedding)) return -1;
    for (size_t i = 0; i < SEED_DOWN && narrow; i++)
        if (dim_of(x, down[i], 2, 0, &c->down[i])) return -1;
    if (narrow) return 0;
    c->reverse_layers = count(x, "Reverse_Qformer.bert.encoder.layer.");
    if (!c->reverse_layers)
        return reason_set(x->why, "missing tensor 'Reverse_Qformer.bert.encoder.layer.0.attention."
                                  "self.query.weight'");
    return hidden(x, c->reverse_layers,
                  "Reverse_Qformer.bert.encoder.layer.0.intermediate_query.dense.weight",
                  &c->reverse_mlp);
}

int seed_config_infer(seed_config_t *c, seed_file_t *f, size_t n, reason_t *why) {
    files_t x = {f, n, why};
    *c = (seed_config_t){.causal = true, .weights = WEIGHTS_F32};
    if (infer_vision(c, &x) || dim_of(&x, "query_tokens", 3, 1, &c->queries) ||
        dim_of(&x, "query_tokens", 3, 2, &c->width) ||
        dim_of(&x, "quantize.embedding.weight", 2, 0, &c->codes) ||
        dim_of(&x, "quantize.embedding.weight", 2, 1, &c->code_width) || infer_head(c, &x))
        return -1;
    c->layers = count(&x, "Qformer.bert.encoder.layer.");
    if (!c->layers)
        return reason_set(
            why, "missing tensor 'Qformer.bert.encoder.layer.0.attention.self.query.weight'");
    c->heads = c->width % HEAD ? 0 : c->width / HEAD;
    c->decode_layers = count(&x, "blocks_image.");
    c->reconstruct_layers = count(&x, "blocks.");
    c->reconstructs = c->reconstruct_layers || has(&x, "pos_embed");
    for (size_t i = 0; i < n; i++)
        if (f[i].whole) c->vision_layers = 0;
    return hidden(&x, c->layers, "Qformer.bert.encoder.layer.0.intermediate_query.dense.weight",
                  &c->mlp) ||
                   hidden(&x, c->decode_layers, "blocks_image.0.mlp.fc1.weight", &c->decode_mlp) ||
                   hidden(&x, c->reconstruct_layers, "blocks.0.mlp.fc1.weight", &c->reconstruct_mlp)
               ? -1
               : 0;
}
