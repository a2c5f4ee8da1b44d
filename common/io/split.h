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

/* What must not be divided between training and held-out data. */
typedef enum { SPLIT_NAME, SPLIT_FOLDER, SPLIT_EPISODE } split_by_t;

/* The group of a key of n bytes, written to buf: SPLIT_NAME drops the extension and a trailing
 * "_<digits>" or "-<digits>" crop number, so that crops of one photograph stay together;
 * SPLIT_FOLDER takes the first directory, SPLIT_EPISODE the whole one (a key without directory: by
 * name). */
const char *split_group(const char *key, size_t n, split_by_t by, char buf[512]);
/* The first n bytes of a name as they are, or a 128-bit hash when buf cannot hold them: only
 * equality matters, and it survives that. */
const char *split_whole(const char *name, size_t n, char buf[512]);

/* The rule for n items at once. When it leaves a side empty (0 < holdout < 1), the group nearest to
 * the border changes sides; when all items are one group, each item is a group of its own (`key`);
 * when they are one item, by their keys, nothing is held out: training comes first. held[n] is
 * filled; returns how many are held out. */
typedef const char *(*split_name_fn)(void *ctx, size_t i, char buf[512]);
size_t split_items(size_t n, double holdout, split_name_fn group, split_name_fn key, void *ctx,
                   bool *held);

#endif
