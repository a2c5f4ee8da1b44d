/* facts.c - see facts.h. */
#include "gato/task/facts.h"

#include "common/base/sizes.h"
#include "common/io/text/json.h"
#include "common/io/token_db/bounds.h"
#include "common/io/token_db/leaves.h"
#include "gato/task/scaling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gato_facts_release(gato_facts_t *f) {
    free(f->discrete_range);
    free(f->discrete_action_range);
    free(f->action_low);
    free(f->action_high);
    free(f->declared_low);
    free(f->declared_high);
    free(f->action_scaling);
    free(f->leaves);
    free(f->vector_mean);
    free(f->vector_deviation);
    free(f->codebook);
    free(f->fingerprint);
    free(f->preprocess);
    free(f->quantizer);
    free(f->text_tokenizer);
    free(f->env);
    *f = (gato_facts_t){0};
}

static void *copy(const void *from, size_t bytes) {
    if (!from || !bytes) return NULL;
    return memcpy(xmalloc(bytes), from, bytes);
}

static char *copy_text(const char *s) {
    return s ? xstrdup(s) : NULL;
}

static void copy_bounds(gato_facts_t *to, const gato_facts_t *from) {
    size_t n = from->n_actions, bytes = n * sizeof(float);
    to->action_low = copy(from->action_low, bytes);
    to->action_high = copy(from->action_high, bytes);
    to->declared_low = copy(from->declared_low, bytes);
    to->declared_high = copy(from->declared_high, bytes);
    to->action_scaling = copy(from->action_scaling, n);
}

static int check_ranges(const uint32_t *range, uint32_t n, const char *what, reason_t *why) {
    if (n && !range) return reason_set(why, "%s: the sizes of their ranges are missing", what);
    for (uint32_t i = 0; i < n; i++)
        if (!range[i] || range[i] > TOKENS_DISCRETE)
            return reason_set(why, "%s[%u] has %u values; 1 to %d are supported", what, i, range[i],
                              TOKENS_DISCRETE);
    return 0;
}

gato_facts_t gato_facts_copy(const gato_facts_t *f) {
    gato_facts_t c = *f;
    c.discrete_range = copy(f->discrete_range, f->n_discrete * sizeof(uint32_t));
    c.discrete_action_range =
        copy(f->discrete_action_range, f->n_discrete_actions * sizeof(uint32_t));
    copy_bounds(&c, f);
    c.vector_mean = copy(f->vector_mean, f->n_continuous * sizeof(float));
    c.vector_deviation = copy(f->vector_deviation, f->n_continuous * sizeof(float));
    c.codebook = copy(f->codebook, (size_t)f->codes * f->code_dim * sizeof(float));
    c.fingerprint = copy_text(f->fingerprint);
    c.preprocess = copy_text(f->preprocess);
    c.quantizer = copy_text(f->quantizer);
    c.text_tokenizer = copy_text(f->text_tokenizer);
    c.env = copy_text(f->env);
    c.leaves = copy_text(f->leaves);
    return c;
}

static void take_bounds(gato_facts_t *f, const shard_meta_t *m) {
    f->declared_low = copy(m->action_low, m->n_actions * sizeof(float));
    f->declared_high = copy(m->action_high, m->n_actions * sizeof(float));
    f->action_low = copy(m->action_low, m->n_actions * sizeof(float));
    f->action_high = copy(m->action_high, m->n_actions * sizeof(float));
    f->action_scaling = xcalloc(m->n_actions, 1);
    for (uint32_t k = 0; k < m->n_actions; k++) {
        if (isfinite(m->action_low[k]) && isfinite(m->action_high[k])) continue;
        f->action_low[k] = -1;
        f->action_high[k] = 1;
        f->action_scaling[k] = SCALING_QUANTILES;
    }
}

int gato_facts_from_meta(gato_facts_t *f, const shard_meta_t *m, reason_t *why) {
    *f = (gato_facts_t){.text_vocab = m->text_vocab,
                        .n_continuous = m->n_continuous,
                        .n_discrete = m->n_discrete,
                        .n_actions = m->n_actions,
                        .n_discrete_actions = m->n_discrete_actions,
                        .codes = m->codes,
                        .code_dim = m->code_dim,
                        .grid_h = m->grid_h,
                        .grid_w = m->grid_w,
                        .image_h = m->image_h,
                        .image_w = m->image_w,
                        .mu = m->mu > 0 ? m->mu : 100,
                        .M = m->M > 0 ? m->M : 256};
    if (check_ranges(m->discrete_range, m->n_discrete, "discrete observations", why) ||
        check_ranges(m->discrete_action_range, m->n_discrete_actions, "discrete actions", why))
        return -1;
    f->discrete_range = copy(m->discrete_range, m->n_discrete * sizeof(uint32_t));
    f->discrete_action_range =
        copy(m->discrete_action_range, m->n_discrete_actions * sizeof(uint32_t));
    take_bounds(f, m);
    f->leaves = copy_text(m->leaves);
    f->codebook = copy(m->codebook, (size_t)m->codes * m->code_dim * sizeof(float));
    f->fingerprint = copy_text(m->fingerprint);
    f->preprocess = copy_text(m->preprocess);
    f->quantizer = copy_text(m->quantizer);
    f->text_tokenizer = copy_text(m->text_tokenizer);
    f->env = copy_text(m->env);
    return 0;
}

/* ---- comparison ---- */

static bool has_control(const gato_facts_t *f) {
    return f->n_continuous || f->n_discrete || f->n_actions || f->n_discrete_actions;
}

static int differ_u32(const char *what, uint32_t a, uint32_t b, reason_t *why) {
    return a == b ? 0 : reason_set(why, "%s: %u and %u", what, a, b);
}

static int differ_text(const char *what, const char *a, const char *b, reason_t *why) {
    if (!a || !b || !strcmp(a, b)) return 0;
    return reason_set(why, "%s: %.100s and %.100s", what, a, b);
}

static int differ_list(const char *what, const void *a, const void *b, uint32_t n, bool is_float,
                       reason_t *why) {
    if (!a || !b || !memcmp(a, b, n * 4u)) return 0;
    for (uint32_t i = 0; i < n; i++) {
        if (is_float && ((const float *)a)[i] != ((const float *)b)[i])
            return reason_set(why, "%s[%u]: %g and %g", what, i, (double)((const float *)a)[i],
                              (double)((const float *)b)[i]);
        if (!is_float && ((const uint32_t *)a)[i] != ((const uint32_t *)b)[i])
            return reason_set(why, "%s[%u]: %u and %u", what, i, ((const uint32_t *)a)[i],
                              ((const uint32_t *)b)[i]);
    }
    return 0;
}

static int same_control(const gato_facts_t *a, const gato_facts_t *b, reason_t *why) {
    if (differ_u32("numbers of an observation", a->n_continuous, b->n_continuous, why) ||
        differ_u32("discrete observations", a->n_discrete, b->n_discrete, why) ||
        differ_u32("continuous actions", a->n_actions, b->n_actions, why) ||
        differ_u32("discrete actions", a->n_discrete_actions, b->n_discrete_actions, why))
        return -1;
    if (differ_list("values of discrete observation", a->discrete_range, b->discrete_range,
                    a->n_discrete, false, why) ||
        differ_list("values of discrete action", a->discrete_action_range, b->discrete_action_range,
                    a->n_discrete_actions, false, why) ||
        differ_list("lower end of action", a->declared_low, b->declared_low, a->n_actions, true,
                    why) ||
        differ_list("upper end of action", a->declared_high, b->declared_high, a->n_actions, true,
                    why))
        return -1;
    return 0;
}

static int same_codebook(const gato_facts_t *a, const gato_facts_t *b, reason_t *why) {
    if (differ_u32("codes", a->codes, b->codes, why) ||
        differ_u32("width of a code", a->code_dim, b->code_dim, why))
        return -1;
    if (differ_text("codebook fingerprint", a->fingerprint, b->fingerprint, why)) return -1;
    if (a->codebook && b->codebook &&
        memcmp(a->codebook, b->codebook, (size_t)a->codes * a->code_dim * sizeof(float)))
        return reason_set(why, "codebook: the vectors differ (%s and %s)",
                          a->fingerprint ? a->fingerprint : "no fingerprint",
                          b->fingerprint ? b->fingerprint : "no fingerprint");
    if (a->grid_h && b->grid_h && (a->grid_h != b->grid_h || a->grid_w != b->grid_w))
        return reason_set(why, "grid of codes: %u x %u and %u x %u", a->grid_h, a->grid_w,
                          b->grid_h, b->grid_w);
    return 0;
}

static int same_image(const gato_facts_t *a, const gato_facts_t *b, bool codes, reason_t *why) {
    if (codes) return a->codes && b->codes ? same_codebook(a, b, why) : 0;
    if (a->image_h && b->image_h && (a->image_h != b->image_h || a->image_w != b->image_w))
        return reason_set(why, "images: %u x %u and %u x %u", a->image_h, a->image_w, b->image_h,
                          b->image_w);
    return 0;
}

static int same_values(const gato_facts_t *a, const gato_facts_t *b, bool codes, reason_t *why) {
    if (a->text_vocab && b->text_vocab &&
        differ_u32("text vocabulary", a->text_vocab, b->text_vocab, why))
        return -1;
    if (differ_text("text tokenizer", a->text_tokenizer, b->text_tokenizer, why)) return -1;
    if (leaves_fit(a->leaves, b->leaves, why)) return -1;
    if (has_control(a) && has_control(b)) {
        if (same_control(a, b, why)) return -1;
        if (a->mu != b->mu || a->M != b->M)
            return reason_set(why, "mu-law: mu %g, M %g and mu %g, M %g", (double)a->mu,
                              (double)a->M, (double)b->mu, (double)b->M);
    }
    return same_image(a, b, codes, why);
}

int gato_facts_merge(gato_facts_t *f, const gato_facts_t *more, bool codes, reason_t *why) {
    if (same_values(f, more, codes, why)) return -1;
    if (!f->text_vocab) f->text_vocab = more->text_vocab;
    if (!f->text_tokenizer) f->text_tokenizer = copy_text(more->text_tokenizer);
    if (!f->env) f->env = copy_text(more->env);
    char *leaves = leaves_merge(f->leaves, more->leaves);
    free(f->leaves);
    f->leaves = leaves;
    if (!has_control(f)) {
        f->n_continuous = more->n_continuous;
        f->n_discrete = more->n_discrete;
        f->n_actions = more->n_actions;
        f->n_discrete_actions = more->n_discrete_actions;
        f->discrete_range = copy(more->discrete_range, more->n_discrete * sizeof(uint32_t));
        f->discrete_action_range =
            copy(more->discrete_action_range, more->n_discrete_actions * sizeof(uint32_t));
        copy_bounds(f, more);
        f->mu = more->mu;
        f->M = more->M;
    }
    if (!f->codes) {
        f->codes = more->codes;
        f->code_dim = more->code_dim;
    }
    if (!f->codebook)
        f->codebook = copy(more->codebook, (size_t)more->codes * more->code_dim * sizeof(float));
    if (!f->fingerprint) f->fingerprint = copy_text(more->fingerprint);
    if (!f->preprocess) f->preprocess = copy_text(more->preprocess);
    if (!f->quantizer) f->quantizer = copy_text(more->quantizer);
    if (!f->grid_h) {
        f->grid_h = more->grid_h;
        f->grid_w = more->grid_w;
    }
    if (!f->image_h) {
        f->image_h = more->image_h;
        f->image_w = more->image_w;
    }
    return 0;
}

int gato_facts_fit(const gato_facts_t *model, const gato_facts_t *data, bool codes, reason_t *why) {
    if (has_control(data) && !has_control(model))
        return reason_set(
            why,
            "the model was trained without control: 0 and %u continuous actions, 0 and %u discrete "
            "ones",
            data->n_actions, data->n_discrete_actions);
    if (data->text_vocab && !model->text_vocab)
        return reason_set(why, "text vocabulary: 0 and %u", data->text_vocab);
    if (codes && data->codes && !model->codes)
        return reason_set(why, "codes: 0 and %u", data->codes);
    return same_values(model, data, codes, why);
}

/* ---- JSON ---- */

static void put_floats(cJSON *o, const char *key, const float *v, uint32_t n) {
    if (!v) return;
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (uint32_t i = 0; i < n; i++) {
        char text[32];
        cJSON_AddItemToArray(list, cJSON_CreateRaw(json_float(text, v[i])));
    }
}

static void put_u32s(cJSON *o, const char *key, const uint32_t *v, uint32_t n) {
    if (!v) return;
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (uint32_t i = 0; i < n; i++) cJSON_AddItemToArray(list, cJSON_CreateNumber(v[i]));
}

/* A number, or "inf" and "-inf": JSON has none for those. */
static void put_bounds(cJSON *o, const char *key, const float *v, uint32_t n) {
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (uint32_t i = 0; i < n; i++) {
        char text[32];
        cJSON_AddItemToArray(list, isfinite(v[i]) ? cJSON_CreateRaw(json_float(text, v[i]))
                                                  : cJSON_CreateString(v[i] > 0 ? "inf" : "-inf"));
    }
}

/* How each action is scaled; if one is not scaled as declared, the declared bounds too. */
static void put_scaling(cJSON *o, const gato_facts_t *f) {
    bool declared = true;
    if (!f->action_scaling) return;
    cJSON *list = cJSON_AddArrayToObject(o, "action_scaling");
    for (uint32_t i = 0; i < f->n_actions; i++) {
        cJSON_AddItemToArray(list, cJSON_CreateString(scaling_names[f->action_scaling[i]]));
        declared = declared && f->action_scaling[i] == SCALING_DECLARED;
    }
    if (declared) return;
    put_bounds(o, "declared_low", f->declared_low, f->n_actions);
    put_bounds(o, "declared_high", f->declared_high, f->n_actions);
}

/* One table serves writing and reading. */
typedef struct {
    const char *key;
    size_t offset;
} member_t;
#define AT(m)                                                                                      \
    { #m, offsetof(gato_facts_t, m) }
static const member_t numbers[] = {
    AT(text_vocab), AT(n_continuous), AT(n_discrete), AT(n_actions), AT(n_discrete_actions),
    AT(codes),      AT(code_dim),     AT(grid_h),     AT(grid_w),    AT(image_h),
    AT(image_w)};
static const member_t texts[] = {AT(fingerprint),    AT(preprocess), AT(quantizer),
                                 AT(text_tokenizer), AT(env),        AT(leaves)};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers, N_TEXTS = sizeof texts / sizeof *texts };

static uint32_t *number_at(gato_facts_t *f, const member_t *m) {
    return (uint32_t *)(void *)((char *)f + m->offset);
}
static char **text_at(gato_facts_t *f, const member_t *m) {
    return (char **)(void *)((char *)f + m->offset);
}

cJSON *gato_facts_json(const gato_facts_t *facts) {
    gato_facts_t f = *facts; /* the accessors above take no const */
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < N_NUMBERS; i++)
        cJSON_AddNumberToObject(o, numbers[i].key, *number_at(&f, &numbers[i]));
    put_u32s(o, "discrete_range", f.discrete_range, f.n_discrete);
    put_u32s(o, "discrete_action_range", f.discrete_action_range, f.n_discrete_actions);
    put_floats(o, "action_low", f.action_low, f.n_actions);
    put_floats(o, "action_high", f.action_high, f.n_actions);
    put_scaling(o, &f);
    put_floats(o, "mu_M", (float[]){f.mu, f.M}, 2);
    for (size_t i = 0; i < N_TEXTS; i++) {
        const char *s = *text_at(&f, &texts[i]);
        if (s) cJSON_AddStringToObject(o, texts[i].key, s);
    }
    return o;
}

static int get_u32(const cJSON *item, uint32_t *out) {
    uint64_t v;
    if (!item || !json_u64(item, &v) || v > UINT32_MAX) return -1;
    *out = (uint32_t)v;
    return 0;
}

static int get_list(const cJSON *o, const char *key, uint32_t n, bool is_float, void **out,
                    reason_t *why) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!list || !n) return 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != (int)n)
        return reason_set(why, "facts: '%s' needs %u numbers", key, n);
    *out = xcalloc(n, 4);
    for (uint32_t i = 0; i < n; i++) {
        const cJSON *item = cJSON_GetArrayItem(list, (int)i);
        if (is_float && cJSON_IsNumber(item))
            ((float *)*out)[i] = (float)item->valuedouble;
        else if (is_float || get_u32(item, &((uint32_t *)*out)[i]))
            return reason_set(why, "facts: '%s': a number is needed", key);
    }
    return 0;
}

/* declared_low or declared_high: the list under `key`; without one, the bounds in use. */
static int get_bounds(const cJSON *o, const char *key, const float *used, uint32_t n, float **out,
                      reason_t *why) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key), *item;
    *out = copy(used, n * sizeof *used);
    if (!list || !n) return 0;
    if (!*out) *out = xcalloc(n, sizeof **out);
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != (int)n)
        return reason_set(why, "facts: '%s' needs %u bounds", key, n);
    uint32_t i = 0;
    cJSON_ArrayForEach(item, list) {
        const char *text = cJSON_GetStringValue(item);
        if (cJSON_IsNumber(item))
            (*out)[i++] = (float)item->valuedouble;
        else if (text && (!strcmp(text, "inf") || !strcmp(text, "-inf")))
            (*out)[i++] = *text == '-' ? -INFINITY : INFINITY;
        else
            return reason_set(why, "facts: '%s': a number, \"inf\" or \"-inf\" is needed", key);
    }
    return 0;
}

/* Policies of earlier versions lack the member: their actions are scaled as declared. */
static int get_scaling(const cJSON *o, gato_facts_t *f, reason_t *why) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "action_scaling"), *item;
    uint32_t n = f->n_actions, i = 0;
    if (!f->action_low || !f->action_high || !n) return 0;
    for (uint32_t k = 0; k < n; k++)
        if (!isfinite(f->action_low[k]) || !isfinite(f->action_high[k]) ||
            f->action_low[k] > f->action_high[k])
            return reason_set(why, "facts: action %u cannot be scaled by [%g, %g]", k,
                              (double)f->action_low[k], (double)f->action_high[k]);
    f->action_scaling = xcalloc(n, 1);
    if (!list) return 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != (int)n)
        return reason_set(why, "facts: 'action_scaling' needs %u names", n);
    cJSON_ArrayForEach(item, list) {
        const char *name = cJSON_GetStringValue(item);
        uint8_t k = 0;
        while (name && k < SCALINGS && strcmp(name, scaling_names[k]) != 0) k++;
        if (!name || k == SCALINGS)
            return reason_set(why, "facts: 'action_scaling': '%.40s' is not known",
                              name ? name : "");
        f->action_scaling[i++] = k;
    }
    return 0;
}

static int get_texts(const cJSON *o, gato_facts_t *f, reason_t *why) {
    leaves_t leaves;
    for (size_t i = 0; i < N_TEXTS; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, texts[i].key);
        if (item && !cJSON_IsString(item))
            return reason_set(why, "facts: '%s' is not a string", texts[i].key);
        *text_at(f, &texts[i]) = item ? xstrdup(item->valuestring) : NULL;
    }
    if (!f->leaves) return 0;
    if (leaves_parse(&leaves, f->leaves, why)) return -1;
    leaves_release(&leaves);
    return 0;
}

int gato_facts_parse(gato_facts_t *f, const cJSON *o, reason_t *why) {
    *f = (gato_facts_t){0};
    if (!cJSON_IsObject(o)) return reason_set(why, "facts: not a JSON object");
    for (size_t i = 0; i < N_NUMBERS; i++)
        if (get_u32(cJSON_GetObjectItemCaseSensitive(o, numbers[i].key), number_at(f, &numbers[i])))
            return reason_set(why, "facts: '%s' is missing or not a number", numbers[i].key);
    void *lists[5] = {0};
    int rc = get_list(o, "discrete_range", f->n_discrete, false, &lists[0], why) ||
             get_list(o, "discrete_action_range", f->n_discrete_actions, false, &lists[1], why) ||
             get_list(o, "action_low", f->n_actions, true, &lists[2], why) ||
             get_list(o, "action_high", f->n_actions, true, &lists[3], why) ||
             get_list(o, "mu_M", 2, true, &lists[4], why);
    f->discrete_range = lists[0];
    f->discrete_action_range = lists[1];
    f->action_low = lists[2];
    f->action_high = lists[3];
    f->mu = lists[4] ? ((float *)lists[4])[0] : 100;
    f->M = lists[4] ? ((float *)lists[4])[1] : 256;
    free(lists[4]);
    if (rc) return -1;
    if (check_ranges(f->discrete_range, f->n_discrete, "discrete observations", why) ||
        check_ranges(f->discrete_action_range, f->n_discrete_actions, "discrete actions", why))
        return -1;
    if (!(f->mu > 0) || !(f->M > 0)) return reason_set(why, "facts: mu and M must be positive");
    if (get_scaling(o, f, why) ||
        get_bounds(o, "declared_low", f->action_low, f->n_actions, &f->declared_low, why) ||
        get_bounds(o, "declared_high", f->action_high, f->n_actions, &f->declared_high, why))
        return -1;
    return get_texts(o, f, why);
}

/* ---- what follows from facts and configuration ---- */

tokens_t gato_tokens(const gato_config_t *c, const gato_facts_t *f) {
    bool rows = c->model.image_in == IMAGE_IN_TABLE || c->model.image_in == IMAGE_IN_BOTH;
    return (tokens_t){.text = f->text_vocab,
                      .bins = (uint32_t)c->model.bins,
                      .codes = rows ? f->codes : 0,
                      .mu = f->mu,
                      .M = f->M,
                      .outside = c->model.mu_law == MU_LAW_OUTSIDE};
}

layout_t gato_layout(const gato_config_t *c, const gato_facts_t *f, size_t image_tokens,
                     size_t text, bool control) {
    layout_t l = {.text_first = c->model.text_first, .text_target = !control};
    l.count[PART_IMAGE] = image_tokens;
    l.count[PART_TEXT] = text;
    l.count[PART_SEPARATOR] = 1;
    if (!control) return l;
    l.count[PART_CONTINUOUS] =
        c->model.vector_in == VECTOR_IN_LINEAR ? f->n_continuous > 0 : f->n_continuous;
    l.count[PART_DISCRETE] = f->n_discrete;
    l.count[PART_ACTION] = f->n_actions;
    l.count[PART_DISCRETE_ACTION] = f->n_discrete_actions;
    return l;
}

enum { PATCH_POSITIONS = 128 };

size_t gato_image_tokens(const gato_config_t *c, size_t grid_h, size_t grid_w, size_t image_h,
                         size_t image_w, size_t *rows, size_t *cols, reason_t *why) {
    size_t m = (size_t)c->model.merge, p = (size_t)c->model.patch;
    if (c->model.image_in == IMAGE_IN_PATCHES) {
        *rows = ceil_div(image_h, p);
        *cols = ceil_div(image_w, p);
    } else {
        *rows = grid_h / m;
        *cols = grid_w / m;
        if (grid_h % m || grid_w % m) {
            reason_set(why, "model.merge = %zu does not divide a grid of %zu x %zu codes", m,
                       grid_h, grid_w);
            return 0;
        }
    }
    if (c->model.patch_pos != POS_NONE && (*rows > PATCH_POSITIONS || *cols > PATCH_POSITIONS)) {
        reason_set(why,
                   "an image of %zu x %zu tokens exceeds the %d positions of an axis "
                   "(model.patch_pos = none has no limit)",
                   *rows, *cols, PATCH_POSITIONS);
        return 0;
    }
    if (!*rows || !*cols) reason_set(why, "the image is empty");
    return *rows * *cols;
}

int32_t gato_attn_window(const gato_config_t *c, const gato_facts_t *f) {
    size_t rows, cols, image = 0;
    bool pixels = c->model.image_in == IMAGE_IN_PATCHES;
    if (pixels ? f->image_h && f->image_w : f->codes && f->grid_h && f->grid_w)
        image =
            gato_image_tokens(c, f->grid_h, f->grid_w, f->image_h, f->image_w, &rows, &cols, NULL);
    layout_t l = gato_layout(c, f, image, 0, true);
    size_t n = (size_t)c->model.context / layout_tokens(&l);
    return n ? (int32_t)n : 1;
}
