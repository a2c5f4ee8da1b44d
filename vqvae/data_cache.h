/* data_cache.h - images of a training decoded and brought to the size that its crop needs, kept
 * from the check of the sources on: in memory up to a budget (data.cache), and in a file if there
 * is one (data.cache_file).
 *
 * An image is kept as data_prepare leaves it, so a sample is the same with and without a cache. It
 * is taken only while its file is as it was: image_source_stamp, asked for every sample. What is
 * not kept is decoded every time. Frames of episodes are kept by their source instead.
 *
 * data_open fills the cache; after that it does not change.
 */
#ifndef VQVAE_DATA_CACHE_H
#define VQVAE_DATA_CACHE_H

#include "vqvae/data.h"

/* d->config, d->opts and d->want_* are set. die()s when data.cache_file cannot be one. */
data_cache_t *data_cache_open(const data_t *d);
void data_cache_close(data_cache_t *c);
/* Makes room for the items of a source. */
void data_cache_add_source(data_source_t *s);

/* Reads item i of a source for the first time, and keeps it if there is room. Returns what
 * image_source_read says of it. Thread-safe. */
image_status_t data_cache_fill(const data_t *d, data_source_t *s, size_t i, reason_t *why);
/* After the last source: writes the file, and says what had no room. */
void data_cache_filled(const data_t *d);

/* The image of item i as data_prepare leaves it: of the cache, or read from the file to *own, which
 * the caller releases in any case. NULL: it is not kept, or not as it is now. Thread-safe. */
const image_t *data_cache_get(const data_t *d, const data_source_t *s, size_t i, image_t *own);

#endif
