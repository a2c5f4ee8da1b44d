/* episode_source_kind.h - private to episode_source: what a format of episodes implements.
 *
 * A new format is one file with an episode_kind_t named episode_X, and X in EPISODE_KINDS below.
 */
#ifndef IO_EPISODE_SOURCE_KIND_H
#define IO_EPISODE_SOURCE_KIND_H

#include "common/io/episodes/episode_source.h"

enum {
    EPISODE_IMAGE_SIDE = 32, /* smaller u8 arrays are numbers unless somebody says otherwise */
    EPISODE_STAMPS = 4
};

typedef struct {
    const char *name; /* "Minari" */
    /* What a path must be, for errors: "a Minari dataset folder". */
    const char *needs;
    /* What is missing from a folder that is none, for errors. NULL: the format is a file. */
    const char *missing;
    /* Does the path look like this format? Looks at names and first bytes; libraries may be
     * absent. */
    bool (*probe)(const char *path);
    /* Fills self, leaves, number of episodes and texts of s; what it has filled is freed by close
     * and by the caller also when it fails. *rc is RC_DATA unless it says otherwise. */
    int (*open)(episode_source_t *s, int *rc, reason_t *why);
    /* Frees s->self, which may be NULL. */
    void (*close)(episode_source_t *s);
    /* As episode_source_read; on failure the caller releases what *e holds. */
    int (*read)(episode_source_t *s, size_t episode, recorded_episode_t *e, reason_t *why);
    int (*steps)(episode_source_t *s, size_t episode, size_t *T, reason_t *why);
    /* Sizes of the recording's files, 0 for those that are not there. */
    void (*stamp)(const char *path, uint64_t stamp[EPISODE_STAMPS]);
    /* Both NULL: no source of frames alone. See episode_source_frames_file; frames [T1,h,w,c] of
     * one leaf, malloc'ed. */
    char *(*frames_file)(const char *path);
    int (*frames)(episode_source_t *s, size_t episode, const space_leaf_t *leaf, uint8_t **frames,
                  size_t *T1, reason_t *why);
} episode_kind_t;

struct episode_source {
    const episode_kind_t *kind;
    void *self; /* the format's own state */
    char *path;
    size_t episodes;
    char *dataset_id, *env_spec;         /* NULL: none */
    double random_return, expert_return; /* NAN: not known */
    space_leaf_t *obs, *act;
    size_t n_obs, n_act;
    bool *skip_obs, *skip_act; /* leaves that are not read */
    bool lenient;              /* takes damaged JPEG frames */
};

/* The formats, in the order in which they are asked. */
#define EPISODE_KINDS(X) X(minari) X(d4rl)
#define EPISODE_EXTERN(name) extern const episode_kind_t episode_##name;
EPISODE_KINDS(EPISODE_EXTERN)

/* For kinds: sets T, the leaf counts and the arrays per leaf of an episode of T steps. */
void recorded_episode_begin(const episode_source_t *s, size_t T, recorded_episode_t *e);
/* For kinds: puts "file:episode_3:field: " before the cause that *why holds. Returns -1, or
 * EPISODE_SOURCE_REFUSED when the cause begins with "refused:". */
int episode_defect(const char *file, size_t episode, const char *field, reason_t *why);
/* For kinds in a program without HDF5: the reason, and *rc = RC_RUNTIME. Returns -1. */
int episode_without_hdf5(int *rc, reason_t *why);
/* For kinds: frames [n,c,h,w] to [n,h,w,c], in place; nothing to do unless the leaf is planar. */
void episode_pack_frames(const space_leaf_t *leaf, uint8_t *frames, size_t n);
/* For kinds: integers [rows,count] of a SPACE_DISCRETE leaf as floats less their start, malloc'ed.
 * Those outside the space are a defect. */
int episode_discrete(const int64_t *values, const space_leaf_t *leaf, size_t rows, float **out,
                     reason_t *why);

#endif
