/* verify.c - `tokenize verify`: reads every record again, with its checksum and ranges, adds up the
 * counts, and encodes a sample of the images again: from the kept pixels, or from the source.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/source/archive.h"
#include "common/io/source/braces.h"
#include "common/io/text/json.h"
#include "tokenize/commands.h"
#include "tokenize/reencode.h"
#include "tokenize/shard_open.h"
#include "tokenize/stream.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 20, BLOCK = 64 };
/* What may come out otherwise on another machine: a share of the codes, each of them a near tie. */
static const double tolerated = 0.001, tie = 1e-4;

typedef struct {
    token_db_t *db;
    pthread_mutex_t lock; /* of what follows */
    uint64_t defects, images, episodes, steps, pixels;
} reading_t;

static void defect(reading_t *s, const char *text) {
    pthread_mutex_lock(&s->lock);
    if (s->defects++ < NAMED) warn("%s", text);
    pthread_mutex_unlock(&s->lock);
}

static void read_block(void *ctx, size_t block) {
    reading_t *s = ctx;
    uint64_t images = 0, episodes = 0, steps = 0, pixels = 0, n = token_db_count(s->db);
    reason_t why;
    for (uint64_t i = (uint64_t)block * BLOCK; i < n && i < (uint64_t)(block + 1) * BLOCK; i++) {
        token_record_t r;
        if (token_db_get(s->db, i, &r, &why)) {
            defect(s, why.text);
            continue;
        }
        if (r.codes || r.pixels) images += r.T;
        if (r.kind == RECORD_EPISODE) {
            episodes++;
            steps += r.T;
        }
        if (r.pixels) pixels++;
        token_record_release(&r);
    }
    pthread_mutex_lock(&s->lock);
    s->images += images, s->episodes += episodes, s->steps += steps, s->pixels += pixels;
    pthread_mutex_unlock(&s->lock);
}

static void check_counts(reading_t *s, const char *path) {
    const shard_meta_t *m = token_db_meta(s->db);
    const struct {
        const char *what;
        uint64_t stored, found;
    } count[] = {{"images", m->images, s->images},
                 {"episodes", m->episodes, s->episodes},
                 {"steps", m->steps, s->steps}};
    for (size_t i = 0; i < sizeof count / sizeof *count && !s->defects; i++) {
        if (count[i].stored == count[i].found) continue;
        reason_t text;
        reason_set(&text, "'%s': counts %llu %s, but holds %llu", path,
                   (unsigned long long)count[i].stored, count[i].what,
                   (unsigned long long)count[i].found);
        defect(s, text.text);
    }
}

static void read_all(reading_t *s, const char *path) {
    char *key, *reason;
    reason_t why = {""};
    pthread_mutex_init(&s->lock, NULL);
    parallel_for((size_t)((token_db_count(s->db) + BLOCK - 1) / BLOCK), read_block, s);
    for (uint64_t i = 0; i < token_db_meta(s->db)->bad; i++) {
        if (token_db_bad(s->db, i, &key, &reason, &why)) {
            defect(s, why.text);
            continue;
        }
        free(key);
        free(reason);
    }
    check_counts(s, path);
    pthread_mutex_destroy(&s->lock);
    if (!token_db_meta(s->db)->complete)
        warn("'%s' is not complete: the same command goes on with it", path);
}

static void print_result(const char *path, const reading_t *s, const reencode_t *a) {
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_str(&w, "shard", path);
    jsonw_str(&w, "pictures_from", !a->images ? NULL : a->in ? a->in : "kept pixels");
    jsonw_num(&w, "largest_gap", a->images ? a->gap : NAN);
    jsonw_int(&w, "records", (int64_t)token_db_count(s->db));
    jsonw_int(&w, "defects", (int64_t)s->defects);
    jsonw_bool(&w, "complete", token_db_meta(s->db)->complete);
    jsonw_int(&w, "images_encoded_again", (int64_t)a->images);
    jsonw_int(&w, "codes_compared", (int64_t)a->codes);
    jsonw_int(&w, "codes_different", (int64_t)a->different);
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* Images can be read there one by one: no stream, all shards of a range in place. */
static bool readable(const char *src) {
    char **shard;
    size_t n;
    reason_t why;
    if (!strcmp(src, "-")) return false;
    if (fs_exists(src)) return !stream_is(src);
    if (!archive_is(src) || archive_shards(src, &shard, &n, &why)) return false;
    bool all = n > 0;
    for (size_t i = 0; i < n; i++) all = all && fs_exists(shard[i]);
    braces_free(shard, n);
    return all && !stream_is(src);
}

/* --in, else the kept pixels (NULL), else the source that the shard names, if it is still there;
 * says which. */
static const char *find_source(const reading_t *s, const char *path, const char *in, char **owned) {
    const char *args = token_db_meta(s->db)->arguments;
    if (!in && s->pixels) {
        log_line("encodes images again from the pixels that '%s' keeps", path);
        return NULL;
    }
    if (!in) {
        cJSON *o = args ? json_parse(args, strlen(args), false, NULL) : NULL;
        const char *images = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "images")),
                   *source = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "source"));
        const char *command = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "command"));
        bool captions =
            command &&
            !strcmp(command, "text"); /* their images lie beside the file, or in --images */
        if (images) source = images;
        const char *slash = captions && !images && source ? strrchr(source, '/') : NULL;
        if (source && readable(source))
            in = *owned = slash ? xasprintf("%.*s", (int)(slash - source) + 1, source)
                          : captions && !images ? xstrdup(".")
                                                : xstrdup(source);
        cJSON_Delete(o);
    }
    if (in) log_line("encodes images again from '%s'", in);
    return in;
}

int cmd_verify(int argc, char **argv) {
    cli_list_t shard = {0};
    const char *model = NULL, *in = NULL;
    char *source = NULL;
    int64_t sample = 256, threads = 0;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &shard, "X.lmdb", "the shard", true},
        {"--model", CLI_STR, &model, "RUN", "encode a sample again with the tokenizer that made it",
         false},
        {"--in", CLI_STR, &in, "SRC", "where its images came from, for shards that keep no pixels",
         false},
        {"--sample", CLI_INT, &sample, "N", "images to encode again (0 = all)", false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "verify",
              "read every record again, and encode a sample of the images again",
              (const cli_opt_t *const[]){options}, 1);
    pool_set_threads((int)threads);
    if (shard.n != 1) die(RC_USAGE, "one shard at a time");
    if (sample < 0) die(RC_USAGE, "--sample cannot be negative");
    if (in && !model) die(RC_USAGE, "--in needs --model");
    if (in && !readable(in))
        die(RC_USAGE,
            fs_exists(in) ? "'%s' is a stream; --in needs images that can be read one by one"
                          : "cannot open '%s': No such file or directory",
            in);
    const char *path = shard.item[0];
    reading_t s = {.db = shard_open(path)};
    reencode_t a = {.db = s.db, .path = path, .in = in, .sample = (uint64_t)sample};
    a.tokenizer = model ? shard_model_open(model, path, token_db_meta(s.db)) : NULL;
    read_all(&s, path);
    if (a.tokenizer && !s.defects) {
        a.in = find_source(&s, path, in, &source);
        if (a.in || s.pixels)
            reencode_run(&a);
        else
            warn("'%s' keeps no pixels and its source is not there: no image is encoded again "
                 "(--in SRC)",
                 path);
    }
    print_result(path, &s, &a);
    bool wrong = a.codes && (double)a.different > tolerated * (double)a.codes, far = a.gap > tie;
    free(source);
    uint64_t defects = s.defects;
    token_db_close(s.db);
    tokenizer_free(a.tokenizer);
    if (defects) die(RC_DATA, "'%s': %llu defects", path, (unsigned long long)defects);
    if (wrong)
        die(RC_DATA, "'%s': %llu of %llu codes came out otherwise, more than %g %%", path,
            (unsigned long long)a.different, (unsigned long long)a.codes, 100 * tolerated);
    if (far)
        die(RC_DATA,
            "'%s': a code that came out otherwise is further than the nearest by %.3g of its "
            "distance, not %g",
            path, a.gap, tie);
    return RC_OK;
}
