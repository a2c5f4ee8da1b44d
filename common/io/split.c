/* split.c - see split.h. */
#include "common/io/split.h"
#include "common/base/die.h"
#include "common/io/fs.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

double source_spec_split(const char *spec, char **path) {
    const char *equal = strrchr(spec, '=');
    char *end;
    *path = NULL;
    /* strtod also takes "inf", "nan" and hexadecimal: no weights of ours. */
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
    return a % 1000 != b % 1000 ? a % 1000 < b % 1000 : a < b;
}

void split_items(size_t n, double holdout, split_name_fn group, split_name_fn key, void *ctx,
                 bool *held) {
    uint64_t *hash = xmalloc(n * sizeof *hash), low = 0, high = 0;
    size_t out = 0;
    char buf[512];
    for (int round = 0; round < 2 && low == high; round++) {
        for (size_t i = 0; i < n; i++) {
            hash[i] = hash_of((round ? key : group)(ctx, i, buf));
            if (!i || before(hash[i], low)) low = hash[i];
            if (!i || before(high, hash[i])) high = hash[i];
        }
    }
    for (size_t i = 0; i < n; i++) out += held[i] = rule(hash[i], holdout);
    bool fill = holdout > 0 && holdout < 1 && low != high;
    for (size_t i = 0; fill && i < n; i++) {
        if (out == 0 && hash[i] == low) held[i] = true;
        if (out == n && hash[i] == high) held[i] = false;
    }
    free(hash);
}
