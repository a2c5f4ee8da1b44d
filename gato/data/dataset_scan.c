/* dataset_scan.c - the one reading of every record that opening a dataset costs. */
#include "gato/data/shards.h"

#include "common/base/pool.h"
#include "common/io/split.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void shard_read(const shard_t *s, uint64_t i, token_record_t *r) {
    reason_t why;
    if (token_db_get(s->db, i, r, &why)) die(RC_DATA, "'%s': %s", s->path, why.text);
}

/* ---- the contents ---- */

static uint64_t add(uint64_t h, const void *v, size_t bytes) {
    return v ? XXH64(v, bytes, h) : h;
}

static uint64_t slot_hash(uint64_t h, const slot_data_t *v, size_t T, size_t width) {
    uint32_t sizes[4] = {v->grid_h, v->grid_w, v->image_h, v->image_w};
    h = add(h, sizes, sizeof sizes);
    h = add(h, v->present, T);
    h = add(h, v->codes, T * v->grid_h * v->grid_w * sizeof *v->codes);
    h = add(h, v->pixels, v->pixels_bytes);
    h = add(h, v->text, v->text_len * sizeof *v->text);
    h = add(h, &v->prompt_len, sizeof v->prompt_len);
    h = add(h, v->vector, T * width * sizeof *v->vector);
    h = add(h, v->discrete, T * width * sizeof *v->discrete);
    h = add(h, v->label_vector, T * width * sizeof *v->label_vector);
    return add(h, v->label_discrete, T * width * sizeof *v->label_discrete);
}

static uint64_t content_of(const task_t *of, const token_record_t *r) {
    uint64_t h = XXH64(of->name, strlen(of->name), r->first_step);
    h = add(h, r->key, r->key_len);
    h = add(h, &r->T, sizeof r->T);
    for (uint32_t k = 0; k < of->n_slots; k++) {
        const slot_data_t *v = &r->slot[k];
        bool there = v->codes || v->pixels || v->text || v->vector || v->discrete;
        if (there) h = slot_hash(add(h, &k, sizeof k), v, r->T, of->slot[k].width);
    }
    return h;
}

/* ---- tokens ---- */

static void check_pixels(const dataset_t *d, const shard_t *s, const token_record_t *r,
                         const slot_t *slot, const slot_data_t *v) {
    bool pixels = gato_config_image_in(&d->config)->pixels;
    char name[TASK_NAME + 64];
    if (pixels && !v->pixels && v->codes)
        die(RC_MISFIT,
            "'%s': record '%.*s' keeps no pixels of %s (tokenize --keep-pixels); "
            "model.image_in = patches needs them",
            s->path, (int)r->key_len, r->key, slot_text(slot, name));
    if (!pixels && !v->codes && v->pixels)
        die(RC_MISFIT,
            "'%s': record '%.*s' holds pixels of %s but no codes; only model.image_in = patches "
            "reads pixels",
            s->path, (int)r->key_len, r->key, slot_text(slot, name));
}

/* A timestep with every slot that the record has in any step. Only sizes and presence count. */
static timestep_t largest_step(const dataset_t *d, const shard_t *s, const body_t *b,
                               const token_record_t *r) {
    timestep_t step = {.task = b->task};
    bool pixels = gato_config_image_in(&d->config)->pixels;
    for (uint32_t k = 0; k < b->of->n_slots; k++) {
        const slot_data_t *v = &r->slot[k];
        const slot_t *slot = &b->of->slot[k];
        slot_value_t *to = &step.slot[b->map[k]];
        switch (slot->kind) {
        case SLOT_IMAGE:
            check_pixels(d, s, r, slot, v);
            *to = (slot_value_t){.codes = pixels ? NULL : v->codes,
                                 .rgb = pixels ? v->pixels : NULL,
                                 .grid_h = v->grid_h,
                                 .grid_w = v->grid_w,
                                 .image_h = v->image_h,
                                 .image_w = v->image_w};
            break;
        case SLOT_TEXT:
            if (body_control(b) && d->config.model.control_text && v->text_len)
                *to = (slot_value_t){.text = v->text, .text_len = v->text_len};
            break;
        default:
            *to = (slot_value_t){.vector = v->vector, .discrete = v->discrete};
        }
    }
    if (b->goal >= 0) step.slot[b->goal] = step.slot[b->map[b->goal_from]];
    return step;
}

static void count_tokens(const dataset_t *d, const shard_t *s, const body_t *b,
                         const token_record_t *r, item_t *t) {
    const task_t *task = &d->tasks.v[b->task];
    timestep_t step = largest_step(d, s, b, r);
    layout_t l;
    reason_t why;
    if (layout_of(&l, &d->config, task, &step, &why))
        die(RC_USAGE, "'%s': record '%.*s': %s", s->path, (int)r->key_len, r->key, why.text);
    size_t tokens = layout_tokens(&l), context = (size_t)d->config.model.context;
    size_t least = tokens + (!body_control(b) && t->text_len ? 1 : 0);
    if (least > context)
        die(RC_USAGE,
            "'%s': record '%.*s': a timestep of %zu tokens is longer than the context of %zu "
            "(model.context)",
            s->path, (int)r->key_len, r->key, least, context);
    t->tokens = (uint32_t)tokens;
    for (uint32_t k = 0; k < task->n_slots; k++)
        if (task->slot[k].kind == SLOT_IMAGE) t->image_tokens += (uint32_t)l.count[k];
}

static item_t item_of(const dataset_t *d, const shard_t *s, const token_record_t *r) {
    const body_t *b = &s->body[r->task];
    item_t t = {.body = r->task,
                .T = r->T,
                .key_hash = XXH64(r->key, r->key_len, 0),
                .content = content_of(b->of, r)};
    for (uint32_t k = 0; k < b->of->n_slots; k++) {
        const slot_t *slot = &b->of->slot[k];
        const slot_data_t *v = &r->slot[k];
        if (slot->kind == SLOT_TEXT) t.text_len = v->text ? v->text_len : 0;
        if (slot->side == SIDE_ACTED) {
            t.acted = t.acted || v->vector || v->discrete;
        } else {
            t.observed = t.observed || v->vector;
            t.values = t.values || v->discrete;
        }
    }
    count_tokens(d, s, b, r, &t);
    return t;
}

item_t shard_item(const dataset_t *d, const shard_t *s, uint64_t i) {
    token_record_t r;
    shard_read(s, i, &r);
    item_t t = item_of(d, s, &r);
    token_record_release(&r);
    item_set_span(d, s, &t);
    return t;
}

/* ---- all of them ---- */

/* How large an image is to the model: by what it reads first. */
static bool is_larger(bool pixels, const slot_data_t *v, const slot_t *than) {
    uint64_t now[4] = {(uint64_t)v->grid_h * v->grid_w, v->grid_h,
                       (uint64_t)v->image_h * v->image_w, v->image_h};
    uint64_t was[4] = {(uint64_t)than->grid_h * than->grid_w, than->grid_h,
                       (uint64_t)than->image_h * than->image_w, than->image_h};
    for (int i = 0; i < 4; i++) {
        int k = pixels ? (i + 2) % 4 : i;
        if (now[k] != was[k]) return now[k] > was[k];
    }
    return false;
}

/* Of another size than what was seen before. */
static bool is_another(const slot_data_t *v, const slot_t *than) {
    bool seen = than->grid_h || than->image_h, there = v->grid_h || v->image_h;
    return seen && there &&
           (v->grid_h != than->grid_h || v->grid_w != than->grid_w || v->image_h != than->image_h ||
            v->image_w != than->image_w);
}

/* Takes the record's sizes for an episode's images that shards leave open: the largest of all
 * records, whatever the order of threads. */
static void grow_images(dataset_t *d, const bool *open, const body_t *b, const token_record_t *r) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    bool pixels = gato_config_image_in(&d->config)->pixels;
    for (uint32_t k = 0; k < b->of->n_slots; k++) {
        const slot_data_t *v = &r->slot[k];
        slot_t *to = &d->tasks.v[b->task].slot[b->map[k]];
        if (to->kind != SLOT_IMAGE || !open[(size_t)b->task * TASK_SLOTS + (size_t)b->map[k]])
            continue;
        pthread_mutex_lock(&lock);
        to->varies = to->varies || is_another(v, to);
        if (is_larger(pixels, v, to)) {
            to->grid_h = v->grid_h;
            to->grid_w = v->grid_w;
            to->image_h = v->image_h;
            to->image_w = v->image_w;
        }
        pthread_mutex_unlock(&lock);
    }
}

typedef struct {
    dataset_t *d;
    shard_t *s;
    const bool *open; /* [tasks.n, TASK_SLOTS] images of new tasks without a declared size */
} scan_t;

/* The group of a record: pieces of an episode share its key; images are grouped as in their
 * source. */
static char *group_of(const dataset_t *d, const body_t *b, const token_record_t *r) {
    char buf[512];
    if (body_control(b)) return xstrdup(split_whole(r->key, r->key_len, buf));
    return xstrdup(split_group(r->key, r->key_len, (split_by_t)d->config.data.split_by, buf));
}

static void scan_item(void *ctx, size_t i) {
    scan_t *scan = ctx;
    shard_t *s = scan->s;
    token_record_t r;
    shard_read(s, i, &r);
    s->item[i] = item_of(scan->d, s, &r);
    s->group[i] = group_of(scan->d, &s->body[r.task], &r);
    if (body_control(&s->body[r.task])) grow_images(scan->d, scan->open, &s->body[r.task], &r);
    token_record_release(&r);
}

void shards_scan(dataset_t *d) {
    bool *open = xcalloc(d->tasks.n * TASK_SLOTS, sizeof *open);
    for (size_t i = d->adopted; i < d->tasks.n; i++)
        for (uint32_t k = 0; k < d->tasks.v[i].n_slots; k++) {
            const slot_t *slot = &d->tasks.v[i].slot[k];
            open[i * TASK_SLOTS + k] = slot->kind == SLOT_IMAGE && !(slot->grid_h && slot->image_h);
        }
    for (size_t k = 0; k < d->n; k++) {
        shard_t *s = &d->shard[k];
        s->item = xcalloc(s->n, sizeof *s->item);
        s->group = xcalloc(s->n, sizeof *s->group);
        scan_t scan = {d, s, open};
        parallel_for(s->n, scan_item, &scan);
    }
    free(open);
}

uint64_t dataset_manifest(const dataset_t *d) {
    uint64_t h = 0;
    for (size_t k = 0; k < d->n; k++) {
        const shard_t *s = &d->shard[k];
        const char *print = token_db_meta(s->db)->fingerprint;
        h = add(h, print, print ? strlen(print) : 0);
        h = add(h, &s->weight, sizeof s->weight);
        for (size_t i = 0; i < s->n; i++) h = add(h, &s->item[i].content, sizeof(uint64_t));
    }
    return h;
}

uint64_t dataset_checksums(const dataset_t *d) {
    uint64_t h = 0;
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n; i++) {
            uint64_t sum = token_db_checksum(d->shard[k].db, i);
            h = add(h, &sum, sizeof sum);
        }
    return h;
}
