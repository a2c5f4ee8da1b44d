/* bad_items.h - items of a dataset that cannot be used: counted per reason, named once, and at some
 * point too many.
 */
#ifndef IO_BAD_ITEMS_H
#define IO_BAD_ITEMS_H

#include <stdbool.h>
#include <stddef.h>

/* Counts per reason, names each once (20 lines, then a summary), and decides when there are too
 * many. Thread-safe. An item reported again, in a later epoch say, is not counted again. */
typedef struct bad_items bad_items_t;
bad_items_t *bad_items_new(double max_bad); /* fraction, default 0.01 */
void bad_items_add(bad_items_t *b, const char *source, const char *key, const char *reason,
                   bool unsupported);
size_t bad_items_count(const bad_items_t *b); /* without unsupported formats */
size_t bad_items_unsupported(const bad_items_t *b);
/* die(RC_DATA) when more than max_bad of `total` items are bad. Unsupported formats count apart and
 * never fail a run by themselves unless nothing else is left. */
void bad_items_check(const bad_items_t *b, size_t total);
void bad_items_summary(const bad_items_t *b);
void bad_items_free(bad_items_t *b);

#endif
