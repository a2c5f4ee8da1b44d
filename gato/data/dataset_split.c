/* dataset_split.c - the two sides of the data, and how records are cut into sequences. */
#include "gato/data/shards.h"

#include "common/base/sizes.h"
#include "common/io/split.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const shard_t *s;
    const uint64_t *record; /* those of one task */
} names_t;

static const char *group_name(void *ctx, size_t i, char buf[512]) {
    const names_t *names = ctx;
    snprintf(buf, 512, "%s", names->s->group[names->record[i]]);
    return buf;
}

static const char *item_name(void *ctx, size_t i, char buf[512]) {
    const names_t *names = ctx;
    snprintf(buf, 512, "%016llx", (unsigned long long)names->s->item[names->record[i]].key_hash);
    return buf;
}

static void split_body(const dataset_t *d, shard_t *s, uint32_t number) {
    body_t *b = &s->body[number];
    uint64_t *record = xcalloc(s->n, sizeof *record);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->item[i].body == number) record[n++] = i;
    bool *held = xcalloc(n, sizeof *held);
    names_t names = {s, record};
    if (n) split_items(n, d->config.data.holdout, group_name, item_name, &names, held);
    for (int side = 0; side < 2; side++) {
        b->side[side] = xcalloc(n, sizeof *b->side[side]);
        for (size_t i = 0; i < n; i++)
            if (held[i] == (side == SIDE_VAL)) b->side[side][b->n_side[side]++] = record[i];
    }
    free(held);
    free(record);
}

void shards_split(dataset_t *d) {
    for (size_t k = 0; k < d->n; k++) {
        shard_t *s = &d->shard[k];
        for (uint32_t i = 0; i < s->n_bodies; i++) split_body(d, s, i);
        for (size_t i = 0; i < s->n; i++) free(s->group[i]);
        free(s->group);
        s->group = NULL;
    }
}

/* ---- spans ---- */

void shards_windows(dataset_t *d) {
    d->window = xcalloc(d->tasks.n, sizeof *d->window);
    for (size_t i = 0; i < d->tasks.n; i++)
        d->window[i] = layout_window(&d->config, &d->tasks.v[i]);
}

/* Steps of a spread shard are no neighbors: each is a sequence of its own. */
void item_set_span(const dataset_t *d, const shard_t *s, item_t *t) {
    const body_t *b = &s->body[t->body];
    size_t context = (size_t)d->config.model.context, fit = context / t->tokens;
    if (!body_control(b))
        t->span = (uint32_t)(context - t->tokens);
    else if (s->spread)
        t->span = 1;
    else if (d->config.train.window)
        t->span = (uint32_t)d->config.train.window;
    else
        t->span = (uint32_t)min_size(fit, d->window[b->task]);
}

static size_t item_sequences(const shard_t *s, const item_t *t) {
    size_t n = body_control(&s->body[t->body]) ? t->T : t->text_len;
    return n ? ceil_div(n, t->span) : 1;
}

void shards_count_sequences(dataset_t *d) {
    for (size_t k = 0; k < d->n; k++) {
        shard_t *s = &d->shard[k];
        for (size_t i = 0; i < s->n; i++) item_set_span(d, s, &s->item[i]);
        for (size_t i = 0; i < s->n_bodies; i++)
            for (int side = 0; side < 2; side++) {
                body_t *b = &s->body[i];
                uint64_t *to = b->sequences[side] = xcalloc(b->n_side[side] + 1, sizeof *to);
                for (size_t j = 0; j < b->n_side[side]; j++)
                    to[j + 1] = to[j] + item_sequences(s, &s->item[b->side[side][j]]);
            }
    }
}

/* ---- how many there are ---- */

static void side_range(side_t side, int *first, int *end) {
    *first = side == SIDE_VAL ? 1 : 0;
    *end = side == SIDE_TRAIN ? 1 : 2;
}

static bool wanted(const body_t *b, uint32_t task) {
    return task == UINT32_MAX || b->task == task;
}

size_t dataset_records(const dataset_t *d, size_t source, uint32_t task, side_t side) {
    size_t n = 0;
    int first, end;
    side_range(side, &first, &end);
    if (source != SIZE_MAX && task == UINT32_MAX && side == SIDE_ALL) return d->shard[source].n;
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_bodies; i++) {
            const body_t *b = &d->shard[k].body[i];
            if ((source != SIZE_MAX && source != k) || !wanted(b, task)) continue;
            for (int j = first; j < end; j++) n += b->n_side[j];
        }
    return n;
}

uint64_t dataset_record(const dataset_t *d, size_t source, uint32_t task, side_t side, size_t i) {
    const shard_t *s = &d->shard[source];
    int first, end;
    side_range(side, &first, &end);
    for (size_t j = 0; j < s->n_bodies; j++) {
        const body_t *b = &s->body[j];
        for (int k = first; k < end && wanted(b, task); k++) {
            if (i < b->n_side[k]) return b->side[k][i];
            i -= b->n_side[k];
        }
    }
    BUG("record beyond the last of source %zu", source);
}

size_t dataset_sequences(const dataset_t *d, size_t source, uint32_t task, side_t side) {
    const shard_t *s = &d->shard[source];
    int first, end;
    size_t n = 0;
    side_range(side, &first, &end);
    for (size_t i = 0; i < s->n_bodies; i++)
        for (int k = first; k < end && wanted(&s->body[i], task); k++)
            n += s->body[i].sequences[k][s->body[i].n_side[k]];
    return n;
}

static void add_kinds(const shard_t *s, const body_t *b, dataset_kinds_t *k) {
    for (size_t j = 0; j < b->n_side[SIDE_TRAIN]; j++) {
        const item_t *t = &s->item[b->side[SIDE_TRAIN][j]];
        bool control = body_control(b);
        size_t steps = min_size(t->span, t->T);
        k->records++;
        k->episodes += control;
        k->spread += control && s->spread;
        k->texts += !control && t->text_len > 0;
        k->missions += control && t->text_len > 0;
        k->images += t->image_tokens > 0;
        k->observed += t->observed ? t->T : 0;
        k->values += t->values ? t->T : 0;
        k->acted += t->acted ? t->T : 0;
        if (t->image_tokens > k->image_tokens) k->image_tokens = t->image_tokens;
        if (control && steps > k->steps) k->steps = steps;
        if (control && t->image_tokens && steps > k->image_steps) k->image_steps = steps;
    }
}

dataset_kinds_t dataset_kinds(const dataset_t *d, uint32_t task) {
    dataset_kinds_t k = {0};
    for (size_t i = 0; i < d->n; i++)
        for (size_t j = 0; j < d->shard[i].n_bodies; j++)
            if (wanted(&d->shard[i].body[j], task))
                add_kinds(&d->shard[i], &d->shard[i].body[j], &k);
    return k;
}

uint32_t dataset_window(const dataset_t *d, uint32_t task) {
    return d->window[task];
}
