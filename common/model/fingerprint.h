/* fingerprint.h - by what a tokenizer is known again: XXH3-128 over name, shape and numbers of
 * every tensor that decides a code, in PyTorch's layout and by name, then over the quantizer and
 * the preprocessing of tokenizer.json.
 *
 *     fingerprint_t f;
 *     fingerprint_begin(&f);
 *     fingerprint_tensor(&f, "quantize.embedding.weight", 2, (size_t[]){512, 16}, numbers);
 *     fingerprint_end(&f, quantizer_json, preprocess_json, hex);
 */
#ifndef MODEL_FINGERPRINT_H
#define MODEL_FINGERPRINT_H

#include <stddef.h>

typedef struct {
    void *state;
} fingerprint_t;

void fingerprint_begin(fingerprint_t *f);
/* The next tensor in the order of names; numbers [product of dim]. */
void fingerprint_tensor(fingerprint_t *f, const char *name, int rank, const size_t *dim,
                        const float *numbers);
/* 32 hex digits. The texts are canonical JSON. Frees what f holds; hex NULL: nothing else. */
void fingerprint_end(fingerprint_t *f, const char *quantizer_json, const char *preprocess_json,
                     char hex[33]);

#endif
