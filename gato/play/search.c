/* search.c - see search.h. */
#include "gato/play/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How much of the former shares of a discrete column stays: nothing is ruled out by one iteration.
 */
static const double KEPT = 0.1;
/* How much of them the next search begins with, beside equal ones. */
static const double SHIFTED = 0.5;

/* A column of the body's actions. */
typedef struct {
    bool is_discrete;
    float low, high;
    uint32_t range;
    size_t at; /* in env_action_t.vector or .discrete */
} body_column_t;

typedef struct {
    double mean;
    size_t i;
} rank_t;

struct search {
    search_opts_t o;
    body_column_t *column;
    size_t n_columns;
    search_column_t *from;  /* [horizon, n_columns] */
    env_action_t *sequence; /* [candidates, horizon] */
    double *distance;       /* [candidates, horizon] */
    double *mean;           /* [candidates] of distance */
    rank_t *rank;           /* [candidates] */
    search_found_t found;
};

static search_column_t *from(const search_t *s, size_t step, size_t column) {
    return &s->from[step * s->n_columns + column];
}

const search_column_t *search_column(const search_t *s, size_t step, size_t column) {
    return from(s, step, column);
}

static bool is_bounded(const body_column_t *c) {
    return isfinite(c->low) && isfinite(c->high);
}

static double first_deviation(const body_column_t *c) {
    return is_bounded(c) ? ((double)c->high - (double)c->low) / 2 : 1;
}

static void spread(search_column_t *d, const body_column_t *c) {
    d->mean = is_bounded(c) ? ((double)c->low + (double)c->high) / 2 : 0;
    d->deviation = first_deviation(c);
    for (uint32_t v = 0; v < c->range; v++) d->share[v] = 1.0 / c->range;
}

void search_begin(search_t *s) {
    for (size_t h = 0; h < s->o.horizon; h++)
        for (size_t c = 0; c < s->n_columns; c++) spread(from(s, h, c), &s->column[c]);
}

static void list_columns(search_t *s, const task_t *body) {
    size_t at[2] = {0};
    s->column = xcalloc(env_n_vector(body) + env_n_discrete(body) + 1, sizeof *s->column);
    for (uint32_t k = 0; k < body->n_slots; k++) {
        const slot_t *slot = &body->slot[k];
        if (slot->side != SIDE_ACTED) continue;
        for (uint32_t i = 0; i < slot->width; i++) {
            body_column_t *c = &s->column[s->n_columns++];
            c->is_discrete = slot->kind == SLOT_DISCRETE;
            c->at = at[c->is_discrete]++;
            c->range = c->is_discrete ? slot->range[i] : 0;
            c->low = c->is_discrete ? 0 : slot->low[i];
            c->high = c->is_discrete ? 0 : slot->high[i];
        }
    }
}

search_t *search_new(const task_t *body, const search_opts_t *o, reason_t *why) {
    if (o->candidates < 2 || o->horizon < 1 || o->iterations < 1 || o->elite < 1 ||
        o->elite > o->candidates || o->execute < 1 || o->execute > o->horizon ||
        !(o->smooth >= 0 && o->smooth < 1)) {
        reason_set(why, "a plan needs 2 candidates, a horizon, an iteration, an elite of 1 to as "
                        "many as there are candidates, and 1 to as many executed actions as the "
                        "horizon has, and a correlation of 0 to below 1");
        return NULL;
    }
    search_t *s = NEW(search_t);
    *s = (search_t){.o = *o};
    list_columns(s, body);
    s->from = xcalloc(o->horizon * s->n_columns + 1, sizeof *s->from);
    for (size_t h = 0; h < o->horizon; h++)
        for (size_t c = 0; c < s->n_columns; c++)
            if (s->column[c].is_discrete)
                from(s, h, c)->share = xcalloc(s->column[c].range + 1, sizeof(double));
    s->sequence = xcalloc(o->candidates * o->horizon, sizeof *s->sequence);
    s->distance = xcalloc(o->candidates * o->horizon, sizeof *s->distance);
    s->mean = xcalloc(o->candidates, sizeof *s->mean);
    s->rank = xcalloc(o->candidates, sizeof *s->rank);
    s->found.action = xcalloc(o->horizon, sizeof *s->found.action);
    s->found.distance = xcalloc(o->horizon, sizeof *s->found.distance);
    search_begin(s);
    return s;
}

void search_free(search_t *s) {
    if (!s) return;
    for (size_t i = 0; i < s->o.horizon * s->n_columns; i++) free(s->from[i].share);
    free(s->from);
    free(s->column);
    free(s->sequence);
    free(s->distance);
    free(s->mean);
    free(s->rank);
    free(s->found.action);
    free(s->found.distance);
    free(s);
}

/* ---- drawing ---- */

/* The normal number of a step behind that of the step before it; all have variance 1. */
static double next_normal(double smooth, double last, size_t step, double drawn) {
    return step ? smooth * last + sqrt(1 - smooth * smooth) * drawn : drawn;
}

static void put(env_action_t *a, const body_column_t *c, const search_column_t *d, double normal,
                rng_t r, uint64_t i, bool likeliest) {
    if (!c->is_discrete) {
        double x = d->mean + (likeliest ? 0 : d->deviation * normal);
        a->vector[c->at] = fmaxf(c->low, fminf(c->high, (float)x));
        return;
    }
    double u = rng_uniform64(r, i), at = d->share[0];
    uint32_t v = 0, best = 0;
    for (uint32_t k = 1; k < c->range; k++)
        if (d->share[k] > d->share[best]) best = k;
    while (v + 1 < c->range && at <= u) {
        v++;
        at += d->share[v];
    }
    a->discrete[c->at] = likeliest ? best : v;
}

const env_action_t *search_draw(search_t *s, rng_t draw) {
    size_t H = s->o.horizon, C = s->n_columns;
    double *normal = xcalloc(C + 1, sizeof *normal);
    for (size_t i = 0; i < s->o.candidates; i++)
        for (size_t h = 0; h < H; h++) {
            env_action_t *a = &s->sequence[i * H + h];
            *a = (env_action_t){0};
            for (size_t c = 0; c < C; c++) {
                uint64_t at = (i * H + h) * C + c;
                normal[c] = next_normal(s->o.smooth, normal[c], h, (double)rng_normal(draw, at));
                put(a, &s->column[c], from(s, h, c), normal[c], draw, at, i == 0);
            }
        }
    free(normal);
    return s->sequence;
}

void search_middle(const search_t *s, env_action_t *action) {
    *action = (env_action_t){0};
    for (size_t c = 0; c < s->n_columns; c++) {
        const body_column_t *column = &s->column[c];
        if (!column->is_discrete && is_bounded(column))
            action->vector[column->at] = (column->low + column->high) / 2;
    }
}

/* ---- learning ---- */

static int nearest_first(const void *pa, const void *pb) {
    const rank_t *a = pa, *b = pb;
    if (a->mean != b->mean) return a->mean < b->mean ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

/* Mean, deviation and shares of the elite, in one column of one step. */
static void learn(search_t *s, size_t h, size_t column) {
    const body_column_t *c = &s->column[column];
    search_column_t *d = from(s, h, column);
    double n = (double)s->o.elite, sum = 0, squares = 0;
    for (uint32_t v = 0; v < c->range; v++) d->share[v] *= KEPT;
    for (size_t e = 0; e < s->o.elite; e++) {
        const env_action_t *a = &s->sequence[s->rank[e].i * s->o.horizon + h];
        double x = c->is_discrete ? 0 : (double)a->vector[c->at];
        sum += x;
        squares += x * x;
        if (c->is_discrete) d->share[a->discrete[c->at]] += (1 - KEPT) / n;
    }
    d->mean = sum / n;
    d->deviation = sqrt(fmax(0, squares / n - d->mean * d->mean));
}

size_t search_learn(search_t *s, const double *mean) {
    for (size_t i = 0; i < s->o.candidates; i++) s->rank[i] = (rank_t){mean[i], i};
    qsort(s->rank, s->o.candidates, sizeof *s->rank, nearest_first);
    for (size_t h = 0; h < s->o.horizon; h++)
        for (size_t c = 0; c < s->n_columns; c++) learn(s, h, c);
    return s->rank[0].i;
}

void search_shift(search_t *s, size_t steps) {
    size_t H = s->o.horizon;
    for (size_t c = 0; c < s->n_columns; c++)
        for (size_t h = 0; h < H; h++) {
            const body_column_t *column = &s->column[c];
            search_column_t *to = from(s, h, c);
            const search_column_t *later = from(s, h + steps < H ? h + steps : H - 1, c);
            for (uint32_t v = 0; v < column->range; v++)
                to->share[v] = SHIFTED * later->share[v] + (1 - SHIFTED) / column->range;
            to->mean = later->mean;
            to->deviation = first_deviation(column);
        }
}

const search_found_t *search_run(search_t *s, rng_t draw, search_measure_t measure, void *ctx,
                                 reason_t *why) {
    size_t H = s->o.horizon;
    s->found.mean = INFINITY;
    for (size_t i = 0; i < s->o.iterations; i++) {
        search_draw(s, rng_fold(draw, i));
        if (measure(ctx, s->sequence, s->distance, why)) return NULL;
        for (size_t k = 0; k < s->o.candidates; k++) {
            double sum = 0;
            for (size_t h = 0; h < H; h++) sum += s->distance[k * H + h];
            s->mean[k] = sum / (double)H;
        }
        size_t best = search_learn(s, s->mean);
        if (s->mean[best] >= s->found.mean) continue;
        s->found.mean = s->mean[best];
        memcpy(s->found.action, s->sequence + best * H, H * sizeof *s->sequence);
        memcpy(s->found.distance, s->distance + best * H, H * sizeof *s->distance);
    }
    return &s->found;
}
