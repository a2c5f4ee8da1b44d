/* player_chunk.c - which of the actions that were predicted at once is done when.
 *
 * A lane keeps the chunks of its last steps: one, or with act.ensemble as many as can reach the
 * present step. What was planned counts as long as the policy does it: an action that is given
 * voids all chunks.
 */
#include "gato/play/player_private.h"

#include <math.h>
#include <string.h>

static int32_t chunk_of(const player_t *p) {
    return (int32_t)p->m->config.model.chunk;
}

static bool averages(const player_t *p) {
    return p->o.ensemble != ENSEMBLE_OFF;
}

static uint32_t acted(const player_t *p, const lane_t *lane) {
    return (uint32_t)task_width(&p->m->tasks.v[lane->task], SIDE_ACTED, SLOT_VECTOR);
}

const char *player_chunks(const player_t *p, char buf[128]) {
    *buf = 0;
    if (chunk_of(p) > 1) gato_config_chunks(chunk_of(p), p->o.execute, p->o.ensemble, buf, 128);
    return buf;
}

void lane_plans_nothing(lane_t *lane) {
    lane->planned = 0;
}

size_t player_chunk_floats(const player_t *p) {
    size_t chunk = (size_t)chunk_of(p), columns = 1;
    for (size_t i = 0; i < p->m->tasks.n; i++) {
        size_t n = (size_t)task_width(&p->m->tasks.v[i], SIDE_ACTED, SLOT_VECTOR);
        if (n > columns) columns = n;
    }
    return columns * chunk * (averages(p) ? chunk : 1);
}

void lane_copy_plans(const player_t *p, const lane_t *from, lane_t *to) {
    memcpy(to->plan, from->plan, player_chunk_floats(p) * sizeof *to->plan);
    to->planned = from->planned;
    to->last_plan = from->last_plan;
}

void lane_begins_step(const player_t *p, lane_t *lane) {
    lane->plans =
        averages(p) || !lane->planned || lane->step - lane->last_plan >= (int32_t)p->o.execute;
    if (!lane->plans) return;
    lane->last_plan = lane->step;
    if (!averages(p))
        lane->planned = 1;
    else if (lane->planned < chunk_of(p))
        lane->planned++;
}

/* Column `column` of the chunk [chunk, columns] of timestep t, which is kept. */
static float *plan_at(const player_t *p, const lane_t *lane, int32_t t, uint32_t column) {
    size_t chunk = (size_t)chunk_of(p), ring = averages(p) ? chunk : 1;
    return lane->plan + ((size_t)t % ring) * chunk * acted(p, lane) + column;
}

void lane_plan(const player_t *p, lane_t *lane, uint32_t first, uint32_t width, const float *rows) {
    uint32_t columns = acted(p, lane);
    float *to = plan_at(p, lane, lane->step, first);
    for (int32_t j = 0; j < chunk_of(p); j++)
        memcpy(to + (size_t)j * columns, rows + (size_t)j * width, width * sizeof *to);
}

/* What the chunk of timestep t says about the present step. */
static double said(const player_t *p, const lane_t *lane, int32_t t, uint32_t column) {
    size_t j = (size_t)(lane->step - t);
    return (double)plan_at(p, lane, t, column)[j * acted(p, lane)];
}

float lane_does(const player_t *p, const lane_t *lane, uint32_t column) {
    double sum = 0, weights = 0;
    int32_t oldest = lane->last_plan - lane->planned + 1;
    if (lane->planned == 1) return (float)said(p, lane, oldest, column);
    for (int32_t t = oldest; t <= lane->last_plan; t++) {
        double weight = exp(-p->o.ensemble * (double)(t - oldest));
        sum += weight * said(p, lane, t, column);
        weights += weight;
    }
    return (float)(sum / weights);
}
