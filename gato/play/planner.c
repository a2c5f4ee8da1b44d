/* planner.c - see planner.h. */
#include "gato/play/planner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How much of the former shares of a discrete column stays: nothing is ruled out by one iteration.
 */
static const double KEPT = 0.1;

/* A column of the body's actions. */
typedef struct {
    bool is_discrete;
    float low, high;
    uint32_t range;
    size_t at; /* in env_action_t.vector or .discrete */
} column_plan_t;

/* What is drawn for one column in one step: a normal number, or shares of values. */
typedef struct {
    double mean, deviation;
    double *share; /* [range] */
} draw_from_t;

typedef struct {
    double distance;
    size_t i;
} rank_t;

struct planner {
    player_t *player;
    uint32_t task;
    planner_opts_t o;
    column_plan_t *column;
    size_t n_columns;
    draw_from_t *from;                               /* [horizon][n_columns] */
    env_action_t *sequence;                          /* [candidates][horizon] */
    rank_t *rank;                                    /* [candidates] */
    uint32_t *goal[TASK_SLOTS], *dreamt[TASK_SLOTS]; /* goal: NULL = none; dreamt [candidates, n] */
    tokenizer_grid_t grid[TASK_SLOTS];               /* of a goal */
    size_t cells[TASK_SLOTS];
};

static void spread(draw_from_t *d, const column_plan_t *c) {
    bool bounded = isfinite(c->low) && isfinite(c->high);
    d->mean = bounded ? ((double)c->low + (double)c->high) / 2 : 0;
    d->deviation = bounded ? ((double)c->high - (double)c->low) / 2 : 1;
    for (uint32_t i = 0; i < c->range; i++) d->share[i] = 1.0 / c->range;
}

static draw_from_t *from(const planner_t *plan, size_t step, size_t column) {
    return &plan->from[step * plan->n_columns + column];
}

void planner_begin(planner_t *plan) {
    for (size_t h = 0; h < plan->o.horizon; h++)
        for (size_t c = 0; c < plan->n_columns; c++) spread(from(plan, h, c), &plan->column[c]);
    for (uint32_t k = 0; k < TASK_SLOTS; k++) {
        free(plan->goal[k]);
        free(plan->dreamt[k]);
        plan->goal[k] = plan->dreamt[k] = NULL;
    }
}

static void list_columns(planner_t *plan, const task_t *body) {
    size_t at[2] = {0};
    plan->column = xcalloc(env_n_vector(body) + env_n_discrete(body) + 1, sizeof *plan->column);
    for (uint32_t k = 0; k < body->n_slots; k++) {
        const slot_t *slot = &body->slot[k];
        if (slot->side != SIDE_ACTED) continue;
        for (uint32_t i = 0; i < slot->width; i++) {
            column_plan_t *c = &plan->column[plan->n_columns++];
            c->is_discrete = slot->kind == SLOT_DISCRETE;
            c->at = at[c->is_discrete]++;
            c->range = c->is_discrete ? slot->range[i] : 0;
            c->low = c->is_discrete ? 0 : slot->low[i];
            c->high = c->is_discrete ? 0 : slot->high[i];
        }
    }
}

planner_t *planner_new(player_t *p, uint32_t task, const task_t *body, const planner_opts_t *o,
                       reason_t *why) {
    if (o->candidates < 2 || o->horizon < 1 || o->iterations < 1 || o->elite < 1 ||
        o->elite > o->candidates) {
        reason_set(why, "a plan needs 2 candidates, a horizon, an iteration and an elite of 1 to "
                        "as many as there are candidates");
        return NULL;
    }
    if (player_dreams(p, task, why)) return NULL;
    planner_t *plan = NEW(planner_t);
    *plan = (planner_t){.player = p, .task = task, .o = *o};
    list_columns(plan, body);
    plan->from = xcalloc(o->horizon * plan->n_columns + 1, sizeof *plan->from);
    for (size_t h = 0; h < o->horizon; h++)
        for (size_t c = 0; c < plan->n_columns; c++)
            from(plan, h, c)->share = xcalloc(plan->column[c].range + 1, sizeof(double));
    plan->sequence = xcalloc(o->candidates * o->horizon, sizeof *plan->sequence);
    plan->rank = xcalloc(o->candidates, sizeof *plan->rank);
    planner_begin(plan);
    return plan;
}

void planner_free(planner_t *plan) {
    if (!plan) return;
    planner_begin(plan);
    for (size_t i = 0; i < plan->o.horizon * plan->n_columns; i++) free(plan->from[i].share);
    free(plan->from);
    free(plan->column);
    free(plan->sequence);
    free(plan->rank);
    free(plan);
}

int planner_goal(planner_t *plan, uint32_t slot, const uint8_t *rgb, size_t w, size_t h,
                 reason_t *why) {
    tokenizer_grid_t grid;
    uint32_t *codes = player_codes(plan->player, plan->task, slot, rgb, w, h, &grid, why);
    if (!codes) return -1;
    free(plan->goal[slot]);
    free(plan->dreamt[slot]);
    plan->goal[slot] = codes;
    plan->grid[slot] = grid;
    plan->cells[slot] = grid.h * grid.w;
    plan->dreamt[slot] =
        xcalloc(plan->o.candidates * plan->cells[slot], sizeof *plan->dreamt[slot]);
    return 0;
}

/* ---- drawing ---- */

static void put(env_action_t *a, const column_plan_t *c, const draw_from_t *d, rng_t r, uint64_t i,
                bool likeliest) {
    if (!c->is_discrete) {
        double x = d->mean + (likeliest ? 0 : d->deviation * (double)rng_normal(r, i));
        a->vector[c->at] = fmaxf(c->low, fminf(c->high, (float)x));
        return;
    }
    double u = rng_uniform64(r, i), at = 0;
    uint32_t v = 0, best = 0;
    for (uint32_t k = 1; k < c->range; k++)
        if (d->share[k] > d->share[best]) best = k;
    for (at = d->share[0]; v + 1 < c->range && at <= u; at += d->share[v]) v++;
    a->discrete[c->at] = likeliest ? best : v;
}

void planner_placeholder(const planner_t *plan, env_action_t *action) {
    *action = (env_action_t){0};
    for (size_t c = 0; c < plan->n_columns; c++) {
        const column_plan_t *column = &plan->column[c];
        if (!column->is_discrete && isfinite(column->low) && isfinite(column->high))
            action->vector[column->at] = (column->low + column->high) / 2;
    }
}

/* The first candidate is the plan itself. */
static void draw_all(planner_t *plan, rng_t r) {
    size_t H = plan->o.horizon, C = plan->n_columns;
    for (size_t i = 0; i < plan->o.candidates; i++)
        for (size_t h = 0; h < H; h++) {
            env_action_t *a = &plan->sequence[i * H + h];
            *a = (env_action_t){0};
            for (size_t c = 0; c < C; c++)
                put(a, &plan->column[c], from(plan, h, c), r, (i * H + h) * C + c, i == 0);
        }
}

/* ---- dreaming ---- */

/* Candidate i dreams in lane 1 + i; its distance from the goal, summed over the horizon. */
static int dream_all(planner_t *plan, reason_t *why) {
    size_t N = plan->o.candidates, H = plan->o.horizon;
    static const sampler_t likeliest = {.top_p = 1};
    player_dream_t *d = xcalloc(N, sizeof *d);
    int rc = 0;
    for (size_t i = 0; i < N && !rc; i++) {
        player_fork(plan->player, 0, 1 + i);
        rc = player_redo(plan->player, 1 + i, &plan->sequence[i * H], why);
        plan->rank[i] = (rank_t){.i = i};
    }
    for (size_t h = 1; h <= H && !rc; h++) {
        for (size_t i = 0; i < N; i++) {
            d[i] = (player_dream_t){.lane = 1 + i,
                                    .given = &plan->sequence[i * H + (h < H ? h : H - 1)]};
            for (uint32_t k = 0; k < TASK_SLOTS; k++)
                if (plan->goal[k]) d[i].codes[k] = plan->dreamt[k] + i * plan->cells[k];
        }
        rc = player_dream(plan->player, d, N, &likeliest, why);
        for (size_t i = 0; i < N && !rc; i++)
            for (uint32_t k = 0; k < TASK_SLOTS; k++)
                if (plan->goal[k])
                    plan->rank[i].distance += player_distance(plan->player, d[i].codes[k],
                                                              plan->goal[k], plan->cells[k]) /
                                              (double)H;
    }
    free(d);
    return rc;
}

static int nearest_first(const void *pa, const void *pb) {
    const rank_t *a = pa, *b = pb;
    if (a->distance != b->distance) return a->distance < b->distance ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

/* Mean, deviation and shares of the elite, in one column of one step. */
static void learn(planner_t *plan, size_t h, size_t column) {
    const column_plan_t *c = &plan->column[column];
    draw_from_t *d = from(plan, h, column);
    double n = (double)plan->o.elite, sum = 0, squares = 0;
    for (uint32_t v = 0; v < c->range; v++) d->share[v] *= KEPT;
    for (size_t e = 0; e < plan->o.elite; e++) {
        const env_action_t *a = &plan->sequence[plan->rank[e].i * plan->o.horizon + h];
        double x = c->is_discrete ? 0 : (double)a->vector[c->at];
        sum += x;
        squares += x * x;
        if (c->is_discrete) d->share[a->discrete[c->at]] += (1 - KEPT) / n;
    }
    d->mean = sum / n;
    d->deviation = sqrt(fmax(0, squares / n - d->mean * d->mean));
}

/* The next timestep's plan is the rest of this one, its deviations as wide as at first. */
static void shift(planner_t *plan) {
    size_t H = plan->o.horizon;
    for (size_t c = 0; c < plan->n_columns; c++)
        for (size_t h = 0; h < H; h++) {
            draw_from_t *d = from(plan, h, c);
            double mean = from(plan, h + 1 < H ? h + 1 : h, c)->mean;
            spread(d, &plan->column[c]);
            d->mean = mean;
        }
}

/* Are there goals, each as large as what the episode shows? 0, or -1 with a reason. */
static int check_goals(const planner_t *plan, reason_t *why) {
    bool any = false;
    for (uint32_t k = 0; k < TASK_SLOTS; k++) {
        if (!plan->goal[k]) continue;
        tokenizer_grid_t goal = plan->grid[k], seen = player_grid(plan->player, 0, k);
        any = true;
        if (goal.h != seen.h || goal.w != seen.w)
            return reason_set(why,
                              "the goal's image has %zu x %zu codes, and the episode's %zu x %zu",
                              goal.h, goal.w, seen.h, seen.w);
    }
    return any ? 0 : reason_set(why, "a plan needs a goal");
}

int planner_choose(planner_t *plan, rng_t draw, env_action_t *action, double *distance,
                   reason_t *why) {
    if (check_goals(plan, why)) return -1;
    *distance = INFINITY;
    for (size_t i = 0; i < plan->o.iterations; i++) {
        draw_all(plan, rng_fold(draw, i));
        if (dream_all(plan, why)) return -1;
        qsort(plan->rank, plan->o.candidates, sizeof *plan->rank, nearest_first);
        if (plan->rank[0].distance < *distance) {
            *distance = plan->rank[0].distance;
            *action = plan->sequence[plan->rank[0].i * plan->o.horizon];
        }
        for (size_t h = 0; h < plan->o.horizon; h++)
            for (size_t c = 0; c < plan->n_columns; c++) learn(plan, h, c);
    }
    shift(plan);
    return 0;
}
