/* search.h - the cross-entropy method (Rubinstein & Kroese 2004) over sequences of actions, for any
 * distance from a goal: it knows bodies and random numbers, and no model.
 *
 * An iteration draws sequences, lets the caller measure them, and takes the mean and deviation of
 * the nearest ones (their shares, in discrete columns) to draw the next from. One iteration is
 * random shooting.
 */
#ifndef GATO_SEARCH_H
#define GATO_SEARCH_H

#include "common/base/rng.h"
#include "gato/env/env.h"

typedef struct {
    size_t candidates; /* sequences of an iteration */
    size_t horizon;    /* actions of a sequence */
    size_t iterations;
    size_t elite;   /* the nearest sequences, which the next iteration learns from */
    size_t execute; /* actions that are done before the next search; 1 .. horizon */
    /* Correlation of what is drawn for a number from one step of a sequence to the next, 0 to below
     * 1: independent draws cancel over a horizon, and what has inertia trembles in its place
     * (colored noise, Pinneri et al. 2020). */
    double smooth;
} search_opts_t;

/* What is drawn for one column in one step: a clamped normal number, or shares of values. */
typedef struct {
    double mean, deviation;
    double *share; /* [range] of a discrete column, else NULL */
} search_column_t;

/* The nearest sequence of all iterations; valid until the next run. */
typedef struct {
    env_action_t *action; /* [horizon] */
    double *distance;     /* [horizon] from the goal, after each action */
    double mean;          /* of them: what sequences are ranked by */
} search_found_t;

/* Writes the distance of every sequence from the goal after each of its actions, [candidates,
 * horizon]. sequence: the same shape. 0, or -1 with a reason. */
typedef int (*search_measure_t)(void *ctx, const env_action_t *sequence, double *distance,
                                reason_t *why);

typedef struct search search_t;

/* Copies what it needs of the body. NULL with a reason: options out of range. search_free. */
search_t *search_new(const task_t *body, const search_opts_t *o, reason_t *why);
void search_free(search_t *s);
/* Forgets all that was found: the middle of every column, deviations of half its width (0 and 1
 * where a bound is infinite), equal shares. */
void search_begin(search_t *s);
/* NULL with the reason of `measure`. draw: the random key of this search. */
const search_found_t *search_run(search_t *s, rng_t draw, search_measure_t measure, void *ctx,
                                 reason_t *why);
/* Steps have passed: the next search begins with what was learned of the steps behind them, the
 * last one repeated. Deviations are as wide as at first, shares halfway to equal ones. */
void search_shift(search_t *s, size_t steps);
/* The middle of every column. */
void search_middle(const search_t *s, env_action_t *action);

/* ---- the parts of a run ---- */

/* Draws the candidates, [candidates, horizon]; the first is the likeliest sequence. */
const env_action_t *search_draw(search_t *s, rng_t draw);
/* Takes the mean distance [candidates] of those that were drawn: the mean and deviation of the
 * elite replace what was learned before; of its shares a tenth stays. Ties: the earlier candidate
 * is nearer. Returns the number of the nearest. */
size_t search_learn(search_t *s, const double *mean);
/* What a step's column is drawn from; columns: those of vectors and discrete slots in the order of
 * the body's slots. */
const search_column_t *search_column(const search_t *s, size_t step, size_t column);

#endif
