/* bad_items.h - items of a dataset that cannot be used.
 *
 * Counts them per reason, warns about each once (20 by name, the rest as a number), and decides
 * when they are too many. An item that is reported again, in a later epoch say, is not counted
 * again. Thread-safe.
 */
#ifndef IO_BAD_ITEMS_H
#define IO_BAD_ITEMS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct bad_items bad_items_t;

/* max_bad: the fraction of items that may be bad, 0 to 1. */
bad_items_t *bad_items_new(double max_bad);
/* Reports item `key` of `source`; all strings are copied. unsupported: the item is of a format that
 * the programs do not read, which is counted apart. */
void bad_items_add(bad_items_t *b, const char *source, const char *key, const char *reason,
                   bool unsupported);
/* Bad items, without those of unsupported formats; and the latter. */
size_t bad_items_count(const bad_items_t *b);
size_t bad_items_unsupported(const bad_items_t *b);
/* What to do when there are too many: words that end an error's line. After the last
 * bad_items_add. */
const char *bad_items_advice(const bad_items_t *b);
/* For programs: die(RC_DATA) when more than max_bad of `total` items are bad, or when none is left.
 * Unsupported formats alone fail only the latter. */
void bad_items_check(const bad_items_t *b, size_t total);
/* Logs the counts and each reason with its count; nothing when there are none. */
void bad_items_summary(const bad_items_t *b);
/* NULL is allowed. */
void bad_items_free(bad_items_t *b);

#endif
