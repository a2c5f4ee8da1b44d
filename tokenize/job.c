/* job.c - see job.h. */
#include "tokenize/job.h"

#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/signals.h"
#include "common/io/fs.h"
#include "common/io/source/archive.h"
#include "common/io/text/json.h"
#include "tokenize/encoder.h"
#include "tokenize/part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BATCH = 32 };

/* ---- options ---- */

static void parse_shard(job_t *j) {
    part_of_t p = part_parse(j->shard);
    j->shard_index = p.index;
    j->shard_count = p.count;
    if (p.automatic) j->out = j->part_out = part_path(j->out, p);
}

static void check_options(const job_t *j) {
    if ((j->spread || j->head) && !j->frames)
        die(RC_USAGE, "%s needs --frames", j->spread ? "--spread" : "--head");
    if (j->spread && j->head) die(RC_USAGE, "--spread and --head exclude each other");
    if (j->split < 0 || (j->split && j->split < 8))
        die(RC_USAGE, "--split %lld: 8 bytes or more", (long long)j->split);
    if (j->image_digits < 0 || j->image_digits > 20)
        die(RC_USAGE, "--image-digits: 0 to 20 are possible");
    if (j->frames < 0 || j->limit < 0)
        die(RC_USAGE, "--frames and --limit count: they cannot be negative");
    if (j->batch < 1 || j->batch > MOST_BATCH)
        die(RC_USAGE, "--batch %lld: 1 to %d are possible", (long long)j->batch, MOST_BATCH);
    if (!(j->max_bad >= 0 && j->max_bad <= 1)) die(RC_USAGE, "--max-bad is a share from 0 to 1");
    if (!strcmp(j->in, j->out) || fs_same(j->in, j->out))
        die(RC_USAGE, "--out '%s' is --in: the input would be overwritten", j->out);
    bool standard = !strcmp(j->command, "text") && !strcmp(j->in, "-");
    if (!standard && !fs_exists(j->in) && !(!strcmp(j->command, "images") && archive_is(j->in)))
        die(RC_USAGE, "cannot open '%s': No such file or directory", j->in);
}

/* "images/" is "images". */
static char *without_slash(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return xasprintf("%.*s", (int)n, path);
}

void job_parse(job_t *j, int argc, char **argv, const char *summary) {
    bool images = !strcmp(argv[0], "images"), text = !strcmp(argv[0], "text");
    *j = (job_t){
        .command = argv[0], .batch = MOST_BATCH, .max_bad = 0.01, .opts = image_opts_default()};
    j->split = 4096;
    j->format = "auto";
    j->image_prefix = "";
    j->image_digits = 12;
    const cli_opt_t common[] = {
        {"--in", CLI_STR, &j->in, "SRC",
         text ? "a text, captions or questions (JSON lines, a JSON array, COCO, VQA, LLaVA, CSV); "
                "may be packed (.gz, .zst), a pipe, or - for stdin"
         : images ? "images: a folder, a WebDataset tar (name-{000..009}.tar, .tar.gz, - for "
                    "stdin), a Minari dataset"
                  : "folder of a Minari dataset, or a D4RL file (HDF5)",
         true},
        {"--out", CLI_STR, &j->out, "X.lmdb",
         "the shard; one that was not finished goes on where it stopped", true},
        {"--model", CLI_STR, &j->model, "RUN", "the tokenizer (not needed for what has no codes)",
         false},
        {"--keep-pixels", CLI_FLAG, &j->keep_pixels, NULL,
         "also keep each image as PNG, as the encoder sees it", false},
        {"--limit", CLI_INT, &j->limit, "N",
         text     ? "only the first N items: lines that are not empty, elements, rows (0 = all)"
         : images ? "only the first N images (0 = all)"
                  : "only the first N episodes (0 = all)",
         false},
        {"--shard", CLI_STR, &j->shard, "I/N",
         "only part I (from 0) of N equal parts, to be merged; auto: as Slurm or MPI says, written "
         "to X.I-of-N.lmdb",
         false},
        {"--batch", CLI_INT, &j->batch, "N", "images encoded at a time; never changes a code",
         false},
        {"--max-bad", CLI_DOUBLE, &j->max_bad, "F",
         images ? "share of unreadable items that is tolerated; of a stream (.tar.gz, stdin) it is "
                  "known at its end "
                  "only, but 0 stops at the first bad item"
                : "share of unreadable items that is tolerated",
         false},
        {"--strict", CLI_FLAG, &j->strict, NULL,
         "stop at the first bad item of any kind: the same as --max-bad 0", false},
        {"--max-map", CLI_U64, &j->max_map, "BYTES", "size that the shard may grow to (0 = 1 TB)",
         false},
        {"--force", CLI_FLAG, &j->force, NULL, "replace an existing shard", false},
        {"--threads", CLI_INT, &j->threads, "N",
         "threads (0 = all processors); never changes a result", false},
        {0},
    };
    const cli_opt_t dedupe[] = {
        {"--dedupe", CLI_FLAG, &j->dedupe, NULL,
         "of images that are alike to the last pixel take the first", false},
        {0},
    };
    const cli_opt_t for_images[] = {
        {"--background", CLI_STR, &j->background, "R,G,B",
         "color behind transparent images (default: the model's, else white)", false},
        {"--max-pixels", CLI_U64, &j->max_pixels, "N",
         "refuse larger images (0 = 100,000,000; those that can be shrunk row by row "
         "1,000,000,000)",
         false},
        {"--lenient", CLI_FLAG, &j->lenient, NULL, IMAGE_LENIENT_HELP, false},
        {"--no-exif", CLI_FLAG, &j->no_exif, NULL,
         "ignore the orientation that a file's EXIF block states (JPEG, PNG, WebP)", false},
        {0},
    };
    const cli_opt_t for_episodes[] = {
        {"--frames", CLI_INT, &j->frames, "K", "keep K consecutive steps of each episode (0 = all)",
         false},
        {"--spread", CLI_FLAG, &j->spread, NULL,
         "one step of each of K equal parts of the episode instead (for policies that see one "
         "step)",
         false},
        {"--head", CLI_FLAG, &j->head, NULL, "the first K steps of the episode instead", false},
        {"--obs", CLI_STR, &j->obs, "MAP",
         "which observations become what: image=KEY,continuous=KEY+KEY,discrete=KEY,text=KEY; KEY "
         "is a path "
         "(arm/camera, "
         "_index_0), of a group for all that fits below it, . for all; the rest is left out "
         "(default: the first "
         "image, "
         "vectors, discrete values, the first text)",
         false},
        {"--lenient", CLI_FLAG, &j->lenient, NULL,
         "take JPEG frames too that end early or hold bad data", false},
        {"--act", CLI_STR, &j->act, "MAP",
         "which actions: continuous=KEY+KEY,discrete=KEY (default: all)", false},
        {0},
    };
    const cli_opt_t for_text[] = {
        {"--format", CLI_STR, &j->format, "F",
         "text, jsonl (an object per line), json (an array), coco, vqa, csv, or auto: by the "
         "content; text takes any bytes as text",
         false},
        {"--caption", CLI_STR, &j->caption, "KEY",
         "the member or column that holds the caption (default: caption, captions, text, "
         "sentences, description)",
         false},
        {"--images", CLI_STR, &j->images, "DIR",
         "where the images lie (default: the folder of --in)", false},
        {"--answers", CLI_STR, &j->answers, "F", "annotations of VQA questions (JSON)", false},
        {"--image-prefix", CLI_STR, &j->image_prefix, "P", "VQA: an image is P, its number, .jpg",
         false},
        {"--image-digits", CLI_INT, &j->image_digits, "N",
         "VQA: digits of that number, with leading zeros", false},
        {"--split", CLI_INT, &j->split, "N",
         "longer lines of text become several records (bytes, 0 = never)", false},
        {0},
    };
    cli_parse(argc, argv, j->command, summary,
              (const cli_opt_t *const[]){common,
                                         text     ? for_text
                                         : images ? dedupe
                                                  : for_episodes,
                                         for_images},
              images || text ? 3 : 2);
    j->in = j->in_clean = without_slash(j->in);
    if (j->strict) j->max_bad = 0;
    parse_shard(j);
    check_options(j);
    pool_set_threads((int)j->threads);
    if (j->model) {
        j->tokenizer = tokenizer_open_or_die(j->model);
        tokenizer_warn_untrained(j->tokenizer, j->model);
        tokenizer_preprocess_background(j->tokenizer, j->opts.background);
    }
    if (j->background && !cli_rgb(j->background, j->opts.background))
        die(RC_USAGE, "--background '%s': R,G,B are needed, three numbers of 0..255",
            j->background);
    if (j->max_pixels) j->opts.max_pixels = j->max_pixels;
    j->opts.lenient = j->lenient;
    j->opts.no_exif = j->no_exif;
    j->opts.notes = &j->notes;
    encoder_want(j->tokenizer, &j->opts);
}

void job_release(job_t *j) {
    tokenizer_free(j->tokenizer);
    free(j->part_out);
    free(j->in_clean);
}

/* ---- the run's part ---- */

void job_range(const job_t *j, size_t n, size_t *first, size_t *count) {
    if (j->limit && n > (size_t)j->limit) n = (size_t)j->limit;
    *first = (size_t)((unsigned __int128)n * j->shard_index / j->shard_count);
    *count = (size_t)((unsigned __int128)n * (j->shard_index + 1) / j->shard_count) - *first;
}

char *job_arguments(const job_t *j, uint64_t manifest) {
    char hash[17];
    jsonw_t w;
    bool text = !strcmp(j->command, "text");
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)manifest);
    jsonw_begin(&w);
    if (j->act) jsonw_str(&w, "act", j->act);
    jsonw_open(&w, "background", '[');
    for (int i = 0; i < 3; i++) jsonw_int(&w, NULL, j->opts.background[i]);
    jsonw_close(&w, ']');
    if (j->caption) jsonw_str(&w, "caption", j->caption);
    jsonw_str(&w, "command", j->command);
    if (j->dedupe) jsonw_bool(&w, "dedupe", true);
    jsonw_str(&w, "fingerprint", j->tokenizer ? tokenizer_fingerprint(j->tokenizer) : NULL);
    if (text) jsonw_str(&w, "format", j->format);
    jsonw_int(&w, "frames", j->frames);
    jsonw_bool(&w, "head", j->head);
    if (text) jsonw_str(&w, "images", j->images);
    jsonw_bool(&w, "keep_pixels", j->keep_pixels);
    jsonw_bool(&w, "lenient", j->opts.lenient);
    jsonw_int(&w, "limit", j->limit);
    jsonw_str(&w, "manifest", hash);
    jsonw_int(&w, "max_pixels", (int64_t)j->opts.max_pixels);
    jsonw_bool(&w, "no_exif", j->opts.no_exif);
    if (j->obs) jsonw_str(&w, "obs", j->obs);
    if (text)
        jsonw_str(&w, "prefix", j->image_prefix), jsonw_int(&w, "prefix_digits", j->image_digits);
    jsonw_open(&w, "shard", '[');
    jsonw_int(&w, NULL, (int64_t)j->shard_index);
    jsonw_int(&w, NULL, (int64_t)j->shard_count);
    jsonw_close(&w, ']');
    jsonw_str(&w, "source", j->in);
    if (text) jsonw_int(&w, "split", j->split);
    jsonw_bool(&w, "spread", j->spread);
    char *json =
        xstrdup(jsonw_end(&w)); /* the keys stand in order and without spaces: canonical already */
    jsonw_free(&w);
    return json;
}

/* Members of the arguments that say where the data lay. What they were says the manifest. */
static const char *const path_members[] = {"images", "source"};

bool job_is_path(const char *member) {
    for (size_t i = 0; i < sizeof path_members / sizeof *path_members; i++)
        if (!strcmp(member, path_members[i])) return true;
    return false;
}

char *job_compared(const char *arguments) {
    cJSON *o = json_parse(arguments, strlen(arguments), false, NULL);
    if (!o) return xstrdup(arguments);
    for (size_t i = 0; i < sizeof path_members / sizeof *path_members; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(o, path_members[i]);
    char *text = json_canonical(o);
    cJSON_Delete(o);
    return text;
}

char *job_source(const char *arguments) {
    cJSON *o = json_parse(arguments, strlen(arguments), false, NULL);
    const char *source = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "source"));
    char *copy = source ? xstrdup(source) : NULL;
    cJSON_Delete(o);
    return copy;
}

/* ---- signals ---- */

void job_catch_signals(void) {
    signals_catch(&(signals_options_t){.usr1_asks_status = false, .take_ignored = false});
}

bool job_stopped(void) {
    return signals_stop_asked();
}
