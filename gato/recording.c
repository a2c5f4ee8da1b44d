/* recording.c - see recording.h. Slots become leaves under their names: images, texts, Boxes of
 * float32, Discretes. An action of one slot without a name is a bare space, anything else a
 * Dict. */
#include "gato/recording.h"
#include "common/io/text/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A leaf and the room for one row of it, where its slot does not have it as the writer takes it. */
typedef struct {
    uint32_t slot;
    float *number;  /* [width] */
    float *label;   /* [width], acted */
    uint8_t *black; /* an image that is missing */
} row_t;

struct recording {
    const task_t *task;
    minari_writer_t *writer;
    space_leaf_t obs[TASK_SLOTS], act[TASK_SLOTS];
    row_t seen[TASK_SLOTS], acted[TASK_SLOTS];
    size_t n_obs, n_act;
    bool open, labels;
};

/* ---- slots to leaves ---- */

static double *doubles(const float *v, size_t n) {
    double *d = xmalloc(n * sizeof *d);
    for (size_t i = 0; i < n; i++) d[i] = (double)v[i];
    return d;
}

static space_leaf_t leaf_of(const slot_t *slot) {
    space_leaf_t l = {.count = slot->width, .rank = 1, .dim = {slot->width}};
    snprintf(l.path, sizeof l.path, "%s", slot->name);
    switch (slot->kind) {
    case SLOT_IMAGE:
        l.kind = SPACE_IMAGE;
        l.rank = 3;
        l.dim[0] = slot->image_h;
        l.dim[1] = slot->image_w;
        l.dim[2] = 3;
        l.count = l.dim[0] * l.dim[1] * l.dim[2];
        strcpy(l.dtype, "uint8");
        break;
    case SLOT_TEXT:
        l.kind = SPACE_TEXT;
        l.rank = 0;
        strcpy(l.dtype, "str");
        break;
    case SLOT_VECTOR:
        l.kind = SPACE_BOX;
        strcpy(l.dtype, "float32");
        l.low = doubles(slot->low, slot->width);
        l.high = doubles(slot->high, slot->width);
        break;
    default:
        l.kind = SPACE_DISCRETE;
        l.rank = slot->width > 1;
        strcpy(l.dtype, "int64");
        l.n = slot->range[0];
        if (l.rank == 0) break;
        l.low = xcalloc(slot->width, sizeof *l.low);
        l.high = xcalloc(slot->width, sizeof *l.high);
        for (uint32_t k = 0; k < slot->width; k++) {
            l.high[k] = slot->range[k] - 1.0;
            if (slot->range[k] > l.n) l.n = slot->range[k];
        }
    }
    return l;
}

static void make_leaves(recording_t *r) {
    for (uint32_t i = 0; i < r->task->n_slots; i++) {
        const slot_t *slot = &r->task->slot[i];
        bool seen = slot->side == SIDE_OBSERVED;
        space_leaf_t *leaf = seen ? &r->obs[r->n_obs] : &r->act[r->n_act];
        row_t *row = seen ? &r->seen[r->n_obs++] : &r->acted[r->n_act++];
        *leaf = leaf_of(slot);
        row->slot = i;
        row->number = xcalloc(slot->width, sizeof *row->number);
        row->label = xcalloc(slot->width, sizeof *row->label);
        if (slot->kind == SLOT_IMAGE) row->black = xcalloc(leaf->count, 1);
    }
}

/* The environment's description of itself, with the renderer that drew the images (frames differ
 * between drivers): malloc'ed, NULL when it has none. Gymnasium's EnvSpec, which Minari's package
 * makes of it, asks for an id and for additional_wrappers. */
static char *env_spec(const task_t *task, const char *renderer) {
    reason_t why;
    if (!task->env) return NULL;
    cJSON *spec = json_parse(task->env, strlen(task->env), false, &why);
    if (!spec) BUG("task '%s': env: %s", task->name, why.text);
    if (cJSON_IsObject(spec)) {
        if (!cJSON_HasObjectItem(spec, "id")) cJSON_AddStringToObject(spec, "id", task->name);
        if (!cJSON_HasObjectItem(spec, "additional_wrappers"))
            cJSON_AddArrayToObject(spec, "additional_wrappers");
        cJSON *kwargs = cJSON_GetObjectItemCaseSensitive(spec, "kwargs");
        if (*renderer && !cJSON_IsObject(kwargs)) {
            cJSON_DeleteItemFromObjectCaseSensitive(spec, "kwargs");
            kwargs = cJSON_AddObjectToObject(spec, "kwargs");
        }
        if (*renderer) cJSON_AddStringToObject(kwargs, "renderer", renderer);
    }
    char *text = json_canonical(spec);
    cJSON_Delete(spec);
    return text;
}

recording_t *recording_open(const char *dir, const task_t *task, const char *policy,
                            const char *renderer, bool append, int *rc, reason_t *why) {
    recording_t *r = NEW(recording_t);
    r->task = task;
    make_leaves(r);
    *rc = RC_USAGE;
    if (!r->n_obs || !r->n_act) {
        reason_set(why, "'%s' shows or takes nothing: it cannot be recorded", task->name);
        recording_close(r);
        return NULL;
    }
    char *spec = env_spec(task, renderer), *id = xasprintf("%s/%s-v0", task->name, policy);
    minari_spec_t s = {.dataset_id = id,
                       .algorithm = policy,
                       .env_spec = spec,
                       .obs = r->obs,
                       .n_obs = r->n_obs,
                       .act = r->act,
                       .n_act = r->n_act,
                       .dict_obs = r->n_obs > 1 || r->obs[0].path[0],
                       .random_return = task->random_return,
                       .expert_return = task->expert_return};
    r->writer = minari_writer_new(dir, &s, append, rc, why);
    free(spec);
    free(id);
    if (r->writer) return r;
    recording_close(r);
    return NULL;
}

static void release_rows(space_leaf_t *leaf, row_t *row, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(leaf[i].low);
        free(leaf[i].high);
        free(row[i].number);
        free(row[i].label);
        free(row[i].black);
    }
}

void recording_close(recording_t *r) {
    if (!r) return;
    minari_writer_close(r->writer);
    release_rows(r->obs, r->seen, r->n_obs);
    release_rows(r->act, r->acted, r->n_act);
    free(r);
}

const minari_writer_t *recording_writer(const recording_t *r) {
    return r->writer;
}

/* ---- steps to rows ---- */

/* One step as the writer takes it. */
typedef struct {
    recorded_episode_t e;
    uint8_t *image[TASK_SLOTS], *present[TASK_SLOTS], there[TASK_SLOTS];
    float *value[TASK_SLOTS], *action[TASK_SLOTS], *expert[TASK_SLOTS];
    char **text[TASK_SLOTS], *string[TASK_SLOTS];
    float reward;
    uint8_t terminated, truncated, success;
} one_step_t;

static char no_text[1];

static void put_seen(recording_t *r, const env_observation_t *seen, one_step_t *o) {
    for (size_t i = 0; i < r->n_obs; i++) {
        row_t *row = &r->seen[i];
        const slot_t *slot = &r->task->slot[row->slot];
        const env_value_t *value = &seen->slot[row->slot];
        o->there[i] = value->rgb || value->text || value->vector || value->discrete;
        o->present[i] = &o->there[i];
        if (slot->kind == SLOT_IMAGE) {
            o->image[i] = value->rgb ? (uint8_t *)(uintptr_t)value->rgb : row->black;
        } else if (slot->kind == SLOT_TEXT) {
            o->string[i] = value->text ? (char *)(uintptr_t)value->text : no_text;
            o->text[i] = &o->string[i];
        } else {
            for (uint32_t k = 0; k < slot->width; k++) {
                row->number[k] = 0;
                if (value->vector) row->number[k] = value->vector[k];
                if (value->discrete) row->number[k] = (float)value->discrete[k];
            }
            o->value[i] = row->number;
        }
    }
}

/* The columns of an action, slot by slot, into the rows' numbers or labels. */
static void put_acted(recording_t *r, const env_action_t *action, bool label) {
    size_t v = 0, d = 0;
    for (size_t i = 0; i < r->n_act; i++) {
        const slot_t *slot = &r->task->slot[r->acted[i].slot];
        float *to = label ? r->acted[i].label : r->acted[i].number;
        for (uint32_t k = 0; k < slot->width; k++)
            to[k] = slot->kind == SLOT_VECTOR ? action->vector[v++] : (float)action->discrete[d++];
    }
}

void recording_step(recording_t *r, uint64_t seed, const episode_step_t *s) {
    if (!r->open) {
        minari_writer_begin(r->writer, seed <= INT64_MAX ? (int64_t)seed : -1);
        r->open = true;
        r->labels = s->expert != NULL;
    }
    one_step_t o = {.reward = s->out.reward,
                    .terminated = s->out.terminated,
                    .truncated = s->out.truncated,
                    .success = s->out.success};
    put_seen(r, s->seen, &o);
    if (s->action) {
        put_acted(r, s->action, false);
        put_acted(r, s->expert ? s->expert : s->action, true);
    }
    for (size_t i = 0; i < r->n_act; i++) {
        o.action[i] = r->acted[i].number;
        o.expert[i] = r->acted[i].label;
    }
    o.e = (recorded_episode_t){.T = s->action != NULL,
                               .image = o.image,
                               .value = o.value,
                               .text = o.text,
                               .present = o.present,
                               .action = o.action,
                               .expert_action = r->labels ? o.expert : NULL,
                               .rewards = &o.reward,
                               .terminated = &o.terminated,
                               .truncated = &o.truncated,
                               .success = &o.success,
                               .n_obs = r->n_obs,
                               .n_act = r->n_act};
    minari_writer_rows(r->writer, &o.e, !s->action);
}

int recording_end(recording_t *r, const minari_note_t *note, reason_t *why) {
    r->open = false;
    return minari_writer_end(r->writer, note, why);
}

void recording_drop(recording_t *r) {
    if (r->open) minari_writer_drop(r->writer);
    r->open = false;
}
