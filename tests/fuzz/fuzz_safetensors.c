/* fuzz_safetensors.c - any bytes as a safetensors file: whatever is accepted must lie inside the
 * file, sorted, and be readable.
 */
#include "common/io/safetensors/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool ok) {
    if (!ok) abort();
}

static void check_tensor(const st_file_t *f, const st_tensor_t *t) {
    uint64_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= t->dim[i];
    check(count == t->count && t->bytes <= f->size && t->data >= f->bytes &&
          t->data + t->bytes <= f->bytes + f->size);
    check(st_find(f, t->name) == t);
    if (t->type == ST_OTHER || t->type >= ST_I64) return;
    float *v = malloc(t->count * sizeof *v + 1);
    check(v && st_read_f32(t, v, NULL) == 0);
    st_finite(v, t->count);
    free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    st_file_t f;
    reason_t why = {""};
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    if (st_parse(&f, copy, size, &why)) {
        check(why.text[0] && !f.bytes);
        return 0;
    }
    for (size_t i = 0; i < f.n; i++) {
        check(!i || strcmp(f.tensor[i - 1].name, f.tensor[i].name) < 0);
        check_tensor(&f, &f.tensor[i]);
    }
    for (size_t i = 0; i < f.n_meta; i++) check(st_meta(&f, f.meta[2 * i]) == f.meta[2 * i + 1]);
    st_close(&f);
    return 0;
}
