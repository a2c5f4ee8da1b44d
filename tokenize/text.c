/* text.c - `tokenize text`: texts, captions and questions about images as byte tokens, each ended
 * by id 256; with --model an image's codes stand in its record.
 *
 * A line of plain text is a record, or several when it is long; a caption or a question with its
 * answer is one, under the key of its image.
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

enum { ROUND = 64, ROUND_BYTES = 8 << 20, COMMIT = 4096, END_OF_TEXT = 256 };

typedef enum { LINE_GOOD, LINE_SKIPPED, LINE_BAD } status_t;

typedef struct {
    text_item_t item;
    char key[24]; /* of items without an image */
    status_t status;
    reason_t why;
} line_t;

typedef struct {
    line_t line[ROUND];
    encoded_t image[ROUND];
    size_t n;
} round_t;

typedef struct {
    const job_t *job;
    text_source_t *source;
    char *images; /* folder of the images */
    encoder_t encoder;
    writer_t writer;
    size_t left; /* items still to be read */
    size_t uncommitted;
    bool told; /* that images are left out */
} text_t;

/* ---- reading ---- */

static void *next_round(void *ctx) {
    text_t *s = ctx;
    if (!s->left || job_stopped()) return NULL;
    round_t *r = NEW(round_t);
    for (size_t bytes = 0; r->n < ROUND && s->left && bytes < ROUND_BYTES; s->left--) {
        line_t *l = &r->line[r->n++];
        text_source_next(s->source, &l->item);
        snprintf(l->key, sizeof l->key, "%llu", (unsigned long long)l->item.number);
        bytes += l->item.len + l->item.answer_len;
    }
    return r;
}

static void read_image(const text_t *s, line_t *l, encoded_t *p) {
    const char *image = l->item.caption.image;
    char *path = *image == '/' ? xstrdup(image) : fs_join(s->images, image);
    struct stat st;
    if (stat(path, &st)) {
        int error = errno;
        l->status = error == ENOENT || error == ENOTDIR ? LINE_SKIPPED : LINE_BAD;
        if (l->status == LINE_BAD)
            reason_set(&l->why, "its image: %s", strerror(error));
        else
            reason_set(&l->why, "its image is missing: no '%.300s' (--images DIR says where)",
                       path);
    } else if (s->job->tokenizer || s->job->keep_pixels) {
        image_status_t status = image_read(&p->im, path, &s->job->opts, &l->why);
        l->status = status == IMAGE_OK            ? LINE_GOOD
                    : status == IMAGE_UNSUPPORTED ? LINE_SKIPPED
                                                  : LINE_BAD;
        if (status == IMAGE_OK)
            encoder_prepare(&s->encoder, p);
        else
            p->im = (image_t){0};
    }
    free(path);
}

typedef struct {
    const text_t *s;
    round_t *r;
} mapping_t;

static void map_line(void *ctx, size_t i) {
    const mapping_t *m = ctx;
    line_t *l = &m->r->line[i];
    if (text_source_parse(m->s->source, &l->item, &l->why))
        l->status = LINE_BAD;
    else if (l->item.caption.image)
        read_image(m->s, l, &m->r->image[i]);
}

static void map_round(void *ctx, void *item) {
    mapping_t m = {ctx, item};
    parallel_for(m.r->n, map_line, &m);
    encoder_run(&m.s->encoder, m.r->image, m.r->n);
}

/* ---- writing ---- */

/* Where a piece of at most `most` bytes ends: after the last space or line end of its second half,
 * else before a character. */
static size_t piece_length(const char *text, size_t n, size_t most) {
    if (!most || n <= most) return n;
    for (size_t i = most; i > most / 2; i--)
        if (text[i - 1] == ' ' || text[i - 1] == '\t') return i;
    size_t at = most;
    while (at > most - 4 && ((unsigned char)text[at] & 0xC0) == 0x80) at--;
    return at > most - 4 ? at : most;
}

/* Bytes as ids; `end`: closed by END_OF_TEXT. */
static uint32_t *ids_of(const char *text, size_t n, bool end) {
    uint32_t *id = xmalloc((n + 1) * sizeof *id);
    for (size_t i = 0; i < n; i++) id[i] = (unsigned char)text[i];
    if (end) id[n] = END_OF_TEXT;
    return id;
}

/* The pieces of a text without image, all under one key; first_step says where a piece begins.
 * last: of the item's texts. */
static void write_text(text_t *s, const char *key, const caption_text_t *c, bool last) {
    for (size_t at = 0, n; at < c->len; at += n) {
        n = piece_length(c->text + at, c->len - at, (size_t)s->job->split);
        bool end = at + n == c->len;
        uint32_t *id = ids_of(c->text + at, n, end);
        token_record_t r = {.kind = RECORD_TEXT,
                            .T = 1,
                            .first_step = at,
                            .text = id,
                            .text_len = (uint32_t)(n + end)};
        if (end && last)
            writer_put(&s->writer, key, &r);
        else
            writer_add(&s->writer, key, &r);
        free(id);
    }
}

static void write_caption(text_t *s, const char *key, const caption_text_t *c, const encoded_t *p,
                          bool last) {
    uint32_t size = (uint32_t)p->png_size, *id = ids_of(c->text, c->len, true);
    token_record_t r = {.kind = RECORD_TEXT,
                        .T = 1,
                        .grid_h = p->grid_h,
                        .grid_w = p->grid_w,
                        .image_h = (uint32_t)p->im.h,
                        .image_w = (uint32_t)p->im.w,
                        .codes = p->codes,
                        .text = id,
                        .text_len = (uint32_t)(c->len + 1),
                        .prompt_len = (uint32_t)c->prompt_len,
                        .pixels = p->png,
                        .pixel_size = p->png ? &size : NULL,
                        .pixels_bytes = p->png_size};
    if (last)
        writer_put(&s->writer, key, &r);
    else
        writer_add(&s->writer, key, &r);
    free(id);
}

/* Without a model and without --keep-pixels there is nothing of an image to write but its key. */
static void tell_images(text_t *s) {
    if (s->told || s->job->tokenizer || s->job->keep_pixels) return;
    s->told = true;
    warn("'%s' names images, and only the texts are written: --model RUN adds their codes, "
         "--keep-pixels the images themselves",
         s->job->in);
}

static bool too_long(const caption_t *c) {
    size_t most = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->text[i].len > most) most = c->text[i].len;
    return most >= UINT32_MAX;
}

static void write_line(text_t *s, line_t *l, const encoded_t *p) {
    const caption_t *c = &l->item.caption;
    const char *key = c->image ? c->image : l->key;
    if (c->image && l->status == LINE_GOOD) tell_images(s);
    if (l->status == LINE_SKIPPED) {
        writer_skip(&s->writer, key, l->why.text);
    } else if (l->status == LINE_BAD) {
        writer_put_bad(&s->writer, key, l->why.text);
    } else if (too_long(c)) {
        writer_put_bad(&s->writer, key, "a text of more than 4 GB");
    } else {
        for (size_t i = 0; i < c->n; i++) {
            const caption_text_t *t = &c->text[i];
            bool last = i + 1 == c->n;
            if (c->image || t->prompt_len)
                write_caption(s, key, t, p, last);
            else
                write_text(s, key, t, last);
        }
    }
}

static void write_round(void *ctx, void *item) {
    text_t *s = ctx;
    round_t *r = item;
    for (size_t i = 0; i < r->n; i++) {
        write_line(s, &r->line[i], &r->image[i]);
        text_item_release(&r->line[i].item);
        encoded_release(&r->image[i]);
    }
    s->uncommitted += r->n;
    if (s->uncommitted >= COMMIT || writer_commit_due(&s->writer)) {
        writer_commit(&s->writer);
        s->uncommitted = 0;
    }
    progress_step(&s->writer.bar, s->writer.done, NULL);
    free(r);
}

/* ---- the command ---- */

static void run(text_t *s, size_t first, size_t count) {
    size_t before = (size_t)s->writer.items_before;
    if (before > count)
        die(RC_MISFIT, "'%s' holds more items than '%s' has", s->job->out, s->job->in);
    text_source_skip(s->source, first + before);
    s->left = count - before;
    s->writer.done = before;
    progress_begin(&s->writer.bar, "tokenize text", before, count);
    pipeline_run(&(pipeline_t){
        .ctx = s, .read = next_round, .map = map_round, .write = write_round, .workers = 1});
    writer_commit(&s->writer);
    progress_end(&s->writer.bar);
}

/* The folder of the input, where captions usually lie beside their images. */
static char *folder_of(const job_t *j) {
    if (j->images) return xstrdup(j->images);
    if (!strncmp(j->in, "/dev/", 5)) return xstrdup("."); /* a pipe of the shell's */
    const char *slash = strrchr(j->in, '/');
    return slash ? xasprintf("%.*s", slash == j->in ? 1 : (int)(slash - j->in), j->in)
                 : xstrdup(".");
}

int cmd_text(int argc, char **argv) {
    job_t job;
    job_parse(&job, argc, argv,
              "texts, captions and questions as byte tokens: a record each, in order");
    if (job.images && !fs_is_dir(job.images))
        die(RC_USAGE, "--images '%s' is no folder", job.images);
    text_t s = {.job = &job,
                .encoder = {job.tokenizer, (size_t)job.batch, job.keep_pixels},
                .images = folder_of(&job)};
    s.source = text_source_open(&job);
    job.format = text_source_format(s.source);
    log_line("'%s': %s, %zu items", job.in, text_source_what(s.source),
             text_source_count(s.source));
    size_t first, count;
    job_range(&job, text_source_count(s.source), &first, &count);
    writer_init(&s.writer, &job, text_source_manifest(s.source));
    if (writer_open(&s.writer, count)) run(&s, first, count);
    int rc = writer_close(&s.writer);
    text_source_close(s.source);
    free(s.images);
    job_release(&job);
    return rc;
}
