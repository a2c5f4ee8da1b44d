/* data_batch.c - samples and batches as functions of seed and sample number; see data.h. */
#include "common/base/pool.h"
#include "vqvae/data.h"

#include <stdlib.h>

/* By the sources' weights: draw 0 of the sample. */
static size_t choose_source(const data_t *d, rng_t r) {
    double u = rng_uniform64(r, 0), sum = 0;
    for (size_t k = 0; k + 1 < d->n; k++) {
        sum += d->source[k].weight;
        if (u < sum) return k;
    }
    return d->n - 1;
}

void data_sample(const data_t *d, uint64_t g, uint8_t *rgb, float *weight) {
    rng_t r = rng_fold(rng_make(d->seed, "data.sample"), g);
    size_t k = choose_source(d, r);
    const data_source_t *s = &d->source[k];
    /* Each source goes through its own epochs, as fast as its weight says. */
    uint64_t at = (uint64_t)((double)g * s->weight);
    rng_t order = rng_fold(rng_fold(rng_make(d->seed, "data.order"), k), at / s->n_train);
    image_t own;
    const image_t *im;
    size_t tries = 0;
    for (;;) {
        size_t i = (size_t)rng_permute(order, (at + tries) % s->n_train, s->n_train);
        im = data_take(d, s, s->train[i], &own);
        if (im) break;
        tries++;
        if (tries == DATA_LOST_IN_A_ROW) data_die_lost(s);
    }
    data_augment(d, r, im, rgb);
    image_release(&own);
    if (weight) data_focus_weights(d, s, rgb, weight);
}

typedef struct {
    const data_t *d;
    uint64_t first;
    float *image, *weight;
} batch_t;

static void batch_sample(void *ctx, size_t i) {
    const batch_t *b = ctx;
    size_t n = b->d->w * b->d->h;
    uint8_t *rgb = xmalloc(n * 3);
    data_sample(b->d, b->first + i, rgb, b->weight ? b->weight + i * n : NULL);
    image_to_float(rgb, n * 3, b->image + i * n * 3);
    free(rgb);
}

void data_batch(const data_t *d, uint64_t first, size_t n, float *image, float *weight) {
    batch_t b = {d, first, image, weight};
    parallel_for(n, batch_sample, &b);
}
