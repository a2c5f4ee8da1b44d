/* image_source.h - images by number, whatever holds them: a folder of PNG, JPEG and WebP files of
 * any depth, the samples of plain WebDataset tars, or the frames of a Minari dataset folder. Random
 * access, thread-safe reads. The kind is found by what stands at the path.
 *
 * Use (tests/examples/example_images.c):
 *
 *     image_source_t *source = image_source_open(path, &rc, &why);
 *     for (size_t i = 0; source && i < image_source_count(source); i++) {
 *         image_t image;
 *         if (image_source_read(source, i, &image, NULL, &why)) continue; // why says what is wrong
 *         pixels += image.w * image.h;
 *         image_release(&image);
 *     }
 *     image_source_close(source);
 *
 * The order of the items is fixed: by the bytes of the relative path; as in the tars; by episode
 * and step. An item's group is what must not be split between training and held-out data: the file
 * of a folder or tar, or what `split_by` says; of a dataset always the episode.
 */
#ifndef IO_IMAGE_SOURCE_H
#define IO_IMAGE_SOURCE_H

#include "common/io/bad_items.h"
#include "common/io/image/image.h"
#include "common/io/source/archive.h"
#include "common/io/source/image_found.h"
#include "common/io/split.h"

typedef struct image_source image_source_t;

/* `spec` is a path, or "name-{000..009}.tar" (braces.h). NULL with a reason. *rc: RC_USAGE when
 * nothing stands there or no kind of source can read it, RC_DATA when it holds no images (the
 * reason counts what it holds instead) or cannot be used, RC_RUNTIME when the program was built
 * without the library that reads it.
 *
 * Of folders: regular files by their first bytes. Hidden files, __MACOSX and Thumbs.db are left
 * out; each (device, inode) directory is visited once; no FIFO or device is ever opened. */
image_source_t *image_source_open(const char *spec, int *rc, reason_t *why);
/* For programs: dies with the reason instead. */
image_source_t *image_source_open_or_die(const char *spec);
void image_source_close(image_source_t *s);

/* Items. Those that are known to be bad are items too: reading them gives the reason. */
size_t image_source_count(const image_source_t *s);
/* The spec, owned by the source. */
const char *image_source_name(const image_source_t *s);
/* What was found and what was left out, owned by the source. */
const source_counts_t *image_source_counts(const image_source_t *s);
/* Logs the counts, in one line. */
void image_source_tell(const image_source_t *s);
/* Are its items the frames of episodes? */
bool image_source_is_episodes(const image_source_t *s);
/* Item i's key: a relative path ("a/x.png"), a sample's key ("a/0001"), or "episode_3/17". Any
 * bytes, owned by the source. */
const char *image_source_key(const image_source_t *s, size_t i);
/* Item i's group, written to buf: split_group of its key; of datasets always the episode. Returns
 * buf. */
const char *image_source_group(const image_source_t *s, size_t i, split_by_t by, char buf[512]);
/* Decodes item i to *out, for the caller to release (thread-safe). o may be NULL. Unless IMAGE_OK,
 * *why has the reason and *out is empty. */
image_status_t image_source_read(const image_source_t *s, size_t i, image_t *out,
                                 const image_opts_t *o, reason_t *why);
/* A hash of 128 bits over where item i stands and the size and times (of its data, and of any
 * change) of the file that holds it now: while it is the same, so are the pixels. False when the
 * file is gone or changed since the source was opened, and where nothing of the kind is known
 * (frames of episodes). Thread-safe. */
bool image_source_stamp(const image_source_t *s, size_t i, uint64_t stamp[2]);
/* The caption and label beside item i, for the caller to release; empty unless it is a tar's
 * (thread-safe). 0, or -1 with a reason. */
int image_source_words(const image_source_t *s, size_t i, words_t *out, reason_t *why);
/* Can items have words at all: is it a tar? */
bool image_source_has_words(const image_source_t *s);
/* XXH64 over keys and sizes: a resumed job refuses another data set. */
uint64_t image_source_manifest(const image_source_t *s);

/* Counts one sample of a tar, as a source of tars does. For programs that read tars as streams. */
void image_tar_count(source_counts_t *c, const archive_sample_t *s);

#endif
