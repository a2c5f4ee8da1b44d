/* vqvae_names.c - see vqvae_names.h. */
#include "common/model/vqvae_names.h"

#include "common/io/text/json.h"

#include <stdio.h>
#include <string.h>

/* ---- tensor names ---- */

/* Rules [theirs, ours]: '#' is a number, '~' a level, counted from the other end on the other
 * side. */
typedef struct {
    const char *side[2];
} pair_t;

static const pair_t PLAIN[] = {{{"", ""}}},
                    RESNET[] = {{{"norm1.", "norm1."}},
                                {{"conv1.", "conv1."}},
                                {{"norm2.", "norm2."}},
                                {{"conv2.", "conv2."}},
                                {{"nin_shortcut.", "conv_shortcut."}}},
                    ATTENTION[] = {{{"norm.", "group_norm."}},
                                   {{"q.", "to_q."}},
                                   {{"k.", "to_k."}},
                                   {{"v.", "to_v."}},
                                   {{"proj_out.", "to_out.0."}}};
#define LEAVES(a) a, sizeof a / sizeof *a

static const struct {
    pair_t name;
    const pair_t *leaf;
    size_t n;
} rules[] = {
    {{{"encoder.conv_in.", "encoder.conv_in."}}, LEAVES(PLAIN)},
    {{{"encoder.down.#.block.#.", "encoder.down_blocks.#.resnets.#."}}, LEAVES(RESNET)},
    {{{"encoder.down.#.attn.#.", "encoder.down_blocks.#.attentions.#."}}, LEAVES(ATTENTION)},
    {{{"encoder.down.#.downsample.conv.", "encoder.down_blocks.#.downsamplers.0.conv."}},
     LEAVES(PLAIN)},
    {{{"encoder.mid.block_1.", "encoder.mid_block.resnets.0."}}, LEAVES(RESNET)},
    {{{"encoder.mid.attn_1.", "encoder.mid_block.attentions.0."}}, LEAVES(ATTENTION)},
    {{{"encoder.mid.block_2.", "encoder.mid_block.resnets.1."}}, LEAVES(RESNET)},
    {{{"encoder.norm_out.", "encoder.conv_norm_out."}}, LEAVES(PLAIN)},
    {{{"encoder.conv_out.", "encoder.conv_out."}}, LEAVES(PLAIN)},
    {{{"quant_conv.", "quant_conv."}}, LEAVES(PLAIN)},
    {{{"quantize.embedding.", "quantize.embedding."}}, LEAVES(PLAIN)},
    {{{"post_quant_conv.", "post_quant_conv."}}, LEAVES(PLAIN)},
    {{{"decoder.conv_in.", "decoder.conv_in."}}, LEAVES(PLAIN)},
    {{{"decoder.mid.block_1.", "decoder.mid_block.resnets.0."}}, LEAVES(RESNET)},
    {{{"decoder.mid.attn_1.", "decoder.mid_block.attentions.0."}}, LEAVES(ATTENTION)},
    {{{"decoder.mid.block_2.", "decoder.mid_block.resnets.1."}}, LEAVES(RESNET)},
    {{{"decoder.up.~.block.#.", "decoder.up_blocks.~.resnets.#."}}, LEAVES(RESNET)},
    {{{"decoder.up.~.attn.#.", "decoder.up_blocks.~.attentions.#."}}, LEAVES(ATTENTION)},
    {{{"decoder.up.~.upsample.conv.", "decoder.up_blocks.~.upsamplers.0.conv."}}, LEAVES(PLAIN)},
    {{{"decoder.norm_out.", "decoder.conv_norm_out."}}, LEAVES(PLAIN)},
    {{{"decoder.conv_out.", "decoder.conv_out."}}, LEAVES(PLAIN)},
};

/* The rest of the name behind the pattern, its numbers in number[2]; NULL = no match. */
static const char *match(const char *pattern, const char *name, size_t levels, size_t number[2]) {
    for (size_t n = 0; *pattern; pattern++) {
        if (*pattern != '#' && *pattern != '~') {
            if (*name != *pattern) return NULL;
            name++;
            continue;
        }
        size_t digits = strspn(name, "0123456789"), v = 0;
        if (!digits || digits > 3 || (digits > 1 && *name == '0')) return NULL;
        for (size_t i = 0; i < digits; i++) v = v * 10 + (size_t)(name[i] - '0');
        name += digits;
        if (*pattern == '~' && v >= levels) return NULL;
        number[n++] = *pattern == '~' ? levels - 1 - v : v;
    }
    return name;
}

static size_t fill(const char *pattern, const size_t number[2], char *out) {
    size_t at = 0;
    for (size_t n = 0; *pattern; pattern++) {
        if (*pattern == '#' || *pattern == '~')
            at += (size_t)sprintf(out + at, "%zu", number[n++]);
        else
            out[at++] = *pattern;
    }
    return at;
}

bool vqvae_taming_name(const char *name, size_t levels, bool back, char out[VQ_NAME]) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        size_t number[2] = {0};
        const char *rest = match(rules[i].name.side[back], name, levels, number);
        if (!rest) continue;
        for (size_t j = 0; j < rules[i].n; j++) {
            const char *theirs = rules[i].leaf[j].side[back], *tail = rest + strlen(theirs);
            if (strncmp(rest, theirs, strlen(theirs)) ||
                (strcmp(tail, "weight") && strcmp(tail, "bias")))
                continue;
            size_t at = fill(rules[i].name.side[!back], number, out);
            snprintf(out + at, VQ_NAME - at, "%s%s", rules[i].leaf[j].side[!back], tail);
            return true;
        }
    }
    return false;
}

static bool starts(const char *name, const char *prefix) {
    return !strncmp(name, prefix, strlen(prefix));
}

bool vqvae_taming_training(const char *name) {
    return starts(name, "loss.") || starts(name, "model_ema.") || starts(name, "quantize.remap") ||
           !strcmp(name, "quantize.used");
}

/* ---- configuration ---- */

static const cJSON *member(const cJSON *o, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static const cJSON *inner(const cJSON *o, const char *key) {
    const cJSON *item = member(o, key);
    return cJSON_IsObject(item) ? item : o;
}

/* `preset` 0: the key must be there. */
static int positive(const cJSON *o, const char *key, size_t preset, size_t *out, reason_t *why) {
    const cJSON *item = member(o, key);
    uint64_t v = preset;
    if (!item && !preset) return reason_set(why, "'%s' is missing", key);
    if (item && (!json_u64(item, &v) || v < 1 || v > 1 << 24))
        return reason_set(why, "'%s' is no positive integer", key);
    *out = (size_t)v;
    return 0;
}

static int integers(const cJSON *o, const char *key, size_t most, size_t *v, size_t *n,
                    reason_t *why) {
    const cJSON *list = member(o, key);
    if (!list) return reason_set(why, "'%s' is missing", key);
    *n = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : most + 1;
    if (*n > most) return reason_set(why, "'%s' needs a list of at most %zu integers", key, most);
    size_t i = 0;
    for (const cJSON *e = list->child; e; e = e->next) {
        uint64_t x;
        if (!json_u64(e, &x) || x < 1 || x > 1 << 16)
            return reason_set(why, "'%s' holds something other than positive integers", key);
        v[i++] = (size_t)x;
    }
    return 0;
}

/* VQModel of taming and of latent-diffusion, and the same without discriminator. */
static int check_target(const cJSON *model, reason_t *why) {
    const cJSON *item = member(model, "target");
    const char *target = cJSON_GetStringValue(item), *dot = target ? strrchr(target, '.') : NULL,
               *name = dot ? dot + 1 : target;
    if (!item) return 0;
    if (name && strstr(name, "Gumbel"))
        return reason_set(
            why, "'target' is '%s': a Gumbel model has no nearest code and is not supported",
            target);
    if (!name || (strcmp(name, "VQModel") && strcmp(name, "VQModelInterface") &&
                  strcmp(name, "VQNoDiscModel")))
        return reason_set(
            why, "'target' is '%s'; only 'taming.models.vqgan.VQModel' and its kin are supported",
            target ? target : "?");
    return 0;
}

/* Switches that change the network, at the values that VQModel can express. */
static int check_switches(const cJSON *dd, bool *attention, reason_t *why) {
    static const struct {
        const char *key;
        bool want;
    } use[] = {{"double_z", false},        {"tanh_out", false},        {"give_pre_end", false},
               {"use_linear_attn", false}, {"resamp_with_conv", true}, {"use_timestep", false}};
    for (size_t i = 0; i < sizeof use / sizeof *use; i++) {
        const cJSON *item = member(dd, use[i].key);
        if (!item || (use[i].want ? cJSON_IsTrue(item) : cJSON_IsFalse(item))) continue;
        return reason_set(why, "'%s' must be %s%s", use[i].key, use[i].want ? "true" : "false",
                          i ? "" : ": the latents of a VQ model have one value per channel");
    }
    const cJSON *item = member(dd, "attn_type");
    const char *type = cJSON_GetStringValue(item);
    *attention = !type || strcmp(type, "none");
    if (item && (!type || (strcmp(type, "vanilla") && strcmp(type, "vanilla-xformers") &&
                           strcmp(type, "none"))))
        return reason_set(why, "'attn_type' is '%s'; only 'vanilla' and 'none' are supported",
                          type ? type : "?");
    return 0;
}

static void warn_unknown(const cJSON *dd, const cJSON *params) {
    static const char *const keys[] = {"double_z",         "z_channels",      "resolution",
                                       "in_channels",      "out_ch",          "ch",
                                       "ch_mult",          "dropout",         "num_res_blocks",
                                       "attn_resolutions", "tanh_out",        "give_pre_end",
                                       "attn_type",        "use_linear_attn", "use_timestep",
                                       "resamp_with_conv"},
                             *const flat[] = {"embed_dim",        "n_embed",    "target",
                                              "params",           "lossconfig", "remap",
                                              "sane_index_shape", "monitor",    "ckpt_path",
                                              "image_key",        "ignore_keys"};
    for (const cJSON *i = dd->child; i; i = i->next) {
        bool known = false;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            known |= !strcmp(i->string, keys[k]);
        if (dd == params) /* all numbers are in one flat object */
            for (size_t k = 0; k < sizeof flat / sizeof *flat; k++)
                known |= !strcmp(i->string, flat[k]);
        if (!known) warn("taming's configuration: unknown key '%s' is ignored", i->string);
    }
    if (member(params, "remap")) warn("'remap' is ignored: codes are those of the whole codebook");
}

/* Attention where the resolution, halved level by level, is listed. The encoder halves from the
 * top, the decoder doubles from the bottom; diffusers has one list for both. */
static int place_attention(vqvae_config_t *c, size_t resolution, const size_t *at, size_t n,
                           reason_t *why) {
    size_t top = resolution, bottom = resolution >> (c->levels - 1);
    for (size_t i = 0; i < c->levels; i++, top /= 2) {
        bool down = false, up = false;
        for (size_t k = 0; k < n; k++) {
            down |= at[k] == top;
            up |= at[k] == bottom << (c->levels - 1 - i);
        }
        if (down != up)
            return reason_set(
                why,
                "'attn_resolutions': level %zu has attention in only one of encoder and decoder",
                i);
        c->attention[i] = down;
    }
    return 0;
}

static int read_taming(vqvae_config_t *c, size_t *resolution, const cJSON *o, reason_t *why) {
    const cJSON *model = inner(o, "model"), *params = inner(model, "params"),
                *dd = inner(params, "ddconfig");
    size_t ch, mult[VQ_LEVELS] = {0}, at[32], n_at;
    bool attention = true;
    if (check_target(model, why) || check_switches(dd, &attention, why) ||
        positive(dd, "ch", 0, &ch, why) ||
        integers(dd, "ch_mult", VQ_LEVELS, mult, &c->levels, why) ||
        positive(dd, "num_res_blocks", 0, &c->layers_per_block, why) ||
        integers(dd, "attn_resolutions", 32, at, &n_at, why) ||
        positive(dd, "in_channels", 3, &c->in_channels, why) ||
        positive(dd, "out_ch", 3, &c->out_channels, why) ||
        positive(dd, "resolution", 0, resolution, why) ||
        positive(dd, "z_channels", 0, &c->latent_channels, why) ||
        positive(params, "embed_dim", 0, &c->vq_embed_dim, why) ||
        positive(params, "n_embed", 0, &c->codes, why))
        return -1;
    if (!c->levels) return reason_set(why, "'ch_mult' is empty");
    for (size_t i = 0; i < c->levels; i++) {
        if (ch * mult[i] > 1 << 16)
            return reason_set(why, "'ch' times 'ch_mult' is %zu channels", ch * mult[i]);
        c->channels[i] = ch * mult[i];
    }
    c->norm_groups = 32;
    c->mid_attention = attention;
    if (attention && place_attention(c, *resolution, at, n_at, why)) return -1;
    warn_unknown(dd, params);
    return vqvae_config_check(c, why);
}

int vqvae_taming_config(vqvae_config_t *c, size_t *resolution, const char *text, size_t size,
                        reason_t *why) {
    *c = (vqvae_config_t){0};
    cJSON *o = json_parse(text, size, false, why);
    int rc = RC_DATA;
    if (!o) return rc;
    if (cJSON_IsObject(o))
        rc = read_taming(c, resolution, o, why) ? RC_MISFIT : RC_OK;
    else
        reason_set(why, "not a JSON object");
    cJSON_Delete(o);
    return rc;
}
