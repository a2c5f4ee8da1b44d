/* image_source_kind.h - private to image_source: what a kind of source (folder, tar, dataset)
 * implements.
 */
#ifndef IO_IMAGE_SOURCE_KIND_H
#define IO_IMAGE_SOURCE_KIND_H

#include "common/io/source/image_source.h"

typedef struct {
    const char *(*key)(void *self, size_t i);
    uint64_t (*size)(void *self, size_t i); /* for the manifest */
    image_status_t (*read)(void *self, size_t i, image_t *out, const image_opts_t *o,
                           reason_t *why); /* thread-safe */
    void (*free)(void *self);
    bool episodes;                                                   /* keys are "episode/step" */
    int (*words)(void *self, size_t i, words_t *out, reason_t *why); /* NULL: none. Thread-safe */
} source_kind_t;

struct image_source {
    char *spec;
    const source_kind_t *kind;
    void *self;
    size_t count;
    uint64_t stamp; /* of the manifest: what keys and sizes do not show */
    source_counts_t counts;
    char *tars_in; /* a folder's first folder with tars, for a hint; NULL = none */
};

/* Each fills kind, self, count, counts (and stamp) of a source whose spec is set; die()s. */
void image_folder_open(image_source_t *s);
void image_minari_open(image_source_t *s);
void image_tar_open(
    image_source_t *s); /* counts.images too: items that cannot be used are items all the same */
/* Does the path look like a Minari dataset? */
bool image_minari_is(const char *path);

#endif
