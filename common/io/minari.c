/* minari.c - reading Minari datasets: open, one episode, one episode's frames. The layout is described in FORMATS.md.
 *
 * An episode's shape is checked against its total_steps before its arrays are read, so a reader never holds half an
 * episode. Images stored as JPEG bytes are told from raw ones by the dataset's structure, since metadata of older
 * releases does not say.
 */
#include "common/io/minari.h"
#include "common/io/fs.h"
#include "common/io/minari_meta.h"
#include <stdlib.h>
#include <string.h>
#ifdef WITH_HDF5
#include "common/io/minari_h5.h"
#include <inttypes.h>
#endif

struct minari {
    minari_meta_t meta;
    char *file; /* path of main_data.hdf5 */
#ifdef WITH_HDF5
    hid_t h5;
#endif
};

static const char meta_name[] = "metadata.json", data_name[] = "main_data.hdf5";

size_t minari_episodes(const minari_t *m) {
    return m->meta.episodes;
}
const char *minari_env_spec(const minari_t *m) {
    return m->meta.env_spec;
}
const char *minari_dataset_id(const minari_t *m) {
    return m->meta.dataset_id;
}
size_t minari_n_obs(const minari_t *m) {
    return m->meta.n_obs;
}
size_t minari_n_act(const minari_t *m) {
    return m->meta.n_act;
}
const minari_leaf_t *minari_obs(const minari_t *m, size_t i) {
    return &m->meta.obs[i];
}
const minari_leaf_t *minari_act(const minari_t *m, size_t i) {
    return &m->meta.act[i];
}

void minari_episode_release(minari_episode_t *e) {
    for (size_t i = 0; i < e->n_obs; i++) {
        if (e->image) free(e->image[i]);
        if (e->value) free(e->value[i]);
        for (size_t t = 0; e->text && e->text[i] && t <= e->T; t++) free(e->text[i][t]);
        if (e->text) free(e->text[i]);
    }
    for (size_t i = 0; i < e->n_act; i++)
        if (e->action) free(e->action[i]);
    free(e->image);
    free(e->value);
    free(e->text);
    free(e->action);
    free(e->expert_action);
    free(e->rewards);
    free(e->terminated);
    free(e->truncated);
    memset(e, 0, sizeof *e);
}

/* The folder that holds the files: DIR/data, or DIR itself. malloc'ed, NULL when it is no dataset. */
static char *data_folder(const char *dir) {
    char *inner = fs_join(dir, "data");
    const char *choice[] = {inner, dir};
    char *found = NULL;
    for (int i = 0; i < 2 && !found; i++) {
        char *meta = fs_join(choice[i], meta_name), *data = fs_join(choice[i], data_name);
        if (fs_exists(meta) || fs_exists(data)) found = xstrdup(choice[i]);
        free(meta);
        free(data);
    }
    free(inner);
    return found;
}

#ifdef WITH_HDF5

static int read_meta(const char *folder, minari_meta_t *meta, reason_t *why) {
    char *path = fs_join(folder, meta_name);
    uint8_t *text = NULL;
    size_t size = 0;
    reason_t inner;
    int rc = fs_read(path, (size_t)256 << 20, &text, &size, why);
    if (rc == 0 && minari_meta_parse((const char *)text, size, meta, &inner))
        rc = reason_set(why, "%s:%.400s", path, inner.text);
    free(text);
    free(path);
    return rc;
}

/* Puts "file:episode_3:field: " before the cause that *why holds. */
static int at(const minari_t *m, size_t episode, const char *field, reason_t *why) {
    if (!why) return -1;
    reason_t cause = *why;
    return reason_set(why, "%.250s:episode_%zu%s%.200s: %s", m->file, episode, *field ? ":" : "", field, cause.text);
}

static hid_t open_episode(minari_t *m, size_t episode, reason_t *why) {
    char name[40];
    snprintf(name, sizeof name, "episode_%zu", episode);
    hid_t group = h5_open_group(m->h5, name, why);
    if (group < 0) at(m, episode, "", why);
    return group;
}

static int get_steps(const minari_t *m, hid_t group, size_t episode, size_t *T, reason_t *why) {
    int64_t n = 0;
    int rc = h5_attr_i64(group, "total_steps", &n, why);
    if (rc == 1) rc = reason_set(why, "missing");
    if (rc == 0 && (n < 0 || n > INT32_MAX)) rc = reason_set(why, "%" PRId64 " is no length of an episode", n);
    if (rc) return at(m, episode, "total_steps", why);
    *T = (size_t)n;
    return 0;
}

/* [rows, the leaf's shape]; a discrete value may also stand in a column of its own. */
static int check_shape(const h5_data_t *d, const minari_leaf_t *leaf, size_t rows, reason_t *why) {
    if (d->rank < 1) return reason_set(why, "a single value instead of rows");
    bool fits = d->rank == leaf->rank + 1;
    for (int i = 0; i < leaf->rank && fits; i++) fits = d->dim[i + 1] == leaf->dim[i];
    if (leaf->rank == 0 && d->rank == 2) fits = d->dim[1] == 1;
    if (!fits) return reason_set(why, "rows of another shape than the space says");
    if (d->dim[0] != rows) return reason_set(why, "%zu rows where total_steps asks for %zu", d->dim[0], rows);
    return 0;
}

/* Frames as JPEG byte strings: rows of varying length, or a matrix when all happen to be equally long. */
static bool is_jpeg(const h5_data_t *d, const minari_leaf_t *leaf) {
    if (strcmp(leaf->dtype, "uint8") != 0 || leaf->rank == 0) return false;
    if (d->class == H5T_VLEN) return d->rank == 1;
    return d->class == H5T_INTEGER && d->rank == 2 && (leaf->rank > 1 || d->dim[1] != leaf->dim[0]);
}

static int refuse_jpeg(reason_t *why) {
    return reason_set(why, "JPEG-coded frames are not supported yet; re-create with jpeg_encoding=False");
}

static int read_image(const h5_data_t *d, const minari_leaf_t *leaf, size_t rows, uint8_t **out, reason_t *why) {
    if (is_jpeg(d, leaf)) return refuse_jpeg(why);
    if (check_shape(d, leaf, rows, why)) return -1;
    if (d->class != H5T_INTEGER || H5Tget_size(d->type) != 1) return reason_set(why, "frames that are not bytes");
    return h5_data_read(d, H5T_NATIVE_UINT8, 1, (void **)out, why);
}

static int read_discrete(const h5_data_t *d, const minari_leaf_t *leaf, size_t rows, float **out, reason_t *why) {
    int64_t *v;
    size_t n = rows * leaf->count;
    if (d->class != H5T_INTEGER && d->class != H5T_ENUM) return reason_set(why, "values that are not integers");
    if (h5_data_read(d, H5T_NATIVE_INT64, sizeof *v, (void **)&v, why)) return -1;
    float *f = xmalloc(n * sizeof *f);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (v[i] < leaf->start || (uint64_t)v[i] - (uint64_t)leaf->start >= (uint64_t)leaf->n)
            rc = reason_set(why, "step %zu: %" PRId64 " is not in %" PRId64 "..%" PRId64, i / leaf->count, v[i],
                            leaf->start, leaf->start + leaf->n - 1);
        else
            f[i] = (float)(v[i] - leaf->start);
    }
    free(v);
    if (rc) free(f);
    if (rc == 0) *out = f;
    return rc;
}

static int read_value(const h5_data_t *d, const minari_leaf_t *leaf, size_t rows, float **out, reason_t *why) {
    if (is_jpeg(d, leaf)) return refuse_jpeg(why);
    if (check_shape(d, leaf, rows, why)) return -1;
    if (leaf->kind == SPACE_DISCRETE) return read_discrete(d, leaf, rows, out, why);
    return h5_data_read(d, H5T_NATIVE_FLOAT, sizeof(float), (void **)out, why);
}

/* The path of a leaf below "observations" or "actions". */
static const char *leaf_path(char buf[300], const char *field, const minari_leaf_t *leaf) {
    snprintf(buf, 300, "%s%s%s", field, leaf->path[0] ? "/" : "", leaf->path);
    return buf;
}

static int read_observation(const minari_t *m, hid_t group, size_t episode, size_t i, minari_episode_t *e,
                            reason_t *why) {
    char path[300];
    const minari_leaf_t *leaf = &m->meta.obs[i];
    h5_data_t d;
    int rc = h5_data_open(group, leaf_path(path, "observations", leaf), &d, why);
    if (rc == 0) {
        if (leaf->kind == SPACE_IMAGE) {
            rc = read_image(&d, leaf, e->T + 1, &e->image[i], why);
        } else if (leaf->kind == SPACE_TEXT) {
            rc = check_shape(&d, leaf, e->T + 1, why);
            if (rc == 0) rc = h5_data_strings(&d, &e->text[i], why);
        } else {
            rc = read_value(&d, leaf, e->T + 1, &e->value[i], why);
        }
        h5_data_close(&d);
    }
    return rc ? at(m, episode, path, why) : 0;
}

static int read_action(const minari_t *m, hid_t group, size_t episode, size_t i, minari_episode_t *e, reason_t *why) {
    char path[300];
    h5_data_t d;
    int rc = h5_data_open(group, leaf_path(path, "actions", &m->meta.act[i]), &d, why);
    if (rc == 0) {
        rc = read_value(&d, &m->meta.act[i], e->T, &e->action[i], why);
        h5_data_close(&d);
    }
    return rc ? at(m, episode, path, why) : 0;
}

/* One number a step: rewards, terminations, truncations. */
static int read_column(const minari_t *m, hid_t group, size_t episode, const char *field, size_t T, hid_t memory,
                       size_t size, void **out, reason_t *why) {
    static const minari_leaf_t scalar = {.count = 1};
    h5_data_t d;
    int rc = h5_data_open(group, field, &d, why);
    if (rc == 0) {
        rc = check_shape(&d, &scalar, T, why);
        if (rc == 0) rc = h5_data_read(&d, memory, size, out, why);
        h5_data_close(&d);
    }
    return rc ? at(m, episode, field, why) : 0;
}

/* Terminations and truncations: any number that is not 0 is true. */
static int read_flags(const minari_t *m, hid_t group, size_t episode, const char *field, size_t T, uint8_t **out,
                      reason_t *why) {
    if (read_column(m, group, episode, field, T, H5T_NATIVE_UINT8, 1, (void **)out, why)) return -1;
    for (size_t t = 0; t < T; t++) (*out)[t] = (*out)[t] != 0;
    return 0;
}

/* infos/expert_action, when there is one: T rows, or T + 1 as Minari's collector writes infos (one at reset, which
 * belongs to the first observation); then the last row has no action beside it and is left out. */
static int read_expert(const minari_t *m, hid_t group, size_t episode, minari_episode_t *e, reason_t *why) {
    static const char field[] = "infos/expert_action";
    h5_data_t d;
    if (!h5_has(group, "infos") || m->meta.n_act == 0) return 0;
    hid_t infos = h5_open_group(group, "infos", why);
    if (infos < 0) return at(m, episode, "infos", why);
    bool there = h5_has(infos, "expert_action");
    h5_drop(infos);
    if (!there) return 0;
    int rc = h5_data_open(group, field, &d, why);
    if (rc == 0) {
        size_t rows = d.rank > 0 && d.dim[0] == e->T + 1 ? e->T + 1 : e->T;
        rc = read_value(&d, &m->meta.act[0], rows, &e->expert_action, why);
        h5_data_close(&d);
    }
    return rc ? at(m, episode, field, why) : 0;
}

static int read_episode(minari_t *m, hid_t group, size_t episode, minari_episode_t *e, reason_t *why) {
    if (get_steps(m, group, episode, &e->T, why)) return -1;
    e->n_obs = m->meta.n_obs;
    e->n_act = m->meta.n_act;
    e->image = xcalloc(e->n_obs, sizeof *e->image);
    e->value = xcalloc(e->n_obs, sizeof *e->value);
    e->text = xcalloc(e->n_obs, sizeof *e->text);
    e->action = xcalloc(e->n_act, sizeof *e->action);
    int rc = h5_attr_i64(group, "seed", &e->seed, why);
    if (rc < 0) return at(m, episode, "seed", why);
    if (rc == 1) e->seed = -1;
    for (size_t i = 0; i < e->n_act; i++)
        if (read_action(m, group, episode, i, e, why)) return -1;
    if (read_column(m, group, episode, "rewards", e->T, H5T_NATIVE_FLOAT, sizeof(float), (void **)&e->rewards, why) ||
        read_flags(m, group, episode, "terminations", e->T, &e->terminated, why) ||
        read_flags(m, group, episode, "truncations", e->T, &e->truncated, why) ||
        read_expert(m, group, episode, e, why))
        return -1;
    for (size_t i = 0; i < e->n_obs; i++)
        if (read_observation(m, group, episode, i, e, why)) return -1;
    return 0;
}

int minari_read(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why) {
    memset(e, 0, sizeof *e);
    hid_t group = open_episode(m, episode, why);
    if (group < 0) return -1;
    int rc = read_episode(m, group, episode, e, why);
    h5_drop(group);
    if (rc) minari_episode_release(e);
    return rc;
}

int minari_steps(minari_t *m, size_t episode, size_t *T, reason_t *why) {
    hid_t group = open_episode(m, episode, why);
    if (group < 0) return -1;
    int rc = get_steps(m, group, episode, T, why);
    h5_drop(group);
    return rc;
}

static const minari_leaf_t *first_image(const minari_t *m) {
    for (size_t i = 0; i < m->meta.n_obs; i++)
        if (m->meta.obs[i].kind == SPACE_IMAGE) return &m->meta.obs[i];
    return NULL;
}

int minari_read_frames(minari_t *m, size_t episode, uint8_t **frames, size_t *T1, size_t *h, size_t *w, size_t *c,
                       reason_t *why) {
    char path[300];
    const minari_leaf_t *leaf = first_image(m);
    if (!leaf) return reason_set(why, "%s: no pictures among the observations", m->file);
    hid_t group = open_episode(m, episode, why);
    if (group < 0) return -1;
    h5_data_t d;
    size_t T = 0;
    int rc = get_steps(m, group, episode, &T, why);
    if (rc == 0) {
        rc = h5_data_open(group, leaf_path(path, "observations", leaf), &d, why);
        if (rc == 0) {
            rc = read_image(&d, leaf, T + 1, frames, why);
            h5_data_close(&d);
        }
        if (rc) at(m, episode, path, why);
    }
    h5_drop(group);
    if (rc) return -1;
    *T1 = T + 1;
    *h = leaf->dim[0];
    *w = leaf->dim[1];
    *c = leaf->rank == 3 ? leaf->dim[2] : 1;
    return 0;
}

/* A whole dataset of JPEG frames is refused at once instead of episode by episode. */
static int check_first_frames(const minari_t *m, reason_t *why) {
    const minari_leaf_t *leaf = first_image(m);
    char path[300];
    h5_data_t d;
    if (!leaf || !m->meta.jpeg || !h5_has(m->h5, "episode_0")) return 0;
    hid_t group = h5_open_group(m->h5, "episode_0", NULL);
    int rc = 0;
    if (group >= 0 && h5_data_open(group, leaf_path(path, "observations", leaf), &d, NULL) == 0) {
        if (is_jpeg(&d, leaf)) {
            refuse_jpeg(why);
            rc = at(m, 0, path, why);
        }
        h5_data_close(&d);
    }
    h5_drop(group);
    return rc;
}

static int open_data(minari_t *m, const char *folder, reason_t *why) {
    if (read_meta(folder, &m->meta, why)) return -1;
    m->file = fs_join(folder, data_name);
    reason_t cause;
    m->h5 = h5_open_file(m->file, &cause);
    if (m->h5 < 0) return reason_set(why, "%s: %.200s", m->file, cause.text);
    size_t groups = h5_link_count(m->h5);
    /* A few missing episodes are each reported when they are read; a count far off means another file. */
    if (m->meta.episodes / 2 > groups || (groups == 0 && m->meta.episodes))
        return reason_set(why, "%s: total_episodes is %" PRIu64 " but there are %zu", m->file, m->meta.episodes,
                          groups);
    if (groups > m->meta.episodes)
        warn("'%s': %zu episodes, of which total_episodes counts %" PRIu64 "; the others are left out", m->file, groups,
             m->meta.episodes);
    return check_first_frames(m, why);
}

minari_t *minari_open(const char *dir, int *rc, reason_t *why) {
    char *folder = data_folder(dir);
    if (!folder) {
        *rc = RC_USAGE;
        reason_set(why, "'%s' is no Minari dataset: no %s in it or in its data folder", dir, data_name);
        return NULL;
    }
    h5_setup();
    minari_t *m = NEW(minari_t);
    m->h5 = -1;
    int failed = open_data(m, folder, why);
    free(folder);
    if (!failed) return m;
    *rc = RC_DATA;
    minari_close(m);
    return NULL;
}

void minari_close(minari_t *m) {
    if (!m) return;
    h5_drop(m->h5);
    minari_meta_release(&m->meta);
    free(m->file);
    free(m);
}

#else /* built without HDF5: every dataset is refused with the same words */

static int absent(reason_t *why) {
    return reason_set(
        why, "built without HDF5: Minari datasets cannot be read or written (install libhdf5 and build again)");
}

minari_t *minari_open(const char *dir, int *rc, reason_t *why) {
    char *folder = data_folder(dir);
    *rc = folder ? RC_RUNTIME : RC_USAGE;
    if (folder)
        absent(why);
    else
        reason_set(why, "'%s' is no Minari dataset: no %s in it or in its data folder", dir, data_name);
    free(folder);
    return NULL;
}

int minari_read(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why) {
    return absent(why);
}
int minari_steps(minari_t *m, size_t episode, size_t *T, reason_t *why) {
    return absent(why);
}
int minari_read_frames(minari_t *m, size_t episode, uint8_t **frames, size_t *T1, size_t *h, size_t *w, size_t *c,
                       reason_t *why) {
    return absent(why);
}
void minari_close(minari_t *m) {
    if (!m) return;
    minari_meta_release(&m->meta);
    free(m->file);
    free(m);
}

#endif
