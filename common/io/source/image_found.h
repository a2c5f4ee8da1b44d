/* image_found.h - what a source was found to hold: images by format, and what was left out and why.
 *
 * A program tells it at its start, in one line a source:
 *
 *     'pics': 18 images (2 JPEG, 16 WebP); left out: 1 AVIF and 2 GIF, which are not read, 4 other
 *     files
 */
#ifndef IO_IMAGE_FOUND_H
#define IO_IMAGE_FOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Endings of the files that are read, for messages. */
#ifdef WITH_WEBP
#define IMAGE_ENDINGS ".png .jpg .jpeg .webp"
#else
#define IMAGE_ENDINGS ".png .jpg .jpeg"
#endif

enum { FORMATS_MAX = 24 };

typedef struct {
    const char *name; /* static */
    size_t n;
    bool read; /* is it a format that is read? */
} format_count_t;

/* Counts of a scan. Sources fill what can occur in them. */
typedef struct {
    /* unsupported: files of a folder, which are no items. Samples of tars are items all the
     * same. */
    size_t images, other_files, unsupported, hidden, links_dangling, unreadable;
    size_t tars;                  /* in a folder */
    size_t imageless, damaged;    /* samples of tars: without one image; with a defect */
    size_t episodes, no_episodes; /* of a dataset: read; that cannot be */
    format_count_t format[FORMATS_MAX];
    size_t n_formats;
} source_counts_t;

/* Counts by format. A file that begins with these bytes (as many as image_sniff needs, or fewer) is
 * read; one of another format is not. */
void found_item(source_counts_t *c, const uint8_t *bytes, size_t size);
void found_unread(source_counts_t *c, const char *format);

/* The lists in words: "2 JPEG, 16 WebP", and what was left out, "" for nothing. */
void found_formats(const source_counts_t *c, bool read, char *buf, size_t size);
void found_left_out(const source_counts_t *c, char *buf, size_t size);
/* The line, as a log line. */
void found_tell(const char *source, const source_counts_t *c);

/* How to name the tars of a folder at once: "dir/{000..009}.tar", malloc'ed; NULL when it has
 * none. */
char *found_tars(const char *dir);

#endif
