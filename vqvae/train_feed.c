/* train_feed.c - see train_feed.h. */
#include "vqvae/train_feed.h"

#include "common/base/sizes.h"

#include <stdlib.h>

void train_feed_batch(const data_t *d, const trainer_t *t, graph_t *g, uint64_t first) {
    float *weight = g->weight == NO_VAR ? NULL : plan_data(g->plan, g->weight);
    data_batch(d, first, t->n, plan_data(g->plan, g->image), weight);
}

void train_feed_codebook(const data_t *d, trainer_t *t) {
    enum { VECTORS_PER_CODE = 32 };
    const uint64_t first = (uint64_t)1 << 40;
    if (!t->quantizer.kmeans) {
        quantizer_adopt(&t->quantizer);
        return;
    }

    graph_t *g = trainer_graph(t, false);
    size_t width = t->model.vq_embed_dim, per_batch = tape_count(g->tape, g->prequant) / width;
    size_t batches = ceil_div(VECTORS_PER_CODE * t->model.codes, per_batch);
    float *z = xmalloc(batches * per_batch * width * sizeof *z);
    size_t n = 0;
    for (size_t i = 0; i < batches; i++) {
        train_feed_batch(d, t, g, first | i * t->n);
        n += trainer_encode(t, z + n * width);
    }
    quantizer_kmeans(&t->quantizer, z, n, rng_make(t->seed, "quantizer.kmeans"));
    free(z);
}
