/* writer.h - a shard being written: one that goes on where it stopped, counts, bad items, the last word on stdout.
 *
 * The caller gives items in the order of the input, each with its key, and says writer_batch between batches: what came
 * since the last one is one transaction, so that a killed run leaves whole items in order.
 */
#ifndef TOKENIZE_WRITER_H
#define TOKENIZE_WRITER_H

#include "common/base/log.h"
#include "common/io/bad_items.h"
#include "common/io/token_db.h"
#include "tokenize/job.h"

typedef struct {
    const job_t *job;
    token_db_t *db;
    shard_meta_t meta; /* widths and ranges are set between writer_init and writer_open */
    size_t total, done;
    uint64_t images_before;
    double start;
    bad_items_t *bad;
    progress_t bar;
} writer_t;

/* What the job alone decides: arguments, codebook, vocabularies. manifest: hash of the input's list. */
void writer_init(writer_t *w, const job_t *j, uint64_t manifest);
/* Opens --out for `total` items. false: it is complete already. die()s when it was begun with other options (4), is
 * being written by another process (1) or is no shard (2). */
bool writer_open(writer_t *w, size_t total);
/* Was the item written by an earlier run? Not to be asked while another thread writes. */
bool writer_has(const writer_t *w, const char *key);

/* An item's end: its record; or nothing but the reason. r's key and source are filled in. */
void writer_put(writer_t *w, const char *key, token_record_t *r);
void writer_bad(writer_t *w, const char *key, const char *reason);
void writer_skip(writer_t *w, const char *key, const char *reason);
/* Commits, and die()s (3) when too many items are bad. */
void writer_batch(writer_t *w);

/* Completes the shard (unless the job was stopped: 75), prints the counts, releases. Returns the exit code. */
int writer_close(writer_t *w);

#endif
