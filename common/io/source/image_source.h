/* image_source.h - images by number, whatever holds them: a folder of PNG, JPEG and WebP files of
 * any depth, the samples of plain WebDataset tars, or the frames of a Minari dataset folder. One
 * interface, random access, thread-safe reads.
 *
 * Items are in a fixed order (byte-wise by relative path; as in the shards; episode and step
 * numbers). An item's group is what must not be split between training and held-out data: the file
 * for folders, the episode for datasets, or by `split_by`.
 */
#ifndef IO_IMAGE_SOURCE_H
#define IO_IMAGE_SOURCE_H

#include "common/io/bad_items.h"
#include "common/io/image/image.h"
#include "common/io/source/archive.h"
#include "common/io/source/image_found.h"
#include "common/io/split.h"

typedef struct image_source image_source_t;

/* `spec` is a path, or "name-{000..009}.tar". die()s: RC_USAGE when missing or neither folder, tar
 * nor dataset, RC_DATA "no images found under 'X' (looked for .png .jpg .jpeg .webp)" with counts
 * when nothing is in it. Folders: regular files by magic bytes, hidden files, __MACOSX and
 * Thumbs.db skipped, each (device, inode) directory once, never a FIFO or device. */
image_source_t *image_source_open(const char *spec);
void image_source_close(image_source_t *s);
size_t image_source_count(const image_source_t *s);
const char *image_source_name(const image_source_t *s); /* the spec */
const source_counts_t *image_source_counts(const image_source_t *s);
/* One log line: what it holds, what was left out and why. */
void image_source_tell(const image_source_t *s);
/* Are its items the frames of episodes? */
bool image_source_is_episodes(const image_source_t *s);
/* Item key: relative path ("a/x.png"), a sample's key ("a/0001"), or "episode_3/17". Bytes, any
 * content. */
const char *image_source_key(const image_source_t *s, size_t i);
/* Group of an item, written to buf: split_group of its key; datasets always take the episode. */
const char *image_source_group(const image_source_t *s, size_t i, split_by_t by, char buf[512]);
/* Decodes item i (thread-safe). */
image_status_t image_source_read(const image_source_t *s, size_t i, image_t *out,
                                 const image_opts_t *o, reason_t *why);
/* The words beside item i, for the caller to release; none unless it is a tar's (thread-safe). -1
 * with a reason. */
int image_source_words(const image_source_t *s, size_t i, words_t *out, reason_t *why);
/* Counts a sample of a tar, as a source of tars does. */
void image_tar_count(source_counts_t *c, const archive_sample_t *s);
/* XXH64 over keys and sizes: a resume refuses another data set. */
uint64_t image_source_manifest(const image_source_t *s);

#endif
