/* image_found.h - what a source of images was found to hold: images by format, and what was left
 * out and why.
 *
 * A program logs it at its start, one line per source:
 *
 *     'pics': 18 images (2 JPEG, 16 WebP); left out: 1 AVIF, 2 GIF (unsupported formats), 4 other
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

/* Counts of a scan. A source fills those that can occur in it; {0} is nothing. */
typedef struct {
    size_t images;                              /* that should be readable */
    size_t other_files, hidden, links_dangling; /* of a folder */
    size_t unreadable;                          /* of a folder: files and folders */
    size_t unsupported;                         /* of a folder: no items. See format */
    size_t tars;                                /* in a folder */
    size_t imageless, damaged;                  /* samples of tars: items all the same */
    size_t episodes, no_episodes;               /* of a dataset: good ones, unreadable ones */
    format_count_t format[FORMATS_MAX];         /* in the order of the scan */
    size_t n_formats;
} source_counts_t;

/* Counts one image by its format. The bytes are the first of its file, as many as image_sniff needs
 * or all there are. */
void found_item(source_counts_t *c, const uint8_t *bytes, size_t size);
/* Counts one image of a format that is not read; the name must be static. */
void found_unread(source_counts_t *c, const char *format);

/* Write lists to buf, cut when they do not fit; "" for nothing. The formats that are read or those
 * that are not: "2 JPEG, 16 WebP". */
void found_formats(const source_counts_t *c, bool read, char *buf, size_t size);
/* What was left out: "4 other files, 1 dangling link". */
void found_left_out(const source_counts_t *c, char *buf, size_t size);
/* Logs the line above for the source of that name. */
void found_tell(const char *source, const source_counts_t *c);

/* How to name all tars of a folder at once: "dir/{000..009}.tar", malloc'ed. NULL: it has none. */
char *found_tars(const char *dir);

#endif
