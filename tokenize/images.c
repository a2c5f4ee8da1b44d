/* images.c - `tokenize images`: a record for each image of a source, in its order, with the words
 * that stand beside it.
 *
 * A round of images is read and encoded by all threads, then written while the next one is on its
 * way.
 */
#include "common/base/pool.h"
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
    size_t first, n;                /* of the list */
    archive_sample_t sample[ROUND]; /* of a stream */
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
    size_t *item, n, next; /* what is still to be done, as numbers of the source */
    size_t uncommitted;
} images_t;

static void *next_of_stream(images_t *s) {
    if (job_stopped()) return NULL;
    round_t *r = NEW(round_t);
    r->n = stream_take(&s->stream, r->sample, ROUND);
    if (r->n) return r;
    free(r);
    return NULL;
}

static void *next_round(void *ctx) {
    images_t *s = ctx;
    if (!s->source) return next_of_stream(s);
    if (s->next == s->n || job_stopped()) return NULL;
    round_t *r = NEW(round_t);
    r->first = s->next;
    r->n = s->n - s->next < ROUND ? s->n - s->next : ROUND;
    s->next += r->n;
    return r;
}

typedef struct {
    const images_t *s;
    round_t *r;
} reading_t;

/* A sample's bytes are let go as soon as they are pixels. */
static void read_sample(const reading_t *t, size_t i, image_t *im, outcome_t *o) {
    archive_sample_t *sample = &t->r->sample[i];
    *o = (outcome_t){.status = sample->status, .why = sample->why};
    if (o->status == IMAGE_OK)
        o->status =
            image_decode(im, sample->image.bytes, sample->image.size, &t->s->job->opts, &o->why);
    if (o->status == IMAGE_OK)
        t->r->words[i] = words_of(&sample->text, &sample->json, &sample->label);
    free(sample->image.bytes);
    sample->image.bytes = NULL;
}

static void read_item(const reading_t *t, size_t i, image_t *im, outcome_t *o) {
    size_t item = t->s->item[t->r->first + i];
    o->status = image_source_read(t->s->source, item, im, &t->s->job->opts, &o->why);
    if (o->status != IMAGE_OK ||
        image_source_words(t->s->source, item, &t->r->words[i], &o->why) == 0)
        return;
    o->status = IMAGE_BAD;
    image_release(im);
}

static void read_image(void *ctx, size_t i) {
    const reading_t *t = ctx;
    encoded_t *p = &t->r->image[i];
    outcome_t *o = &t->r->outcome[i];
    if (t->s->source)
        read_item(t, i, &p->im, o);
    else
        read_sample(t, i, &p->im, o);
    if (o->status == IMAGE_OK && t->s->job->dedupe)
        o->hash = XXH64(p->im.rgb, p->im.w * p->im.h * 3, XXH64(&p->im, 2 * sizeof(size_t), 0));
    if (o->status == IMAGE_OK)
        encoder_prepare(&t->s->encoder, p);
    else
        p->im = (image_t){0};
}

static void encode_round(void *ctx, void *item) {
    reading_t t = {ctx, item};
    parallel_for(t.r->n, read_image, &t);
    encoder_run(&t.s->encoder, t.r->image, t.r->n);
}

/* Byte text with its end; an image with a class alone is called by it. malloc'ed, NULL = nothing
 * to say. */
static uint32_t *text_of(const words_t *w, uint32_t *n) {
    enum { END_OF_TEXT = 256 };
    const char *said = w->caption_size ? w->caption : w->label;
    size_t size = w->caption_size ? w->caption_size : w->label_size;
    *n = said ? (uint32_t)size + 1 : 0;
    if (!said) return NULL;
    uint32_t *id = xmalloc(*n * sizeof *id);
    for (size_t i = 0; i < size; i++) id[i] = (uint8_t)said[i];
    id[size] = END_OF_TEXT;
    return id;
}

static void write_image(images_t *s, const char *key, const encoded_t *p, const words_t *words,
                        uint64_t hash) {
    uint32_t half[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)};
    uint32_t size = (uint32_t)p->png_size;
    token_record_t r = {.kind = RECORD_IMAGE,
                        .T = 1,
                        .grid_h = p->grid_h,
                        .grid_w = p->grid_w,
                        .image_h = (uint32_t)p->im.h,
                        .image_w = (uint32_t)p->im.w,
                        .codes = p->codes,
                        .label = words->label,
                        .label_len = (uint32_t)words->label_size,
                        .pixels = p->png,
                        .pixel_size = p->png ? &size : NULL,
                        .pixels_bytes = p->png_size,
                        .image_hash = s->job->dedupe ? half : NULL};
    uint32_t *text = text_of(words, &r.text_len);
    r.text = text;
    (s->job->dedupe ? writer_put_once : writer_put)(&s->writer, key, &r);
    free(text);
}

static void write_round(void *ctx, void *item) {
    images_t *s = ctx;
    round_t *r = item;
    for (size_t i = 0; i < r->n; i++) {
        const char *key =
            s->source ? image_source_key(s->source, s->item[r->first + i]) : r->sample[i].key;
        if (r->outcome[i].status == IMAGE_OK)
            write_image(s, key, &r->image[i], &r->words[i], r->outcome[i].hash);
        else if (r->outcome[i].status == IMAGE_UNSUPPORTED)
            writer_skip(&s->writer, key, r->outcome[i].why.text);
        else
            writer_bad(&s->writer, key, r->outcome[i].why.text);
        encoded_release(&r->image[i]);
        words_release(&r->words[i]);
        archive_sample_release(&r->sample[i]);
    }
    s->uncommitted += r->n;
    if (s->uncommitted >= COMMIT) {
        writer_batch(&s->writer);
        s->uncommitted = 0;
    }
    progress_step(&s->writer.bar, s->writer.done, NULL);
    free(r);
}

static void run(images_t *s, size_t total) {
    progress_begin(&s->writer.bar, "tokenize images", s->writer.done, total);
    pipeline_run(&(pipeline_t){
        .ctx = s, .read = next_round, .map = encode_round, .write = write_round, .workers = 1});
    if (s->stream.ended)
        s->writer.total = s->stream.seen; /* now it is known, and the share of bad ones too */
    writer_batch(&s->writer);
    progress_end(&s->writer.bar);
}

static void run_source(images_t *s) {
    size_t first, count;
    s->source = image_source_open_or_die(s->job->in);
    image_source_tell(s->source);
    job_range(s->job, image_source_count(s->source), &first, &count);
    writer_init(&s->writer, s->job, image_source_manifest(s->source));
    /* Images of other formats are told by the scan already; once, when the input is cut into
     * parts. */
    if (s->job->shard_index == 0)
        s->writer.meta.skipped = image_source_counts(s->source)->unsupported;
    if (!writer_open(&s->writer, count)) return;
    s->item = xcalloc(count, sizeof *s->item);
    for (size_t i = first; i < first + count; i++)
        if (!writer_has(&s->writer, image_source_key(s->source, i))) s->item[s->n++] = i;
    s->writer.done = count - s->n;
    run(s, count);
    free(s->item);
}

static void run_stream(images_t *s) {
    writer_init(&s->writer, s->job, stream_open(&s->stream, s->job));
    if (!writer_open(&s->writer, SIZE_MAX)) return;
    stream_skip(&s->stream, &s->writer);
    s->writer.done = s->stream.seen;
    run(s, 0);
    found_tell(s->job->in, &s->stream.counts); /* known at its end only */
    if (s->stream.ended && !s->stream.seen)
        die(RC_DATA, "no images found in '%s': it holds no samples", s->job->in);
}

int cmd_images(int argc, char **argv) {
    job_t job;
    job_parse(&job, argc, argv,
              "codes of images: a record each, in the order of their names or of a tar");
    if (!job.tokenizer && !job.keep_pixels)
        die(RC_USAGE, "--model is needed for codes (or --keep-pixels for a shard of images alone)");
    images_t s = {.job = &job, .encoder = {job.tokenizer, (size_t)job.batch, job.keep_pixels}};
    bool stream = stream_is(job.in);
    if (stream)
        run_stream(&s);
    else
        run_source(&s);
    int rc = writer_close(&s.writer);
    if (stream) stream_close(&s.stream);
    image_source_close(s.source);
    job_release(&job);
    return rc;
}
