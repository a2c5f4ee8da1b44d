/* imagined.c - see imagined.h. */
#include "gato/imagined.h"

#include "common/base/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANE_TRUTH, LANE_FRAME, LANE_SAMPLES /* free ones, then those under mixed actions */ };
enum { GRAY = 128, LEAST_OBJECT = 4 /* pixels */ };

/* An episode under way. Arrays of images are by slot of the policy's task: NULL where the last
 * timestep shown has no such image. */
typedef struct {
    const imagining_t *o;
    imagined_t *e;
    const task_t *task;
    size_t first_lane;
    sequence_steps_t all;        /* as recorded */
    const timestep_t *step;      /* [context + steps] the first of them */
    uint32_t *codes[TASK_SLOTS]; /* [2 * samples, grid]: of the horizon at hand */
    image_t copy[TASK_SLOTS];    /* the last image shown, through the tokenizer */
    image_t *truth[TASK_SLOTS];  /* [1 + steps] */
    image_t *dreamt[TASK_SLOTS]; /* [samples][1 + steps] */
    bool kept[TASK_SLOTS];       /* the true images are the kept pixels */
} way_t;

/* An imagined image beside the true one. */
typedef struct {
    const object_color_t *object;
    const image_t *truth, *last, *copy, *imagined;
    image_t ceiling, shuffled; /* owned; empty = none */
    double squared, changed, copied, copied_changed, ceiling_squared, shuffled_changed, ssim;
    size_t n_changed;
    bool with_object, found, copy_found;
    double error, copy_error;
} comparison_t;

size_t imagined_lanes(const imagining_t *o) {
    return LANE_SAMPLES + 2 * o->samples;
}

/* Lanes of samples: free ones, and as many again where actions are mixed. */
static size_t sample_lanes(const way_t *w) {
    return (w->e->mix ? 2 : 1) * w->o->samples;
}

/* ---- images ---- */

static tokenizer_grid_t grid_of(const way_t *w, uint32_t k) {
    const slot_value_t *v = &w->step[w->o->context - 1].slot[k];
    return (tokenizer_grid_t){.h = v->grid_h, .w = v->grid_w};
}

static image_t decoded(const way_t *w, uint32_t k, const uint32_t *codes) {
    return player_image(w->o->player, codes, grid_of(w, k));
}

static const uint32_t *true_codes(const way_t *w, uint32_t k, size_t h) {
    return w->step[w->o->context - 1 + h].slot[k].codes;
}

/* The true image of horizon h (0: the last shown): the kept pixels, else its codes decoded; empty
 * where there is none. */
static int true_image(way_t *w, uint32_t k, size_t h, image_t *im, reason_t *why) {
    const uint32_t *codes = true_codes(w, k, h);
    *im = (image_t){0};
    if (!codes) return 0;
    if (sequence_image(&w->e->w, w->o->context - 1 + h, k, im, why)) return -1;
    if (im->rgb)
        w->kept[k] = true;
    else
        *im = decoded(w, k, codes);
    return 0;
}

static int begin_slot(way_t *w, uint32_t k, reason_t *why) {
    size_t n = 1 + w->e->steps, S = w->o->samples;
    tokenizer_grid_t grid = grid_of(w, k);
    w->codes[k] = xcalloc(2 * S * grid.h * grid.w, sizeof *w->codes[k]);
    w->truth[k] = xcalloc(n, sizeof *w->truth[k]);
    w->dreamt[k] = xcalloc(S * n, sizeof *w->dreamt[k]);
    w->copy[k] = decoded(w, k, true_codes(w, k, 0));
    for (size_t h = 0; h < n; h++)
        if (true_image(w, k, h, &w->truth[k][h], why)) return -1;
    for (size_t s = 0; s < S; s++) w->dreamt[k][s * n] = decoded(w, k, true_codes(w, k, 0));
    if (w->truth[k][0].w == w->copy[k].w && w->truth[k][0].h == w->copy[k].h) return 0;
    return reason_set(why, "'%s': kept images of %zu x %zu, and codes of %zu x %zu", w->e->w.shard,
                      w->truth[k][0].h, w->truth[k][0].w, w->copy[k].h, w->copy[k].w);
}

static int begin(way_t *w, reason_t *why) {
    const gato_config_t *c = &player_model(w->o->player)->config;
    if (sequence_steps(c, &w->e->w, &w->all, why)) return -1;
    w->step = w->all.step;
    for (uint32_t k = 0; k < w->task->n_slots; k++)
        if (w->task->slot[k].kind == SLOT_IMAGE && true_codes(w, k, 0) && begin_slot(w, k, why))
            return -1;
    return 0;
}

static void release(way_t *w) {
    size_t n = 1 + w->e->steps;
    for (uint32_t k = 0; k < w->task->n_slots; k++) {
        for (size_t h = 0; w->truth[k] && h < n; h++) image_release(&w->truth[k][h]);
        for (size_t i = 0; w->dreamt[k] && i < n * w->o->samples; i++)
            image_release(&w->dreamt[k][i]);
        image_release(&w->copy[k]);
        free(w->truth[k]);
        free(w->dreamt[k]);
        free(w->codes[k]);
    }
    sequence_steps_release(&w->all);
}

/* ---- actions ---- */

/* The timestep with the actions of another one, or without any. */
static timestep_t with_actions(const task_t *task, const timestep_t *t, const timestep_t *from) {
    timestep_t out = *t;
    for (uint32_t k = 0; k < task->n_slots; k++)
        if (task->slot[k].side == SIDE_ACTED)
            out.slot[k] = from ? from->slot[k] : (slot_value_t){0};
    return out;
}

/* Horizon h of lane `i` of the samples: the true timestep with the actions that the lane does. The
 * action of the last timestep changes nothing any more. */
static timestep_t told(const way_t *w, size_t i, size_t h) {
    const imagining_t *o = w->o;
    const timestep_t *t = &w->step[o->context - 1 + h];
    size_t at = h < w->e->steps ? h : w->e->steps - 1;
    if (i >= o->samples) return with_actions(w->task, t, &w->e->mix[at]);
    if (o->actions == ACTIONS_RECORDED) return *t;
    return with_actions(w->task, t, o->actions == ACTIONS_GIVEN ? &o->given[at] : NULL);
}

static rng_t draw_of(const way_t *w, size_t i, size_t h) {
    rng_t r = rng_fold(rng_make(w->o->seed, "gato.imagine"), w->e->id);
    return rng_fold(rng_fold(r, i % w->o->samples), h);
}

/* ---- lanes ---- */

/* The context but its last timestep, in the lane of the truth; the lanes of samples follow. */
static int show_past(const imagining_t *o, way_t *w, size_t n, reason_t *why) {
    player_turn_t *turn = xcalloc(n, sizeof *turn);
    int rc = 0;
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < imagined_lanes(o); i++)
            player_reset(o->player, w[j].first_lane + i, w[j].e->w.task);
    for (size_t t = 0; t + 1 < o->context && !rc; t++) {
        for (size_t j = 0; j < n; j++)
            turn[j] = (player_turn_t){.lane = w[j].first_lane, .recorded = &w[j].step[t]};
        rc = player_push(o->player, turn, n, why);
    }
    for (size_t j = 0; j < n && o->context > 1 && !rc; j++)
        for (size_t i = 0; i < sample_lanes(&w[j]); i++)
            player_fork(o->player, w[j].first_lane, w[j].first_lane + LANE_SAMPLES + i);
    free(turn);
    return rc;
}

/* The last timestep shown, behind which the lanes part: each does what it is told. */
static int show_last(const imagining_t *o, way_t *w, size_t n, reason_t *why) {
    size_t most = n * imagined_lanes(o), turns = 0;
    player_turn_t *turn = xcalloc(most, sizeof *turn);
    timestep_t *step = xcalloc(most, sizeof *step);
    for (size_t j = 0; j < n; j++) {
        turn[turns++] =
            (player_turn_t){.lane = w[j].first_lane, .recorded = &w[j].step[o->context - 1]};
        for (size_t i = 0; i < sample_lanes(&w[j]); i++) {
            player_turn_t *t = &turn[turns];
            step[turns] = told(&w[j], i, 0);
            t->lane = w[j].first_lane + LANE_SAMPLES + i;
            t->draw = draw_of(&w[j], i, 0);
            t->recorded = &step[turns];
            turns++;
        }
    }
    int rc = player_push(o->player, turn, turns, why);
    free(turn);
    free(step);
    return rc;
}

/* Dreams horizon h in the lanes of the episodes that reach it. */
static int dream(const imagining_t *o, way_t *w, size_t n, size_t h, horizon_t *sums,
                 reason_t *why) {
    size_t most = n * imagined_lanes(o), dreams = 0;
    player_dream_t *dream = xcalloc(most, sizeof *dream);
    timestep_t *step = xcalloc(most, sizeof *step);
    dream_sums_t **to = xcalloc(most, sizeof *to);
    for (size_t j = 0; j < n; j++) {
        size_t lane = w[j].first_lane;
        const timestep_t *truth = &w[j].step[o->context - 1 + h];
        if (h > w[j].e->steps) continue;
        player_fork(o->player, lane + LANE_TRUTH, lane + LANE_FRAME);
        to[dreams] = &sums->teacher;
        dream[dreams++] =
            (player_dream_t){.lane = lane + LANE_TRUTH, .recorded = truth, .force = true};
        to[dreams] = &sums->frame;
        dream[dreams++] = (player_dream_t){.lane = lane + LANE_FRAME, .recorded = truth};
        for (size_t i = 0; i < sample_lanes(&w[j]); i++) {
            player_dream_t *d = &dream[dreams];
            to[dreams] = i < o->samples ? &sums->free : NULL;
            step[dreams] = told(&w[j], i, h);
            d->lane = lane + LANE_SAMPLES + i;
            d->draw = draw_of(&w[j], i, h);
            d->recorded = &step[dreams];
            for (uint32_t k = 0; k < w[j].task->n_slots; k++) {
                tokenizer_grid_t grid = grid_of(&w[j], k);
                if (w[j].codes[k]) d->codes[k] = w[j].codes[k] + i * grid.h * grid.w;
            }
            dreams++;
        }
    }
    int rc = dreams ? player_dream(o->player, dream, dreams, &o->how, why) : 0;
    for (size_t i = 0; i < dreams && !rc; i++) {
        const dream_sums_t *s = &dream[i].sums;
        if (!to[i]) continue;
        to[i]->n += s->n;
        to[i]->equal += s->equal;
        to[i]->ce += s->ce;
        to[i]->n_changed += s->n_changed;
        to[i]->equal_changed += s->equal_changed;
        to[i]->ce_changed += s->ce_changed;
        to[i]->squared += s->squared;
        to[i]->n_values += s->n_values;
    }
    free(dream);
    free(step);
    free(to);
    return rc;
}

/* ---- comparing ---- */

/* The sum of squared errors on [0,1] over all channels, or those of the pixels in `of`. */
static double squared_error(const image_t *a, const image_t *b, const bool *of) {
    double sum = 0;
    for (size_t i = 0; i < a->w * a->h * 3; i++) {
        double d = ((double)a->rgb[i] - (double)b->rgb[i]) / 255;
        if (!of || of[i / 3]) sum += d * d;
    }
    return sum;
}

/* How far `im` moves the object, in pixels; false: it shows none of it. */
static bool object_moved(const comparison_t *c, const image_t *im, double x, double y,
                         double *error) {
    double ix, iy;
    if (!object_find(c->object, im->rgb, im->w, im->h, &ix, &iy)) return false;
    *error = hypot(ix - x, iy - y);
    return true;
}

static void compare(void *ctx, size_t i) {
    comparison_t *c = (comparison_t *)ctx + i;
    const image_t *t = c->truth;
    size_t n = t->w * t->h;
    bool *changed = xmalloc(n * sizeof *changed);
    float *a = xmalloc(2 * n * 3 * sizeof *a), *b = a + n * 3;
    c->n_changed = image_differs(t->rgb, c->last->rgb, n, changed);
    c->squared = squared_error(c->imagined, t, NULL);
    c->changed = squared_error(c->imagined, t, changed);
    c->copied = squared_error(c->copy, t, NULL);
    c->copied_changed = squared_error(c->copy, t, changed);
    if (c->ceiling.rgb) c->ceiling_squared = squared_error(&c->ceiling, t, NULL);
    if (c->shuffled.rgb) c->shuffled_changed = squared_error(&c->shuffled, t, changed);
    image_to_float(t->rgb, n * 3, a);
    image_to_float(c->imagined->rgb, n * 3, b);
    c->ssim = image_ssim(a, b, t->w, t->h);
    double x, y;
    if (c->object && object_find(c->object, t->rgb, t->w, t->h, &x, &y) >= LEAST_OBJECT) {
        c->with_object = true;
        c->found = object_moved(c, c->imagined, x, y, &c->error);
        c->copy_found = object_moved(c, c->copy, x, y, &c->copy_error);
    }
    free(a);
    free(changed);
}

static void add(horizon_t *to, const comparison_t *c) {
    size_t n = c->truth->w * c->truth->h;
    to->images++;
    to->pixels += n;
    to->changed_pixels += c->n_changed;
    to->squared += c->squared;
    to->changed += c->changed;
    to->copy += c->copied;
    to->copy_changed += c->copied_changed;
    to->shuffled_changed += c->shuffled_changed;
    to->ssim += c->ssim;
    to->ceiling += c->ceiling_squared;
    to->ceiling_pixels += c->ceiling.rgb ? n : 0;
    to->with_object += c->with_object;
    to->copy_found += c->copy_found;
    to->copy_error += c->copy_error;
    if (!c->found) return;
    to->errors = xgrow(to->errors, &to->cap, to->found + 1, sizeof *to->errors);
    to->errors[to->found++] = c->error;
    to->error += c->error;
}

/* Decodes what sample s of a slot imagined, and what there is to hold against it. */
static comparison_t prepare(way_t *w, uint32_t k, size_t s, size_t h) {
    size_t n = 1 + w->e->steps;
    tokenizer_grid_t grid = grid_of(w, k);
    const uint32_t *codes = w->codes[k] + s * grid.h * grid.w;
    image_t *imagined = &w->dreamt[k][s * n + h], none = {0};
    *imagined = decoded(w, k, codes);
    return (comparison_t){
        .object = w->o->object,
        .truth = &w->truth[k][h],
        .last = &w->truth[k][0],
        .copy = &w->copy[k],
        .imagined = imagined,
        .ceiling = w->kept[k] ? decoded(w, k, true_codes(w, k, h)) : none,
        .shuffled = w->e->mix ? decoded(w, k, codes + w->o->samples * grid.h * grid.w) : none};
}

static void measure(const imagining_t *o, way_t *w, size_t n, size_t h, horizon_t *sums) {
    comparison_t *c = NULL;
    size_t count = 0, cap = 0;
    for (size_t j = 0; j < n; j++) {
        if (h > w[j].e->steps) continue;
        sums->episodes++;
        for (uint32_t k = 0; k < w[j].task->n_slots; k++)
            for (size_t s = 0; w[j].codes[k] && true_codes(&w[j], k, h) && s < o->samples; s++) {
                c = xgrow(c, &cap, count + 1, sizeof *c);
                c[count++] = prepare(&w[j], k, s, h);
            }
    }
    parallel_for(count, compare, c);
    for (size_t i = 0; i < count; i++) {
        add(sums, &c[i]);
        image_release(&c[i].ceiling);
        image_release(&c[i].shuffled);
    }
    free(c);
}

/* Missing images become gray ones, then the sink has all of them. */
static void hand_over(way_t *w, imagined_sink_t sink, void *ctx) {
    size_t n = 1 + w->e->steps;
    for (uint32_t k = 0; k < w->task->n_slots; k++) {
        if (!w->codes[k]) continue;
        for (size_t i = 0; i < n * (1 + w->o->samples); i++) {
            image_t *im = i < n ? &w->truth[k][i] : &w->dreamt[k][i - n];
            if (im->rgb) continue;
            *im = image_new(w->copy[k].w, w->copy[k].h);
            memset(im->rgb, GRAY, im->w * im->h * 3);
        }
        sink(ctx, w->e, k, w->truth[k], w->dreamt[k], n, w->o->samples);
    }
}

int imagine(const imagining_t *o, imagined_t *e, size_t n, horizon_t *sums, imagined_sink_t sink,
            void *ctx, reason_t *why) {
    way_t *w = xcalloc(n, sizeof *w);
    const gato_model_t *m = player_model(o->player);
    int rc = 0;
    for (size_t j = 0; j < n && !rc; j++) {
        w[j] = (way_t){.o = o,
                       .e = &e[j],
                       .task = &m->tasks.v[e[j].w.task],
                       .first_lane = j * imagined_lanes(o)};
        rc = begin(&w[j], why);
    }
    if (!rc) rc = show_past(o, w, n, why) || show_last(o, w, n, why) ? -1 : 0;
    for (size_t h = 1; h <= o->steps && !rc; h++) {
        rc = dream(o, w, n, h, &sums[h - 1], why);
        if (!rc) measure(o, w, n, h, &sums[h - 1]);
    }
    for (size_t j = 0; j < n; j++) {
        if (!w[j].o) continue;
        if (!rc && sink) hand_over(&w[j], sink, ctx);
        release(&w[j]);
    }
    free(w);
    return rc;
}
