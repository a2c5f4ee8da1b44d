/* minari_d4rl.c - a D4RL file: one HDF5 file of flat arrays, cut into episodes after each row whose
 * terminals or timeouts is set. What follows the last such row is an episode too. It is read as a
 * dataset with bare spaces: observations without bounds (u8 arrays of two or three dimensions with
 * sides of 32 or more are images), actions in [-1,1], or discrete from 0 when they are integers.
 */
#ifdef WITH_HDF5
#include "common/io/episodes/minari_file.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_ROW = 1 << 28, IMAGE = 32 };
static const minari_leaf_t scalar = {.count = 1};

static int in_file(const minari_t *m, const char *field, reason_t *why) {
    if (!why) return -1;
    reason_t cause = *why;
    return reason_set(why, "%.250s:%s: %s", m->file, field, cause.text);
}

/* ---- spaces from arrays ---- */

static int leaf_of(const h5_data_t *d, minari_leaf_t *leaf, reason_t *why) {
    if (d->class != H5T_INTEGER && d->class != H5T_FLOAT) return reason_set(why, "not numbers");
    if (d->rank < 1 || d->rank > 4) return reason_set(why, "an array of %d dimensions", d->rank);
    leaf->count = 1;
    for (int i = 1; i < d->rank; i++) {
        if (d->dim[i] == 0 || d->dim[i] > LARGEST_ROW / leaf->count)
            return reason_set(why, "refused: rows beyond reason");
        leaf->dim[leaf->rank++] = d->dim[i];
        leaf->count *= d->dim[i];
    }
    bool bytes = d->class == H5T_INTEGER && H5Tget_size(d->type) == 1 &&
                 H5Tget_sign(d->type) == H5T_SGN_NONE;
    snprintf(leaf->dtype, sizeof leaf->dtype, "%s",
             bytes                     ? "uint8"
             : d->class == H5T_INTEGER ? "int64"
                                       : "float32");
    return 0;
}

static void bounds(minari_leaf_t *leaf, double low, double high) {
    leaf->kind = SPACE_BOX;
    leaf->low = xcalloc(leaf->count, sizeof *leaf->low);
    leaf->high = xcalloc(leaf->count, sizeof *leaf->high);
    for (size_t i = 0; i < leaf->count; i++) {
        leaf->low[i] = low;
        leaf->high[i] = high;
    }
}

static int observations(const h5_data_t *d, minari_leaf_t *leaf, reason_t *why) {
    if (leaf_of(d, leaf, why)) return -1;
    bool bytes = strcmp(leaf->dtype, "uint8") == 0;
    if (bytes && leaf->rank >= 2 && leaf->dim[0] >= IMAGE && leaf->dim[1] >= IMAGE)
        leaf->kind = SPACE_IMAGE;
    else
        bounds(leaf, bytes ? 0 : -INFINITY, bytes ? 255 : INFINITY);
    return 0;
}

/* How many values integer actions have is nowhere written: one more than the largest. What is no
 * action, -1 say, is a defect of its episode (minari_discrete). */
static int actions(const h5_data_t *d, minari_leaf_t *leaf, reason_t *why) {
    if (leaf_of(d, leaf, why)) return -1;
    if (d->class == H5T_FLOAT) {
        bounds(leaf, -1, 1);
        return 0;
    }
    int64_t *v;
    int rc = h5_data_read(d, H5T_NATIVE_INT64, sizeof *v, (void **)&v, why);
    if (rc) return rc;
    leaf->kind = SPACE_DISCRETE;
    leaf->n = 1;
    for (size_t i = 0; i < d->dim[0] * leaf->count; i++)
        if (v[i] >= leaf->n && v[i] < INT32_MAX) leaf->n = v[i] + 1;
    free(v);
    return 0;
}

/* ---- episodes from flags ---- */

/* A flag a row; *flag stays NULL when the file has none of that name. NaN ends no episode: the one
 * around it is bad then (flat_flags). */
static int read_flags(const minari_t *m, const char *field, size_t rows, uint8_t **flag,
                      reason_t *why) {
    h5_data_t d;
    float *v = NULL;
    if (!h5_has(m->h5, field)) return 0;
    int rc = h5_data_open(m->h5, field, &d, why);
    if (rc == 0) {
        rc = minari_check_shape(&d, &scalar, rows, why);
        if (rc == 0) rc = h5_data_read(&d, H5T_NATIVE_FLOAT, sizeof *v, (void **)&v, why);
        h5_data_close(&d);
    }
    if (rc) return in_file(m, field, why);
    *flag = xcalloc(rows, 1);
    for (size_t i = 0; i < rows; i++) (*flag)[i] = v[i] != 0 && !isnan(v[i]);
    free(v);
    return 0;
}

static void cut(minari_t *m, const uint8_t *terminal, const uint8_t *timeout, size_t rows) {
    size_t first = 0, cap = 0, n = 0;
    for (size_t i = 0; i < rows; i++) {
        bool end = (terminal && terminal[i]) || (timeout && timeout[i]) || i == rows - 1;
        if (!end) continue;
        m->flat = xgrow(m->flat, &cap, n + 1, sizeof *m->flat);
        m->flat[n++] = (span_t){first, i + 1 - first};
        first = i + 1;
    }
    if (!m->flat) m->flat = xcalloc(1, sizeof *m->flat);
    m->meta.episodes = n;
    m->meta.steps = rows;
}

static int cut_episodes(minari_t *m, size_t rows, reason_t *why) {
    uint8_t *terminal = NULL, *timeout = NULL;
    int rc = read_flags(m, "terminals", rows, &terminal, why);
    if (rc == 0) rc = read_flags(m, "timeouts", rows, &timeout, why);
    if (rc == 0 && !terminal && !timeout)
        rc = reason_set(why, "%s: neither terminals nor timeouts: where episodes end is not known",
                        m->file);
    if (rc == 0) cut(m, terminal, timeout, rows);
    free(terminal);
    free(timeout);
    return rc;
}

/* ---- opening ---- */

static int open_field(const minari_t *m, const char *field,
                      int (*make)(const h5_data_t *, minari_leaf_t *, reason_t *),
                      minari_leaf_t *leaf, size_t *rows, reason_t *why) {
    h5_data_t d;
    int rc = h5_data_open(m->h5, field, &d, why);
    if (rc == 0) {
        rc = make(&d, leaf, why);
        if (rc == 0) *rows = d.dim[0];
        h5_data_close(&d);
    }
    return rc ? in_file(m, field, why) : 0;
}

int minari_flat_open(minari_t *m, const char *path, reason_t *why) {
    reason_t cause;
    size_t rows = 0, act_rows = 0;
    m->file = xstrdup(path);
    m->h5 = h5_open_file(path, &cause);
    if (m->h5 < 0) return reason_set(why, "%s: %.200s", path, cause.text);
    if (h5_has(m->h5, "episode_0"))
        return reason_set(why, "%s: the data file of a Minari dataset: give the dataset's folder",
                          path);
    if (!h5_has(m->h5, "observations") || !h5_has(m->h5, "actions") || !h5_has(m->h5, "rewards"))
        return reason_set(why, "%s: no D4RL file: observations, actions and rewards are needed",
                          path);
    m->meta.dataset_id = xstrdup("");
    m->meta.n_obs = m->meta.n_act = 1;
    m->meta.obs = NEW(minari_leaf_t);
    m->meta.act = NEW(minari_leaf_t);
    if (open_field(m, "observations", observations, m->meta.obs, &rows, why) ||
        open_field(m, "actions", actions, m->meta.act, &act_rows, why))
        return -1;
    if (rows != act_rows)
        return reason_set(why, "%s:actions: %zu rows beside %zu observations", path, act_rows,
                          rows);
    return cut_episodes(m, rows, why);
}

/* ---- reading ---- */

/* Rows of one episode as `memory`; the array's shape must be the leaf's. */
static int read_rows(const minari_t *m, const char *field, const minari_leaf_t *leaf, span_t s,
                     hid_t memory, size_t size, void **out, reason_t *why) {
    h5_data_t d;
    int rc = h5_data_open(m->h5, field, &d, why);
    if (rc) return rc;
    rc = minari_check_shape(&d, leaf, m->meta.steps, why);
    if (rc == 0) rc = h5_data_read_rows(&d, memory, size, s.first, s.T, out, why);
    h5_data_close(&d);
    return rc;
}

/* The observation after the last action is not in the file: the last one stands for it. */
static void *repeat_last(void *rows, size_t T, size_t size) {
    uint8_t *v = xrealloc(rows, (T + 1) * size);
    if (T) memcpy(v + T * size, v + (T - 1) * size, size);
    return v;
}

static int flat_observations(minari_t *m, span_t s, minari_episode_t *e, reason_t *why) {
    const minari_leaf_t *leaf = m->meta.obs;
    bool image = leaf->kind == SPACE_IMAGE;
    size_t size = image ? 1 : sizeof(float);
    void *v;
    if (m->skip_obs[0]) return 0;
    if (read_rows(m, "observations", leaf, s, image ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT, size, &v,
                  why))
        return -1;
    v = repeat_last(v, s.T, leaf->count * size);
    if (image) {
        minari_pack(leaf, v, s.T + 1);
        e->image[0] = v;
    } else {
        e->value[0] = v;
    }
    return 0;
}

static int flat_actions(minari_t *m, span_t s, minari_episode_t *e, reason_t *why) {
    const minari_leaf_t *leaf = m->meta.act;
    int64_t *v;
    if (m->skip_act[0]) return 0;
    if (leaf->kind == SPACE_BOX)
        return read_rows(m, "actions", leaf, s, H5T_NATIVE_FLOAT, sizeof(float),
                         (void **)&e->action[0], why);
    if (read_rows(m, "actions", leaf, s, H5T_NATIVE_INT64, sizeof *v, (void **)&v, why)) return -1;
    int rc = minari_discrete(v, leaf, s.T, &e->action[0], why);
    free(v);
    return rc;
}

static int flat_flags(const minari_t *m, const char *field, span_t s, uint8_t **out,
                      reason_t *why) {
    float *v;
    *out = xcalloc(s.T, 1);
    if (!h5_has(m->h5, field)) return 0;
    if (read_rows(m, field, &scalar, s, H5T_NATIVE_FLOAT, sizeof *v, (void **)&v, why)) return -1;
    int rc = 0;
    for (size_t t = 0; t < s.T && rc == 0; t++) {
        (*out)[t] = v[t] != 0;
        if (isnan(v[t])) rc = reason_set(why, "step %zu: NaN", t);
    }
    free(v);
    return rc;
}

int minari_flat_read(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why) {
    span_t s = m->flat[episode];
    minari_episode_begin(m, s.T, e);
    if (flat_observations(m, s, e, why)) return minari_at(m, episode, "observations", why);
    if (flat_actions(m, s, e, why)) return minari_at(m, episode, "actions", why);
    if (read_rows(m, "rewards", &scalar, s, H5T_NATIVE_FLOAT, sizeof(float), (void **)&e->rewards,
                  why))
        return minari_at(m, episode, "rewards", why);
    if (flat_flags(m, "terminals", s, &e->terminated, why))
        return minari_at(m, episode, "terminals", why);
    return flat_flags(m, "timeouts", s, &e->truncated, why) ? minari_at(m, episode, "timeouts", why)
                                                            : 0;
}
#else
typedef int minari_d4rl_is_absent; /* ISO C wants a declaration */
#endif
