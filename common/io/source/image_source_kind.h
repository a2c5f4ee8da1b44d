/* image_source_kind.h - private to image_source: what a kind of source (folder, tars, episodes)
 * implements.
 *
 * A new kind is one file with an image_source_kind_t named image_source_X, and X in
 * IMAGE_SOURCE_KINDS below.
 */
#ifndef IO_IMAGE_SOURCE_KIND_H
#define IO_IMAGE_SOURCE_KIND_H

#include "common/io/source/image_source.h"

#include <sys/stat.h>

/* i is below count; `self` is image_source_t.self. */
typedef struct {
    /* What a spec must be, for errors: "a WebDataset tar". */
    const char *needs;
    /* Does the spec look like this kind? Names and first bytes alone; libraries may be absent. */
    bool (*probe)(const char *spec);
    /* Fills self, count, counts (and stamp) of a source whose spec is set. -1 with a reason; *rc is
     * RC_DATA unless it says otherwise, and close follows when self is set. */
    int (*open)(image_source_t *s, int *rc, reason_t *why);
    void (*close)(void *self);
    const char *(*key)(void *self, size_t i);
    uint64_t (*size)(void *self, size_t i); /* for the manifest */
    /* As image_source_read. Thread-safe. */
    image_status_t (*read)(void *self, size_t i, image_t *out, const image_opts_t *o,
                           reason_t *why);
    /* As image_source_stamp. Thread-safe. NULL: nothing is known. */
    bool (*stamp)(void *self, size_t i, uint64_t stamp[2]);
    /* As image_source_words. Thread-safe. NULL: there are none. */
    int (*words)(void *self, size_t i, words_t *out, reason_t *why);
    bool episodes; /* keys are "episode/step" */
} image_source_kind_t;

struct image_source {
    char *spec;
    const image_source_kind_t *kind;
    void *self; /* the kind's own state */
    size_t count;
    uint64_t stamp; /* of the manifest: what keys and sizes do not show */
    /* counts.images is the kind's to set: of its items some may be known to be bad. */
    source_counts_t counts;
    char *tars_in; /* a folder's first folder with tars, for a hint; NULL = none */
};

/* The stamp of what stands in a part (a path below, a place) of the file or folder `path`, for a
 * file of this size and these times. */
void stamp_of(uint64_t stamp[2], const char *path, const char *part, const struct stat *st);

/* The kinds. They are asked from the last to the first: a dataset is a folder too. */
#define IMAGE_SOURCE_KINDS(X) X(folder) X(tar) X(episodes)
#define IMAGE_SOURCE_EXTERN(name) extern const image_source_kind_t image_source_##name;
IMAGE_SOURCE_KINDS(IMAGE_SOURCE_EXTERN)

#endif
