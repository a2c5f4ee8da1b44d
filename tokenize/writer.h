/* writer.h - the shard that a run writes, item by item: where an earlier run stopped, its counts,
 * its bad items, its last line on stdout.
 *
 * The caller gives the items in the order of the input, each under its key, and ends each with
 * exactly one of writer_put, writer_put_once, writer_put_bad and writer_skip. writer_commit makes
 * one transaction of all items since the last one, so a killed run leaves whole items, in order,
 * and the next run goes on behind them. One thread at a time.
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
    token_db_t *shard; /* NULL: it was complete already */
    char *source;      /* of all records: where the data lay when the shard was begun */
    shard_meta_t meta; /* the caller adds its tasks between writer_init and writer_open */
    progress_t bar;
    double start; /* log_now() of writer_init */
    /* items of the input that are this run's part */
    size_t total; /* SIZE_MAX: a stream whose end is not known yet */
    size_t done;  /* by earlier runs and this one; the caller sets it before the first item */
    /* the mark kept in the shard: how many items are in it, and the hash of the last one's key */
    uint64_t items, last;
    /* the mark as an earlier run left it; asked: keys that writer_has was asked for */
    uint64_t items_before, last_before, asked;
    uint64_t images_before;
    double committed;  /* log_now() of the last transaction */
    hash_set_t images; /* for --dedupe: hashes of the images in the shard */
    uint64_t copies;   /* images that --dedupe left out */
    bad_items_t *bad;
} writer_t;

/* Fills the meta with what the job alone decides: arguments and codebook. Opens nothing.
 * manifest: the hash of the list of the input's items. */
void writer_init(writer_t *writer, const job_t *job, uint64_t manifest);
/* Opens --out for `total` items; false when it is complete already. die()s: begun with other
 * options (4), written by another process (1), no shard (2). Catches stop signals from here on. */
bool writer_open(writer_t *writer, size_t total);
/* Has an earlier run dealt with this item? To be asked once per item, in order, before the first
 * one is given. die()s (4) when the list of items is another one. */
bool writer_has(writer_t *writer, const char *key);

/* Ends an item with its record; fills in the record's key and source. */
void writer_put(writer_t *writer, const char *key, token_record_t *record);
/* A further record of the item that the next writer_put ends. */
void writer_add(writer_t *writer, const char *key, token_record_t *record);
/* Ends an item with its image; record->image_hash is set. An image that the shard holds already is
 * counted as skipped. */
void writer_put_once(writer_t *writer, const char *key, token_record_t *record);
/* Ends an item that cannot be read: the shard keeps its key and the reason. */
void writer_put_bad(writer_t *writer, const char *key, const char *reason);
/* Ends an item that an option leaves out: counted as skipped, without a message. */
void writer_leave_out(writer_t *writer, const char *key);
/* Ends an item that is not for this run, with no record. */
void writer_skip(writer_t *writer, const char *key, const char *reason);

/* Commits the items since the last commit; die()s (3) when more are bad than --max-bad allows. */
void writer_commit(writer_t *writer);
/* Is it time to commit: a megabyte is pending, or the last commit was a second ago? */
bool writer_commit_due(const writer_t *writer);

/* Completes the shard, or leaves it to the next run when a signal stopped this one; prints the
 * counts and releases everything. Returns the exit code: 0, or 75 when stopped. */
int writer_close(writer_t *writer);

#endif
