/* episode_task.c - see episode_task.h. */
#include "tokenize/episode_task.h"

#include "common/base/log.h"
#include "common/io/text/json.h"
#include "common/io/token_db/bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 4 }; /* columns that a message names one by one */

/* ---- the name ---- */

/* Length of a name without "-v3" at its end. */
static size_t without_version(const char *name, size_t n) {
    size_t digits = n;
    while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') digits--;
    bool version = digits < n && digits > 2 && name[digits - 1] == 'v' && name[digits - 2] == '-';
    return version ? digits - 2 : n;
}

/* Where the last part of a path of n bytes begins. */
static size_t last_part(const char *path, size_t n) {
    while (n > 0 && path[n - 1] != '/') n--;
    return n;
}

char *episode_task_name(const episode_source_t *source, const char *path) {
    const char *id = episode_source_dataset_id(source);
    size_t end = without_version(id, strlen(id)), begin = last_part(id, end);
    if (begin > 1) { /* the namespace's last part */
        end = begin - 1;
        begin = last_part(id, end);
    }
    if (end > begin) return xasprintf("%.*s", (int)(end - begin), id + begin);
    end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    begin = last_part(path, end);
    const char *dot = memrchr(path + begin, '.', end - begin);
    if (dot && dot > path + begin) end = (size_t)(dot - path);
    return end > begin ? xasprintf("%.*s", (int)(end - begin), path + begin) : xstrdup("episodes");
}

/* ---- slots ---- */

/* As declared; what contains no number says nothing, and stays infinite. */
static void set_bounds(slot_t *slot, const space_leaf_t *leaf, const char *dataset) {
    for (uint32_t k = 0; k < slot->width; k++) {
        if (leaf->low[k] <= leaf->high[k]) {
            slot->low[k] = (float)leaf->low[k];
            slot->high[k] = (float)leaf->high[k];
        } else if (slot->side == SIDE_ACTED) {
            die(RC_DATA, "'%s': actions/%s: the bounds [%g, %g] contain no number", dataset,
                leaf->path, leaf->low[k], leaf->high[k]);
        }
    }
    for (uint32_t k = 0; slot->raw && k < slot->width; k++)
        slot->raw[k] = bounds_wide(slot->low[k], slot->high[k]);
}

/* An observed range of more than 1024 counts as 1024, since each value is looked at; an action of
 * that kind could not be played. */
static void set_range(slot_t *slot, const space_leaf_t *leaf, const char *dataset) {
    slot->range = xcalloc(slot->width, sizeof *slot->range);
    for (uint32_t k = 0; k < slot->width; k++) {
        int64_t range = mapping_range(leaf, k);
        if (range > TASK_DISCRETE && slot->side == SIDE_ACTED)
            die(RC_MISFIT, "'%s': actions/%s has %lld values; at most %d have tokens", dataset,
                leaf->path, (long long)range, TASK_DISCRETE);
        slot->range[k] = range < TASK_DISCRETE ? (uint32_t)range : TASK_DISCRETE;
    }
}

static void add_slot(task_t *task, slot_side_t side, slot_kind_t kind, const space_leaf_t *leaf,
                     const char *dataset) {
    bool one = kind == SLOT_IMAGE || kind == SLOT_TEXT;
    if (kind == SLOT_TEXT && task_first(task, SIDE_OBSERVED, SLOT_TEXT) >= 0) return;
    if (!one && leaf->count > TASK_WIDTH)
        die(RC_MISFIT, "'%s': '%s' has %zu numbers; at most %d are possible", dataset, leaf->path,
            leaf->count, TASK_WIDTH);
    slot_t *slot = task_add(task, kind, side, leaf->path, one ? 1 : (uint32_t)leaf->count);
    if (!slot)
        die(RC_MISFIT,
            "'%s' has more than %d observations and actions, the most that a task can have (--obs "
            "and --act choose)",
            dataset, TASK_SLOTS);
    if (kind == SLOT_VECTOR) set_bounds(slot, leaf, dataset);
    if (kind == SLOT_DISCRETE) set_range(slot, leaf, dataset);
}

/* The environment's specification, if it is JSON, and how long its episodes are. */
static void set_env(task_t *task, const char *spec, const char *dataset) {
    reason_t why;
    uint64_t steps;
    if (!spec) return;
    cJSON *env = json_parse(spec, strlen(spec), true, &why);
    if (!cJSON_IsObject(env))
        warn("'%s': env_spec is left out: %s", dataset, env ? "it is no JSON object" : why.text);
    else
        task->env = json_canonical(env);
    if (json_u64(cJSON_GetObjectItemCaseSensitive(env, "max_episode_steps"), &steps) &&
        steps <= UINT32_MAX)
        task->max_steps = (uint32_t)steps;
    cJSON_Delete(env);
}

task_t episode_task_new(const char *name, const episode_source_t *source, const char *dataset,
                        const mapping_t *obs, const mapping_t *act, size_t leaf[TASK_SLOTS]) {
    task_t task = task_new(name, RECORD_EPISODE);
    for (size_t i = 0; i < obs->n; i++)
        add_slot(&task, SIDE_OBSERVED, obs->use[i].kind,
                 episode_source_obs(source, obs->use[i].leaf), dataset);
    for (size_t i = 0; i < act->n; i++)
        add_slot(&task, SIDE_ACTED, act->use[i].kind, episode_source_act(source, act->use[i].leaf),
                 dataset);
    /* only now do the slots stay where they are */
    for (size_t i = 0; i < obs->n; i++) {
        int s = task_find(&task, SIDE_OBSERVED, episode_source_obs(source, obs->use[i].leaf)->path);
        if (s >= 0) leaf[s] = obs->use[i].leaf;
    }
    for (size_t i = 0; i < act->n; i++)
        leaf[task_find(&task, SIDE_ACTED, episode_source_act(source, act->use[i].leaf)->path)] =
            act->use[i].leaf;
    set_env(&task, episode_source_env_spec(source), dataset);
    task.random_return = episode_source_random_return(source);
    task.expert_return = episode_source_expert_return(source);
    reason_t why;
    if (task_check(&task, &why)) die(RC_MISFIT, "'%s': %s", dataset, why.text);
    return task;
}

void episode_task_sizes(task_t *task, const episode_source_t *source, const size_t *leaf,
                        const tokenizer_t *tokenizer) {
    for (uint32_t s = 0; s < task->n_slots; s++) {
        slot_t *slot = &task->slot[s];
        size_t h, w, c;
        if (slot->kind != SLOT_IMAGE) continue;
        space_leaf_image_size(episode_source_obs(source, leaf[s]), &h, &w, &c);
        if (tokenizer) {
            image_t blank = image_new(w, h), seen = tokenizer_preprocess(tokenizer, &blank);
            tokenizer_grid_t grid = tokenizer_grid(tokenizer, seen.w, seen.h);
            h = seen.h;
            w = seen.w;
            slot->grid_h = (uint32_t)grid.h;
            slot->grid_w = (uint32_t)grid.w;
            image_release(&blank);
            image_release(&seen);
        }
        slot->image_h = (uint32_t)h;
        slot->image_w = (uint32_t)w;
    }
}

void episode_task_log_raw(const task_t *task, const char *dataset) {
    char list[300] = "", column[TASK_NAME + 32];
    size_t at = 0, n = 0;
    for (uint32_t s = 0; s < task->n_slots; s++) {
        const slot_t *slot = &task->slot[s];
        if (slot->side != SIDE_ACTED || slot->kind != SLOT_VECTOR) continue;
        for (uint32_t k = 0; k < slot->width; k++) {
            if (!slot->raw[k] || n++ >= NAMED) continue;
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%.24s [%.3g, %.3g]",
                                   n > 1 ? ", " : "", slot_column(slot, k, column),
                                   (double)slot->low[k], (double)slot->high[k]);
        }
    }
    if (n)
        log_line("'%s': %zu of %llu action columns have bounds that say nothing about their "
                 "numbers: they are stored as they are, and training scales them by its quantiles: "
                 "%s%s",
                 dataset, n, (unsigned long long)task_width(task, SIDE_ACTED, SLOT_VECTOR), list,
                 n > NAMED ? ", ..." : "");
}
