/* shard_open.h - opens a shard, and the tokenizer that made it, for the commands that read shards.
 * Both end the program with a message when they cannot.
 */
#ifndef TOKENIZE_SHARD_OPEN_H
#define TOKENIZE_SHARD_OPEN_H

#include "common/io/token_db/token_db.h"
#include "common/model/tokenizer.h"

/* Opens the shard at path for reading; release with token_db_close. die()s with token_db_open's
 * reason and exit code. */
token_db_t *shard_open_or_die(const char *path);
/* Loads the RUN that made the codes of a shard (at path, with this meta); release with
 * tokenizer_free. die()s (4) when the shard holds no codes, or when RUN is another tokenizer,
 * naming both fingerprints. Warns when the tokenizer is untrained. */
tokenizer_t *shard_tokenizer_open_or_die(const char *run, const char *path,
                                         const shard_meta_t *meta);

#endif
