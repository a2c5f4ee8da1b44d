/* batch.c - see batch.h. */
#include "gato/model/batch.h"

#include "common/base/sizes.h"
#include "common/io/image/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POSITIONS = 128 };

/* ---- arrays ---- */

static int32_t *ints_more(ints_t *a, size_t n) {
    a->v = xgrow(a->v, &a->cap, a->n + n, sizeof *a->v);
    a->n += n;
    return a->v + a->n - n;
}

static void put(ints_t *a, int32_t v) {
    *ints_more(a, 1) = v;
}

static float *floats_more(floats_t *a, size_t n) {
    a->v = xgrow(a->v, &a->cap, a->n + n, sizeof *a->v);
    a->n += n;
    return a->v + a->n - n;
}

static void put_float(floats_t *a, float v) {
    *floats_more(a, 1) = v;
}

/* Every array of the batch, for clearing and releasing. */
/* clang-format off */
#define EACH_INTS(b, F) \
    F((b)->start) F((b)->at) F((b)->inner) F((b)->step) F((b)->id) F((b)->mask) \
    F((b)->token) F((b)->code) F((b)->row) F((b)->col) \
    F((b)->continuous.position) F((b)->continuous.target) \
    F((b)->continuous.sequence) F((b)->continuous.text) \
    F((b)->other.position) F((b)->other.target) F((b)->other.sequence) F((b)->other.text) \
    F((b)->separator) F((b)->future) F((b)->future_code)
#define EACH_FLOATS(b, F) \
    F((b)->pixel) F((b)->vector) \
    F((b)->continuous.weight) F((b)->continuous.value) \
    F((b)->other.weight) F((b)->other.value) \
    F((b)->action) F((b)->action_weight)
#define CLEAR(a) (a).n = 0;
#define RELEASE(a) free((a).v);
/* clang-format on */

void batch_init(batch_t *b, const gato_config_t *c, const gato_facts_t *f) {
    *b = (batch_t){.config = c, .facts = f, .tokens = gato_tokens(c, f)};
    put(&b->start, 0);
}

void batch_release(batch_t *b) {
    EACH_INTS(b, RELEASE)
    EACH_FLOATS(b, RELEASE)
    *b = (batch_t){0};
}

void batch_clear(batch_t *b, bool train, uint64_t seed, uint64_t step) {
    EACH_INTS(b, CLEAR)
    EACH_FLOATS(b, CLEAR)
    b->images = b->targets = b->target_sequences = 0;
    b->train = train;
    b->positions = rng_fold(rng_make(seed, "gato.positions"), step);
    put(&b->start, 0);
}

size_t batch_sequences(const batch_t *b) {
    return b->start.n - 1;
}
size_t batch_positions(const batch_t *b) {
    return b->at.n;
}
size_t batch_longest(const batch_t *b) {
    size_t longest = 0;
    for (size_t i = 0; i + 1 < b->start.n; i++) {
        size_t n = (size_t)(b->start.v[i + 1] - b->start.v[i]);
        if (n > longest) longest = n;
    }
    return longest;
}

/* ---- images ---- */

void batch_patches(const uint8_t *rgb, size_t h, size_t w, size_t patch, float *out) {
    size_t rows = ceil_div(h, patch), cols = ceil_div(w, patch);
    float root = sqrtf((float)patch);
    for (size_t i = 0; i < rows * cols; i++)
        for (size_t y = 0; y < patch; y++)
            for (size_t x = 0; x < patch; x++)
                for (size_t c = 0; c < 3; c++) {
                    size_t Y = i / cols * patch + y, X = i % cols * patch + x;
                    float v = Y < h && X < w ? (float)rgb[(Y * w + X) * 3 + c] : 0;
                    *out++ = (v / 255 * 2 - 1) / root;
                }
}

/* Rows and columns of the position tables for an image of rows x cols tokens: one draw per row and
 * one per column. */
static void put_places(batch_t *b, size_t rows, size_t cols, uint64_t sample, int32_t step) {
    const gato_config_t *c = b->config;
    bool none = c->model.patch_pos == POS_NONE, closed = c->model.patch_pos == POS_GATO;
    bool mean = !b->train || (c->model.image_in != IMAGE_IN_PATCHES && !c->model.code_pos_random);
    rng_t r = rng_fold(rng_fold(b->positions, sample), (uint64_t)step);
    int32_t *row = ints_more(&b->row, rows * cols), *col = ints_more(&b->col, rows * cols);
    for (size_t i = 0; i < rows * cols; i++) {
        size_t y = i / cols, x = i % cols;
        row[i] = none ? -1 : layout_position(y, rows, POSITIONS, closed, mean, rng_uniform(r, y));
        col[i] =
            none ? -1 : layout_position(x, cols, POSITIONS, closed, mean, rng_uniform(r, rows + x));
    }
}

/* The codes of merged token i: its m x m block, row by row. */
static void merged_codes(const uint32_t *codes, size_t grid_w, size_t m, size_t cols, size_t i,
                         int32_t *out) {
    for (size_t a = 0; a < m; a++)
        for (size_t e = 0; e < m; e++)
            *out++ = (int32_t)codes[(i / cols * m + a) * grid_w + i % cols * m + e];
}

static size_t image_rows(const batch_t *b, const timestep_t *s, size_t *rows, size_t *cols) {
    bool pixels = b->config->model.image_in == IMAGE_IN_PATCHES;
    if (pixels ? !s->rgb : !s->codes) return 0;
    reason_t why;
    size_t n = gato_image_tokens(b->config, s->grid_h, s->grid_w, s->image_h, s->image_w, rows,
                                 cols, &why);
    if (!n) die(RC_USAGE, "%s", why.text);
    return n;
}

static void put_image(batch_t *b, const timestep_t *s, size_t rows, size_t cols, uint64_t sample,
                      int32_t step) {
    size_t n = rows * cols, m = (size_t)b->config->model.merge, p = (size_t)b->config->model.patch;
    if (b->config->model.image_in == IMAGE_IN_PATCHES) {
        batch_patches(s->rgb, s->image_h, s->image_w, p, floats_more(&b->pixel, n * p * p * 3));
    } else {
        int32_t *code = ints_more(&b->code, n * m * m);
        for (size_t i = 0; i < n; i++)
            merged_codes(s->codes, s->grid_w, m, cols, i, code + i * m * m);
    }
    put_places(b, rows, cols, sample, step);
    b->images += n;
}

/* ---- positions ---- */

static void put_position(batch_t *b, int pool, size_t row, uint32_t id, int32_t inner, int32_t step,
                         bool target) {
    if (row >> POOL_SHIFT) BUG("a batch of %zu rows", row);
    put(&b->at, (int32_t)((size_t)pool << POOL_SHIFT | row));
    put(&b->inner, inner);
    put(&b->step, step);
    put(&b->id, (int32_t)id);
    put(&b->mask, target);
}

static void put_token(batch_t *b, uint32_t id, int32_t inner, int32_t step, bool target) {
    put_position(b, POOL_TOKEN, b->token.n, id, inner, step, target);
    put(&b->token, (int32_t)id);
}

void batch_token(batch_t *b, uint32_t id, int32_t inner, int32_t step) {
    put_token(b, id, inner, step, false);
}

/* Makes the token about to be added a target of the one before it, if the sequence has one. */
static void put_target(batch_t *b, targets_t *t, uint32_t target, float value, bool text) {
    if (b->at.n == (size_t)b->start.v[b->start.n - 1]) return;
    put(&t->position, (int32_t)b->at.n - 1);
    put(&t->target, (int32_t)target);
    put_float(&t->weight, 1);
    put_float(&t->value, value);
    put(&t->sequence, (int32_t)b->start.n - 1);
    put(&t->text, text);
}

static void put_part(batch_t *b, const timestep_t *s, part_t part, size_t n, size_t image_row,
                     int32_t inner, int32_t step) {
    for (size_t i = 0; i < n; i++, inner++) {
        int32_t place = b->config->model.inner_pos ? inner : -1;
        switch (part) {
        case PART_IMAGE: {
            /* with a table of codes, the code is a row of the vocabulary; otherwise there is
             * none */
            uint32_t id =
                b->tokens.codes ? tokens_codes(&b->tokens) + (uint32_t)b->code.v[image_row + i] : 0;
            put_position(b, POOL_IMAGE, image_row + i, id, place, step, false);
            break;
        }
        case PART_TEXT:
            if (s->text_target && i >= s->text_given) put_target(b, &b->other, s->text[i], 0, true);
            put_token(b, s->text[i], place, step, s->text_target && i >= s->text_given);
            break;
        case PART_CONTINUOUS:
            if (b->config->model.vector_in == VECTOR_IN_BINS) {
                put_token(b,
                          tokens_continuous(&b->tokens) +
                              tokens_bin_observation(&b->tokens, s->continuous[i]),
                          place, step, false);
            } else {
                uint32_t width = b->facts->n_continuous;
                put_position(b, POOL_VECTOR, b->vector.n / width, 0, place, step, false);
                memcpy(floats_more(&b->vector, width), s->continuous, width * sizeof(float));
            }
            break;
        case PART_DISCRETE:
            put_token(b, tokens_discrete(&b->tokens) + s->discrete[i], place, step, false);
            break;
        default:
            BUG("part %d is no observation", (int)part);
        }
    }
}

void batch_begin(batch_t *b) {
    if (b->start.v[b->start.n - 1] != (int32_t)b->at.n) BUG("the last sequence was not ended");
}

size_t batch_observation(batch_t *b, const timestep_t *s, int32_t step, uint64_t sample) {
    size_t rows = 0, cols = 0, image = image_rows(b, s, &rows, &cols), image_row = b->images,
           before = b->at.n;
    bool control = !s->text_target;
    layout_t l = gato_layout(b->config, b->facts, image, s->text_len, control);
    if (!s->continuous) l.count[PART_CONTINUOUS] = 0;
    if (!s->discrete) l.count[PART_DISCRETE] = 0;
    if (image) put_image(b, s, rows, cols, sample, step);
    for (size_t i = 0; i < PARTS; i++) {
        part_t part = layout_order(&l, i);
        if (part < PART_SEPARATOR)
            put_part(b, s, part, l.count[part], image_row, (int32_t)layout_start(&l, part), step);
    }
    put_position(b, POOL_SEPARATOR, 0, 0, -1, step, false);
    return b->at.n - before;
}

/* Adds the actions of one timestep; without `inputs` the continuous ones are targets only. */
static void put_actions(batch_t *b, const timestep_t *s, int32_t step, bool inputs) {
    const float *label = s->label_actions ? s->label_actions : s->actions;
    uint32_t n = s->actions ? b->facts->n_actions : 0, bins = b->tokens.bins;
    if (n) {
        put(&b->separator, (int32_t)b->at.n - 1);
        put_float(&b->action_weight, 1);
        memcpy(floats_more(&b->action, n), label, n * sizeof *label);
    }
    for (uint32_t i = 0; i < n; i++) {
        put_target(b, &b->continuous, tokens_continuous(&b->tokens) + tokens_bin(label[i], bins),
                   label[i], false);
        if (inputs)
            put_token(b, tokens_continuous(&b->tokens) + tokens_bin(s->actions[i], bins), -1, step,
                      true);
    }
    if (!s->discrete_actions) return;
    for (uint32_t i = 0; i < b->facts->n_discrete_actions; i++) {
        uint32_t id = tokens_discrete(&b->tokens) + s->discrete_actions[i];
        put_target(b, &b->other, id, 0, false);
        put_token(b, id, -1, step, true);
    }
}

void batch_actions(batch_t *b, const timestep_t *s, int32_t step) {
    put_actions(b, s, step, true);
}

static size_t count_sequence(const targets_t *t, int32_t sequence) {
    size_t n = 0;
    for (size_t i = t->sequence.n; i-- > 0 && t->sequence.v[i] == sequence;) n++;
    return n;
}

static void share_weight(targets_t *t, size_t last, float weight) {
    for (size_t i = t->weight.n - last; i < t->weight.n; i++) t->weight.v[i] = weight;
}

void batch_end(batch_t *b) {
    int32_t sequence = (int32_t)b->start.n - 1;
    /* With regression, continuous action tokens are not targets. */
    bool tokens = b->config->loss.action_kind != ACTION_MSE;
    size_t c = count_sequence(&b->continuous, sequence), o = count_sequence(&b->other, sequence);
    size_t all = (tokens ? c : 0) + o;
    size_t a = 0;
    for (size_t i = b->separator.n; i-- > 0 && b->separator.v[i] >= b->start.v[sequence];) a++;
    if (b->config->loss.per_sequence && all) {
        share_weight(&b->continuous, c, 1 / (float)all);
        share_weight(&b->other, o, 1 / (float)all);
    }
    if (b->config->loss.per_sequence)
        for (size_t i = b->action_weight.n - a; i < b->action_weight.n; i++)
            b->action_weight.v[i] = 1 / (float)a;
    b->targets += all;
    b->target_sequences += all > 0;
    put(&b->start, (int32_t)b->at.n);
}

/* ---- sequences ---- */

/* Decodes the image of one timestep from the record's PNGs. */
static void decode_step(const sequence_t *w, uint32_t step, image_t *im) {
    uint64_t offset = 0;
    for (uint32_t i = 0; i < step; i++) offset += w->record.pixel_size[i];
    image_opts_t o = image_opts_default();
    reason_t why;
    if (image_decode(im, w->record.pixels + offset, w->record.pixel_size[step], &o, &why))
        die(RC_DATA, "'%s': record '%.*s', step %u: %s", w->shard, (int)w->record.key_len,
            w->record.key, step, why.text);
    if (im->h != w->record.image_h || im->w != w->record.image_w)
        die(RC_DATA,
            "'%s': record '%.*s', step %u: an image of %zu x %zu where %u x %u is declared",
            w->shard, (int)w->record.key_len, w->record.key, step, im->w, im->h, w->record.image_w,
            w->record.image_h);
}

static timestep_t sequence_step(const batch_t *b, const sequence_t *w, uint32_t t) {
    const token_record_t *r = &w->record;
    const gato_facts_t *f = b->facts;
    size_t cells = (size_t)r->grid_h * r->grid_w;
    bool control = r->kind == RECORD_EPISODE,
         text = r->text && (!control || b->config->model.control_text);
    timestep_t s = {.codes = r->codes ? r->codes + t * cells : NULL,
                    .grid_h = r->grid_h,
                    .grid_w = r->grid_w,
                    .text = text ? r->text + w->text_first : NULL,
                    .text_len = text ? w->text_len : 0,
                    .text_target = !control,
                    .text_given =
                        r->prompt_len > w->text_first ? r->prompt_len - w->text_first : 0};
    if (!control) return s;
    s.continuous = r->continuous ? r->continuous + (size_t)t * f->n_continuous : NULL;
    s.discrete = r->discrete ? r->discrete + (size_t)t * f->n_discrete : NULL;
    s.actions = r->actions ? r->actions + (size_t)t * f->n_actions : NULL;
    s.label_actions = r->label_actions ? r->label_actions + (size_t)t * f->n_actions : NULL;
    s.discrete_actions =
        r->discrete_actions ? r->discrete_actions + (size_t)t * f->n_discrete_actions : NULL;
    return s;
}

/* Makes image tokens targets: with horizon 1 of the token before them, with k > 1 of the same place
 * k steps earlier. Never across the seam between prompt and main part, where the next timestep of
 * the sequence is not the next one of the episode. */
static void put_futures(batch_t *b, const sequence_t *w, const size_t *first, const size_t *count) {
    const token_record_t *r = &w->record;
    size_t m = (size_t)b->config->model.merge, k = (size_t)b->config->loss.horizon;
    size_t cells = (size_t)r->grid_h * r->grid_w, cols = r->grid_w / m;
    for (size_t t = 0; t < w->n_steps; t++) {
        bool far = k > 1, linked = t > 0 && w->step[t] == w->step[t - 1] + 1;
        if (far && (t < k || w->step[t] != w->step[t - k] + k)) continue;
        for (size_t j = 0; j < count[t]; j++) {
            if (!far && ((j == 0 && t > 0 && !linked) ||
                         first[t] + j == (size_t)b->start.v[b->start.n - 1]))
                continue;
            put(&b->future, (int32_t)(far ? first[t - k] + j : first[t] + j - 1));
            merged_codes(r->codes + w->step[t] * cells, r->grid_w, m, cols, j,
                         ints_more(&b->future_code, m * m));
        }
    }
}

void batch_add_sequence(batch_t *b, const sequence_t *w) {
    bool pixels = b->config->model.image_in == IMAGE_IN_PATCHES && w->record.pixels;
    size_t *first = xcalloc(w->n_steps, sizeof *first), *count = xcalloc(w->n_steps, sizeof *count);
    batch_begin(b);
    for (size_t i = 0; i < w->n_steps; i++) {
        timestep_t s = sequence_step(b, w, w->step[i]);
        image_t im = {0};
        if (pixels) {
            decode_step(w, w->step[i], &im);
            s.rgb = im.rgb;
            s.image_h = im.h;
            s.image_w = im.w;
        }
        size_t rows, cols;
        count[i] = image_rows(b, &s, &rows, &cols);
        first[i] = b->at.n + (b->config->model.text_first ? s.text_len : 0);
        batch_observation(b, &s, (int32_t)i, w->sample);
        /* Regression reads at the separator: nothing reads the last action tokens of a training
         * sequence. */
        bool unread = b->train && b->config->loss.action_kind == ACTION_MSE && i + 1 == w->n_steps;
        put_actions(b, &s, (int32_t)i, !unread || s.discrete_actions);
        image_release(&im);
    }
    if (b->config->loss.image > 0 && w->record.codes && !pixels) put_futures(b, w, first, count);
    batch_end(b);
    free(first);
    free(count);
}
