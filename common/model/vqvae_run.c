/* vqvae_run.c - the RUN folder of a tokenizer: diffusers' config.json and weights file, and the
 * fingerprint. */
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/model/codes.h"
#include "common/model/vqvae_names.h"
#include "common/nn/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- config.json ---- */

static cJSON *number(double v) {
    return cJSON_CreateNumber(v);
}

static cJSON *strings(const vqvae_config_t *c, bool up) {
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < c->levels; i++) {
        bool a = c->attention[up ? c->levels - 1 - i : i];
        const char *name = up ? (a ? "AttnUpDecoderBlock2D" : "UpDecoderBlock2D")
                              : (a ? "AttnDownEncoderBlock2D" : "DownEncoderBlock2D");
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
    }
    return list;
}

char *vqvae_quantizer_text(const vqvae_config_t *c) {
    cJSON *o = cJSON_CreateObject();
    const codes_kind_t *kind = codes_kind(c);
    cJSON_AddStringToObject(o, "kind", kind->name);
    if (kind->describe) kind->describe(c, o);
    char *text = json_canonical(o);
    cJSON_Delete(o);
    return text;
}

char *vqvae_tokenizer_text(const char *fingerprint, const char *preprocess_json,
                           const char *quantizer_json, bool trained) {
    return xasprintf("{\"fingerprint\":\"%s\",\"format\":1,\"preprocess\":%s,\"quantizer\":%s%s}\n",
                     fingerprint, preprocess_json, quantizer_json,
                     trained ? "" : ",\"trained\":false");
}

char *vqvae_config_json(const vqvae_config_t *c, size_t sample_size) {
    const codes_kind_t *kind = codes_kind(c);
    cJSON *o = cJSON_CreateObject(), *channels = cJSON_CreateArray();
    for (size_t i = 0; i < c->levels; i++)
        cJSON_AddItemToArray(channels, number((double)c->channels[i]));
    cJSON_AddStringToObject(o, "_class_name", kind->class_name);
    cJSON_AddStringToObject(o, "_diffusers_version", "0.30.0");
    cJSON_AddStringToObject(o, "act_fn", "silu");
    cJSON_AddItemToObject(o, "block_out_channels", channels);
    cJSON_AddItemToObject(o, "down_block_types", strings(c, false));
    cJSON_AddBoolToObject(o, "force_upcast", false);
    if (kind->write) kind->write(c, o);
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
    cJSON_AddItemToObject(o, "up_block_types", strings(c, true));
    cJSON_AddItemToObject(o, "vq_embed_dim", number((double)c->vq_embed_dim));
    char *print = cJSON_Print(o), *text = xasprintf("%s\n", print);
    free(print);
    cJSON_Delete(o);
    return text;
}

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

static int block_types(const cJSON *o, vqvae_config_t *c, bool up, reason_t *why) {
    const char *key = up ? "up_block_types" : "down_block_types",
               *plain = up ? "UpDecoderBlock2D" : "DownEncoderBlock2D",
               *attn = up ? "AttnUpDecoderBlock2D" : "AttnDownEncoderBlock2D";
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!list) {
        if (c->levels != 1) return reason_set(why, "'%s' is missing", key);
        return 0;
    }
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != c->levels)
        return reason_set(why, "'%s' needs one entry a level", key);
    for (size_t i = 0; i < c->levels; i++) {
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(list, (int)i));
        bool a = name && !strcmp(name, attn);
        if (!a && (!name || strcmp(name, plain)))
            return reason_set(why, "'%s': '%s' is not supported", key, name ? name : "?");
        size_t level = up ? c->levels - 1 - i : i;
        if (up && c->attention[level] != a)
            return reason_set(why, "'%s' has attention at other levels than 'down_block_types'",
                              key);
        c->attention[level] = a;
    }
    return 0;
}

static bool known_key(const char *key, const codes_kind_t *kind) {
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
    return kind->key && !strcmp(key, kind->key);
}

static int expect_string(const cJSON *o, const char *key, const char *value, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    const char *s = cJSON_GetStringValue(item);
    if (item && (!s || strcmp(s, value)))
        return reason_set(why, "'%s' is '%s'; only '%s' is supported", key, s ? s : "?", value);
    return 0;
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
    const char *class = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "_class_name"));
    const codes_kind_t *kind = class ? codes_kind_of_class(class) : NULL;
    if (!kind) {
        kind = &codes_vq; /* a folder that names no class is diffusers' */
        if (expect_string(o, "_class_name", kind->class_name, why)) goto end;
    }
    if ((kind->parse && kind->parse(c, o, why)) ||
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
                reason_set(why, "'block_out_channels' holds something else than positive integers");
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
        block_types(o, c, false, why) || block_types(o, c, true, why))
        goto end;
    const cJSON *mid = cJSON_GetObjectItemCaseSensitive(o, "mid_block_add_attention");
    if (mid && !cJSON_IsBool(mid) && !cJSON_IsNull(mid)) {
        reason_set(why, "'mid_block_add_attention' is neither true nor false");
        goto end;
    }
    c->mid_attention = !mid || !cJSON_IsFalse(mid);
    for (const cJSON *i = o->child; i; i = i->next)
        if (!known_key(i->string, kind))
            warn("config.json: unknown key '%s' is ignored", i->string);
    rc = vqvae_config_check(c, why) ? RC_MISFIT : RC_OK;
end:
    cJSON_Delete(o);
    return rc;
}

/* ---- weights ---- */

typedef struct {
    vqvae_names_t names;
    size_t levels;
} naming_t;

/* Files of older diffusers name the attention tensors query, key, value, proj_attn. */
static void modern_name(const char *name, char out[VQ_NAME]) {
    static const char *const old[] = {".query.", ".key.", ".value.", ".proj_attn."},
                             *const new[] = {".to_q.", ".to_k.", ".to_v.", ".to_out.0."};
    snprintf(out, VQ_NAME, "%s", name);
    for (size_t i = 0; i < 4; i++) {
        const char *at = strstr(name, old[i]);
        if (at)
            snprintf(out, VQ_NAME, "%.*s%s%s", (int)(at - name), name, new[i], at + strlen(old[i]));
    }
}

static bool our_name(const void *context, const char *theirs, char out[WEIGHTS_NAME]) {
    const naming_t *n = context;
    if (n->names == VQ_NAMES_TAMING) return vqvae_taming_name(theirs, n->levels, false, out);
    modern_name(theirs, out);
    return true;
}

static bool their_name(const void *context, const char *ours, char out[WEIGHTS_NAME]) {
    const naming_t *n = context;
    return n->names == VQ_NAMES_TAMING && vqvae_taming_name(ours, n->levels, true, out);
}

/* What a training leaves in some people's files beside the network. */
static bool of_training(const void *context, const char *tensor) {
    static const char *const training_only[] = {"discriminator.", "loss.discriminator.",
                                                "loss.perceptual_loss."};
    const naming_t *n = context;
    if (n->names == VQ_NAMES_TAMING) return vqvae_taming_training(tensor);
    return params_match(tensor, training_only, 3);
}

static const char *gumbel(const void *context, const char *tensor) {
    if (strcmp(tensor, "quantize.embed.weight") && strncmp(tensor, "quantize.proj.", 14))
        return NULL;
    return "a Gumbel model has no nearest code and is not supported";
}

int vqvae_read_named(params_t *p, const char *path, vqvae_names_t names, size_t levels,
                     size_t *ignored, reason_t *why) {
    naming_t naming = {names, levels};
    weights_names_t translation = {.ours = our_name,
                                   .theirs = their_name,
                                   .ignored = of_training,
                                   .refusal = gumbel,
                                   .context = &naming,
                                   .loose_axes = true};
    st_file_t f;
    reason_t inner;
    *ignored = 0;
    if (st_open_parts(&f, path, &inner)) {
        reason_set(why, "%s", inner.text);
        return RC_DATA;
    }
    int rc = weights_read(p, &f, path, &translation, ignored, why);
    if (st_parts_end(&f, &inner)) { /* damage comes before its consequences */
        reason_set(why, "'%s': %s", path, inner.text);
        rc = RC_DATA;
    }
    return rc;
}

int vqvae_read_weights(params_t *p, const char *path, reason_t *why) {
    size_t ignored;
    return vqvae_read_named(p, path, VQ_NAMES_DIFFUSERS, 0, &ignored, why);
}

/* ---- fingerprint ---- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(const param_t *const *)a)->name, (*(const param_t *const *)b)->name);
}

int vqvae_fingerprint_of(params_t *p, int block, const char *quantizer_json,
                         const char *preprocess_json, char hex[33]) {
    vqvae_fingerprint_with(p, block, NULL, quantizer_json, preprocess_json, hex);
    return 0;
}

void vqvae_fingerprint_with(params_t *p, int block, const float *codebook,
                            const char *quantizer_json, const char *preprocess_json, char hex[33]) {
    static const char CODES[] = "quantize.embedding.weight";
    static const char *const select[] = {"encoder.", "quant_conv.",
                                         CODES}; /* not what a codebook is made from */
    const param_t **list = xcalloc(params_n(p), sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < params_n(p); i++)
        if (params_match(params_at(p, (int)i)->name, select, 3)) list[n++] = params_at(p, (int)i);
    qsort(list, n, sizeof *list, by_name);
    XXH3_state_t *h = XXH3_createState();
    if (!h) die(RC_RUNTIME, "out of memory (hash state)");
    XXH3_128bits_reset(h);
    for (size_t i = 0; i < n; i++) {
        const param_t *q = list[i];
        uint32_t rank = (uint32_t)q->rank;
        XXH3_128bits_update(h, q->name, strlen(q->name) + 1);
        XXH3_128bits_update(h, &rank, sizeof rank);
        for (int d = 0; d < q->rank; d++) {
            uint64_t dim = q->dim[d];
            XXH3_128bits_update(h, &dim, sizeof dim);
        }
        float *disk = xmalloc(q->count * sizeof *disk);
        if (codebook && !strcmp(q->name, CODES))
            memcpy(disk, codebook, q->count * sizeof *disk);
        else
            params_export(p, block, params_find(p, q->name), disk);
        XXH3_128bits_update(h, disk, q->count * sizeof *disk);
        free(disk);
    }
    XXH3_128bits_update(h, quantizer_json, strlen(quantizer_json) + 1);
    XXH3_128bits_update(h, preprocess_json, strlen(preprocess_json) + 1);
    XXH128_hash_t v = XXH3_128bits_digest(h);
    XXH3_freeState(h);
    free(list);
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)v.high64, (unsigned long long)v.low64);
}
