/* writer.c - see writer.h. */
#include "tokenize/writer.h"

#include "common/io/fs.h"
#include "common/io/lock.h"
#include "common/io/text/json.h"
#include "common/model/version.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { BYTE_VOCABULARY = 257 };

/* ---- beginning ---- */

static void take_model(shard_meta_t *m, tokenizer_t *tokenizer) {
    size_t codes = tokenizer_codes(tokenizer), width = tokenizer_width(tokenizer);
    size_t bytes = codes * width * sizeof(float);
    m->fingerprint = xstrdup(tokenizer_fingerprint(tokenizer));
    m->preprocess = xstrdup(tokenizer_preprocess_json(tokenizer));
    m->quantizer = xstrdup(tokenizer_quantizer_json(tokenizer));
    m->codes = (uint32_t)codes;
    m->code_dim = (uint32_t)width;
    m->codebook = memcpy(xmalloc(bytes), tokenizer_vectors(tokenizer), bytes);
}

void writer_init(writer_t *w, const job_t *j, uint64_t manifest) {
    *w = (writer_t){.job = j, .start = log_now()};
    w->meta = (shard_meta_t){.tool = xstrdup("tokenize " PROJECT_VERSION),
                             .arguments = job_arguments(j, manifest),
                             .text_tokenizer = xstrdup("byte"),
                             .text_vocab = BYTE_VOCABULARY,
                             .mu = 100,
                             .M = 256};
    if (j->tokenizer) take_model(&w->meta, j->tokenizer);
    w->bad = bad_items_new(1);
}

/* --force: a former shard's files go, unless somebody writes them right now; other people's folders
 * stay. */
void writer_remove(const char *path) {
    static const char *const files[] = {"done", "data.mdb", "lock.mdb"};
    if (!fs_exists(path)) return;
    char *data = fs_join(path, "data.mdb"), *start = fs_join(path, "lock.mdb");
    if (!fs_is_dir(path) || (!fs_dir_empty(path) && !fs_exists(data) && !fs_exists(start)))
        die(RC_USAGE, "'%s' exists and is no token shard", path);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    char *lock = xasprintf("%.*s.lock", (int)n, path);
    lock_t held;
    reason_t why;
    char *shown = xasprintf("%.*s", (int)n, path);
    int rc = lock_take(&held, lock, shown, &why);
    if (rc) die(rc, "%s", why.text);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *file = fs_join(path, files[i]);
        if (unlink(file) && errno != ENOENT) die_errno(RC_RUNTIME, "cannot remove '%s'", file);
        free(file);
    }
    lock_release(&held);
    free(shown);
    free(lock);
    free(data);
    free(start);
}

static void add_difference(char text[400], size_t *at, const char *name, const cJSON *before,
                           const cJSON *now) {
    char *was = json_shown(before), *is = json_shown(now);
    if (strcmp(was, is) && *at < 400)
        *at += (size_t)snprintf(text + *at, 400 - *at, "%s%s %.120s, now %.120s", *at ? "; " : "",
                                name, was, is);
    free(was);
    free(is);
}

/* Says which options differ from those that the shard was begun with. A path is no difference. */
static void refuse_options(const char *path, const char *stored, const char *asked) {
    cJSON *a = json_parse(stored, strlen(stored), false, NULL),
          *b = json_parse(asked, strlen(asked), false, NULL);
    char text[400] = "";
    size_t at = 0;
    for (const cJSON *now = b ? b->child : NULL; now; now = now->next)
        add_difference(text, &at, now->string, cJSON_GetObjectItemCaseSensitive(a, now->string),
                       now);
    for (const cJSON *was = a ? a->child : NULL; was; was = was->next)
        if (!cJSON_GetObjectItemCaseSensitive(b, was->string))
            add_difference(text, &at, was->string, was, NULL);
    die(RC_MISFIT, "'%s' was begun with other options or data: %s (--force replaces it)", path,
        text);
}

/* The images of an earlier run, so that --dedupe goes on as if it had never stopped. */
static void know_images(writer_t *w, token_db_t *old) {
    reason_t why;
    for (uint64_t i = 0; i < token_db_count(old); i++) {
        token_record_t r;
        if (token_db_get(old, i, &r, &why)) die(RC_DATA, "%s", why.text);
        if (r.image_hash)
            hash_set_add(&w->images, (uint64_t)r.image_hash[1] << 32 | r.image_hash[0]);
        token_record_release(&r);
    }
}

/* What a look without the writer's lock shows: other options; complete; the sizes of images so
 * far. Whatever cannot be read is left to token_db_create. */
static bool look(writer_t *w) {
    int rc;
    token_db_t *old = token_db_open(w->job->out, &rc, NULL);
    if (!old) return false;
    const shard_meta_t *s = token_db_meta(old);
    shard_meta_t *m = &w->meta;
    char *was = job_compared(s->arguments ? s->arguments : "{}"), *is = job_compared(m->arguments);
    if (strcmp(was, is)) refuse_options(w->job->out, was, is);
    free(was);
    free(is);
    free(m->arguments); /* the data may lie elsewhere now: the shard keeps its first path */
    m->arguments = xstrdup(s->arguments);
    m->grid_h = s->grid_h, m->grid_w = s->grid_w, m->image_h = s->image_h, m->image_w = s->image_w;
    bool complete = s->complete;
    if (!complete && w->job->dedupe) know_images(w, old);
    if (complete) {
        m->records = s->records, m->images = s->images, m->episodes = s->episodes,
        m->steps = s->steps;
        m->tokens = s->tokens, m->skipped = s->skipped, m->bad = s->bad, m->complete = true;
    }
    token_db_close(old);
    return complete;
}

static void check_bad(const writer_t *w) {
    uint64_t bad = w->meta.bad;
    if (!bad || (double)bad <= w->job->max_bad * (double)w->total) return;
    bad_items_summary(w->bad);
    if (w->total == SIZE_MAX) /* a stream that has not ended: the share is 0 */
        die(RC_DATA, "%llu bad item%s, and --max-bad 0 allows none", (unsigned long long)bad,
            bad > 1 ? "s" : "");
    die(RC_DATA, "%llu of %zu items are bad (%.3g %%), more than --max-bad %.3g %%",
        (unsigned long long)bad, w->total, 100.0 * (double)bad / (double)w->total,
        100 * w->job->max_bad);
}

static uint64_t hash_of(const char *key) {
    return XXH64(key, strlen(key), 0);
}

bool writer_open(writer_t *w, size_t total) {
    int rc;
    reason_t why;
    const job_t *j = w->job;
    w->total = total;
    if (j->force) writer_remove(j->out);
    bool complete = look(w);
    w->images_before = w->meta.images;
    if (complete) return false;
    w->source = job_source(w->meta.arguments);
    if (!w->source) BUG("arguments without a source");
    w->db = token_db_create(j->out, &w->meta, j->max_map, &rc, &why);
    if (!w->db) die(rc, "%s", why.text);
    fs_done_clear(j->out);
    w->images_before = w->meta.images;
    w->committed = log_now();
    w->items = w->before = token_db_done(w->db, hash_of(w->source), &w->last);
    w->last_before = w->last;
    if (!w->before && (w->meta.records || w->meta.bad))
        die(RC_MISFIT,
            "'%s' was begun by another version or command and cannot go on (--force replaces it)",
            j->out);
    job_catch_signals();
    check_bad(w);
    return true;
}

/* ---- items ---- */

bool writer_has(writer_t *w, const char *key) {
    if (w->asked == w->before) return false;
    if (++w->asked == w->before && hash_of(key) != w->last_before)
        die(RC_MISFIT,
            "'%s' was begun with another list of items: its item %llu is not '%s' (--force "
            "replaces it)",
            w->job->out, (unsigned long long)w->before - 1, key);
    return true;
}

static void mark(writer_t *w, const char *key) {
    w->items++;
    w->last = hash_of(key);
    w->done++;
}

/* The meta's sizes: those of all images, 0 once two differ. */
static void note_size(shard_meta_t *m, const token_record_t *r) {
    bool same = m->grid_h == r->grid_h && m->grid_w == r->grid_w && m->image_h == r->image_h &&
                m->image_w == r->image_w;
    if (m->images == 0) {
        m->grid_h = r->grid_h, m->grid_w = r->grid_w, m->image_h = r->image_h,
        m->image_w = r->image_w;
    } else if (!same) {
        m->grid_h = m->grid_w = m->image_h = m->image_w = 0;
    }
}

void writer_count(shard_meta_t *m, const token_record_t *r) {
    uint64_t T = r->T;
    if (r->codes || r->pixels) {
        note_size(m, r);
        m->images += T;
    }
    if (r->kind == RECORD_EPISODE) {
        m->episodes++;
        m->steps += T;
    }
    if (r->codes) m->tokens += T * r->grid_h * r->grid_w;
    m->tokens += r->text_len;
    if (r->kind == RECORD_EPISODE)
        m->tokens +=
            T * ((uint64_t)m->n_continuous + m->n_discrete + m->n_actions + m->n_discrete_actions);
}

void writer_add(writer_t *w, const char *key, token_record_t *r) {
    reason_t why;
    r->key = key;
    r->key_len = (uint32_t)strlen(key);
    r->source = w->source;
    r->source_len = (uint32_t)strlen(w->source);
    if (token_db_put(w->db, r, &why)) die(RC_DATA, "'%s': '%s': %s", w->job->in, key, why.text);
    writer_count(&w->meta, r);
}

void writer_put(writer_t *w, const char *key, token_record_t *r) {
    writer_add(w, key, r);
    mark(w, key);
}

void writer_put_once(writer_t *w, const char *key, token_record_t *r) {
    if (hash_set_add(&w->images, (uint64_t)r->image_hash[1] << 32 | r->image_hash[0])) {
        writer_put(w, key, r);
        return;
    }
    w->meta.skipped++;
    w->copies++;
    mark(w, key);
}

void writer_bad(writer_t *w, const char *key, const char *reason) {
    reason_t why;
    bad_items_add(w->bad, w->job->in, key, reason, false);
    if (token_db_put_bad(w->db, key, strlen(key), reason, &why)) die(RC_RUNTIME, "%s", why.text);
    mark(w, key);
}

void writer_skip(writer_t *w, const char *key, const char *reason) {
    bad_items_add(w->bad, w->job->in, key, reason, true);
    w->meta.skipped++;
    mark(w, key);
}

void writer_batch(writer_t *w) {
    reason_t why;
    if (w->items) token_db_mark(w->db, hash_of(w->source), w->items, w->last);
    if (token_db_commit(w->db, &why)) die(RC_RUNTIME, "%s", why.text);
    w->committed = log_now();
    check_bad(w);
}

bool writer_due(const writer_t *w) {
    return token_db_pending(w->db) > 1 << 20 || log_now() > w->committed + 1;
}

/* ---- end ---- */

void writer_print(const shard_meta_t *m, double start, uint64_t before) {
    double seconds = log_now() - start;
    jsonw_t out;
    jsonw_begin(&out);
    jsonw_int(&out, "images", (int64_t)m->images);
    jsonw_int(&out, "episodes", (int64_t)m->episodes);
    jsonw_int(&out, "records", (int64_t)m->records);
    jsonw_int(&out, "skipped", (int64_t)m->skipped);
    jsonw_int(&out, "bad", (int64_t)m->bad);
    jsonw_int(&out, "tokens", (int64_t)m->tokens);
    jsonw_num(&out, "seconds", round(seconds * 1000) / 1000);
    jsonw_num(&out, "images_per_s",
              seconds > 0 ? round((double)(m->images - before) / seconds * 10) / 10 : NAN);
    puts(jsonw_end(&out));
    jsonw_free(&out);
}

void writer_done(const char *path, const shard_meta_t *m) {
    reason_t why;
    char *counts = xasprintf("{\"images\":%llu,\"episodes\":%llu,\"records\":%llu,\"skipped\":%llu,"
                             "\"bad\":%llu,\"tokens\":%llu}",
                             (unsigned long long)m->images, (unsigned long long)m->episodes,
                             (unsigned long long)m->records, (unsigned long long)m->skipped,
                             (unsigned long long)m->bad, (unsigned long long)m->tokens);
    if (fs_done_write(path, m->arguments, counts, &why)) die(RC_RUNTIME, "%s", why.text);
    free(counts);
}

static bool has_done(const char *path) {
    char *done = fs_join(path, "done");
    bool there = fs_exists(done);
    free(done);
    return there;
}

static void complete(writer_t *w) {
    const shard_meta_t *m = &w->meta;
    bad_items_summary(w->bad);
    if (w->total && !m->records)
        die(RC_DATA, "none of %zu items can be used: %llu bad, %llu skipped", w->total,
            (unsigned long long)m->bad, (unsigned long long)m->skipped);
    w->meta.complete = true;
    writer_batch(w);
    writer_done(w->job->out, &w->meta);
    if (w->copies)
        log_line("%llu images are copies of others (--dedupe): counted as skipped",
                 (unsigned long long)w->copies);
}

int writer_close(writer_t *w) {
    int rc = RC_OK;
    if (!w->db) {
        log_line("'%s' is complete", w->job->out);
        if (!has_done(w->job->out))
            writer_done(w->job->out,
                        &w->meta); /* killed between the last transaction and this file */
    } else if (w->done < w->total && job_stopped()) {
        log_line("stopped; the same command goes on with '%s'", w->job->out);
        rc = RC_STOPPED;
    } else {
        complete(w);
    }
    image_notes_summary(&w->job->notes);
    writer_print(&w->meta, w->start, w->images_before);
    if (w->db) token_db_close(w->db);
    shard_meta_release(&w->meta);
    bad_items_free(w->bad);
    free(w->source);
    hash_set_release(&w->images);
    return rc;
}
