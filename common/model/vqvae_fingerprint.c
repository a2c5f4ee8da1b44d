/* vqvae_fingerprint.c - tokenizer.json: by what a tokenizer is known again. Its quantizer, and the
 * fingerprint over everything that decides an image's codes. */
#include "common/io/text/json.h"
#include "common/model/codes.h"
#include "common/model/fingerprint.h"
#include "common/model/kind.h"

#include <stdlib.h>
#include <string.h>

char *vqvae_quantizer_text(const vqvae_config_t *c) {
    cJSON *o = cJSON_CreateObject();
    const codes_kind_t *kind = codes_kind(c);
    cJSON_AddStringToObject(o, "kind", kind->name);
    if (kind->describe) kind->describe(c, o);
    if (model_kind(c)->describe) model_kind(c)->describe(c, o);
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

static int by_name(const void *a, const void *b) {
    return strcmp((*(const param_t *const *)a)->name, (*(const param_t *const *)b)->name);
}

/* The numbers are hashed as the file for use holds them: in PyTorch's layout. */
void vqvae_fingerprint_with(params_t *p, int block, const float *codebook,
                            const char *quantizer_json, const char *preprocess_json, char hex[33]) {
    static const char CODES[] = "quantize.embedding.weight";
    /* The codebook, but not the parameters that it is made from. */
    static const char *const select[] = {"encoder.", "quant_conv.", CODES};
    const param_t **list = xcalloc(params_n(p), sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < params_n(p); i++)
        if (params_match(params_at(p, (int)i)->name, select, 3)) list[n++] = params_at(p, (int)i);
    qsort(list, n, sizeof *list, by_name);
    fingerprint_t f;
    fingerprint_begin(&f);
    for (size_t i = 0; i < n; i++) {
        const param_t *q = list[i];
        float *disk = xmalloc(q->count * sizeof *disk);
        if (codebook && !strcmp(q->name, CODES))
            memcpy(disk, codebook, q->count * sizeof *disk);
        else
            params_export(p, block, params_find(p, q->name), disk);
        fingerprint_tensor(&f, q->name, q->rank, q->dim, disk);
        free(disk);
    }
    fingerprint_end(&f, quantizer_json, preprocess_json, hex);
    free(list);
}

void vqvae_fingerprint_make(params_t *p, int block, const char *quantizer_json,
                            const char *preprocess_json, char hex[33]) {
    vqvae_fingerprint_with(p, block, NULL, quantizer_json, preprocess_json, hex);
}
