/* shard_stats.c - see shard_stats.h. */
#include "tokenize/shard_stats.h"

#include "common/base/pool.h"
#include "common/base/sizes.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1024 };

typedef struct {
    token_db_t *shard;
    uint64_t *histogram;  /* [threads, codes]: each thread counts its own */
    pthread_mutex_t lock; /* of what follows */
    shard_stats_t *stats;
    /* [n_sources]: the record where each source was met first; threads meet them in any order */
    uint64_t first[SHARD_STATS_SOURCES];
} reading_t;

/* Records next to one another that have one source; its name lies in the map. */
typedef struct {
    const char *name;
    uint32_t len;
    uint64_t first, records;
} stretch_t;

static bool is_source(const shard_stats_source_t *source, const stretch_t *stretch) {
    return strlen(source->name) == stretch->len &&
           !memcmp(source->name, stretch->name, stretch->len);
}

static void add_stretch(reading_t *reading, const stretch_t *stretch) {
    shard_stats_t *stats = reading->stats;
    size_t k = 0;
    if (!stretch->records) return;
    pthread_mutex_lock(&reading->lock);
    while (k < stats->n_sources && !is_source(&stats->source[k], stretch)) k++;
    if (k == stats->n_sources && k < SHARD_STATS_SOURCES) {
        char *name = xasprintf("%.*s", (int)stretch->len, stretch->name);
        stats->source[k] = (shard_stats_source_t){name, 0};
        stats->n_sources++;
        reading->first[k] = stretch->first;
    }
    if (k < SHARD_STATS_SOURCES) {
        stats->source[k].records += stretch->records;
        if (stretch->first < reading->first[k]) reading->first[k] = stretch->first;
    }
    pthread_mutex_unlock(&reading->lock);
}

/* Makes the stretch one record longer, or begins another one. */
static void extend_stretch(reading_t *reading, stretch_t *stretch, const token_record_t *record,
                           uint64_t i) {
    bool same = stretch->records && stretch->len == record->source_len &&
                !memcmp(stretch->name, record->source, stretch->len);
    if (!same) {
        add_stretch(reading, stretch);
        *stretch = (stretch_t){record->source, record->source_len, i, 0};
    }
    stretch->records++;
}

/* Room for the counts by task. */
static void make_counts(shard_stats_t *stats, const tasks_t *tasks) {
    stats->task_records = xcalloc(tasks->n, sizeof *stats->task_records);
    stats->task_steps = xcalloc(tasks->n, sizeof *stats->task_steps);
    stats->slot_steps = xcalloc(tasks->n, sizeof *stats->slot_steps);
}

/* Timesteps that have the slot. */
static uint64_t steps_of(const slot_data_t *data, slot_kind_t kind, uint64_t T) {
    uint64_t n = 0;
    if (!data->codes && !data->pixels && !data->text && !data->vector && !data->discrete) return 0;
    if (kind == SLOT_TEXT) return 1;
    if (!data->present) return T;
    for (uint64_t t = 0; t < T; t++) n += data->present[t];
    return n;
}

/* The codes of an image slot; rows of missing images are passed over. */
static void add_codes(const slot_data_t *data, uint64_t T, uint64_t *histogram,
                      shard_stats_t *sum) {
    size_t grid = (size_t)data->grid_h * data->grid_w;
    for (uint64_t t = 0; t < T; t++) {
        if (data->present && !data->present[t]) continue;
        for (size_t k = 0; k < grid; k++) histogram[data->codes[t * grid + k]]++;
        sum->image_tokens += grid;
        sum->pixels += (uint64_t)data->image_h * data->image_w;
    }
}

static void add_record(const tasks_t *tasks, const token_record_t *record, uint64_t *histogram,
                       shard_stats_t *sum) {
    const task_t *task = &tasks->v[record->task];
    for (uint32_t s = 0; s < task->n_slots; s++) {
        const slot_data_t *data = &record->slot[s];
        if (data->codes) add_codes(data, record->T, histogram, sum);
        sum->kept_bytes += data->pixels_bytes;
        sum->slot_steps[record->task][s] += steps_of(data, task->slot[s].kind, record->T);
    }
    sum->kinds[task->kind]++;
    sum->task_records[record->task]++;
    sum->task_steps[record->task] += record->T;
}

static void add_sums(shard_stats_t *stats, const shard_stats_t *sum, const tasks_t *tasks) {
    for (int k = 0; k < RECORD_KINDS; k++) stats->kinds[k] += sum->kinds[k];
    stats->image_tokens += sum->image_tokens;
    stats->pixels += sum->pixels;
    stats->kept_bytes += sum->kept_bytes;
    for (size_t i = 0; i < tasks->n; i++) {
        stats->task_records[i] += sum->task_records[i];
        stats->task_steps[i] += sum->task_steps[i];
        for (size_t s = 0; s < TASK_SLOTS; s++) stats->slot_steps[i][s] += sum->slot_steps[i][s];
    }
}

/* Sums of a block of records first, so that the lock is taken a few times and not per record. */
static void read_block(void *ctx, size_t block) {
    reading_t *reading = ctx;
    const shard_meta_t *meta = token_db_meta(reading->shard);
    size_t first = block * BLOCK, end = min_size(first + BLOCK, token_db_count(reading->shard));
    uint64_t *histogram = reading->histogram + (size_t)pool_thread_id() * meta->codes;
    shard_stats_t sum = {0};
    stretch_t stretch = {0};
    make_counts(&sum, &meta->tasks);
    for (size_t i = first; i < end; i++) {
        token_record_t record;
        reason_t why;
        if (token_db_get(reading->shard, i, &record, &why)) die(RC_DATA, "%s", why.text);
        add_record(&meta->tasks, &record, histogram, &sum);
        extend_stretch(reading, &stretch, &record, i);
        token_record_release(&record);
    }
    add_stretch(reading, &stretch);
    pthread_mutex_lock(&reading->lock);
    add_sums(reading->stats, &sum, &meta->tasks);
    pthread_mutex_unlock(&reading->lock);
    shard_stats_release(&sum);
}

static void swap_sources(reading_t *reading, size_t a, size_t b) {
    shard_stats_source_t source = reading->stats->source[a];
    uint64_t first = reading->first[a];
    reading->stats->source[a] = reading->stats->source[b];
    reading->first[a] = reading->first[b];
    reading->stats->source[b] = source;
    reading->first[b] = first;
}

/* By the record where each was met first, whichever thread met it. */
static void sort_sources(reading_t *reading) {
    for (size_t i = 1; i < reading->stats->n_sources; i++)
        for (size_t k = i; k > 0 && reading->first[k] < reading->first[k - 1]; k--)
            swap_sources(reading, k, k - 1);
}

static bool is_on_top(const shard_stats_t *stats, uint32_t code) {
    for (size_t i = 0; i < stats->n_top; i++)
        if (stats->top[i] == code) return true;
    return false;
}

/* The most frequent codes; of equals, the smaller number first. */
static void find_top(shard_stats_t *stats, uint32_t codes) {
    size_t n = min_size(SHARD_STATS_TOP, stats->used);
    for (stats->n_top = 0; stats->n_top < n; stats->n_top++) {
        uint32_t best = 0;
        uint64_t most = 0;
        for (uint32_t code = 0; code < codes; code++) {
            if (stats->histogram[code] <= most || is_on_top(stats, code)) continue;
            most = stats->histogram[code];
            best = code;
        }
        stats->top[stats->n_top] = best;
    }
}

/* Codes used, and the perplexity: exp of the entropy. */
static void measure_use(shard_stats_t *stats, uint32_t codes) {
    double entropy = 0;
    for (uint32_t k = 0; k < codes; k++) {
        if (!stats->histogram[k]) continue;
        double p = (double)stats->histogram[k] / (double)stats->image_tokens;
        entropy -= p * log(p);
        stats->used++;
    }
    if (stats->image_tokens) stats->perplexity = exp(entropy);
}

void shard_stats_read(shard_stats_t *stats, token_db_t *shard) {
    uint32_t codes = token_db_meta(shard)->codes;
    size_t threads = (size_t)pool_threads();
    *stats = (shard_stats_t){.histogram = xcalloc(codes + 1, sizeof *stats->histogram),
                             .perplexity = NAN};
    make_counts(stats, &token_db_meta(shard)->tasks);
    reading_t reading = {.shard = shard,
                         .stats = stats,
                         .histogram = xcalloc(threads * codes + 1, sizeof *reading.histogram)};
    pthread_mutex_init(&reading.lock, NULL);
    parallel_for(ceil_div(token_db_count(shard), BLOCK), read_block, &reading);
    pthread_mutex_destroy(&reading.lock);
    for (size_t i = 0; i < threads * codes; i++)
        stats->histogram[i % codes] += reading.histogram[i];
    free(reading.histogram);
    measure_use(stats, codes);
    find_top(stats, codes);
    sort_sources(&reading);
}

void shard_stats_release(shard_stats_t *stats) {
    for (size_t i = 0; i < stats->n_sources; i++) free(stats->source[i].name);
    free(stats->histogram);
    free(stats->task_records);
    free(stats->task_steps);
    free(stats->slot_steps);
}
