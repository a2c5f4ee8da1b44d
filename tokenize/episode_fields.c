/* episode_fields.c - see episode_fields.h. */
#include "tokenize/episode_fields.h"

#include "common/base/log.h"
#include "common/base/sizes.h"
#include "common/io/token_db/bounds.h"
#include "common/io/token_db/leaves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISCRETE = 1024, TEXT_END = 256, NAMED = 4 };
static const float mu_law_end = 256;

static const space_leaf_t *obs(const episode_fields_t *fields, size_t i) {
    return episode_source_obs(fields->source, fields->obs.use[i].leaf);
}
static const space_leaf_t *act(const episode_fields_t *fields, size_t i) {
    return episode_source_act(fields->source, fields->act.use[i].leaf);
}

/* ---- widths and bounds ---- */

static void add_observation(episode_fields_t *fields, size_t i) {
    const space_leaf_t *leaf = obs(fields, i);
    switch (fields->obs.use[i].role) {
    case ROLE_IMAGE:
        fields->image = (int)fields->obs.use[i].leaf;
        break;
    case ROLE_CONTINUOUS:
        fields->n_continuous += (uint32_t)leaf->count;
        break;
    case ROLE_DISCRETE:
        fields->n_discrete += (uint32_t)leaf->count;
        break;
    case ROLE_TEXT:
        fields->text = fields->text < 0 ? (int)fields->obs.use[i].leaf : fields->text;
        break;
    }
}

static void add_action(episode_fields_t *fields, size_t i) {
    const space_leaf_t *leaf = act(fields, i);
    if (fields->act.use[i].role == ROLE_DISCRETE) {
        for (size_t k = 0; k < leaf->count; k++)
            if (mapping_range(leaf, k) > DISCRETE)
                die(RC_MISFIT, "'%s': actions/%s has %lld values; at most %d have tokens",
                    fields->name, leaf->path, (long long)mapping_range(leaf, k), DISCRETE);
        fields->n_discrete_actions += (uint32_t)leaf->count;
        return;
    }
    size_t n = fields->n_actions + leaf->count;
    fields->low = xrealloc(fields->low, n * sizeof *fields->low);
    fields->high = xrealloc(fields->high, n * sizeof *fields->high);
    for (size_t k = 0; k < leaf->count; k++) {
        fields->low[fields->n_actions + k] = (float)leaf->low[k];
        fields->high[fields->n_actions + k] = (float)leaf->high[k];
        if (!(leaf->low[k] <= leaf->high[k]))
            die(RC_DATA, "'%s': actions/%s: the bounds [%g, %g] contain no number", fields->name,
                leaf->path, leaf->low[k], leaf->high[k]);
    }
    fields->n_actions = (uint32_t)n;
}

void episode_fields_init(episode_fields_t *fields, episode_source_t *source, const char *name,
                         const char *obs_text, const char *act_text) {
    *fields = (episode_fields_t){.source = source, .name = name, .image = -1, .text = -1};
    fields->obs = mapping_observations(source, name, obs_text);
    fields->act = mapping_actions(source, name, act_text);
    for (size_t i = 0; i < fields->obs.n; i++) add_observation(fields, i);
    for (size_t i = 0; i < fields->act.n; i++) add_action(fields, i);
}

void episode_fields_release(episode_fields_t *fields) {
    mapping_release(&fields->obs);
    mapping_release(&fields->act);
    free(fields->low);
    free(fields->high);
}

/* The ranges of the discrete leaves, one per column, malloc'ed [n]. A larger space than 1024 counts
 * as 1024: episode_fields_check looks at each value. */
static uint32_t *ranges(const space_leaf_t *(*leaf_at)(const episode_fields_t *, size_t),
                        const mapping_t *mapping, const episode_fields_t *fields, uint32_t n) {
    uint32_t *range = xcalloc(n, sizeof *range), *at = range;
    for (size_t i = 0; i < mapping->n; i++) {
        const space_leaf_t *leaf = leaf_at(fields, i);
        if (mapping->use[i].role != ROLE_DISCRETE) continue;
        for (size_t k = 0; k < leaf->count; k++)
            *at++ = mapping_range(leaf, k) < DISCRETE ? (uint32_t)mapping_range(leaf, k) : DISCRETE;
    }
    return range;
}

static float *copy(const float *v, size_t n) {
    return n ? memcpy(xmalloc(n * sizeof *v), v, n * sizeof *v) : NULL;
}

static void name_side(const episode_fields_t *fields, leaves_t *leaves, leaf_side_t side) {
    static const leaf_part_t part[] = {LEAF_IMAGE, LEAF_CONTINUOUS, LEAF_DISCRETE, LEAF_TEXT};
    const mapping_t *mapping = side == LEAF_ACTION ? &fields->act : &fields->obs;
    for (size_t i = 0; i < mapping->n; i++) {
        const space_leaf_t *leaf = side == LEAF_ACTION ? act(fields, i) : obs(fields, i);
        role_t role = mapping->use[i].role;
        bool one = role == ROLE_IMAGE || role == ROLE_TEXT;
        leaves_add(leaves, side, part[role], leaf->path, one ? 1 : (uint32_t)leaf->count);
    }
}

/* Which action columns are stored as they are, [n_actions], malloc'ed; NULL when none is. Logs them
 * in one line. */
static uint8_t *raw_actions(const episode_fields_t *fields, const leaves_t *leaves) {
    char list[300] = "", name[300];
    size_t at = 0, n = 0;
    uint8_t *raw = xcalloc(fields->n_actions, 1);
    for (uint32_t k = 0; k < fields->n_actions; k++) {
        raw[k] = bounds_wide(fields->low[k], fields->high[k]);
        if (!raw[k] || n++ >= NAMED) continue;
        at +=
            (size_t)snprintf(list + at, sizeof list - at, "%s%.24s [%.3g, %.3g]", n > 1 ? ", " : "",
                             leaves_column(leaves, LEAF_ACTION, LEAF_CONTINUOUS, k, name),
                             (double)fields->low[k], (double)fields->high[k]);
    }
    if (n) {
        log_line("'%s': %zu of %u action columns have bounds that say nothing about their numbers: "
                 "they are stored as they are, and training scales them by its quantiles: %s%s",
                 fields->name, n, fields->n_actions, list, n > NAMED ? ", ..." : "");
        return raw;
    }
    free(raw);
    return NULL;
}

void episode_fields_meta(const episode_fields_t *fields, shard_meta_t *meta) {
    leaves_t leaves = {0};
    name_side(fields, &leaves, LEAF_OBSERVATION);
    name_side(fields, &leaves, LEAF_ACTION);
    meta->leaves = leaves_json(&leaves);
    meta->action_raw = raw_actions(fields, &leaves);
    leaves_release(&leaves);
    meta->n_continuous = fields->n_continuous;
    meta->n_discrete = fields->n_discrete;
    meta->n_actions = fields->n_actions;
    meta->n_discrete_actions = fields->n_discrete_actions;
    meta->discrete_range = ranges(obs, &fields->obs, fields, fields->n_discrete);
    meta->discrete_action_range = ranges(act, &fields->act, fields, fields->n_discrete_actions);
    meta->action_low = copy(fields->low, fields->n_actions);
    meta->action_high = copy(fields->high, fields->n_actions);
    if (episode_source_env_spec(fields->source))
        meta->env = xstrdup(episode_source_env_spec(fields->source));
}

/* ---- checks ---- */

static int refuse(const episode_fields_t *fields, const char *key, size_t step, const char *field,
                  const char *path, const char *what, reason_t *why) {
    return reason_set(why, "'%s': %s, step %zu, %s%s%s: %s", fields->name, key, step, field,
                      *path ? "/" : "", path, what);
}

static int check_rows(const episode_fields_t *fields, const float *v, size_t T, size_t width,
                      const char *key, const char *field, const char *path, reason_t *why) {
    for (size_t i = 0; v && i < T * width; i++) {
        if (isnan(v[i])) return refuse(fields, key, i / width, field, path, "NaN", why);
        if (isinf(v[i])) return refuse(fields, key, i / width, field, path, "infinite", why);
    }
    return 0;
}

static int check_ids(const episode_fields_t *fields, const float *v, size_t T,
                     const space_leaf_t *leaf, const char *key, const char *field, reason_t *why) {
    for (size_t i = 0; v && i < T * leaf->count; i++) {
        double id = v[i] - mapping_first(leaf, i % leaf->count);
        const char *what = id >= DISCRETE ? "a discrete value of 1024 or more has no token" : NULL;
        if (!what &&
            !(id >= 0 && id < (double)mapping_range(leaf, i % leaf->count) && id == floor(id)))
            what = "a discrete value outside its range";
        if (what) return refuse(fields, key, i / leaf->count, field, leaf->path, what, why);
    }
    return 0;
}

static int check_use(const episode_fields_t *fields, role_t role, const float *v, size_t T,
                     const space_leaf_t *leaf, const char *key, const char *field, reason_t *why) {
    if (role == ROLE_CONTINUOUS)
        return check_rows(fields, v, T, leaf->count, key, field, leaf->path, why);
    return role == ROLE_DISCRETE ? check_ids(fields, v, T, leaf, key, field, why) : 0;
}

int episode_fields_check(const episode_fields_t *fields, const recorded_episode_t *episode,
                         const char *key, reason_t *why) {
    for (size_t i = 0; i < fields->obs.n; i++) {
        use_t use = fields->obs.use[i];
        if (check_use(fields, use.role, episode->value[use.leaf], episode->T, obs(fields, i), key,
                      "observations", why))
            return -1;
    }
    for (size_t i = 0; i < fields->act.n; i++) {
        use_t use = fields->act.use[i];
        if (check_use(fields, use.role, episode->action[use.leaf], episode->T, act(fields, i), key,
                      "actions", why))
            return -1;
    }
    if (episode->expert_action && check_rows(fields, episode->expert_action, episode->T,
                                             episode_source_act(fields->source, 0)->count, key,
                                             "infos/expert_action", "", why))
        return -1;
    return check_rows(fields, episode->rewards, episode->T, 1, key, "rewards", "", why);
}

/* ---- arrays ---- */

/* Columns at .. at + width - 1 of rows [T, columns]. */
static void put_floats(float *out, size_t columns, size_t at, const float *v, size_t width,
                       size_t T) {
    for (size_t t = 0; t < T; t++) memcpy(out + t * columns + at, v + t * width, width * sizeof *v);
}
static void put_ids(uint32_t *out, size_t columns, size_t at, const float *v,
                    const space_leaf_t *leaf, size_t T) {
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < leaf->count; k++)
            out[t * columns + at + k] = (uint32_t)(v[t * leaf->count + k] - mapping_first(leaf, k));
}

static void scale_rows(episode_fields_t *fields, float *v, size_t T, bool count) {
    for (size_t i = 0; i < T * fields->n_actions; i++) {
        float low = fields->low[i % fields->n_actions], high = fields->high[i % fields->n_actions];
        bool beyond = v[i] < low || v[i] > high;
        if (!bounds_wide(low, high)) {
            v[i] = bounds_scale(v[i], low, high);
            beyond = v[i] < -1 || v[i] > 1;
        }
        if (count) fields->beyond += beyond;
    }
    if (count) fields->values += T * fields->n_actions;
}

/* All arrays of a record lie in one block; `at` is its first free byte. */
typedef struct {
    uint8_t *at;
} block_t;
static void *reserve(block_t *block, size_t bytes) {
    void *p = block->at;
    block->at += round_up(bytes, 8);
    return p;
}

/* Bytes of the texts at the start of the episode, a line each. */
static size_t text_length(const episode_fields_t *fields, const recorded_episode_t *episode) {
    size_t n = 0;
    for (size_t i = 0; i < fields->obs.n; i++)
        if (fields->obs.use[i].role == ROLE_TEXT)
            n += strlen(episode->text[fields->obs.use[i].leaf][0]) + 1;
    return n ? n - 1 : 0;
}

static void fill_text(episode_fields_t *fields, const recorded_episode_t *episode,
                      token_record_t *record, block_t *block) {
    if (fields->text < 0) return;
    size_t n = text_length(fields, episode), at = 0;
    uint32_t *text = reserve(block, (n + 1) * sizeof *text);
    bool moves = false, any = false;
    for (size_t i = 0; i < fields->obs.n; i++) {
        if (fields->obs.use[i].role != ROLE_TEXT) continue;
        char **line = episode->text[fields->obs.use[i].leaf];
        if (any) text[at++] = '\n';
        any = true;
        for (const char *c = line[0]; *c; c++) text[at++] = (uint8_t)*c;
        for (size_t t = 1; t < episode->T && !moves; t++) moves = strcmp(line[t], line[0]) != 0;
    }
    text[n] = TEXT_END;
    record->text = text;
    record->text_len = (uint32_t)n + 1;
    fields->text_moves += moves;
}

static void count_clipped(episode_fields_t *fields, const float *v, size_t n) {
    for (size_t i = 0; i < n; i++) fields->clipped += fabsf(v[i]) >= mu_law_end;
    fields->seen += n;
}

static void fill_observations(episode_fields_t *fields, const recorded_episode_t *episode,
                              size_t first, token_record_t *record, block_t *block) {
    float *continuous = reserve(block, record->T * fields->n_continuous * sizeof *continuous);
    uint32_t *discrete = reserve(block, record->T * fields->n_discrete * sizeof *discrete);
    size_t c = 0, d = 0;
    for (size_t i = 0; i < fields->obs.n; i++) {
        const space_leaf_t *leaf = obs(fields, i);
        use_t use = fields->obs.use[i];
        if (use.role == ROLE_CONTINUOUS) {
            put_floats(continuous, fields->n_continuous, c,
                       episode->value[use.leaf] + first * leaf->count, leaf->count, record->T);
            c += leaf->count;
        } else if (use.role == ROLE_DISCRETE) {
            put_ids(discrete, fields->n_discrete, d, episode->value[use.leaf] + first * leaf->count,
                    leaf, record->T);
            d += leaf->count;
        }
    }
    if (c) record->continuous = continuous;
    if (d) record->discrete = discrete;
    count_clipped(fields, continuous, record->T * c);
}

/* Expert actions exist for the dataset's first action leaf; the label of every other column is the
 * action that was taken. */
static void fill_labels(episode_fields_t *fields, const recorded_episode_t *episode, size_t first,
                        token_record_t *record, float *labels) {
    size_t at = 0;
    for (size_t i = 0; i < fields->act.n; i++) {
        const space_leaf_t *leaf = act(fields, i);
        if (fields->act.use[i].role != ROLE_CONTINUOUS) continue;
        if (episode->expert_action && fields->act.use[i].leaf == 0) {
            memcpy(labels, record->actions, record->T * fields->n_actions * sizeof *labels);
            put_floats(labels, fields->n_actions, at, episode->expert_action + first * leaf->count,
                       leaf->count, record->T);
            scale_rows(fields, labels, record->T, false);
            record->label_actions = labels;
        }
        at += leaf->count;
    }
}

static void fill_actions(episode_fields_t *fields, const recorded_episode_t *episode, size_t first,
                         token_record_t *record, block_t *block) {
    size_t bytes = record->T * fields->n_actions * sizeof(float), c = 0, d = 0;
    float *actions = reserve(block, bytes), *labels = reserve(block, bytes);
    uint32_t *discrete = reserve(block, record->T * fields->n_discrete_actions * sizeof *discrete);
    for (size_t i = 0; i < fields->act.n; i++) {
        const space_leaf_t *leaf = act(fields, i);
        const float *v = episode->action[fields->act.use[i].leaf] + first * leaf->count;
        if (fields->act.use[i].role == ROLE_DISCRETE) {
            put_ids(discrete, fields->n_discrete_actions, d, v, leaf, record->T);
            d += leaf->count;
        } else {
            put_floats(actions, fields->n_actions, c, v, leaf->count, record->T);
            c += leaf->count;
        }
    }
    if (d) record->discrete_actions = discrete;
    if (!c) return;
    record->actions = actions;
    fill_labels(fields, episode, first, record, labels);
    scale_rows(fields, actions, record->T, true);
}

void episode_fields_fill(episode_fields_t *fields, const recorded_episode_t *episode, size_t first,
                         token_record_t *record, void **arrays) {
    size_t a_step = (size_t)fields->n_continuous + fields->n_discrete +
                    2 * (size_t)fields->n_actions + fields->n_discrete_actions;
    block_t block = { *arrays = xmalloc(
                          (record->T * a_step + text_length(fields, episode) + 1) * 4 + 8 * 8)};
    fields->episodes++;
    fill_text(fields, episode, record, &block);
    fill_observations(fields, episode, first, record, &block);
    fill_actions(fields, episode, first, record, &block);
    record->rewards = episode->rewards + first;
    record->terminated = episode->terminated + first;
    record->truncated = episode->truncated + first;
}

image_t episode_fields_frame(const episode_fields_t *fields, const recorded_episode_t *episode,
                             size_t step) {
    size_t h, w, c;
    const space_leaf_t *leaf = episode_source_obs(fields->source, (size_t)fields->image);
    space_leaf_image_size(leaf, &h, &w, &c);
    image_t im = image_new(w, h);
    const uint8_t *from = episode->image[fields->image] + step * leaf->count;
    if (c == 3)
        memcpy(im.rgb, from, leaf->count);
    else
        for (size_t i = 0; i < w * h; i++) memset(im.rgb + 3 * i, from[i], 3);
    return im;
}

/* Warns when more than 1 % are so. */
static void warn_share(const episode_fields_t *fields, uint64_t some, uint64_t all,
                       const char *what, const char *advice) {
    if (some * 100 > all)
        warn("'%s': %llu of %llu %s (%.3g %%)%s", fields->name, (unsigned long long)some,
             (unsigned long long)all, what, 100.0 * (double)some / (double)all, advice);
}

void episode_fields_report(const episode_fields_t *fields) {
    warn_share(fields, fields->beyond, fields->values, "actions are outside their bounds",
               ": training clips them there; is the action space declared right?");
    warn_share(fields, fields->clipped, fields->seen,
               "continuous observations are 256 or more and will share a token", "");
    if (fields->text_moves)
        warn("'%s': the text changes within %llu of %llu episodes; each record has its first",
             fields->name, (unsigned long long)fields->text_moves,
             (unsigned long long)fields->episodes);
}
