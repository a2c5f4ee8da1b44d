/* layout.c - see layout.h. */
#include "gato/model/layout.h"

#include "common/base/die.h"
#include "gato/model/embed.h"

/* What a value holds by its sizes: an image without its array has none. */
static slot_value_t held(const slot_value_t *value) {
    slot_value_t v = *value;
    if (!v.codes) v.grid_h = v.grid_w = 0;
    if (!v.rgb) v.image_h = v.image_w = 0;
    return v;
}

/* Does a slot come before the images? A text that is to be predicted comes behind its image. */
static bool comes_first(const gato_config_t *c, const task_t *task, uint32_t k, slot_kind_t kind) {
    const slot_t *slot = &task->slot[k];
    if (slot->kind != kind || slot->side != SIDE_OBSERVED || task->kind != RECORD_EPISODE)
        return false;
    return kind == SLOT_TEXT ? c->model.text_first : kind == SLOT_VECTOR && c->model.vector_first;
}

/* Observed slots in the order of the task, but for those that come before the images. */
static void put_order(layout_t *l, const gato_config_t *c) {
    static const slot_kind_t first[] = {SLOT_TEXT, SLOT_VECTOR};
    const task_t *task = l->task;
    size_t n = 0;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        for (uint32_t k = 0; k < task->n_slots; k++)
            if (comes_first(c, task, k, first[i])) l->order[n++] = (uint8_t)k;
    for (uint32_t k = 0; k < task->n_slots; k++)
        if (!comes_first(c, task, k, task->slot[k].kind)) l->order[n++] = (uint8_t)k;
}

int layout_of(layout_t *l, const gato_config_t *c, const task_t *task, const timestep_t *s,
              reason_t *why) {
    *l = (layout_t){.task = task};
    put_order(l, c);
    for (uint32_t k = 0; k < task->n_slots; k++) {
        if (!slot_value_present(&s->slot[k])) continue;
        slot_value_t value = held(&s->slot[k]);
        if (embed_of(c, &task->slot[k])->tokens(c, &task->slot[k], &value, &l->count[k], why))
            return -1;
    }
    return 0;
}

int layout_declared(layout_t *l, const gato_config_t *c, const task_t *task, reason_t *why) {
    *l = (layout_t){.task = task};
    put_order(l, c);
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_t *slot = &task->slot[k];
        slot_value_t value = {.grid_h = slot->grid_h,
                              .grid_w = slot->grid_w,
                              .image_h = slot->image_h,
                              .image_w = slot->image_w,
                              .text_len = slot->text_len};
        bool unread =
            slot->kind == SLOT_TEXT && task->kind == RECORD_EPISODE && !c->model.control_text;
        if (unread) continue;
        if (embed_of(c, slot)->tokens(c, slot, &value, &l->count[k], why)) return -1;
    }
    return 0;
}

static bool observed(const layout_t *l, uint32_t slot) {
    return l->task->slot[slot].side == SIDE_OBSERVED;
}

size_t layout_observation(const layout_t *l) {
    size_t n = 0;
    for (uint32_t k = 0; k < l->task->n_slots; k++)
        if (observed(l, k)) n += l->count[k];
    return n;
}

size_t layout_tokens(const layout_t *l) {
    size_t n = 1;
    for (uint32_t k = 0; k < l->task->n_slots; k++) n += l->count[k];
    return n;
}

size_t layout_start(const layout_t *l, uint32_t slot) {
    size_t at = observed(l, slot) ? 0 : 1; /* the separator */
    for (uint32_t i = 0; i < l->task->n_slots; i++) {
        if (l->order[i] == slot) return at;
        at += l->count[l->order[i]];
    }
    BUG("no slot %u", slot);
}

int layout_goal(const gato_config_t *c, const task_t *task) {
    if (c->data.goal == GOAL_NONE || task->kind != RECORD_EPISODE) return -1;
    int k = task_find(task, SIDE_OBSERVED, GOAL_SLOT);
    return k >= 0 && task->slot[k].kind == SLOT_IMAGE ? k : -1;
}

uint32_t layout_window(const gato_config_t *c, const task_t *task) {
    if (task->kind != RECORD_EPISODE) return 1;
    layout_t l;
    if (layout_declared(&l, c, task, NULL)) return 1; /* refused where the sizes are read */
    size_t n = (size_t)c->model.context / layout_tokens(&l), most = (size_t)c->train.window;
    if (most && n > most) n = most;
    return n ? (uint32_t)n : 1;
}

int32_t layout_position(size_t i, size_t n, size_t vocabulary, bool closed, bool mean, float draw) {
    if (i >= n || n > vocabulary) BUG("place %zu of %zu over %zu positions", i, n, vocabulary);
    size_t low = i * vocabulary / n, high = (i + 1) * vocabulary / n; /* half-open */
    size_t last = closed && high < vocabulary ? high : high - 1;
    if (!mean) {
        size_t at = (size_t)(draw * (float)(last - low + 1));
        return (int32_t)(low + (at < last - low + 1 ? at : last - low));
    }
    if (closed) {
        size_t middle = (low + high) / 2;
        return (int32_t)(middle < vocabulary ? middle : vocabulary - 1);
    }
    size_t sum = low + high - 1, half = sum / 2;
    return (int32_t)(half + (sum % 2 && half % 2)); /* x.5 goes to the even neighbour */
}
