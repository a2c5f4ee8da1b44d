/* fingerprint.c - see fingerprint.h. */
#include "common/model/fingerprint.h"

#include "common/base/die.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

void fingerprint_begin(fingerprint_t *f) {
    f->state = XXH3_createState();
    if (!f->state) die(RC_RUNTIME, "out of memory (hash state)");
    XXH3_128bits_reset(f->state);
}

void fingerprint_tensor(fingerprint_t *f, const char *name, int rank, const size_t *dim,
                        const float *numbers) {
    uint32_t rank32 = (uint32_t)rank;
    size_t count = 1;
    XXH3_128bits_update(f->state, name, strlen(name) + 1);
    XXH3_128bits_update(f->state, &rank32, sizeof rank32);
    for (int d = 0; d < rank; d++) {
        uint64_t dim64 = dim[d];
        XXH3_128bits_update(f->state, &dim64, sizeof dim64);
        count *= dim[d];
    }
    XXH3_128bits_update(f->state, numbers, count * sizeof *numbers);
}

void fingerprint_end(fingerprint_t *f, const char *quantizer_json, const char *preprocess_json,
                     char hex[33]) {
    if (hex) {
        XXH3_128bits_update(f->state, quantizer_json, strlen(quantizer_json) + 1);
        XXH3_128bits_update(f->state, preprocess_json, strlen(preprocess_json) + 1);
        XXH128_hash_t v = XXH3_128bits_digest(f->state);
        snprintf(hex, 33, "%016llx%016llx", (unsigned long long)v.high64,
                 (unsigned long long)v.low64);
    }
    XXH3_freeState(f->state);
}
