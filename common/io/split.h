/* split.h - which items are held out from training, and sources with weights on a command line.
 *
 * Items come in groups that must not be divided between training and held-out data. The hash of a
 * group's name decides, so the answer does not depend on the other items.
 */
#ifndef IO_SPLIT_H
#define IO_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

/* Splits "SRC=W" at the last '=' when a number follows and the whole is no existing path. Returns
 * the weight, 1 without one, and the path, malloc'ed. For programs: die(RC_USAGE) when the weight
 * is not above 0. */
double source_spec_split(const char *spec, char **path);

/* The rule of every dataset: a group is held out iff XXH64(group) % 1000 < 1000 * holdout. */
bool split_held_out(const char *group, double holdout);

/* What makes a group. */
typedef enum { SPLIT_NAME, SPLIT_FOLDER, SPLIT_EPISODE } split_by_t;

/* Writes the group of a key of n bytes to buf and returns buf.
 *
 *   SPLIT_NAME     the key without its extension and a trailing "_<digits>" or "-<digits>", so that
 *                  crops of one photograph stay together
 *   SPLIT_FOLDER   its first folder
 *   SPLIT_EPISODE  its whole folder
 *
 * A key without a folder is grouped by name. */
const char *split_group(const char *key, size_t n, split_by_t by, char buf[512]);
/* Writes the first n bytes of a name to buf, or their 128-bit hash when buf is too small: names are
 * only compared. Returns buf. */
const char *split_whole(const char *name, size_t n, char buf[512]);

/* Writes the name of item i, its group or its key, to buf and returns buf. */
typedef const char *(*split_name_fn)(void *ctx, size_t i, char buf[512]);
/* The rule for n items at once, with exceptions for small datasets (0 < holdout < 1). When all
 * items are one group, each is a group of its own, by its key. When the rule leaves a side empty,
 * the group nearest to the border changes sides. When all keys are equal, nothing is held out:
 * training comes first. Fills held[n] and returns how many are held out. */
size_t split_items(size_t n, double holdout, split_name_fn group, split_name_fn key, void *ctx,
                   bool *held);

#endif
