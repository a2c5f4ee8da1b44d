/* h5.c - see h5.h. */
#ifdef WITH_HDF5
#include "common/io/episodes/h5.h"
#include "common/io/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

void h5_quiet(void) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void h5_setup(void) {
    /* Must be the library's first call. At exit it would write again what a full disk refused, and
     * crash, or clean up under a thread that still reads; what must reach the disk is closed by
     * hand. */
    H5dont_atexit();
    /* The variable covers a library that loads plugins at its first call, the function one that is
     * already running. */
    setenv("HDF5_PLUGIN_PRELOAD", "::", 1);
    H5open();
    h5_quiet();
    H5PLset_loading_state(0);
}

void h5_drop(hid_t id) {
    if (id >= 0) H5Idec_ref(id);
}

/* A lock of the file in shared or exclusive mode, taken and given back: 0, or why not. */
int h5_try_lock(const char *path, bool exclusive) {
    int fd = open(path, (exclusive ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0) return 0; /* whoever opens it will say why */
    int error = flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) ? errno : 0;
    close(fd);
    return error;
}

/* libhdf5 takes a file system without locks for a locked file. */
void h5_without_locks(hid_t access) {
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(access, false, true);
#endif
}

/* libhdf5 says only "cannot open": look for the reason ourselves. */
static int why_not_open(const char *path, reason_t *why) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return reason_set(why, "cannot open: %s", strerror(errno));
    close(fd);
    int error = h5_try_lock(path, false);
    if (error == EWOULDBLOCK) return reason_set(why, "locked by a program that is writing it");
    if (error)
        return reason_set(
            why,
            "libhdf5 cannot lock it (%s): set HDF5_USE_FILE_LOCKING=FALSE, or copy it "
            "to another file system",
            lock_cause(error));
    if (H5Fis_hdf5(path) <= 0) return reason_set(why, "not an HDF5 file");
    return reason_set(why, "truncated, damaged, or not closed by its writer");
}

hid_t h5_open_file(const char *path, reason_t *why) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);
    /* To read a file needs no lock; that another program writes it shows in what is read. */
    if (file < 0 && lock_unsupported(h5_try_lock(path, false))) {
        h5_without_locks(access);
        file = H5Fopen(path, H5F_ACC_RDONLY, access);
    }
    h5_drop(access);
    if (file < 0) return why_not_open(path, why);
    return file;
}

size_t h5_link_count(hid_t group) {
    H5G_info_t info;
    return H5Gget_info(group, &info) < 0 ? 0 : (size_t)info.nlinks;
}

bool h5_has(hid_t group, const char *name) {
    return H5Lexists(group, name, H5P_DEFAULT) > 0;
}

bool h5_has_path(hid_t group, const char *path) {
    char *part = xstrdup(path);
    bool there = true, hard = true;
    for (char *end = part; end && there && hard;) {
        H5L_info_t info;
        end = strchr(end, '/');
        if (end) *end = 0;
        there = h5_has(group, part);
        hard = there && H5Lget_info(group, part, &info, H5P_DEFAULT) >= 0 &&
               info.type == H5L_TYPE_HARD;
        if (end) *end++ = '/';
    }
    free(part);
    return there;
}

static int check_link(hid_t parent, const char *path, reason_t *why) {
    H5L_info_t info;
    if (H5Lexists(parent, path, H5P_DEFAULT) <= 0) return reason_set(why, "missing");
    if (H5Lget_info(parent, path, &info, H5P_DEFAULT) < 0) return reason_set(why, "missing");
    if (info.type == H5L_TYPE_HARD) return 0;
    return reason_set(why, "refused: %s link",
                      info.type == H5L_TYPE_EXTERNAL ? "an external" : "a symbolic");
}

/* Every component of the path must be an ordinary link: an external one reads other files, a soft
 * one may lead to such. */
static int check_links(hid_t parent, const char *path, reason_t *why) {
    char *part = xstrdup(path);
    char *end = part;
    int rc = 0;
    while (end && rc == 0) {
        end = strchr(end, '/');
        if (end) *end = 0;
        rc = check_link(parent, part, why);
        if (end) *end++ = '/';
    }
    free(part);
    return rc;
}

static hid_t open_object(hid_t parent, const char *path, H5I_type_t want, reason_t *why) {
    if (check_links(parent, path, why)) return -1;
    hid_t id = H5Oopen(parent, path, H5P_DEFAULT);
    if (id < 0) return reason_set(why, "cannot be opened: the file is damaged");
    if (H5Iget_type(id) == want) return id;
    h5_drop(id);
    return reason_set(why, "not a %s", want == H5I_GROUP ? "group" : "dataset");
}

hid_t h5_open_group(hid_t parent, const char *name, reason_t *why) {
    return open_object(parent, name, H5I_GROUP, why);
}

static int check_filters(hid_t create, reason_t *why) {
    int n = H5Pget_nfilters(create), deflates = 0;
    for (int i = 0; i < n; i++) {
        unsigned flags, config, values[8];
        size_t n_values = 8;
        char name[64] = "";
        H5Z_filter_t filter = H5Pget_filter2(create, (unsigned)i, &flags, &n_values, values,
                                             sizeof name, name, &config);
        if (filter < 0 || H5Zfilter_avail(filter) <= 0)
            return reason_set(why, "refused: needs the filter plugin %d '%.40s'", (int)filter,
                              name);
        if (filter == H5Z_FILTER_DEFLATE) deflates++;
    }
    if (n >= 0 && deflates <= 1) return 0;
    return reason_set(why, "refused: a filter pipeline nobody writes");
}

static int check_storage(hid_t id, reason_t *why) {
    hid_t create = H5Dget_create_plist(id);
    if (create < 0) return reason_set(why, "no creation properties: the file is damaged");
    int rc = 0;
    if (H5Pget_external_count(create) > 0 || H5Pget_layout(create) == H5D_VIRTUAL)
        rc = reason_set(why, "refused: its data lie in another file");
    else
        rc = check_filters(create, why);
    h5_drop(create);
    return rc;
}

static int get_dims(h5_data_t *d, reason_t *why) {
    hid_t space = H5Dget_space(d->id);
    hsize_t dim[H5S_MAX_RANK];
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > H5_RANK || H5Sget_simple_extent_type(space) == H5S_NULL ||
        H5Sget_simple_extent_dims(space, dim, NULL) < 0)
        rank = -1;
    h5_drop(space);
    if (rank < 0) return reason_set(why, "a shape of unusable rank");
    for (int i = 0; i < rank; i++) d->dim[i] = dim[i];
    d->rank = rank;
    return 0;
}

/* Bytes of `size`-byte elements, refusing what the file cannot hold: deflate packs at most 1032 :
 * 1, so more than 64 MB that claims more than that is a forged or never written dataset. */
static int bytes_of(const h5_data_t *d, size_t size, size_t *bytes, reason_t *why) {
    size_t n = size, stored = H5Dget_storage_size(d->id);
    for (int i = 0; i < d->rank; i++)
        if (__builtin_mul_overflow(n, d->dim[i], &n))
            return reason_set(why, "refused: a shape beyond all memory");
    if (n > ((size_t)64 << 20) && n / 1100 > stored)
        return reason_set(why, "refused: claims %zu bytes but %zu are stored", n, stored);
    *bytes = n;
    return 0;
}

int h5_data_open(hid_t parent, const char *path, h5_data_t *d, reason_t *why) {
    *d = (h5_data_t){.id = -1, .type = -1};
    d->id = open_object(parent, path, H5I_DATASET, why);
    if (d->id < 0) return -1;
    if (check_storage(d->id, why) == 0 && get_dims(d, why) == 0) {
        d->type = H5Dget_type(d->id);
        d->class = d->type < 0 ? H5T_NO_CLASS : H5Tget_class(d->type);
        size_t bytes;
        if (d->class == H5T_NO_CLASS)
            reason_set(why, "a type that cannot be read");
        else if (bytes_of(d, H5Tget_size(d->type), &bytes, why) == 0)
            return 0;
    }
    h5_data_close(d);
    return -1;
}

void h5_data_close(h5_data_t *d) {
    h5_drop(d->type);
    h5_drop(d->id);
    d->id = d->type = -1;
}

int h5_data_read(const h5_data_t *d, hid_t memory, size_t size, void **out, reason_t *why) {
    size_t bytes = 0;
    if (d->class != H5T_INTEGER && d->class != H5T_FLOAT && d->class != H5T_ENUM)
        return reason_set(why, "not numbers");
    if (bytes_of(d, size, &bytes, why)) return -1;
    void *data = xmalloc(bytes);
    if (bytes && H5Dread(d->id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        free(data);
        return reason_set(why, "cannot be read: the file is damaged");
    }
    *out = data;
    return 0;
}

int h5_data_read_rows(const h5_data_t *d, hid_t memory, size_t size, size_t first, size_t n,
                      void **out, reason_t *why) {
    hsize_t start[H5_RANK] = {first}, count[H5_RANK] = {n};
    size_t bytes = 0;
    h5_data_t part = *d;
    if (d->class != H5T_INTEGER && d->class != H5T_FLOAT && d->class != H5T_ENUM)
        return reason_set(why, "not numbers");
    if (d->rank < 1 || first + n > d->dim[0])
        return reason_set(why, "%zu rows are too few", d->rank ? d->dim[0] : 0);
    part.dim[0] = n;
    if (bytes_of(&part, size, &bytes, why)) return -1;
    for (int i = 1; i < d->rank; i++) count[i] = d->dim[i];
    void *data = xmalloc(bytes);
    hid_t from = H5Dget_space(d->id), to = H5Screate_simple(d->rank, count, NULL);
    bool good = from >= 0 && to >= 0;
    if (good && bytes)
        good = H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
               H5Dread(d->id, memory, to, from, H5P_DEFAULT, data) >= 0;
    h5_drop(to);
    h5_drop(from);
    if (!good) {
        free(data);
        return reason_set(why, "cannot be read: the file is damaged");
    }
    *out = data;
    return 0;
}

void h5_bytes_release(h5_bytes_t *b) {
    H5Dvlen_reclaim(b->type, b->space, H5P_DEFAULT, b->row);
    free(b->row);
    h5_drop(b->space);
    h5_drop(b->type);
    *b = (h5_bytes_t){.type = -1, .space = -1};
}

int h5_check_rows(const h5_data_t *d, int rank, const size_t *dim, size_t rows, reason_t *why) {
    if (d->rank < 1) return reason_set(why, "a single value instead of rows");
    bool fits = d->rank == rank + 1;
    for (int i = 0; i < rank && fits; i++) fits = d->dim[i + 1] == dim[i];
    if (rank == 0 && d->rank == 2) fits = d->dim[1] == 1;
    if (!fits) return reason_set(why, "rows of another shape than the space says");
    if (d->dim[0] != rows)
        return reason_set(why, "%zu rows where total_steps asks for %zu", d->dim[0], rows);
    return 0;
}

int h5_data_bytes(const h5_data_t *d, h5_bytes_t *out, reason_t *why) {
    size_t bytes = 0;
    hid_t base = d->class == H5T_VLEN ? H5Tget_super(d->type) : -1;
    bool plain =
        base >= 0 && H5Tget_class(base) == H5T_INTEGER && H5Tget_size(base) == 1 && d->rank == 1;
    h5_drop(base);
    if (!plain) return reason_set(why, "not a list of byte strings");
    if (bytes_of(d, 16, &bytes, why)) return -1; /* stored as length and place */
    *out = (h5_bytes_t){
        .n = d->dim[0], .type = H5Tvlen_create(H5T_NATIVE_UINT8), .space = H5Dget_space(d->id)};
    out->row = xcalloc(out->n, sizeof *out->row);
    if (!out->n || H5Dread(d->id, out->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out->row) >= 0)
        return 0;
    h5_bytes_release(out);
    return reason_set(why, "cannot be read: the file is damaged");
}

/* Strings of one length each ("S12" of numpy), padded with NUL or spaces as the type says. */
static int read_fixed(const h5_data_t *d, char **s, size_t n, reason_t *why) {
    size_t width = H5Tget_size(d->type), bytes = 0;
    if (bytes_of(d, width, &bytes, why)) return -1;
    char *raw = xmalloc(bytes + 1);
    int rc = H5Dread(d->id, d->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw) < 0
                 ? reason_set(why, "cannot be read")
                 : 0;
    for (size_t i = 0; i < n && rc == 0; i++) s[i] = xasprintf("%.*s", (int)width, raw + i * width);
    free(raw);
    return rc;
}

static int read_variable(const h5_data_t *d, char **s, size_t n, reason_t *why) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Dget_space(d->id);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5Tget_cset(d->type));
    char **raw = xcalloc(n, sizeof *raw);
    int rc = H5Dread(d->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw) < 0
                 ? reason_set(why, "cannot be read: the file is damaged")
                 : 0;
    for (size_t i = 0; i < n && rc == 0; i++) s[i] = xstrdup(raw[i] ? raw[i] : "");
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, raw);
    free(raw);
    h5_drop(space);
    h5_drop(type);
    return rc;
}

int h5_data_strings(const h5_data_t *d, char ***out, reason_t *why) {
    size_t bytes = 0;
    if (d->class != H5T_STRING || d->rank != 1) return reason_set(why, "not a list of texts");
    if (bytes_of(d, sizeof(char *), &bytes, why)) return -1;
    char **s = xcalloc(d->dim[0], sizeof *s);
    int rc = H5Tis_variable_str(d->type) > 0 ? read_variable(d, s, d->dim[0], why)
                                             : read_fixed(d, s, d->dim[0], why);
    if (rc) {
        for (size_t i = 0; i < d->dim[0]; i++) free(s[i]);
        free(s);
        return -1;
    }
    *out = s;
    return 0;
}

int h5_attr_i64(hid_t object, const char *name, int64_t *out, reason_t *why) {
    if (H5Aexists(object, name) <= 0) return 1;
    hid_t attr = H5Aopen(object, name, H5P_DEFAULT);
    if (attr < 0) return reason_set(why, "attribute '%s' cannot be opened", name);
    hid_t type = H5Aget_type(attr), space = H5Aget_space(attr);
    int rc = -1;
    if (type >= 0 && H5Tget_class(type) == H5T_INTEGER && space >= 0 &&
        H5Sget_simple_extent_npoints(space) == 1)
        rc = H5Aread(attr, H5T_NATIVE_INT64, out) < 0 ? -1 : 0;
    h5_drop(space);
    h5_drop(type);
    h5_drop(attr);
    return rc ? reason_set(why, "attribute '%s' is no integer", name) : 0;
}
#else
typedef int h5_is_absent; /* ISO C wants a declaration */
#endif
