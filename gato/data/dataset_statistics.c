/* dataset_statistics.c - what the training side tells of the slots of new tasks: lengths of texts,
 * means and deviations, and the bounds that actions are scaled by. */
#include "gato/data/shards.h"
#include "gato/task/action_bins.h"

#include <math.h>
#include <stdlib.h>

/* Slot k of the shard's task as the dataset has it. */
static slot_t *slot_of(dataset_t *d, const body_t *b, uint32_t k) {
    return &d->tasks.v[b->task].slot[b->map[k]];
}

static bool is_new(const dataset_t *d, const body_t *b) {
    return b->task >= d->adopted;
}

void shards_text_lengths(dataset_t *d) {
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_bodies; i++) {
            const body_t *b = &d->shard[k].body[i];
            int text = task_first(b->of, SIDE_OBSERVED, SLOT_TEXT);
            if (text < 0 || !is_new(d, b)) continue;
            slot_t *slot = slot_of(d, b, (uint32_t)text);
            for (size_t j = 0; j < b->n_side[SIDE_TRAIN]; j++) {
                uint32_t n = d->shard[k].item[b->side[SIDE_TRAIN][j]].text_len;
                if (n > slot->text_len) slot->text_len = n;
            }
        }
}

/* ---- means and deviations ---- */

enum { MOMENT_RECORDS = 4096 /* of a shard's task, spread evenly: enough for a scale */ };

/* Of one slot, over all shards. */
typedef struct {
    double *sum, *squares; /* [width] */
    size_t steps;
} moments_t;

static void add_record(moments_t *m, const slot_data_t *v, size_t T, size_t width) {
    if (!v->vector) return;
    for (size_t t = 0; t < T; t++) {
        if (v->present && !v->present[t]) continue;
        for (size_t j = 0; j < width; j++) {
            double x = (double)v->vector[t * width + j];
            m->sum[j] += x;
            m->squares[j] += x * x;
        }
        m->steps++;
    }
}

static bool has_vectors(const task_t *t) {
    return task_first(t, SIDE_OBSERVED, SLOT_VECTOR) >= 0;
}

/* Adds the records of one task of a shard; m: by the slots of the dataset's task. */
static void add_moments(const shard_t *s, const body_t *b, moments_t *m) {
    size_t all = b->n_side[SIDE_TRAIN], n = all < MOMENT_RECORDS ? all : MOMENT_RECORDS;
    if (!has_vectors(b->of)) return;
    for (size_t i = 0; i < n; i++) {
        token_record_t r;
        shard_read(s, b->side[SIDE_TRAIN][i * all / n], &r);
        for (uint32_t k = 0; k < b->of->n_slots; k++)
            if (b->of->slot[k].kind == SLOT_VECTOR && b->of->slot[k].side == SIDE_OBSERVED)
                add_record(&m[b->map[k]], &r.slot[k], r.T, b->of->slot[k].width);
        token_record_release(&r);
    }
}

static void set_moments(slot_t *slot, const moments_t *m) {
    slot->mean = xcalloc(slot->width, sizeof(float));
    slot->deviation = xcalloc(slot->width, sizeof(float));
    for (size_t j = 0; j < slot->width; j++) {
        double n = m->steps ? (double)m->steps : 1, mean = m->sum[j] / n;
        double variance = m->squares[j] / n - mean * mean;
        bool varies = variance > 1e-12 * (1 + mean * mean);
        slot->mean[j] = (float)mean;
        slot->deviation[j] = varies ? (float)sqrt(variance) : 1;
    }
}

static void measure_task(dataset_t *d, uint32_t task) {
    task_t *t = &d->tasks.v[task];
    moments_t m[TASK_SLOTS] = {{0}};
    if (!has_vectors(t)) return;
    for (uint32_t k = 0; k < t->n_slots; k++) {
        m[k].sum = xcalloc(2 * (size_t)t->slot[k].width, sizeof(double));
        m[k].squares = m[k].sum + t->slot[k].width;
    }
    for (size_t i = 0; i < d->n; i++)
        for (size_t j = 0; j < d->shard[i].n_bodies; j++)
            if (d->shard[i].body[j].task == task)
                add_moments(&d->shard[i], &d->shard[i].body[j], m);
    for (uint32_t k = 0; k < t->n_slots; k++) {
        slot_t *slot = &t->slot[k];
        if (slot->kind == SLOT_VECTOR && slot->side == SIDE_OBSERVED) set_moments(slot, &m[k]);
        free(m[k].sum);
    }
}

/* ---- scaling of actions ---- */

typedef struct {
    const dataset_t *d;
    uint32_t task, slot; /* of the dataset */
} feed_t;

/* The slot of a shard's task that becomes slot `slot` of the dataset's, or -1. */
static int slot_in_shard(const body_t *b, uint32_t slot) {
    for (uint32_t k = 0; k < b->of->n_slots; k++)
        if (b->map[k] == (int32_t)slot) return (int)k;
    return -1;
}

static void feed_record(const slot_t *stored, const slot_data_t *v, size_t T,
                        scaling_sink_t *sink) {
    const float *rows[2] = {v->vector, v->label_vector};
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; rows[side] && i < T * stored->width; i++) {
            size_t column = i % stored->width;
            if (v->present && !v->present[i / stored->width]) continue;
            scaling_column_t c = {.low = stored->low[column],
                                  .high = stored->high[column],
                                  .raw = stored->raw[column] != 0};
            scaling_put(sink, column, scaling_units(&c, rows[side][i]));
        }
}

/* Feeds the actions of training record i of a task, counted over all shards. */
static void feed_actions(void *ctx, size_t i, scaling_sink_t *sink) {
    const feed_t *f = ctx;
    for (size_t k = 0; k < f->d->n; k++)
        for (size_t j = 0; j < f->d->shard[k].n_bodies; j++) {
            const shard_t *s = &f->d->shard[k];
            const body_t *b = &s->body[j];
            if (b->task != f->task) continue;
            if (i >= b->n_side[SIDE_TRAIN]) {
                i -= b->n_side[SIDE_TRAIN];
                continue;
            }
            int slot = slot_in_shard(b, f->slot);
            if (slot < 0) return;
            token_record_t r;
            shard_read(s, b->side[SIDE_TRAIN][i], &r);
            feed_record(&b->of->slot[slot], &r.slot[slot], r.T, sink);
            token_record_release(&r);
            return;
        }
}

static void scale_task(dataset_t *d, uint32_t task) {
    task_t *t = &d->tasks.v[task];
    size_t records = dataset_records(d, SIZE_MAX, task, SIDE_TRAIN);
    for (uint32_t k = 0; k < t->n_slots; k++) {
        slot_t *slot = &t->slot[k];
        if (slot->kind != SLOT_VECTOR || slot->side != SIDE_ACTED) continue;
        feed_t feed = {d, task, k};
        if (d->config.model.bin_kind == BIN_KIND_FAST) {
            scaling_by_quantiles(slot, records, feed_actions, &feed);
            continue;
        }
        scaling_choose(slot, records, feed_actions, &feed);
        scaling_report(t->name, slot);
        if (d->config.model.bin_kind == BIN_KIND_QUANTILE)
            action_bins_fit(slot, (uint32_t)d->config.model.bins, records, feed_actions, &feed);
    }
}

void shards_statistics(dataset_t *d) {
    for (size_t i = d->adopted; i < d->tasks.n; i++) {
        measure_task(d, (uint32_t)i);
        scale_task(d, (uint32_t)i);
    }
}

void shards_map_scaling(dataset_t *d) {
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_bodies; i++) {
            body_t *b = &d->shard[k].body[i];
            b->scaling = xcalloc(b->of->n_slots, sizeof *b->scaling);
            for (uint32_t j = 0; j < b->of->n_slots; j++) {
                const slot_t *slot = &b->of->slot[j];
                if (slot->kind == SLOT_VECTOR && slot->side == SIDE_ACTED)
                    scaling_map_init(&b->scaling[j], slot, slot_of(d, b, j));
            }
        }
}
