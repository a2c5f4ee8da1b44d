/* shard_remove.h - removes an existing shard for --force. */
#ifndef TOKENIZE_SHARD_REMOVE_H
#define TOKENIZE_SHARD_REMOVE_H

/* Deletes the files of the shard at path, under its writer's lock; does nothing when path does not
 * exist. die()s when path is something else than a shard or an empty folder (2), when another
 * process writes the shard (1), or when a file cannot be deleted (1). */
void shard_remove(const char *path);

#endif
