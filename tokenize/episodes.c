/* episodes.c - `tokenize episodes`: writes a record for each episode of a Minari dataset or a D4RL
 * file, with all of its steps or those that --frames keeps.
 *
 * One thread reads HDF5 ahead of the encoder, which uses all threads; a third writes.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "tokenize/commands.h"
#include "tokenize/encoder.h"
#include "tokenize/episode_fields.h"
#include "tokenize/kept_steps.h"
#include "tokenize/writer.h"

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
    recorded_episode_t recorded;
} episode_t;

typedef struct {
    episode_t episode[ROUND];
    size_t n;
    encoded_t *image;
    size_t n_images, cap;
} round_t;

typedef struct {
    const job_t *job;
    episode_source_t *source;
    episode_fields_t fields;
    bool images;
    encoder_t encoder;
    writer_t writer;
    size_t *item, n, next; /* numbers of the episodes still to be done */
    uint64_t content;      /* hash of the first record's content */
    size_t records, alike; /* records written, and those with that content */
} episodes_run_t;

static const char *key_of(size_t number, char buf[KEY_MAX]) {
    snprintf(buf, KEY_MAX, "episode_%zu", number);
    return buf;
}

/* ---- reading ---- */

/* Keeps only the steps step[K], which rise, in the arrays of the episode. Its texts stay whole: the
 * first one counts. */
static void keep_steps(const episode_source_t *source, recorded_episode_t *episode,
                       const size_t *step, size_t K) {
    for (size_t k = 0; k < K; k++) {
        size_t t = step[k];
        for (size_t i = 0; i < episode->n_obs; i++) {
            size_t n = episode_source_obs(source, i)->count;
            if (episode->image[i]) memmove(episode->image[i] + k * n, episode->image[i] + t * n, n);
            if (episode->value[i])
                memmove(episode->value[i] + k * n, episode->value[i] + t * n, n * sizeof(float));
        }
        for (size_t i = 0; i < episode->n_act; i++) {
            size_t n = episode_source_act(source, i)->count;
            if (!episode->action[i]) continue;
            memmove(episode->action[i] + k * n, episode->action[i] + t * n, n * sizeof(float));
            if (i > 0 || !episode->expert_action) continue;
            memmove(episode->expert_action + k * n, episode->expert_action + t * n,
                    n * sizeof(float));
        }
        episode->rewards[k] = episode->rewards[t];
        episode->terminated[k] = episode->terminated[t];
        episode->truncated[k] = episode->truncated[t];
    }
}

static void choose_steps(const episodes_run_t *run, const char *key, episode_t *episode) {
    size_t *step = xcalloc(episode->recorded.T, sizeof *step);
    episode->T = kept_steps_find(key, episode->recorded.T, (size_t)run->job->frames,
                                 job_step_choice(run->job), step);
    episode->first_step = step[0];
    if (run->job->spread)
        keep_steps(run->source, &episode->recorded, step, episode->T);
    else
        episode->first = step[0];
    free(step);
}

static void copy_frames(const episodes_run_t *run, round_t *round, episode_t *episode) {
    episode->image = round->n_images;
    round->image =
        xgrow(round->image, &round->cap, round->n_images + episode->T, sizeof *round->image);
    for (size_t t = 0; t < episode->T; t++)
        round->image[round->n_images++] = (encoded_t){
            .im = episode_fields_frame(&run->fields, &episode->recorded, episode->first + t)};
    /* the frames are copied: the episode need not keep its own until they are encoded */
    for (size_t i = 0; i < episode->recorded.n_obs; i++) {
        free(episode->recorded.image[i]);
        episode->recorded.image[i] = NULL;
    }
}

static void read_episode(const episodes_run_t *run, round_t *round, episode_t *episode) {
    char key[KEY_MAX];
    key_of(episode->number, key);
    int unread =
        episode_source_read(run->source, episode->number, &episode->recorded, &episode->why);
    bool refused = unread == EPISODE_SOURCE_REFUSED || run->job->strict;
    if (unread) {
        episode->status = refused ? EPISODE_REFUSED : EPISODE_BAD;
    } else if (episode->recorded.T == 0) {
        episode->status = EPISODE_EMPTY;
        reason_set(&episode->why, "an episode without steps");
    } else if (episode_fields_check(&run->fields, &episode->recorded, key, &episode->why)) {
        episode->status = refused ? EPISODE_REFUSED : EPISODE_BAD;
    } else {
        choose_steps(run, key, episode);
        if (run->images) copy_frames(run, round, episode);
    }
}

static void *next_round(void *ctx) {
    episodes_run_t *run = ctx;
    if (run->next == run->n || job_stopped()) return NULL;
    round_t *round = NEW(round_t);
    size_t bytes = 0;
    while (round->n < ROUND && run->next < run->n && bytes < ROUND_BYTES) {
        episode_t *episode = &round->episode[round->n++];
        size_t before = round->n_images;
        episode->number = run->item[run->next++];
        read_episode(run, round, episode);
        if (round->n_images > before)
            bytes += (round->n_images - before) * round->image[before].im.w *
                     round->image[before].im.h * 3;
        if (episode->status == EPISODE_REFUSED) run->next = run->n; /* nothing is read behind it */
    }
    return round;
}

/* ---- encoding ---- */

typedef struct {
    const episodes_run_t *run;
    round_t *round;
} encoding_t;

static void prepare(void *ctx, size_t i) {
    const encoding_t *encoding = ctx;
    encoder_prepare(&encoding->run->encoder, &encoding->round->image[i]);
}

static void encode_round(void *ctx, void *item) {
    encoding_t encoding = {ctx, item};
    parallel_for(encoding.round->n_images, prepare, &encoding);
    encoder_run(&encoding.run->encoder, encoding.round->image, encoding.round->n_images);
}

/* ---- writing ---- */

/* The codes and PNG files of all steps, one after another. */
typedef struct {
    uint32_t *codes, *size;
    uint8_t *png;
} strip_t;

static void fill_images(const encoded_t *image, token_record_t *record, strip_t *strip) {
    size_t grid = (size_t)image->grid_h * image->grid_w, bytes = 0;
    record->grid_h = image->grid_h;
    record->grid_w = image->grid_w;
    record->image_h = (uint32_t)image->im.h;
    record->image_w = (uint32_t)image->im.w;
    if (image->codes) {
        record->codes = strip->codes = xmalloc(record->T * grid * sizeof *strip->codes);
        for (size_t t = 0; t < record->T; t++)
            memcpy(strip->codes + t * grid, image[t].codes, grid * sizeof *strip->codes);
    }
    if (!image->png) return;
    for (size_t t = 0; t < record->T; t++) bytes += image[t].png_size;
    record->pixels = strip->png = xmalloc(bytes);
    record->pixel_size = strip->size = xmalloc(record->T * sizeof *strip->size);
    for (size_t t = 0; t < record->T; t++) {
        memcpy(strip->png + record->pixels_bytes, image[t].png, image[t].png_size);
        strip->size[t] = (uint32_t)image[t].png_size;
        record->pixels_bytes += image[t].png_size;
    }
}

static uint64_t hash(uint64_t seed, const void *p, size_t bytes) {
    return p ? XXH64(p, bytes, seed) : seed + 1;
}

/* Hashes all that a policy would learn from. A dataset whose records all have one hash is a
 * recording that went wrong. */
static void compare_content(episodes_run_t *run, const token_record_t *record) {
    const shard_meta_t *meta = &run->writer.meta;
    size_t T = record->T;
    uint64_t h =
        hash(T, record->codes, T * record->grid_h * record->grid_w * sizeof *record->codes);
    h = hash(h, record->pixels, record->pixels_bytes);
    h = hash(h, record->text, record->text_len * sizeof *record->text);
    h = hash(h, record->continuous, T * meta->n_continuous * sizeof *record->continuous);
    h = hash(h, record->discrete, T * meta->n_discrete * sizeof *record->discrete);
    h = hash(h, record->actions, T * meta->n_actions * sizeof *record->actions);
    h = hash(h, record->discrete_actions,
             T * meta->n_discrete_actions * sizeof *record->discrete_actions);
    if (!run->records) run->content = h;
    run->records++;
    run->alike += h == run->content;
}

static void write_episode(episodes_run_t *run, const char *key, const episode_t *episode,
                          const encoded_t *images) {
    token_record_t record = {
        .kind = RECORD_EPISODE, .T = (uint32_t)episode->T, .first_step = episode->first_step};
    strip_t strip = {0};
    void *arrays;
    episode_fields_fill(&run->fields, &episode->recorded, episode->first, &record, &arrays);
    if (images) fill_images(images, &record, &strip);
    compare_content(run, &record);
    writer_put(&run->writer, key, &record);
    free(strip.codes);
    free(strip.size);
    free(strip.png);
    free(arrays);
}

static void write_round(void *ctx, void *item) {
    episodes_run_t *run = ctx;
    round_t *round = item;
    char key[KEY_MAX];
    for (size_t i = 0; i < round->n; i++) {
        episode_t *episode = &round->episode[i];
        key_of(episode->number, key);
        if (episode->status == EPISODE_REFUSED) {
            writer_commit(&run->writer); /* the items before it are good */
            die(RC_DATA, "%s", episode->why.text);
        }
        if (episode->status == EPISODE_BAD)
            writer_put_bad(&run->writer, key, episode->why.text);
        else if (episode->status == EPISODE_EMPTY)
            writer_skip(&run->writer, key, episode->why.text);
        else
            write_episode(run, key, episode, run->images ? round->image + episode->image : NULL);
        recorded_episode_release(&episode->recorded);
    }
    writer_commit(&run->writer);
    progress_step(&run->writer.bar, run->writer.done, NULL);
    for (size_t i = 0; i < round->n_images; i++) encoded_release(&round->image[i]);
    free(round->image);
    free(round);
}

/* ---- the command ---- */

static void run_rounds(episodes_run_t *run, size_t first, size_t count) {
    char key[KEY_MAX];
    run->item = xcalloc(count, sizeof *run->item);
    for (size_t i = first; i < first + count; i++)
        if (!writer_has(&run->writer, key_of(i, key))) run->item[run->n++] = i;
    run->writer.done = count - run->n;
    progress_begin(&run->writer.bar, "tokenize episodes", run->writer.done, count);
    pipeline_run(&(pipeline_t){
        .ctx = run, .read = next_round, .map = encode_round, .write = write_round, .workers = 1});
    progress_end(&run->writer.bar);
    episode_fields_report(&run->fields);
    if (run->records > 1 && run->alike == run->records)
        warn("'%s': all %zu records are the same: was one episode recorded again and again?",
             run->job->in, run->records);
    free(run->item);
}

int cmd_episodes(int argc, char **argv) {
    job_t job;
    job_parse(&job, argc, argv,
              "encode recorded episodes: a record each, of codes, observations and actions");
    episodes_run_t run = {.job = &job,
                          .encoder = {job.tokenizer, (size_t)job.batch, job.keep_pixels}};
    run.source = episode_source_open_or_die(job.in);
    episode_source_lenient(run.source, job.lenient);
    if (!episode_source_count(run.source)) die(RC_DATA, "'%s' has no episodes", job.in);
    episode_fields_init(&run.fields, run.source, job.in, job.obs, job.act);
    run.images = run.fields.image >= 0;
    if (run.images && !job.tokenizer && !job.keep_pixels)
        die(RC_USAGE, "'%s' holds images: --model is needed (or --keep-pixels)", job.in);
    size_t first, count;
    job_range(&job, episode_source_count(run.source), &first, &count);
    writer_init(&run.writer, &job, episode_source_manifest(run.source));
    episode_fields_meta(&run.fields, &run.writer.meta);
    if (writer_open(&run.writer, count)) run_rounds(&run, first, count);
    int rc = writer_close(&run.writer);
    episode_fields_release(&run.fields);
    episode_source_close(run.source);
    job_release(&job);
    return rc;
}
