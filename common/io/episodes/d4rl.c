/* d4rl.c - D4RL files as a format of episodes: one HDF5 file of flat arrays.
 *
 * An episode ends behind each row whose terminals or timeouts is set, and behind the last row.
 * Spaces are bare. Observations have no bounds; u8 arrays of two or three dimensions with sides of
 * 32 or more are images. Actions are in [-1,1], or discrete from 0 when they are integers.
 */
#include "common/io/episodes/episode_source_kind.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool probe(const char *path) {
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    uint8_t first[8] = {0};
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return false; /* pipes: reading them acts */
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(first, 1, sizeof first, f);
    fclose(f);
    return n == sizeof first && memcmp(first, signature, sizeof first) == 0;
}

static void stamp(const char *path, uint64_t stamps[EPISODE_STAMPS]) {
    struct stat st;
    if (stat(path, &st) == 0) stamps[0] = (uint64_t)st.st_size;
}

#ifdef WITH_HDF5
#include "common/io/episodes/h5.h"

enum { LARGEST_ROW = 1 << 28 };

/* Rows of an episode. */
typedef struct {
    size_t first, T;
} span_t;

typedef struct {
    const episode_source_t *source; /* its leaves, and which of them are read */
    hid_t h5;
    span_t *episode;
    size_t rows; /* of all arrays */
} d4rl_t;

static const space_leaf_t scalar = {.count = 1};

static int in_file(const d4rl_t *m, const char *field, reason_t *why) {
    if (!why) return -1;
    reason_t cause = *why;
    return reason_set(why, "%.250s:%s: %s", m->source->path, field, cause.text);
}

/* ---- spaces from arrays ---- */

static int leaf_of(const h5_data_t *d, space_leaf_t *leaf, reason_t *why) {
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
    const char *dtype = d->class == H5T_INTEGER ? "int64" : "float32";
    snprintf(leaf->dtype, sizeof leaf->dtype, "%s", bytes ? "uint8" : dtype);
    return 0;
}

static void bounds(space_leaf_t *leaf, double low, double high) {
    leaf->kind = SPACE_BOX;
    leaf->low = xcalloc(leaf->count, sizeof *leaf->low);
    leaf->high = xcalloc(leaf->count, sizeof *leaf->high);
    for (size_t i = 0; i < leaf->count; i++) {
        leaf->low[i] = low;
        leaf->high[i] = high;
    }
}

static int observations(const h5_data_t *d, space_leaf_t *leaf, reason_t *why) {
    if (leaf_of(d, leaf, why)) return -1;
    bool bytes = strcmp(leaf->dtype, "uint8") == 0;
    if (bytes && leaf->rank >= 2 && leaf->dim[0] >= EPISODE_IMAGE_SIDE &&
        leaf->dim[1] >= EPISODE_IMAGE_SIDE)
        leaf->kind = SPACE_IMAGE;
    else
        bounds(leaf, bytes ? 0 : -INFINITY, bytes ? 255 : INFINITY);
    return 0;
}

/* How many values integer actions have is nowhere written: one more than the largest. What is no
 * action, -1 say, is a defect of its episode (episode_discrete). */
static int actions(const h5_data_t *d, space_leaf_t *leaf, reason_t *why) {
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
static int read_flags(const d4rl_t *m, const char *field, size_t rows, uint8_t **flag,
                      reason_t *why) {
    h5_data_t d;
    float *v = NULL;
    if (!h5_has(m->h5, field)) return 0;
    int rc = h5_data_open(m->h5, field, &d, why);
    if (rc == 0) {
        rc = h5_check_rows(&d, scalar.rank, scalar.dim, rows, why);
        if (rc == 0) rc = h5_data_read(&d, H5T_NATIVE_FLOAT, sizeof *v, (void **)&v, why);
        h5_data_close(&d);
    }
    if (rc) return in_file(m, field, why);
    *flag = xcalloc(rows, 1);
    for (size_t i = 0; i < rows; i++) (*flag)[i] = v[i] != 0 && !isnan(v[i]);
    free(v);
    return 0;
}

/* An episode ends behind each row with a flag, and behind the last row. */
static void cut(episode_source_t *s, const uint8_t *terminal, const uint8_t *timeout, size_t rows) {
    d4rl_t *m = s->self;
    size_t first = 0, cap = 0;
    for (size_t i = 0; i < rows; i++) {
        bool end = (terminal && terminal[i]) || (timeout && timeout[i]) || i == rows - 1;
        if (!end) continue;
        m->episode = xgrow(m->episode, &cap, s->episodes + 1, sizeof *m->episode);
        m->episode[s->episodes++] = (span_t){first, i + 1 - first};
        first = i + 1;
    }
    m->rows = rows;
}

static int cut_episodes(episode_source_t *s, size_t rows, reason_t *why) {
    const d4rl_t *m = s->self;
    uint8_t *terminal = NULL, *timeout = NULL;
    int rc = read_flags(m, "terminals", rows, &terminal, why);
    if (rc == 0) rc = read_flags(m, "timeouts", rows, &timeout, why);
    if (rc == 0 && !terminal && !timeout)
        rc = reason_set(why, "%s: neither terminals nor timeouts: where episodes end is not known",
                        s->path);
    if (rc == 0) cut(s, terminal, timeout, rows);
    free(terminal);
    free(timeout);
    return rc;
}

/* ---- opening ---- */

static int open_field(const d4rl_t *m, const char *field,
                      int (*make)(const h5_data_t *, space_leaf_t *, reason_t *),
                      space_leaf_t *leaf, size_t *rows, reason_t *why) {
    h5_data_t d;
    int rc = h5_data_open(m->h5, field, &d, why);
    if (rc == 0) {
        rc = make(&d, leaf, why);
        if (rc == 0) *rows = d.dim[0];
        h5_data_close(&d);
    }
    return rc ? in_file(m, field, why) : 0;
}

static int d4rl_open(episode_source_t *s, int *rc, reason_t *why) {
    reason_t cause;
    const char *path = s->path;
    size_t rows = 0, act_rows = 0;
    h5_setup();
    d4rl_t *m = NEW(d4rl_t);
    s->self = m;
    m->source = s;
    m->h5 = h5_open_file(path, &cause);
    if (m->h5 < 0) return reason_set(why, "%s: %.200s", path, cause.text);
    if (h5_has(m->h5, "episode_0"))
        return reason_set(why, "%s: the data file of a Minari dataset: give the dataset's folder",
                          path);
    if (!h5_has(m->h5, "observations") || !h5_has(m->h5, "actions") || !h5_has(m->h5, "rewards"))
        return reason_set(why, "%s: no D4RL file: observations, actions and rewards are needed",
                          path);
    s->n_obs = s->n_act = 1;
    s->obs = NEW(space_leaf_t);
    s->act = NEW(space_leaf_t);
    if (open_field(m, "observations", observations, s->obs, &rows, why)) return -1;
    if (open_field(m, "actions", actions, s->act, &act_rows, why)) return -1;
    if (rows != act_rows)
        return reason_set(why, "%s:actions: %zu rows beside %zu observations", path, act_rows,
                          rows);
    return cut_episodes(s, rows, why);
}

static void d4rl_close(episode_source_t *s) {
    d4rl_t *m = s->self;
    if (!m) return;
    h5_drop(m->h5);
    free(m->episode);
    free(m);
}

/* ---- reading ---- */

/* Rows of one episode as `memory`; the array's shape must be the leaf's. */
static int read_rows(const d4rl_t *m, const char *field, const space_leaf_t *leaf, span_t s,
                     hid_t memory, size_t size, void **out, reason_t *why) {
    h5_data_t d;
    int rc = h5_data_open(m->h5, field, &d, why);
    if (rc) return rc;
    rc = h5_check_rows(&d, leaf->rank, leaf->dim, m->rows, why);
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

static int flat_observations(const d4rl_t *m, span_t s, recorded_episode_t *e, reason_t *why) {
    const space_leaf_t *leaf = m->source->obs;
    bool image = leaf->kind == SPACE_IMAGE;
    size_t size = image ? 1 : sizeof(float);
    void *v;
    if (m->source->skip_obs[0]) return 0;
    if (read_rows(m, "observations", leaf, s, image ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT, size, &v,
                  why))
        return -1;
    v = repeat_last(v, s.T, leaf->count * size);
    if (image) {
        episode_pack_frames(leaf, v, s.T + 1);
        e->image[0] = v;
    } else {
        e->value[0] = v;
    }
    return 0;
}

static int flat_actions(const d4rl_t *m, span_t s, recorded_episode_t *e, reason_t *why) {
    const space_leaf_t *leaf = m->source->act;
    int64_t *v;
    if (m->source->skip_act[0]) return 0;
    if (leaf->kind == SPACE_BOX)
        return read_rows(m, "actions", leaf, s, H5T_NATIVE_FLOAT, sizeof(float),
                         (void **)&e->action[0], why);
    if (read_rows(m, "actions", leaf, s, H5T_NATIVE_INT64, sizeof *v, (void **)&v, why)) return -1;
    int rc = episode_discrete(v, leaf, s.T, &e->action[0], why);
    free(v);
    return rc;
}

static int flat_flags(const d4rl_t *m, const char *field, span_t s, uint8_t **out, reason_t *why) {
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

static int d4rl_read(episode_source_t *s, size_t episode, recorded_episode_t *e, reason_t *why) {
    h5_quiet();
    const d4rl_t *m = s->self;
    span_t rows = m->episode[episode];
    const char *field = "observations";
    recorded_episode_begin(s, rows.T, e);
    int rc = flat_observations(m, rows, e, why);
    if (rc == 0) {
        field = "actions";
        rc = flat_actions(m, rows, e, why);
    }
    if (rc == 0) {
        field = "rewards";
        rc = read_rows(m, field, &scalar, rows, H5T_NATIVE_FLOAT, sizeof(float),
                       (void **)&e->rewards, why);
    }
    if (rc == 0) {
        field = "terminals";
        rc = flat_flags(m, field, rows, &e->terminated, why);
    }
    if (rc == 0) {
        field = "timeouts";
        rc = flat_flags(m, field, rows, &e->truncated, why);
    }
    return rc ? episode_defect(s->path, episode, field, why) : 0;
}

static int d4rl_steps(episode_source_t *s, size_t episode, size_t *T, reason_t *why) {
    *T = ((const d4rl_t *)s->self)->episode[episode].T;
    return 0;
}

#else

static int d4rl_open(episode_source_t *s, int *rc, reason_t *why) {
    return episode_without_hdf5(rc, why);
}
static void d4rl_close(episode_source_t *s) {}

#endif

const episode_kind_t episode_d4rl = {
    .name = "D4RL",
    .needs = "an HDF5 file",
    .probe = probe,
    .open = d4rl_open,
    .close = d4rl_close,
    .stamp = stamp,
#ifdef WITH_HDF5
    .read = d4rl_read,
    .steps = d4rl_steps,
#endif
};
