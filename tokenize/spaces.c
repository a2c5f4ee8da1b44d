/* spaces.c - see spaces.h. */
#include "tokenize/spaces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DISCRETE = 1024, TEXT_END = 256 };

static const minari_leaf_t *obs(const spaces_t *s, size_t i) {
    return minari_obs(s->m, i);
}
static const minari_leaf_t *act(const spaces_t *s, size_t i) {
    return minari_act(s->m, i);
}
static bool is_vector(const minari_leaf_t *l) {
    return l->kind == SPACE_BOX && l->rank <= 1;
}

/* ---- the plan ---- */

static void take_observation(spaces_t *s, size_t i) {
    const minari_leaf_t *l = obs(s, i);
    if (l->kind == SPACE_IMAGE && s->image < 0) {
        size_t channels = l->rank == 3 ? l->dim[2] : 1;
        if (channels != 1 && channels != 3)
            die(RC_DATA, "'%s': observations/%s: frames of %zu channels; 1 or 3 are read", s->name, l->path, channels);
        s->image = (int)i;
    } else if (l->kind == SPACE_TEXT && s->text < 0) {
        s->text = (int)i;
    } else if (is_vector(l)) {
        s->n_continuous += (uint32_t)l->count;
    } else if (l->kind == SPACE_DISCRETE) {
        s->n_discrete += (uint32_t)l->count;
    } else {
        const char *what = l->kind == SPACE_IMAGE  ? "a second picture"
                           : l->kind == SPACE_TEXT ? "a second text"
                                                   : "an array of two or more dimensions";
        warn("'%s': observations/%s is left out: %s", s->name, l->path, what);
    }
}

static void take_action(spaces_t *s, size_t i) {
    const minari_leaf_t *l = act(s, i);
    if (l->kind == SPACE_DISCRETE) {
        if (l->n > DISCRETE)
            die(RC_MISFIT, "'%s': actions/%s has %lld values; at most %d have tokens", s->name, l->path,
                (long long)l->n, DISCRETE);
        s->n_discrete_actions += (uint32_t)l->count;
        return;
    }
    size_t n = s->n_actions + l->count;
    s->low = xrealloc(s->low, n * sizeof *s->low);
    s->high = xrealloc(s->high, n * sizeof *s->high);
    for (size_t k = 0; k < l->count; k++) {
        s->low[s->n_actions + k] = (float)l->low[k];
        s->high[s->n_actions + k] = (float)l->high[k];
        if (!(l->low[k] <= l->high[k]))
            die(RC_DATA, "'%s': actions/%s: the bounds [%g, %g] hold nothing", s->name, l->path, l->low[k], l->high[k]);
    }
    s->n_actions = (uint32_t)n;
}

void spaces_init(spaces_t *s, const minari_t *m, const char *name) {
    *s = (spaces_t){.m = m, .name = name, .image = -1, .text = -1};
    for (size_t i = 0; i < minari_n_obs(m); i++) take_observation(s, i);
    for (size_t i = 0; i < minari_n_act(m); i++) take_action(s, i);
}

void spaces_release(spaces_t *s) {
    free(s->low);
    free(s->high);
}

/* The sizes of the discrete leaves, one a column. Observations of a larger space must stay below 1024: that is checked
 * value by value. */
static uint32_t *ranges(const minari_leaf_t *(*leaf)(const spaces_t *, size_t), size_t leaves, const spaces_t *s,
                        uint32_t n) {
    uint32_t *range = xcalloc(n, sizeof *range), *at = range;
    for (size_t i = 0; i < leaves; i++) {
        const minari_leaf_t *l = leaf(s, i);
        for (size_t k = 0; l->kind == SPACE_DISCRETE && k < l->count; k++)
            *at++ = l->n < DISCRETE ? (uint32_t)l->n : DISCRETE;
    }
    return range;
}

static float *copy(const float *v, size_t n) {
    return n ? memcpy(xmalloc(n * sizeof *v), v, n * sizeof *v) : NULL;
}

void spaces_meta(const spaces_t *s, shard_meta_t *m) {
    m->n_continuous = s->n_continuous;
    m->n_discrete = s->n_discrete;
    m->n_actions = s->n_actions;
    m->n_discrete_actions = s->n_discrete_actions;
    m->discrete_range = ranges(obs, minari_n_obs(s->m), s, s->n_discrete);
    m->discrete_action_range = ranges(act, minari_n_act(s->m), s, s->n_discrete_actions);
    m->action_low = copy(s->low, s->n_actions);
    m->action_high = copy(s->high, s->n_actions);
    if (minari_env_spec(s->m)) m->env = xstrdup(minari_env_spec(s->m));
}

/* ---- checks ---- */

static int refuse(const spaces_t *s, const char *key, size_t step, const char *field, const char *path,
                  const char *what, reason_t *why) {
    return reason_set(why, "'%s': %s, step %zu, %s%s%s: %s", s->name, key, step, field, *path ? "/" : "", path, what);
}

static int check_rows(const spaces_t *s, const float *v, size_t T, size_t width, bool discrete, const char *key,
                      const char *field, const char *path, reason_t *why) {
    for (size_t i = 0; v && i < T * width; i++) {
        if (isnan(v[i])) return refuse(s, key, i / width, field, path, "NaN", why);
        if (isinf(v[i])) return refuse(s, key, i / width, field, path, "infinite", why);
        if (discrete && v[i] >= DISCRETE)
            return refuse(s, key, i / width, field, path, "a discrete value of 1024 or more has no token", why);
    }
    return 0;
}

int spaces_check(const spaces_t *s, const minari_episode_t *e, const char *key, reason_t *why) {
    for (size_t i = 0; i < e->n_obs; i++) {
        const minari_leaf_t *l = obs(s, i);
        if (!is_vector(l) && l->kind != SPACE_DISCRETE) continue;
        if (check_rows(s, e->value[i], e->T, l->count, l->kind == SPACE_DISCRETE, key, "observations", l->path, why))
            return -1;
    }
    for (size_t i = 0; i < e->n_act; i++) {
        const minari_leaf_t *l = act(s, i);
        if (check_rows(s, e->action[i], e->T, l->count, l->kind == SPACE_DISCRETE, key, "actions", l->path, why))
            return -1;
    }
    if (e->expert_action &&
        check_rows(s, e->expert_action, e->T, act(s, 0)->count, false, key, "infos/expert_action", "", why))
        return -1;
    return check_rows(s, e->rewards, e->T, 1, false, key, "rewards", "", why);
}

/* ---- arrays ---- */

/* Columns at .. at + width - 1 of rows [T, columns]. */
static void put_floats(float *out, size_t columns, size_t at, const float *v, size_t width, size_t T) {
    for (size_t t = 0; t < T; t++) memcpy(out + t * columns + at, v + t * width, width * sizeof *v);
}
static void put_ids(uint32_t *out, size_t columns, size_t at, const float *v, size_t width, size_t T) {
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < width; k++) out[t * columns + at + k] = (uint32_t)v[t * width + k];
}

/* Declared bounds to [-1,1]. Without finite bounds values stay as they are; values beyond the bounds stay beyond. */
static float scaled(float v, float low, float high) {
    double width = (double)high - (double)low;
    if (!isfinite(width) || (low == -1 && high == 1)) return v;
    if (width == 0) return v == low ? 0 : v < low ? -2 : 2;
    return (float)(2 * ((double)v - (double)low) / width - 1);
}

static void scale_rows(spaces_t *s, float *v, size_t T, bool count) {
    for (size_t i = 0; i < T * s->n_actions; i++) {
        v[i] = scaled(v[i], s->low[i % s->n_actions], s->high[i % s->n_actions]);
        if (count) s->beyond += v[i] < -1 || v[i] > 1;
    }
    if (count) s->values += T * s->n_actions;
}

/* Everything lies in one block: a cursor hands out pieces of it. */
typedef struct {
    uint8_t *at;
} block_t;
static void *piece(block_t *b, size_t bytes) {
    void *p = b->at;
    b->at += (bytes + 7) / 8 * 8;
    return p;
}

static size_t text_length(const spaces_t *s, const minari_episode_t *e) {
    return s->text >= 0 ? strlen(e->text[s->text][0]) : 0;
}

static void fill_text(const spaces_t *s, const minari_episode_t *e, token_record_t *r, block_t *b) {
    if (s->text < 0) return;
    size_t n = text_length(s, e);
    uint32_t *text = piece(b, (n + 1) * sizeof *text);
    for (size_t i = 0; i < n; i++) text[i] = (uint8_t)e->text[s->text][0][i];
    text[n] = TEXT_END;
    r->text = text;
    r->text_len = (uint32_t)n + 1;
}

static void fill_observations(const spaces_t *s, const minari_episode_t *e, size_t first, token_record_t *r,
                              block_t *b) {
    float *continuous = piece(b, r->T * s->n_continuous * sizeof *continuous);
    uint32_t *discrete = piece(b, r->T * s->n_discrete * sizeof *discrete);
    size_t c = 0, d = 0;
    for (size_t i = 0; i < e->n_obs; i++) {
        const minari_leaf_t *l = obs(s, i);
        if (is_vector(l)) {
            put_floats(continuous, s->n_continuous, c, e->value[i] + first * l->count, l->count, r->T);
            c += l->count;
        } else if (l->kind == SPACE_DISCRETE) {
            put_ids(discrete, s->n_discrete, d, e->value[i] + first * l->count, l->count, r->T);
            d += l->count;
        }
    }
    if (c) r->continuous = continuous;
    if (d) r->discrete = discrete;
}

static void fill_actions(spaces_t *s, const minari_episode_t *e, size_t first, token_record_t *r, block_t *b) {
    size_t bytes = r->T * s->n_actions * sizeof(float), c = 0, d = 0;
    float *actions = piece(b, bytes), *labels = piece(b, bytes);
    uint32_t *discrete = piece(b, r->T * s->n_discrete_actions * sizeof *discrete);
    for (size_t i = 0; i < e->n_act; i++) {
        const minari_leaf_t *l = act(s, i);
        if (l->kind == SPACE_DISCRETE) {
            put_ids(discrete, s->n_discrete_actions, d, e->action[i] + first * l->count, l->count, r->T);
            d += l->count;
        } else {
            put_floats(actions, s->n_actions, c, e->action[i] + first * l->count, l->count, r->T);
            c += l->count;
        }
    }
    if (d) r->discrete_actions = discrete;
    if (!c) return;
    r->actions = actions;
    /* The expert speaks about the first action leaf; where it says nothing, what was done is the target. */
    if (e->expert_action && act(s, 0)->kind == SPACE_BOX) {
        memcpy(labels, actions, bytes);
        put_floats(labels, s->n_actions, 0, e->expert_action + first * act(s, 0)->count, act(s, 0)->count, r->T);
        scale_rows(s, labels, r->T, false);
        r->label_actions = labels;
    }
    scale_rows(s, actions, r->T, true);
}

void spaces_fill(spaces_t *s, const minari_episode_t *e, size_t first, token_record_t *r, void **arrays) {
    size_t a_step = (size_t)s->n_continuous + s->n_discrete + 2 * (size_t)s->n_actions + s->n_discrete_actions;
    block_t b = { *arrays = xmalloc((r->T * a_step + text_length(s, e) + 1) * 4 + 8 * 8)};
    fill_text(s, e, r, &b);
    fill_observations(s, e, first, r, &b);
    fill_actions(s, e, first, r, &b);
    r->rewards = e->rewards + first;
    r->terminated = e->terminated + first;
    r->truncated = e->truncated + first;
}

image_t spaces_frame(const spaces_t *s, const minari_episode_t *e, size_t step) {
    const minari_leaf_t *l = obs(s, (size_t)s->image);
    image_t im = image_new(l->dim[1], l->dim[0]);
    const uint8_t *from = e->image[s->image] + step * l->count;
    if (l->count == im.w * im.h * 3)
        memcpy(im.rgb, from, l->count);
    else
        for (size_t i = 0; i < im.w * im.h; i++) memset(im.rgb + 3 * i, from[i], 3);
    return im;
}

void spaces_report(const spaces_t *s) {
    if (s->beyond * 100 > s->values)
        warn("'%s': %llu of %llu actions are outside their bounds (%.3g %%)", s->name, (unsigned long long)s->beyond,
             (unsigned long long)s->values, 100.0 * (double)s->beyond / (double)s->values);
}
