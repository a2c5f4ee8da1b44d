/* shard_counts.c - see shard_counts.h. */
#include "tokenize/shard_counts.h"

#include "common/base/log.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- counting ---- */

static bool same_size(const shard_meta_t *meta, const token_record_t *record) {
    return meta->grid_h == record->grid_h && meta->grid_w == record->grid_w &&
           meta->image_h == record->image_h && meta->image_w == record->image_w;
}

static void set_size(shard_meta_t *meta, uint32_t grid_h, uint32_t grid_w, uint32_t image_h,
                     uint32_t image_w) {
    meta->grid_h = grid_h;
    meta->grid_w = grid_w;
    meta->image_h = image_h;
    meta->image_w = image_w;
}

void shard_counts_add(shard_meta_t *meta, const token_record_t *record) {
    uint64_t T = record->T;
    if (record->codes || record->pixels) {
        if (meta->images == 0)
            set_size(meta, record->grid_h, record->grid_w, record->image_h, record->image_w);
        else if (!same_size(meta, record))
            set_size(meta, 0, 0, 0, 0);
        meta->images += T;
    }
    if (record->codes) meta->tokens += T * record->grid_h * record->grid_w;
    meta->tokens += record->text_len;
    if (record->kind != RECORD_EPISODE) return;
    meta->episodes++;
    meta->steps += T;
    meta->tokens += T * ((uint64_t)meta->n_continuous + meta->n_discrete + meta->n_actions +
                         meta->n_discrete_actions);
}

void shard_counts_copy_sizes(shard_meta_t *to, const shard_meta_t *from) {
    set_size(to, from->grid_h, from->grid_w, from->image_h, from->image_w);
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
