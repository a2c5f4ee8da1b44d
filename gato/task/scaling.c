/* scaling.c - see scaling.h.
 *
 * Finds exact quantiles without keeping the numbers. A float's bits, mapped to rise with the float,
 * are three digits of 11, 11 and 10 bits. Each pass over the data counts the next digit of those
 * numbers that share the leading digits of the wanted one.
 */
#include "gato/task/scaling.h"

#include "common/base/pool.h"
#include "common/io/token_db/bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 2048, PASSES = 3, RANKS = 4, REPORTED = 8 };
static const unsigned shift_of[PASSES] = {21, 10, 0}, bits_of[PASSES] = {11, 11, 10};
static const double FILLED = 1e-3, LOWER = 0.01, UPPER = 0.99;

/* ---- order statistics ---- */

/* One wanted number: its rank among those that share its leading digits (prefix), and how often
 * each next digit occurs. */
typedef struct {
    uint64_t rank;
    uint32_t prefix;
    uint64_t count[DIGITS];
} rank_t;

typedef struct {
    uint64_t n;
    uint32_t least, greatest; /* keys */
    rank_t *rank;             /* [RANKS]; NULL for columns that need no quantiles */
} column_t;

enum { PASS_KEEP = PASSES };
struct scaling_sink {
    column_t *column;
    int pass;     /* -1: least and greatest; then the digits; PASS_KEEP: all numbers */
    float **kept; /* of each column, with room for all */
};

/* The float as an unsigned number of the same order. */
static uint32_t key_of(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key) {
    uint32_t bits = key >> 31 ? key & 0x7fffffffu : ~key;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Counts and extremes do not depend on the order in which threads add to them. */
static void put_end(column_t *c, uint32_t key) {
    uint32_t seen = __atomic_load_n(&c->least, __ATOMIC_RELAXED);
    while (key < seen && !__atomic_compare_exchange_n(&c->least, &seen, key, true, __ATOMIC_RELAXED,
                                                      __ATOMIC_RELAXED)) {
    }
    seen = __atomic_load_n(&c->greatest, __ATOMIC_RELAXED);
    while (key > seen && !__atomic_compare_exchange_n(&c->greatest, &seen, key, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    __atomic_fetch_add(&c->n, 1, __ATOMIC_RELAXED);
}

static void put_digit(column_t *c, int pass, uint32_t key) {
    unsigned shift = shift_of[pass], bits = bits_of[pass];
    uint32_t leading = pass ? key >> (shift + bits) : 0,
             digit = (key >> shift) & ((1u << bits) - 1);
    if (!c->rank) return;
    for (int r = 0; r < RANKS; r++)
        if (c->rank[r].prefix == leading)
            __atomic_fetch_add(&c->rank[r].count[digit], 1, __ATOMIC_RELAXED);
}

void scaling_put(scaling_sink_t *s, size_t column, float v) {
    if (s->pass < 0)
        put_end(&s->column[column], key_of(v));
    else if (s->pass == PASS_KEEP)
        s->kept[column][__atomic_fetch_add(&s->column[column].n, 1, __ATOMIC_RELAXED)] = v;
    else
        put_digit(&s->column[column], s->pass, key_of(v));
}

/* Finds the next digit of the wanted number in the counts of a pass. */
static void take_digit(rank_t *r, int pass) {
    uint32_t digit = 0;
    while (r->rank >= r->count[digit]) r->rank -= r->count[digit++];
    r->prefix = r->prefix << bits_of[pass] | digit;
    memset(r->count, 0, sizeof r->count);
}

/* The quantile q lies at place q * (n - 1): between the numbers at the places around it, by
 * proportion. */
static uint64_t place(const column_t *c, double q) {
    return (uint64_t)(q * (double)(c->n - 1));
}

static void begin_ranks(column_t *c) {
    c->rank = xcalloc(RANKS, sizeof *c->rank);
    uint64_t last = c->n - 1, low = place(c, LOWER), high = place(c, UPPER);
    c->rank[0].rank = low;
    c->rank[1].rank = low < last ? low + 1 : last;
    c->rank[2].rank = high;
    c->rank[3].rank = high < last ? high + 1 : last;
}

static double quantile(const column_t *c, double q, const rank_t *r) {
    double part = q * (double)(c->n - 1) - (double)place(c, q);
    double below = (double)value_of(r[0].prefix), above = (double)value_of(r[1].prefix);
    return below + part * (above - below);
}

/* ---- the choice ---- */

typedef struct {
    scaling_feed_fn feed;
    void *ctx;
    scaling_sink_t *sink;
    size_t stride; /* every so many-th record */
} pass_t;

static void feed_one(void *ctx, size_t i) {
    pass_t *p = ctx;
    p->feed(p->ctx, i * p->stride, p->sink);
}

static void feed_all(pass_t *p, size_t records) {
    parallel_for((records + p->stride - 1) / p->stride, feed_one, p);
}

/* Could other bounds than the declared ones apply? */
static bool in_question(const column_t *c, float low, float high) {
    if (!c->n) return false;
    if (bounds_wide(low, high)) return true;
    double range = (double)value_of(c->greatest) - (double)value_of(c->least);
    return range > 0 && range < FILLED * ((double)high - (double)low);
}

/* Takes quantiles or extremes for column k where they serve better than what is declared, or
 * always. */
static void choose(slot_t *slot, uint32_t k, const column_t *c, bool always) {
    float low = slot->low[k], high = slot->high[k];
    float least = value_of(c->least), greatest = value_of(c->greatest);
    float lower = (float)quantile(c, LOWER, c->rank),
          upper = (float)quantile(c, UPPER, c->rank + 2);
    scaling_t how = SCALING_QUANTILES;
    if (lower == upper && least < greatest) {
        lower = least;
        upper = greatest;
        how = SCALING_EXTREMES;
    }
    /* declared bounds that the numbers do fill stay */
    bool used = (double)upper - (double)lower >= FILLED * ((double)high - (double)low);
    if (low == high ? lower == low && upper == high : used && !always) return;
    if (always && lower == upper && isfinite(low) && isfinite(high)) return;
    slot->scale_low[k] = lower;
    slot->scale_high[k] = upper;
    slot->scaling[k] = (uint8_t)how;
}

/* Declared bounds; [-1,1] where they are infinite, until numbers tell more. */
static void begin_scales(slot_t *slot) {
    if (!slot->scale_low) slot->scale_low = xcalloc(slot->width, sizeof(float));
    if (!slot->scale_high) slot->scale_high = xcalloc(slot->width, sizeof(float));
    if (!slot->scaling) slot->scaling = xcalloc(slot->width, 1);
    for (uint32_t k = 0; k < slot->width; k++) {
        bool finite = isfinite(slot->low[k]) && isfinite(slot->high[k]);
        slot->scale_low[k] = finite ? slot->low[k] : -1;
        slot->scale_high[k] = finite ? slot->high[k] : 1;
        slot->scaling[k] = finite ? SCALING_DECLARED : SCALING_QUANTILES;
    }
}

static void choose_all(slot_t *slot, size_t records, scaling_feed_fn feed, void *ctx, bool always) {
    uint32_t n = slot->width, looked_at = 0;
    column_t *column = xcalloc(n, sizeof *column);
    scaling_sink_t sink = {column, -1, NULL};
    pass_t pass = {feed, ctx, &sink, 1};
    begin_scales(slot);
    for (uint32_t k = 0; k < n; k++) column[k].least = UINT32_MAX;
    feed_all(&pass, records);
    for (uint32_t k = 0; k < n; k++) {
        bool asked =
            always ? column[k].n > 0 : in_question(&column[k], slot->low[k], slot->high[k]);
        if (!asked) continue;
        begin_ranks(&column[k]);
        looked_at++;
    }
    int passes = looked_at ? PASSES : 0;
    for (sink.pass = 0; sink.pass < passes; sink.pass++) {
        feed_all(&pass, records);
        for (uint32_t k = 0; k < n; k++)
            if (column[k].rank)
                for (int r = 0; r < RANKS; r++) take_digit(&column[k].rank[r], sink.pass);
    }
    for (uint32_t k = 0; k < n; k++) {
        if (column[k].rank) choose(slot, k, &column[k], always);
        free(column[k].rank);
    }
    free(column);
}

void scaling_choose(slot_t *slot, size_t records, scaling_feed_fn feed, void *ctx) {
    choose_all(slot, records, feed, ctx, false);
}

void scaling_by_quantiles(slot_t *slot, size_t records, scaling_feed_fn feed, void *ctx) {
    choose_all(slot, records, feed, ctx, true);
}

/* ---- all numbers ---- */

static int by_key(const void *pa, const void *pb) {
    uint32_t a = key_of(*(const float *)pa), b = key_of(*(const float *)pb);
    return (a > b) - (a < b);
}

/* Counts the numbers of each column, one pass over the data. */
static size_t count_numbers(pass_t *p, size_t records, uint32_t columns) {
    size_t greatest = 0;
    for (uint32_t k = 0; k < columns; k++) p->sink->column[k] = (column_t){.least = UINT32_MAX};
    feed_all(p, records);
    for (uint32_t k = 0; k < columns; k++)
        if (p->sink->column[k].n > greatest) greatest = p->sink->column[k].n;
    return greatest;
}

/* As training sees it (scaling_map), but clamped. */
static float model_number(const slot_t *slot, uint32_t k, float units) {
    float v = bounds_scale(units, slot->scale_low[k], slot->scale_high[k]);
    return v < -1 ? -1 : v > 1 ? 1 : v;
}

void scaling_numbers(const slot_t *slot, size_t records, size_t most, scaling_feed_fn feed,
                     void *ctx, float **v, size_t *n) {
    uint32_t columns = slot->width;
    scaling_sink_t sink = {xcalloc(columns, sizeof *sink.column), -1, v};
    pass_t pass = {feed, ctx, &sink, 1};
    size_t all = count_numbers(&pass, records, columns);
    if (all > most) {
        pass.stride = (all + most - 1) / most;
        count_numbers(&pass, records, columns);
    }
    for (uint32_t k = 0; k < columns; k++) {
        v[k] = xmalloc((sink.column[k].n + 1) * sizeof *v[k]);
        sink.column[k].n = 0;
    }
    sink.pass = PASS_KEEP;
    feed_all(&pass, records);
    for (uint32_t k = 0; k < columns; k++) {
        n[k] = sink.column[k].n;
        for (size_t i = 0; i < n[k]; i++) v[k][i] = model_number(slot, k, v[k][i]);
        qsort(v[k], n[k], sizeof *v[k], by_key); /* the order of threads is gone */
    }
    free(sink.column);
}

void scaling_report(const char *task, const slot_t *slot) {
    size_t reported = 0;
    char name[TASK_NAME + 32];
    for (uint32_t k = 0; k < slot->width; k++) {
        if (slot->scaling[k] == SCALING_DECLARED || reported++ >= REPORTED) continue;
        float low = slot->low[k], high = slot->high[k];
        const char *fault = "are over a thousand times as wide as its numbers";
        if (low == high) fault = "are one number";
        if (!isfinite(low) || !isfinite(high)) fault = "are open";
        warn("task '%s', %s: its bounds [%g, %g] %s: scaled by %s, [%g, %g]", task,
             slot_column(slot, k, name), (double)low, (double)high, fault,
             slot->scaling[k] == SCALING_QUANTILES
                 ? "the quantiles 1 % and 99 % of the training side"
                 : "the extremes of the training side (its quantiles are equal)",
             (double)slot->scale_low[k], (double)slot->scale_high[k]);
    }
    if (reported > REPORTED)
        warn("task '%s': %zu more columns are not scaled as declared: 'gato info' shows them", task,
             reported - REPORTED);
}

/* ---- from a shard's columns to the model's ---- */

void scaling_map_init(scaling_map_t *m, const slot_t *shard, const slot_t *model) {
    if (shard->width != model->width || !model->scaling)
        BUG("slot '%s' cannot be scaled for '%s'", shard->name, model->name);
    *m = (scaling_map_t){.n = shard->width, .same = true};
    m->column = xcalloc(m->n, sizeof *m->column);
    for (uint32_t k = 0; k < m->n; k++) {
        scaling_column_t *c = &m->column[k];
        *c = (scaling_column_t){.low = shard->low[k],
                                .high = shard->high[k],
                                .to_low = model->scale_low[k],
                                .to_high = model->scale_high[k],
                                .raw = shard->raw[k] != 0};
        c->same = !c->raw && c->low == c->to_low && c->high == c->to_high;
        m->same = m->same && c->same;
    }
}

void scaling_map_release(scaling_map_t *m) {
    free(m->column);
    *m = (scaling_map_t){0};
}

float scaling_units(const scaling_column_t *c, float stored) {
    return c->raw ? stored : bounds_unscale(stored, c->low, c->high);
}

void scaling_map(const scaling_map_t *m, const float *stored, size_t T, float *scaled) {
    for (size_t i = 0; i < T * m->n; i++) {
        const scaling_column_t *c = &m->column[i % m->n];
        scaled[i] = stored[i];
        if (!c->same) scaled[i] = bounds_scale(scaling_units(c, stored[i]), c->to_low, c->to_high);
    }
}

void scaling_to_units(const slot_t *slot, const float *scaled, float *units) {
    for (uint32_t k = 0; k < slot->width; k++) {
        float v = scaled[k] < -1 ? -1 : scaled[k] > 1 ? 1 : scaled[k];
        units[k] = bounds_unscale(v, slot->scale_low[k], slot->scale_high[k]);
    }
}

void scaling_from_units(const slot_t *slot, const float *units, float *scaled) {
    for (uint32_t k = 0; k < slot->width; k++)
        scaled[k] = bounds_scale(units[k], slot->scale_low[k], slot->scale_high[k]);
}
