/* message.c - see message.h. A step is a head, the actions, and for each observed slot the number
 * of its bytes (MISSING: it is not there) and the bytes. */
#include "gato/play/message.h"
#include "common/base/die.h"
#include "common/base/sizes.h"
#include <string.h>

#define MISSING UINT64_MAX

typedef struct {
    size_t step;
    env_outcome_t out;
    float ms;
    bool action, expert;
} step_head_t;

void message_put(message_t *m, const void *bytes, size_t n) {
    size_t whole = round_up(n, 8);
    m->v = xgrow(m->v, &m->cap, m->n + whole, 1);
    memcpy(m->v + m->n, bytes, n);
    memset(m->v + m->n + n, 0, whole - n);
    m->n += whole;
}

static const void *value_of(const slot_t *slot, const env_value_t *value, size_t *bytes) {
    switch (slot->kind) {
    case SLOT_IMAGE:
        *bytes = (size_t)slot->image_h * slot->image_w * 3;
        return value->rgb;
    case SLOT_TEXT:
        *bytes = value->text ? strlen(value->text) + 1 : 0;
        return value->text;
    case SLOT_VECTOR:
        *bytes = slot->width * sizeof(float);
        return value->vector;
    default:
        *bytes = slot->width * sizeof(uint32_t);
        return value->discrete;
    }
}

void message_put_step(message_t *m, const task_t *task, const episode_step_t *s) {
    step_head_t head;
    memset(&head, 0, sizeof head); /* its gaps go through the pipe, too */
    head.step = s->step;
    head.out = s->out;
    head.ms = s->ms;
    head.action = s->action != NULL;
    head.expert = s->expert != NULL;
    message_put(m, &head, sizeof head);
    if (s->action) message_put(m, s->action, sizeof *s->action);
    if (s->expert) message_put(m, s->expert, sizeof *s->expert);
    for (uint32_t i = 0; i < task->n_slots; i++) {
        if (task->slot[i].side != SIDE_OBSERVED) continue;
        size_t bytes;
        const void *value = value_of(&task->slot[i], &s->seen->slot[i], &bytes);
        uint64_t size = value ? bytes : MISSING;
        message_put(m, &size, sizeof size);
        if (value) message_put(m, value, bytes);
    }
}

typedef struct {
    const uint8_t *v;
    size_t n, at;
} reader_t;

static const void *get(reader_t *r, size_t n) {
    size_t at = r->at;
    if (n > r->n - at) BUG("a message of %zu bytes is too short", r->n);
    r->at += round_up(n, 8);
    return r->v + at;
}

void message_get_step(const void *bytes, size_t n, const task_t *task, message_step_t *out) {
    reader_t r = {.v = bytes, .n = n};
    const step_head_t *head = get(&r, sizeof *head);
    memset(&out->seen, 0, sizeof out->seen);
    out->step =
        (episode_step_t){.step = head->step, .seen = &out->seen, .out = head->out, .ms = head->ms};
    if (head->action) {
        out->action = *(const env_action_t *)get(&r, sizeof out->action);
        out->step.action = &out->action;
    }
    if (head->expert) {
        out->expert = *(const env_action_t *)get(&r, sizeof out->expert);
        out->step.expert = &out->expert;
    }
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[i];
        if (slot->side != SIDE_OBSERVED) continue;
        uint64_t size = *(const uint64_t *)get(&r, sizeof size);
        if (size == MISSING) continue;
        const void *value = get(&r, size);
        env_value_t *to = &out->seen.slot[i];
        if (slot->kind == SLOT_IMAGE) to->rgb = value;
        if (slot->kind == SLOT_TEXT) to->text = value;
        if (slot->kind == SLOT_VECTOR) to->vector = value;
        if (slot->kind == SLOT_DISCRETE) to->discrete = value;
    }
}
