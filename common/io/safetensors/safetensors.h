/* safetensors.h - the safetensors format: a reader of foreign bytes, and a writer that leaves a
 * whole file or none. Use (tests/examples/example_safetensors.c):
 *
 *     reason_t why;
 *     const float w[2] = {1, 2};
 *     st_writer_t *writer = st_writer_new();
 *     st_writer_add(writer, "w", ST_F32, 1, (uint64_t[]){2}, w); // borrowed until it is written
 *     if (st_write(writer, "x.safetensors", &why)) die(RC_RUNTIME, "%s", why.text);
 *     st_writer_free(writer);
 *
 *     st_file_t file;
 *     float back[2];
 *     if (st_open(&file, "x.safetensors", &why)) die(RC_DATA, "%s", why.text);
 *     const st_tensor_t *tensor = st_find(&file, "w"); // NULL: the file has no such tensor
 *     if (st_read_f32(tensor, back, &why)) die(RC_DATA, "%s", why.text);
 *     st_close(&file);
 *
 * A file is a u64 N (little-endian), N bytes of JSON, and the data up to its end. The reader
 * applies the 13 rules of the format (sizes, UTF-8, one object, no duplicate keys, contiguous
 * offsets, exact sizes) and its reason names the first that fails. The same tensors give the same
 * bytes.
 */
#ifndef IO_SAFETENSORS_H
#define IO_SAFETENSORS_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ST_OTHER: a type of the format that st_read_f32 does not convert. */
typedef enum { ST_F32, ST_F16, ST_BF16, ST_F64, ST_I64, ST_I32, ST_U8, ST_OTHER } st_type_t;

enum { ST_RANK = 8 };

/* A tensor of a file, which owns its name and data. */
typedef struct {
    char *name;
    st_type_t type;
    char dtype[16]; /* as written in the file */
    int rank;
    uint64_t dim[ST_RANK];
    uint64_t count;      /* elements */
    uint64_t begin;      /* offset in the file's data section, bytes */
    uint64_t bytes;      /* of the data */
    const uint8_t *data; /* not aligned; NULL in a file opened by st_open_parts */
} st_tensor_t;

/* ---- reading ---- */

typedef struct {
    uint8_t *bytes;      /* the whole file; after st_open_parts its header alone */
    size_t size;         /* of the file, bytes */
    st_tensor_t *tensor; /* [n] sorted by name */
    size_t n;
    char **meta; /* [n_meta] pairs of key and value, sorted by key */
    size_t n_meta;
    bool hashed; /* __metadata__ has "xxh3", and the data section has that hash */
    FILE *part;  /* after st_open_parts the file, else NULL */
} st_file_t;

/* Reads and checks a whole file. 0, or -1 with a reason; then *f is empty. */
int st_open(st_file_t *f, const char *path, reason_t *why);
/* The same over `size` bytes, malloc'ed, which f takes over in every case. */
int st_parse(st_file_t *f, uint8_t *bytes, size_t size, reason_t *why);
/* Frees what the file owns and empties it. */
void st_close(st_file_t *f);

/* For large files: reads and checks the header alone; tensors have no data. 0, or -1 with a reason;
 * then *f is empty. */
int st_open_parts(st_file_t *f, const char *path, reason_t *why);
/* Reads the data of tensor t: *out is t with a malloc'ed `data`, which the caller frees. 0, or -1
 * with a reason. */
int st_part(st_file_t *f, const st_tensor_t *t, st_tensor_t *out, reason_t *why);
/* Checks the hash of the data section, if there is one, and closes the file. Its check comes last,
 * so that a change while the file was read is noticed. 0, or -1 with a reason. */
int st_parts_end(st_file_t *f, reason_t *why);

/* The tensor of that name, borrowed; NULL when there is none. */
const st_tensor_t *st_find(const st_file_t *f, const char *name);
/* The value of a key of __metadata__, borrowed; NULL when there is none. */
const char *st_meta(const st_file_t *f, const char *key);
/* Converts t->count elements of F32, F16, BF16 or F64 to float. 0, or -1 with a reason for other
 * types. */
int st_read_f32(const st_tensor_t *t, float *out, reason_t *why);
/* IEEE half precision to float, exactly. */
float st_half_to_float(uint16_t h);
/* Are all n values finite? */
bool st_finite(const float *v, size_t n);

/* ---- writing ---- */

/* A writer collects tensors and writes them at once. Order and header are those of the format's
 * other writers: wide types first, then by name; the header padded to 8 bytes. __metadata__ has
 * "format": "pt", "xxh3": the hash of the data, and the pairs that were added. */
typedef struct st_writer st_writer_t;

st_writer_t *st_writer_new(void);
/* Adds a tensor of shape dim[rank] over data that must stay valid until the file is written. A name
 * added twice is a BUG. */
void st_writer_add(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                   const void *data);
/* The same over malloc'ed data that the writer takes over. */
void st_writer_give(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                    void *data);
/* Writes the bytes of tensor i to `data`. Called twice per file, for hash and data; it must give
 * the same bytes each time. */
typedef void (*st_fill_t)(void *ctx, size_t i, void *data);
/* The same over data that `fill` makes when it is needed, so that only one such tensor is in
 * memory. ctx must stay valid until the file is written. */
void st_writer_lazy(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                    st_fill_t fill, void *ctx, size_t i);
/* Adds a pair to __metadata__, both copied. A key given twice keeps the last value. */
void st_writer_meta(st_writer_t *w, const char *key, const char *value);
/* Writes the whole file into a stream, as that of an fs_writer_t. 0, or -1 with a reason. */
int st_write_stream(st_writer_t *w, FILE *file, reason_t *why);
/* Writes the file at `path` whole or not at all. 0, or -1 with a reason. */
int st_write(st_writer_t *w, const char *path, reason_t *why);
/* NULL is allowed. */
void st_writer_free(st_writer_t *w);

#endif
