/* cache_file.h - a file of decoded images by 128-bit keys, which outlives a run and serves several
 * processes at a time. common/io/FORMATS.md 8 has its bytes.
 *
 *     cache_file_t *f = cache_file_open("images.cache", &rc, &why);
 *     if (!cache_file_get(f, key, &im, &noticed)) {
 *         ...decode im...
 *         cache_file_put(f, key, &im, noticed);
 *     }
 *     cache_file_flush(f);     // from now on cache_file_get finds what was put
 *     cache_file_close(f);
 *
 * It is a cache: pixels that it gives are those that were put (a checksum says so), and everything
 * else that goes wrong with it (a full disk, damage, a writer that was killed) costs time alone. So
 * nothing but opening fails; the rest is told in a warning, once of each kind. The file only grows:
 * what nobody asks for any more goes when the file is removed.
 *
 * Chunks of images are appended under a lock (flock) and never changed. What stands behind the last
 * whole chunk is cut off by the next writer. All functions but open and close are thread-safe.
 */
#ifndef VQVAE_CACHE_FILE_H
#define VQVAE_CACHE_FILE_H

#include "common/io/image/image.h"

typedef struct cache_file cache_file_t;

/* Opens or makes the file and reads its index. A file that this process may only read serves it all
 * the same. NULL with a reason: RC_USAGE when its folder is missing or what is there is no such
 * cache (it is never touched), else RC_RUNTIME. */
cache_file_t *cache_file_open(const char *path, int *rc, reason_t *why);
/* Flushes first. */
void cache_file_close(cache_file_t *f);

/* The image of a key, for the caller to release, and what was noticed when it was decoded (a set of
 * 1u << NOTE_...). False: it is not there, or was damaged and is forgotten. */
bool cache_file_get(cache_file_t *f, const uint64_t key[2], image_t *out, unsigned *noticed);
/* Adds an image unless its key is there. */
void cache_file_put(cache_file_t *f, const uint64_t key[2], const image_t *im, unsigned noticed);
/* Writes what was put. */
void cache_file_flush(cache_file_t *f);

/* Images that can be had from it now, and how many of them this process added. */
size_t cache_file_count(cache_file_t *f, size_t *added);

#endif
