/* shard_stats.c - see shard_stats.h. */
#include "tokenize/shard_stats.h"

#include "common/base/pool.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1024 };

typedef struct {
    token_db_t *db;
    uint64_t *histogram; /* [threads, codes] */
    pthread_mutex_t lock;
    shard_stats_t *c;
    /* The record where each source was met: threads meet them in any order. */
    uint64_t first[SHARD_STATS_SOURCES];
} taking_t;

/* Neighbours of one source; its name lies in the map. */
typedef struct {
    const char *name;
    uint32_t len;
    uint64_t first, records;
} run_t;

static void add_run(taking_t *t, const run_t *r) {
    shard_stats_t *c = t->c;
    size_t k = 0;
    if (!r->records) return;
    pthread_mutex_lock(&t->lock);
    while (k < c->n_sources &&
           (strlen(c->source[k].name) != r->len || memcmp(c->source[k].name, r->name, r->len) != 0))
        k++;
    if (k == c->n_sources && k < SHARD_STATS_SOURCES) {
        c->source[c->n_sources++] =
            (shard_stats_source_t){xasprintf("%.*s", (int)r->len, r->name), 0};
        t->first[k] = r->first;
    }
    if (k < SHARD_STATS_SOURCES) {
        c->source[k].records += r->records;
        if (r->first < t->first[k]) t->first[k] = r->first;
    }
    pthread_mutex_unlock(&t->lock);
}

static void add_to_run(taking_t *t, run_t *run, const token_record_t *r, uint64_t i) {
    if (run->records &&
        (run->len != r->source_len || memcmp(run->name, r->source, run->len) != 0)) {
        add_run(t, run);
        run->records = 0;
    }
    if (!run->records) *run = (run_t){r->source, r->source_len, i, 0};
    run->records++;
}

/* Sums of a block, so that the lock is taken a few times for all its records. */
static void take_block(void *ctx, size_t block) {
    taking_t *t = ctx;
    uint64_t n = token_db_count(t->db),
             end = (uint64_t)(block + 1) * BLOCK < n ? (uint64_t)(block + 1) * BLOCK : n;
    uint64_t *histogram = t->histogram + (size_t)pool_thread_id() * token_db_meta(t->db)->codes;
    shard_stats_t sum = {0};
    run_t run = {0};
    for (uint64_t i = (uint64_t)block * BLOCK; i < end; i++) {
        token_record_t r;
        reason_t why;
        if (token_db_get(t->db, i, &r, &why)) die(RC_DATA, "%s", why.text);
        uint64_t codes = r.codes ? (uint64_t)r.T * r.grid_h * r.grid_w : 0;
        for (uint64_t k = 0; k < codes; k++) histogram[r.codes[k]]++;
        sum.kinds[r.kind]++;
        sum.image_tokens += codes;
        sum.pixels += codes ? (uint64_t)r.T * r.image_h * r.image_w : 0;
        sum.kept_bytes += r.pixels_bytes;
        add_to_run(t, &run, &r, i);
        token_record_release(&r);
    }
    add_run(t, &run);
    pthread_mutex_lock(&t->lock);
    for (int k = 0; k < 3; k++) t->c->kinds[k] += sum.kinds[k];
    t->c->image_tokens += sum.image_tokens;
    t->c->pixels += sum.pixels;
    t->c->kept_bytes += sum.kept_bytes;
    pthread_mutex_unlock(&t->lock);
}

static void sort_sources(taking_t *t) {
    shard_stats_t *c = t->c;
    for (size_t i = 1; i < c->n_sources; i++)
        for (size_t k = i; k > 0 && t->first[k] < t->first[k - 1]; k--) {
            shard_stats_source_t s = c->source[k];
            uint64_t f = t->first[k];
            c->source[k] = c->source[k - 1], c->source[k - 1] = s;
            t->first[k] = t->first[k - 1], t->first[k - 1] = f;
        }
}

/* The most frequent codes, the smaller number first among equals. */
static void find_top(shard_stats_t *c, uint32_t codes) {
    for (c->n_top = 0; c->n_top < SHARD_STATS_TOP && c->n_top < c->used; c->n_top++) {
        uint32_t best = 0;
        uint64_t most = 0;
        for (uint32_t k = 0; k < codes; k++) {
            bool there = false;
            for (size_t i = 0; i < c->n_top; i++) there |= c->top[i] == k;
            if (!there && c->histogram[k] > most) most = c->histogram[k], best = k;
        }
        c->top[c->n_top] = best;
    }
}

void shard_stats_read(shard_stats_t *c, token_db_t *db) {
    uint32_t codes = token_db_meta(db)->codes;
    size_t threads = (size_t)pool_threads();
    *c = (shard_stats_t){.histogram = xcalloc(codes + 1, sizeof *c->histogram), .perplexity = NAN};
    taking_t t = {.db = db, .c = c, .histogram = xcalloc(threads * codes + 1, sizeof *t.histogram)};
    pthread_mutex_init(&t.lock, NULL);
    parallel_for((size_t)((token_db_count(db) + BLOCK - 1) / BLOCK), take_block, &t);
    pthread_mutex_destroy(&t.lock);
    for (size_t i = 0; i < threads * codes; i++) c->histogram[i % codes] += t.histogram[i];
    free(t.histogram);
    double entropy = 0;
    for (uint32_t k = 0; k < codes; k++) {
        if (!c->histogram[k]) continue;
        double p = (double)c->histogram[k] / (double)c->image_tokens;
        entropy -= p * log(p);
        c->used++;
    }
    if (c->image_tokens) c->perplexity = exp(entropy);
    find_top(c, codes);
    sort_sources(&t);
}

void shard_stats_release(shard_stats_t *c) {
    for (size_t i = 0; i < c->n_sources; i++) free(c->source[i].name);
    free(c->histogram);
}
