/* task_json.c - lists of tasks as canonical JSON and back (FORMATS.md 1.3.1). */
#include "common/io/text/json.h"
#include "common/io/token_db/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const side_names[2] = {"observed", "acted"};

/* ---- to JSON: members in the order of their keys ---- */

/* v [n]; what is not finite becomes null. */
static void put_floats(jsonw_t *w, const char *key, const float *v, size_t n) {
    if (!v) return;
    jsonw_open(w, key, '[');
    for (size_t i = 0; i < n; i++) jsonw_float(w, NULL, v[i]);
    jsonw_close(w, ']');
}

/* A bound of a vector: null where it is infinite, or not known. */
static void put_bounds(jsonw_t *w, const char *key, const slot_t *s, const float *v) {
    if (s->kind != SLOT_VECTOR) return;
    jsonw_open(w, key, '[');
    for (uint32_t i = 0; i < s->width; i++) jsonw_float(w, NULL, v ? v[i] : INFINITY);
    jsonw_close(w, ']');
}

static void put_size(jsonw_t *w, const char *key, uint32_t h, uint32_t width) {
    if (!h) return;
    jsonw_open(w, key, '[');
    jsonw_int(w, NULL, h);
    jsonw_int(w, NULL, width);
    jsonw_close(w, ']');
}

static void put_slot(jsonw_t *w, const slot_t *s) {
    jsonw_open(w, NULL, '{');
    put_floats(w, "bin_edges", s->bin_edges, (size_t)s->width * (s->n_bins - (s->n_bins > 0)));
    put_floats(w, "bin_values", s->bin_values, (size_t)s->width * s->n_bins);
    put_floats(w, "deviation", s->deviation, s->width);
    put_size(w, "grid", s->grid_h, s->grid_w);
    put_bounds(w, "high", s, s->high);
    put_size(w, "image", s->image_h, s->image_w);
    jsonw_str(w, "kind", slot_kind_names[s->kind]);
    put_bounds(w, "low", s, s->low);
    put_floats(w, "mean", s->mean, s->width);
    jsonw_str(w, "name", s->name);
    if (s->range) {
        jsonw_open(w, "range", '[');
        for (uint32_t i = 0; i < s->width; i++) jsonw_int(w, NULL, s->range[i]);
        jsonw_close(w, ']');
    }
    if (s->raw) {
        jsonw_open(w, "raw", '[');
        for (uint32_t i = 0; i < s->width; i++) jsonw_int(w, NULL, s->raw[i]);
        jsonw_close(w, ']');
    }
    put_floats(w, "scale_high", s->scale_high, s->width);
    put_floats(w, "scale_low", s->scale_low, s->width);
    if (s->scaling) {
        jsonw_open(w, "scaling", '[');
        for (uint32_t i = 0; i < s->width; i++) jsonw_str(w, NULL, scaling_names[s->scaling[i]]);
        jsonw_close(w, ']');
    }
    jsonw_str(w, "side", side_names[s->side]);
    if (s->text_len) jsonw_int(w, "text_len", s->text_len);
    if (s->varies) jsonw_bool(w, "varies", true);
    jsonw_close(w, '}');
}

static void put_env(jsonw_t *w, const char *env) {
    reason_t why;
    if (!env) return;
    cJSON *root = json_parse(env, strlen(env), true, &why);
    if (!root) BUG("an environment that was never checked: %s", why.text);
    char *text = json_canonical(root);
    jsonw_raw(w, "env", text);
    free(text);
    cJSON_Delete(root);
}

static void put_task(jsonw_t *w, const task_t *t) {
    jsonw_begin(w);
    put_env(w, t->env);
    if (isfinite(t->expert_return)) jsonw_num(w, "expert_return", t->expert_return);
    jsonw_str(w, "kind", record_kind_names[t->kind]);
    if (t->max_steps) jsonw_int(w, "max_steps", t->max_steps);
    jsonw_str(w, "name", t->name);
    if (isfinite(t->random_return)) jsonw_num(w, "random_return", t->random_return);
    jsonw_open(w, "slots", '[');
    for (uint32_t i = 0; i < t->n_slots; i++) put_slot(w, &t->slot[i]);
    jsonw_close(w, ']');
}

static void append(char **text, size_t *len, size_t *cap, const char *more) {
    size_t n = strlen(more);
    *text = xgrow(*text, cap, *len + n + 1, 1);
    memcpy(*text + *len, more, n + 1);
    *len += n;
}

char *tasks_json(const tasks_t *list) {
    char *text = NULL;
    size_t len = 0, cap = 0;
    append(&text, &len, &cap, "[");
    for (size_t i = 0; i < list->n; i++) {
        jsonw_t w;
        if (i) append(&text, &len, &cap, ",");
        put_task(&w, &list->v[i]);
        append(&text, &len, &cap, jsonw_end(&w));
        jsonw_free(&w);
    }
    append(&text, &len, &cap, "]");
    return text;
}

char *tasks_json_unsized(const tasks_t *list) {
    tasks_t copy = tasks_copy(list);
    for (size_t i = 0; i < copy.n; i++)
        for (uint32_t k = 0; k < copy.v[i].n_slots; k++) {
            slot_t *s = &copy.v[i].slot[k];
            s->image_h = s->image_w = s->grid_h = s->grid_w = 0;
            s->varies = false;
        }
    char *json = tasks_json(&copy);
    tasks_release(&copy);
    return json;
}

/* ---- back ---- */

static const cJSON *member(const cJSON *o, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* The place of the string `item` in a list of n names, or n. */
static size_t place_of(const cJSON *item, const char *const *names, size_t n) {
    const char *s = cJSON_GetStringValue(item);
    size_t i = 0;
    while (s && i < n && strcmp(s, names[i]) != 0) i++;
    return s ? i : n;
}

static int get_u32(const cJSON *o, const char *key, uint32_t *out, reason_t *why) {
    uint64_t v = 0;
    const cJSON *item = member(o, key);
    if (item && (!json_u64(item, &v) || v > UINT32_MAX))
        return reason_set(why, "'%s' is no count", key);
    *out = (uint32_t)v;
    return 0;
}

/* [h, w]; absent leaves both 0. */
static int get_size(const cJSON *o, const char *key, uint32_t *h, uint32_t *w, reason_t *why) {
    uint64_t a = 0, b = 0;
    const cJSON *list = member(o, key);
    if (!list) return 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 2 || !json_u64(list->child, &a) ||
        !json_u64(list->child->next, &b) || !a || !b || a > UINT32_MAX || b > UINT32_MAX)
        return reason_set(why, "'%s' is no [height, width]", key);
    *h = (uint32_t)a;
    *w = (uint32_t)b;
    return 0;
}

/* Is the member an array of n elements? 1; 0 when it is absent; -1 with a reason. */
static int has_list(const cJSON *o, const char *key, uint32_t n, reason_t *why) {
    const cJSON *list = member(o, key);
    if (!list) return 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != (int)n)
        return reason_set(why, "'%s' is no list of %u", key, n);
    return 1;
}

/* null_is: what null stands for; NAN refuses it. What no float can hold becomes infinite, which
 * task_check refuses where it may not be. */
static int get_floats(const cJSON *o, const char *key, uint32_t n, float null_is, float **out,
                      reason_t *why) {
    int there = has_list(o, key, n, why);
    uint32_t i = 0;
    const cJSON *item;
    if (there <= 0) return there;
    free(*out);
    *out = floats_of(n, null_is);
    cJSON_ArrayForEach(item, member(o, key)) {
        /* What rounds to FLT_MAX is above it as a double: the limit is halfway to the next. */
        if (cJSON_IsNumber(item) && fabs(item->valuedouble) >= 0x1.ffffffp127)
            (*out)[i] = item->valuedouble < 0 ? -INFINITY : INFINITY;
        else if (cJSON_IsNumber(item))
            (*out)[i] = (float)item->valuedouble;
        else if (!cJSON_IsNull(item) || isnan(null_is))
            return reason_set(why, "'%s[%u]' is no number", key, i);
        i++;
    }
    return 0;
}

static int get_range(const cJSON *o, slot_t *s, reason_t *why) {
    int there = has_list(o, "range", s->width, why);
    uint32_t i = 0;
    const cJSON *item;
    if (there <= 0) return there;
    s->range = xcalloc(s->width, sizeof *s->range);
    cJSON_ArrayForEach(item, member(o, "range")) {
        uint64_t v = 0;
        if (!json_u64(item, &v) || v > UINT32_MAX)
            return reason_set(why, "'range[%u]' is no count", i);
        s->range[i++] = (uint32_t)v;
    }
    return 0;
}

/* Absent: an action is in the units of its environment, as task_add leaves it. */
static int get_raw(const cJSON *o, slot_t *s, reason_t *why) {
    int there = has_list(o, "raw", s->width, why);
    uint32_t i = 0;
    const cJSON *item;
    if (there <= 0) return there;
    if (!s->raw) return reason_set(why, "only an acted vector can be raw");
    cJSON_ArrayForEach(item, member(o, "raw")) {
        uint64_t v = 0;
        if (!json_u64(item, &v) || v > 1) return reason_set(why, "'raw[%u]' is not 0 or 1", i);
        s->raw[i++] = (uint8_t)v;
    }
    return 0;
}

static int get_scaling(const cJSON *o, slot_t *s, reason_t *why) {
    int there = has_list(o, "scaling", s->width, why);
    uint32_t i = 0;
    const cJSON *item;
    if (there <= 0) return there;
    s->scaling = xcalloc(s->width, 1);
    cJSON_ArrayForEach(item, member(o, "scaling")) {
        size_t k = place_of(item, scaling_names, SCALINGS);
        if (k == SCALINGS) return reason_set(why, "'scaling[%u]' is unknown", i);
        s->scaling[i++] = (uint8_t)k;
    }
    return 0;
}

/* As many bins for each column as bin_values has. */
static int get_bins(const cJSON *o, slot_t *s, reason_t *why) {
    const cJSON *list = member(o, "bin_values");
    size_t n = list ? (size_t)cJSON_GetArraySize(list) : 0, most = (size_t)s->width * TASK_BINS;
    if (!list && !member(o, "bin_edges")) return 0;
    if (n < 2 * (size_t)s->width || n % s->width || n > most || n > INT32_MAX)
        return reason_set(why, "'bin_values' is no list of two bins or more for each column");
    s->n_bins = (uint32_t)(n / s->width);
    return get_floats(o, "bin_values", (uint32_t)n, NAN, &s->bin_values, why) ||
                   get_floats(o, "bin_edges", (uint32_t)(n - s->width), NAN, &s->bin_edges, why)
               ? -1
               : 0;
}

/* Columns of a slot: as many as its bounds or its range has. 0: it says nothing, or too many. */
static uint32_t width_of(const cJSON *o, slot_kind_t kind) {
    if (kind == SLOT_IMAGE || kind == SLOT_TEXT) return 1;
    const cJSON *list = member(o, kind == SLOT_VECTOR ? "low" : "range");
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    return n <= TASK_WIDTH ? (uint32_t)n : 0;
}

static int get_arrays(const cJSON *o, slot_t *s, reason_t *why) {
    uint32_t n = s->width;
    s->varies = cJSON_IsTrue(member(o, "varies"));
    if (get_size(o, "image", &s->image_h, &s->image_w, why) ||
        get_size(o, "grid", &s->grid_h, &s->grid_w, why) || get_range(o, s, why) ||
        get_floats(o, "low", n, -INFINITY, &s->low, why) ||
        get_floats(o, "high", n, INFINITY, &s->high, why) || get_raw(o, s, why))
        return -1;
    if (get_u32(o, "text_len", &s->text_len, why) || get_floats(o, "mean", n, NAN, &s->mean, why) ||
        get_floats(o, "deviation", n, NAN, &s->deviation, why) ||
        get_floats(o, "scale_low", n, NAN, &s->scale_low, why) ||
        get_floats(o, "scale_high", n, NAN, &s->scale_high, why))
        return -1;
    return get_scaling(o, s, why) || get_bins(o, s, why) ? -1 : 0;
}

static int parse_slot(task_t *t, const cJSON *o, reason_t *why) {
    size_t kind = place_of(member(o, "kind"), slot_kind_names, SLOT_KINDS),
           side = place_of(member(o, "side"), side_names, 2);
    const char *name = cJSON_GetStringValue(member(o, "name"));
    if (kind == SLOT_KINDS || side == 2 || !name)
        return reason_set(why, "slot %u lacks a name, a known kind or a side", t->n_slots);
    if (t->n_slots == TASK_SLOTS) return reason_set(why, "more than %d slots", TASK_SLOTS);
    uint32_t width = width_of(o, (slot_kind_t)kind), number = t->n_slots;
    reason_t cause;
    if (!width)
        return reason_set(why, "slot '%.60s': no columns, or more than %d", name, TASK_WIDTH);
    slot_t *slot = task_add(t, (slot_kind_t)kind, (slot_side_t)side, name, width);
    if (!slot) return reason_set(why, "slot '%.60s' is there twice", name);
    if (slot != &t->slot[number])
        return reason_set(why, "slot '%.60s' stands behind a slot of another kind", name);
    if (get_arrays(o, slot, &cause)) return reason_set(why, "slot '%.60s': %s", name, cause.text);
    return 0;
}

static int get_return(const cJSON *o, const char *key, double *out, reason_t *why) {
    const cJSON *item = member(o, key);
    if (!item) return 0;
    if (!cJSON_IsNumber(item)) return reason_set(why, "'%s' is no number", key);
    *out = item->valuedouble;
    return 0;
}

static int parse_members(task_t *t, const cJSON *o, reason_t *why) {
    const cJSON *slots = member(o, "slots"), *env = member(o, "env"), *item;
    if (get_u32(o, "max_steps", &t->max_steps, why) ||
        get_return(o, "random_return", &t->random_return, why) ||
        get_return(o, "expert_return", &t->expert_return, why))
        return -1;
    if (env && !cJSON_IsNull(env)) t->env = json_canonical(env);
    if (!cJSON_IsArray(slots)) return reason_set(why, "'slots' is no list");
    cJSON_ArrayForEach(item, slots) {
        if (parse_slot(t, item, why)) return -1;
    }
    return 0;
}

/* Adds the task that an object says. 0, or -1 with a reason. */
static int parse_task(tasks_t *out, const cJSON *o, reason_t *why) {
    const char *name = cJSON_GetStringValue(member(o, "name"));
    size_t kind = place_of(member(o, "kind"), record_kind_names, RECORD_KINDS);
    reason_t cause;
    if (!name || kind == RECORD_KINDS)
        return reason_set(why, "task %zu lacks a name or a known kind", out->n);
    if (out->n == TASK_LIST) return reason_set(why, "more than %d tasks", TASK_LIST);
    if (tasks_find(out, name) >= 0) return reason_set(why, "task '%.60s' is there twice", name);
    tasks_add(out, task_new(name, (record_kind_t)kind));
    task_t *t = &out->v[out->n - 1];
    if (parse_members(t, o, &cause))
        return reason_set(why, "task '%.60s': %.300s", name, cause.text);
    return task_check(t, why);
}

int tasks_parse(tasks_t *out, const char *json, size_t size, reason_t *why) {
    reason_t inner;
    const cJSON *item;
    int rc = 0;
    *out = (tasks_t){0};
    cJSON *root = json_parse(json, size, false, &inner);
    if (!root) return reason_set(why, "tasks: %.300s", inner.text);
    if (!cJSON_IsArray(root)) rc = reason_set(why, "the tasks are no list");
    if (rc == 0) {
        cJSON_ArrayForEach(item, root) {
            rc = parse_task(out, item, why);
            if (rc) break;
        }
    }
    cJSON_Delete(root);
    if (rc) tasks_release(out);
    return rc;
}
