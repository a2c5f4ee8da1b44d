/* split.c - see split.h. */
#include "common/io/split.h"
#include "common/base/die.h"
#include "common/io/fs.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

double source_spec_split(const char *spec, char **path) {
    const char *equal = strrchr(spec, '=');
    char *end;
    *path = NULL;
    /* strtod also takes "inf", "nan" and hexadecimal, which are not weights. */
    if (equal && equal[1] && strspn(equal + 1, "0123456789.eE+-") == strlen(equal + 1) &&
        !fs_exists(spec)) {
        double weight = strtod(equal + 1, &end);
        if (!*end) {
            if (!(weight > 0) || !isfinite(weight))
                die(RC_USAGE, "the weight of '%s' must be above 0", spec);
            *path = xasprintf("%.*s", (int)(equal - spec), spec);
            return weight;
        }
    }
    *path = xstrdup(spec);
    return 1;
}

static uint64_t hash_of(const char *name) {
    return XXH64(name, strlen(name), 0);
}

static bool rule(uint64_t hash, double holdout) {
    return (double)(hash % 1000) < 1000 * holdout;
}

bool split_held_out(const char *group, double holdout) {
    return rule(hash_of(group), holdout);
}

/* The order in which groups are held out as holdout grows. */
static bool before(uint64_t a, uint64_t b) {
    if (a % 1000 != b % 1000) return a % 1000 < b % 1000;
    return a < b;
}

/* "a/photo_12.png" -> "a/photo": how many of n bytes stay. */
static size_t stem_length(const char *key, size_t n, const char *last_slash) {
    size_t base = last_slash ? (size_t)(last_slash - key) + 1 : 0;
    const char *dot = memrchr(key + base, '.', n - base);
    if (dot && dot > key + base) n = (size_t)(dot - key);
    size_t digits = n;
    while (digits > base && key[digits - 1] >= '0' && key[digits - 1] <= '9') digits--;
    bool number =
        digits < n && digits > base + 1 && (key[digits - 1] == '_' || key[digits - 1] == '-');
    return number ? digits - 1 : n;
}

const char *split_whole(const char *name, size_t n, char buf[512]) {
    if (n < 512) {
        memcpy(buf, name, n);
        buf[n] = 0;
    } else {
        XXH128_hash_t h = XXH3_128bits(name, n);
        snprintf(buf, 512, "%016llx%016llx", (unsigned long long)h.high64,
                 (unsigned long long)h.low64);
    }
    return buf;
}

const char *split_group(const char *key, size_t n, split_by_t by, char buf[512]) {
    const char *first = memchr(key, '/', n), *last = memrchr(key, '/', n);
    if (by == SPLIT_FOLDER && first)
        n = (size_t)(first - key);
    else if (by == SPLIT_EPISODE && last)
        n = (size_t)(last - key);
    else
        n = stem_length(key, n, last);
    return split_whole(key, n, buf);
}

/* The first and the last hash in the order of `before`. */
typedef struct {
    uint64_t low, high;
} range_t;

static range_t hash_names(size_t n, split_name_fn name, void *ctx, uint64_t *hash) {
    range_t range = {0, 0};
    char buf[512];
    for (size_t i = 0; i < n; i++) {
        hash[i] = hash_of(name(ctx, i, buf));
        if (i == 0 || before(hash[i], range.low)) range.low = hash[i];
        if (i == 0 || before(range.high, hash[i])) range.high = hash[i];
    }
    return range;
}

size_t split_items(size_t n, double holdout, split_name_fn group, split_name_fn key, void *ctx,
                   bool *held) {
    uint64_t *hash = xmalloc(n * sizeof *hash);
    range_t range = hash_names(n, group, ctx, hash);
    if (range.low == range.high) range = hash_names(n, key, ctx, hash);
    bool single = range.low == range.high, both_sides = holdout > 0 && holdout < 1;
    size_t by_rule = 0, n_held = 0;
    for (size_t i = 0; i < n; i++) {
        held[i] = rule(hash[i], holdout) && !(both_sides && single);
        by_rule += held[i];
    }
    for (size_t i = 0; i < n; i++) {
        if (both_sides && !single && by_rule == 0 && hash[i] == range.low) held[i] = true;
        if (both_sides && !single && by_rule == n && hash[i] == range.high) held[i] = false;
        n_held += held[i];
    }
    free(hash);
    return n_held;
}
