/* fuzz_json_stream.c - arbitrary bytes as JSON, read element by element: an end, a reason for every
 * refusal, the same elements from any chunks, and all elements of an array that json_parse takes.
 */
#include "common/io/text/json.h"
#include "common/io/text/json_stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const char *bytes;
    size_t size, at, chunk;
} source_t;

static size_t more(void *ctx, const char **bytes) {
    source_t *s = ctx;
    size_t n = s->size - s->at < s->chunk ? s->size - s->at : s->chunk;
    *bytes = s->bytes + s->at;
    s->at += n;
    return n;
}

/* Number of elements; -1 = refused. *sum tells contents apart. */
static long count(const uint8_t *data, size_t size, size_t chunk, bool members, uint64_t *sum) {
    source_t source = {(const char *)data, size, 0, chunk};
    json_stream_t s = {.more = more, .ctx = &source, .members = members};
    reason_t why = {""};
    long n = 0;
    int rc;
    *sum = 0;
    while ((rc = json_stream_next(&s, &why)) > 0) {
        if (!s.size || s.text[s.size] || (members && !s.member)) BUG("element %ld", n);
        for (size_t i = 0; i < s.size; i++) *sum = *sum * 31 + (uint8_t)s.text[i];
        if (++n > (long)size) BUG("more elements than bytes");
    }
    if (rc < 0 && !why.text[0]) BUG("refused without a reason");
    json_stream_release(&s);
    return rc < 0 ? -1 : n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int members = 0; members < 2; members++) {
        uint64_t whole, pieces;
        long n = count(data, size, size + 1, members, &whole);
        if (count(data, size, 1, members, &pieces) != n || whole != pieces)
            BUG("chunks change the elements");
        cJSON *root = members ? NULL : json_parse((const char *)data, size, true, NULL);
        if (cJSON_IsArray(root) && cJSON_GetArraySize(root) != n)
            BUG("%ld elements of %d", n, cJSON_GetArraySize(root));
        cJSON_Delete(root);
    }
    return 0;
}
