/* dataset_fast.c - FAST for the acted vectors of the data: a folder's, the policy's, or fitted to
 * the chunks of the training side. */
#include "gato/data/shards.h"
#include "gato/task/fast.h"

#include <stdlib.h>
#include <string.h>

enum { COEFFICIENTS_MOST = 1 << 20 /* of a fit; of more, those of evenly spread records count */ };

/* ---- chunks of the training side ---- */

typedef struct {
    int32_t *q;
    size_t n, cap;
    uint32_t *length;
    size_t chunks, length_cap;
    uint32_t D; /* 0 = several */
    uint32_t H;
    double scale;
} chunks_t;

static bool whole(const uint8_t *present, uint32_t H) {
    for (uint32_t t = 0; present && t < H; t++)
        if (!present[t]) return false;
    return true;
}

/* The chunks of one slot of a record, of clean actions scaled for the model. */
static void put_slot(chunks_t *c, const slot_data_t *v, const scaling_map_t *map, uint32_t T) {
    const float *clean = v->label_vector ? v->label_vector : v->vector;
    uint32_t D = map->n, n = c->H * D;
    if (!clean || T < c->H) return;
    float *scaled = xmalloc((size_t)T * D * sizeof *scaled);
    scaling_map(map, clean, T, scaled);
    for (uint32_t t = 0; t + c->H <= T; t++) {
        if (!whole(v->present ? v->present + t : NULL, c->H)) continue;
        c->q = xgrow(c->q, &c->cap, c->n + n, sizeof *c->q);
        c->length = xgrow(c->length, &c->length_cap, c->chunks + 1, sizeof *c->length);
        fast_coefficients(scaled + (size_t)t * D, c->H, D, c->scale, c->q + c->n);
        c->length[c->chunks++] = n;
        c->n += n;
    }
    free(scaled);
}

static void put_records(chunks_t *c, const shard_t *s, const body_t *b, size_t stride) {
    for (size_t i = 0; i < b->n_side[SIDE_TRAIN]; i += stride) {
        token_record_t r;
        shard_read(s, b->side[SIDE_TRAIN][i], &r);
        for (uint32_t k = 0; k < b->of->n_slots; k++)
            if (b->scaling[k].column) put_slot(c, &r.slot[k], &b->scaling[k], r.T);
        token_record_release(&r);
    }
}

/* How many coefficients the training side has at most. */
static double coefficients(const dataset_t *d, uint32_t H) {
    double n = 0;
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_bodies; i++) {
            const body_t *b = &d->shard[k].body[i];
            double steps = 0;
            for (size_t j = 0; j < b->n_side[SIDE_TRAIN]; j++)
                steps += d->shard[k].item[b->side[SIDE_TRAIN][j]].T;
            n += steps * (double)H * (double)task_width(b->of, SIDE_ACTED, SLOT_VECTOR);
        }
    return n;
}

/* ---- the choice ---- */

/* The width of all acted vectors; 0 = several, or none. */
static uint32_t common_width(const tasks_t *tasks, bool *any) {
    uint32_t width = 0;
    *any = false;
    for (size_t i = 0; i < tasks->n; i++)
        for (uint32_t k = 0; k < tasks->v[i].n_slots; k++) {
            const slot_t *slot = &tasks->v[i].slot[k];
            if (slot->kind != SLOT_VECTOR || slot->side != SIDE_ACTED) continue;
            if (*any && slot->width != width) return 0;
            width = slot->width;
            *any = true;
        }
    return width;
}

static fast_t *fit(const dataset_t *d, uint32_t D, int *rc, reason_t *why) {
    const gato_config_t *config = &d->config;
    chunks_t c = {.D = D, .H = (uint32_t)config->model.chunk, .scale = config->model.fast_scale};
    double all = coefficients(d, c.H);
    size_t stride = all > COEFFICIENTS_MOST ? (size_t)(all / COEFFICIENTS_MOST) + 1 : 1;
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_bodies; i++)
            if (!d->shard[k].spread) put_records(&c, &d->shard[k], &d->shard[k].body[i], stride);
    fast_t *f =
        fast_fit(c.q, c.length, c.chunks, c.H, D, c.scale, (uint32_t)config->model.bins, rc, why);
    free(c.q);
    free(c.length);
    return f;
}

/* Every acted vector must be one that it writes. */
static void check_widths(const dataset_t *d, const fast_t *f, const char *from) {
    for (size_t i = 0; i < d->tasks.n; i++)
        for (uint32_t k = 0; k < d->tasks.v[i].n_slots; k++) {
            const slot_t *slot = &d->tasks.v[i].slot[k];
            char name[TASK_NAME + 64];
            reason_t why;
            if (slot->kind != SLOT_VECTOR || slot->side != SIDE_ACTED) continue;
            if (fast_fits(f, slot->width, &why))
                die(RC_MISFIT, "task '%s', %s: %s: %s", d->tasks.v[i].name, slot_text(slot, name),
                    from, why.text);
        }
}

static void keep(vocabulary_t *v, const fast_t *f) {
    v->fast = fast_ids(f);
    v->fast_name = xstrdup(fast_fingerprint(f));
    v->fast_processor = xstrdup(fast_processor(f));
    v->fast_tokenizer = xstrdup(fast_tokenizer(f));
}

void shards_fast(dataset_t *d, const char *dir) {
    uint32_t chunk = (uint32_t)d->config.model.chunk;
    int rc = RC_OK;
    reason_t why;
    bool any;
    if (d->config.model.bin_kind != BIN_KIND_FAST) return;
    vocabulary_t *v = &d->vocabulary;
    uint32_t D = common_width(&d->tasks, &any);
    fast_t *f = NULL, *given = dir ? fast_open(dir, chunk, &rc, &why) : NULL;
    if (dir && !given) die(rc, "--fast: %s", why.text);
    if (v->fast) {
        f = fast_parse(v->fast_processor, v->fast_tokenizer, chunk, &rc, &why);
        if (!f) die(rc, "the policy's FAST: %s", why.text);
        if (given && strcmp(fast_fingerprint(given), fast_fingerprint(f)))
            die(RC_MISFIT, "--fast '%s' is %s, and the policy was trained with %s", dir,
                fast_fingerprint(given), fast_fingerprint(f));
        fast_free(given);
    } else if (given) {
        f = given;
    } else if (any) {
        f = fit(d, D, &rc, &why);
        if (!f) die(rc, "%s", why.text);
    }
    if (!f) return; /* a model without such actions */
    check_widths(d, f, dir ? dir : "its chunks");
    if (!v->fast) keep(v, f);
    fast_free(f);
}
