/* player_observe.c - observations become timesteps: images are prepared and encoded as those of
 * training were, numbers are checked. */
#include "gato/play/player_private.h"

#include "common/base/sizes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void seen_release(seen_t *s) {
    for (size_t i = 0; i < s->n_owned; i++) free(s->owned[i]);
    *s = (seen_t){0};
}

static void *own(seen_t *s, void *block) {
    s->owned[s->n_owned++] = block;
    return block;
}

static bool has_places(const player_t *p) {
    return p->m->config.model.patch_pos != POS_NONE;
}

/* Places are fractions of an image, so a policy that saw several sizes takes any up to the largest,
 * for which its context has room. */
static int check_size(const player_t *p, const slot_t *slot, const char *unit, size_t h, size_t w,
                      size_t trained_h, size_t trained_w, reason_t *why) {
    bool fits = slot->varies ? h * w <= trained_h * trained_w : h == trained_h && w == trained_w;
    if (!has_places(p) || !trained_h || fits) return 0;
    return reason_set(why, "image '%s' has %zu x %zu %s; the policy was trained on %s%zu x %zu",
                      slot->name, h, w, unit, slot->varies ? "at most " : "", trained_h, trained_w);
}

static int encode(player_t *p, const slot_t *slot, const image_t *im, seen_t *s, slot_value_t *v,
                  reason_t *why) {
    image_t ready = tokenizer_preprocess(p->tokenizer, im);
    tokenizer_grid_t grid = tokenizer_grid(p->tokenizer, ready.w, ready.h);
    uint32_t *codes = own(s, xcalloc(grid.h * grid.w + 1, sizeof *codes));
    tokenizer_encode(p->tokenizer, ready.rgb, 1, ready.w, ready.h, codes);
    image_release(&ready);
    v->codes = codes;
    v->grid_h = grid.h;
    v->grid_w = grid.w;
    return check_size(p, slot, "codes", grid.h, grid.w, slot->grid_h, slot->grid_w, why);
}

/* As the shards' tokenizer prepared the images that it kept: fitted to one size, or padded to whole
 * codes. Where no tokenizer was, there are no codes, and images stay as they are. */
static image_t prepare_pixels(const player_t *p, const slot_t *slot, const image_t *im) {
    if (p->fit_w)
        return p->fit_bicubic ? image_resize_bicubic(im, p->fit_w, p->fit_h)
                              : image_fit(im, p->fit_w, p->fit_h);
    size_t code_w = slot->grid_w ? slot->image_w / slot->grid_w : 0,
           code_h = slot->grid_h ? slot->image_h / slot->grid_h : 0;
    return image_pad(im, code_w ? round_up(im->w, code_w) : im->w,
                     code_h ? round_up(im->h, code_h) : im->h);
}

static int take_pixels(const player_t *p, const slot_t *slot, const image_t *im, seen_t *s,
                       slot_value_t *v, reason_t *why) {
    image_t ready = prepare_pixels(p, slot, im);
    v->rgb = own(s, ready.rgb);
    v->image_h = ready.h;
    v->image_w = ready.w;
    return check_size(p, slot, "pixels", ready.h, ready.w, slot->image_h, slot->image_w, why);
}

int player_see_image(player_t *p, const slot_t *slot, const uint8_t *rgb, size_t w, size_t h,
                     seen_t *s, slot_value_t *v, reason_t *why) {
    image_t im = image_new(w, h);
    if (p->o.blank)
        memset(im.rgb, 0, w * h * 3);
    else
        memcpy(im.rgb, rgb, w * h * 3);
    int rc = p->tokenizer ? encode(p, slot, &im, s, v, why) : take_pixels(p, slot, &im, s, v, why);
    image_release(&im);
    return rc;
}

static void see_text(const player_t *p, const char *text, seen_t *s, slot_value_t *v) {
    text_ids_t ids = {0};
    text_tokenizer_encode(p->words, text, strlen(text), &ids);
    text_ids_add(&ids, text_tokenizer_end(p->words));
    v->text = own(s, ids.id);
    v->text_len = ids.n;
}

static int see_vector(const slot_t *slot, const float *vector, seen_t *s, slot_value_t *v,
                      reason_t *why) {
    char buf[TASK_NAME + 32];
    for (uint32_t i = 0; i < slot->width; i++)
        if (!isfinite(vector[i]))
            return reason_set(why, "observation %s is not finite", slot_column(slot, i, buf));
    v->vector =
        own(s, memcpy(xmalloc(slot->width * sizeof *vector), vector, slot->width * sizeof *vector));
    return 0;
}

static int see_discrete(const slot_t *slot, const uint32_t *value, seen_t *s, slot_value_t *v,
                        reason_t *why) {
    char buf[TASK_NAME + 32];
    for (uint32_t i = 0; i < slot->width; i++)
        if (value[i] >= slot->range[i])
            return reason_set(why, "observation %s = %u is not below %u", slot_column(slot, i, buf),
                              value[i], slot->range[i]);
    v->discrete =
        own(s, memcpy(xmalloc(slot->width * sizeof *value), value, slot->width * sizeof *value));
    return 0;
}

static int see_slot(player_t *p, const lane_t *lane, uint32_t k, const env_value_t *value,
                    seen_t *s, reason_t *why) {
    const slot_t *slot = &p->m->tasks.v[lane->task].slot[k];
    const binding_t *b = &p->binding[lane->task];
    slot_value_t *v = &s->data.slot[k];
    if (slot->kind == SLOT_IMAGE && value->rgb)
        return player_see_image(p, slot, value->rgb, b->image_w[k], b->image_h[k], s, v, why);
    if (slot->kind == SLOT_TEXT && value->text && p->m->config.model.control_text)
        see_text(p, value->text, s, v);
    if (slot->kind == SLOT_VECTOR && value->vector)
        return see_vector(slot, value->vector, s, v, why);
    if (slot->kind == SLOT_DISCRETE && value->discrete)
        return see_discrete(slot, value->discrete, s, v, why);
    return 0;
}

static void *copy(seen_t *to, const void *from, size_t bytes) {
    return own(to, memcpy(xmalloc(bytes), from, bytes));
}

void player_copy_seen(const player_t *p, const timestep_t *from, seen_t *to) {
    const task_t *task = &p->m->tasks.v[from->task];
    *to = (seen_t){.data = {.task = from->task, .linked = from->linked}};
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_value_t *v = &from->slot[k];
        slot_value_t *y = &to->data.slot[k];
        if (task->slot[k].side != SIDE_OBSERVED) continue;
        *y = *v;
        y->label_vector = NULL;
        y->label_discrete = NULL;
        if (v->codes) y->codes = copy(to, v->codes, v->grid_h * v->grid_w * sizeof *v->codes);
        if (v->rgb) y->rgb = copy(to, v->rgb, v->image_h * v->image_w * 3);
        if (v->text) y->text = copy(to, v->text, v->text_len * sizeof *v->text);
        if (v->vector) y->vector = copy(to, v->vector, task->slot[k].width * sizeof *v->vector);
        if (v->discrete)
            y->discrete = copy(to, v->discrete, task->slot[k].width * sizeof *v->discrete);
    }
}

/* Without places images may be of any size, but not of more tokens than a token can see. */
static int check_room(const player_t *p, const layout_t *l, reason_t *why) {
    size_t n = 0, context = (size_t)p->m->config.model.context;
    for (uint32_t k = 0; k < l->task->n_slots; k++)
        if (l->task->slot[k].kind == SLOT_IMAGE) n += l->count[k];
    if (n <= context) return 0;
    return reason_set(why, "the images of a timestep are %zu tokens, and model.context is %zu", n,
                      context);
}

int player_observe(player_t *p, const lane_t *lane, const env_observation_t *seen, seen_t *out,
                   reason_t *why) {
    const task_t *task = &p->m->tasks.v[lane->task];
    const binding_t *b = &p->binding[lane->task];
    *out = (seen_t){.data = {.task = lane->task, .linked = lane->step > 0}};
    for (uint32_t k = 0; k < task->n_slots; k++) {
        if (task->slot[k].side != SIDE_OBSERVED || b->body[k] < 0) continue;
        if (see_slot(p, lane, k, &seen->slot[b->body[k]], out, why)) return -1;
    }
    int goal = layout_goal(&p->m->config, task);
    if (goal >= 0)
        out->data.slot[goal] = lane->goal.data.slot[goal]; /* lives as long as the lane */
    layout_t l;
    if (layout_of(&l, &p->m->config, task, &out->data, why)) return -1;
    return check_room(p, &l, why);
}
