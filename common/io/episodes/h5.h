/* h5.h - HDF5 as far as Minari files need it, behind the checks that libhdf5 leaves to its
 * callers: no links out of the file, no storage outside it, no plugins, sizes known before anything
 * is allocated. Included only when the library is there (WITH_HDF5).
 *
 * Reasons name the cause alone; the caller puts file, episode and field before it. Those that begin
 * with "refused:" are about a file that no honest writer makes.
 */
#ifndef IO_EPISODES_H5_H
#define IO_EPISODES_H5_H

#include "common/base/die.h"
#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { H5_RANK = 9 };

typedef struct {
    hid_t id, type; /* type as stored */
    H5T_class_t class;
    int rank;
    size_t dim[H5_RANK];
} h5_data_t;

/* Quiet error stack, no filter plugins. Before the first other call. */
void h5_setup(void);
/* No reports of libhdf5's own on stderr; where it is built for threads, each thread asks. */
void h5_quiet(void);
/* Closes any kind of id; negative ids are ignored. */
void h5_drop(hid_t id);

/* Whether the file can be locked now, as libhdf5 would: 0, or the errno of flock. Keeps no lock. */
int h5_try_lock(const char *path, bool exclusive);
/* The file that is opened with this access list is not locked. */
void h5_without_locks(hid_t access);
hid_t h5_open_file(const char *path, reason_t *why);
size_t h5_link_count(hid_t group);
bool h5_has(hid_t group, const char *name);
/* The same for a path through groups. True also where a part of it is a link that opening
 * refuses. */
bool h5_has_path(hid_t group, const char *path);
hid_t h5_open_group(hid_t parent, const char *name, reason_t *why);
/* `path` may go through groups ("observations/state/joints"). Release with h5_data_close. */
int h5_data_open(hid_t parent, const char *path, h5_data_t *d, reason_t *why);
void h5_data_close(h5_data_t *d);
/* Reads everything as `memory` (elements of `size` bytes); malloc'ed, never NULL on success. */
int h5_data_read(const h5_data_t *d, hid_t memory, size_t size, void **out, reason_t *why);
/* The same for rows first .. first + n - 1, which must exist. */
int h5_data_read_rows(const h5_data_t *d, hid_t memory, size_t size, size_t first, size_t n,
                      void **out, reason_t *why);
/* Are these `rows` rows of elements of rank `rank` and dimensions dim? A single value (rank 0) may
 * also stand in a column of its own. 0, or -1 with a reason. */
int h5_check_rows(const h5_data_t *d, int rank, const size_t *dim, size_t rows, reason_t *why);
/* A vector of byte strings of varying length. Release with h5_bytes_release. */
typedef struct {
    hvl_t *row;
    size_t n;
    hid_t type, space;
} h5_bytes_t;
int h5_data_bytes(const h5_data_t *d, h5_bytes_t *out, reason_t *why);
void h5_bytes_release(h5_bytes_t *b);
/* A vector of strings, each malloc'ed. */
int h5_data_strings(const h5_data_t *d, char ***out, reason_t *why);
/* A scalar integer attribute. 1 = there is none. */
int h5_attr_i64(hid_t object, const char *name, int64_t *out, reason_t *why);

#endif
