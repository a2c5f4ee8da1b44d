/* episode.c - leaves and recorded episodes, and what all formats do with them. */
#include "common/io/episodes/episode.h"
#include "common/io/episodes/episode_source_kind.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- leaves ---- */

int64_t space_leaf_n(const space_leaf_t *leaf, size_t k) {
    return leaf->low ? (int64_t)(leaf->high[k] - leaf->low[k]) + 1 : leaf->n;
}
int64_t space_leaf_start(const space_leaf_t *leaf, size_t k) {
    return leaf->low ? (int64_t)leaf->low[k] : leaf->start;
}

void space_leaf_image_size(const space_leaf_t *leaf, size_t *h, size_t *w, size_t *c) {
    *h = leaf->dim[leaf->planar];
    *w = leaf->dim[leaf->planar + 1];
    *c = leaf->rank < 3 ? 1 : leaf->planar ? leaf->dim[0] : leaf->dim[2];
}

void space_leaves_free(space_leaf_t *leaf, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(leaf[i].low);
        free(leaf[i].high);
    }
    free(leaf);
}

/* ---- episodes ---- */

void recorded_episode_begin(const episode_source_t *s, size_t T, recorded_episode_t *e) {
    e->T = T;
    e->n_obs = s->n_obs;
    e->n_act = s->n_act;
    e->seed = -1;
    e->image = xcalloc(e->n_obs, sizeof *e->image);
    e->value = xcalloc(e->n_obs, sizeof *e->value);
    e->text = xcalloc(e->n_obs, sizeof *e->text);
    e->present = xcalloc(e->n_obs, sizeof *e->present);
    e->action = xcalloc(e->n_act, sizeof *e->action);
    e->expert_action = xcalloc(e->n_act, sizeof *e->expert_action);
}

static void free_texts(char **text, size_t n) {
    if (!text) return;
    for (size_t t = 0; t < n; t++) free(text[t]);
    free(text);
}

void recorded_episode_release(recorded_episode_t *e) {
    for (size_t i = 0; i < e->n_obs; i++) {
        if (e->image) free(e->image[i]);
        if (e->value) free(e->value[i]);
        if (e->text) free_texts(e->text[i], e->T + 1);
        if (e->present) free(e->present[i]);
    }
    for (size_t i = 0; i < e->n_act; i++) {
        if (e->action) free(e->action[i]);
        if (e->expert_action) free(e->expert_action[i]);
    }
    free(e->image);
    free(e->value);
    free(e->text);
    free(e->present);
    free(e->action);
    free(e->expert_action);
    free(e->rewards);
    free(e->terminated);
    free(e->truncated);
    free(e->success);
    memset(e, 0, sizeof *e);
}

/* ---- for kinds ---- */

int episode_defect(const char *file, size_t episode, const char *field, reason_t *why) {
    if (!why) return -1;
    reason_t cause = *why;
    reason_set(why, "%.250s:episode_%zu%s%.200s: %s", file, episode, *field ? ":" : "", field,
               cause.text);
    return strncmp(cause.text, "refused:", 8) == 0 ? EPISODE_SOURCE_REFUSED : -1;
}

int episode_without_hdf5(int *rc, reason_t *why) {
    *rc = RC_RUNTIME;
    return reason_set(why, "built without HDF5: Minari datasets cannot be read or written (install "
                           "libhdf5 and build again)");
}

void episode_pack_frames(const space_leaf_t *leaf, uint8_t *frames, size_t n) {
    if (!leaf->planar) return;
    size_t c = leaf->dim[0], plane = leaf->dim[1] * leaf->dim[2];
    uint8_t *one = xmalloc(leaf->count);
    for (size_t t = 0; t < n; t++, frames += leaf->count) {
        memcpy(one, frames, leaf->count);
        for (size_t i = 0; i < plane; i++)
            for (size_t k = 0; k < c; k++) frames[i * c + k] = one[k * plane + i];
    }
    free(one);
}

int episode_discrete(const int64_t *values, const space_leaf_t *leaf, size_t rows, float **out,
                     reason_t *why) {
    size_t n = rows * leaf->count;
    float *shifted = xmalloc(n * sizeof *shifted);
    for (size_t i = 0; i < n; i++) {
        int64_t start = space_leaf_start(leaf, i % leaf->count);
        int64_t range = space_leaf_n(leaf, i % leaf->count);
        if (values[i] < start || (uint64_t)values[i] - (uint64_t)start >= (uint64_t)range) {
            free(shifted);
            return reason_set(why, "step %zu: %" PRId64 " is not in %" PRId64 "..%" PRId64,
                              i / leaf->count, values[i], start, start + range - 1);
        }
        shifted[i] = (float)(values[i] - start);
    }
    *out = shifted;
    return 0;
}
