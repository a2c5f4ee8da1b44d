/* verify.c - `tokenize verify`: reads every record again, with its checksum and ranges, adds up the
 * counts, and encodes a sample of the images again: from the kept pixels, or from the source.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
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

enum { NAMED = 20, BLOCK = 64 }; /* defects told one by one; records per task */
/* Another machine rounds otherwise: so large a share of the codes may differ, and each by so little
 * of the distance to the nearest code. */
static const double tolerated = 0.001, tie = 1e-4;

typedef struct {
    token_db_t *shard;
    pthread_mutex_t lock; /* of what follows */
    uint64_t defects;
    uint64_t images, episodes, steps; /* as the records add up */
    uint64_t pixels;                  /* records that keep pixels */
} reading_t;

static void report_defect(reading_t *reading, const char *text) {
    pthread_mutex_lock(&reading->lock);
    reading->defects++;
    if (reading->defects <= NAMED) warn("%s", text);
    pthread_mutex_unlock(&reading->lock);
}

/* Images of a record: those of its image slots that are there. *kept: does it keep any pixels? */
static uint64_t count_images(const token_record_t *record, const task_t *task, bool *kept) {
    uint64_t n = 0;
    *kept = false;
    for (uint32_t s = 0; s < task->n_slots; s++) {
        const slot_data_t *data = &record->slot[s];
        *kept |= data->pixels != NULL;
        if (!data->codes && !data->pixels) continue;
        for (uint32_t t = 0; t < record->T; t++) n += !data->present || data->present[t];
    }
    return n;
}

static void read_block(void *ctx, size_t block) {
    reading_t *reading = ctx;
    const tasks_t *tasks = &token_db_meta(reading->shard)->tasks;
    uint64_t images = 0, episodes = 0, steps = 0, pixels = 0;
    size_t first = block * BLOCK, end = min_size(first + BLOCK, token_db_count(reading->shard));
    reason_t why;
    for (size_t i = first; i < end; i++) {
        token_record_t r;
        if (token_db_get(reading->shard, i, &r, &why)) {
            report_defect(reading, why.text);
            continue;
        }
        const task_t *task = &tasks->v[r.task];
        bool kept;
        images += count_images(&r, task, &kept);
        if (task->kind == RECORD_EPISODE) {
            episodes++;
            steps += r.T;
        }
        pixels += kept;
        token_record_release(&r);
    }
    pthread_mutex_lock(&reading->lock);
    reading->images += images;
    reading->episodes += episodes;
    reading->steps += steps;
    reading->pixels += pixels;
    pthread_mutex_unlock(&reading->lock);
}

static void check_counts(reading_t *reading, const char *path) {
    const shard_meta_t *meta = token_db_meta(reading->shard);
    const struct {
        const char *what;
        uint64_t stored, found;
    } count[] = {{"images", meta->images, reading->images},
                 {"episodes", meta->episodes, reading->episodes},
                 {"steps", meta->steps, reading->steps}};
    if (reading->defects) return; /* records that cannot be read are not counted */
    for (size_t i = 0; i < sizeof count / sizeof *count; i++) {
        if (count[i].stored == count[i].found) continue;
        reason_t text;
        reason_set(&text, "'%s': counts %llu %s, but holds %llu", path,
                   (unsigned long long)count[i].stored, count[i].what,
                   (unsigned long long)count[i].found);
        report_defect(reading, text.text);
        return;
    }
}

static void read_all(reading_t *reading, const char *path) {
    char *key, *reason;
    reason_t why = {""};
    pthread_mutex_init(&reading->lock, NULL);
    parallel_for(ceil_div(token_db_count(reading->shard), BLOCK), read_block, reading);
    for (uint64_t i = 0; i < token_db_meta(reading->shard)->bad; i++) {
        if (token_db_bad(reading->shard, i, &key, &reason, &why)) {
            report_defect(reading, why.text);
            continue;
        }
        free(key);
        free(reason);
    }
    check_counts(reading, path);
    pthread_mutex_destroy(&reading->lock);
    if (!token_db_meta(reading->shard)->complete)
        warn("'%s' is not complete: run the command that began it again", path);
}

static void print_result(const char *path, const reading_t *reading, const reencode_t *encoding) {
    jsonw_t json;
    const char *from = encoding->in ? encoding->in : "kept pixels";
    jsonw_begin(&json);
    jsonw_str(&json, "shard", path);
    jsonw_str(&json, "pictures_from", encoding->images ? from : NULL);
    jsonw_num(&json, "largest_gap", encoding->images ? encoding->gap : NAN);
    jsonw_int(&json, "records", (int64_t)token_db_count(reading->shard));
    jsonw_int(&json, "defects", (int64_t)reading->defects);
    jsonw_bool(&json, "complete", token_db_meta(reading->shard)->complete);
    jsonw_int(&json, "images_encoded_again", (int64_t)encoding->images);
    jsonw_int(&json, "codes_compared", (int64_t)encoding->codes);
    jsonw_int(&json, "codes_different", (int64_t)encoding->different);
    puts(jsonw_end(&json));
    jsonw_free(&json);
}

/* Can images be read from there one by one: no stream, and all tars of a range in place? */
static bool is_readable(const char *src) {
    char **tar;
    size_t n;
    reason_t why;
    if (!strcmp(src, "-")) return false;
    if (fs_exists(src)) return !stream_is(src);
    if (!archive_is(src) || archive_shards(src, &tar, &n, &why)) return false;
    bool all = n > 0;
    for (size_t i = 0; i < n; i++) all = all && fs_exists(tar[i]);
    braces_free(tar, n);
    return all && !stream_is(src);
}

/* The source of the images as the shard's arguments name it, if it is still there; malloc'ed, or
 * NULL. The images of captions lie in --images, else beside the file of captions. */
static char *source_of(const shard_meta_t *meta) {
    const char *text = meta->arguments;
    cJSON *args = text ? json_parse(text, strlen(text), false, NULL) : NULL;
    const char *images = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, "images"));
    const char *source = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, "source"));
    const char *command = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, "command"));
    char *path = NULL;
    if (images) source = images;
    if (source && is_readable(source)) {
        bool beside = command && !strcmp(command, "text") && !images;
        const char *slash = beside ? strrchr(source, '/') : NULL;
        if (slash)
            path = xasprintf("%.*s", (int)(slash - source) + 1, source);
        else
            path = xstrdup(beside ? "." : source);
    }
    cJSON_Delete(args);
    return path;
}

/* Where to read the images again: --in, else the kept pixels (NULL), else the source that the shard
 * names, into *owned. Says which. */
static const char *find_source(const reading_t *reading, const char *path, const char *in,
                               char **owned) {
    if (!in && reading->pixels) {
        log_line("encoding images again from the pixels that '%s' keeps", path);
        return NULL;
    }
    if (!in) {
        *owned = source_of(token_db_meta(reading->shard));
        in = *owned;
    }
    if (in) log_line("encoding images again from '%s'", in);
    return in;
}

/* The last word: reports, in this order, defects, too many different codes, one too far off. */
static void die_if_wrong(const char *path, uint64_t defects, const reencode_t *encoding) {
    if (defects) die(RC_DATA, "'%s': %llu defects", path, (unsigned long long)defects);
    if (encoding->codes && (double)encoding->different > tolerated * (double)encoding->codes)
        die(RC_DATA, "'%s': %llu of %llu codes differ when encoded again, more than %g %%", path,
            (unsigned long long)encoding->different, (unsigned long long)encoding->codes,
            100 * tolerated);
    if (encoding->gap > tie)
        die(RC_DATA,
            "'%s': a code that differs when encoded again is %.3g further away than the nearest "
            "code, "
            "as a share of its distance; at most %g is rounding",
            path, encoding->gap, tie);
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
        {"--in", CLI_STR, &in, "SRC", "the source of its images, for shards that keep no pixels",
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
    if (in && !is_readable(in))
        die(RC_USAGE,
            fs_exists(in) ? "'%s' is a stream; --in needs images that can be read one by one"
                          : "cannot open '%s': No such file or directory",
            in);
    const char *path = shard.item[0];
    reading_t reading = {.shard = shard_open_or_die(path)};
    reencode_t encoding = {.db = reading.shard, .path = path, .in = in, .sample = (uint64_t)sample};
    encoding.tokenizer =
        model ? shard_tokenizer_open_or_die(model, path, token_db_meta(reading.shard)) : NULL;
    read_all(&reading, path);
    if (encoding.tokenizer && !reading.defects) {
        encoding.in = find_source(&reading, path, in, &source);
        if (encoding.in || reading.pixels)
            reencode_run(&encoding);
        else
            warn("'%s' keeps no pixels and its source is not there: no image is encoded again "
                 "(--in SRC names it)",
                 path);
    }
    print_result(path, &reading, &encoding);
    uint64_t defects = reading.defects;
    free(source);
    token_db_close(reading.shard);
    tokenizer_free(encoding.tokenizer);
    die_if_wrong(path, defects, &encoding);
    return RC_OK;
}
