/* safetensors_case.h - safetensors files in memory and on disk, and verdicts on them. */
#ifndef TESTS_SAFETENSORS_CASE_H
#define TESTS_SAFETENSORS_CASE_H

#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "tests/child.h"
#include "tests/folder.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <stdint.h>
#include <unistd.h>

/* A file in memory: the length word says `claimed` (or the header's true length when claimed is 0).
 * Exactly sized, so that a sanitizer sees any step beyond it. */
static inline uint8_t *make_file(const char *header, size_t n, uint64_t claimed, size_t data,
                                 size_t *size) {
    *size = 8 + n + data;
    uint8_t *bytes = malloc(*size);
    uint64_t length = claimed ? claimed : n;
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> 8 * i);
    if (n) memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++) bytes[8 + n + i] = (uint8_t)(i * 7 + 1);
    return bytes;
}

static inline int parse(st_file_t *f, const char *header, size_t data, reason_t *why) {
    size_t size;
    uint8_t *bytes = make_file(header, strlen(header), 0, data, &size);
    why->text[0] = 0;
    return st_parse(f, bytes, size, why);
}

/* The header must be refused by the rule that the reason begins with. */
static inline void check_refused(const char *header, size_t data, const char *rule) {
    st_file_t f;
    reason_t why;
    int rc = parse(&f, header, data, &why);
    CHECK(rc == -1 && strncmp(why.text, rule, strlen(rule)) == 0, "%s: %s, got \"%s\"", header,
          rule, why.text);
    CHECK(f.bytes == NULL && f.tensor == NULL);
    if (rc == 0) st_close(&f);
}

static inline void check_raw(const uint8_t *bytes, size_t size, const char *rule) {
    st_file_t f;
    reason_t why = {""};
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    int rc = st_parse(&f, copy, size, &why);
    CHECK(rc == -1 && strncmp(why.text, rule, strlen(rule)) == 0, "expected %s, got \"%s\"", rule,
          why.text);
    if (rc == 0) st_close(&f);
}

static inline bool accepted(const char *header, size_t data) {
    st_file_t f;
    reason_t why;
    int rc = parse(&f, header, data, &why);
    if (rc) fprintf(stderr, "  %s: %s\n", header, why.text);
    st_close(&f);
    return rc == 0;
}

static inline char *temp_dir(void) {
    static char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/safetensors-XXXXXX", base ? base : "/tmp");
    return mkdtemp(path);
}

static inline uint8_t *slurp(const char *path, size_t *size) {
    FILE *in = fopen(path, "rb");
    if (!in) return NULL;
    uint8_t *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, in);
    fclose(in);
    return bytes;
}

/* dtypes descending (I64 F64 F32 I32 BF16 F16 U8), then names; the order of adding must not
 * matter. */

#endif
