/* task.c - tasks and slots: building, checking and comparing them, and naming them in messages.
 * Their JSON is in task_json.c.
 */
#include "common/io/token_db/task.h"

#include "common/io/text/json.h"
#include "common/io/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const slot_kind_names[SLOT_KINDS] = {"image", "text", "vector", "discrete"};
const char *const record_kind_names[RECORD_KINDS] = {"image", "episode", "text"};
const char *const scaling_names[SCALINGS] = {"declared", "quantiles", "extremes"};

float *floats_of(size_t n, float v) {
    float *array = xmalloc(n * sizeof *array);
    for (size_t i = 0; i < n; i++) array[i] = v;
    return array;
}

/* ---- building ---- */

task_t task_new(const char *name, record_kind_t kind) {
    return (task_t){
        .name = xstrdup(name), .kind = kind, .random_return = NAN, .expert_return = NAN};
}

static void release_slot(slot_t *s) {
    free(s->name);
    free(s->range);
    free(s->low);
    free(s->high);
    free(s->raw);
    free(s->mean);
    free(s->deviation);
    free(s->scale_low);
    free(s->scale_high);
    free(s->scaling);
    free(s->bin_edges);
    free(s->bin_values);
}

void task_release(task_t *t) {
    for (uint32_t i = 0; i < t->n_slots; i++) release_slot(&t->slot[i]);
    free(t->slot);
    free(t->name);
    free(t->env);
    *t = (task_t){0};
}

/* n elements of `size` bytes, malloc'ed; NULL for NULL. */
static void *copy_of(const void *from, size_t n, size_t size) {
    return from ? memcpy(xmalloc(n * size), from, n * size) : NULL;
}

static size_t slot_edges(const slot_t *s) {
    return s->n_bins ? (size_t)s->width * (s->n_bins - 1) : 0;
}

static slot_t copy_slot(const slot_t *from) {
    slot_t to = *from;
    size_t n = from->width;
    to.name = xstrdup(from->name);
    to.range = copy_of(from->range, n, sizeof *to.range);
    to.low = copy_of(from->low, n, sizeof *to.low);
    to.high = copy_of(from->high, n, sizeof *to.high);
    to.raw = copy_of(from->raw, n, sizeof *to.raw);
    to.mean = copy_of(from->mean, n, sizeof *to.mean);
    to.deviation = copy_of(from->deviation, n, sizeof *to.deviation);
    to.scale_low = copy_of(from->scale_low, n, sizeof *to.scale_low);
    to.scale_high = copy_of(from->scale_high, n, sizeof *to.scale_high);
    to.scaling = copy_of(from->scaling, n, sizeof *to.scaling);
    to.bin_edges = copy_of(from->bin_edges, slot_edges(from), sizeof *to.bin_edges);
    to.bin_values = copy_of(from->bin_values, n * from->n_bins, sizeof *to.bin_values);
    return to;
}

task_t task_copy(const task_t *t) {
    task_t to = *t;
    to.name = xstrdup(t->name);
    to.env = t->env ? xstrdup(t->env) : NULL;
    to.slot = t->n_slots ? xmalloc(t->n_slots * sizeof *to.slot) : NULL;
    for (uint32_t i = 0; i < t->n_slots; i++) to.slot[i] = copy_slot(&t->slot[i]);
    return to;
}

/* Does a slot of that side and kind stand before b? */
static bool stands_before(slot_side_t side, slot_kind_t kind, const slot_t *b) {
    return side != b->side ? side < b->side : kind < b->kind;
}

slot_t *task_add(task_t *t, slot_kind_t kind, slot_side_t side, const char *name, uint32_t width) {
    if (t->n_slots == TASK_SLOTS || task_find(t, side, name) >= 0) return NULL;
    t->slot = xrealloc(t->slot, (t->n_slots + 1) * sizeof *t->slot);
    uint32_t at = t->n_slots;
    while (at && stands_before(side, kind, &t->slot[at - 1])) at--;
    memmove(&t->slot[at + 1], &t->slot[at], (t->n_slots - at) * sizeof *t->slot);
    t->n_slots++;
    slot_t *slot = &t->slot[at];
    *slot = (slot_t){.name = xstrdup(name), .kind = kind, .side = side, .width = width};
    if (kind != SLOT_VECTOR) return slot;
    slot->low = floats_of(width, -INFINITY);
    slot->high = floats_of(width, INFINITY);
    if (side == SIDE_ACTED) slot->raw = memset(xmalloc(width), 1, width);
    return slot;
}

/* ---- looking up ---- */

int task_find(const task_t *t, slot_side_t side, const char *name) {
    for (uint32_t i = 0; i < t->n_slots; i++)
        if (t->slot[i].side == side && !strcmp(t->slot[i].name, name)) return (int)i;
    return -1;
}

int task_first(const task_t *t, slot_side_t side, slot_kind_t kind) {
    for (uint32_t i = 0; i < t->n_slots; i++)
        if (t->slot[i].side == side && t->slot[i].kind == kind) return (int)i;
    return -1;
}

uint64_t task_width(const task_t *t, slot_side_t side, slot_kind_t kind) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < t->n_slots; i++)
        if (t->slot[i].side == side && t->slot[i].kind == kind) n += t->slot[i].width;
    return n;
}

/* ---- messages ---- */

const char *slot_column(const slot_t *slot, uint32_t k, char buf[TASK_NAME + 32]) {
    const char *name = slot->name;
    bool columns = slot->kind == SLOT_VECTOR || slot->kind == SLOT_DISCRETE, unnamed = !*name;
    if (unnamed) name = slot->side == SIDE_ACTED ? "action" : slot_kind_names[slot->kind];
    if (columns && (slot->width > 1 || unnamed))
        snprintf(buf, TASK_NAME + 32, "%.255s[%u]", name, k);
    else
        snprintf(buf, TASK_NAME + 32, "%.255s", name);
    return buf;
}

const char *slot_text(const slot_t *slot, char buf[TASK_NAME + 64]) {
    const char *kind = slot_kind_names[slot->kind];
    char name[TASK_NAME + 4] = "";
    if (*slot->name) snprintf(name, sizeof name, " '%.255s'", slot->name);
    if (slot->kind == SLOT_IMAGE && slot->image_h)
        snprintf(buf, TASK_NAME + 64, "%u x %u %s%s", slot->image_h, slot->image_w, kind, name);
    else if (slot->kind == SLOT_IMAGE || slot->kind == SLOT_TEXT)
        snprintf(buf, TASK_NAME + 64, "%s%s", kind, name);
    else
        snprintf(buf, TASK_NAME + 64, "%s%s of %u", kind, name, slot->width);
    return buf;
}

/* ---- checks ---- */

static float low_of(const slot_t *s, uint32_t k) {
    return s->low ? s->low[k] : -INFINITY;
}
static float high_of(const slot_t *s, uint32_t k) {
    return s->high ? s->high[k] : INFINITY;
}

static int check_name(const char *name, const char *whose, reason_t *why) {
    char shown[96];
    size_t n = strlen(name);
    if (n >= TASK_NAME)
        return reason_set(why, "the name of a %s has %zu bytes, more than %d", whose, n,
                          TASK_NAME - 1);
    if (utf8_check((const uint8_t *)name, n) != n)
        return reason_set(why, "the name of a %s is no UTF-8: '%s'", whose,
                          utf8_printable(shown, sizeof shown, name));
    return 0;
}

static int check_image(const slot_t *s, reason_t *why) {
    enum { MOST = 1 << 30 }; /* pixels or codes of one image */
    if (!s->image_h != !s->image_w || !s->grid_h != !s->grid_w)
        return reason_set(why, "one side of its size is 0");
    if ((uint64_t)s->image_h * s->image_w > MOST || (uint64_t)s->grid_h * s->grid_w > MOST)
        return reason_set(why, "%u x %u pixels in %u x %u codes are too many", s->image_h,
                          s->image_w, s->grid_h, s->grid_w);
    return 0;
}

static int check_discrete(const slot_t *s, reason_t *why) {
    if (!s->range) return reason_set(why, "its range is missing");
    for (uint32_t k = 0; k < s->width; k++)
        if (!s->range[k] || s->range[k] > TASK_DISCRETE)
            return reason_set(why, "column %u has %u values; 1 to %d are possible", k, s->range[k],
                              TASK_DISCRETE);
    return 0;
}

/* v [n]; NULL is fine: not known. */
static int check_finite(const float *v, uint32_t n, const char *what, reason_t *why) {
    for (uint32_t k = 0; v && k < n; k++)
        if (!isfinite(v[k])) return reason_set(why, "%s[%u] is not finite", what, k);
    return 0;
}

static int check_bounds(const slot_t *s, reason_t *why) {
    bool acted = s->side == SIDE_ACTED;
    if (acted && (!s->low || !s->high || !s->raw))
        return reason_set(why, "low, high or raw is missing");
    if (!acted && s->raw) return reason_set(why, "only actions can be raw");
    for (uint32_t k = 0; k < s->width; k++) {
        float low = low_of(s, k), high = high_of(s, k);
        if (isnan(low) || isnan(high) || low == INFINITY || high == -INFINITY)
            return reason_set(why, "column %u is bounded by %g and %g", k, (double)low,
                              (double)high);
        if (s->raw && s->raw[k] > 1)
            return reason_set(why, "raw[%u] = %u is no truth value", k, s->raw[k]);
    }
    return 0;
}

/* Bins of a width of their own: their edges rise within a column. */
static int check_bins(const slot_t *s, reason_t *why) {
    if (!s->n_bins && !s->bin_edges && !s->bin_values) return 0;
    if (s->side != SIDE_ACTED || s->n_bins < 2 || s->n_bins > TASK_BINS || !s->bin_edges ||
        !s->bin_values)
        return reason_set(why, "bin_edges and bin_values belong to acted vectors, and together");
    for (size_t i = 0; i < (size_t)s->width * s->n_bins; i++)
        if (!(fabsf(s->bin_values[i]) <= 1))
            return reason_set(why, "bin_values[%zu] is not in [-1,1]", i);
    for (size_t i = 0; i < slot_edges(s); i++) {
        bool first = i % (s->n_bins - 1) == 0;
        if (!isfinite(s->bin_edges[i])) return reason_set(why, "bin_edges[%zu] is not finite", i);
        if (!first && s->bin_edges[i] < s->bin_edges[i - 1])
            return reason_set(why, "bin_edges[%zu] is below the one before it", i);
    }
    return 0;
}

static int check_vector(const slot_t *s, reason_t *why) {
    if (check_bounds(s, why) || check_finite(s->mean, s->width, "mean", why) ||
        check_finite(s->deviation, s->width, "deviation", why) ||
        check_finite(s->scale_low, s->width, "scale_low", why) ||
        check_finite(s->scale_high, s->width, "scale_high", why))
        return -1;
    for (uint32_t k = 0; s->scale_low && s->scale_high && k < s->width; k++)
        if (s->scale_low[k] > s->scale_high[k])
            return reason_set(why, "column %u is scaled by %g and %g", k, (double)s->scale_low[k],
                              (double)s->scale_high[k]);
    for (uint32_t k = 0; s->scaling && k < s->width; k++)
        if (s->scaling[k] >= SCALINGS) return reason_set(why, "scaling[%u] is unknown", k);
    return check_bins(s, why);
}

static int check_slot(const slot_t *s, reason_t *why) {
    bool columns = s->kind == SLOT_VECTOR || s->kind == SLOT_DISCRETE;
    if (s->side == SIDE_ACTED && !columns) return reason_set(why, "it cannot be acted");
    if (!s->width || s->width > TASK_WIDTH || (!columns && s->width != 1))
        return reason_set(why, "%u columns", s->width);
    if (s->kind != SLOT_VECTOR && (s->low || s->high || s->raw || s->n_bins))
        return reason_set(why, "%s belong to vectors", s->n_bins ? "bins" : "bounds");
    if (s->kind != SLOT_DISCRETE && s->range)
        return reason_set(why, "a range belongs to discrete values");
    switch (s->kind) {
    case SLOT_IMAGE:
        return check_image(s, why);
    case SLOT_VECTOR:
        return check_vector(s, why);
    case SLOT_DISCRETE:
        return check_discrete(s, why);
    default:
        return 0;
    }
}

/* Slot i with those before it: its name, its place. */
static int check_place(const task_t *t, uint32_t i, reason_t *why) {
    const slot_t *s = &t->slot[i];
    if (i && stands_before(s->side, s->kind, &t->slot[i - 1]))
        return reason_set(why, "it stands behind a slot of another kind");
    if (task_find(t, s->side, s->name) != (int)i)
        return reason_set(why, "an earlier slot of its side has the same name");
    if (s->side == SIDE_ACTED && t->kind != RECORD_EPISODE)
        return reason_set(why, "only episodes have actions");
    return 0;
}

static int check_env(const char *env, reason_t *why) {
    reason_t cause;
    if (!env) return 0;
    cJSON *root = json_parse(env, strlen(env), true, &cause);
    if (!root) return reason_set(why, "its environment is no JSON: %.200s", cause.text);
    cJSON_Delete(root);
    return 0;
}

static int check_head(const task_t *t, reason_t *why) {
    if (!t->name || !*t->name) return reason_set(why, "a task without a name");
    if (check_name(t->name, "task", why)) return -1;
    if (t->kind >= RECORD_KINDS)
        return reason_set(why, "task '%s': kind %d", t->name, (int)t->kind);
    if (t->n_slots > TASK_SLOTS)
        return reason_set(why, "task '%s': %u slots, more than %d", t->name, t->n_slots,
                          TASK_SLOTS);
    if (isinf(t->random_return) || isinf(t->expert_return))
        return reason_set(why, "task '%s': an infinite return", t->name);
    return 0;
}

int task_check(const task_t *t, reason_t *why) {
    reason_t cause;
    char buf[TASK_NAME + 64];
    uint32_t texts = 0;
    if (check_head(t, why)) return -1;
    if (check_env(t->env, &cause)) return reason_set(why, "task '%s': %s", t->name, cause.text);
    for (uint32_t i = 0; i < t->n_slots; i++) {
        const slot_t *s = &t->slot[i];
        if (s->kind >= SLOT_KINDS || s->side > SIDE_ACTED)
            return reason_set(why, "task '%s': slot %u: unknown kind or side", t->name, i);
        if (check_name(s->name, "slot", &cause))
            return reason_set(why, "task '%s': %s", t->name, cause.text);
        if (check_slot(s, &cause) || check_place(t, i, &cause))
            return reason_set(why, "task '%s': %s: %s", t->name, slot_text(s, buf), cause.text);
        texts += s->kind == SLOT_TEXT;
    }
    if (texts > TASK_TEXT_SLOTS)
        return reason_set(why, "task '%s': %u texts, more than %d", t->name, texts,
                          TASK_TEXT_SLOTS);
    return 0;
}

/* ---- comparison ---- */

/* Infinite bounds of an observation say nothing, so they fit any; those of an action decide how it
 * is scaled. */
static bool bounds_differ(const slot_t *a, const slot_t *b, uint32_t k) {
    float low[2] = {low_of(a, k), low_of(b, k)}, high[2] = {high_of(a, k), high_of(b, k)};
    if (a->side == SIDE_ACTED) return low[0] != low[1] || high[0] != high[1];
    return (isfinite(low[0]) && isfinite(low[1]) && low[0] != low[1]) ||
           (isfinite(high[0]) && isfinite(high[1]) && high[0] != high[1]);
}

/* The first column whose range or bounds differ, or -1. */
static long differing_column(const slot_t *a, const slot_t *b) {
    for (uint32_t k = 0; k < a->width; k++) {
        if (a->kind == SLOT_DISCRETE && a->range[k] != b->range[k]) return k;
        if (a->kind == SLOT_VECTOR && bounds_differ(a, b, k)) return k;
    }
    return -1;
}

/* The slot of that side, kind and name that is not used yet, or -1. */
static int same_name(const task_t *model, const slot_t *s, const bool *used) {
    for (uint32_t i = 0; i < model->n_slots; i++) {
        const slot_t *m = &model->slot[i];
        if (!used[i] && m->side == s->side && m->kind == s->kind && !strcmp(m->name, s->name))
            return (int)i;
    }
    return -1;
}

/* The first such slot of that width that has no name, or whatever its name when `s` has none. */
static int any_name(const task_t *model, const slot_t *s, const bool *used) {
    for (uint32_t i = 0; i < model->n_slots; i++) {
        const slot_t *m = &model->slot[i];
        if (!used[i] && m->side == s->side && m->kind == s->kind && m->width == s->width &&
            (!*m->name || !*s->name))
            return (int)i;
    }
    return -1;
}

/* map[i]: the model's slot for slot i of the data, or -1. Equal names first, so that a slot without
 * a name takes what they leave. */
static void match(const task_t *model, const task_t *data, int32_t *map) {
    bool used[TASK_SLOTS] = {false};
    for (uint32_t i = 0; i < data->n_slots; i++) {
        map[i] = same_name(model, &data->slot[i], used);
        if (map[i] >= 0) used[map[i]] = true;
    }
    for (uint32_t i = 0; i < data->n_slots; i++) {
        if (map[i] >= 0) continue;
        map[i] = any_name(model, &data->slot[i], used);
        if (map[i] >= 0) used[map[i]] = true;
    }
}

/* Writes "image 'front', vector 'state' of 4; acted vector of 2", shortened by "..." where there is
 * no room. Returns out. */
static const char *list_of(const task_t *t, char *out, size_t cap) {
    char buf[TASK_NAME + 64];
    size_t at = 0;
    snprintf(out, cap, "nothing");
    for (uint32_t i = 0; i < t->n_slots; i++) {
        const slot_t *s = &t->slot[i];
        if (at + 120 > cap) {
            snprintf(out + at, cap - at, ", ...");
            break;
        }
        at += (size_t)snprintf(out + at, cap - at, "%s%s%.90s", i ? ", " : "",
                               s->side == SIDE_ACTED ? "acted " : "", slot_text(s, buf));
    }
    return out;
}

/* Says what the model reads and the data have, behind a cause. Returns -1. */
static int misfit(const task_t *model, const task_t *data, const char *cause, reason_t *why) {
    char reads[340], has[340];
    return reason_set(why, "task '%.60s': %.200s; the model reads %s; the data have %s", data->name,
                      cause, list_of(model, reads, sizeof reads), list_of(data, has, sizeof has));
}

/* Slot s of the data against the model's m. */
static int fit_slot(const slot_t *m, const slot_t *s, reason_t *cause) {
    char buf[TASK_NAME + 64];
    if (m->width != s->width)
        return reason_set(cause, "%.110s has %u columns in the model", slot_text(s, buf), m->width);
    long k = differing_column(m, s);
    if (k < 0) return 0;
    uint32_t column = (uint32_t)k;
    slot_column(s, column, buf);
    if (s->kind == SLOT_DISCRETE)
        return reason_set(cause, "%.90s has %u values in the model and %u in the data", buf,
                          m->range[column], s->range[column]);
    return reason_set(cause,
                      "%.90s is declared from %g to %g in the model and from %g to %g in the data",
                      buf, (double)low_of(m, column), (double)high_of(m, column),
                      (double)low_of(s, column), (double)high_of(s, column));
}

int task_fit(const task_t *model, const task_t *data, reason_t *why) {
    int32_t map[TASK_SLOTS];
    reason_t cause;
    char buf[TASK_NAME + 64];
    if (model->kind != data->kind) {
        reason_set(&cause, "the model knows it as %s, the data as %s",
                   record_kind_names[model->kind], record_kind_names[data->kind]);
        return misfit(model, data, cause.text, why);
    }
    match(model, data, map);
    for (uint32_t i = 0; i < data->n_slots; i++) {
        const slot_t *s = &data->slot[i];
        if (map[i] < 0) {
            reason_set(&cause, "the model does not know %s%.110s",
                       s->side == SIDE_ACTED ? "acted " : "", slot_text(s, buf));
            return misfit(model, data, cause.text, why);
        }
        if (fit_slot(&model->slot[map[i]], s, &cause)) return misfit(model, data, cause.text, why);
    }
    return 0;
}

void task_map(const task_t *model, const task_t *data, int32_t *map) {
    match(model, data, map);
    for (uint32_t i = 0; i < data->n_slots; i++)
        if (map[i] < 0) BUG("task '%s' does not fit: slot %u", data->name, i);
}

/* ---- lists ---- */

void tasks_release(tasks_t *list) {
    for (size_t i = 0; i < list->n; i++) task_release(&list->v[i]);
    free(list->v);
    *list = (tasks_t){0};
}

tasks_t tasks_copy(const tasks_t *list) {
    tasks_t to = {0};
    for (size_t i = 0; i < list->n; i++) tasks_add(&to, task_copy(&list->v[i]));
    return to;
}

void tasks_add(tasks_t *list, task_t task) {
    list->v = xrealloc(list->v, (list->n + 1) * sizeof *list->v);
    list->v[list->n++] = task;
}

int tasks_find(const tasks_t *list, const char *name) {
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].name, name)) return (int)i;
    return -1;
}
