/* h5_write.h - HDF5 files that grow while every reader finds them whole: written to the byte here
 * (HDF5 File Format Specification 3.0), because libhdf5 changes committed metadata in place and
 * marks a file that is open for writing as unreadable.
 *
 * Nothing that a committed state refers to is ever overwritten but the superblock. New objects go
 * behind the end; then a new header of the root group; then the superblock, 48 bytes in one page
 * and so one write that a killed process has made whole or not at all. Use:
 *
 *     h5w_t f;
 *     if (h5w_create(&f, path, &why)) ...
 *     h5w_column_t c = h5w_column(H5W_F32, 1, (size_t[]){3}, false);
 *     h5w_rows(&f, &c, row, 1); ...any number of times
 *     h5w_node_t episode = {0};
 *     h5w_link(&episode, "vector", h5w_column_end(&f, &c));
 *     h5w_attribute(&episode, "id", 7);
 *     h5w_root_add(&f, "episode_7", h5w_node_end(&f, &episode));
 *     if (h5w_commit(&f, &why)) ...
 *     h5w_close(&f);
 *
 * The same calls give the same bytes. An error sticks: h5w_commit reports the first one. */
#ifndef IO_EPISODES_H5_WRITE_H
#define IO_EPISODES_H5_WRITE_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

typedef struct {
    uint8_t *v;
    size_t n, cap;
} h5w_bytes_t;

/* ---- the file ---- */

typedef struct {
    int fd;
    char *path;
    uint64_t end;       /* where the next object goes */
    uint64_t committed; /* the end as of the last commit */
    uint64_t root;      /* the root's header that prepare has written */
    int error;          /* errno of the first write that failed; 0 = none */

    /* The root group's links: [links.n] bytes of messages of the newest ones, and the block before
     * them, which holds the older ones and refers to those before it; 0 = none. */
    h5w_bytes_t links;
    uint64_t older, older_bytes, n_links;
    size_t committed_links; /* links.n and n_links as of the last commit */
    uint64_t n_committed;
} h5w_t;

/* A new file, without links. 0, or -1 with a reason. */
int h5w_create(h5w_t *f, const char *path, reason_t *why);
/* Goes on with a file that these functions wrote, as of its last commit; what a killed writer left
 * behind it is cut off. visit is called for each link of the root, in no order. 0, or -1 with a
 * reason. */
typedef void (*h5w_visit_t)(void *ctx, const char *name, uint64_t address);
int h5w_open(h5w_t *f, const char *path, h5w_visit_t visit, void *ctx, reason_t *why);
/* Links an object into the root group. */
void h5w_root_add(h5w_t *f, const char *name, uint64_t address);
/* Brings all that was added to the disk; readers see it from then on. 0, or -1 with a reason: the
 * file is as of the commit before. */
int h5w_commit(h5w_t *f, reason_t *why);
/* The same in steps, for who has another file to change at the same time: prepare syncs all but the
 * superblock, publish writes that, settle syncs it. f->end is the file's size from prepare on. */
int h5w_prepare(h5w_t *f, reason_t *why);
int h5w_publish(h5w_t *f, reason_t *why);
int h5w_settle(h5w_t *f, reason_t *why);
/* Forgets what was added since the last commit. */
void h5w_drop(h5w_t *f);
/* Closes the file. What was not committed is cut off. */
void h5w_close(h5w_t *f);

/* ---- groups ---- */

/* The messages of a group under construction; {0} is empty. Links keep the order of the calls. */
typedef struct {
    h5w_bytes_t attributes, links;
    uint64_t n_links;
} h5w_node_t;
void h5w_link(h5w_node_t *group, const char *name, uint64_t address);
void h5w_attribute(h5w_node_t *group, const char *name, int64_t value);
void h5w_attribute_double(h5w_node_t *group, const char *name, double value);
/* Writes the group, empties it and returns its address. */
uint64_t h5w_node_end(h5w_t *f, h5w_node_t *group);
/* Frees a group that is not to be written, and empties it. */
void h5w_node_release(h5w_node_t *group);
/* The value of an attribute of a group that was written here. False: there is none. */
bool h5w_read_attribute(const h5w_t *f, uint64_t group, const char *name, void *eight_bytes);

/* ---- datasets ---- */

typedef enum {
    H5W_U8,
    H5W_I8,
    H5W_U16,
    H5W_I16,
    H5W_U32,
    H5W_I32,
    H5W_U64,
    H5W_I64,
    H5W_F32,
    H5W_F64,
    H5W_BOOL, /* as h5py writes it: an enumeration over i8 */
    H5W_TEXT, /* UTF-8 of any length */
    H5W_TYPES
} h5w_type_t;
enum { H5W_RANK = 8 };
/* Bytes of a value in memory and in the file; of a text in the file. */
size_t h5w_size(h5w_type_t type);

/* Rows of one shape. Chunked: one chunk as long as the dataset is small, else pieces of
 * H5W_CHUNK bytes, of which one is in memory (compressed, if the dataset is). */
enum { H5W_CHUNK = 16 << 20 };
typedef struct {
    h5w_type_t type;
    int rank;
    size_t dim[H5W_RANK], row_bytes;
    bool zip; /* deflate, level 4 */
    size_t rows, chunk_rows, in_chunk;
    h5w_bytes_t chunk, heap;
    struct h5w_piece {
        uint64_t at, bytes;
    } * piece;
    size_t n_pieces, piece_cap, first_heap_row, heap_objects;
    z_stream *stream;
} h5w_column_t;
h5w_column_t h5w_column(h5w_type_t type, int rank, const size_t *dim, bool zip);
/* Appends n rows: numbers as they stand in memory. */
void h5w_rows(h5w_t *f, h5w_column_t *c, const void *rows, size_t n);
/* Appends a row of a H5W_TEXT column. */
void h5w_text(h5w_t *f, h5w_column_t *c, const char *text);
/* Writes what is left and the dataset's header, releases the column and returns its address. */
uint64_t h5w_column_end(h5w_t *f, h5w_column_t *c);
/* Frees a column that is not to be written. */
void h5w_column_release(h5w_column_t *c);

#endif
