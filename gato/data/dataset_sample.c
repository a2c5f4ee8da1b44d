/* dataset_sample.c - which sequence a sample is.
 *
 * The samples of a training are numbered; sample g belongs to one stream, and is draw number k of
 * it. Streams take turns by weight: of the first n samples a stream has had floor or ceil of its
 * share of what the streams before it have left. Within blocks of samples the turns are shuffled,
 * so that no stream is bound to one place of a batch. Both g -> stream and g -> k are functions of
 * g alone: nothing is kept between samples.
 */
#include "gato/data/shards.h"

#include "common/base/rng.h"
#include "common/base/sizes.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 64, SHARE_BITS = 32 };

/* ---- streams ---- */

/* The share of a stream of shard s that holds one task: tasks are equal, and the shards of a task
 * share by weight. */
static double task_weight(const dataset_t *d, const shard_t *s, const body_t *b) {
    double all = 0;
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_bodies; i++) {
            const body_t *other = &d->shard[k].body[i];
            if (other->task == b->task && other->n_side[SIDE_TRAIN]) all += d->shard[k].weight;
        }
    return s->weight / all;
}

static void add_stream(dataset_t *d, const shard_t *s, size_t first, size_t end, uint32_t number,
                       double weight) {
    stream_t stream = {s, first, end, 0, number, weight, 0};
    for (size_t i = first; i < end; i++) stream.n += s->body[i].n_side[SIDE_TRAIN];
    if (stream.n) d->stream[d->n_streams++] = stream;
}

void shards_make_streams(dataset_t *d) {
    size_t most = 0;
    for (size_t k = 0; k < d->n; k++) most += d->shard[k].n_bodies + 1;
    d->stream = xcalloc(most, sizeof *d->stream);
    for (size_t k = 0; k < d->n; k++) {
        const shard_t *s = &d->shard[k];
        if (d->config.data.balance == BALANCE_DATA)
            add_stream(d, s, 0, s->n_bodies, (uint32_t)k, s->weight);
        for (size_t i = 0; d->config.data.balance == BALANCE_TASK && i < s->n_bodies; i++)
            if (s->body[i].n_side[SIDE_TRAIN])
                add_stream(d, s, i, i + 1, (uint32_t)(k + i * d->n),
                           task_weight(d, s, &s->body[i]));
    }
    double rest = 0;
    for (size_t k = d->n_streams; k-- > 0;) {
        rest += d->stream[k].weight;
        d->stream[k].share = (uint64_t)nearbyint(ldexp(d->stream[k].weight / rest, SHARE_BITS));
    }
}

/* floor(n share / 2^32), exact for n below 2^63 */
static uint64_t part_of(uint64_t n, uint64_t share) {
    uint64_t low = n & 0xffffffffu;
    return (n >> SHARE_BITS) * share + (low * share >> SHARE_BITS);
}

/* The stream that takes turn n: the first whose number of turns grows from n to n + 1. */
static size_t stream_at(const dataset_t *d, uint64_t n) {
    uint64_t next = n + 1;
    for (size_t k = 0; k + 1 < d->n_streams; k++) {
        uint64_t takes = part_of(n, d->stream[k].share), then = part_of(next, d->stream[k].share);
        if (then > takes) return k;
        n -= takes;
        next -= then;
    }
    return d->n_streams - 1;
}

/* How many of the first n turns are those of stream `which`. */
static uint64_t turns_before(const dataset_t *d, uint64_t n, size_t which) {
    for (size_t k = 0; k < which; k++) n -= part_of(n, d->stream[k].share);
    return which + 1 < d->n_streams ? part_of(n, d->stream[which].share) : n;
}

double dataset_share(const dataset_t *d, size_t source) {
    double rest = 1, least = 1;
    for (size_t k = 0; k < d->n_streams; k++) {
        const stream_t *stream = &d->stream[k];
        double share =
            k + 1 < d->n_streams ? rest * ldexp((double)stream->share, -SHARE_BITS) : rest;
        rest -= share;
        if (stream->shard == &d->shard[source] && share < least) least = share;
    }
    return least;
}

/* The stream of sample g, and how many of its draws came before. */
static const stream_t *draw_stream(const dataset_t *d, uint64_t seed, uint64_t g, uint64_t *draw) {
    if (!d->n_streams) BUG("no shard has a training side");
    *draw = g;
    if (d->n_streams == 1) return d->stream; /* every turn is its own: nothing to count */
    uint64_t first = g / BLOCK * BLOCK;
    rng_t order = rng_fold(rng_make(seed, "gato.mix"), g / BLOCK);
    size_t which = stream_at(d, first + rng_permute(order, g % BLOCK, BLOCK));
    *draw = turns_before(d, first, which);
    for (uint64_t i = 0; i < g % BLOCK; i++)
        *draw += stream_at(d, first + rng_permute(order, i, BLOCK)) == which;
    return &d->stream[which];
}

/* Each stream goes through permutations of its n records: draw k is record k % n of permutation
 * k / n. */
static uint64_t draw_record(const stream_t *stream, uint64_t seed, uint64_t draw) {
    rng_t order =
        rng_fold(rng_fold(rng_make(seed, "gato.order"), stream->number), draw / stream->n);
    uint64_t i = rng_permute(order, draw % stream->n, stream->n);
    const body_t *b = &stream->shard->body[stream->first];
    for (; i >= b->n_side[SIDE_TRAIN]; b++) i -= b->n_side[SIDE_TRAIN];
    return b->side[SIDE_TRAIN][i];
}

/* ---- sequences ---- */

/* One block of memory for all acted vectors of the record that are scaled anew. */
static void scale_actions(const body_t *b, sequence_t *w) {
    token_record_t *r = &w->record;
    size_t n = 0;
    for (uint32_t k = 0; k < b->of->n_slots; k++)
        if (b->scaling[k].column && !b->scaling[k].same) n += 2 * (size_t)r->T * b->scaling[k].n;
    if (!n) return;
    float *at = w->scaled = xmalloc(n * sizeof *at);
    for (uint32_t k = 0; k < b->of->n_slots; k++) {
        const scaling_map_t *m = &b->scaling[k];
        const float **rows[2] = {&r->slot[k].vector, &r->slot[k].label_vector};
        for (int side = 0; side < 2 && m->column && !m->same; side++) {
            if (!*rows[side]) continue;
            scaling_map(m, *rows[side], r->T, at);
            *rows[side] = at;
            at += (size_t)r->T * m->n;
        }
    }
}

/* The goal of a held-out sequence is always there. */
static void begin_sequence(const dataset_t *d, const shard_t *s, uint64_t id, sequence_t *w) {
    *w = (sequence_t){.shard = s->path};
    shard_read(s, id, &w->record);
    const body_t *b = &s->body[w->record.task];
    w->of = b->of;
    w->task = b->task;
    w->map = b->map;
    w->lone = s->spread;
    w->has_goal = b->goal >= 0;
    if (w->has_goal) {
        w->goal = (uint32_t)b->goal;
        w->goal_from = (uint32_t)b->goal_from;
    }
    if (d->config.data.goal == GOAL_AHEAD) w->goal_ahead = (uint32_t)d->config.data.goal_ahead;
    scale_actions(b, w);
}

static void append_steps(sequence_t *w, size_t first, size_t n) {
    w->step = xrealloc(w->step, (w->n_steps + n) * sizeof *w->step);
    for (size_t i = 0; i < n; i++) w->step[w->n_steps++] = (uint32_t)(first + i);
}

/* Sequence `index` of a record that is cut into consecutive ones. */
static void cut(const dataset_t *d, const shard_t *s, const item_t *t, uint64_t id, size_t index,
                sequence_t *w) {
    begin_sequence(d, s, id, w);
    size_t first = index * t->span;
    if (body_control(&s->body[t->body])) {
        append_steps(w, first, min_size(t->span, t->T - first));
        w->text_len = t->text_len;
    } else {
        append_steps(w, 0, 1);
        w->text_first = first;
        w->text_len = min_size(t->span, t->text_len - first);
    }
}

static size_t round_half_even(double x) {
    return (size_t)nearbyint(x); /* the default rounding direction */
}

void dataset_prompt_split(size_t steps, size_t *prompt, size_t *main_part) {
    *main_part = round_half_even((double)steps / 2);
    if (!*main_part) *main_part = steps; /* one timestep has no room for a prompt */
    *prompt = steps - *main_part;
}

enum { DRAW_START, DRAW_PROMPT, DRAW_PIECE, DRAW_GOAL };

/* Appends prompt and main part. Where an episode is shorter than either, that is the whole
 * episode. */
static void prompted_steps(const item_t *t, rng_t r, bool end, sequence_t *w) {
    size_t prompt, main_part;
    dataset_prompt_split(t->span, &prompt, &main_part);
    prompt = min_size(prompt, t->T);
    main_part = min_size(main_part, t->T);
    size_t room = t->T - prompt;
    append_steps(w, end ? room : rng_below(r, DRAW_PROMPT, (uint32_t)room + 1), prompt);
    w->n_prompt = prompt;
    append_steps(w, rng_below(r, DRAW_START, (uint32_t)(t->T - main_part) + 1), main_part);
}

void dataset_sample(const dataset_t *d, uint64_t seed, uint64_t step, size_t index, size_t per_step,
                    sequence_t *w) {
    uint64_t g = step * per_step + index, k;
    const stream_t *stream = draw_stream(d, seed, g, &k);
    const shard_t *s = stream->shard;
    uint64_t id = draw_record(stream, seed, k);
    const item_t *t = &s->item[id];
    rng_t draw = rng_fold(rng_fold(rng_make(seed, "gato.data"), g), 1);
    if (!body_control(&s->body[t->body])) {
        size_t pieces = t->text_len ? ceil_div(t->text_len, t->span) : 1;
        cut(d, s, t, id, rng_below(draw, DRAW_PIECE, (uint32_t)pieces), w);
    } else {
        size_t prompted = round_half_even(d->config.train.prompt * (double)per_step);
        size_t by_end = round_half_even((double)prompted / 2);
        begin_sequence(d, s, id, w);
        if (rng_uniform64(draw, DRAW_GOAL) >= d->config.data.goal_share) w->has_goal = false;
        w->text_len = t->text_len;
        if (index < prompted) {
            prompted_steps(t, draw, index < by_end, w);
        } else {
            size_t length = min_size(t->span, t->T);
            append_steps(w, rng_below(draw, DRAW_START, (uint32_t)(t->T - length) + 1), length);
        }
    }
    w->sample = g;
}

/* The record of sequence i of one side of a task: the last with sequences[low] <= i. */
static size_t record_of(const body_t *b, int side, uint64_t i) {
    size_t low = 0, high = b->n_side[side];
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (b->sequences[side][middle] <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void dataset_sequence(const dataset_t *d, size_t source, uint32_t task, side_t side, size_t i,
                      sequence_t *w) {
    const shard_t *s = &d->shard[source];
    size_t at = i;
    for (size_t j = 0; j < s->n_bodies; j++) {
        const body_t *b = &s->body[j];
        if (task != UINT32_MAX && b->task != task) continue;
        for (int k = 0; k < 2; k++) {
            if ((k == 0 && side == SIDE_VAL) || (k == 1 && side == SIDE_TRAIN)) continue;
            uint64_t n = b->sequences[k][b->n_side[k]];
            if (at >= n) {
                at -= n;
                continue;
            }
            size_t record = record_of(b, k, at);
            uint64_t id = b->side[k][record];
            cut(d, s, &s->item[id], id, at - b->sequences[k][record], w);
            w->sample = i;
            return;
        }
    }
    BUG("sequence beyond the last of source %zu", source);
}

bool dataset_first_sequence(const dataset_t *d, size_t source, uint64_t id, sequence_t *w) {
    const shard_t *s = &d->shard[source];
    if (id >= s->n) return false;
    item_t t = s->item ? s->item[id] : shard_item(d, s, id);
    cut(d, s, &t, id, 0, w);
    return true;
}

bool dataset_end(const dataset_t *d, size_t source, uint64_t id, uint32_t task, size_t n,
                 sequence_t *w) {
    const shard_t *s = &d->shard[source];
    if (id >= s->n) return false;
    begin_sequence(d, s, id, w);
    if (w->task != task || !w->record.T) {
        sequence_release(w);
        return false;
    }
    size_t T = w->record.T, length = min_size(n, T);
    append_steps(w, T - length, length);
    for (uint32_t k = 0; k < w->of->n_slots; k++)
        if (w->of->slot[k].kind == SLOT_TEXT) w->text_len = w->record.slot[k].text_len;
    return true;
}

bool dataset_episode(const dataset_t *d, size_t source, uint64_t id, sequence_t *w) {
    const shard_t *s = &d->shard[source];
    if (id >= s->n) return false;
    item_t t = s->item ? s->item[id] : shard_item(d, s, id);
    if (!body_control(&s->body[t.body])) return false;
    begin_sequence(d, s, id, w);
    append_steps(w, 0, t.T);
    w->text_len = t.text_len;
    return true;
}
