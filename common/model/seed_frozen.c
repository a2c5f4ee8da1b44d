/* seed_frozen.c - a SEED tokenizer from its RUN folder: images to codes, one at a time; see seed.h.
 */
#include "common/model/codes.h"
#include "common/model/seed.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/tape/plan.h"

#include <stdlib.h>
#include <string.h>

struct seed {
    seed_config_t config;
    params_t *params;
    nn_packed_t *packed;
    char fingerprint[33], *quantizer, *preprocess;
    double mean[3], std[3];
    /* The way from an image to its codes, recorded when first needed. */
    tape_t *tape;
    plan_t *plan;
    var_t image, prequant, index;
};

bool seed_probe(const char *dir) {
    char *weights = fs_join(dir, SEED_WEIGHTS_FILE);
    bool there = fs_exists(weights);
    free(weights);
    return there;
}

/* ---- opening ---- */

static bool three(const cJSON *list, double out[3]) {
    if (cJSON_GetArraySize(list) != 3) return false;
    for (int i = 0; i < 3; i++) {
        const cJSON *item = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(item)) return false;
        out[i] = item->valuedouble;
    }
    return true;
}

static int read_preprocess(seed_t *s, const cJSON *p, const char *path, reason_t *why) {
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(p, "size");
    const char *filter = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p, "filter"));
    uint64_t w, h;
    if (!filter || strcmp(filter, "bicubic") != 0 || cJSON_GetArraySize(size) != 2 ||
        !json_u64(cJSON_GetArrayItem(size, 0), &w) || !json_u64(cJSON_GetArrayItem(size, 1), &h) ||
        !three(cJSON_GetObjectItemCaseSensitive(p, "mean"), s->mean) ||
        !three(cJSON_GetObjectItemCaseSensitive(p, "std"), s->std) || !(s->std[0] > 0) ||
        !(s->std[1] > 0) || !(s->std[2] > 0)) {
        reason_set(why, "'%s': preprocess needs filter bicubic, size, mean and std", path);
        return RC_DATA;
    }
    if (w == s->config.image_size && h == w) return RC_OK;
    reason_set(why, "'%s': preprocess.size is %llu x %llu, but the network beside it sees %zu",
               path, (unsigned long long)w, (unsigned long long)h, s->config.image_size);
    return RC_MISFIT;
}

/* *stored: the fingerprint that the file tells, malloc'ed, or NULL. */
static int read_tokenizer(seed_t *s, const char *path, char **stored, reason_t *why) {
    cJSON *o = json_parse_file(path, false, why);
    if (!o) return RC_DATA;
    const cJSON *q = cJSON_GetObjectItemCaseSensitive(o, "quantizer"),
                *p = cJSON_GetObjectItemCaseSensitive(o, "preprocess");
    const char *print = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "fingerprint"));
    uint64_t format;
    int rc = RC_OK;
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(o, "format"), &format) || !cJSON_IsObject(q) ||
        !cJSON_IsObject(p)) {
        reason_set(why, "'%s': format, quantizer and preprocess are needed", path);
        rc = RC_DATA;
    } else if (format != 1) {
        reason_set(why, "'%s': format %llu; this program reads format 1", path,
                   (unsigned long long)format);
        rc = RC_MISFIT;
    } else {
        char *wanted = seed_quantizer_text(&s->config);
        s->quantizer = json_canonical(q);
        s->preprocess = json_canonical(p);
        if (strcmp(s->quantizer, wanted) != 0) {
            reason_set(why, "'%s': quantizer %s, but the network beside it has %s", path,
                       s->quantizer, wanted);
            rc = RC_MISFIT;
        }
        free(wanted);
        if (rc == RC_OK) rc = read_preprocess(s, p, path, why);
    }
    if (rc == RC_OK && print) *stored = xstrdup(print);
    cJSON_Delete(o);
    return rc;
}

static int read_config(seed_t *s, const char *path, reason_t *why) {
    uint8_t *text;
    size_t size;
    reason_t inner;
    if (fs_read(path, 1 << 20, &text, &size, why)) return RC_DATA;
    int rc = seed_config_parse(&s->config, (const char *)text, size, &inner);
    if (rc) reason_set(why, "'%s': %s", path, inner.text);
    free(text);
    return rc;
}

static int read_weights(seed_t *s, const char *path, const char *tokenizer, const char *stored,
                        reason_t *why) {
    s->params = params_blank();
    seed_declare(s->params, &s->config, true);
    s->packed = nn_packed_new(s->params, s->config.weights);
    int rc = seed_read_weights(s->params, s->packed, path, s->quantizer, s->preprocess,
                               s->fingerprint, why);
    if (rc == RC_OK && stored && strcmp(stored, s->fingerprint) != 0) {
        reason_set(why, "'%s': fingerprint %s, but the weights beside it have %s", tokenizer,
                   stored, s->fingerprint);
        rc = RC_MISFIT;
    }
    return rc;
}

seed_t *seed_open(const char *dir, int *rc, reason_t *why) {
    seed_t *s = NEW(seed_t);
    char *config = fs_join(dir, "config.json"), *weights = fs_join(dir, SEED_WEIGHTS_FILE),
         *tokenizer = fs_join(dir, "tokenizer.json"), *stored = NULL;
    *rc = RC_OK;
    if (!fs_exists(config) || !fs_exists(weights) || !fs_exists(tokenizer)) {
        *rc = RC_USAGE;
        reason_set(why,
                   "'%s' is no SEED tokenizer: config.json, " SEED_WEIGHTS_FILE
                   " and tokenizer.json are needed",
                   dir);
    }
    if (*rc == RC_OK) *rc = read_config(s, config, why);
    if (*rc == RC_OK) *rc = read_tokenizer(s, tokenizer, &stored, why);
    if (*rc == RC_OK) *rc = read_weights(s, weights, tokenizer, stored, why);
    free(config);
    free(weights);
    free(tokenizer);
    free(stored);
    if (*rc == RC_OK) return s;
    seed_free(s);
    return NULL;
}

void seed_free(seed_t *s) {
    if (!s) return;
    plan_free(s->plan);
    tape_free(s->tape);
    nn_packed_free(s->packed);
    params_free(s->params);
    free(s->quantizer);
    free(s->preprocess);
    free(s);
}

/* ---- what it is ---- */

const seed_config_t *seed_config(const seed_t *s) {
    return &s->config;
}
params_t *seed_params(seed_t *s) {
    return s->params;
}
size_t seed_bytes(const seed_t *s) {
    return nn_packed_bytes(s->packed) + params_block(s->params) * sizeof(float);
}
const char *seed_fingerprint(const seed_t *s) {
    return s->fingerprint;
}
const char *seed_quantizer_json(const seed_t *s) {
    return s->quantizer;
}
const char *seed_preprocess_json(const seed_t *s) {
    return s->preprocess;
}
const float *seed_codebook(seed_t *s) {
    return params_ptr(s->params, PARAMS_VALUE, params_find(s->params, "quantize.embedding.weight"));
}

/* ---- images to codes ---- */

image_t seed_preprocess(const seed_t *s, const image_t *im) {
    return image_resize_bicubic(im, s->config.image_size, s->config.image_size);
}

void seed_pixels(const seed_t *s, const uint8_t *rgb, float *out) {
    size_t n = s->config.image_size * s->config.image_size;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            out[3 * i + c] = (float)((rgb[3 * i + c] / 255.0 - s->mean[c]) / s->std[c]);
}

void seed_begin(seed_t *s, nn_t *nn, tape_t *t) {
    nn_begin(nn, t);
    nn->packed = s->packed;
}

static void record(seed_t *s) {
    const seed_config_t *c = &s->config;
    nn_t nn;
    s->tape = tape_new(s->params);
    seed_begin(s, &nn, s->tape);
    s->image = tape_input(s->tape, "image", F32_4(1, c->image_size, c->image_size, 3));
    var_t seen = seed_see(&nn, c, s->image, NULL);
    s->prequant = seed_prequant(&nn, c, seed_query(&nn, c, seen, NULL));
    s->index = seed_quantize(&nn, c, s->prequant).index;
    var_t keep[] = {s->prequant, s->index};
    s->plan = plan_new(s->tape, &(plan_opts_t){.keep = keep, .n_keep = 2});
}

static void run(seed_t *s, const uint8_t *rgb) {
    if (!s->plan) record(s);
    seed_pixels(s, rgb, plan_data(s->plan, s->image));
    plan_forward(s->plan);
}

void seed_encode_images(seed_t *s, const uint8_t *rgb, size_t n, uint32_t *codes) {
    size_t pixels = s->config.image_size * s->config.image_size * 3, Q = s->config.queries;
    for (size_t i = 0; i < n; i++) {
        run(s, rgb + i * pixels);
        memcpy(codes + i * Q, plan_data(s->plan, s->index), Q * sizeof *codes);
    }
}

void seed_code_gaps(seed_t *s, const uint8_t *rgb, const uint32_t *codes, double *gap) {
    const seed_config_t *c = &s->config;
    run(s, rgb);
    codes_gaps(plan_data(s->plan, s->prequant), c->queries, seed_codebook(s), c->codes,
               c->code_width, codes, gap);
}
