/* merge.c - `tokenize merge`: joins the parts of one input, made by --shard i/n, into one shard.
 * Its dump is the dump of a run over the whole input. Refuses parts that are missing, given twice,
 * or made from another input, model or options. With --mix it joins whole shards of different tasks
 * instead, one behind the other.
 *
 * Every record is checked as it is read. Records are appended in the order of their keys, which
 * fills the pages of the result. A mark in the result says how many records and bad items of the
 * parts it has, so that the same command goes on after a kill.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/hash_set.h"
#include "common/io/text/json.h"
#include "tokenize/commands.h"
#include "tokenize/job.h"
#include "tokenize/merge_mix.h"
#include "tokenize/part.h"
#include "tokenize/shard_counts.h"
#include "tokenize/shard_open.h"
#include "tokenize/shard_remove.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMIT = 4096, COMMIT_BYTES = 1 << 20, MERGE_MARK = 1, NAMED = 8 };

typedef struct {
    const char *path;
    uint64_t index, count;
    uint32_t *task; /* with --mix: the new numbers of its tasks, owned */
} merge_part_t;

typedef struct {
    merge_part_t *part; /* n of them: as on the command line, then by index */
    size_t n;
    bool mix;
    cJSON *options; /* of the first one given, without "shard"; NULL with --mix */
    cJSON *mixed;   /* with --mix: a list of the arguments of all */
    char *source;   /* of part 0: the data may have lain elsewhere for each part; NULL with --mix */
    cJSON *images;  /* of part 0 too: --images of texts */
    mix_t sum;      /* of the parts' metas */
    shard_meta_t meta; /* of the result */
    uint64_t skipped;
    bool dedupe;
    hash_set_t seen; /* hashes of the images so far, for --dedupe */
    token_db_t *out;
    /* records and bad items of the parts, counted over all of them in order: those that an earlier
     * run appended, and those that are appended now */
    uint64_t records_before, bad_before, records, bad;
    progress_t bar;
} merge_t;

/* ---- do the parts fit? ---- */

/* The arguments of a part without "shard", which goes to *part. */
static cJSON *read_options(const char *path, const shard_meta_t *meta, merge_part_t *part) {
    cJSON *options =
        meta->arguments ? json_parse(meta->arguments, strlen(meta->arguments), false, NULL) : NULL;
    cJSON *shard = cJSON_DetachItemFromObjectCaseSensitive(options, "shard");
    if (!shard || cJSON_GetArraySize(shard) != 2 ||
        !json_u64(cJSON_GetArrayItem(shard, 0), &part->index) ||
        !json_u64(cJSON_GetArrayItem(shard, 1), &part->count) || part->index >= part->count ||
        part->count > MOST_PARTS)
        die(RC_MISFIT, "'%s' is not a part: it was made without --shard", path);
    cJSON_Delete(shard);
    return options;
}

static void check_option(const merge_t *merge, const char *path, const char *name, const cJSON *a,
                         const cJSON *b) {
    if (job_is_path(name)) return; /* the manifest says whether it is the same data */
    char *was = json_shown(a), *is = json_shown(b);
    if (strcmp(was, is) != 0 && !strcmp(name, "manifest"))
        die(RC_MISFIT, "'%s' was made from another list of items than '%s': manifest %s, not %s",
            path, merge->part[0].path, is, was);
    if (strcmp(was, is) != 0)
        die(RC_MISFIT, "'%s' and '%s' were made with different options: %s %.150s and %.150s",
            merge->part[0].path, path, name, was, is);
    free(was);
    free(is);
}

static void check_options(const merge_t *merge, const char *path, const cJSON *options) {
    for (const cJSON *a = merge->options->child; a; a = a->next)
        check_option(merge, path, a->string, a,
                     cJSON_GetObjectItemCaseSensitive(options, a->string));
    for (const cJSON *b = options->child; b; b = b->next)
        check_option(merge, path, b->string,
                     cJSON_GetObjectItemCaseSensitive(merge->options, b->string), b);
}

/* The whole shows the paths of part 0, as if one run had made it there. */
static void keep_paths(merge_t *merge, const cJSON *options) {
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(options, "source");
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(options, "images");
    free(merge->source);
    cJSON_Delete(merge->images);
    merge->source = source && cJSON_IsString(source) ? xstrdup(source->valuestring) : NULL;
    merge->images = images ? cJSON_Duplicate(images, true) : NULL;
}

static void set_member(cJSON *o, const char *name, cJSON *value) {
    if (!value) die(RC_RUNTIME, "out of memory (for JSON)");
    cJSON_DeleteItemFromObjectCaseSensitive(o, name);
    if (!cJSON_AddItemToObject(o, name, value)) die(RC_RUNTIME, "out of memory (for JSON)");
}

static bool equal_text(const char *a, const char *b) {
    return a == b || (a && b && !strcmp(a, b));
}

/* A part of one input. */
static void check_equal_part(merge_t *merge, size_t i, const shard_meta_t *meta) {
    const char *path = merge->part[i].path;
    cJSON *options = read_options(path, meta, &merge->part[i]);
    if (merge->part[i].index == 0) keep_paths(merge, options);
    if (i == 0) {
        merge->options = options;
        mix_begin(&merge->sum, meta, path);
    } else {
        mix_add_equal(&merge->sum, meta, path);
        check_options(merge, path, options);
        cJSON_Delete(options);
    }
}

/* A shard of --mix: whole, and not given before. */
static void check_mixed_part(merge_t *merge, size_t i, const shard_meta_t *meta) {
    const char *path = merge->part[i].path;
    cJSON *options = read_options(path, meta, &merge->part[i]);
    if (merge->part[i].count != 1)
        die(RC_MISFIT,
            "'%s' is part %" PRIu64 " of %" PRIu64 ": join the parts first, without --mix", path,
            merge->part[i].index, merge->part[i].count);
    char *is = json_canonical(options);
    size_t before = 0;
    for (const cJSON *other = merge->mixed->child; other; other = other->next, before++) {
        char *was = json_canonical(other);
        if (!strcmp(was, is))
            die(RC_MISFIT, "'%s' and '%s' hold the same data", merge->part[before].path, path);
        free(was);
    }
    free(is);
    if (!cJSON_AddItemToArray(merge->mixed, options)) die(RC_RUNTIME, "out of memory (for JSON)");
    if (i == 0) {
        mix_begin(&merge->sum, meta, path);
        merge->part[i].task = xcalloc(meta->tasks.n + 1, sizeof(uint32_t));
        for (size_t k = 0; k < meta->tasks.n; k++) merge->part[i].task[k] = (uint32_t)k;
    } else {
        merge->part[i].task = mix_add(&merge->sum, meta, path);
    }
}

/* Opens and closes one part at a time, so that there may be thousands. */
static void check_part(merge_t *merge, size_t i, const char *path, const char *out) {
    if (fs_same(path, out)) die(RC_USAGE, "--out '%s' is one of the parts", out);
    token_db_t *shard = shard_open_or_die(path);
    const shard_meta_t *meta = token_db_meta(shard);
    merge->part[i].path = path;
    if (merge->mix)
        check_mixed_part(merge, i, meta);
    else
        check_equal_part(merge, i, meta);
    if (!meta->complete)
        die(RC_MISFIT, "'%s' is not complete: run the command that began it again", path);
    merge->skipped += meta->skipped;
    merge->bar.total += meta->records;
    token_db_close(shard);
}

static int by_index(const void *a, const void *b) {
    uint64_t x = ((const merge_part_t *)a)->index, y = ((const merge_part_t *)b)->index;
    return (x > y) - (x < y);
}

/* Is every part there exactly once? Sorts them by index. */
static void check_parts(merge_t *merge) {
    char list[200] = "";
    size_t at = 0, missing = 0;
    uint64_t count = merge->part[0].count, next = 0;
    for (size_t i = 1; i < merge->n; i++)
        if (merge->part[i].count != count)
            die(RC_MISFIT, "'%s' is a part of %" PRIu64 ", '%s' of %" PRIu64, merge->part[0].path,
                count, merge->part[i].path, merge->part[i].count);
    qsort(merge->part, merge->n, sizeof *merge->part, by_index);
    for (size_t i = 0; i <= merge->n; i++) {
        uint64_t index = i < merge->n ? merge->part[i].index : count;
        if (i > 0 && i < merge->n && index == merge->part[i - 1].index)
            die(RC_MISFIT, "part %" PRIu64 " of %" PRIu64 " is given twice: '%s' and '%s'", index,
                count, merge->part[i - 1].path, merge->part[i].path);
        for (; next < index; next++) {
            missing++;
            if (missing > NAMED) continue;
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%" PRIu64, at ? ", " : "", next);
        }
        next = index + 1;
    }
    if (missing)
        die(RC_MISFIT, "%zu of %" PRIu64 " parts %s missing: %s%s (parts are numbered from 0)",
            missing, count, missing > 1 ? "are" : "is", list, missing > NAMED ? ", ..." : "");
}

/* ---- appending ---- */

static void commit_parts(merge_t *merge) {
    reason_t why;
    token_db_mark(merge->out, MERGE_MARK, merge->records, merge->bad);
    if (token_db_commit(merge->out, &why)) die(RC_RUNTIME, "%s", why.text);
}

/* task: the new numbers of the part's tasks, or NULL. */
static void append_record(merge_t *merge, const uint32_t *task, token_record_t *record) {
    reason_t why;
    uint64_t hash =
        record->image_hash ? (uint64_t)record->image_hash[1] << 32 | record->image_hash[0] : 0;
    if (merge->dedupe && record->image_hash && !hash_set_add(&merge->seen, hash)) {
        merge->meta.skipped++;
        return;
    }
    if (merge->records < merge->records_before) return; /* appended by an earlier run */
    if (merge->source) {
        record->source = merge->source;
        record->source_len = (uint32_t)strlen(merge->source);
    }
    if (task) record->task = task[record->task];
    if (token_db_put(merge->out, record, &why)) die(RC_DATA, "%s", why.text);
    shard_counts_add(&merge->meta, record);
}

static void append_part(merge_t *merge, size_t part) {
    token_db_t *shard = shard_open_or_die(merge->part[part].path);
    uint64_t n = token_db_count(shard), first = 0;
    reason_t why;
    /* An earlier run appended these; with --dedupe their hashes are still needed. */
    if (!merge->dedupe && merge->records_before > merge->records) {
        first = min_size(merge->records_before - merge->records, n);
        merge->records += first;
    }
    for (uint64_t i = first; i < n; i++) {
        token_record_t record;
        if (token_db_get(shard, i, &record, &why)) die(RC_DATA, "%s", why.text);
        append_record(merge, merge->part[part].task, &record);
        token_record_release(&record);
        merge->records++;
        if (merge->records > merge->records_before &&
            (merge->records % COMMIT == 0 || token_db_pending(merge->out) > COMMIT_BYTES))
            commit_parts(merge);
        if (job_stopped()) break;
        progress_step(&merge->bar, (size_t)merge->records, NULL);
    }
    token_db_close(shard);
}

/* Bad items follow all records: records must stay in the order of their keys. */
static void append_bad_items(merge_t *merge, size_t part) {
    token_db_t *shard = shard_open_or_die(merge->part[part].path);
    char *key, *reason;
    reason_t why;
    for (uint64_t i = 0; i < token_db_meta(shard)->bad; i++) {
        if (token_db_bad(shard, i, &key, &reason, &why)) die(RC_DATA, "%s", why.text);
        bool appended = merge->bad < merge->bad_before;
        merge->bad++;
        if (!appended && token_db_put_bad(merge->out, key, strlen(key), reason, &why))
            die(RC_RUNTIME, "%s", why.text);
        free(key);
        free(reason);
    }
    token_db_close(shard);
}

/* Of equal parts the arguments of a run over the whole input, with --mix the list of those of all
 * shards; and "merged", the number of parts: so `tokenize images` does not take the result for a
 * shard of its own. */
static char *merged_arguments(merge_t *merge) {
    cJSON *options = merge->mix ? cJSON_CreateObject() : cJSON_Duplicate(merge->options, true),
          *shard;
    /* there already when a merged shard is merged again, which fills its pages */
    cJSON_DeleteItemFromObjectCaseSensitive(options, "merged");
    if (merge->mix) {
        set_member(options, "command", cJSON_CreateString("merge"));
        set_member(options, "mixed", cJSON_Duplicate(merge->mixed, true));
    }
    if (merge->source) set_member(options, "source", cJSON_CreateString(merge->source));
    if (merge->images) set_member(options, "images", cJSON_Duplicate(merge->images, true));
    shard = cJSON_AddArrayToObject(options, "shard");
    if (!shard || !cJSON_AddItemToArray(shard, cJSON_CreateNumber(0)) ||
        !cJSON_AddItemToArray(shard, cJSON_CreateNumber(1)) ||
        !cJSON_AddNumberToObject(options, "merged", (double)merge->n))
        die(RC_RUNTIME, "out of memory (for JSON)");
    char *text = json_canonical(options);
    cJSON_Delete(options);
    return text;
}

/* Is the result there already, complete? Takes its counts when it is. */
static bool is_complete(merge_t *merge, const char *out) {
    int rc;
    token_db_t *old = token_db_open(out, &rc, NULL);
    if (!old) return false;
    const shard_meta_t *meta = token_db_meta(old);
    if (!equal_text(meta->arguments, merge->meta.arguments))
        die(RC_MISFIT, "'%s' exists and is another shard (--force replaces it)", out);
    bool complete = meta->complete;
    if (complete) shard_counts_copy(&merge->meta, meta);
    token_db_close(old);
    return complete;
}

static void prepare_meta(merge_t *merge) {
    shard_meta_t *meta = &merge->meta;
    const shard_meta_t nothing = {0};
    *meta = merge->sum.meta;
    mix_release(&merge->sum);
    free(meta->arguments);
    meta->arguments = merged_arguments(merge);
    merge->dedupe = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(merge->options, "dedupe"));
    shard_counts_copy(meta, &nothing);
    meta->complete = false;
}

/* Appends all parts to `out` and completes it; RC_STOPPED when a signal came first. With --dedupe
 * the hashes of all records are read again, so the count of copies starts at 0 on every run. */
static int append_parts(merge_t *merge, const char *out, uint64_t max_map) {
    int rc;
    reason_t why;
    merge->out = token_db_create(out, &merge->meta, max_map, &rc, &why);
    if (!merge->out) die(rc, "%s", why.text);
    merge->records_before = token_db_done(merge->out, MERGE_MARK, &merge->bad_before);
    merge->meta.skipped = 0;
    fs_done_clear(out);
    job_catch_signals();
    progress_begin(&merge->bar, "tokenize merge", (size_t)merge->records_before, merge->bar.total);
    for (size_t i = 0; i < merge->n && !job_stopped(); i++) append_part(merge, i);
    if (job_stopped() && merge->records < merge->bar.total) {
        if (merge->records > merge->records_before) commit_parts(merge);
        progress_end(&merge->bar);
        token_db_close(merge->out);
        log_line("stopped; run the same command again to resume '%s'", out);
        return RC_STOPPED;
    }
    for (size_t i = 0; i < merge->n; i++) append_bad_items(merge, i);
    merge->meta.skipped += merge->skipped;
    merge->meta.complete = true;
    commit_parts(merge);
    progress_end(&merge->bar);
    token_db_close(merge->out);
    return RC_OK;
}

int cmd_merge(int argc, char **argv) {
    cli_list_t in = {0};
    const char *out = NULL;
    uint64_t max_map = 0;
    bool force = false, mix = false;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &in, "PART.lmdb",
         "the parts 0/N to (N-1)/N, in any order; with --mix whole shards, in this order", true},
        {"--out", CLI_STR, &out, "X.lmdb", "the shard to write; an unfinished one is resumed",
         true},
        {"--mix", CLI_FLAG, &mix, NULL,
         "join whole shards of different tasks: one behind the other, with all their tasks", false},
        {"--max-map", CLI_U64, &max_map, "BYTES", "largest size of the shard file (0 = 1 TB)",
         false},
        {"--force", CLI_FLAG, &force, NULL, "replace an existing shard", false},
        {0},
    };
    cli_parse(
        argc, argv, "merge",
        "join the parts that --shard made into the shard of a run over the whole input, or mix "
        "shards",
        (const cli_opt_t *const[]){options}, 1);
    double start = log_now();
    merge_t merge = {.part = xcalloc(in.n, sizeof *merge.part), .n = in.n, .mix = mix};
    if (mix && !(merge.mixed = cJSON_CreateArray())) die(RC_RUNTIME, "out of memory (for JSON)");
    for (size_t i = 0; i < in.n; i++) check_part(&merge, i, in.item[i], out);
    if (!mix) check_parts(&merge);
    prepare_meta(&merge);
    if (force) shard_remove(out);
    int rc = is_complete(&merge, out) ? RC_OK : append_parts(&merge, out, max_map);
    if (rc == RC_OK) shard_counts_write_done(out, &merge.meta);
    shard_counts_print(&merge.meta, start, merge.meta.images);
    cJSON_Delete(merge.options);
    cJSON_Delete(merge.mixed);
    shard_meta_release(&merge.meta);
    hash_set_release(&merge.seen);
    cJSON_Delete(merge.images);
    free(merge.source);
    for (size_t i = 0; i < merge.n; i++) free(merge.part[i].task);
    free(merge.part);
    return rc;
}
