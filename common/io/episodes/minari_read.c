/* minari_read.c - one episode of a dataset folder: /episode_{i} to arrays.
 *
 * An episode's shape is checked against its total_steps before its arrays are read, so a reader
 * never holds half an episode. Rows stored as JPEG bytes are told from raw ones by the dataset's
 * structure, since metadata of older releases does not say.
 */
#ifdef WITH_HDF5
#include "common/io/episodes/minari_file.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "observations/state/joints". */
static const char *leaf_path(char buf[300], const char *field, const space_leaf_t *leaf) {
    snprintf(buf, 300, "%s%s%s", field, leaf->path[0] ? "/" : "", leaf->path);
    return buf;
}

static hid_t open_episode(minari_t *m, size_t episode, int *rc, reason_t *why) {
    char name[40];
    snprintf(name, sizeof name, "episode_%zu", episode);
    hid_t group = h5_open_group(m->h5, name, why);
    *rc = group < 0 ? episode_defect(m->file, episode, "", why) : 0;
    return group;
}

static int get_steps(const minari_t *m, hid_t group, size_t episode, size_t *T, reason_t *why) {
    int64_t n = 0;
    int rc = h5_attr_i64(group, "total_steps", &n, why);
    if (rc == 1) rc = reason_set(why, "missing");
    if (rc == 0 && (n < 0 || n > INT32_MAX))
        rc = reason_set(why, "%" PRId64 " is no length of an episode", n);
    if (rc) return episode_defect(m->file, episode, "total_steps", why);
    *T = (size_t)n;
    return 0;
}

/* ---- rows of a leaf ---- */

/* Frames of a SPACE_IMAGE leaf as they are stored; channels first or last. */
static int image_rows(const h5_data_t *d, const space_leaf_t *leaf, size_t rows, bool lenient,
                      uint8_t **out, reason_t *why) {
    if (minari_is_jpeg(d, leaf)) return minari_jpeg_rows(d, leaf, rows, lenient, out, why);
    if (h5_check_rows(d, leaf->rank, leaf->dim, rows, why)) return -1;
    if (d->class != H5T_INTEGER || H5Tget_size(d->type) != 1)
        return reason_set(why, "frames that are not bytes");
    return h5_data_read(d, H5T_NATIVE_UINT8, 1, (void **)out, why);
}

static int read_discrete(const h5_data_t *d, const space_leaf_t *leaf, size_t rows, float **out,
                         reason_t *why) {
    int64_t *v;
    if (d->class != H5T_INTEGER && d->class != H5T_ENUM)
        return reason_set(why, "values that are not integers");
    if (h5_data_read(d, H5T_NATIVE_INT64, sizeof *v, (void **)&v, why)) return -1;
    int rc = episode_discrete(v, leaf, rows, out, why);
    free(v);
    return rc;
}

static void warn_jpeg(minari_t *m, size_t episode, const char *path, bool *told) {
    if (*told) return;
    *told = true;
    warn("%s:episode_%zu:%s: numbers stored as JPEG images: its compression has changed them, "
         "record them again",
         m->file, episode, path);
}

/* Numbers of a Box that Minari took for an image: its compression has damaged them. */
static int read_jpeg_numbers(const h5_data_t *d, const space_leaf_t *leaf, size_t rows, float **out,
                             reason_t *why) {
    uint8_t *v;
    if (minari_jpeg_rows(d, leaf, rows, false, &v, why)) return -1;
    float *f = xmalloc(rows * leaf->count * sizeof *f);
    for (size_t i = 0; i < rows * leaf->count; i++) f[i] = v[i];
    free(v);
    *out = f;
    return 0;
}

static int read_value(const h5_data_t *d, const space_leaf_t *leaf, size_t rows, float **out,
                      reason_t *why) {
    if (minari_is_jpeg(d, leaf)) return read_jpeg_numbers(d, leaf, rows, out, why);
    if (h5_check_rows(d, leaf->rank, leaf->dim, rows, why)) return -1;
    if (leaf->kind == SPACE_DISCRETE) return read_discrete(d, leaf, rows, out, why);
    return h5_data_read(d, H5T_NATIVE_FLOAT, sizeof(float), (void **)out, why);
}

/* ---- the fields of an episode ---- */

static int read_leaf(minari_t *m, const h5_data_t *d, size_t episode, size_t i, const char *path,
                     recorded_episode_t *e, reason_t *why) {
    const space_leaf_t *leaf = &m->source->obs[i];
    size_t rows = e->T + 1;
    if (leaf->kind == SPACE_IMAGE) {
        if (image_rows(d, leaf, rows, m->source->lenient, &e->image[i], why)) return -1;
        episode_pack_frames(leaf, e->image[i], rows);
        return 0;
    }
    if (leaf->kind == SPACE_TEXT) {
        if (h5_check_rows(d, leaf->rank, leaf->dim, rows, why)) return -1;
        return h5_data_strings(d, &e->text[i], why);
    }
    if (minari_is_jpeg(d, leaf)) warn_jpeg(m, episode, path, &m->told[i]);
    return read_value(d, leaf, rows, &e->value[i], why);
}

static int read_observation(minari_t *m, hid_t group, size_t episode, size_t i,
                            recorded_episode_t *e, reason_t *why) {
    char path[300];
    h5_data_t d;
    if (m->source->skip_obs[i]) return 0;
    int rc = h5_data_open(group, leaf_path(path, "observations", &m->source->obs[i]), &d, why);
    if (rc == 0) {
        rc = read_leaf(m, &d, episode, i, path, e, why);
        h5_data_close(&d);
    }
    return rc ? episode_defect(m->file, episode, path, why) : 0;
}

static int read_action(minari_t *m, hid_t group, size_t episode, size_t i, recorded_episode_t *e,
                       reason_t *why) {
    char path[300];
    const space_leaf_t *leaf = &m->source->act[i];
    h5_data_t d;
    if (m->source->skip_act[i]) return 0;
    int rc = h5_data_open(group, leaf_path(path, "actions", leaf), &d, why);
    if (rc == 0) {
        if (leaf->kind == SPACE_BOX && minari_is_jpeg(&d, leaf))
            warn_jpeg(m, episode, path, &m->told[m->source->n_obs + i]);
        rc = read_value(&d, leaf, e->T, &e->action[i], why);
        h5_data_close(&d);
    }
    return rc ? episode_defect(m->file, episode, path, why) : 0;
}

/* One number a step: rewards, terminations, truncations. */
static int read_column(const minari_t *m, hid_t group, size_t episode, const char *field, size_t T,
                       hid_t memory, size_t size, void **out, reason_t *why) {
    static const space_leaf_t scalar = {.count = 1};
    h5_data_t d;
    int rc = h5_data_open(group, field, &d, why);
    if (rc == 0) {
        rc = h5_check_rows(&d, scalar.rank, scalar.dim, T, why);
        if (rc == 0) rc = h5_data_read(&d, memory, size, out, why);
        h5_data_close(&d);
    }
    return rc ? episode_defect(m->file, episode, field, why) : 0;
}

/* Terminations and truncations: any number that is not 0 is true. */
static int read_flags(const minari_t *m, hid_t group, size_t episode, const char *field, size_t T,
                      uint8_t **out, reason_t *why) {
    int rc = read_column(m, group, episode, field, T, H5T_NATIVE_UINT8, 1, (void **)out, why);
    if (rc) return rc;
    for (size_t t = 0; t < T; t++) (*out)[t] = (*out)[t] != 0;
    return 0;
}

/* ---- infos ----
 *
 * Rows of an info: T, or T + 1 as Minari's collector writes them, one at reset. */

/* Opens the group /episode_i/infos: 0 with -1 in *infos when there is none. Infos that are no group
 * (some releases wrote JSON strings) are none. */
static int open_infos(const minari_t *m, hid_t group, size_t episode, hid_t *infos, reason_t *why) {
    reason_t cause = {""};
    *infos = -1;
    if (!h5_has(group, "infos")) return 0;
    *infos = h5_open_group(group, "infos", &cause);
    if (*infos >= 0 || strncmp(cause.text, "refused:", 8) != 0) return 0;
    reason_set(why, "%s", cause.text);
    return episode_defect(m->file, episode, "infos", why);
}

/* The clean action beside each executed one. A row at reset belongs to the first observation; then
 * the last row has no action beside it and is left out. */
static int read_expert_leaf(minari_t *m, hid_t infos, size_t episode, size_t i, const char *path,
                            recorded_episode_t *e, reason_t *why) {
    h5_data_t d;
    int rc = h5_data_open(infos, path, &d, why);
    if (rc == 0) {
        size_t rows = d.rank > 0 && d.dim[0] == e->T + 1 ? e->T + 1 : e->T;
        rc = read_value(&d, &m->source->act[i], rows, &e->expert_action[i], why);
        h5_data_close(&d);
    }
    if (rc == 0) return 0;
    char field[320];
    snprintf(field, sizeof field, "infos/%s", path);
    return episode_defect(m->file, episode, field, why);
}

/* infos/expert_action: an array of the first action leaf, or a group by the leaves' paths, which
 * may lack some. */
static int read_expert(minari_t *m, hid_t infos, size_t episode, recorded_episode_t *e,
                       reason_t *why) {
    static const char field[] = "expert_action";
    char path[300];
    int rc = 0;
    if (!h5_has(infos, field)) return 0;
    reason_t cause = {""};
    hid_t group = h5_open_group(infos, field, &cause);
    h5_drop(group);
    if (group < 0) {
        bool wanted = e->n_act > 0 && !m->source->skip_act[0];
        return wanted ? read_expert_leaf(m, infos, episode, 0, field, e, why) : 0;
    }
    for (size_t i = 0; i < e->n_act && rc == 0; i++) {
        if (m->source->skip_act[i]) continue;
        leaf_path(path, field, &m->source->act[i]);
        if (m->source->act[i].path[0] && h5_has_path(infos, path))
            rc = read_expert_leaf(m, infos, episode, i, path, e, why);
    }
    return rc;
}

/* The flags of infos/PATH: *flags [*rows], 0 or 1, malloc'ed; *rows is T or T + 1. Any number that
 * is not 0 is true. */
static int read_info_flags(hid_t infos, const char *path, size_t T, uint8_t **flags, size_t *rows,
                           reason_t *why) {
    h5_data_t d;
    float *v = NULL;
    *flags = NULL;
    if (h5_data_open(infos, path, &d, why)) return -1;
    *rows = d.rank > 0 && d.dim[0] == T + 1 ? T + 1 : T;
    int rc = h5_check_rows(&d, 0, NULL, *rows, why);
    if (rc == 0 && d.class == H5T_FLOAT)
        rc = h5_data_read(&d, H5T_NATIVE_FLOAT, sizeof *v, (void **)&v, why);
    else if (rc == 0) /* bool is an enumeration, which HDF5 makes no floats of */
        rc = h5_data_read(&d, H5T_NATIVE_INT8, 1, (void **)flags, why);
    h5_data_close(&d);
    if (rc == 0 && v) *flags = xcalloc(*rows, 1);
    for (size_t t = 0; t < *rows && rc == 0; t++) {
        if (v && v[t] != v[t]) rc = reason_set(why, "step %zu: NaN", t);
        (*flags)[t] = v ? v[t] != 0 : (*flags)[t] != 0;
    }
    free(v);
    if (rc == 0) return 0;
    free(*flags);
    *flags = NULL;
    return -1;
}

/* infos/success: has the step reached the goal? A row at reset is left out. Environments differ in
 * what they call so: what holds no flags is left out with a warning. */
static int read_success(minari_t *m, hid_t infos, size_t episode, recorded_episode_t *e,
                        reason_t *why) {
    size_t rows;
    reason_t cause = {""};
    if (!h5_has(infos, "success")) return 0;
    if (!read_info_flags(infos, "success", e->T, &e->success, &rows, &cause)) {
        memmove(e->success, e->success + (rows - e->T), e->T);
        return 0;
    }
    if (strncmp(cause.text, "refused:", 8) == 0) {
        reason_set(why, "%s", cause.text);
        return episode_defect(m->file, episode, "infos/success", why);
    }
    if (!m->told_success)
        warn("%s:episode_%zu:infos/success is left out: %s", m->file, episode, cause.text);
    m->told_success = true;
    return 0;
}

/* infos/present/PATH of each observation that is read: 0 where it is missing. After T rows the last
 * observation is there. */
static int read_present(const minari_t *m, hid_t infos, size_t episode, recorded_episode_t *e,
                        reason_t *why) {
    char path[300], field[320];
    if (!h5_has(infos, "present")) return 0;
    for (size_t i = 0; i < e->n_obs; i++) {
        size_t rows;
        if (m->source->skip_obs[i]) continue;
        leaf_path(path, "present", &m->source->obs[i]);
        if (!h5_has_path(infos, path)) continue;
        if (read_info_flags(infos, path, e->T, &e->present[i], &rows, why)) {
            snprintf(field, sizeof field, "infos/%s", path);
            return episode_defect(m->file, episode, field, why);
        }
        e->present[i] = xrealloc(e->present[i], e->T + 1);
        if (rows == e->T) e->present[i][e->T] = 1;
    }
    return 0;
}

static int read_infos(minari_t *m, hid_t group, size_t episode, recorded_episode_t *e,
                      reason_t *why) {
    hid_t infos;
    int rc = open_infos(m, group, episode, &infos, why);
    if (rc || infos < 0) return rc;
    rc = read_expert(m, infos, episode, e, why);
    if (rc == 0) rc = read_success(m, infos, episode, e, why);
    if (rc == 0) rc = read_present(m, infos, episode, e, why);
    h5_drop(infos);
    return rc;
}

static int read_fields(minari_t *m, hid_t group, size_t episode, recorded_episode_t *e,
                       reason_t *why) {
    size_t T = 0;
    int rc = get_steps(m, group, episode, &T, why);
    if (rc) return rc;
    recorded_episode_begin(m->source, T, e);
    if (h5_attr_i64(group, "seed", &e->seed, NULL))
        e->seed = -1; /* of any kind, and of no use here */
    for (size_t i = 0; i < e->n_act && rc == 0; i++) rc = read_action(m, group, episode, i, e, why);
    if (rc == 0)
        rc = read_column(m, group, episode, "rewards", T, H5T_NATIVE_FLOAT, sizeof(float),
                         (void **)&e->rewards, why);
    if (rc == 0) rc = read_flags(m, group, episode, "terminations", T, &e->terminated, why);
    if (rc == 0) rc = read_flags(m, group, episode, "truncations", T, &e->truncated, why);
    if (rc == 0) rc = read_infos(m, group, episode, e, why);
    for (size_t i = 0; i < e->n_obs && rc == 0; i++)
        rc = read_observation(m, group, episode, i, e, why);
    return rc;
}

int minari_read(episode_source_t *s, size_t episode, recorded_episode_t *e, reason_t *why) {
    h5_quiet();
    minari_t *m = s->self;
    int rc;
    hid_t group = open_episode(m, episode, &rc, why);
    if (rc == 0) rc = read_fields(m, group, episode, e, why);
    h5_drop(group);
    return rc;
}

int minari_steps(episode_source_t *s, size_t episode, size_t *T, reason_t *why) {
    h5_quiet();
    minari_t *m = s->self;
    int rc;
    hid_t group = open_episode(m, episode, &rc, why);
    if (rc == 0) rc = get_steps(m, group, episode, T, why);
    h5_drop(group);
    return rc;
}

int minari_frames(episode_source_t *s, size_t episode, const space_leaf_t *leaf, uint8_t **frames,
                  size_t *T1, reason_t *why) {
    h5_quiet();
    minari_t *m = s->self;
    char path[300];
    size_t T = 0;
    int rc;
    hid_t group = open_episode(m, episode, &rc, why);
    if (rc == 0) rc = get_steps(m, group, episode, &T, why);
    if (rc == 0) {
        h5_data_t d;
        rc = h5_data_open(group, leaf_path(path, "observations", leaf), &d, why);
        if (rc == 0) {
            rc = image_rows(&d, leaf, T + 1, m->source->lenient, frames, why);
            h5_data_close(&d);
        }
        if (rc) rc = episode_defect(m->file, episode, path, why);
    }
    h5_drop(group);
    if (rc == 0) episode_pack_frames(leaf, *frames, T + 1);
    *T1 = T + 1;
    return rc;
}
#else
typedef int minari_read_is_absent; /* ISO C wants a declaration */
#endif
