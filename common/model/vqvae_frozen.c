/* vqvae_frozen.c - a tokenizer loaded from its folder: images to codes and codes to images. */
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/model/codes.h"
#include "common/model/kind.h"
#include "common/model/seed.h"
#include "common/tape/plan_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLANS = 6, MOST = 16 /* images of one replay */ };

/* What a plan is made for: n images of w x h, or n grids of w x h codes; first codes alone stand in
 * a grid of all. (size_t: a key has no padding.) */
enum { ENCODE, DECODE, DECODE_FIRST };
typedef struct {
    size_t what, n, w, h;
} plan_key_t;

typedef struct {
    var_t in, kept, out; /* kept: NO_VAR where all codes are */
} plan_vars_t;

struct vqvae {
    vqvae_config_t config;
    params_t *params;
    char fingerprint[33], *quantizer, *preprocess;
    float *vectors; /* [K,D] of codes that have no codebook */
    size_t size_w, size_h;
    bool untrained;
    plan_cache_t *plans;
    nn_packed_t *packed; /* its filters and matrices as plans read them */
};

static void record_plan(void *context, const void *key, plan_memory_t *memory, cached_plan_t *at);

/* The preprocessing of a folder that says nothing of it: the image's own size, or the network's. */
static void assume_preprocess(vqvae_t *v) {
    if (vqvae_fixed_size(&v->config, &v->size_w, &v->size_h))
        v->preprocess = xasprintf("{\"range\":[-1,1],\"size\":[%zu,%zu]}", v->size_w, v->size_h);
    else
        v->preprocess = xstrdup("{\"range\":[-1,1],\"size\":null}");
}

/* Can images of w x h (0: of their own size) be encoded? */
static bool size_fits(const vqvae_config_t *c, size_t w, size_t h) {
    if (w) return vqvae_tokens(c, w, h);
    return !vqvae_fixed_size(c, &w, &h);
}

static int read_tokenizer(vqvae_t *v, const char *path, reason_t *why) {
    cJSON *o = json_parse_file(path, false, why);
    if (!o) return RC_DATA;
    const cJSON *q = cJSON_GetObjectItemCaseSensitive(o, "quantizer"),
                *p = cJSON_GetObjectItemCaseSensitive(o, "preprocess"),
                *f = cJSON_GetObjectItemCaseSensitive(o, "format"),
                *print = cJSON_GetObjectItemCaseSensitive(o, "fingerprint");
    int rc = RC_OK;
    uint64_t format, w = 0, h = 0;
    if (!json_u64(f, &format) || !cJSON_IsObject(q) || !cJSON_IsObject(p)) {
        reason_set(why, "'%s': format, quantizer and preprocess are needed", path);
        rc = RC_DATA;
    } else if (format != 1) {
        reason_set(why, "'%s': format %llu; this program reads format 1", path,
                   (unsigned long long)format);
        rc = RC_MISFIT;
    } else {
        const cJSON *size = cJSON_GetObjectItemCaseSensitive(p, "size");
        if (cJSON_IsArray(size) &&
            (cJSON_GetArraySize(size) != 2 || !json_u64(cJSON_GetArrayItem(size, 0), &w) ||
             !json_u64(cJSON_GetArrayItem(size, 1), &h) || !w || !h || w > 1 << 15 ||
             h > 1 << 15)) {
            reason_set(why, "'%s': preprocess.size is no pair of sizes", path);
            rc = RC_DATA;
        }
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(q, "kind"));
        /* Where the name says all, other members are somebody's notes. */
        const codes_kind_t *codes = codes_kind(&v->config);
        bool plain = !codes->describe && !model_kind(&v->config)->describe && kind &&
                     !strcmp(kind, codes->name);
        char *here = json_canonical(q), *wanted = vqvae_quantizer_text(&v->config);
        if (rc == RC_OK && !plain && strcmp(here, wanted)) {
            reason_set(why, "'%s': quantizer %s, but the network beside it has %s", path, here,
                       wanted);
            rc = RC_MISFIT;
        } else if (rc == RC_OK && !size_fits(&v->config, (size_t)w, (size_t)h)) {
            size_t own_w, own_h, stride = vqvae_stride(&v->config);
            if (vqvae_fixed_size(&v->config, &own_w, &own_h))
                reason_set(why,
                           "'%s': preprocess.size %llu x %llu, but the network beside it takes "
                           "images of %zu x %zu",
                           path, (unsigned long long)w, (unsigned long long)h, own_w, own_h);
            else
                reason_set(
                    why,
                    "'%s': preprocess.size %llu x %llu is no multiple of the network's stride %zu",
                    path, (unsigned long long)w, (unsigned long long)h, stride);
            rc = RC_MISFIT;
        }
        free(here);
        free(wanted);
    }
    if (rc == RC_OK) {
        v->quantizer = json_canonical(q);
        v->preprocess = json_canonical(p);
        v->size_w = (size_t)w;
        v->size_h = (size_t)h;
        v->untrained = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "trained"));
        vqvae_fingerprint_make(v->params, PARAMS_VALUE, v->quantizer, v->preprocess,
                               v->fingerprint);
        const char *stored = cJSON_GetStringValue(print);
        if (stored && strcmp(stored, v->fingerprint)) {
            reason_set(why, "'%s': fingerprint %s, but the weights beside it have %s", path, stored,
                       v->fingerprint);
            rc = RC_MISFIT;
        }
    }
    cJSON_Delete(o);
    return rc;
}

vqvae_t *vqvae_open(const char *dir, int *rc, reason_t *why) {
    vqvae_t *v = NEW(vqvae_t);
    v->plans = plan_cache_new(PLANS, sizeof(plan_key_t), sizeof(plan_vars_t), record_plan);
    char *config = fs_join(dir, "config.json"),
         *weights = fs_join(dir, "diffusion_pytorch_model.safetensors"),
         *tokenizer = fs_join(dir, "tokenizer.json");
    uint8_t *text = NULL;
    size_t size;
    reason_t inner;
    *rc = RC_OK;
    if (seed_probe(dir)) {
        *rc = RC_MISFIT;
        reason_set(why, "'%s' is a SEED tokenizer: its codes do not become images", dir);
    } else if (!fs_is_dir(dir) || !fs_exists(config) || !fs_exists(weights)) {
        *rc = RC_USAGE;
        reason_set(
            why,
            "'%s' is no tokenizer: config.json and diffusion_pytorch_model.safetensors are needed",
            dir);
    } else if (fs_read(config, 1 << 20, &text, &size, why)) {
        *rc = RC_DATA;
    } else {
        *rc = vqvae_config_parse(&v->config, (const char *)text, size, &inner);
        if (*rc != RC_OK) reason_set(why, "'%s': %s", config, inner.text);
    }
    if (*rc == RC_OK) {
        v->params = params_blank();
        vqvae_declare(v->params, &v->config);
        *rc = vqvae_read_weights(v->params, weights, why);
        v->packed = nn_packed_new(v->params, WEIGHTS_F32);
    }
    if (*rc == RC_OK && codes_kind(&v->config)->table)
        v->vectors = codes_kind(&v->config)->table(&v->config);
    if (*rc == RC_OK && fs_exists(tokenizer)) {
        *rc = read_tokenizer(v, tokenizer, why);
    } else if (*rc == RC_OK) {
        v->quantizer = vqvae_quantizer_text(&v->config);
        assume_preprocess(v);
        vqvae_fingerprint_make(v->params, PARAMS_VALUE, v->quantizer, v->preprocess,
                               v->fingerprint);
    }
    free(text);
    free(config);
    free(weights);
    free(tokenizer);
    if (*rc == RC_OK) return v;
    vqvae_free(v);
    return NULL;
}

vqvae_t *vqvae_open_or_die(const char *dir) {
    int rc;
    reason_t why;
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    if (!v) die(rc, "%s", why.text);
    vqvae_warn_untrained(v, dir);
    return v;
}

void vqvae_free(vqvae_t *v) {
    if (!v) return;
    plan_cache_free(v->plans);
    nn_packed_free(v->packed);
    params_free(v->params);
    free(v->vectors);
    free(v->quantizer);
    free(v->preprocess);
    free(v);
}

const vqvae_config_t *vqvae_config(const vqvae_t *v) {
    return &v->config;
}
params_t *vqvae_params(vqvae_t *v) {
    return v->params;
}
const char *vqvae_fingerprint(const vqvae_t *v) {
    return v->fingerprint;
}
bool vqvae_trained(const vqvae_t *v) {
    return !v->untrained;
}
void vqvae_warn_untrained(const vqvae_t *v, const char *dir) {
    if (v->untrained)
        warn("the codes of '%s' are not trained: its training stopped before "
             "train.warmup_no_quant was over (vqvae train --resume continues it)",
             dir);
}
const char *vqvae_quantizer_json(const vqvae_t *v) {
    return v->quantizer;
}
const char *vqvae_preprocess_json(const vqvae_t *v) {
    return v->preprocess;
}
const float *vqvae_codebook_data(vqvae_t *v) {
    return v->vectors ? v->vectors
                      : params_ptr(v->params, PARAMS_VALUE,
                                   params_find(v->params, "quantize.embedding.weight"));
}
void vqvae_preprocess_size(const vqvae_t *v, size_t *w, size_t *h) {
    *w = v->size_w;
    *h = v->size_h;
}

bool vqvae_preprocess_background(const vqvae_t *v, uint8_t rgb[3]) {
    cJSON *o = json_parse(v->preprocess, strlen(v->preprocess), false, NULL);
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(o, "background");
    uint64_t value[3];
    bool good = cJSON_GetArraySize(b) == 3;
    for (int i = 0; i < 3 && good; i++)
        good = json_u64(cJSON_GetArrayItem(b, i), &value[i]) && value[i] < 256;
    if (good)
        for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)value[i];
    cJSON_Delete(o);
    return good;
}

static void record_plan(void *context, const void *key, plan_memory_t *memory, cached_plan_t *at) {
    const vqvae_t *v = context;
    const plan_key_t *k = key;
    plan_vars_t *vars = at->vars;
    const vqvae_config_t *c = &v->config;
    tape_t *t = tape_new(v->params);
    at->tape = t;
    nn_t nn;
    nn_begin(&nn, t);
    nn.packed = v->packed;
    vars->kept = NO_VAR;
    if (k->what != ENCODE) {
        vars->in = tape_input(t, "codes", I32_1(k->n * k->h * k->w));
        if (k->what == DECODE_FIRST) vars->kept = tape_input(t, "kept", I32_1(k->n * k->w));
        var_t rows = vqvae_vectors(&nn, c, vars->in);
        shape_t grid = F32_4(k->n, k->h, k->w, c->vq_embed_dim);
        vars->out = vqvae_decode(&nn, c, tape_reshape(t, rows, grid), vars->kept);
    } else {
        vars->in = tape_input(t, "image", F32_4(k->n, k->h, k->w, 3));
        vars->out = vqvae_quantize(&nn, c, vqvae_encode(&nn, c, vars->in, NULL)).index;
    }
    at->plan = plan_new(t, &(plan_opts_t){.keep = &vars->out, .n_keep = 1, .memory = memory});
}

static plan_t *plan_for(vqvae_t *v, const plan_key_t *key, plan_vars_t *vars) {
    const cached_plan_t *at = plan_cache_get(v->plans, key, v);
    *vars = *(const plan_vars_t *)at->vars;
    return at->plan;
}

void vqvae_encode_images(vqvae_t *v, const uint8_t *rgb, size_t n, size_t w, size_t h,
                         uint32_t *codes) {
    size_t grid = vqvae_tokens(&v->config, w, h);
    if (!grid) BUG("an image of %zu x %zu, which the network cannot encode", w, h);
    for (size_t i = 0; i < n; i += MOST) {
        size_t m = min_size(n - i, MOST);
        plan_vars_t vars;
        plan_t *p = plan_for(v, &(plan_key_t){.n = m, .w = w, .h = h}, &vars);
        image_to_float(rgb + i * w * h * 3, m * w * h * 3, plan_data(p, vars.in));
        plan_forward(p);
        memcpy(codes + i * grid, plan_data(p, vars.out), m * grid * sizeof *codes);
    }
}

/* n images of the first `keep` of Q codes, as the decoder's inputs; any code stands behind them. */
static void put_prefixes(const uint32_t *codes, size_t n, size_t keep, size_t Q, int32_t *in,
                         int32_t *kept) {
    memset(in, 0, n * Q * sizeof *in);
    for (size_t i = 0; i < n; i++) {
        memcpy(in + i * Q, codes + i * keep, keep * sizeof *in);
        vqvae_keep(n, Q, i, keep, kept);
    }
}

void vqvae_decode_codes(vqvae_t *v, const uint32_t *codes, size_t n, size_t gw, size_t gh,
                        uint8_t *rgb) {
    size_t w, h;
    vqvae_image_size(&v->config, gw, gh, &w, &h);
    size_t pixels = w * h * 3;
    if (!pixels) BUG("a grid of %zu x %zu codes, which the network cannot decode", gw, gh);
    for (size_t i = 0; i < n * gw * gh; i++)
        if (codes[i] >= v->config.codes)
            BUG("code %u of a codebook of %zu", codes[i], v->config.codes);
    size_t Q = vqvae_most_kept(&v->config);
    bool all = !Q || gw == Q;
    plan_key_t key = {.what = all ? DECODE : DECODE_FIRST, .w = all ? gw : Q, .h = gh};
    for (size_t i = 0; i < n; i += MOST) {
        size_t m = min_size(n - i, MOST);
        plan_vars_t vars;
        key.n = m;
        plan_t *p = plan_for(v, &key, &vars);
        if (all)
            memcpy(plan_data(p, vars.in), codes + i * gw * gh, m * gw * gh * sizeof *codes);
        else
            put_prefixes(codes + i * gw, m, gw, Q, plan_data(p, vars.in), plan_data(p, vars.kept));
        plan_forward(p);
        image_from_float(plan_data(p, vars.out), m * pixels, rgb + i * pixels);
    }
}

image_t vqvae_preprocess(const vqvae_t *v, const image_t *im) {
    size_t f = vqvae_stride(&v->config);
    if (v->size_w) return image_fit(im, v->size_w, v->size_h);
    return image_pad(im, round_up(im->w, f), round_up(im->h, f));
}
