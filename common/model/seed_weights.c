/* seed_weights.c - SEED's weights: checked in the published files, read from a RUN; see seed.h.
 *
 * A tensor at a time is in memory as floats; matrices stay as nn_packed_t keeps them.
 */
#include "common/model/fingerprint.h"
#include "common/model/seed.h"
#include "common/nn/weights.h"

#include <stdlib.h>
#include <string.h>

bool seed_decides(const char *name) {
    static const char *const select[] = {"query_tokens", "visual_encoder.",    "ln_vision.",
                                         "Qformer.",     "encode_task_layer.", "quantize."};
    return params_match(name, select, sizeof select / sizeof *select);
}

/* ---- names ---- */

static bool our_name(const void *context, const char *theirs, char out[WEIGHTS_NAME]) {
    return seed_file_name(context, theirs, out, WEIGHTS_NAME);
}

static bool passed_over(const void *context, const char *theirs) {
    char name[WEIGHTS_NAME];
    return !seed_file_name(context, theirs, name, sizeof name);
}

static weights_names_t names_of(const seed_file_t *f) {
    return (weights_names_t){.ours = our_name, .ignored = passed_over, .context = f};
}

/* ---- published files ---- */

static void pass(void *taker, int index, const float *numbers) {}

int seed_check_files(params_t *p, seed_file_t *f, size_t n, size_t *ignored, reason_t *why) {
    weights_names_t *names = xcalloc(n, sizeof *names);
    weights_file_t *file = xcalloc(n, sizeof *file);
    for (size_t i = 0; i < n; i++) {
        names[i] = names_of(&f[i]);
        names[i].take = pass;
        file[i] = (weights_file_t){&f[i].file, f[i].path, &names[i]};
    }
    int rc = weights_read_files(p, file, n, ignored, why);
    free(names);
    free(file);
    return rc;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const param_t *const *)a)->name, (*(const param_t *const *)b)->name);
}

static int hash_tensor(fingerprint_t *print, const param_t *param, seed_file_t *f, size_t n,
                       reason_t *why) {
    seed_file_t *in = NULL;
    st_tensor_t part;
    reason_t inner;
    const st_tensor_t *t = seed_files_find(f, n, param->name, &in);
    if (!t) BUG("'%s' was checked and is missing", param->name);
    if (st_part(&in->file, t, &part, &inner))
        return reason_set(why, "'%s': tensor '%s': %s", in->path, t->name, inner.text);
    float *numbers = xmalloc(param->count * sizeof *numbers);
    int rc = st_read_f32(&part, numbers, &inner)
                 ? reason_set(why, "'%s': tensor '%s': %s", in->path, t->name, inner.text)
                 : 0;
    if (!rc) fingerprint_tensor(print, param->name, param->rank, param->dim, numbers);
    free(numbers);
    free((void *)(uintptr_t)part.data);
    return rc;
}

int seed_fingerprint_files(params_t *p, seed_file_t *f, size_t n, const char *quantizer,
                           const char *preprocess, char hex[33], reason_t *why) {
    const param_t **list = xcalloc(params_n(p), sizeof *list);
    size_t many = 0;
    int rc = 0;
    for (size_t i = 0; i < params_n(p); i++)
        if (seed_decides(params_at(p, (int)i)->name)) list[many++] = params_at(p, (int)i);
    qsort(list, many, sizeof *list, by_name);
    fingerprint_t print;
    fingerprint_begin(&print);
    for (size_t i = 0; i < many && !rc; i++) rc = hash_tensor(&print, list[i], f, n, why);
    fingerprint_end(&print, quantizer, preprocess, rc ? NULL : hex);
    free(list);
    return rc;
}

/* ---- a RUN's file ---- */

typedef struct {
    params_t *params;
    nn_packed_t *packed;
    fingerprint_t print;
} taker_t;

/* Tensors come in the order of their names, as the fingerprint wants them. */
static void take(void *taker, int index, const float *numbers) {
    taker_t *t = taker;
    const param_t *param = params_at(t->params, index);
    if (param->apart)
        nn_packed_put(t->packed, index, numbers);
    else
        params_import(t->params, PARAMS_VALUE, index, numbers);
    if (seed_decides(param->name))
        fingerprint_tensor(&t->print, param->name, param->rank, param->dim, numbers);
}

int seed_read_weights(params_t *p, nn_packed_t *packed, const char *path, const char *quantizer,
                      const char *preprocess, char hex[33], reason_t *why) {
    seed_file_t f;
    reason_t inner;
    if (seed_file_open(&f, path, why)) return RC_DATA;
    taker_t taker = {.params = p, .packed = packed};
    weights_names_t names = names_of(&f);
    names.take = take;
    names.taker = &taker;
    fingerprint_begin(&taker.print);
    int rc = weights_read(p, &f.file, path, &names, NULL, why);
    fingerprint_end(&taker.print, quantizer, preprocess, rc ? NULL : hex);
    if (st_parts_end(&f.file, &inner)) { /* damage comes before its consequences */
        reason_set(why, "'%s': %s", path, inner.text);
        rc = RC_DATA;
    }
    return rc;
}
