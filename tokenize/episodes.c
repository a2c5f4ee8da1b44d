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

typedef enum {
    EPISODE_GOOD,
    EPISODE_EMPTY,
    EPISODE_FAILED, /* --successful: no step is a success */
    EPISODE_BAD,
    EPISODE_REFUSED
} status_t;

typedef struct {
    size_t number, first, T; /* steps first .. first + T - 1 of the arrays */
    size_t first_step;       /* where the first of them stood in the episode */
    size_t image;            /* of the round: n_images slots of T each, slot after slot */
    status_t status;
    reason_t why;
    recorded_episode_t recorded;
} episode_t;

typedef struct {
    episode_t episode[ROUND];
    size_t n;
    encoded_t *image;
    size_t n_images, cap;
    size_t bytes; /* of their pixels */
} round_t;

typedef struct {
    const job_t *job;
    episode_source_t *source;
    episode_fields_t fields;
    encoder_t encoder;
    writer_t writer;
    size_t *item, n, next; /* numbers of the episodes still to be done */
    uint64_t content;      /* hash of the first record's content */
    size_t records, alike; /* records written, and those with that content */
    size_t failed;         /* episodes left out by --successful */
} episodes_run_t;

static const char *key_of(size_t number, char buf[KEY_MAX]) {
    snprintf(buf, KEY_MAX, "episode_%zu", number);
    return buf;
}

/* ---- reading ---- */

/* Row t of an array becomes row k; NULL has no rows. */
static void move_row(void *array, size_t k, size_t t, size_t bytes) {
    if (array) memmove((uint8_t *)array + k * bytes, (uint8_t *)array + t * bytes, bytes);
}

/* Keeps only the steps step[K], which rise, in the arrays of the episode. Its texts stay whole: the
 * first one counts. */
static void keep_steps(const episode_source_t *source, recorded_episode_t *episode,
                       const size_t *step, size_t K) {
    for (size_t k = 0; k < K; k++) {
        size_t t = step[k];
        for (size_t i = 0; i < episode->n_obs; i++) {
            size_t n = episode_source_obs(source, i)->count;
            move_row(episode->image[i], k, t, n);
            move_row(episode->value[i], k, t, n * sizeof(float));
            if (!episode->text[i]) move_row(episode->present[i], k, t, 1);
        }
        for (size_t i = 0; i < episode->n_act; i++) {
            size_t n = episode_source_act(source, i)->count;
            move_row(episode->action[i], k, t, n * sizeof(float));
            move_row(episode->expert_action[i], k, t, n * sizeof(float));
        }
        move_row(episode->rewards, k, t, sizeof *episode->rewards);
        move_row(episode->terminated, k, t, 1);
        move_row(episode->truncated, k, t, 1);
        move_row(episode->success, k, t, 1);
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
    size_t n = run->fields.n_images * episode->T;
    episode->image = round->n_images;
    round->image = xgrow(round->image, &round->cap, round->n_images + n, sizeof *round->image);
    for (size_t i = 0; i < n; i++) {
        image_t im = episode_fields_frame(&run->fields, &episode->recorded, i / episode->T,
                                          episode->first + i % episode->T);
        round->image[round->n_images++] = (encoded_t){.im = im};
        round->bytes += im.w * im.h * 3;
    }
    /* the frames are copied: the episode need not keep its own until they are encoded */
    for (size_t i = 0; i < episode->recorded.n_obs; i++) {
        free(episode->recorded.image[i]);
        episode->recorded.image[i] = NULL;
    }
}

static bool succeeded(const recorded_episode_t *episode) {
    return memchr(episode->success, 1, episode->T) != NULL;
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
    } else if (run->job->successful && !episode->recorded.success) {
        episode->status = EPISODE_REFUSED;
        reason_set(&episode->why, "'%s': %s says nothing of success, which --successful asks for",
                   run->job->in, key);
    } else if (run->job->successful && !succeeded(&episode->recorded)) {
        episode->status = EPISODE_FAILED;
    } else {
        choose_steps(run, key, episode);
        copy_frames(run, round, episode);
    }
}

static void *next_round(void *ctx) {
    episodes_run_t *run = ctx;
    if (run->next == run->n || job_stopped()) return NULL;
    round_t *round = NEW(round_t);
    while (round->n < ROUND && run->next < run->n && round->bytes < ROUND_BYTES) {
        episode_t *episode = &round->episode[round->n++];
        episode->number = run->item[run->next++];
        read_episode(run, round, episode);
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
    encoded_t *image = &encoding->round->image[i];
    if (image->im.rgb) encoder_prepare(&encoding->run->encoder, image);
}

static void encode_round(void *ctx, void *item) {
    encoding_t encoding = {ctx, item};
    parallel_for(encoding.round->n_images, prepare, &encoding);
    encoder_run(&encoding.run->encoder, encoding.round->image, encoding.round->n_images);
}

/* ---- writing ---- */

/* The codes of the T images of a slot, one after another; missing ones stay 0. */
static uint32_t *join_codes(const encoded_t *image, size_t T, size_t grid,
                            episode_arrays_t *arrays) {
    uint32_t *codes = episode_arrays_add(arrays, T * grid, sizeof *codes);
    for (size_t t = 0; t < T; t++)
        if (image[t].codes) memcpy(codes + t * grid, image[t].codes, grid * sizeof *codes);
    return codes;
}

/* Their PNG files likewise. */
static void join_pixels(const encoded_t *image, size_t T, slot_data_t *data,
                        episode_arrays_t *arrays) {
    size_t bytes = 0, at = 0;
    for (size_t t = 0; t < T; t++) bytes += image[t].png_size;
    uint8_t *pixels = episode_arrays_add(arrays, bytes, 1);
    uint32_t *size = episode_arrays_add(arrays, T, sizeof *size);
    for (size_t t = 0; t < T; t++) {
        if (image[t].png) memcpy(pixels + at, image[t].png, image[t].png_size);
        size[t] = (uint32_t)image[t].png_size;
        at += image[t].png_size;
    }
    data->pixels = pixels;
    data->pixel_size = size;
    data->pixels_bytes = bytes;
}

static bool any_there(const encoded_t *image, size_t T) {
    for (size_t t = 0; t < T; t++)
        if (image[t].im.rgb) return true;
    return false;
}

static void fill_images(const episodes_run_t *run, const encoded_t *image, token_record_t *record,
                        episode_arrays_t *arrays) {
    size_t T = record->T;
    for (size_t k = 0; k < run->fields.n_images; k++, image += T) {
        const slot_t *slot = &run->fields.task.slot[k];
        slot_data_t *data = &record->slot[k];
        if (!any_there(image, T)) continue;
        data->grid_h = slot->grid_h;
        data->grid_w = slot->grid_w;
        data->image_h = slot->image_h;
        data->image_w = slot->image_w;
        if (run->encoder.tokenizer)
            data->codes = join_codes(image, T, (size_t)slot->grid_h * slot->grid_w, arrays);
        if (run->encoder.keep) join_pixels(image, T, data, arrays);
    }
}

static uint64_t hash(uint64_t seed, const void *p, size_t bytes) {
    return p ? XXH64(p, bytes, seed) : seed + 1;
}

/* Hashes all that a policy would learn from. A dataset whose records all have one hash is a
 * recording that went wrong. */
static void compare_content(episodes_run_t *run, const token_record_t *record) {
    const task_t *task = &run->fields.task;
    uint64_t h = record->T;
    for (uint32_t s = 0; s < task->n_slots; s++) {
        const slot_data_t *data = &record->slot[s];
        size_t T = record->T, width = task->slot[s].width;
        h = hash(h, data->codes, T * data->grid_h * data->grid_w * sizeof *data->codes);
        h = hash(h, data->pixels, data->pixels_bytes);
        h = hash(h, data->text, data->text_len * sizeof *data->text);
        h = hash(h, data->vector, T * width * sizeof *data->vector);
        h = hash(h, data->discrete, T * width * sizeof *data->discrete);
    }
    if (!run->records) run->content = h;
    run->records++;
    run->alike += h == run->content;
}

static void write_episode(episodes_run_t *run, const char *key, const episode_t *episode,
                          const encoded_t *images) {
    token_record_t record = {.T = (uint32_t)episode->T, .first_step = episode->first_step};
    episode_arrays_t arrays = {0};
    episode_fields_fill(&run->fields, &episode->recorded, episode->first, &record, &arrays);
    fill_images(run, images, &record, &arrays);
    compare_content(run, &record);
    writer_put(&run->writer, key, &record);
    episode_arrays_release(&arrays);
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
        else if (episode->status == EPISODE_FAILED)
            writer_leave_out(&run->writer, key);
        else
            write_episode(run, key, episode, round->image + episode->image);
        run->failed += episode->status == EPISODE_FAILED;
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
    if (run->failed)
        log_line("%zu episodes without a success are left out (--successful)", run->failed);
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
    episode_fields_init(&run.fields, run.source, job.in, job.text_tokenizer, job.obs, job.act,
                        job.task);
    if (run.fields.n_images && !job.tokenizer && !job.keep_pixels)
        die(RC_USAGE, "'%s' holds images: --model is needed (or --keep-pixels)", job.in);
    size_t first, count;
    job_range(&job, episode_source_count(run.source), &first, &count);
    writer_init(&run.writer, &job, episode_source_manifest(run.source));
    episode_fields_meta(&run.fields, job.tokenizer, &run.writer.meta);
    if (writer_open(&run.writer, count)) run_rounds(&run, first, count);
    int rc = writer_close(&run.writer);
    episode_fields_release(&run.fields);
    episode_source_close(run.source);
    job_release(&job);
    return rc;
}
