/* split.h - which items are held out from training, and how sources are written on a command line.
 */
#ifndef IO_SPLIT_H
#define IO_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

/* "SRC=W" splits at the last '=' when a number follows and the whole is no existing path. Returns
 * the weight (default 1), path malloc'ed. die(RC_USAGE) for a weight that is not above 0. */
double source_spec_split(const char *spec, char **path);

/* The split rule of every dataset: held out iff XXH64(group) % 1000 < 1000 * holdout. */
bool split_held_out(const char *group, double holdout);

/* The same for n items at once, with no side left empty (0 < holdout < 1, n > 1): when the rule
 * leaves one empty, the group nearest to the border changes sides; when all items are one group,
 * each item is a group of its own (`key`). held[n]. */
typedef const char *(*split_name_fn)(void *ctx, size_t i, char buf[512]);
void split_items(size_t n, double holdout, split_name_fn group, split_name_fn key, void *ctx,
                 bool *held);

#endif
