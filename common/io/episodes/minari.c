/* minari.c - Minari dataset folders as a format of episodes: DIR/data/{metadata.json,
 * main_data.hdf5}, where DIR may also be the data folder itself. Layouts of all releases up to 0.5,
 * frames raw or as JPEG. An episode is read by minari_read.c; FORMATS.md describes the layouts.
 */
#include "common/io/episodes/episode_source_kind.h"
#include "common/io/fs.h"
#include <stdlib.h>
#include <sys/stat.h>
#ifdef WITH_HDF5
#include "common/io/episodes/minari_file.h"
#include "common/io/episodes/minari_meta.h"
#include <inttypes.h>
#endif

#define DATA_NAME "main_data.hdf5"
#define META_NAME "metadata.json"

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool holds(const char *folder, const char *name) {
    char *path = fs_join(folder, name);
    bool there = fs_exists(path);
    free(path);
    return there;
}

/* The folder that holds the files: DIR/data, or DIR itself. malloc'ed, NULL when it is no
 * dataset. */
static char *data_folder(const char *dir) {
    char *inner = fs_join(dir, "data");
    if (holds(inner, META_NAME) || holds(inner, DATA_NAME)) return inner;
    free(inner);
    return holds(dir, META_NAME) || holds(dir, DATA_NAME) ? xstrdup(dir) : NULL;
}

static bool probe(const char *path) {
    char *folder = is_file(path) ? NULL : data_folder(path);
    free(folder);
    return folder != NULL;
}

static char *frames_file(const char *path) {
    static const char *const names[] = {"data/" DATA_NAME, DATA_NAME};
    for (size_t i = 0; i < 2; i++) {
        char *file = fs_join(path, names[i]);
        if (fs_exists(file)) return file;
        free(file);
    }
    return NULL;
}

static void stamp(const char *path, uint64_t stamps[EPISODE_STAMPS]) {
    static const char *const names[EPISODE_STAMPS] = {"data/" DATA_NAME, "data/" META_NAME,
                                                      DATA_NAME, META_NAME};
    for (size_t i = 0; i < EPISODE_STAMPS; i++) {
        struct stat st;
        char *file = fs_join(path, names[i]);
        if (stat(file, &st) == 0) stamps[i] = (uint64_t)st.st_size;
        free(file);
    }
}

#ifdef WITH_HDF5

static int read_meta(const char *folder, minari_meta_t *meta, reason_t *why) {
    char *path = fs_join(folder, META_NAME);
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

/* Gives the source what the metadata say; nothing of them is left to release. */
static void take_meta(episode_source_t *s, const minari_meta_t *meta) {
    s->episodes = meta->episodes;
    s->dataset_id = meta->dataset_id;
    s->env_spec = meta->env_spec;
    s->random_return = meta->random_return;
    s->expert_return = meta->expert_return;
    s->obs = meta->obs;
    s->n_obs = meta->n_obs;
    s->act = meta->act;
    s->n_act = meta->n_act;
}

/* A few missing episodes are each reported when they are read; a count far off means another
 * file. */
static int check_count(const minari_t *m, reason_t *why) {
    size_t groups = h5_link_count(m->h5), episodes = m->source->episodes;
    if (episodes / 2 > groups || (groups == 0 && episodes))
        return reason_set(why, "%s: total_episodes is %zu but there are %zu", m->file, episodes,
                          groups);
    if (groups > episodes)
        warn("'%s': %zu episodes, of which total_episodes counts %zu; the others are left out",
             m->file, groups, episodes);
    return 0;
}

static int open_folder(episode_source_t *s, const char *folder, reason_t *why) {
    minari_meta_t meta;
    reason_t cause;
    if (read_meta(folder, &meta, why)) return -1;
    take_meta(s, &meta);
    h5_setup();
    minari_t *m = NEW(minari_t);
    s->self = m;
    m->source = s;
    m->file = fs_join(folder, DATA_NAME);
    m->told = xcalloc(s->n_obs + s->n_act, sizeof *m->told);
    m->h5 = h5_open_file(m->file, &cause);
    if (m->h5 < 0) return reason_set(why, "%s: %.200s", m->file, cause.text);
    return check_count(m, why);
}

static int minari_open(episode_source_t *s, int *rc, reason_t *why) {
    char *folder = data_folder(s->path);
    int failed = folder ? open_folder(s, folder, why)
                        : reason_set(why, "'%s' is no Minari dataset any more", s->path);
    free(folder);
    return failed;
}

static void minari_close(episode_source_t *s) {
    minari_t *m = s->self;
    if (!m) return;
    h5_drop(m->h5);
    free(m->told);
    free(m->file);
    free(m);
}

#else

static int minari_open(episode_source_t *s, int *rc, reason_t *why) {
    return episode_without_hdf5(rc, why);
}
static void minari_close(episode_source_t *s) {}

#endif

const episode_kind_t episode_minari = {
    .name = "Minari",
    .needs = "a Minari dataset folder",
    .missing = "no " DATA_NAME " in it or in its data folder",
    .probe = probe,
    .open = minari_open,
    .close = minari_close,
    .stamp = stamp,
    .frames_file = frames_file,
#ifdef WITH_HDF5
    .read = minari_read,
    .steps = minari_steps,
    .frames = minari_frames,
#endif
};
