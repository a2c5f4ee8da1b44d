/* foreign_neko.c - NEKO (ManifoldRG/NEKO, commit 075d72d): the state dict as safetensors, its
 * args.json as configuration. Tensors bear our names, with peft's in them where there are adapters;
 * sizes come from their shapes, and switches from the arguments. Groups of the GroupNorm and rows
 * of the position tables are always 32 and 128 there, whatever args.json says.
 */
#include "gato/run/foreign.h"

#include "common/nn/weights.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <string.h>

enum { HEAD_WIDTH = 64 /* of every GPT-2 that NEKO starts from */ };

static const char embedding[] = "image_embedding.patch_embedding.conv1.weight";

/* Axis d of a tensor of that rank. */
static int axis(const st_file_t *file, const char *name, int rank, int d, int64_t *out,
                reason_t *why) {
    const st_tensor_t *t = st_find(file, name);
    if (!t) return reason_set(why, "missing tensor '%s'", name);
    if (t->rank != rank || t->dim[d] < 1 || t->dim[d] > 1 << 24)
        return reason_set(why, "tensor '%s' has another shape", name);
    *out = (int64_t)t->dim[d];
    return 0;
}

/* Does a file that peft wrapped or not have the tensor? */
static const st_tensor_t *find(const st_file_t *file, const char *name) {
    char ours[WEIGHTS_NAME];
    for (size_t i = 0; i < file->n; i++)
        if (run_name_of_peft(file->tensor[i].name, ours) && !strcmp(ours, name))
            return &file->tensor[i];
    return NULL;
}

static int64_t count_layers(const st_file_t *file) {
    int64_t n = 0;
    char name[64];
    do snprintf(name, sizeof name, "transformer.h.%lld.ln_1.weight", (long long)n);
    while (find(file, name) && ++n);
    return n;
}

/* A number of the arguments, or its default in NEKO. */
static int number(const cJSON *o, const char *key, double preset, double *out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    *out = preset;
    if (!item || cJSON_IsNull(item)) return 0;
    if (!cJSON_IsNumber(item)) return reason_set(why, "'%s' is no number", key);
    *out = item->valuedouble;
    return 0;
}

/* lora.*: the rank and the layers by the tensors, the rest by the arguments. */
static int adapters(const cJSON *o, const st_file_t *file, gato_config_t *c, reason_t *why) {
    static const struct {
        const char *target, *tensor;
    } layer[] = {{"c_attn", "transformer.h.0.attn.c_attn.lora_A.default.weight"},
                 {"c_proj", "transformer.h.0.attn.c_proj.lora_A.default.weight"},
                 {"c_fc", "transformer.h.0.mlp.c_fc.lora_A.default.weight"}};
    const char *comma = "";
    bool any = false;
    for (size_t i = 0; i < file->n; i++) any = any || strstr(file->tensor[i].name, ".lora_");
    if (!any) return 0;
    *c->lora.targets = 0;
    for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
        const st_tensor_t *t = find(file, layer[i].tensor);
        if (!t) continue;
        if (t->rank != 2 || t->dim[0] < 1 || t->dim[0] > 1024)
            return reason_set(why, "tensor '%.200s' has another shape", t->name);
        c->lora.rank = (int64_t)t->dim[0];
        strcat(strcat(c->lora.targets, comma), layer[i].target);
        comma = ",";
    }
    if (!c->lora.rank)
        return reason_set(why, "adapters (LoRA), and none named '%s'", layer[0].tensor);
    return number(o, "lora_alpha", 32, &c->lora.alpha, why) ||
                   number(o, "lora_dropout", 0.1, &c->lora.dropout, why)
               ? -1
               : 0;
}

/* model.activation and heads; a network that began as GPT-2 has those of GPT-2. */
static int transformer(const cJSON *o, gato_config_t *c, reason_t *why) {
    static const char *const names[] = {"gelu", "gelu_new", "geglu"};
    if (cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "pretrained_lm"))) {
        c->model.heads = c->model.width / HEAD_WIDTH;
        c->model.activation = 1;
        return 0;
    }
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, "activation_fn");
    const char *name = item ? cJSON_GetStringValue(item) : names[0];
    for (int i = 0; name && i < 3; i++)
        if (!strcmp(name, names[i])) {
            c->model.activation = i;
            return foreign_integer(o, "heads", 24, &c->model.heads, why);
        }
    return reason_set(why, "'activation_fn' is '%.60s'; gelu, gelu_new and geglu are supported",
                      name ? name : "?");
}

static int vocabulary(const cJSON *o, int64_t total, gato_config_t *c, vocabulary_t *v,
                      reason_t *why) {
    int64_t discrete, mu, M;
    if (foreign_integer(o, "continuous_tokens", 1024, &c->model.bins, why) ||
        foreign_integer(o, "discrete_tokens", TOKENS_DISCRETE, &discrete, why) ||
        foreign_integer(o, "mu", 100, &mu, why) || foreign_integer(o, "M", 256, &M, why))
        return -1;
    if (discrete != TOKENS_DISCRETE)
        return reason_set(why, "'discrete_tokens' is %lld; %d is needed", (long long)discrete,
                          TOKENS_DISCRETE);
    if (total <= c->model.bins + discrete)
        return reason_set(why, "'embed_token.weight' has %lld rows, %lld of them for numbers",
                          (long long)total, (long long)(c->model.bins + discrete));
    v->text = (uint32_t)(total - c->model.bins - discrete);
    v->mu = (float)mu;
    v->M = (float)M;
    return 0;
}

static int describe(const cJSON *o, const st_file_t *file, gato_config_t *c, vocabulary_t *v,
                    reason_t *why) {
    int64_t total = 0;
    if (axis(file, "embed_token.weight", 2, 0, &total, why) ||
        axis(file, "embed_token.weight", 2, 1, &c->model.width, why) ||
        axis(file, "pos_embed_observation.weight", 2, 0, &c->model.context, why) ||
        axis(file, embedding, 4, 0, &c->model.patch_mid, why) ||
        foreign_integer(o, "patch_size", 16, &c->model.patch, why) || transformer(o, c, why) ||
        vocabulary(o, total, c, v, why) || adapters(o, file, c, why))
        return -1;
    c->model.layers = count_layers(file);
    c->model.image_in = IMAGE_IN_PATCHES;
    c->model.patch_groups = 32;
    c->model.patch_pos = foreign_flag(o, "disable_patch_pos_encoding", false) ? POS_NONE : POS_NEKO;
    c->model.inner_pos = !foreign_flag(o, "disable_inner_pos_encoding", false);
    if (!c->model.layers) return reason_set(why, "missing tensor 'transformer.h.0.ln_1.weight'");
    return 0;
}

static int read_weights(gato_model_t *m, st_file_t *file, const char *path, size_t *ignored,
                        reason_t *why) {
    return run_read_neko(m, file, path, ignored, why);
}

const foreign_t foreign_neko = {
    .name = "neko", .images = true, .describe = describe, .read = read_weights};
