/* token_db_guard.h - the shards that this process has open.
 *
 * Owns a table of the process with a slot per open shard, for two reasons. LMDB must not open one
 * file twice in a process, so the table finds a shard that is open already. And a mapped file that
 * shrinks raises SIGBUS, so the signal's handler looks up whose map the fault lies in.
 */
#ifndef IO_TOKEN_DB_GUARD_H
#define IO_TOKEN_DB_GUARD_H

#include "common/io/token_db/token_db.h"
#include <sys/types.h>

/* Takes a slot for the handle `db` on the file (dev, ino). -1 when there is none: *other is the
 * handle that has the file open, or NULL when too many shards are open. Thread-safe. */
int shard_slot_take(dev_t dev, ino_t ino, token_db_t *db, token_db_t **other);
/* From now on a SIGBUS inside [map, map + size) ends the program with RC_DATA and a message that
 * names `path`. map NULL and size 0 end the guard. */
void shard_slot_guard(int slot, const void *map, size_t size, const char *path);
/* Gives the slot back; -1 is no slot, and nothing happens. Thread-safe. */
void shard_slot_release(int slot);

#endif
