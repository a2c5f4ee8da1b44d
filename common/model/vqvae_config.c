/* vqvae_config.c - what shapes a network: its limits, and config.json (diffusers' VQModel) written
 * and read. */
#include "common/io/text/json.h"
#include "common/model/codes.h"
#include "common/model/kind.h"

#include <stdlib.h>
#include <string.h>

size_t vqvae_stride(const vqvae_config_t *c) {
    return (size_t)1 << (c->levels - 1);
}

void vqvae_grid(const vqvae_config_t *c, size_t w, size_t h, size_t *gw, size_t *gh) {
    model_kind(c)->grid(c, w, h, gw, gh);
}

size_t vqvae_tokens(const vqvae_config_t *c, size_t w, size_t h) {
    size_t gw, gh;
    vqvae_grid(c, w, h, &gw, &gh);
    return gw * gh;
}

void vqvae_image_size(const vqvae_config_t *c, size_t gw, size_t gh, size_t *w, size_t *h) {
    model_kind(c)->image_size(c, gw, gh, w, h);
}

size_t vqvae_most_kept(const vqvae_config_t *c) {
    const model_kind_t *kind = model_kind(c);
    return kind->most_kept ? kind->most_kept(c) : 0;
}

bool vqvae_fixed_size(const vqvae_config_t *c, size_t *w, size_t *h) {
    const model_kind_t *kind = model_kind(c);
    if (kind->fixed_size) kind->fixed_size(c, w, h);
    return kind->fixed_size;
}

int vqvae_config_check(const vqvae_config_t *c, reason_t *why) {
    if (c->levels < 1 || c->levels > VQ_LEVELS)
        return reason_set(why, "between 1 and %d levels are needed, not %zu", VQ_LEVELS, c->levels);
    if (!c->norm_groups) return reason_set(why, "norm_num_groups must be positive");
    for (size_t i = 0; i < c->levels; i++)
        if (!c->channels[i] || c->channels[i] % c->norm_groups)
            return reason_set(
                why, "block_out_channels[%zu] = %zu is no multiple of norm_num_groups = %zu", i,
                c->channels[i], c->norm_groups);
    if (c->in_channels != 3 || c->out_channels != 3)
        return reason_set(why, "images of 3 channels are needed, not %zu and %zu", c->in_channels,
                          c->out_channels);
    if (!c->layers_per_block || !c->latent_channels || !c->vq_embed_dim)
        return reason_set(why,
                          "layers_per_block, latent_channels and vq_embed_dim must be positive");
    if (c->codes < 2) return reason_set(why, "num_vq_embeddings must be at least 2");
    const model_kind_t *model = model_kind(c);
    if (model->check && model->check(c, why)) return -1;
    const codes_kind_t *kind = codes_kind(c);
    return kind->check ? kind->check(c, why) : 0;
}

/* ---- written ---- */

static cJSON *number(double v) {
    return cJSON_CreateNumber(v);
}

/* diffusers' names of the blocks of one level, without and with attention. */
static const char *const DOWN_BLOCK[2] = {"DownEncoderBlock2D", "AttnDownEncoderBlock2D"};
static const char *const UP_BLOCK[2] = {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"};

/* Of the encoder, or of the decoder (up), whose block 0 has the lowest resolution. */
static cJSON *block_types(const vqvae_config_t *c, bool up) {
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < c->levels; i++) {
        const char *name =
            up ? UP_BLOCK[c->attention[c->levels - 1 - i]] : DOWN_BLOCK[c->attention[i]];
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
    }
    return list;
}

char *vqvae_config_json(const vqvae_config_t *c, size_t sample_size) {
    const codes_kind_t *kind = codes_kind(c);
    const model_kind_t *model = model_kind(c);
    cJSON *o = cJSON_CreateObject(), *channels = cJSON_CreateArray();
    char *class = xasprintf("%s%s", kind->class_name, model->suffix);
    for (size_t i = 0; i < c->levels; i++)
        cJSON_AddItemToArray(channels, number((double)c->channels[i]));
    cJSON_AddStringToObject(o, "_class_name", class);
    cJSON_AddStringToObject(o, "_diffusers_version", "0.30.0");
    cJSON_AddStringToObject(o, "act_fn", "silu");
    cJSON_AddItemToObject(o, "block_out_channels", channels);
    cJSON_AddItemToObject(o, "down_block_types", block_types(c, false));
    cJSON_AddBoolToObject(o, "force_upcast", false);
    if (kind->write) kind->write(c, o);
    if (model->write) model->write(c, o);
    cJSON_AddItemToObject(o, "in_channels", number((double)c->in_channels));
    cJSON_AddItemToObject(o, "latent_channels", number((double)c->latent_channels));
    cJSON_AddItemToObject(o, "layers_per_block", number((double)c->layers_per_block));
    cJSON_AddBoolToObject(o, "lookup_from_codebook", false);
    cJSON_AddBoolToObject(o, "mid_block_add_attention", c->mid_attention);
    cJSON_AddItemToObject(o, "norm_num_groups", number((double)c->norm_groups));
    cJSON_AddStringToObject(o, "norm_type", "group");
    cJSON_AddItemToObject(o, "num_vq_embeddings", number((double)c->codes));
    cJSON_AddItemToObject(o, "out_channels", number((double)c->out_channels));
    cJSON_AddItemToObject(o, "sample_size", number((double)sample_size));
    cJSON_AddItemToObject(o, "scaling_factor", number(0.18215));
    cJSON_AddItemToObject(o, "up_block_types", block_types(c, true));
    cJSON_AddItemToObject(o, "vq_embed_dim", number((double)c->vq_embed_dim));
    char *print = cJSON_Print(o), *text = xasprintf("%s\n", print);
    free(print);
    free(class);
    cJSON_Delete(o);
    return text;
}

/* ---- read ---- */

static int size_key(const cJSON *o, const char *key, size_t preset, size_t *out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    *out = preset;
    if (!item || cJSON_IsNull(item)) return 0;
    uint64_t v;
    if (!json_u64(item, &v) || v < 1 || v > 1 << 24)
        return reason_set(why, "'%s' is no positive integer", key);
    *out = (size_t)v;
    return 0;
}

static int read_block_types(const cJSON *o, vqvae_config_t *c, bool up, reason_t *why) {
    const char *key = up ? "up_block_types" : "down_block_types";
    const char *const *block = up ? UP_BLOCK : DOWN_BLOCK;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!list) {
        if (c->levels != 1) return reason_set(why, "'%s' is missing", key);
        return 0;
    }
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != c->levels)
        return reason_set(why, "'%s' needs one entry per level", key);
    for (size_t i = 0; i < c->levels; i++) {
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(list, (int)i));
        bool attention = name && !strcmp(name, block[true]);
        if (!attention && (!name || strcmp(name, block[false])))
            return reason_set(why, "'%s': '%s' is not supported", key, name ? name : "?");
        size_t level = up ? c->levels - 1 - i : i;
        if (up && c->attention[level] != attention)
            return reason_set(why, "'%s' has attention at other levels than 'down_block_types'",
                              key);
        c->attention[level] = attention;
    }
    return 0;
}

static bool known_key(const char *key, const codes_kind_t *kind, const model_kind_t *model) {
    static const char *const keys[] = {"_class_name",          "_diffusers_version",
                                       "_name_or_path",        "act_fn",
                                       "block_out_channels",   "down_block_types",
                                       "force_upcast",         "in_channels",
                                       "latent_channels",      "layers_per_block",
                                       "lookup_from_codebook", "mid_block_add_attention",
                                       "norm_num_groups",      "norm_type",
                                       "num_vq_embeddings",    "out_channels",
                                       "sample_size",          "scaling_factor",
                                       "up_block_types",       "vq_embed_dim"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i])) return true;
    return (kind->key && !strcmp(key, kind->key)) || model_kind_reads(model->file_keys, key);
}

static int expect_string(const cJSON *o, const char *key, const char *value, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    const char *s = cJSON_GetStringValue(item);
    if (item && (!s || strcmp(s, value)))
        return reason_set(why, "'%s' is '%s'; only '%s' is supported", key, s ? s : "?", value);
    return 0;
}

/* The kinds that _class_name names: that of the codes, with the model's suffix behind it. A folder
 * that names no class is diffusers'. False with a reason: there are none. */
static bool find_class(const cJSON *o, const codes_kind_t **kind, const model_kind_t **model,
                       reason_t *why) {
    const char *class = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "_class_name"));
    for (size_t i = 0; class && i < model_kinds(); i++) {
        *model = model_kind_at(i);
        size_t n = strlen(class), suffix = strlen((*model)->suffix);
        if (n < suffix || strcmp(class + n - suffix, (*model)->suffix)) continue;
        char *name = xasprintf("%.*s", (int)(n - suffix), class);
        *kind = codes_kind_of_class(name);
        free(name);
        if (*kind) return true;
    }
    *kind = &codes_vq;
    *model = &kind_grid;
    return !expect_string(o, "_class_name", (*kind)->class_name, why);
}

int vqvae_config_parse(vqvae_config_t *c, const char *text, size_t size, reason_t *why) {
    *c = (vqvae_config_t){0};
    cJSON *o = json_parse(text, size, false, why);
    if (!o) return RC_DATA;
    int rc = RC_MISFIT;
    reason_t ignored; /* diffusers knows SiLU by two names */
    if (!cJSON_IsObject(o)) {
        reason_set(why, "not a JSON object");
        rc = RC_DATA;
        goto end;
    }
    const codes_kind_t *kind;
    const model_kind_t *model;
    if (!find_class(o, &kind, &model, why) || (kind->parse && kind->parse(c, o, why)) ||
        (model->parse && model->parse(c, o, why)) ||
        (expect_string(o, "act_fn", "swish", &ignored) &&
         expect_string(o, "act_fn", "silu", why)) ||
        expect_string(o, "norm_type", "group", why))
        goto end;
    const cJSON *channels = cJSON_GetObjectItemCaseSensitive(o, "block_out_channels");
    c->levels = 1;
    c->channels[0] = 64;
    if (channels) {
        int n = cJSON_IsArray(channels) ? cJSON_GetArraySize(channels) : 0;
        if (n < 1 || n > VQ_LEVELS) {
            reason_set(why, "'block_out_channels' needs 1 to %d numbers", VQ_LEVELS);
            goto end;
        }
        c->levels = (size_t)n;
        for (int i = 0; i < n; i++) {
            uint64_t v;
            if (!json_u64(cJSON_GetArrayItem(channels, i), &v) || !v || v > 1 << 16) {
                reason_set(why,
                           "'block_out_channels' holds something other than positive integers");
                goto end;
            }
            c->channels[i] = (size_t)v;
        }
    }
    if (size_key(o, "in_channels", 3, &c->in_channels, why) ||
        size_key(o, "out_channels", 3, &c->out_channels, why) ||
        size_key(o, "layers_per_block", 1, &c->layers_per_block, why) ||
        size_key(o, "latent_channels", 3, &c->latent_channels, why) ||
        size_key(o, "num_vq_embeddings", 256, &c->codes, why) ||
        size_key(o, "norm_num_groups", 32, &c->norm_groups, why) ||
        size_key(o, "vq_embed_dim", c->latent_channels, &c->vq_embed_dim, why) ||
        read_block_types(o, c, false, why) || read_block_types(o, c, true, why))
        goto end;
    const cJSON *mid = cJSON_GetObjectItemCaseSensitive(o, "mid_block_add_attention");
    if (mid && !cJSON_IsBool(mid) && !cJSON_IsNull(mid)) {
        reason_set(why, "'mid_block_add_attention' is neither true nor false");
        goto end;
    }
    c->mid_attention = !mid || !cJSON_IsFalse(mid);
    for (const cJSON *i = o->child; i; i = i->next)
        if (!known_key(i->string, kind, model))
            warn("config.json: unknown key '%s' is ignored", i->string);
    rc = vqvae_config_check(c, why) ? RC_MISFIT : RC_OK;
end:
    cJSON_Delete(o);
    return rc;
}
