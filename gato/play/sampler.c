/* sampler.c - see sampler.h. */
#include "gato/play/sampler.h"

#include "common/base/die.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    double weight; /* its probability, times a constant */
    uint32_t i;
} choice_t;

static int likelier_first(const void *pa, const void *pb) {
    const choice_t *a = pa, *b = pb;
    if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

static double sum_of(const choice_t *c, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += c[i].weight;
    return sum;
}

/* How many of the n likeliest it takes to reach the share p of them. */
static uint32_t count_share(const choice_t *c, uint32_t n, double p) {
    double sum = 0, all = sum_of(c, n);
    for (uint32_t i = 0; i < n; i++) {
        sum += c[i].weight;
        if (sum >= p * all) return i + 1;
    }
    return n;
}

static uint32_t draw(const choice_t *c, uint32_t n, double u) {
    double at = 0, all = sum_of(c, n);
    for (uint32_t i = 0; i < n; i++) {
        at += c[i].weight;
        if (at > u * all) return c[i].i;
    }
    return c[n - 1].i;
}

uint32_t sampler_choose(const sampler_t *s, const float *logits, uint32_t n, double u) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    if (!(s->temperature > 0)) return best;
    choice_t *c = xmalloc(n * sizeof *c);
    for (uint32_t i = 0; i < n; i++)
        c[i] = (choice_t){exp(((double)logits[i] - (double)logits[best]) / s->temperature), i};
    uint32_t kept = n;
    if (s->top_k || s->top_p < 1) qsort(c, n, sizeof *c, likelier_first);
    if (s->top_k && s->top_k < kept) kept = s->top_k;
    if (s->top_p < 1) kept = count_share(c, kept, s->top_p);
    uint32_t chosen = draw(c, kept, u);
    free(c);
    return chosen;
}
