/* minari.c - opening datasets, what they say about themselves, and which reader an episode needs:
 * that of a dataset folder (minari_read.c) or of a D4RL file (minari_d4rl.c). The layouts are
 * described in FORMATS.md.
 */
#include "common/io/episodes/minari.h"
#include "common/io/episodes/minari_meta.h"
#include "common/io/fs.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef WITH_HDF5
#include "common/io/episodes/minari_file.h"
#include <inttypes.h>
#else
struct minari {
    minari_meta_t meta;
    bool *skip_obs, *skip_act;
};
#endif

enum { IMAGE_SIDE = 32 };
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

void minari_skip_obs(minari_t *m, size_t i) {
    m->skip_obs[i] = true;
}
void minari_skip_act(minari_t *m, size_t i) {
    m->skip_act[i] = true;
}

/* ---- images ---- */

/* u8 [h,w], [h,w,c] or [c,h,w]; channels first when both ends could be channels. */
static bool image_shape(const minari_leaf_t *leaf, bool *planar) {
    const size_t *d = leaf->dim;
    bool box = leaf->kind == SPACE_BOX || leaf->kind == SPACE_IMAGE;
    if (!box || strcmp(leaf->dtype, "uint8") != 0 || leaf->rank < 2 || leaf->rank > 3) return false;
    *planar = leaf->rank == 3 && (d[0] == 3 || (d[0] == 1 && d[2] != 3 && d[2] != 1));
    return leaf->rank == 2 || *planar || d[2] == 3 || d[2] == 1;
}

void minari_image_size(const minari_leaf_t *leaf, size_t *h, size_t *w, size_t *c) {
    *h = leaf->dim[leaf->planar];
    *w = leaf->dim[leaf->planar + 1];
    *c = leaf->rank < 3 ? 1 : leaf->planar ? leaf->dim[0] : leaf->dim[2];
}

bool minari_as_image(minari_t *m, size_t i) {
    minari_leaf_t *leaf = &m->meta.obs[i];
    bool planar;
    if (leaf->kind == SPACE_IMAGE) return true;
    if (!image_shape(leaf, &planar)) return false;
    leaf->kind = SPACE_IMAGE;
    leaf->planar = planar;
    return true;
}

int minari_find_image(minari_t *m) {
    for (size_t i = 0; i < m->meta.n_obs; i++)
        if (m->meta.obs[i].kind == SPACE_IMAGE) return (int)i;
    for (size_t i = 0; i < m->meta.n_obs; i++) {
        minari_leaf_t leaf = m->meta.obs[i];
        if (!image_shape(&leaf, &leaf.planar)) continue;
        size_t h, w, c;
        minari_image_size(&leaf, &h, &w, &c);
        if (h >= IMAGE_SIDE && w >= IMAGE_SIDE && minari_as_image(m, i)) return (int)i;
    }
    return -1;
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

/* The folder that holds the files: DIR/data, or DIR itself. malloc'ed, NULL when it is no
 * dataset. */
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

int minari_read(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why) {
    memset(e, 0, sizeof *e);
    int rc = m->flat ? minari_flat_read(m, episode, e, why) : minari_read_group(m, episode, e, why);
    if (rc) minari_episode_release(e);
    return rc;
}

void minari_lenient(minari_t *m, bool lenient) {
    m->lenient = lenient;
}

int minari_steps(minari_t *m, size_t episode, size_t *T, reason_t *why) {
    if (!m->flat) return minari_group_steps(m, episode, T, why);
    *T = m->flat[episode].T;
    return 0;
}

int minari_read_frames(minari_t *m, size_t episode, uint8_t **frames, size_t *T1, size_t *h,
                       size_t *w, size_t *c, reason_t *why) {
    int i = minari_find_image(m);
    if (i < 0 || m->flat) return reason_set(why, "%s: no images among the observations", m->file);
    minari_image_size(&m->meta.obs[i], h, w, c);
    return minari_group_frames(m, episode, &m->meta.obs[i], frames, T1, why);
}

static int open_data(minari_t *m, const char *folder, reason_t *why) {
    if (read_meta(folder, &m->meta, why)) return -1;
    m->file = fs_join(folder, data_name);
    reason_t cause;
    m->h5 = h5_open_file(m->file, &cause);
    if (m->h5 < 0) return reason_set(why, "%s: %.200s", m->file, cause.text);
    size_t groups = h5_link_count(m->h5);
    /* A few missing episodes are each reported when they are read; a count far off means another
     * file. */
    if (m->meta.episodes / 2 > groups || (groups == 0 && m->meta.episodes))
        return reason_set(why, "%s: total_episodes is %" PRIu64 " but there are %zu", m->file,
                          m->meta.episodes, groups);
    if (groups > m->meta.episodes)
        warn("'%s': %zu episodes, of which total_episodes counts %" PRIu64
             "; the others are left out",
             m->file, groups, m->meta.episodes);
    return 0;
}

/* A regular file: one HDF5 file of flat arrays, or none that can be read. */
static int open_file(minari_t *m, const char *path, int *rc, reason_t *why) {
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    uint8_t first[8] = {0};
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(first, 1, sizeof first, f) : 0;
    if (f) fclose(f);
    if (n == sizeof first && memcmp(first, signature, sizeof first) == 0)
        return minari_flat_open(m, path, why);
    *rc = RC_USAGE;
    return reason_set(why, "'%s' is neither a Minari dataset folder nor an HDF5 file", path);
}

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

minari_t *minari_open(const char *path, int *rc, reason_t *why) {
    bool file = is_file(path);
    char *folder = file ? NULL : data_folder(path);
    if (!folder && !file) {
        *rc = RC_USAGE;
        reason_set(why, "'%s' is no Minari dataset: no %s in it or in its data folder", path,
                   data_name);
        return NULL;
    }
    h5_setup();
    minari_t *m = NEW(minari_t);
    m->h5 = -1;
    *rc = RC_DATA;
    int failed = file ? open_file(m, path, rc, why) : open_data(m, folder, why);
    free(folder);
    if (failed) {
        minari_close(m);
        return NULL;
    }
    m->skip_obs = xcalloc(m->meta.n_obs, sizeof *m->skip_obs);
    m->skip_act = xcalloc(m->meta.n_act, sizeof *m->skip_act);
    for (size_t i = 0; i < m->meta.n_act; i++) m->skip_act[i] = m->meta.act[i].kind == SPACE_TEXT;
    m->told = xcalloc(m->meta.n_obs + m->meta.n_act, sizeof *m->told);
    return m;
}

void minari_close(minari_t *m) {
    if (!m) return;
    h5_drop(m->h5);
    minari_meta_release(&m->meta);
    free(m->skip_obs);
    free(m->skip_act);
    free(m->told);
    free(m->flat);
    free(m->file);
    free(m);
}

#else /* built without HDF5: every dataset is refused with the same words */

static int absent(reason_t *why) {
    return reason_set(why, "built without HDF5: Minari datasets cannot be read or written (install "
                           "libhdf5 and build again)");
}

minari_t *minari_open(const char *path, int *rc, reason_t *why) {
    char *folder = data_folder(path);
    struct stat st;
    bool there = folder || (stat(path, &st) == 0 && S_ISREG(st.st_mode));
    *rc = there ? RC_RUNTIME : RC_USAGE;
    if (there)
        absent(why);
    else
        reason_set(why, "'%s' is no Minari dataset: no %s in it or in its data folder", path,
                   data_name);
    free(folder);
    return NULL;
}

void minari_lenient(minari_t *m, bool lenient) {}
int minari_read(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why) {
    return absent(why);
}
int minari_steps(minari_t *m, size_t episode, size_t *T, reason_t *why) {
    return absent(why);
}
int minari_read_frames(minari_t *m, size_t episode, uint8_t **frames, size_t *T1, size_t *h,
                       size_t *w, size_t *c, reason_t *why) {
    return absent(why);
}
void minari_close(minari_t *m) {
    if (!m) return;
    minari_meta_release(&m->meta);
    free(m);
}

#endif
