/* episodes.c - `tokenize episodes`: a record for each episode of a Minari dataset or a D4RL file,
 * or for a window of it.
 *
 * HDF5 is read by one thread ahead of the encoder, which uses all of them; a third writes.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "tokenize/commands.h"
#include "tokenize/encoder.h"
#include "tokenize/episode_fields.h"
#include "tokenize/window.h"
#include "tokenize/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { ROUND = 16, ROUND_BYTES = 64 << 20, KEY_MAX = 32 };

typedef enum { EPISODE_GOOD, EPISODE_EMPTY, EPISODE_BAD, EPISODE_REFUSED } status_t;

typedef struct {
    size_t number, first, T; /* steps first .. first + T - 1 of the arrays */
    size_t first_step;       /* where the first of them stood in the episode */
    size_t image;            /* of the round: T of them */
    status_t status;
    reason_t why;
    recorded_episode_t e;
} episode_t;

typedef struct {
    episode_t episode[ROUND];
    size_t n;
    encoded_t *image;
    size_t n_images, cap;
} round_t;

typedef struct {
    const job_t *job;
    episode_source_t *m;
    episode_fields_t spaces;
    bool images;
    encoder_t encoder;
    writer_t writer;
    size_t *item, n, next; /* numbers of the episodes still to be done */
    uint64_t content;      /* of the first record, and how many are exactly like it */
    size_t records, alike;
} episodes_t;

static const char *key_of(size_t number, char buf[KEY_MAX]) {
    snprintf(buf, KEY_MAX, "episode_%zu", number);
    return buf;
}

/* ---- reading ---- */

/* Drops all steps but `step` (rising, K of them) from the episode's arrays. Its texts stay: the
 * first one counts. */
static void keep_steps(const episode_source_t *m, recorded_episode_t *e, const size_t *step,
                       size_t K) {
    for (size_t k = 0; k < K; k++) {
        size_t t = step[k];
        for (size_t i = 0; i < e->n_obs; i++) {
            size_t n = episode_source_obs(m, i)->count;
            if (e->image[i]) memmove(e->image[i] + k * n, e->image[i] + t * n, n);
            if (e->value[i]) memmove(e->value[i] + k * n, e->value[i] + t * n, n * sizeof(float));
        }
        for (size_t i = 0; i < e->n_act; i++) {
            size_t n = episode_source_act(m, i)->count;
            if (!e->action[i]) continue;
            memmove(e->action[i] + k * n, e->action[i] + t * n, n * sizeof(float));
            if (i > 0 || !e->expert_action) continue;
            memmove(e->expert_action + k * n, e->expert_action + t * n, n * sizeof(float));
        }
        e->rewards[k] = e->rewards[t];
        e->terminated[k] = e->terminated[t];
        e->truncated[k] = e->truncated[t];
    }
}

static void choose_steps(const episodes_t *s, const char *key, episode_t *p) {
    size_t *step = xcalloc(p->e.T, sizeof *step);
    p->T = window_steps(key, p->e.T, (size_t)s->job->frames, job_take(s->job), step);
    p->first_step = step[0];
    if (s->job->spread)
        keep_steps(s->m, &p->e, step, p->T);
    else
        p->first = step[0];
    free(step);
}

static void take_frames(const episodes_t *s, round_t *r, episode_t *p) {
    p->image = r->n_images;
    r->image = xgrow(r->image, &r->cap, r->n_images + p->T, sizeof *r->image);
    for (size_t t = 0; t < p->T; t++)
        r->image[r->n_images++] =
            (encoded_t){.im = episode_fields_frame(&s->spaces, &p->e, p->first + t)};
    for (size_t i = 0; i < p->e.n_obs;
         i++) { /* the frames are copied: they need not wait for the encoder */
        free(p->e.image[i]);
        p->e.image[i] = NULL;
    }
}

/* HDF5 cleans up when the program exits, and the writing thread may end it (die) while an episode
 * is being read: the reader is held back for good before that. */
static pthread_mutex_t hdf5 = PTHREAD_MUTEX_INITIALIZER;
static void hold_reader(void) {
    pthread_mutex_lock(&hdf5);
}

static void read_episode(const episodes_t *s, round_t *r, episode_t *p) {
    char key[KEY_MAX];
    key_of(p->number, key);
    pthread_mutex_lock(&hdf5);
    int unread = episode_source_read(s->m, p->number, &p->e, &p->why);
    pthread_mutex_unlock(&hdf5);
    bool last_word = unread == EPISODE_SOURCE_REFUSED || s->job->strict;
    if (unread) {
        p->status = last_word ? EPISODE_REFUSED : EPISODE_BAD;
    } else if (p->e.T == 0) {
        p->status = EPISODE_EMPTY;
        reason_set(&p->why, "an episode without steps");
    } else if (episode_fields_check(&s->spaces, &p->e, key, &p->why)) {
        p->status = last_word ? EPISODE_REFUSED : EPISODE_BAD;
    } else {
        choose_steps(s, key, p);
        if (s->images) take_frames(s, r, p);
    }
}

static void *next_round(void *ctx) {
    episodes_t *s = ctx;
    if (s->next == s->n || job_stopped()) return NULL;
    round_t *r = NEW(round_t);
    for (size_t bytes = 0; r->n < ROUND && s->next < s->n && bytes < ROUND_BYTES;) {
        episode_t *p = &r->episode[r->n++];
        size_t before = r->n_images;
        p->number = s->item[s->next++];
        read_episode(s, r, p);
        if (r->n_images > before)
            bytes += (r->n_images - before) * r->image[before].im.w * r->image[before].im.h * 3;
        if (p->status == EPISODE_REFUSED) s->next = s->n; /* the last word */
    }
    return r;
}

/* ---- encoding ---- */

typedef struct {
    const episodes_t *s;
    round_t *r;
} encoding_t;

static void prepare(void *ctx, size_t i) {
    const encoding_t *t = ctx;
    encoder_prepare(&t->s->encoder, &t->r->image[i]);
}

static void encode_round(void *ctx, void *item) {
    encoding_t t = {ctx, item};
    parallel_for(t.r->n_images, prepare, &t);
    encoder_run(&t.s->encoder, t.r->image, t.r->n_images);
}

/* ---- writing ---- */

/* The codes and PNG files of all steps, one after another. */
typedef struct {
    uint32_t *codes, *size;
    uint8_t *png;
} strip_t;

static void fill_images(const encoded_t *p, token_record_t *r, strip_t *strip) {
    size_t grid = (size_t)p->grid_h * p->grid_w, bytes = 0;
    r->grid_h = p->grid_h;
    r->grid_w = p->grid_w;
    r->image_h = (uint32_t)p->im.h;
    r->image_w = (uint32_t)p->im.w;
    if (p->codes) {
        r->codes = strip->codes = xmalloc(r->T * grid * sizeof *strip->codes);
        for (size_t t = 0; t < r->T; t++)
            memcpy(strip->codes + t * grid, p[t].codes, grid * sizeof *strip->codes);
    }
    if (!p->png) return;
    for (size_t t = 0; t < r->T; t++) bytes += p[t].png_size;
    r->pixels = strip->png = xmalloc(bytes);
    r->pixel_size = strip->size = xmalloc(r->T * sizeof *strip->size);
    for (size_t t = 0; t < r->T; t++) {
        memcpy(strip->png + r->pixels_bytes, p[t].png, p[t].png_size);
        strip->size[t] = (uint32_t)p[t].png_size;
        r->pixels_bytes += p[t].png_size;
    }
}

static uint64_t hash(uint64_t seed, const void *p, size_t bytes) {
    return p ? XXH64(p, bytes, seed) : seed + 1;
}

/* All that a policy would learn from: records that all agree in it come from a recording that went
 * wrong. */
static void compare_content(episodes_t *s, const token_record_t *r) {
    const shard_meta_t *m = &s->writer.meta;
    size_t T = r->T;
    uint64_t h = hash(T, r->codes, T * r->grid_h * r->grid_w * sizeof *r->codes);
    h = hash(h, r->pixels, r->pixels_bytes);
    h = hash(h, r->text, r->text_len * sizeof *r->text);
    h = hash(h, r->continuous, T * m->n_continuous * sizeof *r->continuous);
    h = hash(h, r->discrete, T * m->n_discrete * sizeof *r->discrete);
    h = hash(h, r->actions, T * m->n_actions * sizeof *r->actions);
    h = hash(h, r->discrete_actions, T * m->n_discrete_actions * sizeof *r->discrete_actions);
    if (!s->records++) s->content = h;
    s->alike += h == s->content;
}

static void write_episode(episodes_t *s, const char *key, const episode_t *p,
                          const encoded_t *images) {
    token_record_t r = {.kind = RECORD_EPISODE, .T = (uint32_t)p->T, .first_step = p->first_step};
    strip_t strip = {0};
    void *arrays;
    episode_fields_fill(&s->spaces, &p->e, p->first, &r, &arrays);
    if (images) fill_images(images, &r, &strip);
    compare_content(s, &r);
    writer_put(&s->writer, key, &r);
    free(strip.codes);
    free(strip.size);
    free(strip.png);
    free(arrays);
}

static void write_round(void *ctx, void *item) {
    episodes_t *s = ctx;
    round_t *r = item;
    char key[KEY_MAX];
    for (size_t i = 0; i < r->n; i++) {
        episode_t *p = &r->episode[i];
        key_of(p->number, key);
        if (p->status == EPISODE_REFUSED) {
            writer_batch(&s->writer); /* what stands before it is good */
            die(RC_DATA, "%s", p->why.text);
        }
        if (p->status == EPISODE_BAD)
            writer_bad(&s->writer, key, p->why.text);
        else if (p->status == EPISODE_EMPTY)
            writer_skip(&s->writer, key, p->why.text);
        else
            write_episode(s, key, p, s->images ? r->image + p->image : NULL);
        recorded_episode_release(&p->e);
    }
    writer_batch(&s->writer);
    progress_step(&s->writer.bar, s->writer.done, NULL);
    for (size_t i = 0; i < r->n_images; i++) encoded_release(&r->image[i]);
    free(r->image);
    free(r);
}

/* ---- the command ---- */

static void run(episodes_t *s, size_t first, size_t count) {
    char key[KEY_MAX];
    s->item = xcalloc(count, sizeof *s->item);
    for (size_t i = first; i < first + count; i++)
        if (!writer_has(&s->writer, key_of(i, key))) s->item[s->n++] = i;
    s->writer.done = count - s->n;
    progress_begin(&s->writer.bar, "tokenize episodes", s->writer.done, count);
    pipeline_run(&(pipeline_t){
        .ctx = s, .read = next_round, .map = encode_round, .write = write_round, .workers = 1});
    progress_end(&s->writer.bar);
    episode_fields_report(&s->spaces);
    if (s->records > 1 && s->alike == s->records)
        warn("'%s': all %zu records are the same: was one episode recorded again and again?",
             s->job->in, s->records);
    free(s->item);
}

int cmd_episodes(int argc, char **argv) {
    job_t job;
    job_parse(&job, argc, argv,
              "codes, observations and actions of recorded episodes: a record each");
    episodes_t s = {.job = &job, .encoder = {job.tokenizer, (size_t)job.batch, job.keep_pixels}};
    s.m = episode_source_open_or_die(job.in);
    episode_source_lenient(s.m, job.lenient);
    if (atexit(hold_reader))
        die(RC_RUNTIME, "out of memory"); /* after HDF5's own: runs before it */
    if (!episode_source_count(s.m)) die(RC_DATA, "'%s': a dataset without episodes", job.in);
    episode_fields_init(&s.spaces, s.m, job.in, job.obs, job.act);
    s.images = s.spaces.image >= 0;
    if (s.images && !job.tokenizer && !job.keep_pixels)
        die(RC_USAGE, "'%s' holds images: --model is needed (or --keep-pixels)", job.in);
    size_t first, count;
    job_range(&job, episode_source_count(s.m), &first, &count);
    writer_init(&s.writer, &job, episode_source_manifest(s.m));
    episode_fields_meta(&s.spaces, &s.writer.meta);
    if (writer_open(&s.writer, count)) run(&s, first, count);
    int rc = writer_close(&s.writer);
    episode_fields_release(&s.spaces);
    episode_source_close(s.m);
    job_release(&job);
    return rc;
}
