/* safetensors.h - the safetensors format: a reader for foreign bytes and a deterministic, atomic
 * writer.
 *
 * Layout: u64 little-endian N; N bytes of JSON; data to end of file. The reader applies the 13
 * rules of the format (size, UTF-8, one object, no duplicate keys, contiguous offsets, exact sizes)
 * and names the rule that failed.
 */
#ifndef IO_SAFETENSORS_H
#define IO_SAFETENSORS_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { ST_F32, ST_F16, ST_BF16, ST_F64, ST_I64, ST_I32, ST_U8, ST_OTHER } st_type_t;

enum { ST_RANK = 8 };
typedef struct {
    char *name;
    st_type_t type;
    char dtype[16]; /* as written in the file */
    int rank;
    uint64_t dim[ST_RANK];
    uint64_t count;      /* elements */
    uint64_t begin;      /* of the data, in the file's data section */
    const uint8_t *data; /* into the file's bytes; NULL in a file opened by parts */
    uint64_t bytes;
} st_tensor_t;

typedef struct {
    uint8_t *bytes;      /* whole file; by parts: its header */
    size_t size;         /* of the file */
    st_tensor_t *tensor; /* sorted by name */
    size_t n;
    char **meta; /* key, value, key, value ... */
    size_t n_meta;
    bool hashed; /* __metadata__ carried "xxh3" and it matched */
    void *part;  /* by parts: FILE *, else NULL */
} st_file_t;

/* 0, or -1 with a reason naming the rule (the program exits 3). */
int st_open(st_file_t *f, const char *path, reason_t *why);
/* The same over bytes that f takes over (fuzzing). */
int st_parse(st_file_t *f, uint8_t *bytes, size_t size, reason_t *why);
void st_close(st_file_t *f);
/* For large files: reads and checks the header alone; tensors have no data. st_part reads those of
 * t, *out is t with a malloc'ed `data` for the caller to free. st_parts_end closes the file; it
 * checks the hash of the data section (when present) as it is then, so that what was changed while
 * it was read is noticed. 0, or -1 with a reason. */
int st_open_parts(st_file_t *f, const char *path, reason_t *why);
int st_part(st_file_t *f, const st_tensor_t *t, st_tensor_t *out, reason_t *why);
int st_parts_end(st_file_t *f, reason_t *why);
const st_tensor_t *st_find(const st_file_t *f, const char *name);
const char *st_meta(const st_file_t *f, const char *key);
/* Converts F32, F16, BF16, F64 to float; -1 for other types. */
int st_read_f32(const st_tensor_t *t, float *out, reason_t *why);
/* First non-finite value? */
bool st_finite(const float *v, size_t n);

/* Writer: collect pointers, then write at once. Order and header as other writers of the format
 * (dtype descending, then name; padded to 8), `__metadata__` {"format":"pt","xxh3":...} plus pairs
 * given. Data must stay valid until st_write.
 */
typedef struct st_writer st_writer_t;
st_writer_t *st_writer_new(void);
void st_writer_add(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                   const void *data);
/* As above over a malloc'ed buffer that the writer frees. */
void st_writer_give(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                    void *data);
/* As above; `fill` gives the bytes whenever they are asked for (twice: hash and file), so that only
 * one tensor of these is in memory. ctx must stay valid until the file is written; fill must give
 * the same bytes each time. */
typedef void (*st_fill_t)(void *ctx, size_t i, void *data);
void st_writer_lazy(st_writer_t *w, const char *name, st_type_t type, int rank, const uint64_t *dim,
                    st_fill_t fill, void *ctx, size_t i);
void st_writer_meta(st_writer_t *w, const char *key, const char *value);
/* Writes the whole file into a stream (for fs_writer_t). */
int st_write_stream(st_writer_t *w, void *file /* FILE * */, reason_t *why);
/* Atomic: temporary + fsync + rename. */
int st_write(st_writer_t *w, const char *path, reason_t *why);
void st_writer_free(st_writer_t *w);

/* IEEE half and bfloat16. */
float st_half_to_float(uint16_t h);

#endif
