/* episode_fields.c - see episode_fields.h. */
#include "tokenize/episode_fields.h"

#include "common/io/token_db/bounds.h"
#include "tokenize/episode_task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float mu_law_end = 256;

void *episode_arrays_add(episode_arrays_t *arrays, size_t n, size_t size) {
    arrays->array = xgrow(arrays->array, &arrays->cap, arrays->n + 1, sizeof *arrays->array);
    return arrays->array[arrays->n++] = xcalloc(n, size);
}

void episode_arrays_release(episode_arrays_t *arrays) {
    for (size_t i = 0; i < arrays->n; i++) free(arrays->array[i]);
    free(arrays->array);
    *arrays = (episode_arrays_t){0};
}

/* ---- the task ---- */

static const space_leaf_t *leaf_of(const episode_fields_t *fields, uint32_t s) {
    bool observed = fields->task.slot[s].side == SIDE_OBSERVED;
    return observed ? episode_source_obs(fields->source, fields->leaf[s])
                    : episode_source_act(fields->source, fields->leaf[s]);
}

void episode_fields_init(episode_fields_t *fields, episode_source_t *source, const char *name,
                         const text_tokenizer_t *text_tokenizer, const char *obs, const char *act,
                         const char *task) {
    *fields = (episode_fields_t){.source = source, .name = name, .text_tokenizer = text_tokenizer};
    fields->obs = mapping_observations(source, name, obs);
    fields->act = mapping_actions(source, name, act);
    char *task_name = task ? xstrdup(task) : episode_task_name(source, name);
    fields->task =
        episode_task_new(task_name, source, name, &fields->obs, &fields->act, fields->leaf);
    free(task_name);
    for (uint32_t s = 0; s < fields->task.n_slots; s++)
        fields->n_images += fields->task.slot[s].kind == SLOT_IMAGE;
}

void episode_fields_release(episode_fields_t *fields) {
    mapping_release(&fields->obs);
    mapping_release(&fields->act);
    task_release(&fields->task);
}

void episode_fields_meta(episode_fields_t *fields, const tokenizer_t *tokenizer,
                         shard_meta_t *meta) {
    episode_task_sizes(&fields->task, fields->source, fields->leaf, tokenizer);
    episode_task_log_raw(&fields->task, fields->name);
    tasks_add(&meta->tasks, task_copy(&fields->task));
}

/* ---- what is missing ---- */

/* Where a slot is there from step `first` on, or NULL: always. */
static const uint8_t *present(const episode_fields_t *fields, const recorded_episode_t *episode,
                              uint32_t s, size_t first) {
    if (fields->task.slot[s].side == SIDE_ACTED || !episode->present) return NULL;
    const uint8_t *mask = episode->present[fields->leaf[s]];
    return mask ? mask + first : NULL;
}

/* ---- checks ---- */

/* Rows [T, leaf->count] that are to be looked at. */
typedef struct {
    const float *v;         /* NULL: none */
    const uint8_t *present; /* [T], or NULL */
    size_t T;
    const space_leaf_t *leaf;
    const char *field; /* "observations", for messages */
} rows_t;

static int refuse(const episode_fields_t *fields, const char *key, const rows_t *rows, size_t i,
                  const char *what, reason_t *why) {
    const char *path = rows->leaf->path;
    return reason_set(why, "'%s': %s, step %zu, %s%s%s: %s", fields->name, key,
                      i / rows->leaf->count, rows->field, *path ? "/" : "", path, what);
}

static const char *wrong_number(float v) {
    if (isnan(v)) return "NaN";
    return isinf(v) ? "infinite" : NULL;
}

static const char *wrong_id(const space_leaf_t *leaf, size_t k, float v) {
    double id = v - mapping_first(leaf, k);
    if (id >= TASK_DISCRETE) return "a discrete value of 1024 or more has no token";
    if (id >= 0 && id < (double)mapping_range(leaf, k) && id == floor(id)) return NULL;
    return "a discrete value outside its range";
}

static int check_rows(const episode_fields_t *fields, const rows_t *rows, bool discrete,
                      const char *key, reason_t *why) {
    size_t width = rows->leaf->count;
    for (size_t i = 0; rows->v && i < rows->T * width; i++) {
        if (rows->present && !rows->present[i / width]) continue;
        const char *what =
            discrete ? wrong_id(rows->leaf, i % width, rows->v[i]) : wrong_number(rows->v[i]);
        if (what) return refuse(fields, key, rows, i, what, why);
    }
    return 0;
}

static int check_slot(const episode_fields_t *fields, const recorded_episode_t *episode, uint32_t s,
                      const char *key, reason_t *why) {
    const slot_t *slot = &fields->task.slot[s];
    size_t leaf = fields->leaf[s];
    bool discrete = slot->kind == SLOT_DISCRETE;
    rows_t rows = {.T = episode->T, .leaf = leaf_of(fields, s)};
    if (slot->kind != SLOT_VECTOR && !discrete) return 0;
    if (slot->side == SIDE_OBSERVED) {
        rows.v = episode->value[leaf];
        rows.present = present(fields, episode, s, 0);
        rows.field = "observations";
        return check_rows(fields, &rows, discrete, key, why);
    }
    rows.v = episode->action[leaf];
    rows.field = "actions";
    if (check_rows(fields, &rows, discrete, key, why)) return -1;
    rows.v = episode->expert_action ? episode->expert_action[leaf] : NULL;
    rows.field = "infos/expert_action";
    return check_rows(fields, &rows, discrete, key, why);
}

int episode_fields_check(const episode_fields_t *fields, const recorded_episode_t *episode,
                         const char *key, reason_t *why) {
    static const space_leaf_t scalar = {.count = 1};
    for (uint32_t s = 0; s < fields->task.n_slots; s++)
        if (check_slot(fields, episode, s, key, why)) return -1;
    rows_t rewards = {.v = episode->rewards, .T = episode->T, .leaf = &scalar, .field = "rewards"};
    return check_rows(fields, &rewards, false, key, why);
}

/* ---- arrays ---- */

/* Rows [T, width] as numbers; missing ones stay 0. */
static float *numbers(const float *v, const slot_t *slot, const uint8_t *mask, size_t T,
                      episode_arrays_t *arrays) {
    float *out = episode_arrays_add(arrays, T * slot->width, sizeof *out);
    for (size_t t = 0; t < T; t++)
        if (!mask || mask[t])
            memcpy(out + t * slot->width, v + t * slot->width, slot->width * sizeof *v);
    return out;
}

/* Rows [T, width] as discrete values; missing ones stay 0. */
static uint32_t *ids(const float *v, const slot_t *slot, const space_leaf_t *leaf,
                     const uint8_t *mask, size_t T, episode_arrays_t *arrays) {
    uint32_t *out = episode_arrays_add(arrays, T * slot->width, sizeof *out);
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < slot->width && (!mask || mask[t]); k++)
            out[t * slot->width + k] = (uint32_t)(v[t * slot->width + k] - mapping_first(leaf, k));
    return out;
}

/* Scales rows [T, width] by the declared bounds, but for raw columns. Returns how many numbers lie
 * outside their bounds. */
static size_t scale(float *v, const slot_t *slot, size_t T) {
    size_t beyond = 0;
    for (size_t i = 0; i < T * slot->width; i++) {
        size_t k = i % slot->width;
        float low = slot->low[k], high = slot->high[k];
        bool out = v[i] < low || v[i] > high;
        if (!slot->raw[k]) {
            v[i] = bounds_scale(v[i], low, high);
            out = v[i] < -1 || v[i] > 1;
        }
        beyond += out;
    }
    return beyond;
}

/* The text of a leaf at a step; NULL: missing. */
static const char *text_at(const recorded_episode_t *episode, size_t leaf, size_t t) {
    const uint8_t *mask = episode->present ? episode->present[leaf] : NULL;
    return mask && !mask[t] ? NULL : episode->text[leaf][t];
}

/* Does the text of a leaf change within the episode? first: the one that it begins with. */
static bool text_moves(const recorded_episode_t *episode, size_t leaf, const char *first) {
    for (size_t t = 1; t < episode->T; t++)
        if (text_at(episode, leaf, t) && strcmp(text_at(episode, leaf, t), first)) return true;
    return false;
}

/* The first texts of the episode, a line each, and the end of text. */
static void fill_text(episode_fields_t *fields, const recorded_episode_t *episode,
                      slot_data_t *slot, episode_arrays_t *arrays) {
    bool moves = false;
    char *text = NULL;
    size_t size = 0, cap = 0;
    for (size_t i = 0; i < fields->obs.n; i++) {
        size_t leaf = fields->obs.use[i].leaf;
        const char *first = fields->obs.use[i].kind == SLOT_TEXT ? text_at(episode, leaf, 0) : NULL;
        if (!first) continue;
        size_t n = strlen(first);
        text = xgrow(text, &cap, size + n + 1, 1);
        if (size) text[size - 1] = '\n';
        memcpy(text + size, first, n + 1);
        size += n + 1;
        moves |= text_moves(episode, leaf, first);
    }
    if (!text) return; /* no text is there */
    text_ids_t ids = {0};
    text_tokenizer_encode(fields->text_tokenizer, text, size - 1, &ids);
    text_ids_add(&ids, text_tokenizer_end(fields->text_tokenizer));
    slot->text =
        memcpy(episode_arrays_add(arrays, ids.n, sizeof *ids.id), ids.id, ids.n * sizeof *ids.id);
    slot->text_len = (uint32_t)ids.n;
    fields->text_moves += moves;
    text_ids_release(&ids);
    free(text);
}

static void fill_observation(episode_fields_t *fields, const recorded_episode_t *episode,
                             size_t first, uint32_t s, token_record_t *record,
                             episode_arrays_t *arrays) {
    const slot_t *slot = &fields->task.slot[s];
    const uint8_t *mask = present(fields, episode, s, first);
    size_t T = record->T, there = T;
    for (size_t t = 0; mask && t < T; t++) there -= !mask[t];
    if (slot->kind == SLOT_TEXT) fill_text(fields, episode, &record->slot[s], arrays);
    if (slot->kind == SLOT_TEXT || !there) return;
    record->slot[s].present = there < T ? mask : NULL;
    const float *v = episode->value[fields->leaf[s]];
    if (slot->kind == SLOT_DISCRETE)
        record->slot[s].discrete =
            ids(v + first * slot->width, slot, leaf_of(fields, s), mask, T, arrays);
    if (slot->kind != SLOT_VECTOR) return;
    const float *rows = numbers(v + first * slot->width, slot, mask, T, arrays);
    for (size_t i = 0; i < T * slot->width; i++) fields->clipped += fabsf(rows[i]) >= mu_law_end;
    fields->seen += there * slot->width;
    record->slot[s].vector = rows;
}

/* Where nobody says what the expert would have done, the label is the action that was taken. */
static void fill_action(episode_fields_t *fields, const recorded_episode_t *episode, size_t first,
                        uint32_t s, token_record_t *record, episode_arrays_t *arrays) {
    const slot_t *slot = &fields->task.slot[s];
    slot_data_t *data = &record->slot[s];
    size_t leaf = fields->leaf[s], at = first * slot->width, T = record->T;
    const float *v = episode->action[leaf] + at,
                *expert = episode->expert_action ? episode->expert_action[leaf] : NULL;
    if (slot->kind == SLOT_DISCRETE) {
        data->discrete = ids(v, slot, leaf_of(fields, s), NULL, T, arrays);
        if (expert)
            data->label_discrete = ids(expert + at, slot, leaf_of(fields, s), NULL, T, arrays);
        return;
    }
    float *rows = numbers(v, slot, NULL, T, arrays);
    fields->beyond += scale(rows, slot, T);
    fields->values += T * slot->width;
    data->vector = rows;
    if (!expert) return;
    float *labels = numbers(expert + at, slot, NULL, T, arrays);
    scale(labels, slot, T);
    data->label_vector = labels;
}

void episode_fields_fill(episode_fields_t *fields, const recorded_episode_t *episode, size_t first,
                         token_record_t *record, episode_arrays_t *arrays) {
    fields->episodes++;
    for (uint32_t s = 0; s < fields->task.n_slots; s++) {
        if (fields->task.slot[s].side == SIDE_OBSERVED)
            fill_observation(fields, episode, first, s, record, arrays);
        else
            fill_action(fields, episode, first, s, record, arrays);
    }
    record->rewards = episode->rewards + first;
    record->terminated = episode->terminated + first;
    record->truncated = episode->truncated + first;
    if (episode->success) record->success = episode->success + first;
}

image_t episode_fields_frame(const episode_fields_t *fields, const recorded_episode_t *episode,
                             size_t k, size_t step) {
    size_t h, w, c;
    const space_leaf_t *leaf = leaf_of(fields, (uint32_t)k);
    const uint8_t *mask = present(fields, episode, (uint32_t)k, step);
    if (mask && !mask[0]) return (image_t){0};
    space_leaf_image_size(leaf, &h, &w, &c);
    image_t im = image_new(w, h);
    const uint8_t *from = episode->image[fields->leaf[k]] + step * leaf->count;
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
