/* minari_write.c - writing Minari datasets that its own Python package loads, and the same bytes
 * for the same data.
 *
 * Bytes depend on the data alone: the file format version is fixed, objects carry no times, and
 * everything is written in one order. Both files grow under temporary names; committing removes the
 * old metadata.json first and brings the new one last, so that a killed commit leaves no dataset
 * rather than a mixed one.
 */
#include "common/io/episodes/minari_write.h"
#include "common/io/episodes/minari_meta.h"
#include "common/io/fs.h"
#include "common/io/lock.h"
#include "common/io/text/json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef WITH_HDF5
#include "common/io/episodes/h5.h"
#include <fcntl.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { GZIP_LEVEL = 4, CHUNK_BYTES = 64 << 20 };

struct minari_writer {
    char *folder, *temporary, *final; /* DIR/data, and main_data.hdf5 in it */
    char *dataset_id, *algorithm, *env_spec;
    space_leaf_t *obs, *act;
    size_t n_obs, n_act;
    bool dict_obs;
    hid_t h5, group_create, link_create, text, flag;
    uint64_t episodes, steps;
};

/* ---- one dataset ---- */

/* Chunked, rows unlimited as Minari makes them. One chunk holds the whole episode: the fewest and
 * longest reads. */
static hid_t create_data(minari_writer_t *w, hid_t group, const char *name, hid_t type,
                         const hsize_t *dim, int rank, bool zip) {
    hsize_t chunk[H5_RANK], limit[H5_RANK];
    size_t row = H5Tget_size(type);
    for (int i = 0; i < rank; i++) {
        chunk[i] = dim[i];
        limit[i] = dim[i];
    }
    for (int i = 1; i < rank; i++) row *= dim[i];
    size_t fit = CHUNK_BYTES / row;
    if (chunk[0] > fit) chunk[0] = fit;
    if (chunk[0] < 1) chunk[0] = 1;
    limit[0] = H5S_UNLIMITED;
    hid_t create = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, dim, limit);
    H5Pset_chunk(create, rank, chunk);
    H5Pset_obj_track_times(create, false);
    if (zip) H5Pset_deflate(create, GZIP_LEVEL);
    hid_t id = H5Dcreate2(group, name, type, space, w->link_create, create, H5P_DEFAULT);
    h5_drop(space);
    h5_drop(create);
    return id;
}

static int put_data(minari_writer_t *w, hid_t group, const char *name, hid_t type, hid_t memory,
                    const hsize_t *dim, int rank, bool zip, const void *data) {
    hid_t id = create_data(w, group, name, type, dim, rank, zip);
    int rc = id < 0 ? -1 : 0;
    if (rc == 0 && dim[0])
        rc = H5Dwrite(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0 ? -1 : 0;
    h5_drop(id);
    return rc;
}

static int put_column(minari_writer_t *w, hid_t group, const char *name, hid_t type, hid_t memory,
                      size_t T, const void *data) {
    hsize_t dim = T;
    return put_data(w, group, name, type, memory, &dim, 1, false, data);
}

static hid_t type_of(const char *dtype) {
    static const char *const name[] = {"float64", "float32", "int64",  "int32",  "int16",
                                       "int8",    "uint64",  "uint32", "uint16", "uint8"};
    const hid_t type[] = {H5T_IEEE_F64LE, H5T_IEEE_F32LE, H5T_STD_I64LE, H5T_STD_I32LE,
                          H5T_STD_I16LE,  H5T_STD_I8LE,   H5T_STD_U64LE, H5T_STD_U32LE,
                          H5T_STD_U16LE,  H5T_STD_U8LE};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (strcmp(dtype, name[i]) == 0) return type[i];
    return -1;
}

static int put_discrete(minari_writer_t *w, hid_t group, const char *name, const space_leaf_t *leaf,
                        const hsize_t *dim, int rank, const float *value) {
    size_t n = dim[0] * leaf->count;
    int64_t *v = xmalloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = llroundf(value[i]) + leaf->start;
    int rc = put_data(w, group, name, H5T_STD_I64LE, H5T_NATIVE_INT64, dim, rank, false, v);
    free(v);
    return rc;
}

/* `data`: uint8_t, float or char* of `rows` rows, as the leaf's kind says. */
static int put_leaf(minari_writer_t *w, hid_t group, const char *name, const space_leaf_t *leaf,
                    size_t rows, const void *data) {
    hsize_t dim[H5_RANK] = {rows};
    for (int i = 0; i < leaf->rank; i++) dim[i + 1] = leaf->dim[i];
    int rank = leaf->rank + 1;
    switch (leaf->kind) {
    case SPACE_IMAGE:
        return put_data(w, group, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, dim, rank, true, data);
    case SPACE_BOX:
        return put_data(w, group, name, type_of(leaf->dtype), H5T_NATIVE_FLOAT, dim, rank, false,
                        data);
    case SPACE_DISCRETE:
        return put_discrete(w, group, name, leaf, dim, rank, data);
    case SPACE_TEXT:
        return put_data(w, group, name, w->text, w->text, dim, 1, false, data);
    }
    return -1;
}

static hid_t create_group(minari_writer_t *w, hid_t parent, const char *name) {
    return H5Gcreate2(parent, name, w->link_create, w->group_create, H5P_DEFAULT);
}

static int put_attr(hid_t group, const char *name, int64_t value) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attr = H5Acreate2(group, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    int rc = attr < 0 || H5Awrite(attr, H5T_NATIVE_INT64, &value) < 0 ? -1 : 0;
    h5_drop(attr);
    h5_drop(space);
    return rc;
}

/* ---- one episode ---- */

static const void *obs_data(const minari_writer_t *w, const recorded_episode_t *e, size_t i) {
    space_kind_t kind = w->obs[i].kind;
    if (kind == SPACE_IMAGE) return e->image[i];
    if (kind == SPACE_TEXT) return e->text[i];
    return e->value[i];
}

static int put_observations(minari_writer_t *w, hid_t group, const recorded_episode_t *e) {
    if (!w->dict_obs)
        return put_leaf(w, group, "observations", &w->obs[0], e->T + 1, obs_data(w, e, 0));
    hid_t dict = create_group(w, group, "observations");
    int rc = dict < 0 ? -1 : 0;
    for (size_t i = 0; i < w->n_obs && rc == 0; i++)
        rc = put_leaf(w, dict, w->obs[i].path, &w->obs[i], e->T + 1, obs_data(w, e, i));
    h5_drop(dict);
    return rc;
}

static int put_actions(minari_writer_t *w, hid_t group, const recorded_episode_t *e) {
    if (w->n_act == 1 && !w->act[0].path[0])
        return put_leaf(w, group, "actions", &w->act[0], e->T, e->action[0]);
    hid_t dict = create_group(w, group, "actions");
    int rc = dict < 0 ? -1 : 0;
    for (size_t i = 0; i < w->n_act && rc == 0; i++)
        rc = put_leaf(w, dict, w->act[i].path, &w->act[i], e->T, e->action[i]);
    h5_drop(dict);
    return rc;
}

/* Minari's readers want the group, even an empty one. */
static int put_infos(minari_writer_t *w, hid_t group, const recorded_episode_t *e) {
    hid_t infos = create_group(w, group, "infos");
    int rc = infos < 0 ? -1 : 0;
    if (rc == 0 && e->expert_action)
        rc = put_leaf(w, infos, "expert_action", &w->act[0], e->T, e->expert_action);
    h5_drop(infos);
    return rc;
}

static int put_episode(minari_writer_t *w, hid_t group, const recorded_episode_t *e) {
    if (put_attr(group, "id", (int64_t)w->episodes) ||
        put_attr(group, "total_steps", (int64_t)e->T))
        return -1;
    if (e->seed >= 0 && put_attr(group, "seed", e->seed)) return -1;
    if (put_observations(w, group, e) || put_actions(w, group, e)) return -1;
    if (put_column(w, group, "rewards", H5T_IEEE_F64LE, H5T_NATIVE_FLOAT, e->T, e->rewards))
        return -1;
    if (put_column(w, group, "terminations", w->flag, w->flag, e->T, e->terminated)) return -1;
    if (put_column(w, group, "truncations", w->flag, w->flag, e->T, e->truncated)) return -1;
    return put_infos(w, group, e);
}

/* What failed: mostly the disk. HDF5 keeps the errno to itself. */
static int write_failed(const minari_writer_t *w, reason_t *why) {
    struct statvfs s;
    struct rlimit limit;
    if (statvfs(w->folder, &s) == 0 && (uint64_t)s.f_bavail * s.f_frsize < ((uint64_t)64 << 20))
        return reason_set(why, "cannot write '%s': disk full? %llu MB are free", w->temporary,
                          (unsigned long long)((uint64_t)s.f_bavail * s.f_frsize >> 20));
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return reason_set(why, "cannot write '%s': %s", w->temporary, cause_of(EFBIG));
    return reason_set(why, "cannot write '%s': HDF5 failed", w->temporary);
}

int minari_writer_add(minari_writer_t *w, const recorded_episode_t *e, reason_t *why) {
    char name[40];
    if (e->n_obs != w->n_obs || e->n_act != w->n_act)
        BUG("an episode of other leaves than the dataset's");
    snprintf(name, sizeof name, "episode_%llu", (unsigned long long)w->episodes);
    hid_t group = create_group(w, w->h5, name);
    int rc = group < 0 ? -1 : put_episode(w, group, e);
    h5_drop(group);
    if (rc) return write_failed(w, why);
    w->episodes++;
    w->steps += e->T;
    return 0;
}

/* ---- the dataset ---- */

static space_leaf_t *copy_leaves(const space_leaf_t *leaf, size_t n) {
    space_leaf_t *copy = xcalloc(n, sizeof *copy);
    for (size_t i = 0; i < n; i++) {
        copy[i] = leaf[i];
        double **bound[] = {&copy[i].low, &copy[i].high};
        for (int b = 0; b < 2; b++) {
            double *from = *bound[b];
            if (!from) continue;
            *bound[b] = xmalloc(leaf[i].count * sizeof(double));
            memcpy(*bound[b], from, leaf[i].count * sizeof(double));
        }
    }
    return copy;
}

/* The caller's spaces are the programmer's to get right. */
static void check_leaves(const space_leaf_t *leaf, size_t n, bool dict) {
    if (n == 0 || (!dict && n != 1)) BUG("a bare space has one leaf, not %zu", n);
    for (size_t i = 0; i < n; i++) {
        size_t count = 1;
        for (int d = 0; d < leaf[i].rank; d++) count *= leaf[i].dim[d];
        if (count != leaf[i].count || leaf[i].rank + 1 > H5_RANK)
            BUG("leaf '%s': shape and count differ", leaf[i].path);
        if (dict && (!leaf[i].path[0] || strchr(leaf[i].path, '/')))
            BUG("leaf '%s': no key of a Dict", leaf[i].path);
        if (leaf[i].kind == SPACE_BOX && type_of(leaf[i].dtype) < 0)
            BUG("leaf '%s': dtype '%s'", leaf[i].path, leaf[i].dtype);
    }
}

static void make_types(minari_writer_t *w) {
    w->text = H5Tcopy(H5T_C_S1);
    H5Tset_size(w->text, H5T_VARIABLE);
    H5Tset_cset(w->text, H5T_CSET_UTF8);
    w->flag = H5Tenum_create(H5T_STD_I8LE); /* as h5py writes bool */
    H5Tenum_insert(w->flag, "FALSE", &(int8_t){0});
    H5Tenum_insert(w->flag, "TRUE", &(int8_t){1});
    w->link_create = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_char_encoding(w->link_create, H5T_CSET_UTF8);
    w->group_create = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_link_creation_order(w->group_create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_obj_track_times(w->group_create, false);
}

/* One format version, whatever the library's default: since 1.10 the index of a one-chunk dataset
 * takes bytes, not kilobytes. */
static hid_t create_file(const char *path, bool locks) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    if (!locks) h5_without_locks(access);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_obj_track_times(create, false);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
    h5_drop(create);
    h5_drop(access);
    return file;
}

static void release(minari_writer_t *w) {
    const hid_t ids[] = {w->h5, w->group_create, w->link_create, w->text, w->flag};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) h5_drop(ids[i]);
    space_leaves_free(w->obs, w->n_obs);
    space_leaves_free(w->act, w->n_act);
    free(w->folder);
    free(w->temporary);
    free(w->final);
    free(w->dataset_id);
    free(w->algorithm);
    free(w->env_spec);
    free(w);
}

minari_writer_t *minari_writer_new(const char *dir, const minari_spec_t *spec, reason_t *why) {
    h5_setup();
    check_leaves(spec->obs, spec->n_obs, spec->dict_obs);
    check_leaves(spec->act, spec->n_act, spec->n_act > 1 || spec->act[0].path[0]);
    char *folder = fs_join(dir, "data");
    if (fs_mkdirs(folder, why)) {
        free(folder);
        return NULL;
    }
    minari_writer_t *w = NEW(minari_writer_t);
    w->folder = folder;
    w->final = fs_join(folder, "main_data.hdf5");
    w->temporary = fs_join(folder, ".main_data.hdf5.tmp");
    w->dataset_id = xstrdup(spec->dataset_id ? spec->dataset_id : "");
    w->algorithm = xstrdup(spec->algorithm ? spec->algorithm : "");
    w->env_spec = spec->env_spec ? xstrdup(spec->env_spec) : NULL;
    w->obs = copy_leaves(spec->obs, w->n_obs = spec->n_obs);
    w->act = copy_leaves(spec->act, w->n_act = spec->n_act);
    w->dict_obs = spec->dict_obs;
    make_types(w);
    w->h5 = -1;
    int error = 0;
    int fd = open(w->temporary, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) {
        close(fd);
        error = h5_try_lock(w->temporary, true);
    }
    bool locks = !lock_unsupported(error);
    if (!locks) lock_warn_unsupported(w->final, error);
    /* HDF5 would truncate another writer's file before it looks at the lock that writer holds. */
    if (error == EWOULDBLOCK) {
        reason_set(why, "'%s' is being written by another program", w->temporary);
    } else {
        errno = 0;
        w->h5 = create_file(w->temporary, locks);
        if (w->h5 >= 0) return w;
        reason_set(why, "cannot create '%s': %s", w->temporary,
                   errno ? cause_of(errno) : "HDF5 failed");
    }
    release(w);
    return NULL;
}

static char *metadata_text(const minari_writer_t *w, double megabytes) {
    char *obs = minari_space_json(w->obs, w->n_obs, w->dict_obs);
    char *act = minari_space_json(w->act, w->n_act, w->n_act > 1 || w->act[0].path[0]);
    jsonw_t j = {0};
    jsonw_begin(&j);
    jsonw_str(&j, "action_space", act);
    jsonw_str(&j, "algorithm_name", w->algorithm);
    jsonw_raw(&j, "author", "[]");
    jsonw_raw(&j, "author_email", "[]");
    jsonw_str(&j, "code_permalink", "");
    jsonw_str(&j, "data_format", "hdf5");
    jsonw_str(&j, "dataset_id", w->dataset_id);
    jsonw_num(&j, "dataset_size", megabytes);
    if (w->env_spec) jsonw_str(&j, "env_spec", w->env_spec);
    jsonw_bool(&j, "jpeg_encoding", false);
    jsonw_str(&j, "minari_version", "0.5.3");
    jsonw_str(&j, "observation_space", obs);
    jsonw_raw(&j, "requirements", "[]");
    jsonw_int(&j, "total_episodes", (int64_t)w->episodes);
    jsonw_int(&j, "total_steps", (int64_t)w->steps);
    char *text = xasprintf("%s\n", jsonw_end(&j));
    jsonw_free(&j);
    free(obs);
    free(act);
    return text;
}

/* Closes the temporary and brings it to the disk; *bytes = its size. */
static int finish_data(minari_writer_t *w, off_t *bytes, reason_t *why) {
    int flushed = H5Fflush(w->h5, H5F_SCOPE_GLOBAL);
    int closed = H5Fclose(w->h5);
    w->h5 = -1;
    if (flushed < 0 || closed < 0) return write_failed(w, why);
    struct stat s;
    int fd = open(w->temporary, O_RDWR | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) || fstat(fd, &s) ? -1 : 0;
    if (rc) reason_set(why, "cannot write '%s': %s", w->temporary, cause_of(errno));
    if (fd >= 0) close(fd);
    if (rc == 0) *bytes = s.st_size;
    return rc;
}

static int publish(minari_writer_t *w, const char *text, reason_t *why) {
    char *meta = fs_join(w->folder, "metadata.json");
    int rc = 0;
    if (unlink(meta) && errno != ENOENT)
        rc = reason_set(why, "cannot replace '%s': %s", meta, strerror(errno));
    if (rc == 0 && rename(w->temporary, w->final))
        rc = reason_set(why, "cannot rename '%s': %s", w->temporary, strerror(errno));
    if (rc == 0) rc = fs_sync_dir(w->folder, why);
    if (rc == 0) rc = fs_write(meta, text, strlen(text), why);
    free(meta);
    return rc;
}

int minari_writer_commit(minari_writer_t *w, reason_t *why) {
    off_t bytes = 0;
    int rc = finish_data(w, &bytes, why);
    if (rc == 0) {
        char *text = metadata_text(w, round((double)bytes / 1e5) / 10);
        rc = publish(w, text, why);
        free(text);
    }
    minari_writer_abort(w); /* releases; the temporary is gone when all went well */
    return rc;
}

void minari_writer_abort(minari_writer_t *w) {
    if (!w) return;
    unlink(w->temporary);
    release(w);
}

#else

static int absent(reason_t *why) {
    return reason_set(why, "built without HDF5: Minari datasets cannot be read or written (install "
                           "libhdf5 and build again)");
}
minari_writer_t *minari_writer_new(const char *dir, const minari_spec_t *spec, reason_t *why) {
    absent(why);
    return NULL;
}
int minari_writer_add(minari_writer_t *w, const recorded_episode_t *e, reason_t *why) {
    return absent(why);
}
int minari_writer_commit(minari_writer_t *w, reason_t *why) {
    return absent(why);
}
void minari_writer_abort(minari_writer_t *w) {}

#endif
