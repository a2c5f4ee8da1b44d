/* dataset_top.c - the best episodes of a shard, by return. */
#include "gato/data/shards.h"

#include <stdlib.h>
#include <string.h>

/* An episode, whose pieces follow one another in a shard. */
typedef struct {
    uint64_t last; /* its last record */
    double ret;
} ranked_t;

static double sum_of(const shard_t *s, const token_record_t *r) {
    double sum = 0;
    if (!r->rewards)
        die(RC_MISFIT, "'%s': record '%.*s' has no rewards to rank it by", s->path, (int)r->key_len,
            r->key);
    for (uint32_t t = 0; t < r->T; t++) sum += (double)r->rewards[t];
    return sum;
}

static bool goes_on(const token_record_t *r, const token_record_t *before) {
    return r->first_step > before->first_step && r->task == before->task &&
           r->key_len == before->key_len && r->source_len == before->source_len &&
           !memcmp(r->key, before->key, r->key_len) &&
           !memcmp(r->source, before->source, r->source_len);
}

static int by_return(const void *a, const void *b) {
    const ranked_t *x = a, *y = b;
    if (x->ret != y->ret) return x->ret > y->ret ? -1 : 1;
    return (x->last > y->last) - (x->last < y->last);
}

size_t dataset_top(const dataset_t *d, size_t source, uint32_t task, size_t k, uint64_t *id) {
    const shard_t *s = &d->shard[source];
    if (s->sampled)
        die(RC_MISFIT,
            "'%s' keeps some steps of its episodes (tokenize --frames): their returns are not "
            "known",
            s->path);
    ranked_t *episode = xcalloc(s->n + 1, sizeof *episode);
    token_record_t now, before = {0};
    size_t n = 0;
    for (uint64_t i = 0; i < s->n; i++) {
        shard_read(s, i, &now);
        if (s->body[now.task].task == task && now.T) {
            bool piece = n && goes_on(&now, &before);
            if (!piece) episode[n++] = (ranked_t){0};
            episode[n - 1].last = i;
            episode[n - 1].ret += sum_of(s, &now);
        }
        token_record_release(&before);
        before = now;
    }
    token_record_release(&before);
    qsort(episode, n, sizeof *episode, by_return);
    for (size_t i = 0; i < n && i < k; i++) id[i] = episode[i].last;
    free(episode);
    return n;
}
