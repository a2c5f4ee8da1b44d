/* minari_file.h - private to minari: an open dataset folder, shared by minari.c (opening),
 * minari_read.c (episodes) and minari_jpeg.c (rows that are stored as JPEG). Only with HDF5.
 */
#ifndef IO_MINARI_FILE_H
#define IO_MINARI_FILE_H

#include "common/io/episodes/episode_source_kind.h"
#include "common/io/episodes/h5.h"

typedef struct {
    const episode_source_t *source; /* its leaves, and which of them are read */
    char *file;                     /* the HDF5 file's path */
    hid_t h5;
    bool *told;        /* [n_obs + n_act]: warned that its numbers went through JPEG */
    bool told_success; /* warned that infos/success holds no flags */
} minari_t;

/* Are the rows JPEG strings: rows of varying length, or a matrix when all happen to be equally
 * long? Decided by rank and type; for a vector as long as its strings, by their first bytes. */
bool minari_is_jpeg(const h5_data_t *d, const space_leaf_t *leaf);
/* Decodes JPEG rows to *out [rows,count] bytes, channels last, malloc'ed. -1 with a reason. */
int minari_jpeg_rows(const h5_data_t *d, const space_leaf_t *leaf, size_t rows, bool lenient,
                     uint8_t **out, reason_t *why);

/* episode_kind_t.read, .steps and .frames of Minari. */
int minari_read(episode_source_t *s, size_t episode, recorded_episode_t *e, reason_t *why);
int minari_steps(episode_source_t *s, size_t episode, size_t *T, reason_t *why);
int minari_frames(episode_source_t *s, size_t episode, const space_leaf_t *leaf, uint8_t **frames,
                  size_t *T1, reason_t *why);

#endif
