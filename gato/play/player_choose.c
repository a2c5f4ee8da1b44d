/* player_choose.c - actions from logits and regressed numbers (player.h). */
#include "gato/play/player_private.h"

#include "gato/task/scaling.h"

#include <math.h>

/* Draws from the softmax over n logits at a temperature, in double; u in [0,1). Temperature 0: the
 * likeliest. */
static uint32_t highest(const float *v, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return best;
}
static uint32_t draw_from(const float *logits, uint32_t n, double temperature, double u) {
    if (temperature <= 0) return highest(logits, n);
    double top = -INFINITY, sum = 0, at = 0;
    for (uint32_t i = 0; i < n; i++) top = fmax(top, (double)logits[i]);
    for (uint32_t i = 0; i < n; i++) sum += exp(((double)logits[i] - top) / temperature);
    for (uint32_t i = 0; i < n; i++) {
        at += exp(((double)logits[i] - top) / temperature) / sum;
        if (at > u) return i;
    }
    return n - 1;
}

static double expectation(const float *logits, uint32_t bins) {
    double top = -INFINITY, sum = 0, mean = 0;
    for (uint32_t i = 0; i < bins; i++) top = fmax(top, (double)logits[i]);
    for (uint32_t i = 0; i < bins; i++) {
        double e = exp((double)logits[i] - top);
        sum += e;
        mean += e * (double)tokens_bin_value(i, bins, false);
    }
    return mean / sum;
}

/* Takes column c, whose logits are there. */
static void take(const player_t *p, player_lane_t *lane, size_t i, rng_t draw) {
    const player_column_t *c = &p->body[lane->task].column[i];
    const float *logits = lane->logits + (c->lo - lane->logits_lo);
    uint32_t n = c->hi - c->lo, bin;
    decode_t decode = (decode_t)p->o.decode;
    if (decode == DECODE_SAMPLE)
        bin = draw_from(logits, n, p->o.temperature, rng_uniform64(draw, i));
    else
        bin = highest(logits, n);
    lane->id[i] = c->lo + bin;
    if (c->discrete) {
        lane->discrete[c->place] = bin;
    } else if (decode == DECODE_MEAN) {
        lane->scaled[i] = (float)expectation(logits, n);
        lane->id[i] = c->lo + tokens_bin(lane->scaled[i], n);
    } else {
        lane->scaled[i] = tokens_bin_value(bin, n, decode == DECODE_LEFT);
    }
}

/* Takes a given column: its slot's numbers are in lane->now. */
static void take_given(const player_t *p, player_lane_t *lane, size_t i) {
    const player_column_t *c = &p->body[lane->task].column[i];
    const slot_value_t *v = &lane->now.slot[c->slot];
    if (c->discrete) {
        lane->discrete[c->place] = v->discrete[c->k];
        lane->id[i] = c->lo + v->discrete[c->k];
    } else {
        lane->scaled[i] = v->vector[c->k];
        lane->id[i] = c->lo + tokens_bin(v->vector[c->k], c->hi - c->lo);
    }
}

bool player_choose(player_t *p, player_lane_t *lane, const player_turn_t *turn) {
    const player_body_t *body = &p->body[lane->task];
    for (; lane->column < body->columns; lane->column++) {
        size_t i = lane->column;
        const player_column_t *c = &body->column[i];
        if (turn->given) {
            take_given(p, lane, i);
        } else if (c->regressed) {
            lane->scaled[i] = fminf(1, fmaxf(-1, lane->value[i]));
            lane->id[i] = c->lo + tokens_bin(lane->scaled[i], c->hi - c->lo);
        } else {
            if (lane->n_pending) return true;
            take(p, lane, i, turn->draw);
        }
        lane->pending[lane->n_pending++] = lane->id[i];
    }
    return false;
}

void player_action(const player_t *p, const player_lane_t *lane, player_turn_t *turn) {
    if (turn->given) {
        turn->action = *turn->given;
        return;
    }
    const player_body_t *body = &p->body[lane->task];
    const task_t *task = &p->m->tasks.v[lane->task];
    turn->action = (env_action_t){{0}, {0}};
    for (size_t i = 0; i < body->columns; i++) {
        const player_column_t *c = &body->column[i];
        if (c->discrete)
            turn->action.discrete[c->place] = lane->discrete[c->place];
        else if (c->k == 0)
            scaling_to_units(&task->slot[c->slot], lane->scaled + i,
                             turn->action.vector + c->place);
    }
}
