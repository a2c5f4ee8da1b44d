/* text.c - `tokenize text`: writes texts, captions and questions about images as ids of the text
 * tokenizer, each text with its end; with --model the codes of its image stand in the same record.
 *
 * A line of plain text is a record, or several when it is long. A caption is one record, and so is
 * a question with its answer; their key is the path of the image. Items are read in order by one
 * thread, parsed and encoded by all, and written in order while the next round is under way.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "tokenize/commands.h"
#include "tokenize/encoder.h"
#include "tokenize/text_source.h"
#include "tokenize/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROUND = 64, ROUND_BYTES = 8 << 20, COMMIT = 4096 };

typedef enum { LINE_GOOD, LINE_SKIPPED, LINE_BAD } line_status_t;

typedef struct {
    text_item_t item;
    char key[24]; /* of items without an image */
    line_status_t status;
    reason_t why;
} line_t;

typedef struct {
    line_t line[ROUND];
    encoded_t image[ROUND];
    size_t n;
} round_t;

/* The tasks that records may belong to: a text; a text about an image, slot 0 being the image and
 * slot 1 the text; the same for a question with its answer, whose image may be missing. */
typedef enum { TEXT, CAPTION, VQA, TEXT_TASKS } text_task_t;

typedef struct {
    const job_t *job;
    text_source_t *source;
    uint32_t task[TEXT_TASKS]; /* their numbers in the shard */
    bool only_questions;       /* the format has no other items */
    char *folder;              /* of the images */
    encoder_t encoder;
    writer_t writer;
    size_t left;        /* items still to be read */
    size_t uncommitted; /* items */
    bool warned;        /* that images are left out */
    bool named;         /* an item names an image */
} text_run_t;

/* ---- reading ---- */

static void *next_round(void *ctx) {
    text_run_t *run = ctx;
    if (!run->left || job_stopped()) return NULL;
    round_t *round = NEW(round_t);
    for (size_t bytes = 0; round->n < ROUND && run->left && bytes < ROUND_BYTES; run->left--) {
        line_t *line = &round->line[round->n++];
        text_source_next(run->source, &line->item);
        snprintf(line->key, sizeof line->key, "%llu", (unsigned long long)line->item.number);
        bytes += line->item.len + line->item.answer_len;
    }
    return round;
}

static line_status_t line_status_of(image_status_t status) {
    switch (status) {
    case IMAGE_OK:
        return LINE_GOOD;
    case IMAGE_UNSUPPORTED:
        return LINE_SKIPPED;
    default:
        return LINE_BAD;
    }
}

/* A missing image skips its line; one that cannot be read makes it bad. */
static void read_image(const text_run_t *run, line_t *line, encoded_t *image) {
    const char *name = line->item.caption.image;
    char *path = *name == '/' ? xstrdup(name) : fs_join(run->folder, name);
    struct stat st;
    if (stat(path, &st)) {
        int error = errno;
        line->status = error == ENOENT || error == ENOTDIR ? LINE_SKIPPED : LINE_BAD;
        if (line->status == LINE_BAD)
            reason_set(&line->why, "its image: %s", strerror(error));
        else if (!strncmp(name, "data:", 5) || strstr(name, "://"))
            reason_set(&line->why, "its image is an address or base64: save it as a file first");
        else
            reason_set(&line->why, "its image is missing: no '%.300s' (--images DIR says where)",
                       path);
    } else if (run->job->tokenizer || run->job->keep_pixels) {
        image_status_t status = image_read(&image->im, path, &run->job->opts, &line->why);
        line->status = line_status_of(status);
        if (status == IMAGE_OK)
            encoder_prepare(&run->encoder, image);
        else
            image->im = (image_t){0};
    }
    free(path);
}

typedef struct {
    const text_run_t *run;
    round_t *round;
} parsing_t;

static void parse_line(void *ctx, size_t i) {
    const parsing_t *parsing = ctx;
    line_t *line = &parsing->round->line[i];
    if (text_source_parse(parsing->run->source, &line->item, &line->why))
        line->status = LINE_BAD;
    else if (line->item.caption.image)
        read_image(parsing->run, line, &parsing->round->image[i]);
}

static void parse_round(void *ctx, void *item) {
    parsing_t parsing = {ctx, item};
    parallel_for(parsing.round->n, parse_line, &parsing);
    encoder_run(&parsing.run->encoder, parsing.round->image, parsing.round->n);
}

/* ---- writing ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* How many of the n bytes make the next piece, at most `most` (0 = no limit): up to the last space
 * or tab in the second half of it, else up to the last whole character. Where spaces lead the word
 * behind them, all of them begin the next piece, so that pieces have the ids of the whole. */
static size_t piece_length(const char *text, size_t n, size_t most, bool space_leads) {
    if (!most || n <= most) return n;
    for (size_t i = most; i > most / 2; i--) {
        bool leads = is_blank(text[i]) && !is_blank(text[i - 1]);
        if (space_leads ? leads : is_blank(text[i - 1])) return i;
    }
    size_t at = most;
    while (at > most - 4 && ((unsigned char)text[at] & 0xC0) == 0x80) at--;
    return at > most - 4 ? at : most;
}

/* A record per piece of a text without image, all under one key; first_step is where the piece
 * begins, in bytes. last: this is the last text of its item. */
static void write_text(text_run_t *run, const char *key, const caption_text_t *text, bool last) {
    const text_tokenizer_t *tokenizer = run->job->text_tokenizer;
    size_t most = (size_t)run->job->split;
    text_ids_t ids = {0};
    for (size_t at = 0, n = 0; at < text->len; at += n) {
        n = piece_length(text->text + at, text->len - at, most,
                         text_tokenizer_space_leads(tokenizer));
        bool end = at + n == text->len;
        ids.n = 0;
        if (at)
            text_tokenizer_encode_on(tokenizer, text->text + at, n, &ids);
        else
            text_tokenizer_encode(tokenizer, text->text, n, &ids);
        if (end) text_ids_add(&ids, text_tokenizer_end(tokenizer));
        token_record_t record = {.task = run->task[TEXT], .T = 1, .first_step = at};
        record.slot[0] = (slot_data_t){.text = ids.id, .text_len = (uint32_t)ids.n};
        if (end && last)
            writer_put(&run->writer, key, &record);
        else
            writer_add(&run->writer, key, &record);
    }
    text_ids_release(&ids);
}

/* The ids of a caption or of a question with its answer, and their end. Returns how many of them
 * are the question's: the space behind it is given or the answer's, as the tokenizer has it. */
static size_t encode_caption(const text_tokenizer_t *tokenizer, const caption_text_t *text,
                             text_ids_t *ids) {
    size_t given = text->prompt_len;
    if (given && text_tokenizer_space_leads(tokenizer)) given--;
    text_tokenizer_encode(tokenizer, text->text, given, ids);
    size_t question = ids->n;
    text_tokenizer_encode(tokenizer, text->text + given, text->len - given, ids);
    text_ids_add(ids, text_tokenizer_end(tokenizer));
    return question;
}

static void write_caption(text_run_t *run, const char *key, const caption_text_t *text,
                          const encoded_t *image, bool last) {
    uint32_t size = (uint32_t)image->png_size;
    text_ids_t ids = {0};
    size_t given = encode_caption(run->job->text_tokenizer, text, &ids);
    text_task_t task = text->prompt_len || run->only_questions ? VQA : CAPTION;
    token_record_t record = {.task = run->task[task], .T = 1};
    record.slot[0] = (slot_data_t){.grid_h = image->grid_h,
                                   .grid_w = image->grid_w,
                                   .image_h = (uint32_t)image->im.h,
                                   .image_w = (uint32_t)image->im.w,
                                   .codes = image->codes,
                                   .pixels = image->png,
                                   .pixel_size = image->png ? &size : NULL,
                                   .pixels_bytes = image->png_size};
    record.slot[1] =
        (slot_data_t){.text = ids.id, .text_len = (uint32_t)ids.n, .prompt_len = (uint32_t)given};
    if (last)
        writer_put(&run->writer, key, &record);
    else
        writer_add(&run->writer, key, &record);
    text_ids_release(&ids);
}

/* Without a model and without --keep-pixels there is nothing of an image to write but its key. */
static void warn_left_out(text_run_t *run) {
    if (run->warned || run->job->tokenizer || run->job->keep_pixels) return;
    run->warned = true;
    warn("'%s' names images, and only the texts are written: --model RUN adds their codes, "
         "--keep-pixels the images themselves",
         run->job->in);
}

/* Warns when images were asked for and no item, of a kind that may have some, names one. */
static void warn_no_images(const text_run_t *run) {
    bool asked = run->job->tokenizer || run->job->keep_pixels;
    if (!asked || run->named || !run->writer.meta.records) return;
    if (!strcmp(run->job->format, "text")) return;
    warn("'%s': no item names an image (members " CAPTION_IMAGE_NAMES "): only texts are written",
         run->job->in);
}

static bool too_long(const caption_t *caption) {
    for (size_t i = 0; i < caption->n; i++)
        if (caption->text[i].len >= UINT32_MAX) return true;
    return false;
}

static void write_texts(text_run_t *run, const char *key, const caption_t *caption,
                        const encoded_t *image) {
    for (size_t i = 0; i < caption->n; i++) {
        const caption_text_t *text = &caption->text[i];
        bool last = i + 1 == caption->n;
        if (caption->image || text->prompt_len)
            write_caption(run, key, text, image, last);
        else
            write_text(run, key, text, last);
    }
}

static void write_line(text_run_t *run, const line_t *line, const encoded_t *image) {
    const caption_t *caption = &line->item.caption;
    const char *key = caption->image ? caption->image : line->key;
    if (caption->image) run->named = true;
    if (caption->image && line->status == LINE_GOOD) warn_left_out(run);
    if (line->status == LINE_SKIPPED)
        writer_skip(&run->writer, key, line->why.text);
    else if (line->status == LINE_BAD)
        writer_put_bad(&run->writer, key, line->why.text);
    else if (too_long(caption))
        writer_put_bad(&run->writer, key, "a text of more than 4 GB");
    else
        write_texts(run, key, caption, image);
}

static void write_round(void *ctx, void *item) {
    text_run_t *run = ctx;
    round_t *round = item;
    for (size_t i = 0; i < round->n; i++) {
        write_line(run, &round->line[i], &round->image[i]);
        text_item_release(&round->line[i].item);
        encoded_release(&round->image[i]);
    }
    run->uncommitted += round->n;
    if (run->uncommitted >= COMMIT || writer_commit_due(&run->writer)) {
        writer_commit(&run->writer);
        run->uncommitted = 0;
    }
    progress_step(&run->writer.bar, run->writer.done, NULL);
    free(round);
}

/* ---- the command ---- */

static void run_items(text_run_t *run, size_t first, size_t count) {
    size_t before = (size_t)run->writer.items_before;
    if (before > count)
        die(RC_MISFIT, "'%s' holds more items than '%s' has", run->job->out, run->job->in);
    text_source_skip(run->source, first + before);
    run->left = count - before;
    run->writer.done = before;
    progress_begin(&run->writer.bar, "tokenize text", before, count);
    pipeline_run(&(pipeline_t){
        .ctx = run, .read = next_round, .map = parse_round, .write = write_round, .workers = 1});
    writer_commit(&run->writer);
    progress_end(&run->writer.bar);
    if (!job_stopped()) warn_no_images(run);
}

/* Adds the tasks that items of the format may belong to. */
static void add_tasks(text_run_t *run) {
    static const char *const names[TEXT_TASKS] = {"text", "caption", "vqa"};
    tasks_t *tasks = &run->writer.meta.tasks;
    const char *format = run->job->format;
    bool plain = !strcmp(format, "text"), coco = !strcmp(format, "coco");
    run->only_questions = !strcmp(format, "vqa");
    const bool has[TEXT_TASKS] = {!coco && !run->only_questions, !plain && !run->only_questions,
                                  !plain && !coco};
    for (int i = 0; i < TEXT_TASKS; i++) {
        if (!has[i]) continue;
        task_t task = task_new(names[i], RECORD_TEXT);
        if (i != TEXT) task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
        task_add(&task, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
        run->task[i] = (uint32_t)tasks->n;
        tasks_add(tasks, task);
    }
}

/* --images, else the folder of the input: captions usually lie beside their images. malloc'ed. */
static char *folder_of(const job_t *job) {
    if (job->images) return xstrdup(job->images);
    if (!strncmp(job->in, "/dev/", 5)) return xstrdup("."); /* the shell's pipe */
    const char *slash = strrchr(job->in, '/');
    if (!slash) return xstrdup(".");
    return xasprintf("%.*s", slash == job->in ? 1 : (int)(slash - job->in), job->in);
}

int cmd_text(int argc, char **argv) {
    job_t job;
    job_parse(&job, argc, argv,
              "write texts, captions and questions as tokens, a record each, in order");
    if (job.images && !fs_is_dir(job.images))
        die(RC_USAGE, "--images '%s' is not a folder", job.images);
    text_run_t run = {.job = &job,
                      .encoder = {job.tokenizer, (size_t)job.batch, job.keep_pixels},
                      .folder = folder_of(&job)};
    run.source = text_source_open_or_die(&job);
    job.format = text_source_format(run.source);
    log_line("'%s': %s, %zu items", job.in, text_source_what(run.source),
             text_source_count(run.source));
    size_t first, count;
    job_range(&job, text_source_count(run.source), &first, &count);
    writer_init(&run.writer, &job, text_source_manifest(run.source));
    add_tasks(&run);
    if (writer_open(&run.writer, count)) run_items(&run, first, count);
    int rc = writer_close(&run.writer);
    text_source_close(run.source);
    free(run.folder);
    job_release(&job);
    return rc;
}
