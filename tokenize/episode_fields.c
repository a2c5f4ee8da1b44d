/* episode_fields.c - see episode_fields.h. */
#include "tokenize/episode_fields.h"

#include "common/base/log.h"
#include "common/io/token_db/bounds.h"
#include "common/io/token_db/leaves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISCRETE = 1024, TEXT_END = 256, NAMED = 4 };
static const float mu_law_end = 256;

static const space_leaf_t *obs(const episode_fields_t *s, size_t use) {
    return episode_source_obs(s->m, s->obs.use[use].leaf);
}
static const space_leaf_t *act(const episode_fields_t *s, size_t use) {
    return episode_source_act(s->m, s->act.use[use].leaf);
}

/* ---- the plan ---- */

static void take_observation(episode_fields_t *s, size_t i) {
    const space_leaf_t *l = obs(s, i);
    switch (s->obs.use[i].role) {
    case ROLE_IMAGE:
        s->image = (int)s->obs.use[i].leaf;
        break;
    case ROLE_CONTINUOUS:
        s->n_continuous += (uint32_t)l->count;
        break;
    case ROLE_DISCRETE:
        s->n_discrete += (uint32_t)l->count;
        break;
    case ROLE_TEXT:
        s->text = s->text < 0 ? (int)s->obs.use[i].leaf : s->text;
        break;
    }
}

static void take_action(episode_fields_t *s, size_t i) {
    const space_leaf_t *l = act(s, i);
    if (s->act.use[i].role == ROLE_DISCRETE) {
        for (size_t k = 0; k < l->count; k++)
            if (mapping_range(l, k) > DISCRETE)
                die(RC_MISFIT, "'%s': actions/%s has %lld values; at most %d have tokens", s->name,
                    l->path, (long long)mapping_range(l, k), DISCRETE);
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
            die(RC_DATA, "'%s': actions/%s: the bounds [%g, %g] hold nothing", s->name, l->path,
                l->low[k], l->high[k]);
    }
    s->n_actions = (uint32_t)n;
}

void episode_fields_init(episode_fields_t *s, episode_source_t *m, const char *name,
                         const char *obs_text, const char *act_text) {
    *s = (episode_fields_t){.m = m, .name = name, .image = -1, .text = -1};
    s->obs = mapping_observations(m, name, obs_text);
    s->act = mapping_actions(m, name, act_text);
    for (size_t i = 0; i < s->obs.n; i++) take_observation(s, i);
    for (size_t i = 0; i < s->act.n; i++) take_action(s, i);
}

void episode_fields_release(episode_fields_t *s) {
    mapping_release(&s->obs);
    mapping_release(&s->act);
    free(s->low);
    free(s->high);
}

/* The sizes of the discrete leaves, one a column. Observations of a larger space must stay below
 * 1024: that is checked value by value. */
static uint32_t *ranges(const space_leaf_t *(*leaf)(const episode_fields_t *, size_t),
                        const mapping_t *p, const episode_fields_t *s, uint32_t n) {
    uint32_t *range = xcalloc(n, sizeof *range), *at = range;
    for (size_t i = 0; i < p->n; i++) {
        const space_leaf_t *l = leaf(s, i);
        for (size_t k = 0; p->use[i].role == ROLE_DISCRETE && k < l->count; k++)
            *at++ = mapping_range(l, k) < DISCRETE ? (uint32_t)mapping_range(l, k) : DISCRETE;
    }
    return range;
}

static float *copy(const float *v, size_t n) {
    return n ? memcpy(xmalloc(n * sizeof *v), v, n * sizeof *v) : NULL;
}

static void name_side(const episode_fields_t *s, leaves_t *l, leaf_side_t side) {
    static const leaf_part_t part[] = {LEAF_IMAGE, LEAF_CONTINUOUS, LEAF_DISCRETE, LEAF_TEXT};
    const mapping_t *p = side == LEAF_ACTION ? &s->act : &s->obs;
    for (size_t i = 0; i < p->n; i++) {
        const space_leaf_t *leaf = side == LEAF_ACTION ? act(s, i) : obs(s, i);
        role_t role = p->use[i].role;
        bool one = role == ROLE_IMAGE || role == ROLE_TEXT;
        leaves_add(l, side, part[role], leaf->path, one ? 1 : (uint32_t)leaf->count);
    }
}

/* Which columns of the actions are stored as they are; NULL when none is. Said in one line. */
static uint8_t *raw_actions(const episode_fields_t *s, const leaves_t *l) {
    char list[300] = "", name[300];
    size_t at = 0, n = 0;
    uint8_t *raw = xcalloc(s->n_actions, 1);
    for (uint32_t k = 0; k < s->n_actions; k++) {
        raw[k] = bounds_wide(s->low[k], s->high[k]);
        if (!raw[k] || n++ >= NAMED) continue;
        at +=
            (size_t)snprintf(list + at, sizeof list - at, "%s%.24s [%.3g, %.3g]", n > 1 ? ", " : "",
                             leaves_column(l, LEAF_ACTION, LEAF_CONTINUOUS, k, name),
                             (double)s->low[k], (double)s->high[k]);
    }
    if (n) {
        log_line("'%s': %zu of %u action columns have bounds that say nothing about their numbers: "
                 "they are stored as they are, and training scales them by its quantiles: %s%s",
                 s->name, n, s->n_actions, list, n > NAMED ? ", ..." : "");
        return raw;
    }
    free(raw);
    return NULL;
}

void episode_fields_meta(const episode_fields_t *s, shard_meta_t *m) {
    leaves_t l = {0};
    name_side(s, &l, LEAF_OBSERVATION);
    name_side(s, &l, LEAF_ACTION);
    m->leaves = leaves_json(&l);
    m->action_raw = raw_actions(s, &l);
    leaves_release(&l);
    m->n_continuous = s->n_continuous;
    m->n_discrete = s->n_discrete;
    m->n_actions = s->n_actions;
    m->n_discrete_actions = s->n_discrete_actions;
    m->discrete_range = ranges(obs, &s->obs, s, s->n_discrete);
    m->discrete_action_range = ranges(act, &s->act, s, s->n_discrete_actions);
    m->action_low = copy(s->low, s->n_actions);
    m->action_high = copy(s->high, s->n_actions);
    if (episode_source_env_spec(s->m)) m->env = xstrdup(episode_source_env_spec(s->m));
}

/* ---- checks ---- */

static int refuse(const episode_fields_t *s, const char *key, size_t step, const char *field,
                  const char *path, const char *what, reason_t *why) {
    return reason_set(why, "'%s': %s, step %zu, %s%s%s: %s", s->name, key, step, field,
                      *path ? "/" : "", path, what);
}

static int check_rows(const episode_fields_t *s, const float *v, size_t T, size_t width,
                      const char *key, const char *field, const char *path, reason_t *why) {
    for (size_t i = 0; v && i < T * width; i++) {
        if (isnan(v[i])) return refuse(s, key, i / width, field, path, "NaN", why);
        if (isinf(v[i])) return refuse(s, key, i / width, field, path, "infinite", why);
    }
    return 0;
}

static int check_ids(const episode_fields_t *s, const float *v, size_t T, const space_leaf_t *l,
                     const char *key, const char *field, reason_t *why) {
    for (size_t i = 0; v && i < T * l->count; i++) {
        double id = v[i] - mapping_first(l, i % l->count);
        const char *what = id >= DISCRETE ? "a discrete value of 1024 or more has no token" : NULL;
        if (!what && !(id >= 0 && id < (double)mapping_range(l, i % l->count) && id == floor(id)))
            what = "a discrete value outside its range";
        if (what) return refuse(s, key, i / l->count, field, l->path, what, why);
    }
    return 0;
}

static int check_use(const episode_fields_t *s, role_t role, const float *v, size_t T,
                     const space_leaf_t *l, const char *key, const char *field, reason_t *why) {
    if (role == ROLE_CONTINUOUS) return check_rows(s, v, T, l->count, key, field, l->path, why);
    return role == ROLE_DISCRETE ? check_ids(s, v, T, l, key, field, why) : 0;
}

int episode_fields_check(const episode_fields_t *s, const recorded_episode_t *e, const char *key,
                         reason_t *why) {
    for (size_t i = 0; i < s->obs.n; i++) {
        use_t u = s->obs.use[i];
        if (check_use(s, u.role, e->value[u.leaf], e->T, obs(s, i), key, "observations", why))
            return -1;
    }
    for (size_t i = 0; i < s->act.n; i++) {
        use_t u = s->act.use[i];
        if (check_use(s, u.role, e->action[u.leaf], e->T, act(s, i), key, "actions", why))
            return -1;
    }
    if (e->expert_action &&
        check_rows(s, e->expert_action, e->T, episode_source_act(s->m, 0)->count, key,
                   "infos/expert_action", "", why))
        return -1;
    return check_rows(s, e->rewards, e->T, 1, key, "rewards", "", why);
}

/* ---- arrays ---- */

/* Columns at .. at + width - 1 of rows [T, columns]. */
static void put_floats(float *out, size_t columns, size_t at, const float *v, size_t width,
                       size_t T) {
    for (size_t t = 0; t < T; t++) memcpy(out + t * columns + at, v + t * width, width * sizeof *v);
}
static void put_ids(uint32_t *out, size_t columns, size_t at, const float *v, const space_leaf_t *l,
                    size_t T) {
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < l->count; k++)
            out[t * columns + at + k] = (uint32_t)(v[t * l->count + k] - mapping_first(l, k));
}

static void scale_rows(episode_fields_t *s, float *v, size_t T, bool count) {
    for (size_t i = 0; i < T * s->n_actions; i++) {
        float low = s->low[i % s->n_actions], high = s->high[i % s->n_actions];
        bool beyond = v[i] < low || v[i] > high;
        if (!bounds_wide(low, high)) {
            v[i] = bounds_scale(v[i], low, high);
            beyond = v[i] < -1 || v[i] > 1;
        }
        if (count) s->beyond += beyond;
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

/* The texts at the start of the episode, a line each, in bytes. */
static size_t text_length(const episode_fields_t *s, const recorded_episode_t *e) {
    size_t n = 0;
    for (size_t i = 0; i < s->obs.n; i++)
        if (s->obs.use[i].role == ROLE_TEXT) n += strlen(e->text[s->obs.use[i].leaf][0]) + 1;
    return n ? n - 1 : 0;
}

static void fill_text(episode_fields_t *s, const recorded_episode_t *e, token_record_t *r,
                      block_t *b) {
    if (s->text < 0) return;
    size_t n = text_length(s, e), at = 0;
    uint32_t *text = piece(b, (n + 1) * sizeof *text);
    bool moves = false, any = false;
    for (size_t i = 0; i < s->obs.n; i++) {
        if (s->obs.use[i].role != ROLE_TEXT) continue;
        char **line = e->text[s->obs.use[i].leaf];
        if (any) text[at++] = '\n';
        any = true;
        for (const char *c = line[0]; *c; c++) text[at++] = (uint8_t)*c;
        for (size_t t = 1; t < e->T && !moves; t++) moves = strcmp(line[t], line[0]) != 0;
    }
    text[n] = TEXT_END;
    r->text = text;
    r->text_len = (uint32_t)n + 1;
    s->text_moves += moves;
}

static void count_clipped(episode_fields_t *s, const float *v, size_t n) {
    for (size_t i = 0; i < n; i++) s->clipped += fabsf(v[i]) >= mu_law_end;
    s->seen += n;
}

static void fill_observations(episode_fields_t *s, const recorded_episode_t *e, size_t first,
                              token_record_t *r, block_t *b) {
    float *continuous = piece(b, r->T * s->n_continuous * sizeof *continuous);
    uint32_t *discrete = piece(b, r->T * s->n_discrete * sizeof *discrete);
    size_t c = 0, d = 0;
    for (size_t i = 0; i < s->obs.n; i++) {
        const space_leaf_t *l = obs(s, i);
        use_t u = s->obs.use[i];
        if (u.role == ROLE_CONTINUOUS) {
            put_floats(continuous, s->n_continuous, c, e->value[u.leaf] + first * l->count,
                       l->count, r->T);
            c += l->count;
        } else if (u.role == ROLE_DISCRETE) {
            put_ids(discrete, s->n_discrete, d, e->value[u.leaf] + first * l->count, l, r->T);
            d += l->count;
        }
    }
    if (c) r->continuous = continuous;
    if (d) r->discrete = discrete;
    count_clipped(s, continuous, r->T * c);
}

/* The expert speaks about the dataset's first action leaf; where it says nothing, what was done is
 * the target. */
static void fill_labels(episode_fields_t *s, const recorded_episode_t *e, size_t first,
                        token_record_t *r, float *labels) {
    size_t at = 0;
    for (size_t i = 0; i < s->act.n; i++) {
        const space_leaf_t *l = act(s, i);
        if (s->act.use[i].role != ROLE_CONTINUOUS) continue;
        if (e->expert_action && s->act.use[i].leaf == 0) {
            memcpy(labels, r->actions, r->T * s->n_actions * sizeof *labels);
            put_floats(labels, s->n_actions, at, e->expert_action + first * l->count, l->count,
                       r->T);
            scale_rows(s, labels, r->T, false);
            r->label_actions = labels;
        }
        at += l->count;
    }
}

static void fill_actions(episode_fields_t *s, const recorded_episode_t *e, size_t first,
                         token_record_t *r, block_t *b) {
    size_t bytes = r->T * s->n_actions * sizeof(float), c = 0, d = 0;
    float *actions = piece(b, bytes), *labels = piece(b, bytes);
    uint32_t *discrete = piece(b, r->T * s->n_discrete_actions * sizeof *discrete);
    for (size_t i = 0; i < s->act.n; i++) {
        const space_leaf_t *l = act(s, i);
        const float *v = e->action[s->act.use[i].leaf] + first * l->count;
        if (s->act.use[i].role == ROLE_DISCRETE) {
            put_ids(discrete, s->n_discrete_actions, d, v, l, r->T);
            d += l->count;
        } else {
            put_floats(actions, s->n_actions, c, v, l->count, r->T);
            c += l->count;
        }
    }
    if (d) r->discrete_actions = discrete;
    if (!c) return;
    r->actions = actions;
    fill_labels(s, e, first, r, labels);
    scale_rows(s, actions, r->T, true);
}

void episode_fields_fill(episode_fields_t *s, const recorded_episode_t *e, size_t first,
                         token_record_t *r, void **arrays) {
    size_t a_step =
        (size_t)s->n_continuous + s->n_discrete + 2 * (size_t)s->n_actions + s->n_discrete_actions;
    block_t b = { *arrays = xmalloc((r->T * a_step + text_length(s, e) + 1) * 4 + 8 * 8)};
    s->episodes++;
    fill_text(s, e, r, &b);
    fill_observations(s, e, first, r, &b);
    fill_actions(s, e, first, r, &b);
    r->rewards = e->rewards + first;
    r->terminated = e->terminated + first;
    r->truncated = e->truncated + first;
}

image_t episode_fields_frame(const episode_fields_t *s, const recorded_episode_t *e, size_t step) {
    size_t h, w, c;
    const space_leaf_t *l = episode_source_obs(s->m, (size_t)s->image);
    space_leaf_image_size(l, &h, &w, &c);
    image_t im = image_new(w, h);
    const uint8_t *from = e->image[s->image] + step * l->count;
    if (c == 3)
        memcpy(im.rgb, from, l->count);
    else
        for (size_t i = 0; i < w * h; i++) memset(im.rgb + 3 * i, from[i], 3);
    return im;
}

static void tell(const episode_fields_t *s, uint64_t some, uint64_t all, const char *what) {
    if (some * 100 > all)
        warn("'%s': %llu of %llu %s (%.3g %%)", s->name, (unsigned long long)some,
             (unsigned long long)all, what, 100.0 * (double)some / (double)all);
}

void episode_fields_report(const episode_fields_t *s) {
    tell(s, s->beyond, s->values, "actions are outside their bounds");
    tell(s, s->clipped, s->seen, "continuous observations are 256 or more and will share a token");
    if (s->text_moves)
        warn("'%s': the text changes within %llu of %llu episodes; each record has its first",
             s->name, (unsigned long long)s->text_moves, (unsigned long long)s->episodes);
}
