/* reencode.c - see reencode.h. */
#include "tokenize/reencode.h"

#include "common/base/sizes.h"
#include "common/io/episodes/episode_source.h"
#include "common/io/fs.h"
#include "common/io/source/image_source.h"
#include "common/io/text/json.h"
#include "tokenize/encoder.h"
#include "tokenize/episode_fields.h"
#include "tokenize/kept_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32 };

typedef struct {
    reencode_t *encoding;
    image_opts_t opts;
    size_t frames; /* --frames of the shard, and how the steps were chosen */
    step_choice_t choice;
    bool captions; /* a shard of `tokenize text`: its images are files named by their keys */
    const tasks_t *tasks;
    char *obs, *act; /* --obs and --act of the shard; NULL = the default */
    /* where the images come from: one of these, by what the shard holds */
    image_source_t *source;
    size_t cursor;
    episode_source_t *episodes;
    episode_fields_t fields;
    recorded_episode_t episode;
    long long loaded; /* number of `episode`; -1 = none */
    /* the batch */
    encoded_t image[BATCH];
    uint32_t *codes[BATCH]; /* stored, */
    size_t n_codes[BATCH];  /* of ordered codes perhaps the first alone */
    size_t n;
} rerun_t;

static char *string_of(const cJSON *args, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(args, key);
    return cJSON_IsString(item) ? xstrdup(item->valuestring) : NULL;
}

static step_choice_t choice_of(const cJSON *args) {
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "head"))) return STEPS_HEAD;
    bool spread = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "spread"));
    return spread ? STEPS_SPREAD : STEPS_CONSECUTIVE;
}

/* Reads from the shard's arguments how its images were decoded and its steps chosen. */
static void read_options(rerun_t *run, const shard_meta_t *meta) {
    image_opts_t opts = image_opts_default();
    cJSON *args =
        meta->arguments ? json_parse(meta->arguments, strlen(meta->arguments), false, NULL) : NULL;
    const cJSON *background = cJSON_GetObjectItemCaseSensitive(args, "background");
    uint64_t value;
    for (int i = 0; i < 3; i++)
        if (json_u64(cJSON_GetArrayItem(background, i), &value) && value < 256)
            opts.background[i] = (uint8_t)value;
    opts.lenient = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "lenient"));
    opts.no_exif = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "no_exif"));
    if (json_u64(cJSON_GetObjectItemCaseSensitive(args, "max_pixels"), &value))
        opts.max_pixels = value;
    if (json_u64(cJSON_GetObjectItemCaseSensitive(args, "frames"), &value))
        run->frames = (size_t)value;
    const char *command = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, "command"));
    run->captions = command && !strcmp(command, "text");
    run->choice = choice_of(args);
    encoder_hint_size(run->encoding->tokenizer, &opts);
    run->obs = string_of(args, "obs");
    run->act = string_of(args, "act");
    run->opts = opts;
    cJSON_Delete(args);
}

static void open_source(rerun_t *run) {
    reencode_t *encoding = run->encoding;
    if (!encoding->in) return;
    if (run->captions) return;
    if (!token_db_meta(encoding->db)->episodes) {
        run->source = image_source_open_or_die(encoding->in);
        return;
    }
    run->episodes = episode_source_open_or_die(encoding->in);
    episode_source_lenient(run->episodes, run->opts.lenient);
    /* neither the task's name nor its texts say anything about the images */
    episode_fields_init(&run->fields, run->episodes, encoding->in, NULL, run->obs, run->act, NULL);
    if (!run->fields.n_images)
        die(RC_MISFIT, "'%s' has no images among its observations", encoding->in);
}

static _Noreturn void fail(const reencode_t *encoding, const token_record_t *record,
                           const char *reason) {
    die(RC_DATA, "'%s': '%.*s': %s", encoding->in ? encoding->in : encoding->path,
        (int)record->key_len, record->key, reason);
}

/* Image t of image slot s of a record. */
typedef struct {
    const token_record_t *record;
    uint32_t s;
    size_t t;
} place_t;

static image_t from_pixels(const rerun_t *run, place_t place) {
    const reencode_t *encoding = run->encoding;
    const token_record_t *record = place.record;
    const slot_data_t *data = &record->slot[place.s];
    const uint8_t *at = data->pixels;
    image_t im = {0};
    reason_t why;
    if (!at) fail(encoding, record, "keeps no pixels");
    for (size_t k = 0; k < place.t; k++) at += data->pixel_size[k];
    if (image_decode(&im, at, data->pixel_size[place.t], &run->opts, &why) != IMAGE_OK)
        fail(encoding, record, why.text);
    return im;
}

/* Records stand in the order of the source, so one pass over its keys finds them all. */
static image_t from_source(rerun_t *run, const token_record_t *record) {
    size_t n = image_source_count(run->source);
    image_t im = {0};
    reason_t why;
    for (; run->cursor < n; run->cursor++) {
        const char *key = image_source_key(run->source, run->cursor);
        if (strlen(key) == record->key_len && !memcmp(key, record->key, record->key_len)) break;
    }
    if (run->cursor == n) fail(run->encoding, record, "is not there any more");
    if (image_source_read(run->source, run->cursor, &im, &run->opts, &why) != IMAGE_OK)
        fail(run->encoding, record, why.text);
    return im;
}

static image_t from_file(const rerun_t *run, const token_record_t *record) {
    image_t im = {0};
    reason_t why;
    char *key = xasprintf("%.*s", (int)record->key_len, record->key),
         *path = *key == '/' ? xstrdup(key) : fs_join(run->encoding->in, key);
    if (image_read(&im, path, &run->opts, &why) != IMAGE_OK) fail(run->encoding, record, why.text);
    free(key);
    free(path);
    return im;
}

/* The image slot of the dataset that has the name of the shard's. */
static size_t slot_of(const rerun_t *run, place_t place) {
    const char *name = run->tasks->v[place.record->task].slot[place.s].name;
    int k = task_find(&run->fields.task, SIDE_OBSERVED, name);
    if (k < 0 || run->fields.task.slot[k].kind != SLOT_IMAGE)
        die(RC_MISFIT, "'%s' has no images '%s' among its observations", run->encoding->in, name);
    return (size_t)k;
}

static image_t from_dataset(rerun_t *run, place_t place) {
    const token_record_t *record = place.record;
    long long number;
    char key[64];
    reason_t why;
    snprintf(key, sizeof key, "%.*s", (int)min_size(record->key_len, sizeof key - 1), record->key);
    if (sscanf(key, "episode_%lld", &number) != 1 || number < 0 ||
        (uint64_t)number >= episode_source_count(run->episodes))
        fail(run->encoding, record, "is not there any more");
    if (run->loaded != number) {
        if (run->loaded >= 0) recorded_episode_release(&run->episode);
        run->loaded = -1;
        if (episode_source_read(run->episodes, (size_t)number, &run->episode, &why))
            fail(run->encoding, record, why.text);
        run->loaded = number;
    }
    size_t *step = xcalloc(run->episode.T + 1, sizeof *step);
    size_t n = kept_steps_find(key, run->episode.T, run->frames, run->choice, step),
           at = step[place.t < n ? place.t : 0];
    bool same = n == record->T && step[0] == record->first_step;
    free(step);
    if (!same) fail(run->encoding, record, "has another number of steps now");
    image_t im = episode_fields_frame(&run->fields, &run->episode, slot_of(run, place), at);
    if (!im.rgb) fail(run->encoding, record, "lacks an image now");
    return im;
}

/* A code that differs may be a near tie, decided by the rounding of another machine: by how much is
 * the stored one further away than the nearest? */
static void measure(reencode_t *encoding, const encoded_t *image, const uint32_t *stored,
                    size_t n) {
    size_t grid = (size_t)image->grid_h * image->grid_w;
    double *gap = xmalloc(grid * sizeof *gap);
    uint32_t *all = xmalloc(grid * sizeof *all); /* those that are not stored cannot differ */
    memcpy(all, image->codes, grid * sizeof *all);
    memcpy(all, stored, n * sizeof *all);
    tokenizer_code_gaps(encoding->tokenizer, image->im.rgb, image->im.w, image->im.h, all, gap);
    for (size_t k = 0; k < n; k++)
        if (image->codes[k] != stored[k] && gap[k] > encoding->gap) encoding->gap = gap[k];
    free(all);
    free(gap);
}

static void compare(rerun_t *run) {
    encoder_t encoder = {.tokenizer = run->encoding->tokenizer, .batch = BATCH};
    encoder_run(&encoder, run->image, run->n);
    for (size_t i = 0; i < run->n; i++) {
        const encoded_t *image = &run->image[i];
        size_t n = run->n_codes[i], different = 0;
        for (size_t k = 0; k < n; k++) different += image->codes[k] != run->codes[i][k];
        if (different) measure(run->encoding, image, run->codes[i], n);
        run->encoding->different += different;
        run->encoding->codes += n;
        free(run->codes[i]);
        encoded_release(&run->image[i]);
    }
    run->encoding->images += run->n;
    run->n = 0;
}

static image_t read_image(rerun_t *run, place_t place) {
    if (!run->encoding->in) return from_pixels(run, place);
    if (run->captions) return from_file(run, place.record);
    return run->episodes ? from_dataset(run, place) : from_source(run, place.record);
}

/* Adds an image to the batch, and compares the batch when it is full. */
static void add(rerun_t *run, place_t place) {
    reencode_t *encoding = run->encoding;
    const slot_data_t *data = &place.record->slot[place.s];
    size_t grid = (size_t)data->grid_h * data->grid_w, w, h;
    tokenizer_image_size(encoding->tokenizer, (tokenizer_grid_t){data->grid_h, data->grid_w}, &w,
                         &h);
    encoded_t *image = &run->image[run->n];
    *image = (encoded_t){.im = read_image(run, place)};
    /* kept pixels are what the encoder saw */
    if (encoding->in) encoder_prepare(&(encoder_t){.tokenizer = encoding->tokenizer}, image);
    if (image->im.w != w || image->im.h != h) fail(encoding, place.record, "has another size now");
    run->n_codes[run->n] = grid;
    run->codes[run->n] = xmalloc(grid * sizeof(uint32_t));
    memcpy(run->codes[run->n], data->codes + place.t * grid, grid * sizeof(uint32_t));
    run->n++;
    if (run->n == BATCH) compare(run);
}

/* Is image i of n in the sample, spread evenly? sample 0: all are. */
static bool is_sampled(uint64_t i, uint64_t n, uint64_t sample) {
    if (!sample || sample >= n) return true;
    unsigned __int128 a = (unsigned __int128)i * sample, b = a + sample;
    return (uint64_t)(a / n) != (uint64_t)(b / n);
}

/* Adds the sampled images of a record. *number counts all that have codes, n in all. */
static void add_record(rerun_t *run, const token_record_t *record, uint64_t *number, uint64_t n) {
    for (uint32_t s = 0; s < run->tasks->v[record->task].n_slots; s++) {
        const slot_data_t *data = &record->slot[s];
        for (size_t t = 0; data->codes && t < record->T; t++) {
            if (data->present && !data->present[t]) continue;
            if (is_sampled((*number)++, n, run->encoding->sample))
                add(run, (place_t){record, s, t});
        }
    }
}

void reencode_run(reencode_t *encoding) {
    const shard_meta_t *meta = token_db_meta(encoding->db);
    rerun_t run = {.encoding = encoding, .loaded = -1, .tasks = &meta->tasks};
    uint64_t number = 0;
    read_options(&run, meta);
    open_source(&run);
    for (uint64_t i = 0; i < token_db_count(encoding->db); i++) {
        token_record_t record;
        reason_t why;
        if (token_db_get(encoding->db, i, &record, &why)) die(RC_DATA, "%s", why.text);
        add_record(&run, &record, &number, meta->images);
        token_record_release(&record);
    }
    compare(&run);
    if (run.loaded >= 0) recorded_episode_release(&run.episode);
    if (run.episodes) episode_fields_release(&run.fields);
    free(run.obs);
    free(run.act);
    episode_source_close(run.episodes);
    image_source_close(run.source);
}
