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
    uint32_t kind, T, grid_h, grid_w, image_h, image_w;
    uint64_t first_step;
} head_t;
_Static_assert(sizeof(head_t) == RECORD_HEAD, "no padding");

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
static int columns_below(const uint32_t *id, uint32_t T, uint32_t width, const uint32_t *range,
                         const char *name, reason_t *why) {
    for (uint64_t i = 0; i < (uint64_t)T * width; i++)
        if (id[i] >= range[i % width])
            return reason_set(why, "%s[%" PRIu64 "] = %" PRIu32 " is not below %" PRIu32, name, i,
                              id[i], range[i % width]);
    return 0;
}

static int all_finite(const float *v, uint64_t n, const char *name, reason_t *why) {
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(v[i])) return reason_set(why, "%s[%" PRIu64 "] is not finite", name, i);
    return 0;
}

static int flags(const uint8_t *v, uint64_t n, const char *name, reason_t *why) {
    for (uint64_t i = 0; i < n; i++)
        if (v[i] > 1)
            return reason_set(why, "%s[%" PRIu64 "] = %u is no truth value", name, i, v[i]);
    return 0;
}

/* Values against their ranges; the arrays' lengths are right already. */
static int check_values(const shard_meta_t *m, const token_record_t *r, reason_t *why) {
    uint64_t codes = (uint64_t)r->T * r->grid_h * r->grid_w,
             actions = (uint64_t)r->T * m->n_actions;
    if (r->codes && ids_below(r->codes, codes, m->codes, "codes", why)) return -1;
    if (r->text && ids_below(r->text, r->text_len, m->text_vocab, "text", why)) return -1;
    if (r->discrete &&
        columns_below(r->discrete, r->T, m->n_discrete, m->discrete_range, "discrete", why))
        return -1;
    if (r->discrete_actions && columns_below(r->discrete_actions, r->T, m->n_discrete_actions,
                                             m->discrete_action_range, "discrete_actions", why))
        return -1;
    if (r->continuous &&
        all_finite(r->continuous, (uint64_t)r->T * m->n_continuous, "continuous", why))
        return -1;
    if (r->actions && all_finite(r->actions, actions, "actions", why)) return -1;
    if (r->label_actions && all_finite(r->label_actions, actions, "label_actions", why)) return -1;
    if (r->rewards && all_finite(r->rewards, r->T, "rewards", why)) return -1;
    if (r->terminated && flags(r->terminated, r->T, "terminated", why)) return -1;
    if (r->truncated && flags(r->truncated, r->T, "truncated", why)) return -1;
    uint64_t pixels = 0;
    for (uint32_t t = 0; r->pixel_size && t < r->T; t++) pixels += r->pixel_size[t];
    if (!r->pixel_size != !r->pixels || pixels != r->pixels_bytes)
        return reason_set(why, "pixel_size does not add up to the pixels");
    if (r->prompt_len > r->text_len) return reason_set(why, "a prompt longer than the text");
    return 0;
}

/* Bounds T * grid_h * grid_w, which also keeps every later product inside 64 bits. */
static int check_head(const token_record_t *r, reason_t *why) {
    uint64_t cells = (uint64_t)r->grid_h * r->grid_w;
    if (r->kind > RECORD_TEXT) return reason_set(why, "record kind %d", (int)r->kind);
    if (r->T == 0) return reason_set(why, "a record without steps");
    if (cells > 1u << 30 || cells * r->T > (uint64_t)1 << 40)
        return reason_set(why, "%" PRIu32 " grids of %" PRIu32 "x%" PRIu32, r->T, r->grid_h,
                          r->grid_w);
    return 0;
}

/* ---- to bytes ---- */

static value_part_t part_of(unsigned part, char type, uint64_t count, const void *data) {
    return (value_part_t){(uint16_t)part, type, count, data};
}

/* Ids below a vocabulary, as u16 when the vocabulary is small. *narrow is the copy, to be freed. */
static value_part_t ids_part(unsigned part, const uint32_t *id, uint64_t n, uint32_t vocab,
                             uint16_t **narrow) {
    *narrow = NULL;
    if (!id || vocab > SMALL) return part_of(part, 'I', n, id);
    *narrow = xmalloc(n * sizeof **narrow);
    for (uint64_t i = 0; i < n; i++) (*narrow)[i] = (uint16_t)id[i];
    return part_of(part, 'H', n, *narrow);
}

static const void *if_wide(const void *p, uint32_t width) {
    return width ? p : NULL;
}

/* Each array of the record in the order of the parts. */
static uint8_t *build(const shard_meta_t *m, uint64_t id, const token_record_t *r, size_t *size) {
    head_t h = {r->kind, r->T, r->grid_h, r->grid_w, r->image_h, r->image_w, r->first_step};
    uint64_t T = r->T, actions = T * m->n_actions;
    uint16_t *codes, *text;
    value_part_t part[] = {
        part_of(PART_KEY, 'B', r->key_len, r->key ? r->key : ""),
        part_of(PART_SOURCE, 'B', r->source_len, r->source ? r->source : ""),
        ids_part(PART_CODES, r->codes, T * r->grid_h * r->grid_w, m->codes, &codes),
        ids_part(PART_TEXT, r->text, r->text_len, m->text_vocab, &text),
        part_of(PART_CONTINUOUS, 'f', T * m->n_continuous, if_wide(r->continuous, m->n_continuous)),
        part_of(PART_DISCRETE, 'I', T * m->n_discrete, if_wide(r->discrete, m->n_discrete)),
        part_of(PART_ACTIONS, 'f', actions, if_wide(r->actions, m->n_actions)),
        part_of(PART_DISCRETE_ACTIONS, 'I', T * m->n_discrete_actions,
                if_wide(r->discrete_actions, m->n_discrete_actions)),
        part_of(PART_LABEL_ACTIONS, 'f', actions, if_wide(r->label_actions, m->n_actions)),
        part_of(PART_REWARDS, 'f', T, r->rewards),
        part_of(PART_TERMINATED, 'B', T, r->terminated),
        part_of(PART_TRUNCATED, 'B', T, r->truncated),
        part_of(PART_PIXEL_SIZE, 'I', T, r->pixel_size),
        part_of(PART_PIXELS, 'B', r->pixels_bytes, r->pixels),
        part_of(PART_IMAGE_HASH, 'I', 2, r->image_hash),
        part_of(PART_PROMPT, 'I', 1, r->prompt_len ? &r->prompt_len : NULL),
        part_of(PART_LABEL, 'B', r->label_len, r->label),
    };
    uint8_t *v = value_build((token_key_t){TAG_RECORD, 0, id}, &h, sizeof h, part,
                             sizeof part / sizeof *part, size);
    free(codes);
    free(text);
    return v;
}

uint8_t *token_record_build(const shard_meta_t *m, uint64_t id, const token_record_t *r,
                            size_t *size, reason_t *why) {
    if (check_head(r, why) || check_values(m, r, why)) return NULL;
    return build(m, id, r, size);
}

/* ---- back ---- */

/* A part of exactly `count` elements of `type`, or NULL when it is absent. Counts in *bad a part
 * that is there and is not so. */
static const void *take(const value_t *v, unsigned part, char type, uint64_t count, int *bad) {
    const value_part_t *p = value_part(v, part);
    if (!p) return NULL;
    if (p->type == type && p->count == count) return p->data;
    ++*bad;
    return NULL;
}

/* Writes n ids as u32 to *to, which moves behind them. Returns the first. */
static const uint32_t *widen(const void *narrow, uint64_t n, uint32_t **to) {
    for (uint64_t i = 0; i < n; i++) (*to)[i] = ((const uint16_t *)narrow)[i];
    *to += n;
    return *to - n;
}

/* Codes and text may be stored as u16: both are widened into one block, r->owned. */
static void take_ids(const value_t *v, const shard_meta_t *m, token_record_t *r, int *bad) {
    const value_part_t *text = value_part(v, PART_TEXT);
    uint64_t n_codes = (uint64_t)r->T * r->grid_h * r->grid_w, n_text = text ? text->count : 0;
    bool small_codes = m->codes <= SMALL, small_text = m->text_vocab <= SMALL;
    const void *codes = take(v, PART_CODES, small_codes ? 'H' : 'I', n_codes, bad);
    const void *words = take(v, PART_TEXT, small_text ? 'H' : 'I', n_text, bad);
    if (n_text > UINT32_MAX) ++*bad;
    if (*bad) return;
    r->text_len = (uint32_t)n_text;
    uint64_t n = (codes && small_codes ? n_codes : 0) + (words && small_text ? n_text : 0);
    uint32_t *to = n ? xmalloc(n * sizeof *to) : NULL;
    r->owned = to;
    r->codes = codes && small_codes ? widen(codes, n_codes, &to) : codes;
    /* An empty text is there all the same: its pointer stays that of the part. */
    r->text = words && small_text && n_text ? widen(words, n_text, &to) : words;
}

static int take_parts(const value_t *v, const shard_meta_t *m, token_record_t *r, reason_t *why) {
    int bad = 0;
    uint64_t T = r->T;
    const value_part_t *key = value_part(v, PART_KEY), *source = value_part(v, PART_SOURCE),
                       *pixels = value_part(v, PART_PIXELS), *label = value_part(v, PART_LABEL);
    if (!key || !source || key->type != 'B' || source->type != 'B' || key->count > UINT32_MAX ||
        source->count > UINT32_MAX)
        return reason_set(why, "no key or no source");
    r->key = key->data;
    r->key_len = (uint32_t)key->count;
    r->source = source->data;
    r->source_len = (uint32_t)source->count;
    take_ids(v, m, r, &bad);
    r->continuous = take(v, PART_CONTINUOUS, 'f', T * m->n_continuous, &bad);
    r->discrete = take(v, PART_DISCRETE, 'I', T * m->n_discrete, &bad);
    r->actions = take(v, PART_ACTIONS, 'f', T * m->n_actions, &bad);
    r->discrete_actions = take(v, PART_DISCRETE_ACTIONS, 'I', T * m->n_discrete_actions, &bad);
    r->label_actions = take(v, PART_LABEL_ACTIONS, 'f', T * m->n_actions, &bad);
    r->rewards = take(v, PART_REWARDS, 'f', T, &bad);
    r->terminated = take(v, PART_TERMINATED, 'B', T, &bad);
    r->truncated = take(v, PART_TRUNCATED, 'B', T, &bad);
    r->pixel_size = take(v, PART_PIXEL_SIZE, 'I', T, &bad);
    if (label && label->count > UINT32_MAX) ++bad;
    if (label && !bad) {
        r->label_len = (uint32_t)label->count;
        r->label = take(v, PART_LABEL, 'B', label->count, &bad);
    }
    if (pixels) {
        r->pixels_bytes = pixels->count;
        r->pixels = take(v, PART_PIXELS, 'B', pixels->count, &bad);
    }
    r->image_hash = take(v, PART_IMAGE_HASH, 'I', 2, &bad);
    const uint32_t *prompt = take(v, PART_PROMPT, 'I', 1, &bad);
    if (prompt) r->prompt_len = *prompt;
    return bad ? reason_set(why, "a part whose size does not fit its steps") : 0;
}

int token_record_parse(const uint8_t *v, size_t size, uint64_t id, const shard_meta_t *m,
                       token_record_t *r, reason_t *why) {
    value_t value;
    head_t h;
    memset(r, 0, sizeof *r);
    int rc = value_parse(v, size, (token_key_t){TAG_RECORD, 0, id}, sizeof h, &value, why);
    if (rc) return rc;
    memcpy(&h, value.head, sizeof h);
    /* An unknown kind becomes one that check_head refuses. */
    *r = (token_record_t){.kind = h.kind > RECORD_TEXT ? RECORD_TEXT + 1 : (record_kind_t)h.kind,
                          .T = h.T,
                          .grid_h = h.grid_h,
                          .grid_w = h.grid_w,
                          .image_h = h.image_h,
                          .image_w = h.image_w,
                          .first_step = h.first_step};
    if (check_head(r, why) || take_parts(&value, m, r, why) || check_values(m, r, why)) {
        token_record_release(r);
        return RC_DATA;
    }
    return 0;
}

void token_record_release(token_record_t *r) {
    free(r->owned);
    memset(r, 0, sizeof *r);
}
