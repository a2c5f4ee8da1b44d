/* images.c - `tokenize images`: a record for each picture of a folder, in the order of the source.
 *
 * A round of pictures is read and encoded by all threads, then written while the next one is on its way.
 */
#include "common/base/pool.h"
#include "common/io/image_source.h"
#include "tokenize/commands.h"
#include "tokenize/encoder.h"
#include "tokenize/writer.h"

#include <stdlib.h>
#include <xxhash.h>

enum { ROUND = 64, COMMIT = 256 };

typedef struct {
    image_status_t status;
    reason_t why;
    uint64_t hash; /* of the picture as decoded, for --dedupe */
} outcome_t;

typedef struct {
    size_t first, n; /* of the list */
    picture_t picture[ROUND];
    outcome_t outcome[ROUND];
} round_t;

typedef struct {
    const job_t *job;
    image_source_t *source;
    encoder_t encoder;
    writer_t writer;
    size_t *item, n, next; /* what is still to be done, as numbers of the source */
    size_t uncommitted;
} images_t;

static void *next_round(void *ctx) {
    images_t *s = ctx;
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

static void read_picture(void *ctx, size_t i) {
    const reading_t *t = ctx;
    picture_t *p = &t->r->picture[i];
    outcome_t *o = &t->r->outcome[i];
    o->status = image_source_read(t->s->source, t->s->item[t->r->first + i], &p->im, &t->s->job->opts, &o->why);
    if (o->status == IMAGE_OK && t->s->job->dedupe)
        o->hash = XXH64(p->im.rgb, p->im.w * p->im.h * 3, XXH64(&p->im, 2 * sizeof(size_t), 0));
    if (o->status == IMAGE_OK)
        encoder_prepare(&t->s->encoder, p);
    else
        p->im = (image_t){0};
}

static void encode_round(void *ctx, void *item) {
    reading_t t = {ctx, item};
    parallel_for(t.r->n, read_picture, &t);
    encoder_run(&t.s->encoder, t.r->picture, t.r->n);
}

static void write_picture(images_t *s, const char *key, const picture_t *p, uint64_t hash) {
    uint32_t half[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)};
    uint32_t size = (uint32_t)p->png_size;
    token_record_t r = {.kind = RECORD_IMAGE,
                        .T = 1,
                        .grid_h = p->grid_h,
                        .grid_w = p->grid_w,
                        .image_h = (uint32_t)p->im.h,
                        .image_w = (uint32_t)p->im.w,
                        .codes = p->codes,
                        .pixels = p->png,
                        .pixel_size = p->png ? &size : NULL,
                        .pixels_bytes = p->png_size,
                        .picture_hash = s->job->dedupe ? half : NULL};
    (s->job->dedupe ? writer_put_once : writer_put)(&s->writer, key, &r);
}

static void write_round(void *ctx, void *item) {
    images_t *s = ctx;
    round_t *r = item;
    for (size_t i = 0; i < r->n; i++) {
        const char *key = image_source_key(s->source, s->item[r->first + i]);
        if (r->outcome[i].status == IMAGE_OK)
            write_picture(s, key, &r->picture[i], r->outcome[i].hash);
        else if (r->outcome[i].status == IMAGE_UNSUPPORTED)
            writer_skip(&s->writer, key, r->outcome[i].why.text);
        else
            writer_bad(&s->writer, key, r->outcome[i].why.text);
        picture_release(&r->picture[i]);
    }
    s->uncommitted += r->n;
    if (s->uncommitted >= COMMIT) {
        writer_batch(&s->writer);
        s->uncommitted = 0;
    }
    progress_step(&s->writer.bar, s->writer.done, NULL);
    free(r);
}

static void run(images_t *s, size_t first, size_t count) {
    s->item = xcalloc(count, sizeof *s->item);
    for (size_t i = first; i < first + count; i++)
        if (!writer_has(&s->writer, image_source_key(s->source, i))) s->item[s->n++] = i;
    s->writer.done = count - s->n;
    progress_begin(&s->writer.bar, "tokenize images", s->writer.done, count);
    pipeline_run(&(pipeline_t){.ctx = s, .read = next_round, .map = encode_round, .write = write_round, .workers = 1});
    writer_batch(&s->writer);
    progress_end(&s->writer.bar);
    free(s->item);
}

int cmd_images(int argc, char **argv) {
    job_t job;
    job_parse(&job, argc, argv, "codes of pictures: a record each, in the order of their names");
    if (!job.v && !job.keep_pixels)
        die(RC_USAGE, "--model is needed for codes (or --keep-pixels for a shard of pictures alone)");
    images_t s = {.job = &job, .encoder = {job.v, (size_t)job.batch, job.keep_pixels}};
    s.source = image_source_open(job.in);
    size_t first, count;
    job_range(&job, image_source_count(s.source), &first, &count);
    writer_init(&s.writer, &job, image_source_manifest(s.source));
    /* Pictures of other formats are told by the scan already; once, when the input is cut into parts. */
    if (job.shard_index == 0) s.writer.meta.skipped = image_source_counts(s.source)->unsupported;
    if (writer_open(&s.writer, count)) run(&s, first, count);
    int rc = writer_close(&s.writer);
    image_source_close(s.source);
    job_release(&job);
    return rc;
}
