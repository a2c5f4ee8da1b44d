/* token_db_record.c - token_record_t to bytes and back (FORMATS.md 1.4).
 *
 * One check serves both directions: what may not be read may not be written.
 */
#include "common/io/token_db/token_db_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ids below a vocabulary of at most so many are stored as u16. */
enum { SMALL = 65536 };

/* The head as it lies in the file. */
typedef struct {
    uint32_t task, T;
    uint64_t first_step;
} head_t;
_Static_assert(sizeof(head_t) == RECORD_HEAD, "no padding");

static bool is_slot_part(unsigned part) {
    switch (part) {
    case PART_CODES:
    case PART_TEXT:
    case PART_VECTOR:
    case PART_DISCRETE:
    case PART_LABEL_VECTOR:
    case PART_LABEL_DISCRETE:
    case PART_PRESENT:
    case PART_PIXEL_SIZE:
    case PART_PIXELS:
    case PART_PROMPT:
    case PART_SIZES:
        return true;
    default:
        return false;
    }
}

/* Can a slot of that kind and side have the part? */
static bool part_fits(unsigned part, const slot_t *s) {
    switch (part) {
    case PART_CODES:
    case PART_PIXEL_SIZE:
    case PART_PIXELS:
    case PART_SIZES:
        return s->kind == SLOT_IMAGE;
    case PART_TEXT:
    case PART_PROMPT:
        return s->kind == SLOT_TEXT;
    case PART_VECTOR:
        return s->kind == SLOT_VECTOR;
    case PART_DISCRETE:
        return s->kind == SLOT_DISCRETE;
    case PART_LABEL_VECTOR:
        return s->kind == SLOT_VECTOR && s->side == SIDE_ACTED;
    case PART_LABEL_DISCRETE:
        return s->kind == SLOT_DISCRETE && s->side == SIDE_ACTED;
    default:
        return part == PART_PRESENT;
    }
}

static bool holds(const slot_data_t *d) {
    return d->codes || d->pixels || d->text || d->vector || d->discrete || d->label_vector ||
           d->label_discrete;
}

const slot_data_t *token_record_find(const token_record_t *r, const task_t *task, slot_side_t side,
                                     slot_kind_t kind, int *number) {
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *s = &task->slot[i];
        if (s->side != side || s->kind != kind || !holds(&r->slot[i])) continue;
        if (number) *number = (int)i;
        return &r->slot[i];
    }
    return NULL;
}

/* ---- checks ---- */

static int ids_below(const uint32_t *id, uint64_t n, uint32_t limit, const char *name,
                     reason_t *why) {
    for (uint64_t i = 0; i < n; i++)
        if (id[i] >= limit)
            return reason_set(why, "%s[%" PRIu64 "] = %" PRIu32 " is not below %" PRIu32, name, i,
                              id[i], limit);
    return 0;
}

/* id [T, width]: column j must be below range[j]. */
static int columns_below(const uint32_t *id, uint32_t T, const slot_t *s, const char *name,
                         reason_t *why) {
    for (uint64_t i = 0; id && i < (uint64_t)T * s->width; i++)
        if (id[i] >= s->range[i % s->width])
            return reason_set(why, "%s[%" PRIu64 "] = %" PRIu32 " is not below %" PRIu32, name, i,
                              id[i], s->range[i % s->width]);
    return 0;
}

static int all_finite(const float *v, uint64_t n, const char *name, reason_t *why) {
    for (uint64_t i = 0; v && i < n; i++)
        if (!isfinite(v[i])) return reason_set(why, "%s[%" PRIu64 "] is not finite", name, i);
    return 0;
}

static int flags(const uint8_t *v, uint64_t n, const char *name, reason_t *why) {
    for (uint64_t i = 0; v && i < n; i++)
        if (v[i] > 1)
            return reason_set(why, "%s[%" PRIu64 "] = %u is no truth value", name, i, v[i]);
    return 0;
}

/* v: T rows of `words` numbers of 4 bytes, or NULL. Are the rows of timesteps without the slot
 * zero? */
static int rows_absent(const uint8_t *present, uint32_t T, const void *v, uint64_t words,
                       reason_t *why) {
    const uint32_t *word = v;
    for (uint64_t t = 0; v && t < T; t++) {
        if (present[t]) continue;
        for (uint64_t k = 0; k < words; k++)
            if (word[t * words + k])
                return reason_set(why, "step %" PRIu64 " lacks it and has numbers", t);
    }
    return 0;
}

static int check_present(const slot_t *s, const slot_data_t *d, uint32_t T, reason_t *why) {
    uint64_t cells = (uint64_t)d->grid_h * d->grid_w;
    if (!d->present) return 0;
    if (!holds(d)) return reason_set(why, "it says where it is, and is not there");
    if (flags(d->present, T, "present", why) || rows_absent(d->present, T, d->codes, cells, why) ||
        rows_absent(d->present, T, d->pixel_size, 1, why) ||
        rows_absent(d->present, T, d->vector, s->width, why) ||
        rows_absent(d->present, T, d->discrete, s->width, why) ||
        rows_absent(d->present, T, d->label_vector, s->width, why))
        return -1;
    return rows_absent(d->present, T, d->label_discrete, s->width, why);
}

static int check_pixels(const slot_data_t *d, uint32_t T, reason_t *why) {
    uint64_t bytes = 0;
    for (uint32_t t = 0; d->pixel_size && t < T; t++) bytes += d->pixel_size[t];
    if (!d->pixel_size != !d->pixels || bytes != d->pixels_bytes)
        return reason_set(why, "pixel_size does not add up to the pixels");
    for (uint32_t t = 0; d->pixel_size && t < T; t++)
        if (!d->pixel_size[t] && (!d->present || d->present[t]))
            return reason_set(why, "the pixels of step %u are missing", t);
    return 0;
}

/* No part of another kind of slot, where there is a slot at all. */
static int check_kind(const slot_t *s, const slot_data_t *d, reason_t *why) {
    const struct {
        const void *array;
        unsigned part;
    } all[] = {{d->codes, PART_CODES},
               {d->pixels, PART_PIXELS},
               {d->pixel_size, PART_PIXEL_SIZE},
               {d->text, PART_TEXT},
               {d->vector, PART_VECTOR},
               {d->discrete, PART_DISCRETE},
               {d->label_vector, PART_LABEL_VECTOR},
               {d->label_discrete, PART_LABEL_DISCRETE}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].array && !part_fits(all[i].part, s))
            return reason_set(why, "a part that belongs to another kind of slot");
    return 0;
}

/* Bounds T * grid_h * grid_w, which also keeps every later product inside 64 bits. */
static int check_grid(const slot_data_t *d, uint32_t T, reason_t *why) {
    uint64_t cells = (uint64_t)d->grid_h * d->grid_w;
    if (cells > 1u << 30 || cells * T > (uint64_t)1 << 40)
        return reason_set(why, "%" PRIu32 " grids of %" PRIu32 "x%" PRIu32, T, d->grid_h,
                          d->grid_w);
    if (d->codes && !cells) return reason_set(why, "codes without a grid");
    return 0;
}

/* Values against their ranges; the arrays' lengths are right already. */
static int check_data(const shard_meta_t *m, const slot_t *s, const slot_data_t *d, uint32_t T,
                      reason_t *why) {
    uint64_t codes = (uint64_t)T * d->grid_h * d->grid_w, numbers = (uint64_t)T * s->width;
    if (d->codes && ids_below(d->codes, codes, m->codes, "codes", why)) return -1;
    if (d->text && ids_below(d->text, d->text_len, m->text_vocab, "text", why)) return -1;
    if (d->prompt_len > (d->text ? d->text_len : 0))
        return reason_set(why, "a prompt longer than the text");
    if (all_finite(d->vector, numbers, "vector", why) ||
        all_finite(d->label_vector, numbers, "label_vector", why) ||
        columns_below(d->discrete, T, s, "discrete", why) ||
        columns_below(d->label_discrete, T, s, "label_discrete", why))
        return -1;
    return check_pixels(d, T, why) ? -1 : check_present(s, d, T, why);
}

/* Cheap checks that the lengths of arrays rest on. */
static int check_head(const shard_meta_t *m, const token_record_t *r, reason_t *why) {
    if (r->task >= m->tasks.n)
        return reason_set(why, "task %" PRIu32 " of %zu", r->task, m->tasks.n);
    if (r->T == 0) return reason_set(why, "a record without steps");
    record_kind_t kind = m->tasks.v[r->task].kind;
    if (kind != RECORD_EPISODE && r->T != 1)
        return reason_set(why, "%" PRIu32 " steps in a record of kind %s", r->T,
                          record_kind_names[kind]);
    return 0;
}

static int check_slots(const shard_meta_t *m, const token_record_t *r, reason_t *why) {
    const task_t *task = &m->tasks.v[r->task];
    reason_t cause;
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *s = &task->slot[i];
        const slot_data_t *d = &r->slot[i];
        char name[TASK_NAME + 64];
        if (check_kind(s, d, &cause) || check_grid(d, r->T, &cause) ||
            check_data(m, s, d, r->T, &cause))
            return reason_set(why, "%s: %s", slot_text(s, name), cause.text);
    }
    for (uint32_t i = task->n_slots; i < TASK_SLOTS; i++)
        if (holds(&r->slot[i])) return reason_set(why, "slot %u of %u", i, task->n_slots);
    return 0;
}

static int check_values(const shard_meta_t *m, const token_record_t *r, reason_t *why) {
    if (check_slots(m, r, why) || all_finite(r->rewards, r->T, "rewards", why) ||
        flags(r->terminated, r->T, "terminated", why) ||
        flags(r->truncated, r->T, "truncated", why))
        return -1;
    return flags(r->success, r->T, "success", why);
}

/* ---- to bytes ---- */

typedef struct {
    const shard_meta_t *meta;
    const token_record_t *r;
    const task_t *task;
    uint32_t sizes[TASK_SLOTS][4];
    uint16_t *narrow[TASK_SLOTS]; /* copies of ids that are stored as u16, owned */
} building_t;

static value_part_t part_of(char type, uint64_t count, const void *data) {
    return (value_part_t){.type = type, .count = count, .data = data};
}

/* Ids below a vocabulary, as u16 when the vocabulary is small. *narrow is the copy, to be freed. */
static value_part_t ids_part(const uint32_t *id, uint64_t n, uint32_t vocab, uint16_t **narrow) {
    if (!id || vocab > SMALL) return part_of('I', n, id);
    *narrow = xmalloc(n * sizeof **narrow);
    for (uint64_t i = 0; i < n; i++) (*narrow)[i] = (uint16_t)id[i];
    return part_of('H', n, *narrow);
}

/* What slot i has of a part; data NULL: nothing. */
static value_part_t slot_part(building_t *b, unsigned part, uint32_t i) {
    const slot_data_t *d = &b->r->slot[i];
    uint64_t T = b->r->T, numbers = T * b->task->slot[i].width;
    switch (part) {
    case PART_CODES:
        return ids_part(d->codes, T * d->grid_h * d->grid_w, b->meta->codes, &b->narrow[i]);
    case PART_TEXT:
        return ids_part(d->text, d->text_len, b->meta->text_vocab, &b->narrow[i]);
    case PART_VECTOR:
        return part_of('f', numbers, d->vector);
    case PART_DISCRETE:
        return part_of('I', numbers, d->discrete);
    case PART_LABEL_VECTOR:
        return part_of('f', numbers, d->label_vector);
    case PART_LABEL_DISCRETE:
        return part_of('I', numbers, d->label_discrete);
    case PART_PRESENT:
        return part_of('B', T, d->present);
    case PART_PIXEL_SIZE:
        return part_of('I', T, d->pixel_size);
    case PART_PIXELS:
        return part_of('B', d->pixels_bytes, d->pixels);
    case PART_PROMPT:
        return part_of('I', 1, d->prompt_len ? &d->prompt_len : NULL);
    default:
        b->sizes[i][0] = d->grid_h;
        b->sizes[i][1] = d->grid_w;
        b->sizes[i][2] = d->image_h;
        b->sizes[i][3] = d->image_w;
        return part_of('I', 4, d->codes || d->pixels ? b->sizes[i] : NULL);
    }
}

/* What the record has of a part that belongs to no slot. */
static value_part_t record_part(const token_record_t *r, unsigned part) {
    switch (part) {
    case PART_KEY:
        return part_of('B', r->key_len, r->key ? r->key : "");
    case PART_SOURCE:
        return part_of('B', r->source_len, r->source ? r->source : "");
    case PART_REWARDS:
        return part_of('f', r->T, r->rewards);
    case PART_TERMINATED:
        return part_of('B', r->T, r->terminated);
    case PART_TRUNCATED:
        return part_of('B', r->T, r->truncated);
    case PART_IMAGE_HASH:
        return part_of('I', 2, r->image_hash);
    case PART_LABEL:
        return part_of('B', r->label_len, r->label);
    default:
        return part_of('B', r->T, r->success);
    }
}

/* Adds a part unless it is empty. */
static void add(value_part_t *list, size_t *n, unsigned number, uint32_t slot, value_part_t part) {
    if (!part.data) return;
    if (*n == VALUE_PARTS) BUG("a record of more than %d parts", VALUE_PARTS);
    part.part = (uint16_t)number;
    part.slot = (uint8_t)slot;
    list[(*n)++] = part;
}

uint8_t *token_record_build(const shard_meta_t *m, uint64_t id, const token_record_t *r,
                            size_t *size, reason_t *why) {
    if (check_head(m, r, why) || check_values(m, r, why)) return NULL;
    building_t b = {.meta = m, .r = r, .task = &m->tasks.v[r->task]};
    value_part_t list[VALUE_PARTS];
    size_t n = 0;
    for (unsigned part = PART_KEY; part <= PART_SUCCESS; part++) {
        if (!is_slot_part(part)) add(list, &n, part, 0, record_part(r, part));
        for (uint32_t i = 0; i < b.task->n_slots; i++)
            if (is_slot_part(part) && part_fits(part, &b.task->slot[i]))
                add(list, &n, part, i, slot_part(&b, part, i));
    }
    head_t h = {r->task, r->T, r->first_step};
    uint8_t *v = value_build((token_key_t){TAG_RECORD, 0, id}, &h, sizeof h, list, n, size);
    for (uint32_t i = 0; i < TASK_SLOTS; i++) free(b.narrow[i]);
    return v;
}

/* ---- back ---- */

/* A part of exactly `count` elements of `type`, or NULL when it is absent. Counts in *bad a part
 * that is there and is not so. */
static const void *take(const value_t *v, unsigned part, unsigned slot, char type, uint64_t count,
                        int *bad) {
    const value_part_t *p = value_part(v, part, slot);
    if (!p) return NULL;
    if (p->type == type && p->count == count) return p->data;
    ++*bad;
    return NULL;
}

/* Bytes of any number below 2^32. */
static const void *take_bytes(const value_t *v, unsigned part, uint32_t *count, int *bad) {
    const value_part_t *p = value_part(v, part, 0);
    if (!p) return NULL;
    if (p->count > UINT32_MAX || p->type != 'B') {
        ++*bad;
        return NULL;
    }
    *count = (uint32_t)p->count;
    return p->data;
}

/* Do parts stand where they belong: those of a slot at one that may have them? */
static int check_places(const value_t *v, const task_t *task, reason_t *why) {
    for (unsigned i = 0; i < v->n; i++) {
        const value_part_t *p = &v->part[i];
        if (!is_slot_part(p->part)) {
            if (p->slot) return reason_set(why, "part %u belongs to no slot", p->part);
            continue;
        }
        if (p->slot >= task->n_slots || !part_fits(p->part, &task->slot[p->slot]))
            return reason_set(why, "part %u at slot %u, which has none", p->part, p->slot);
    }
    return 0;
}

static void take_sizes(const value_t *v, unsigned i, slot_data_t *d, int *bad) {
    const uint32_t *sizes = take(v, PART_SIZES, i, 'I', 4, bad);
    if (!sizes) return;
    d->grid_h = sizes[0];
    d->grid_w = sizes[1];
    d->image_h = sizes[2];
    d->image_w = sizes[3];
}

/* The parts of slot i, all but ids. */
static void take_slot(const value_t *v, unsigned i, const slot_t *s, uint64_t T, slot_data_t *d,
                      int *bad) {
    const value_part_t *pixels = value_part(v, PART_PIXELS, i);
    uint64_t numbers = T * s->width;
    d->present = take(v, PART_PRESENT, i, 'B', T, bad);
    d->vector = take(v, PART_VECTOR, i, 'f', numbers, bad);
    d->discrete = take(v, PART_DISCRETE, i, 'I', numbers, bad);
    d->label_vector = take(v, PART_LABEL_VECTOR, i, 'f', numbers, bad);
    d->label_discrete = take(v, PART_LABEL_DISCRETE, i, 'I', numbers, bad);
    d->pixel_size = take(v, PART_PIXEL_SIZE, i, 'I', T, bad);
    if (pixels) {
        d->pixels_bytes = pixels->count;
        d->pixels = take(v, PART_PIXELS, i, 'B', pixels->count, bad);
    }
    const uint32_t *prompt = take(v, PART_PROMPT, i, 'I', 1, bad);
    if (prompt) d->prompt_len = *prompt;
}

/* Ids of a slot as they stand in the file. */
typedef struct {
    const void *data;
    uint64_t n;
    bool small; /* u16, to be widened */
} ids_t;

static ids_t find_ids(const value_t *v, unsigned i, const shard_meta_t *m, const slot_t *s,
                      uint32_t T, slot_data_t *d, int *bad) {
    bool image = s->kind == SLOT_IMAGE;
    unsigned part = image ? PART_CODES : PART_TEXT;
    const value_part_t *p = value_part(v, part, i);
    ids_t ids = {.small = (image ? m->codes : m->text_vocab) <= SMALL};
    if (!p) return ids;
    ids.n = image ? (uint64_t)T * d->grid_h * d->grid_w : p->count;
    if (!image && ids.n > UINT32_MAX) ++*bad;
    if (!image) d->text_len = (uint32_t)ids.n;
    ids.data = take(v, part, i, ids.small ? 'H' : 'I', ids.n, bad);
    return ids;
}

/* Ids as u32: those that are stored as u16 go to *to, which moves behind them. An empty text is
 * there all the same: its pointer stays that of the part. */
static const uint32_t *widen(const ids_t *ids, uint32_t **to) {
    const uint16_t *narrow = ids->data;
    if (!ids->data || !ids->small || !ids->n) return ids->data;
    for (uint64_t i = 0; i < ids->n; i++) (*to)[i] = narrow[i];
    *to += ids->n;
    return *to - ids->n;
}

/* Codes and text may be stored as u16: all are widened into one block, r->owned. */
static void take_ids(const value_t *v, const shard_meta_t *m, const task_t *task, token_record_t *r,
                     int *bad) {
    ids_t ids[TASK_SLOTS] = {{0}};
    uint64_t n = 0;
    for (uint32_t i = 0; i < task->n_slots; i++) {
        ids[i] = find_ids(v, i, m, &task->slot[i], r->T, &r->slot[i], bad);
        if (ids[i].data && ids[i].small) n += ids[i].n;
    }
    if (*bad) return;
    uint32_t *to = n ? xmalloc(n * sizeof *to) : NULL;
    r->owned = to;
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const uint32_t *wide = widen(&ids[i], &to);
        if (task->slot[i].kind == SLOT_IMAGE) r->slot[i].codes = wide;
        if (task->slot[i].kind == SLOT_TEXT) r->slot[i].text = wide;
    }
}

static int take_slots(const value_t *v, const shard_meta_t *m, token_record_t *r, int *bad,
                      reason_t *why) {
    const task_t *task = &m->tasks.v[r->task];
    if (check_places(v, task, why)) return -1;
    for (uint32_t i = 0; i < task->n_slots; i++) {
        slot_data_t *d = &r->slot[i];
        reason_t cause;
        take_sizes(v, i, d, bad);
        if (check_grid(d, r->T, &cause)) {
            char name[TASK_NAME + 64];
            return reason_set(why, "%s: %s", slot_text(&task->slot[i], name), cause.text);
        }
        take_slot(v, i, &task->slot[i], r->T, d, bad);
    }
    take_ids(v, m, task, r, bad);
    return 0;
}

static int take_parts(const value_t *v, const shard_meta_t *m, token_record_t *r, reason_t *why) {
    int bad = 0;
    r->key = take_bytes(v, PART_KEY, &r->key_len, &bad);
    r->source = take_bytes(v, PART_SOURCE, &r->source_len, &bad);
    if (!r->key || !r->source) return reason_set(why, "no key or no source");
    r->label = take_bytes(v, PART_LABEL, &r->label_len, &bad);
    r->rewards = take(v, PART_REWARDS, 0, 'f', r->T, &bad);
    r->terminated = take(v, PART_TERMINATED, 0, 'B', r->T, &bad);
    r->truncated = take(v, PART_TRUNCATED, 0, 'B', r->T, &bad);
    r->success = take(v, PART_SUCCESS, 0, 'B', r->T, &bad);
    r->image_hash = take(v, PART_IMAGE_HASH, 0, 'I', 2, &bad);
    if (take_slots(v, m, r, &bad, why)) return -1;
    return bad ? reason_set(why, "a part whose size does not fit its steps") : 0;
}

int token_record_parse(const uint8_t *v, size_t size, uint64_t id, const shard_meta_t *m,
                       token_record_t *r, reason_t *why) {
    value_t value;
    head_t h;
    *r = (token_record_t){0};
    int rc = value_parse(v, size, (token_key_t){TAG_RECORD, 0, id}, sizeof h, &value, why);
    if (rc) return rc;
    memcpy(&h, value.head, sizeof h);
    *r = (token_record_t){.task = h.task, .T = h.T, .first_step = h.first_step};
    if (check_head(m, r, why) || take_parts(&value, m, r, why) || check_values(m, r, why)) {
        token_record_release(r);
        return RC_DATA;
    }
    return 0;
}

void token_record_release(token_record_t *r) {
    free(r->owned);
    *r = (token_record_t){0};
}
