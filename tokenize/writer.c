/* writer.c - see writer.h. */
#include "tokenize/writer.h"

#include "common/io/fs.h"
#include "common/model/version.h"
#include "tokenize/resume.h"
#include "tokenize/shard_counts.h"
#include "tokenize/shard_remove.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { COMMIT_BYTES = 1 << 20 };

static uint64_t hash_of(const char *key) {
    return XXH64(key, strlen(key), 0);
}

/* ---- beginning ---- */

static void describe_tokenizer(shard_meta_t *meta, tokenizer_t *tokenizer) {
    size_t codes = tokenizer_codes(tokenizer), width = tokenizer_width(tokenizer);
    size_t bytes = codes * width * sizeof(float);
    meta->fingerprint = xstrdup(tokenizer_fingerprint(tokenizer));
    meta->preprocess = xstrdup(tokenizer_preprocess_json(tokenizer));
    meta->quantizer = xstrdup(tokenizer_quantizer_json(tokenizer));
    meta->codes = (uint32_t)codes;
    meta->code_dim = (uint32_t)width;
    meta->codebook = memcpy(xmalloc(bytes), tokenizer_vectors(tokenizer), bytes);
}

void writer_init(writer_t *writer, const job_t *job, uint64_t manifest) {
    *writer = (writer_t){.job = job, .start = log_now()};
    writer->meta = (shard_meta_t){.tool = xstrdup("tokenize " PROJECT_VERSION),
                                  .arguments = job_arguments(job, manifest),
                                  .mu = 100,
                                  .M = 256};
    if (job->tokenizer) describe_tokenizer(&writer->meta, job->tokenizer);
    writer->bad = bad_items_new(1);
}

static void check_bad(const writer_t *writer) {
    uint64_t bad = writer->meta.bad;
    double allowed = writer->job->max_bad;
    if (!bad || (double)bad <= allowed * (double)writer->total) return;
    bad_items_summary(writer->bad);
    if (writer->total == SIZE_MAX) /* a stream that has not ended: --max-bad is 0 */
        die(RC_DATA, "%llu bad item%s, and --max-bad 0 allows none", (unsigned long long)bad,
            bad > 1 ? "s" : "");
    die(RC_DATA, "%llu of %zu items are bad (%.3g %%), more than --max-bad %.3g %%: %s",
        (unsigned long long)bad, writer->total, 100.0 * (double)bad / (double)writer->total,
        100 * allowed, bad_items_advice(writer->bad));
}

/* Says what text ids are, where a task has texts. */
static void describe_text(shard_meta_t *meta, const text_tokenizer_t *tokenizer) {
    bool text = false;
    for (size_t i = 0; i < meta->tasks.n; i++)
        text |= task_first(&meta->tasks.v[i], SIDE_OBSERVED, SLOT_TEXT) >= 0;
    if (!text) return;
    const char *file = text_tokenizer_file(tokenizer);
    meta->text_tokenizer = xstrdup(text_tokenizer_name(tokenizer));
    meta->text_file = file ? xstrdup(file) : NULL;
    meta->text_vocab = text_tokenizer_ids(tokenizer);
}

bool writer_open(writer_t *writer, size_t total) {
    int rc;
    reason_t why;
    const job_t *job = writer->job;
    writer->total = total;
    describe_text(&writer->meta, job->text_tokenizer);
    if (job->force) shard_remove(job->out);
    bool complete = resume_read(job, &writer->meta, &writer->images);
    writer->images_before = writer->meta.images;
    if (complete) return false;
    writer->source = job_source(writer->meta.arguments);
    if (!writer->source) BUG("arguments without a source");
    writer->shard = token_db_create(job->out, &writer->meta, job->max_map, &rc, &why);
    if (!writer->shard) die(rc, "%s", why.text);
    fs_done_clear(job->out);
    writer->images_before = writer->meta.images;
    writer->committed = log_now();
    writer->items = token_db_done(writer->shard, hash_of(writer->source), &writer->last);
    writer->items_before = writer->items;
    writer->last_before = writer->last;
    if (!writer->items && (writer->meta.records || writer->meta.bad))
        die(RC_MISFIT,
            "'%s' was begun by another version or command and cannot be resumed (--force replaces "
            "it)",
            job->out);
    job_catch_signals();
    check_bad(writer);
    return true;
}

/* ---- items ---- */

bool writer_has(writer_t *writer, const char *key) {
    if (writer->asked == writer->items_before) return false;
    writer->asked++;
    if (writer->asked == writer->items_before && hash_of(key) != writer->last_before)
        die(RC_MISFIT,
            "'%s' was begun with another list of items: its item %llu is not '%s' (--force "
            "replaces it)",
            writer->job->out, (unsigned long long)writer->items_before - 1, key);
    return true;
}

static void end_item(writer_t *writer, const char *key) {
    writer->items++;
    writer->last = hash_of(key);
    writer->done++;
}

void writer_add(writer_t *writer, const char *key, token_record_t *record) {
    reason_t why;
    record->key = key;
    record->key_len = (uint32_t)strlen(key);
    record->source = writer->source;
    record->source_len = (uint32_t)strlen(writer->source);
    if (token_db_put(writer->shard, record, &why))
        die(RC_DATA, "'%s': '%s': %s", writer->job->in, key, why.text);
    shard_counts_sizes(&writer->meta, record);
    shard_counts_add(&writer->meta, record);
}

void writer_put(writer_t *writer, const char *key, token_record_t *record) {
    writer_add(writer, key, record);
    end_item(writer, key);
}

void writer_put_once(writer_t *writer, const char *key, token_record_t *record) {
    uint64_t hash = (uint64_t)record->image_hash[1] << 32 | record->image_hash[0];
    if (hash_set_add(&writer->images, hash)) {
        writer_put(writer, key, record);
        return;
    }
    writer->copies++;
    writer_leave_out(writer, key);
}

void writer_leave_out(writer_t *writer, const char *key) {
    writer->meta.skipped++;
    end_item(writer, key);
}

void writer_put_bad(writer_t *writer, const char *key, const char *reason) {
    reason_t why;
    bad_items_add(writer->bad, writer->job->in, key, reason, false);
    if (token_db_put_bad(writer->shard, key, strlen(key), reason, &why))
        die(RC_RUNTIME, "%s", why.text);
    end_item(writer, key);
}

void writer_skip(writer_t *writer, const char *key, const char *reason) {
    bad_items_add(writer->bad, writer->job->in, key, reason, true);
    writer->meta.skipped++;
    end_item(writer, key);
}

void writer_commit(writer_t *writer) {
    reason_t why;
    if (writer->items)
        token_db_mark(writer->shard, hash_of(writer->source), writer->items, writer->last);
    if (token_db_commit(writer->shard, &why)) die(RC_RUNTIME, "%s", why.text);
    writer->committed = log_now();
    check_bad(writer);
}

bool writer_commit_due(const writer_t *writer) {
    return token_db_pending(writer->shard) > COMMIT_BYTES || log_now() > writer->committed + 1;
}

/* ---- end ---- */

static bool has_done(const char *path) {
    char *done = fs_join(path, "done");
    bool there = fs_exists(done);
    free(done);
    return there;
}

static void complete(writer_t *writer) {
    shard_meta_t *meta = &writer->meta;
    bad_items_summary(writer->bad);
    if (writer->total && !meta->records)
        die(RC_DATA, "none of %zu items can be used: %llu bad, %llu skipped", writer->total,
            (unsigned long long)meta->bad, (unsigned long long)meta->skipped);
    meta->complete = true;
    writer_commit(writer);
    shard_counts_write_done(writer->job->out, meta);
    if (writer->copies)
        log_line("%llu images are copies of others (--dedupe): counted as skipped",
                 (unsigned long long)writer->copies);
}

int writer_close(writer_t *writer) {
    int rc = RC_OK;
    const char *out = writer->job->out;
    if (!writer->shard) {
        log_line("'%s' is complete", out);
        /* missing after a kill between the last transaction and this file */
        if (!has_done(out)) shard_counts_write_done(out, &writer->meta);
    } else if (writer->done < writer->total && job_stopped()) {
        log_line("stopped; run the same command again to resume '%s'", out);
        rc = RC_STOPPED;
    } else {
        complete(writer);
    }
    image_notes_summary(&writer->job->notes);
    shard_counts_print(&writer->meta, writer->start, writer->images_before);
    if (writer->shard) token_db_close(writer->shard);
    shard_meta_release(&writer->meta);
    bad_items_free(writer->bad);
    free(writer->source);
    hash_set_release(&writer->images);
    return rc;
}
