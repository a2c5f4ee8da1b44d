/* writer.h - a shard being written: one that goes on where it stopped, counts, bad items, the last
 * word on stdout.
 *
 * The caller gives items in the order of the input, each with its key, and says writer_batch
 * between batches: what came since the last one is one transaction, so that a killed run leaves
 * whole items in order.
 */
#ifndef TOKENIZE_WRITER_H
#define TOKENIZE_WRITER_H

#include "common/base/log.h"
#include "common/io/bad_items.h"
#include "common/io/hash_set.h"
#include "common/io/token_db/token_db.h"
#include "tokenize/job.h"

typedef struct {
    const job_t *job;
    token_db_t *db;
    char *source;      /* of all records: where the data lay when the shard was begun */
    shard_meta_t meta; /* widths and ranges are set between writer_init and writer_open */
    size_t total, done;
    uint64_t images_before;
    uint64_t before,
        last_before; /* items done by earlier runs, and the hash of the last one's key */
    uint64_t items, last, asked;
    hash_set_t images; /* hashes of the images so far, for --dedupe */
    uint64_t copies;
    double committed; /* when */
    double start;
    bad_items_t *bad;
    progress_t bar;
} writer_t;

/* What the job alone decides: arguments, codebook, vocabularies. manifest: hash of the input's
 * list. */
void writer_init(writer_t *w, const job_t *j, uint64_t manifest);
/* Opens --out for `total` items. false: it is complete already. die()s when it was begun with other
 * options (4), is being written by another process (1) or is no shard (2). */
bool writer_open(writer_t *w, size_t total);
/* Was the item written by an earlier run? To be asked once for each item, in order, before the
 * first is written. die()s when it is another list (4). */
bool writer_has(writer_t *w, const char *key);

/* An item's end: its record; or nothing but the reason. r's key and source are filled in. */
void writer_put(writer_t *w, const char *key, token_record_t *r);
/* A further record of the item that the next writer_put ends. */
void writer_add(writer_t *w, const char *key, token_record_t *r);
/* An image with r->image_hash: put, or when the shard has it already, counted as skipped. */
void writer_put_once(writer_t *w, const char *key, token_record_t *r);
void writer_bad(writer_t *w, const char *key, const char *reason);
void writer_skip(writer_t *w, const char *key, const char *reason);
/* Commits, and die()s (3) when too many items are bad. */
void writer_batch(writer_t *w);
/* Is it worth a transaction: a megabyte, or a second since the last one? */
bool writer_due(const writer_t *w);
/* Adds a record to the counts and common sizes of the meta, all but `records`. */
void writer_count(shard_meta_t *m, const token_record_t *r);
/* --force: the files of a former shard go; die()s when it is none (2) or is being written (1). */
void writer_remove(const char *path);
/* The one line of counts; `before`: images that were there at `start`. */
void writer_print(const shard_meta_t *m, double start, uint64_t before);
/* "done" of a shard. */
void writer_done(const char *path, const shard_meta_t *m);

/* Completes the shard (unless the job was stopped: 75), prints the counts, releases. Returns the
 * exit code. */
int writer_close(writer_t *w);

#endif
