/* fuzz_fast.c - any bytes as the files of FAST: no crash, and a tokenizer or a reason. What is
 * accepted writes chunks within its bounds, and ids drawn by the bytes among those that may come
 * always end a chunk. The first byte is its length; processor_config.json ends at the first NUL.
 *
 * fuzz-sources: gato/task/fast.c gato/task/fast_file.c
 */
#include "gato/task/fast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Most ids that are looked at for each choice. */
enum { LOOKED_AT = 4096 };

static void draw(const fast_t *f, const uint8_t *data, size_t size, uint32_t H, uint32_t D) {
    fast_state_t s = fast_begin(f, D);
    uint32_t *id = xmalloc(fast_most(H, D) * sizeof *id), n = 0, ids = fast_ids(f);
    float *x = xcalloc((size_t)H * D, sizeof *x);
    while (s.left) {
        uint32_t first = (data[n % size] * 7u + n) % ids, tried = 0;
        while (tried < ids && !fast_allows(f, &s, (first + tried) % ids)) tried++;
        if (tried == ids || n == fast_most(H, D)) BUG("no end with %u left", s.left);
        id[n] = (first + tried) % ids;
        fast_take(f, &s, id[n++]);
    }
    fast_decode(f, id, n, D, x);
    free(id);
    free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    uint32_t H = 2 + data[0] % 6, D = 2;
    int rc = -1;
    reason_t why = {""};
    char *text = memcpy(xcalloc(size, 1), data + 1, size - 1);
    size_t n = strlen(text);
    const char *tokenizer = n + 1 < size ? text + n + 1 : "";
    fast_t *f = fast_parse(text, tokenizer, H, &rc, &why);
    if (!f) {
        if (rc <= 0 || !*why.text) BUG("refused without a reason");
        free(text);
        return 0;
    }
    float x[7 * 2], y[7 * 2];
    text_ids_t ids = {0};
    for (size_t i = 0; i < 14; i++) x[i] = (float)data[i % size] / 64 - 2;
    fast_encode(f, x, D, &ids);
    if (ids.n > fast_most(H, D)) BUG("%zu ids", ids.n);
    fast_decode(f, ids.id, ids.n, D, y);
    if (fast_ids(f) <= LOOKED_AT) draw(f, data, size, H, D);
    text_ids_release(&ids);
    fast_free(f);
    free(text);
    return 0;
}
