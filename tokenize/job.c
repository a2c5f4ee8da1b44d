/* job.c - see job.h. */
#include "tokenize/job.h"

#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/signals.h"
#include "common/io/fs.h"
#include "common/io/source/archive.h"
#include "common/io/text/json.h"
#include "common/io/token_db/task.h"
#include "common/io/utf8.h"
#include "tokenize/encoder.h"
#include "tokenize/part.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BATCH = 32 };

/* ---- checks ---- */

static void parse_shard(job_t *job) {
    part_t part = part_parse(job->shard);
    job->shard_index = part.index;
    job->shard_count = part.count;
    if (!part.automatic) return;
    job->part_out = part_path(job->out, part);
    job->out = job->part_out;
}

static void check_options(const job_t *job) {
    size_t name = job->task ? strlen(job->task) : 0;
    bool named = name && name < TASK_NAME && utf8_check((const uint8_t *)job->task, name) == name;
    if (job->task && !named)
        die(RC_USAGE, "--task '%.40s': 1 to %d bytes of UTF-8 are possible", job->task,
            TASK_NAME - 1);
    if ((job->spread || job->head) && !job->frames)
        die(RC_USAGE, "%s needs --frames", job->spread ? "--spread" : "--head");
    if (job->spread && job->head) die(RC_USAGE, "--spread and --head exclude each other");
    if (job->split < 0 || (job->split && job->split < 8))
        die(RC_USAGE, "--split %lld: at least 8 bytes, or 0 = never", (long long)job->split);
    if (job->image_digits < 0 || job->image_digits > 20)
        die(RC_USAGE, "--image-digits: 0 to 20 are possible");
    if (job->frames < 0 || job->limit < 0) die(RC_USAGE, "--frames and --limit cannot be negative");
    if (job->batch < 1 || job->batch > MOST_BATCH)
        die(RC_USAGE, "--batch %lld: 1 to %d are possible", (long long)job->batch, MOST_BATCH);
    if (job->psnr <= 0) die(RC_USAGE, "--psnr: a number of decibels above 0 is needed");
    if (job->psnr > 0 && !job->model) die(RC_USAGE, "--psnr needs --model");
    if (!(job->max_bad >= 0 && job->max_bad <= 1))
        die(RC_USAGE, "--max-bad is a share from 0 to 1");
    if (!strcmp(job->in, job->out) || fs_same(job->in, job->out))
        die(RC_USAGE, "--out '%s' is --in: the input would be overwritten", job->out);
    bool standard_input = !strcmp(job->command, "text") && !strcmp(job->in, "-");
    bool archive = !strcmp(job->command, "images") && archive_is(job->in);
    if (!standard_input && !archive && !fs_exists(job->in))
        die(RC_USAGE, "cannot open '%s': No such file or directory", job->in);
}

/* "images/" becomes "images"; malloc'ed. */
static char *without_slash(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return xasprintf("%.*s", (int)n, path);
}

/* ---- options ---- */

/* The words of --help that differ by command. */
typedef struct {
    const char *command, *in, *limit, *max_bad;
} help_t;

static const help_t helps[] = {
    {"images",
     "images: a folder, a WebDataset tar (name-{000..009}.tar, .tar.gz, - for stdin), a Minari "
     "dataset",
     "only the first N images (0 = all)",
     "largest share of unreadable items; the share of a stream (.tar.gz, stdin) is known only at "
     "its end, but 0 stops at the first bad item"},
    {"episodes", "folder of a Minari dataset, or a D4RL file (HDF5)",
     "only the first N episodes (0 = all)", "largest share of unreadable items"},
    {"text",
     "a text, captions or questions (JSON lines, a JSON array, COCO, VQA, LLaVA, CSV); may be "
     "packed (.gz, .zst), a pipe, or - for stdin",
     "only the first N items: lines that are not empty, elements, rows (0 = all)",
     "largest share of unreadable items"}};

static const help_t *help_of(const char *command) {
    for (size_t i = 0; i < sizeof helps / sizeof *helps; i++)
        if (!strcmp(command, helps[i].command)) return &helps[i];
    BUG("no help for the command '%s'", command);
}

static void parse_options(job_t *job, int argc, char **argv, const char *summary) {
    bool images = !strcmp(job->command, "images"), text = !strcmp(job->command, "text");
    const help_t *help = help_of(job->command);
    const cli_opt_t common[] = {
        {"--in", CLI_STR, &job->in, "SRC", help->in, true},
        {"--out", CLI_STR, &job->out, "X.lmdb", "the shard to write; an unfinished one is resumed",
         true},
        {"--model", CLI_STR, &job->model, "RUN",
         "the tokenizer (not needed when nothing is to be encoded)", false},
        {"--bpe", CLI_STR, &job->bpe, "PATH",
         "write texts in the tokens of this byte-level BPE: a tokenizer.json, or a folder with one "
         "or with vocab.json and merges.txt (default: bytes)",
         false},
        {"--keep-pixels", CLI_FLAG, &job->keep_pixels, NULL,
         "also keep each image as PNG, as the encoder sees it", false},
        {"--limit", CLI_INT, &job->limit, "N", help->limit, false},
        {"--shard", CLI_STR, &job->shard, "I/N",
         "tokenize only part I (from 0) of N equal parts; `tokenize merge` joins them. auto: Slurm "
         "or MPI gives I and N, and the part goes to X.I-of-N.lmdb",
         false},
        {"--batch", CLI_INT, &job->batch, "N", "images encoded at a time; never changes a code",
         false},
        {"--max-bad", CLI_DOUBLE, &job->max_bad, "F", help->max_bad, false},
        {"--strict", CLI_FLAG, &job->strict, NULL,
         "stop at the first bad item of any kind (the same as --max-bad 0)", false},
        {"--max-map", CLI_U64, &job->max_map, "BYTES", "largest size of the shard file (0 = 1 TB)",
         false},
        {"--force", CLI_FLAG, &job->force, NULL, "replace an existing shard", false},
        {"--threads", CLI_INT, &job->threads, "N",
         "threads (0 = all processors); never changes a result", false},
        {0},
    };
    const cli_opt_t for_records_of_images[] = {
        {"--psnr", CLI_DOUBLE, &job->psnr, "DB",
         "keep only so many first codes of an image as its decoded image needs for this PSNR, all "
         "when it does not reach it (tokenizers with ordered codes: model.kind = causal1d)",
         false},
        {"--dedupe", CLI_FLAG, &job->dedupe, NULL,
         "keep only the first of images whose pixels are all equal", false},
        {0},
    };
    const cli_opt_t for_images[] = {
        {"--background", CLI_STR, &job->background, "R,G,B",
         "color behind transparent images (default: the model's, else white)", false},
        {"--max-pixels", CLI_U64, &job->max_pixels, "N",
         "refuse images with more pixels (0 = 100,000,000; 1,000,000,000 for images that can be "
         "shrunk row by row)",
         false},
        {"--lenient", CLI_FLAG, &job->lenient, NULL, IMAGE_LENIENT_HELP, false},
        {"--no-exif", CLI_FLAG, &job->no_exif, NULL,
         "ignore the orientation that a file's EXIF block states (JPEG, PNG, WebP)", false},
        {0},
    };
    const cli_opt_t for_episodes[] = {
        {"--frames", CLI_INT, &job->frames, "K",
         "keep K consecutive steps of each episode (0 = all)", false},
        {"--spread", CLI_FLAG, &job->spread, NULL,
         "cut the episode into K equal parts and keep one step of each instead (for policies that "
         "see one step)",
         false},
        {"--head", CLI_FLAG, &job->head, NULL, "keep the first K steps of the episode instead",
         false},
        {"--successful", CLI_FLAG, &job->successful, NULL,
         "leave out episodes without a step that is flagged as a success (infos/success)", false},
        {"--task", CLI_STR, &job->task, "NAME",
         "what the policy shall call this body (default: the dataset's id without its version; of "
         "an id with slashes the part before the last: reacher/expert-v0 is reacher)",
         false},
        {"--obs", CLI_STR, &job->obs, "MAP",
         "what each observation becomes: image=KEY+KEY,vector=KEY+KEY,discrete=KEY,text=KEY. KEY "
         "is a path (arm/camera, _index_0), a group (all below it that fits), or . (everything); "
         "the rest is left out (default: all images, vectors, discrete values, the first text)",
         false},
        {"--lenient", CLI_FLAG, &job->lenient, NULL,
         "also take JPEG frames that end early or hold bad data", false},
        {"--act", CLI_STR, &job->act, "MAP",
         "what each action becomes: vector=KEY+KEY,discrete=KEY (default: all)", false},
        {0},
    };
    const cli_opt_t for_text[] = {
        {"--format", CLI_STR, &job->format, "F",
         "text (any bytes), jsonl (one object per line), json (an array), coco, vqa, csv, or auto: "
         "by the content",
         false},
        {"--caption", CLI_STR, &job->caption, "KEY",
         "the member or column that holds the caption (default: caption, captions, text, "
         "sentences, description)",
         false},
        {"--images", CLI_STR, &job->images, "DIR",
         "the folder of the images (default: the folder of --in)", false},
        {"--answers", CLI_STR, &job->answers, "F", "annotations of VQA questions (JSON)", false},
        {"--image-prefix", CLI_STR, &job->image_prefix, "P",
         "VQA: the file of an image is P, its number, .jpg", false},
        {"--image-digits", CLI_INT, &job->image_digits, "N",
         "VQA: digits of that number, with leading zeros", false},
        {"--split", CLI_INT, &job->split, "N",
         "cut longer lines of text into several records (bytes, 0 = never)", false},
        {0},
    };
    const cli_opt_t *tables[3] = {common, for_episodes, NULL};
    if (images || text) {
        tables[1] = images ? for_records_of_images : for_text;
        tables[2] = for_images;
    }
    cli_parse(argc, argv, job->command, summary, tables, tables[2] ? 3 : 2);
}

static void load_text_tokenizer(job_t *job) {
    int rc;
    reason_t why;
    job->text_tokenizer =
        job->bpe ? text_tokenizer_bpe(job->bpe, &rc, &why) : text_tokenizer_bytes();
    if (!job->text_tokenizer) die(rc, "--bpe: %s", why.text);
}

/* The tokenizer's background holds unless --background names one. */
static void load_tokenizer(job_t *job) {
    if (!job->model) return;
    job->tokenizer = tokenizer_open_or_die(job->model);
    tokenizer_warn_untrained(job->tokenizer, job->model);
    tokenizer_preprocess_background(job->tokenizer, job->opts.background);
    if (job->psnr > 0 && !tokenizer_most_kept(job->tokenizer))
        die(RC_USAGE, "--psnr: an image of '%s' needs all of its codes", job->model);
}

static void set_image_options(job_t *job) {
    if (job->background && !cli_rgb(job->background, job->opts.background))
        die(RC_USAGE, "--background '%s': R,G,B are needed, three numbers of 0..255",
            job->background);
    if (job->max_pixels) job->opts.max_pixels = job->max_pixels;
    job->opts.lenient = job->lenient;
    job->opts.no_exif = job->no_exif;
    job->opts.notes = &job->notes;
    encoder_hint_size(job->tokenizer, &job->opts);
}

void job_parse(job_t *job, int argc, char **argv, const char *summary) {
    *job = (job_t){.command = argv[0],
                   .batch = MOST_BATCH,
                   .max_bad = 0.01,
                   .psnr = NAN,
                   .split = 4096,
                   .format = "auto",
                   .image_prefix = "",
                   .image_digits = 12,
                   .opts = image_opts_default()};
    parse_options(job, argc, argv, summary);
    job->in_clean = without_slash(job->in);
    job->in = job->in_clean;
    if (job->strict) job->max_bad = 0;
    parse_shard(job);
    check_options(job);
    pool_set_threads((int)job->threads);
    load_tokenizer(job);
    load_text_tokenizer(job);
    set_image_options(job);
}

void job_release(job_t *job) {
    tokenizer_free(job->tokenizer);
    text_tokenizer_free(job->text_tokenizer);
    free(job->part_out);
    free(job->in_clean);
}

/* ---- part and arguments ---- */

void job_range(const job_t *job, size_t n, size_t *first, size_t *count) {
    if (job->limit && n > (size_t)job->limit) n = (size_t)job->limit;
    *first = (size_t)((unsigned __int128)n * job->shard_index / job->shard_count);
    *count = (size_t)((unsigned __int128)n * (job->shard_index + 1) / job->shard_count) - *first;
}

char *job_arguments(const job_t *job, uint64_t manifest) {
    char hash[17];
    jsonw_t json;
    bool text = !strcmp(job->command, "text");
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)manifest);
    jsonw_begin(&json);
    if (job->act) jsonw_str(&json, "act", job->act);
    jsonw_open(&json, "background", '[');
    for (int i = 0; i < 3; i++) jsonw_int(&json, NULL, job->opts.background[i]);
    jsonw_close(&json, ']');
    if (job->bpe) jsonw_str(&json, "bpe", text_tokenizer_name(job->text_tokenizer));
    if (job->caption) jsonw_str(&json, "caption", job->caption);
    jsonw_str(&json, "command", job->command);
    if (job->dedupe) jsonw_bool(&json, "dedupe", true);
    jsonw_str(&json, "fingerprint", job->tokenizer ? tokenizer_fingerprint(job->tokenizer) : NULL);
    if (text) jsonw_str(&json, "format", job->format);
    jsonw_int(&json, "frames", job->frames);
    jsonw_bool(&json, "head", job->head);
    if (text) jsonw_str(&json, "images", job->images);
    jsonw_bool(&json, "keep_pixels", job->keep_pixels);
    jsonw_bool(&json, "lenient", job->opts.lenient);
    jsonw_int(&json, "limit", job->limit);
    jsonw_str(&json, "manifest", hash);
    jsonw_int(&json, "max_pixels", (int64_t)job->opts.max_pixels);
    jsonw_bool(&json, "no_exif", job->opts.no_exif);
    if (job->obs) jsonw_str(&json, "obs", job->obs);
    if (text) {
        jsonw_str(&json, "prefix", job->image_prefix);
        jsonw_int(&json, "prefix_digits", job->image_digits);
    }
    if (job->psnr > 0) jsonw_num(&json, "psnr", job->psnr);
    jsonw_open(&json, "shard", '[');
    jsonw_int(&json, NULL, (int64_t)job->shard_index);
    jsonw_int(&json, NULL, (int64_t)job->shard_count);
    jsonw_close(&json, ']');
    jsonw_str(&json, "source", job->in);
    if (text) jsonw_int(&json, "split", job->split);
    jsonw_bool(&json, "spread", job->spread);
    if (job->successful) jsonw_bool(&json, "successful", true);
    if (job->task) jsonw_str(&json, "task", job->task);
    /* canonical: the keys stand in order, without spaces */
    char *arguments = xstrdup(jsonw_end(&json));
    jsonw_free(&json);
    return arguments;
}

/* Members of the arguments that say where the data lay; the manifest says which data it was. */
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
