/* sequence.c - a sequence of a dataset as timesteps of a batch. */
#include "gato/data/dataset.h"

#include "common/io/image/image.h"

#include <stdio.h>
#include <stdlib.h>

void sequence_release(sequence_t *w) {
    token_record_release(&w->record);
    free(w->step);
    free(w->scaled);
    *w = (sequence_t){0};
}

/* The images of a sequence, which live until the batch has taken them. */
typedef struct {
    image_t *v;
    size_t n;
} images_t;

static int image_fault(const sequence_t *w, const slot_t *slot, uint32_t t, const char *fault,
                       reason_t *why) {
    char name[TASK_NAME + 64], text[sizeof why->text];
    snprintf(text, sizeof text, "%s", fault);
    return reason_set(why, "'%s': record '%.*s', step %llu, %s: %s", w->shard,
                      (int)w->record.key_len, w->record.key,
                      (unsigned long long)(w->record.first_step + t), slot_text(slot, name), text);
}

/* Decodes the image of timestep t from the PNG files of a slot. */
static int decode(const sequence_t *w, const slot_t *slot, const slot_data_t *v, uint32_t t,
                  image_t *im, reason_t *why) {
    uint64_t offset = 0;
    image_opts_t o = image_opts_default();
    reason_t fault;
    for (uint32_t i = 0; i < t; i++) offset += v->pixel_size[i];
    if (image_decode(im, v->pixels + offset, v->pixel_size[t], &o, &fault))
        return image_fault(w, slot, t, fault.text, why);
    if (im->h == v->image_h && im->w == v->image_w) return 0;
    reason_set(&fault, "an image of %zu x %zu where %u x %u is declared", im->h, im->w, v->image_h,
               v->image_w);
    image_release(im);
    return image_fault(w, slot, t, fault.text, why);
}

/* Kept images are as preprocessing left them. */
static int put_image(const gato_config_t *c, const sequence_t *w, const slot_t *slot,
                     const slot_data_t *v, uint32_t t, images_t *images, slot_value_t *to,
                     reason_t *why) {
    to->grid_h = v->grid_h;
    to->grid_w = v->grid_w;
    to->image_h = v->image_h;
    to->image_w = v->image_w;
    if (!gato_config_image_in(c)->pixels) {
        if (v->codes) to->codes = v->codes + (size_t)t * v->grid_h * v->grid_w;
        return 0;
    }
    if (!v->pixels) return 0;
    image_t *im = &images->v[images->n];
    if (decode(w, slot, v, t, im, why)) return -1;
    images->n++;
    to->rgb = im->rgb;
    return 0;
}

/* The text of an episode comes with every timestep; of other records it is the piece to predict. */
static void put_text(const gato_config_t *c, const sequence_t *w, const slot_data_t *v,
                     slot_value_t *to) {
    bool control = w->of->kind == RECORD_EPISODE;
    if (!v->text || !w->text_len || (control && !c->model.control_text)) return;
    to->text = v->text + w->text_first;
    to->text_len = w->text_len;
    if (!control && v->prompt_len > w->text_first) to->text_given = v->prompt_len - w->text_first;
}

/* What follows an acted vector in its episode. Steps that are no neighbors have nothing behind
 * them. */
static void put_ahead(const gato_config_t *c, const sequence_t *w, const slot_t *slot,
                      const slot_data_t *v, uint32_t t, slot_value_t *to) {
    const float *clean = v->label_vector ? v->label_vector : v->vector;
    size_t rest = w->lone ? 1 : w->record.T - t, most = (size_t)c->model.chunk;
    if (slot->side != SIDE_ACTED || !clean) return;
    to->ahead = clean + (size_t)t * slot->width;
    to->ahead_present = v->present ? v->present + t : NULL;
    to->n_ahead = rest < most ? rest : most;
}

static int put_slot(const gato_config_t *c, const sequence_t *w, uint32_t k, uint32_t t,
                    images_t *images, slot_value_t *to, reason_t *why) {
    const slot_t *slot = &w->of->slot[k];
    const slot_data_t *v = &w->record.slot[k];
    size_t at = (size_t)t * slot->width;
    put_ahead(c, w, slot, v, t, to);
    if (v->present && !v->present[t]) return 0;
    switch (slot->kind) {
    case SLOT_IMAGE:
        return put_image(c, w, slot, v, t, images, to, why);
    case SLOT_TEXT:
        put_text(c, w, v, to);
        return 0;
    default:
        if (v->vector) to->vector = v->vector + at;
        if (v->label_vector) to->label_vector = v->label_vector + at;
        if (v->discrete) to->discrete = v->discrete + at;
        if (v->label_discrete) to->label_discrete = v->label_discrete + at;
        return 0;
    }
}

/* The goal of timestep i, another one of the record. */
static int put_goal(const gato_config_t *c, const sequence_t *w, size_t i, images_t *images,
                    timestep_t *to, reason_t *why) {
    if (!w->has_goal) return 0;
    uint32_t last = w->record.T - 1, t = w->step[i];
    t = w->goal_ahead && last - t > w->goal_ahead ? t + w->goal_ahead : last;
    return put_slot(c, w, w->goal_from, t, images, &to->slot[w->goal], why);
}

static bool has_actions(const sequence_t *w, bool discrete) {
    for (uint32_t k = 0; k < w->of->n_slots; k++) {
        const slot_data_t *v = &w->record.slot[k];
        if (w->of->slot[k].side == SIDE_ACTED && (v->discrete || (v->vector && !discrete)))
            return true;
    }
    return false;
}

/* Timestep i of the sequence to *to, which is zero. */
static int put_timestep(const gato_config_t *c, const sequence_t *w, size_t i, images_t *images,
                        timestep_t *to, reason_t *why) {
    to->task = w->task;
    to->linked = !w->lone && i > 0 && w->step[i] == w->step[i - 1] + 1 && i != w->n_prompt;
    for (uint32_t k = 0; k < w->of->n_slots; k++)
        if (put_slot(c, w, k, w->step[i], images, &to->slot[w->map[k]], why)) return -1;
    return 0;
}

int sequence_image(const sequence_t *w, size_t i, uint32_t slot, image_t *im, reason_t *why) {
    *im = (image_t){0};
    for (uint32_t k = 0; k < w->of->n_slots; k++) {
        const slot_data_t *v = &w->record.slot[k];
        if (w->map[k] != (int32_t)slot || !v->pixels) continue;
        if (v->present && !v->present[w->step[i]]) continue;
        return decode(w, &w->of->slot[k], v, w->step[i], im, why);
    }
    return 0;
}

int sequence_steps(const gato_config_t *c, const sequence_t *w, sequence_steps_t *out,
                   reason_t *why) {
    timestep_t *step = xcalloc(w->n_steps, sizeof *step);
    images_t images = {xcalloc(w->n_steps * (w->of->n_slots + 1), sizeof *images.v), 0};
    int rc = 0;
    for (size_t i = 0; i < w->n_steps && !rc; i++) {
        rc = put_timestep(c, w, i, &images, &step[i], why);
        if (!rc && w->has_goal && !w->goal_ahead && i) /* the same at the end */
            step[i].slot[w->goal] = step[0].slot[w->goal];
        else if (!rc)
            rc = put_goal(c, w, i, &images, &step[i], why);
    }
    *out = (sequence_steps_t){step, w->n_steps, images.v, images.n};
    return rc;
}

void sequence_steps_release(sequence_steps_t *s) {
    for (size_t i = 0; i < s->n_images; i++) image_release(&s->image[i]);
    free(s->image);
    free(s->step);
    *s = (sequence_steps_t){0};
}

static int put_steps(batch_t *b, const sequence_t *w, const timestep_t *step, reason_t *why) {
    const gato_config_t *c = &b->model->config;
    bool acts = has_actions(w, false), discrete = has_actions(w, true);
    for (size_t i = 0; i < w->n_steps; i++) {
        if (batch_observation(b, &step[i], (int32_t)i, w->sample, why)) return -1;
        /* Regression reads at the separator: nothing reads the last action tokens of a training
         * sequence. */
        bool unread = b->train && c->loss.action_kind == ACTION_MSE && i + 1 == w->n_steps;
        if (acts) batch_actions(b, !unread || discrete);
    }
    return 0;
}

int sequence_add(batch_t *b, const sequence_t *w, reason_t *why) {
    sequence_steps_t steps;
    batch_begin(b, w->task);
    int rc = sequence_steps(&b->model->config, w, &steps, why);
    if (!rc) rc = put_steps(b, w, steps.step, why);
    if (!rc) batch_end(b);
    sequence_steps_release(&steps);
    return rc;
}
