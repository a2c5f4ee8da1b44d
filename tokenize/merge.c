/* merge.c - `tokenize merge`: the parts of one input, made by --shard i/n, as one shard. Its dump
 * is that of a run over the whole input; parts that are missing, given twice, or of another input,
 * model or options are refused.
 *
 * Records are read with their checks and appended in order of their keys, so the pages of the
 * result are full. Goes on after a kill: a mark says how many records and bad items of the parts
 * were taken.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/token_db/leaves.h"
#include "tokenize/commands.h"
#include "tokenize/part.h"
#include "tokenize/shard_open.h"
#include "tokenize/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMIT = 4096, COMMIT_BYTES = 1 << 20, MERGE_MARK = 1, NAMED = 8 };

typedef struct {
    const char *path;
    uint64_t index, count;
} piece_t;

typedef struct {
    piece_t *part;
    size_t n;
    cJSON *options; /* of the first one, without "shard" */
    char *source;   /* of part 0: the data may have lain elsewhere for each part */
    cJSON *images;  /* of part 0, too: --images of texts */
    shard_meta_t first, meta;
    uint64_t skipped;
    bool dedupe;
    hash_set_t seen;
    token_db_t *out;
    uint64_t before, bad_before; /* records and bad items of the parts that an earlier run took */
    uint64_t taken, bad;
    progress_t bar;
} merge_t;

/* ---- do they fit? ---- */

static cJSON *options_of(const char *path, const shard_meta_t *m, piece_t *p) {
    cJSON *o = m->arguments ? json_parse(m->arguments, strlen(m->arguments), false, NULL) : NULL;
    cJSON *shard = cJSON_DetachItemFromObjectCaseSensitive(o, "shard");
    if (!shard || cJSON_GetArraySize(shard) != 2 ||
        !json_u64(cJSON_GetArrayItem(shard, 0), &p->index) ||
        !json_u64(cJSON_GetArrayItem(shard, 1), &p->count) || p->index >= p->count ||
        p->count > MOST_PARTS)
        die(RC_MISFIT, "'%s' is no part: its arguments name no --shard", path);
    p->path = path;
    cJSON_Delete(shard);
    return o;
}

static void check_option(const merge_t *g, const char *path, const char *name, const cJSON *a,
                         const cJSON *b) {
    if (job_is_path(name)) return; /* the manifest says whether it is the same data */
    char *was = json_shown(a), *is = json_shown(b);
    if (strcmp(was, is) != 0 && !strcmp(name, "manifest"))
        die(RC_MISFIT, "'%s' was made of another list of items than '%s': manifest %s, not %s",
            path, g->part[0].path, is, was);
    if (strcmp(was, is) != 0)
        die(RC_MISFIT, "'%s' and '%s' were made with different options: %s %.150s and %.150s",
            g->part[0].path, path, name, was, is);
    free(was);
    free(is);
}

static void check_options(const merge_t *g, const char *path, const cJSON *options) {
    for (const cJSON *a = g->options->child; a; a = a->next)
        check_option(g, path, a->string, a, cJSON_GetObjectItemCaseSensitive(options, a->string));
    for (const cJSON *b = options->child; b; b = b->next)
        check_option(g, path, b->string, cJSON_GetObjectItemCaseSensitive(g->options, b->string),
                     b);
}

/* The whole shows the paths of part 0, as if one run had made it there. */
static void take_paths(merge_t *g, const cJSON *options) {
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(options, "source");
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(options, "images");
    free(g->source);
    cJSON_Delete(g->images);
    g->source = source && cJSON_IsString(source) ? xstrdup(source->valuestring) : NULL;
    g->images = images ? cJSON_Duplicate(images, true) : NULL;
}

static void set_member(cJSON *o, const char *name, cJSON *value) {
    if (!value) die(RC_RUNTIME, "out of memory (for JSON)");
    cJSON_DeleteItemFromObjectCaseSensitive(o, name);
    if (!cJSON_AddItemToObject(o, name, value)) die(RC_RUNTIME, "out of memory (for JSON)");
}

static bool equal_text(const char *a, const char *b) {
    return a == b || (a && b && !strcmp(a, b));
}

static bool equal_bytes(const void *a, const void *b, size_t size) {
    return !a == !b && (!a || !memcmp(a, b, size));
}

static void check_meta(const merge_t *g, const char *path, const shard_meta_t *m) {
    const shard_meta_t *f = &g->first;
    const char *what = NULL;
    reason_t why;
    if (leaves_fit(f->leaves, m->leaves, &why))
        die(RC_MISFIT, "'%s' and '%s' do not fit: %s", g->part[0].path, path, why.text);
    if (!equal_text(f->fingerprint, m->fingerprint))
        die(RC_MISFIT, "'%s' was made by another tokenizer than '%s': fingerprint %s, not %s", path,
            g->part[0].path, m->fingerprint ? m->fingerprint : "(none)",
            f->fingerprint ? f->fingerprint : "(none)");
    if (f->codes != m->codes || f->code_dim != m->code_dim ||
        !equal_bytes(f->codebook, m->codebook, (size_t)f->codes * f->code_dim * sizeof(float)))
        what = "codebook";
    else if (!equal_text(f->preprocess, m->preprocess) || !equal_text(f->quantizer, m->quantizer))
        what = "preprocess or quantizer";
    else if (!equal_text(f->text_tokenizer, m->text_tokenizer) || f->text_vocab != m->text_vocab)
        what = "text tokenizer";
    else if (!equal_text(f->env, m->env))
        what = "environment";
    else if (f->n_continuous != m->n_continuous || f->n_discrete != m->n_discrete ||
             f->n_actions != m->n_actions || f->n_discrete_actions != m->n_discrete_actions ||
             f->mu != m->mu || f->M != m->M)
        what = "widths of a timestep";
    else if (!equal_bytes(f->discrete_range, m->discrete_range, f->n_discrete * sizeof(uint32_t)) ||
             !equal_bytes(f->discrete_action_range, m->discrete_action_range,
                          f->n_discrete_actions * sizeof(uint32_t)) ||
             !equal_bytes(f->action_low, m->action_low, f->n_actions * sizeof(float)) ||
             !equal_bytes(f->action_high, m->action_high, f->n_actions * sizeof(float)) ||
             !equal_bytes(f->action_raw, m->action_raw, f->n_actions))
        what = "ranges of a timestep";
    else if (!equal_text(f->leaves, m->leaves))
        what = "list of columns";
    if (what) die(RC_MISFIT, "'%s' and '%s' have another %s", g->part[0].path, path, what);
}

/* Looks at one part; they are opened one at a time, so that there may be thousands. */
static void look_at(merge_t *g, size_t i, const char *path, const char *out) {
    if (fs_same(path, out)) die(RC_USAGE, "--out '%s' is one of the parts", out);
    token_db_t *db = shard_open(path);
    const shard_meta_t *m = token_db_meta(db);
    cJSON *options = options_of(path, m, &g->part[i]);
    if (g->part[i].index == 0) take_paths(g, options);
    if (i == 0) {
        g->options = options;
        shard_meta_copy(&g->first, m);
    } else {
        check_meta(g, path, m);
        check_options(g, path, options);
        cJSON_Delete(options);
    }
    if (!m->complete)
        die(RC_MISFIT, "'%s' is not complete: the command that began it goes on with it", path);
    g->skipped += m->skipped;
    g->bar.total += m->records;
    token_db_close(db);
}

static int by_index(const void *a, const void *b) {
    uint64_t x = ((const piece_t *)a)->index, y = ((const piece_t *)b)->index;
    return (x > y) - (x < y);
}

/* Every part exactly once. */
static void check_parts(merge_t *g) {
    char list[200] = "";
    size_t at = 0, missing = 0;
    uint64_t count = g->part[0].count, next = 0;
    for (size_t i = 1; i < g->n; i++)
        if (g->part[i].count != count)
            die(RC_MISFIT, "'%s' is a part of %" PRIu64 ", '%s' of %" PRIu64, g->part[0].path,
                count, g->part[i].path, g->part[i].count);
    qsort(g->part, g->n, sizeof *g->part, by_index);
    for (size_t i = 0; i <= g->n; i++) {
        uint64_t index = i < g->n ? g->part[i].index : count;
        if (i > 0 && i < g->n && index == g->part[i - 1].index)
            die(RC_MISFIT, "part %" PRIu64 " of %" PRIu64 " is there twice: '%s' and '%s'", index,
                count, g->part[i - 1].path, g->part[i].path);
        for (; next < index; next++)
            if (missing++ < NAMED)
                at += (size_t)snprintf(list + at, sizeof list - at, "%s%" PRIu64, at ? ", " : "",
                                       next);
        next = index + 1;
    }
    if (missing)
        die(RC_MISFIT, "%zu of %" PRIu64 " parts %s missing: %s%s (parts are numbered from 0)",
            missing, count, missing > 1 ? "are" : "is", list, missing > NAMED ? ", ..." : "");
}

/* ---- joining ---- */

static void commit(merge_t *g) {
    reason_t why;
    token_db_mark(g->out, MERGE_MARK, g->taken, g->bad);
    if (token_db_commit(g->out, &why)) die(RC_RUNTIME, "%s", why.text);
}

static void take_record(merge_t *g, token_record_t *r) {
    reason_t why;
    uint64_t hash = r->image_hash ? (uint64_t)r->image_hash[1] << 32 | r->image_hash[0] : 0;
    if (g->dedupe && r->image_hash && !hash_set_add(&g->seen, hash)) {
        g->meta.skipped++;
        return;
    }
    if (g->taken < g->before) return; /* there already; only its hash was wanted */
    if (g->source) {
        r->source = g->source;
        r->source_len = (uint32_t)strlen(g->source);
    }
    if (token_db_put(g->out, r, &why)) die(RC_DATA, "%s", why.text);
    writer_count(&g->meta, r);
}

static void take_records(merge_t *g, size_t part) {
    token_db_t *db = shard_open(g->part[part].path);
    uint64_t n = token_db_count(db), first = 0;
    reason_t why;
    if (!g->dedupe && g->before > g->taken) { /* nothing of these is needed again */
        first = g->before - g->taken < n ? g->before - g->taken : n;
        g->taken += first;
    }
    for (uint64_t i = first; i < n; i++) {
        token_record_t r;
        if (token_db_get(db, i, &r, &why)) die(RC_DATA, "%s", why.text);
        take_record(g, &r);
        token_record_release(&r);
        g->taken++;
        if (g->taken > g->before &&
            (g->taken % COMMIT == 0 || token_db_pending(g->out) > COMMIT_BYTES))
            commit(g);
        if (job_stopped()) break;
        progress_step(&g->bar, (size_t)g->taken, NULL);
    }
    token_db_close(db);
}

/* After all records, so that those could be appended. */
static void take_bad(merge_t *g, size_t part) {
    token_db_t *db = shard_open(g->part[part].path);
    char *key, *reason;
    reason_t why;
    for (uint64_t i = 0; i < token_db_meta(db)->bad; i++) {
        if (token_db_bad(db, i, &key, &reason, &why)) die(RC_DATA, "%s", why.text);
        if (g->bad++ >= g->bad_before && token_db_put_bad(g->out, key, strlen(key), reason, &why))
            die(RC_RUNTIME, "%s", why.text);
        free(key);
        free(reason);
    }
    token_db_close(db);
}

/* The arguments of the whole, and the number of parts: `tokenize images` cannot go on with it. */
static char *merged_arguments(merge_t *g) {
    cJSON *o = cJSON_Duplicate(g->options, true), *shard;
    cJSON_DeleteItemFromObjectCaseSensitive(
        o, "merged"); /* a merged shard may be merged again: its pages get full */
    if (g->source) set_member(o, "source", cJSON_CreateString(g->source));
    if (g->images) set_member(o, "images", cJSON_Duplicate(g->images, true));
    shard = cJSON_AddArrayToObject(o, "shard");
    if (!shard || !cJSON_AddItemToArray(shard, cJSON_CreateNumber(0)) ||
        !cJSON_AddItemToArray(shard, cJSON_CreateNumber(1)) ||
        !cJSON_AddNumberToObject(o, "merged", (double)g->n))
        die(RC_RUNTIME, "out of memory (for JSON)");
    char *text = json_canonical(o);
    cJSON_Delete(o);
    return text;
}

/* Is it there already? */
static bool is_complete(merge_t *g, const char *out) {
    int rc;
    token_db_t *old = token_db_open(out, &rc, NULL);
    if (!old) return false;
    const shard_meta_t *m = token_db_meta(old);
    if (!equal_text(m->arguments, g->meta.arguments))
        die(RC_MISFIT, "'%s' exists and is another shard (--force replaces it)", out);
    bool complete = m->complete;
    g->meta.grid_h = m->grid_h, g->meta.grid_w = m->grid_w, g->meta.image_h = m->image_h,
    g->meta.image_w = m->image_w;
    if (complete) {
        g->meta.records = m->records, g->meta.images = m->images, g->meta.tokens = m->tokens;
        g->meta.episodes = m->episodes, g->meta.steps = m->steps, g->meta.skipped = m->skipped,
        g->meta.bad = m->bad;
    }
    token_db_close(old);
    return complete;
}

static void begin(merge_t *g) {
    shard_meta_copy(&g->meta, &g->first);
    free(g->meta.arguments);
    g->meta.arguments = merged_arguments(g);
    g->dedupe = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(g->options, "dedupe"));
    shard_meta_t *m = &g->meta;
    m->grid_h = m->grid_w = m->image_h = m->image_w = 0;
    m->records = m->images = m->episodes = m->steps = m->tokens = m->skipped = m->bad = 0;
    m->complete = false;
}

/* Copies are told apart by their hashes, which are read again: their count starts from 0 every
 * time. */
static int join(merge_t *g, const char *out, uint64_t max_map) {
    int rc;
    reason_t why;
    g->out = token_db_create(out, &g->meta, max_map, &rc, &why);
    if (!g->out) die(rc, "%s", why.text);
    g->before = token_db_done(g->out, MERGE_MARK, &g->bad_before);
    g->meta.skipped = 0;
    fs_done_clear(out);
    job_catch_signals();
    progress_begin(&g->bar, "tokenize merge", (size_t)g->before, g->bar.total);
    for (size_t i = 0; i < g->n && !job_stopped(); i++) take_records(g, i);
    if (job_stopped() && g->taken < g->bar.total) {
        if (g->taken > g->before) commit(g);
        progress_end(&g->bar);
        token_db_close(g->out);
        log_line("stopped; the same command goes on with '%s'", out);
        return RC_STOPPED;
    }
    for (size_t i = 0; i < g->n; i++) take_bad(g, i);
    g->meta.skipped += g->skipped;
    g->meta.complete = true;
    commit(g);
    progress_end(&g->bar);
    token_db_close(g->out);
    return RC_OK;
}

int cmd_merge(int argc, char **argv) {
    cli_list_t in = {0};
    const char *out = NULL;
    uint64_t max_map = 0;
    bool force = false;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &in, "PART.lmdb", "the parts 0/N to (N-1)/N, in any order", true},
        {"--out", CLI_STR, &out, "X.lmdb",
         "the shard that they make; one that was not finished goes on", true},
        {"--max-map", CLI_U64, &max_map, "BYTES", "size that the shard may grow to (0 = 1 TB)",
         false},
        {"--force", CLI_FLAG, &force, NULL, "replace an existing shard", false},
        {0},
    };
    cli_parse(argc, argv, "merge",
              "join the parts that --shard made: the shard of a run over the whole input",
              (const cli_opt_t *const[]){options}, 1);
    double start = log_now();
    merge_t g = {.part = xcalloc(in.n, sizeof *g.part), .n = in.n};
    for (size_t i = 0; i < in.n; i++) look_at(&g, i, in.item[i], out);
    check_parts(&g);
    begin(&g);
    if (force) writer_remove(out);
    int rc = is_complete(&g, out) ? RC_OK : join(&g, out, max_map);
    if (rc == RC_OK) writer_done(out, &g.meta);
    writer_print(&g.meta, start, g.meta.images);
    cJSON_Delete(g.options);
    shard_meta_release(&g.first);
    shard_meta_release(&g.meta);
    hash_set_release(&g.seen);
    cJSON_Delete(g.images);
    free(g.source);
    free(g.part);
    return rc;
}
