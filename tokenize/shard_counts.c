/* shard_counts.c - see shard_counts.h. */
#include "tokenize/shard_counts.h"

#include "common/base/log.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- counting ---- */

static bool has_image(const slot_data_t *d) {
    return d->codes || d->pixels;
}

/* In how many timesteps the slot is there. */
static uint64_t present_steps(const slot_data_t *d, uint32_t T) {
    uint64_t n = 0;
    for (uint32_t t = 0; t < T; t++) n += !d->present || d->present[t];
    return n;
}

static void count_slot(shard_meta_t *meta, const slot_t *slot, const slot_data_t *d, uint32_t T) {
    uint64_t steps = present_steps(d, T);
    if (has_image(d)) meta->images += steps;
    if (d->codes) meta->tokens += steps * d->grid_h * d->grid_w;
    if (d->text) meta->tokens += d->text_len;
    if (d->vector || d->discrete) meta->tokens += steps * slot->width;
}

void shard_counts_add(shard_meta_t *meta, const token_record_t *record) {
    const task_t *task = &meta->tasks.v[record->task];
    for (uint32_t i = 0; i < task->n_slots; i++)
        count_slot(meta, &task->slot[i], &record->slot[i], record->T);
    if (task->kind != RECORD_EPISODE) return;
    meta->episodes++;
    meta->steps += record->T;
}

/* ---- sizes ---- */

static void set_size(slot_t *slot, const slot_data_t *d) {
    slot->grid_h = d->grid_h;
    slot->grid_w = d->grid_w;
    slot->image_h = d->image_h;
    slot->image_w = d->image_w;
}

static bool same_size(const slot_t *slot, const slot_data_t *d) {
    return slot->grid_h == d->grid_h && slot->grid_w == d->grid_w && slot->image_h == d->image_h &&
           slot->image_w == d->image_w;
}

/* Of all images that are no part of an episode. */
static void set_sizes(shard_meta_t *meta, const slot_data_t *d) {
    for (size_t i = 0; i < meta->tasks.n; i++) {
        const task_t *task = &meta->tasks.v[i];
        for (uint32_t k = 0; k < task->n_slots && task->kind != RECORD_EPISODE; k++)
            if (task->slot[k].kind == SLOT_IMAGE) set_size(&task->slot[k], d);
    }
}

void shard_counts_sizes(shard_meta_t *meta, const token_record_t *record) {
    const task_t *task = &meta->tasks.v[record->task];
    const slot_data_t none = {0};
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_data_t *d = &record->slot[i];
        if (!has_image(d)) continue;
        bool same = same_size(&task->slot[i], d);
        if (task->kind != RECORD_EPISODE && meta->images == 0)
            set_sizes(meta, d);
        else if (task->kind != RECORD_EPISODE && !same)
            set_sizes(meta, &none);
        else if (!same)
            set_size(&task->slot[i], &none);
    }
}

void shard_counts_copy(shard_meta_t *to, const shard_meta_t *from) {
    to->records = from->records;
    to->images = from->images;
    to->episodes = from->episodes;
    to->steps = from->steps;
    to->tokens = from->tokens;
    to->skipped = from->skipped;
    to->bad = from->bad;
}

/* ---- showing ---- */

void shard_counts_print(const shard_meta_t *meta, double start, uint64_t images_before) {
    double seconds = log_now() - start, encoded = (double)(meta->images - images_before);
    jsonw_t json;
    jsonw_begin(&json);
    jsonw_int(&json, "images", (int64_t)meta->images);
    jsonw_int(&json, "episodes", (int64_t)meta->episodes);
    jsonw_int(&json, "records", (int64_t)meta->records);
    jsonw_int(&json, "skipped", (int64_t)meta->skipped);
    jsonw_int(&json, "bad", (int64_t)meta->bad);
    jsonw_int(&json, "tokens", (int64_t)meta->tokens);
    jsonw_num(&json, "seconds", round(seconds * 1000) / 1000);
    jsonw_num(&json, "images_per_s", seconds > 0 ? round(encoded / seconds * 10) / 10 : NAN);
    puts(jsonw_end(&json));
    jsonw_free(&json);
}

void shard_counts_write_done(const char *path, const shard_meta_t *meta) {
    reason_t why;
    char *counts = xasprintf("{\"images\":%llu,\"episodes\":%llu,\"records\":%llu,\"skipped\":%llu,"
                             "\"bad\":%llu,\"tokens\":%llu}",
                             (unsigned long long)meta->images, (unsigned long long)meta->episodes,
                             (unsigned long long)meta->records, (unsigned long long)meta->skipped,
                             (unsigned long long)meta->bad, (unsigned long long)meta->tokens);
    if (fs_done_write(path, meta->arguments, counts, &why)) die(RC_RUNTIME, "%s", why.text);
    free(counts);
}
