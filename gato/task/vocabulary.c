/* vocabulary.c - see vocabulary.h. */
#include "gato/task/vocabulary.h"

#include "common/io/text/json.h"

#include <stdlib.h>
#include <string.h>

/* Of the mu-law where a shard says nothing (NEKO's). */
static const float MU = 100, M = 256;
/* Beyond these no real model is, and products of sizes would overflow. */
enum { MOST_TEXT = 1 << 24, MOST_CODES = 1 << 24, MOST_WIDTH = 1 << 16, MOST_FAST = 1 << 20 };

void vocabulary_release(vocabulary_t *v) {
    free(v->text_tokenizer);
    free(v->text_file);
    free(v->codebook);
    free(v->fingerprint);
    free(v->preprocess);
    free(v->quantizer);
    free(v->fast_name);
    free(v->fast_processor);
    free(v->fast_tokenizer);
    *v = (vocabulary_t){0};
}

static char *copy_text(const char *s) {
    return s ? xstrdup(s) : NULL;
}

static float *copy_codebook(const float *codebook, uint32_t codes, uint32_t dim) {
    size_t bytes = (size_t)codes * dim * sizeof *codebook;
    return codebook && bytes ? memcpy(xmalloc(bytes), codebook, bytes) : NULL;
}

vocabulary_t vocabulary_copy(const vocabulary_t *v) {
    vocabulary_t c = *v;
    c.text_tokenizer = copy_text(v->text_tokenizer);
    c.text_file = copy_text(v->text_file);
    c.codebook = copy_codebook(v->codebook, v->codes, v->code_dim);
    c.fingerprint = copy_text(v->fingerprint);
    c.preprocess = copy_text(v->preprocess);
    c.quantizer = copy_text(v->quantizer);
    c.fast_name = copy_text(v->fast_name);
    c.fast_processor = copy_text(v->fast_processor);
    c.fast_tokenizer = copy_text(v->fast_tokenizer);
    return c;
}

/* Does a task of the shard have a text? */
static bool has_text(const shard_meta_t *m) {
    for (size_t i = 0; i < m->tasks.n; i++)
        if (task_first(&m->tasks.v[i], SIDE_OBSERVED, SLOT_TEXT) >= 0) return true;
    return false;
}

vocabulary_t vocabulary_of(const shard_meta_t *m) {
    bool text = has_text(m);
    return (vocabulary_t){.text = text ? m->text_vocab : 0,
                          .text_tokenizer = text ? copy_text(m->text_tokenizer) : NULL,
                          .text_file = text ? copy_text(m->text_file) : NULL,
                          .codes = m->codes,
                          .code_dim = m->code_dim,
                          .codebook = copy_codebook(m->codebook, m->codes, m->code_dim),
                          .fingerprint = copy_text(m->fingerprint),
                          .preprocess = copy_text(m->preprocess),
                          .quantizer = copy_text(m->quantizer),
                          .mu = m->mu > 0 ? m->mu : MU,
                          .M = m->M > 0 ? m->M : M};
}

/* ---- comparison ---- */

static int differ_text(const char *what, const char *a, const char *b, reason_t *why) {
    if (!a || !b || !strcmp(a, b)) return 0;
    return reason_set(why, "%s: %.100s and %.100s", what, a, b);
}

static int same_codebook(const vocabulary_t *a, const vocabulary_t *b, reason_t *why) {
    if (!a->codes || !b->codes) return 0;
    if (a->codes != b->codes) return reason_set(why, "codes: %u and %u", a->codes, b->codes);
    if (a->code_dim != b->code_dim)
        return reason_set(why, "width of a code: %u and %u", a->code_dim, b->code_dim);
    if (differ_text("codebook fingerprint", a->fingerprint, b->fingerprint, why)) return -1;
    if (a->codebook && b->codebook &&
        memcmp(a->codebook, b->codebook, (size_t)a->codes * a->code_dim * sizeof(float)))
        return reason_set(why, "codebook: the vectors differ (%s and %s)",
                          a->fingerprint ? a->fingerprint : "no fingerprint",
                          b->fingerprint ? b->fingerprint : "no fingerprint");
    return 0;
}

static int same(const vocabulary_t *a, const vocabulary_t *b, bool codes, reason_t *why) {
    if (differ_text("text tokenizer", a->text_tokenizer, b->text_tokenizer, why)) return -1;
    if (a->text && b->text && a->text != b->text)
        return reason_set(why, "text vocabulary: %u and %u", a->text, b->text);
    if (a->mu != b->mu || a->M != b->M)
        return reason_set(why, "mu-law: mu %g, M %g and mu %g, M %g", (double)a->mu, (double)a->M,
                          (double)b->mu, (double)b->M);
    return codes ? same_codebook(a, b, why) : 0;
}

int vocabulary_merge(vocabulary_t *v, const vocabulary_t *more, bool codes, reason_t *why) {
    if (same(v, more, codes, why)) return -1;
    if (!v->text) v->text = more->text;
    if (!v->text_tokenizer) v->text_tokenizer = copy_text(more->text_tokenizer);
    if (!v->text_file) v->text_file = copy_text(more->text_file);
    if (!v->codes) {
        v->codes = more->codes;
        v->code_dim = more->code_dim;
    }
    if (!v->codebook && v->codes == more->codes)
        v->codebook = copy_codebook(more->codebook, more->codes, more->code_dim);
    if (!v->fingerprint) v->fingerprint = copy_text(more->fingerprint);
    if (!v->preprocess) v->preprocess = copy_text(more->preprocess);
    if (!v->quantizer) v->quantizer = copy_text(more->quantizer);
    return 0;
}

int vocabulary_fit(const vocabulary_t *model, const vocabulary_t *data, bool codes, reason_t *why) {
    if (data->text && !model->text)
        return reason_set(why, "text vocabulary: 0 and %u (the model was trained without any text)",
                          data->text);
    if (codes && data->codes && !model->codes)
        return reason_set(why, "codes: 0 and %u (the model was trained without images)",
                          data->codes);
    return same(model, data, codes, why);
}

/* ---- JSON ---- */

/* One table serves writing and reading. */
typedef struct {
    const char *key;
    size_t offset;
    uint32_t most; /* numbers */
} member_t;
#define AT(m, most)                                                                                \
    { #m, offsetof(vocabulary_t, m), most }
static const member_t numbers[] = {AT(text, MOST_TEXT), AT(codes, MOST_CODES),
                                   AT(code_dim, MOST_WIDTH)};
static const member_t texts[] = {AT(text_tokenizer, 0), AT(fingerprint, 0), AT(preprocess, 0),
                                 AT(quantizer, 0), AT(fast_name, 0)};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers, N_TEXTS = sizeof texts / sizeof *texts };

static uint32_t *number_at(vocabulary_t *v, const member_t *m) {
    return (uint32_t *)(void *)((char *)v + m->offset);
}
static char **text_at(vocabulary_t *v, const member_t *m) {
    return (char **)(void *)((char *)v + m->offset);
}

static void put_float(cJSON *o, const char *key, float v) {
    char text[32];
    cJSON_AddItemToObject(o, key, cJSON_CreateRaw(json_float(text, v)));
}

cJSON *vocabulary_json(const vocabulary_t *vocabulary) {
    vocabulary_t v = *vocabulary; /* the accessors above take no const */
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < N_NUMBERS; i++)
        cJSON_AddNumberToObject(o, numbers[i].key, *number_at(&v, &numbers[i]));
    if (v.fast) cJSON_AddNumberToObject(o, "fast", v.fast);
    put_float(o, "mu", v.mu);
    put_float(o, "M", v.M);
    for (size_t i = 0; i < N_TEXTS; i++) {
        const char *s = *text_at(&v, &texts[i]);
        if (s) cJSON_AddStringToObject(o, texts[i].key, s);
    }
    return o;
}

static int get_numbers(vocabulary_t *v, const cJSON *o, reason_t *why) {
    for (size_t i = 0; i < N_NUMBERS; i++) {
        uint64_t n;
        const char *key = numbers[i].key;
        if (!json_u64(cJSON_GetObjectItemCaseSensitive(o, key), &n))
            return reason_set(why, "vocabulary: '%s' is missing or not a number", key);
        if (n > numbers[i].most)
            return reason_set(why, "vocabulary: '%s' = %llu is beyond %u", key,
                              (unsigned long long)n, numbers[i].most);
        *number_at(v, &numbers[i]) = (uint32_t)n;
    }
    const cJSON *fast = cJSON_GetObjectItemCaseSensitive(o, "fast");
    uint64_t ids = 0;
    if (fast && (!json_u64(fast, &ids) || !ids || ids > MOST_FAST))
        return reason_set(why, "vocabulary: 'fast' is no number of ids");
    v->fast = (uint32_t)ids;
    return v->codes && !v->code_dim ? reason_set(why, "vocabulary: codes without a width") : 0;
}

static int get_float(const cJSON *o, const char *key, float *out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsNumber(item) || !(item->valuedouble > 0))
        return reason_set(why, "vocabulary: '%s' must be a positive number", key);
    *out = (float)item->valuedouble;
    return 0;
}

int vocabulary_parse(vocabulary_t *v, const cJSON *o, reason_t *why) {
    *v = (vocabulary_t){0};
    if (!cJSON_IsObject(o)) return reason_set(why, "'vocabulary' is missing or not a JSON object");
    if (get_numbers(v, o, why) || get_float(o, "mu", &v->mu, why) || get_float(o, "M", &v->M, why))
        return -1;
    for (size_t i = 0; i < N_TEXTS; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, texts[i].key);
        if (item && !cJSON_IsString(item))
            return reason_set(why, "vocabulary: '%s' is not a string", texts[i].key);
        *text_at(v, &texts[i]) = item ? xstrdup(item->valuestring) : NULL;
    }
    return 0;
}

tokens_t vocabulary_tokens(const gato_config_t *c, const vocabulary_t *v) {
    return (tokens_t){.text = v->text,
                      .bins = (uint32_t)c->model.bins,
                      .codes = gato_config_image_in(c)->ids ? v->codes : 0,
                      .mu = v->mu,
                      .M = v->M,
                      .outside = c->model.mu_law == MU_LAW_OUTSIDE,
                      .actions_mu = c->model.bin_kind == BIN_KIND_MULAW ? v->mu : 0,
                      .fast = v->fast,
                      .actions_fitted = c->model.bin_kind == BIN_KIND_QUANTILE};
}
