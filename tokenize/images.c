/* images.c - `tokenize images`: writes a record for each image of a source, in its order, with the
 * words that stand beside it.
 *
 * A round of images is read and encoded by all threads, then written while the next one is under
 * way.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/source/image_source.h"
#include "tokenize/commands.h"
#include "tokenize/encoder.h"
#include "tokenize/stream.h"
#include "tokenize/writer.h"

#include <stdlib.h>
#include <xxhash.h>

enum { ROUND = 64, COMMIT = 256 };

typedef struct {
    image_status_t status;
    reason_t why;
    uint64_t hash; /* of the image as decoded, for --dedupe */
} outcome_t;

typedef struct {
    size_t first, n;                /* first: the place in the run's list of items */
    archive_sample_t sample[ROUND]; /* of a stream instead */
    encoded_t image[ROUND];
    words_t words[ROUND];
    outcome_t outcome[ROUND];
} round_t;

typedef struct {
    const job_t *job;
    image_source_t *source; /* NULL: the stream below is read instead */
    stream_t stream;
    encoder_t encoder;
    writer_t writer;
    size_t *item, n, next; /* of the source: the items still to be done, and how far we are */
    size_t uncommitted;    /* items */
} images_run_t;

static void *read_stream_round(images_run_t *run) {
    if (job_stopped()) return NULL;
    round_t *round = NEW(round_t);
    round->n = stream_read(&run->stream, round->sample, ROUND);
    if (round->n) return round;
    free(round); /* the stream has ended */
    return NULL;
}

static void *next_round(void *ctx) {
    images_run_t *run = ctx;
    if (!run->source) return read_stream_round(run);
    if (run->next == run->n || job_stopped()) return NULL;
    round_t *round = NEW(round_t);
    round->first = run->next;
    round->n = min_size(run->n - run->next, ROUND);
    run->next += round->n;
    return round;
}

typedef struct {
    const images_run_t *run;
    round_t *round;
} reading_t;

/* Decodes a sample of the stream, and frees its bytes. */
static void read_sample(const reading_t *reading, size_t i, image_t *im, outcome_t *outcome) {
    archive_sample_t *sample = &reading->round->sample[i];
    *outcome = (outcome_t){.status = sample->status, .why = sample->why};
    if (outcome->status == IMAGE_OK)
        outcome->status = image_decode(im, sample->image.bytes, sample->image.size,
                                       &reading->run->job->opts, &outcome->why);
    if (outcome->status == IMAGE_OK && words_of(&reading->round->words[i], &sample->text,
                                                &sample->json, &sample->label, &outcome->why)) {
        outcome->status = IMAGE_BAD;
        image_release(im);
    }
    free(sample->image.bytes);
    sample->image.bytes = NULL;
}

/* Reads an item of the source, with its words. */
static void read_item(const reading_t *reading, size_t i, image_t *im, outcome_t *outcome) {
    size_t item = reading->run->item[reading->round->first + i];
    words_t *words = &reading->round->words[i];
    outcome->status =
        image_source_read(reading->run->source, item, im, &reading->run->job->opts, &outcome->why);
    if (outcome->status != IMAGE_OK) return;
    if (image_source_words(reading->run->source, item, words, &outcome->why) == 0) return;
    outcome->status = IMAGE_BAD;
    image_release(im);
}

/* Of the size and the pixels: equal for equal images. */
static uint64_t hash_of(const image_t *im) {
    uint64_t size = XXH64(im, 2 * sizeof(size_t), 0);
    return XXH64(im->rgb, im->w * im->h * 3, size);
}

static void read_image(void *ctx, size_t i) {
    const reading_t *reading = ctx;
    encoded_t *image = &reading->round->image[i];
    outcome_t *outcome = &reading->round->outcome[i];
    if (reading->run->source)
        read_item(reading, i, &image->im, outcome);
    else
        read_sample(reading, i, &image->im, outcome);
    if (outcome->status != IMAGE_OK) {
        image->im = (image_t){0};
        return;
    }
    if (reading->run->job->dedupe) outcome->hash = hash_of(&image->im);
    encoder_prepare(&reading->run->encoder, image);
}

static void encode_round(void *ctx, void *item) {
    reading_t reading = {ctx, item};
    parallel_for(reading.round->n, read_image, &reading);
    encoder_run(&reading.run->encoder, reading.round->image, reading.round->n);
}

/* The caption, else the label, as ids with an end; none without either. */
static text_ids_t text_of(const text_tokenizer_t *tokenizer, const words_t *words) {
    text_ids_t ids = {0};
    const char *text = words->caption_size ? words->caption : words->label;
    size_t size = words->caption_size ? words->caption_size : words->label_size;
    if (!text) return ids;
    text_tokenizer_encode(tokenizer, text, size, &ids);
    text_ids_add(&ids, text_tokenizer_end(tokenizer));
    return ids;
}

static void write_image(images_run_t *run, const char *key, const encoded_t *image,
                        const words_t *words, uint64_t hash) {
    uint32_t half[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)};
    uint32_t size = (uint32_t)image->png_size;
    token_record_t record = {.T = 1,
                             .label = words->label,
                             .label_len = (uint32_t)words->label_size,
                             .image_hash = run->job->dedupe ? half : NULL};
    record.slot[0] = (slot_data_t){.grid_h = image->grid_h,
                                   .grid_w = image->grid_w,
                                   .image_h = (uint32_t)image->im.h,
                                   .image_w = (uint32_t)image->im.w,
                                   .codes = image->codes,
                                   .pixels = image->png,
                                   .pixel_size = image->png ? &size : NULL,
                                   .pixels_bytes = image->png_size};
    text_ids_t text = text_of(run->job->text_tokenizer, words);
    if (text.n) record.slot[1] = (slot_data_t){.text = text.id, .text_len = (uint32_t)text.n};
    if (run->job->dedupe)
        writer_put_once(&run->writer, key, &record);
    else
        writer_put(&run->writer, key, &record);
    text_ids_release(&text);
}

static const char *key_of(const images_run_t *run, const round_t *round, size_t i) {
    if (run->source) return image_source_key(run->source, run->item[round->first + i]);
    return round->sample[i].key;
}

static void write_item(images_run_t *run, const round_t *round, size_t i) {
    const outcome_t *outcome = &round->outcome[i];
    const char *key = key_of(run, round, i);
    if (outcome->status == IMAGE_OK)
        write_image(run, key, &round->image[i], &round->words[i], outcome->hash);
    else if (outcome->status == IMAGE_UNSUPPORTED)
        writer_skip(&run->writer, key, outcome->why.text);
    else
        writer_put_bad(&run->writer, key, outcome->why.text);
}

static void write_round(void *ctx, void *item) {
    images_run_t *run = ctx;
    round_t *round = item;
    for (size_t i = 0; i < round->n; i++) {
        write_item(run, round, i);
        encoded_release(&round->image[i]);
        words_release(&round->words[i]);
        archive_sample_release(&round->sample[i]);
    }
    run->uncommitted += round->n;
    if (run->uncommitted >= COMMIT) {
        writer_commit(&run->writer);
        run->uncommitted = 0;
    }
    progress_step(&run->writer.bar, run->writer.done, NULL);
    free(round);
}

static void run_rounds(images_run_t *run, size_t total) {
    progress_begin(&run->writer.bar, "tokenize images", run->writer.done, total);
    pipeline_run(&(pipeline_t){
        .ctx = run, .read = next_round, .map = encode_round, .write = write_round, .workers = 1});
    if (run->stream.ended)
        run->writer.total =
            run->stream.seen; /* known at the end, and with it the share of bad ones */
    writer_commit(&run->writer);
    progress_end(&run->writer.bar);
}

/* The task of all records: slot 0 the image, slot 1 the words beside it where there may be some. */
static void add_task(images_run_t *run, bool words) {
    task_t task = task_new("image", RECORD_IMAGE);
    task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    if (words) task_add(&task, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    tasks_add(&run->writer.meta.tasks, task);
}

static void run_source(images_run_t *run) {
    size_t first, count;
    run->source = image_source_open_or_die(run->job->in);
    image_source_tell(run->source);
    job_range(run->job, image_source_count(run->source), &first, &count);
    writer_init(&run->writer, run->job, image_source_manifest(run->source));
    add_task(run, image_source_has_words(run->source));
    /* The scan has found the images of other formats; of the parts of an input, the first counts
     * them. */
    if (run->job->shard_index == 0)
        run->writer.meta.skipped = image_source_counts(run->source)->unsupported;
    if (!writer_open(&run->writer, count)) return;
    run->item = xcalloc(count, sizeof *run->item);
    for (size_t i = first; i < first + count; i++)
        if (!writer_has(&run->writer, image_source_key(run->source, i))) run->item[run->n++] = i;
    run->writer.done = count - run->n;
    run_rounds(run, count);
    free(run->item);
}

static void run_stream(images_run_t *run) {
    writer_init(&run->writer, run->job, stream_open_or_die(&run->stream, run->job));
    add_task(run, true);
    if (!writer_open(&run->writer, SIZE_MAX)) return;
    stream_skip(&run->stream, &run->writer);
    run->writer.done = run->stream.seen;
    run_rounds(run, 0);
    found_tell(run->job->in, &run->stream.counts); /* known only at its end */
    if (run->stream.ended && !run->stream.seen)
        die(RC_DATA, "no images found in '%s': it holds no samples", run->job->in);
}

int cmd_images(int argc, char **argv) {
    job_t job;
    job_parse(&job, argc, argv,
              "encode images: a record each, in the order of their names or of the tar");
    if (!job.tokenizer && !job.keep_pixels)
        die(RC_USAGE, "--model is needed for codes (or --keep-pixels for a shard of images alone)");
    images_run_t run = {.job = &job,
                        .encoder = {job.tokenizer, (size_t)job.batch, job.keep_pixels, job.psnr}};
    bool stream = stream_is(job.in);
    if (stream)
        run_stream(&run);
    else
        run_source(&run);
    int rc = writer_close(&run.writer);
    if (stream) stream_close(&run.stream);
    image_source_close(run.source);
    job_release(&job);
    return rc;
}
