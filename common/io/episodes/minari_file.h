/* minari_file.h - private to minari: what an open dataset is, shared by the reader of the folder
 * layout (minari_read.c), of JPEG-coded rows (minari_jpeg.c) and of flat D4RL files
 * (minari_d4rl.c). Only with HDF5.
 */
#ifndef IO_MINARI_FILE_H
#define IO_MINARI_FILE_H

#include "common/io/episodes/minari_h5.h"
#include "common/io/episodes/minari_meta.h"

typedef struct {
    size_t first, T;
} span_t;

struct minari {
    minari_meta_t meta;
    char *file; /* the HDF5 file's path */
    hid_t h5;
    bool *skip_obs, *skip_act; /* leaves that are not read */
    bool lenient;              /* takes damaged JPEG frames */
    bool *told;                /* [n_obs + n_act]: warned that its numbers went through JPEG */
    span_t *flat;              /* a D4RL file: the rows of each episode; NULL for a folder */
};

/* Puts "file:episode_3:field: " before the cause that *why holds. Returns -1, or MINARI_REFUSED
 * when the cause says so.
 */
int minari_at(const minari_t *m, size_t episode, const char *field, reason_t *why);
/* "observations/state/joints". */
const char *minari_leaf_path(char buf[300], const char *field, const minari_leaf_t *leaf);
/* Sets the numbers and leaf arrays of an episode of T steps. */
void minari_episode_begin(const minari_t *m, size_t T, minari_episode_t *e);

/* [rows, the leaf's shape]; a single value may also stand in a column of its own. */
int minari_check_shape(const h5_data_t *d, const minari_leaf_t *leaf, size_t rows, reason_t *why);
/* Bytes as the rows' JPEG strings: rows of varying length, or a matrix when all happen to be
 * equally long. Decided by rank and type; a vector as long as its strings, by their first bytes. */
bool minari_is_jpeg(const h5_data_t *d, const minari_leaf_t *leaf);
/* Decodes them to [rows, count] bytes, channels last. */
int minari_jpeg_rows(const h5_data_t *d, const minari_leaf_t *leaf, size_t rows, bool lenient,
                     uint8_t **out, reason_t *why);
/* Frames of a SPACE_IMAGE leaf as they are stored; channels first or last. */
int minari_image_rows(const h5_data_t *d, const minari_leaf_t *leaf, size_t rows, bool lenient,
                      uint8_t **out, reason_t *why);
/* Frames [n, c, h, w] to [n, h, w, c], in place; nothing to do unless the leaf is planar. */
void minari_pack(const minari_leaf_t *leaf, uint8_t *frames, size_t n);
/* Integers of a SPACE_DISCRETE leaf, less their start: [rows, count] as floats; those outside the
 * space are a defect.
 */
int minari_discrete(const int64_t *v, const minari_leaf_t *leaf, size_t rows, float **out,
                    reason_t *why);

int minari_read_group(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why);
int minari_group_steps(minari_t *m, size_t episode, size_t *T, reason_t *why);
int minari_group_frames(minari_t *m, size_t episode, const minari_leaf_t *leaf, uint8_t **frames,
                        size_t *T1, reason_t *why);

/* A file of flat arrays. -1 with the file's name and a reason. */
int minari_flat_open(minari_t *m, const char *path, reason_t *why);
int minari_flat_read(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why);

#endif
