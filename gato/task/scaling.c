/* scaling.c - see scaling.h.
 *
 * Finds exact quantiles without keeping the numbers. A float's bits, mapped to rise with the float,
 * are three digits of 11, 11 and 10 bits. Each pass over the data counts the next digit of those
 * numbers that share the leading digits of the wanted one.
 */
#include "gato/task/scaling.h"

#include "common/base/pool.h"
#include "common/io/token_db/bounds.h"
#include "common/io/token_db/leaves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const scaling_names[SCALINGS] = {"declared", "quantiles", "extremes"};

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

struct scaling_sink {
    column_t *column;
    int pass; /* -1: least and greatest; then the digits */
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
} pass_t;

static void feed_one(void *ctx, size_t i) {
    pass_t *p = ctx;
    p->feed(p->ctx, i, p->sink);
}

/* Could other bounds than the declared ones apply? */
static bool in_question(const column_t *c, float low, float high) {
    if (!c->n) return false;
    if (bounds_wide(low, high)) return true;
    double range = (double)value_of(c->greatest) - (double)value_of(c->least);
    return range > 0 && range < FILLED * ((double)high - (double)low);
}

static void choose(gato_facts_t *f, uint32_t k, const column_t *c) {
    float low = f->declared_low[k], high = f->declared_high[k];
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
    if (low == high ? lower == low && upper == high : used) return;
    f->action_low[k] = lower;
    f->action_high[k] = upper;
    f->action_scaling[k] = (uint8_t)how;
}

void scaling_choose(gato_facts_t *f, size_t records, scaling_feed_fn feed, void *ctx) {
    uint32_t n = f->n_actions, looked_at = 0;
    column_t *column = xcalloc(n, sizeof *column);
    scaling_sink_t sink = {column, -1};
    pass_t pass = {feed, ctx, &sink};
    for (uint32_t k = 0; k < n; k++) column[k].least = UINT32_MAX;
    if (n) parallel_for(records, feed_one, &pass);
    for (uint32_t k = 0; k < n; k++) {
        if (!in_question(&column[k], f->declared_low[k], f->declared_high[k])) continue;
        begin_ranks(&column[k]);
        looked_at++;
    }
    int passes = looked_at ? PASSES : 0;
    for (sink.pass = 0; sink.pass < passes; sink.pass++) {
        parallel_for(records, feed_one, &pass);
        for (uint32_t k = 0; k < n; k++)
            if (column[k].rank)
                for (int r = 0; r < RANKS; r++) take_digit(&column[k].rank[r], sink.pass);
    }
    for (uint32_t k = 0; k < n; k++) {
        if (column[k].rank) choose(f, k, &column[k]);
        free(column[k].rank);
    }
    free(column);
}

void scaling_report(const gato_facts_t *f) {
    leaves_t names = {0};
    size_t reported = 0;
    char name[300];
    if (f->leaves && leaves_parse(&names, f->leaves, NULL)) BUG("leaves that were never checked");
    for (uint32_t k = 0; k < f->n_actions; k++) {
        if (f->action_scaling[k] == SCALING_DECLARED || reported++ >= REPORTED) continue;
        leaves_column(&names, LEAF_ACTION, LEAF_CONTINUOUS, k, name);
        bool named = *name && *name != '['; /* "[k]" only repeats the number */
        bool open = !isfinite(f->declared_low[k]) || !isfinite(f->declared_high[k]);
        warn("action %u%s%s%s: its bounds [%g, %g] %s: scaled by %s, [%g, %g]", k,
             named ? " '" : "", named ? name : "", named ? "'" : "", (double)f->declared_low[k],
             (double)f->declared_high[k],
             open                                        ? "are open"
             : f->declared_low[k] == f->declared_high[k] ? "are one number"
                                                         : "are over a thousand times as wide as "
                                                           "its numbers",
             f->action_scaling[k] == SCALING_QUANTILES
                 ? "the quantiles 1 % and 99 % of the training side"
                 : "the extremes of the training side (its quantiles are equal)",
             (double)f->action_low[k], (double)f->action_high[k]);
    }
    if (reported > REPORTED)
        warn("%zu more actions are not scaled as declared: 'gato info' shows them",
             reported - REPORTED);
    leaves_release(&names);
}

void scaling_adopt(gato_facts_t *f, const gato_facts_t *policy) {
    if (!f->n_actions || f->n_actions != policy->n_actions || !policy->action_low) return;
    memcpy(f->action_low, policy->action_low, f->n_actions * sizeof(float));
    memcpy(f->action_high, policy->action_high, f->n_actions * sizeof(float));
    memcpy(f->action_scaling, policy->action_scaling, f->n_actions);
}

/* ---- from a shard's columns to the model's ---- */

void scaling_map_init(scaling_map_t *m, const shard_meta_t *shard, const gato_facts_t *model) {
    *m = (scaling_map_t){.n = shard->n_actions, .same = true};
    m->column = xcalloc(m->n, sizeof *m->column);
    for (uint32_t k = 0; k < m->n; k++) {
        scaling_column_t *c = &m->column[k];
        *c = (scaling_column_t){.low = shard->action_low[k],
                                .high = shard->action_high[k],
                                .to_low = model->action_low[k],
                                .to_high = model->action_high[k],
                                .raw = shard_action_raw(shard, k)};
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

float *scaling_map(const scaling_map_t *m, const float *stored, size_t T) {
    if (!stored || m->same) return NULL;
    float *v = xmalloc(T * m->n * sizeof *v);
    for (size_t i = 0; i < T * m->n; i++) {
        const scaling_column_t *c = &m->column[i % m->n];
        v[i] = stored[i];
        if (!c->same) v[i] = bounds_scale(scaling_units(c, stored[i]), c->to_low, c->to_high);
    }
    return v;
}
