/* shard_open.h - a shard and the tokenizer that made it, opened together for commands that read
 * shards.
 */
#ifndef TOKENIZE_SHARD_OPEN_H
#define TOKENIZE_SHARD_OPEN_H

#include "common/io/token_db/token_db.h"
#include "common/model/tokenizer.h"

/* Opens a shard or die()s. */
token_db_t *shard_open(const char *path);
/* Loads the model of a shard's codes; die()s with both fingerprints (4) when it is another one. */
tokenizer_t *shard_model_open(const char *run, const char *shard, const shard_meta_t *m);

#endif
