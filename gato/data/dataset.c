/* dataset.c - see dataset.h. */
#include "gato/data/dataset.h"

#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/base/sizes.h"
#include "common/io/split.h"
#include "gato/task/scaling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* What memory keeps of a record. */
typedef struct {
    record_kind_t kind;
    bool held;
    uint32_t T, text_len;
    uint32_t span; /* timesteps (control) or text tokens per sequence */
    uint32_t image_tokens;
    uint64_t key_hash;
} item_t;

typedef struct {
    char *path;
    double weight;
    token_db_t *db;
    scaling_map_t map; /* from its actions to those of the model */
    item_t *item;
    size_t n;
    uint64_t *side[2]; /* record numbers of training and held-out side */
    size_t n_side[2];
    uint64_t *sequences[2]; /* [n_side + 1] how many sequences come before each */
} shard_t;

struct dataset {
    gato_config_t config;
    gato_facts_t facts;
    shard_t *shard;
    size_t n;
    double weight; /* of all shards with a training side */
};

void sequence_release(sequence_t *w) {
    token_record_release(&w->record);
    free(w->step);
    free(w->actions);
    free(w->labels);
    *w = (sequence_t){0};
}

/* ---- one record ---- */

static void read_record(const shard_t *s, uint64_t i, token_record_t *r) {
    reason_t why;
    if (token_db_get(s->db, i, r, &why)) die(RC_DATA, "'%s': %s", s->path, why.text);
}

/* Refuses NaN, and infinite numbers if `finite`: they have a bin, but a linear layer cannot take
 * them. */
static void check_numbers(const shard_t *s, const token_record_t *r, const char *field,
                          const float *v, size_t width, bool finite) {
    if (!v) return;
    for (size_t i = 0; i < (size_t)r->T * width; i++)
        if (isnan(v[i]) || (finite && isinf(v[i])))
            die(RC_DATA, "'%s': record '%.*s', step %llu: %s[%zu] is %s", s->path, (int)r->key_len,
                r->key, (unsigned long long)(r->first_step + i / width), field, i % width,
                isnan(v[i]) ? "NaN" : "infinite");
}

static size_t record_image_tokens(const dataset_t *d, const shard_t *s, const token_record_t *r) {
    bool pixels = d->config.model.image_in == IMAGE_IN_PATCHES;
    if (pixels && !r->pixels && r->codes)
        die(RC_MISFIT,
            "'%s': record '%.*s' keeps no pixels (tokenize --keep-pixels); model.image_in = "
            "patches needs them",
            s->path, (int)r->key_len, r->key);
    if (!pixels && !r->codes && r->pixels)
        die(RC_MISFIT,
            "'%s': record '%.*s' holds pixels but no codes; only model.image_in = patches reads "
            "pixels",
            s->path, (int)r->key_len, r->key);
    if (pixels ? !r->pixels : !r->codes) return 0;
    reason_t why;
    size_t rows, cols;
    size_t n = gato_image_tokens(&d->config, r->grid_h, r->grid_w, r->image_h, r->image_w, &rows,
                                 &cols, &why);
    if (!n) die(RC_USAGE, "'%s': record '%.*s': %s", s->path, (int)r->key_len, r->key, why.text);
    return n;
}

static layout_t record_layout(const dataset_t *d, const shard_t *s, const token_record_t *r,
                              size_t text) {
    return gato_layout(&d->config, &d->facts, record_image_tokens(d, s, r), text,
                       r->kind == RECORD_EPISODE);
}

/* How many timesteps or text tokens of this record one sequence holds. */
static uint32_t record_span(const dataset_t *d, const shard_t *s, const token_record_t *r) {
    size_t context = (size_t)d->config.model.context;
    bool control = r->kind == RECORD_EPISODE;
    layout_t l = record_layout(d, s, r, control && d->config.model.control_text ? r->text_len : 0);
    size_t tokens = layout_tokens(&l), least = tokens + (!control && r->text_len ? 1 : 0);
    if (least > context)
        die(RC_USAGE,
            "'%s': record '%.*s': a timestep of %zu tokens is longer than the context of %zu "
            "(model.context)",
            s->path, (int)r->key_len, r->key, least, context);
    if (!control) return (uint32_t)(context - tokens);
    size_t fit = context / tokens;
    return (uint32_t)(d->config.train.window ? (size_t)d->config.train.window : fit);
}

typedef struct {
    const dataset_t *d;
    shard_t *s;
} scan_t;

static void scan_item(void *ctx, size_t i) {
    scan_t *scan = ctx;
    shard_t *s = scan->s;
    const gato_facts_t *f = &scan->d->facts;
    token_record_t r;
    read_record(s, i, &r);
    bool linear = scan->d->config.model.vector_in == VECTOR_IN_LINEAR;
    check_numbers(s, &r, "continuous", r.continuous, f->n_continuous, linear);
    check_numbers(s, &r, "actions", r.actions, f->n_actions, false);
    check_numbers(s, &r, "label_actions", r.label_actions, f->n_actions, true);
    s->item[i] = (item_t){
        .kind = r.kind, .T = r.T, .text_len = r.text_len, .key_hash = XXH64(r.key, r.key_len, 0)};
    s->item[i].span = record_span(scan->d, s, &r);
    s->item[i].image_tokens = (uint32_t)record_image_tokens(scan->d, s, &r);
    token_record_release(&r);
}

/* ---- split ---- */

typedef struct {
    const shard_t *s;
    int by;
} names_t;

/* The group of a record: pieces of an episode share its key; images are grouped as in their
 * source. */
static const char *group_name(void *ctx, size_t i, char buf[512]) {
    const names_t *names = ctx;
    token_record_t r;
    read_record(names->s, i, &r);
    if (r.kind == RECORD_EPISODE)
        split_whole(r.key, r.key_len, buf);
    else
        split_group(r.key, r.key_len, (split_by_t)names->by, buf);
    token_record_release(&r);
    return buf;
}

static const char *item_name(void *ctx, size_t i, char buf[512]) {
    const names_t *names = ctx;
    snprintf(buf, 512, "%016llx", (unsigned long long)names->s->item[i].key_hash);
    return buf;
}

static size_t item_sequences(const item_t *t) {
    size_t n = t->kind == RECORD_EPISODE ? t->T : t->text_len;
    return n ? ceil_div(n, t->span) : 1;
}

static void split_shard(shard_t *s, const gato_config_t *c) {
    bool *held = xcalloc(s->n, sizeof *held);
    names_t names = {s, c->data.split_by};
    split_items(s->n, c->data.holdout, group_name, item_name, &names, held);
    for (int side = 0; side < 2; side++) {
        s->side[side] = xcalloc(s->n, sizeof *s->side[side]);
        s->sequences[side] = xcalloc(s->n + 1, sizeof *s->sequences[side]);
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++) {
            if (held[i] != (side == SIDE_VAL)) continue;
            s->side[side][n] = i;
            s->sequences[side][n + 1] = s->sequences[side][n] + item_sequences(&s->item[i]);
            n++;
        }
        s->n_side[side] = n;
    }
    for (size_t i = 0; i < s->n; i++) s->item[i].held = held[i];
    free(held);
}

/* ---- opening ---- */

static bool looks_at_codes(const gato_config_t *c) {
    return c->model.image_in != IMAGE_IN_PATCHES;
}

static void open_shard(dataset_t *d, shard_t *s, const char *spec) {
    reason_t why;
    int rc = RC_RUNTIME;
    s->weight = source_spec_split(spec, &s->path);
    s->db = token_db_open(s->path, &rc, &why);
    if (!s->db) die(rc, "%s", why.text);
    s->n = (size_t)token_db_count(s->db);
    if (!s->n) die(RC_DATA, "'%s' holds no records", s->path);
    gato_facts_t f;
    if (gato_facts_from_meta(&f, token_db_meta(s->db), &why))
        die(RC_MISFIT, "'%s': %s", s->path, why.text);
    if (s == d->shard) {
        d->facts = f;
        return;
    }
    bool both = d->facts.n_actions && f.n_actions;
    if (both && !d->facts.leaves != !f.leaves)
        warn("'%s' was made by an earlier version and does not name its columns: they may differ "
             "from those of '%s' (tokenize it again to compare them)",
             f.leaves ? d->shard->path : s->path, f.leaves ? s->path : d->shard->path);
    if (gato_facts_merge(&d->facts, &f, looks_at_codes(&d->config), &why))
        die(RC_MISFIT, "'%s' and '%s' do not fit: %s", d->shard->path, s->path, why.text);
    gato_facts_release(&f);
}

/* Shards of mixed image sizes name none; the size of the first episode then counts. */
static void size_from_episode(dataset_t *d) {
    for (size_t k = 0; k < d->n && (!d->facts.grid_h || !d->facts.image_h); k++) {
        for (size_t i = 0; i < d->shard[k].n; i++) {
            token_record_t r;
            read_record(&d->shard[k], i, &r);
            bool found = r.kind == RECORD_EPISODE;
            if (found && !d->facts.grid_h) {
                d->facts.grid_h = r.grid_h;
                d->facts.grid_w = r.grid_w;
            }
            if (found && !d->facts.image_h) {
                d->facts.image_h = r.image_h;
                d->facts.image_w = r.image_w;
            }
            token_record_release(&r);
            if (found) break;
        }
    }
}

/* Adds a record's numbers to sum and squares [n_continuous]; returns its timesteps. */
static size_t add_moments(const shard_t *s, uint64_t record, size_t n, double *sum,
                          double *squares) {
    token_record_t r;
    read_record(s, record, &r);
    size_t steps = r.continuous ? r.T : 0;
    for (size_t i = 0; i < steps * n; i++) {
        double v = (double)r.continuous[i];
        sum[i % n] += v;
        squares[i % n] += v * v;
    }
    token_record_release(&r);
    return steps;
}

/* Mean and standard deviation of the numbers of an observation over the first training records:
 * enough for a start. */
static void measure_vector(dataset_t *d) {
    enum { RECORDS = 4096 };
    size_t n = d->facts.n_continuous, steps = 0;
    double *sum = xcalloc(2 * n, sizeof *sum), *squares = sum + n;
    for (size_t k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->shard[k].n_side[SIDE_TRAIN] && i < RECORDS; i++)
            steps += add_moments(&d->shard[k], d->shard[k].side[SIDE_TRAIN][i], n, sum, squares);
    if (!steps) {
        free(sum);
        return;
    }
    d->facts.vector_mean = xcalloc(n, sizeof(float));
    d->facts.vector_deviation = xcalloc(n, sizeof(float));
    for (size_t j = 0; j < n; j++) {
        double mean = sum[j] / (double)steps, variance = squares[j] / (double)steps - mean * mean;
        bool varies = variance > 1e-12 * (1 + mean * mean);
        d->facts.vector_mean[j] = (float)mean;
        d->facts.vector_deviation[j] = varies ? (float)sqrt(variance) : 1;
    }
    free(sum);
}

dataset_t *dataset_open(const cli_list_t *specs, const gato_config_t *c) {
    if (!specs->n) die(RC_USAGE, "no --data given");
    dataset_t *d = NEW(dataset_t);
    d->config = *c;
    d->n = specs->n;
    d->shard = xcalloc(d->n, sizeof *d->shard);
    for (size_t k = 0; k < d->n; k++) open_shard(d, &d->shard[k], specs->item[k]);
    if (looks_at_codes(c) && d->facts.codes && !d->facts.codebook &&
        c->model.image_in != IMAGE_IN_TABLE)
        die(RC_MISFIT, "'%s' carries no codebook; only model.image_in = table works without one",
            d->shard->path);
    if (!d->facts.text_vocab)
        d->facts.text_vocab = 257; /* bytes: the policy can learn text later */
    if (!d->facts.text_tokenizer) d->facts.text_tokenizer = xstrdup("byte");
    size_from_episode(d);
    for (size_t k = 0; k < d->n; k++) {
        shard_t *s = &d->shard[k];
        s->item = xcalloc(s->n, sizeof *s->item);
        scan_t scan = {d, s};
        parallel_for(s->n, scan_item, &scan);
        split_shard(s, c);
        if (s->n_side[SIDE_TRAIN]) d->weight += s->weight;
    }
    if (c->model.vector_in == VECTOR_IN_LINEAR && d->facts.n_continuous) measure_vector(d);
    return d;
}

/* ---- scaling of actions ---- */

/* Feeds the actions of training record i, counted over all shards. */
static void feed_actions(void *ctx, size_t i, scaling_sink_t *sink) {
    const dataset_t *d = ctx;
    const shard_t *s = d->shard;
    token_record_t r;
    for (; i >= s->n_side[SIDE_TRAIN]; s++) i -= s->n_side[SIDE_TRAIN];
    read_record(s, s->side[SIDE_TRAIN][i], &r);
    const float *rows[2] = {r.actions, r.label_actions};
    for (size_t side = 0; side < 2; side++) {
        if (!rows[side]) continue;
        for (size_t k = 0; k < (size_t)r.T * s->map.n; k++) {
            size_t column = k % s->map.n;
            scaling_put(sink, column, scaling_units(&s->map.column[column], rows[side][k]));
        }
    }
    token_record_release(&r);
}

static void map_shards(dataset_t *d) {
    for (size_t k = 0; k < d->n; k++) {
        scaling_map_release(&d->shard[k].map);
        scaling_map_init(&d->shard[k].map, token_db_meta(d->shard[k].db), &d->facts);
    }
}

void dataset_scale_actions(dataset_t *d, const gato_facts_t *policy) {
    if (!d->facts.n_actions) return;
    map_shards(d);
    if (policy) {
        scaling_adopt(&d->facts, policy);
    } else {
        scaling_choose(&d->facts, dataset_records(d, SIDE_TRAIN), feed_actions, d);
        scaling_report(&d->facts);
    }
    map_shards(d);
}

void dataset_close(dataset_t *d) {
    if (!d) return;
    for (size_t k = 0; k < d->n; k++) {
        shard_t *s = &d->shard[k];
        token_db_close(s->db);
        scaling_map_release(&s->map);
        for (int side = 0; side < 2; side++) {
            free(s->side[side]);
            free(s->sequences[side]);
        }
        free(s->item);
        free(s->path);
    }
    gato_facts_release(&d->facts);
    free(d->shard);
    free(d);
}

const gato_facts_t *dataset_facts(const dataset_t *d) {
    return &d->facts;
}
size_t dataset_sources(const dataset_t *d) {
    return d->n;
}
const char *dataset_source(const dataset_t *d, size_t source) {
    return d->shard[source].path;
}

size_t dataset_source_records(const dataset_t *d, size_t source, side_t side) {
    return side == SIDE_ALL ? d->shard[source].n : d->shard[source].n_side[side];
}

size_t dataset_records(const dataset_t *d, side_t side) {
    size_t n = 0;
    for (size_t k = 0; k < d->n; k++) n += dataset_source_records(d, k, side);
    return n;
}

dataset_kinds_t dataset_kinds(const dataset_t *d, size_t first, size_t end) {
    dataset_kinds_t k = {0};
    for (size_t i = first; i < end; i++) {
        const shard_t *s = &d->shard[i];
        for (size_t j = 0; j < s->n_side[SIDE_TRAIN]; j++) {
            const item_t *t = &s->item[s->side[SIDE_TRAIN][j]];
            bool control = t->kind == RECORD_EPISODE;
            size_t steps = t->span < t->T ? t->span : t->T;
            k.episodes += control;
            k.texts += !control && t->text_len > 0;
            k.images += t->image_tokens > 0;
            k.mission |= control && t->text_len > 0;
            if (t->image_tokens > k.image_tokens) k.image_tokens = t->image_tokens;
            if (control && steps > k.steps) k.steps = steps;
            if (control && t->image_tokens && steps > k.image_steps) k.image_steps = steps;
        }
    }
    return k;
}

uint64_t dataset_manifest(const dataset_t *d) {
    XXH64_state_t *h = XXH64_createState();
    if (!h) die(RC_RUNTIME, "out of memory (hash state)");
    XXH64_reset(h, 0);
    for (size_t k = 0; k < d->n; k++) {
        const shard_t *s = &d->shard[k];
        const char *print = token_db_meta(s->db)->fingerprint;
        XXH64_update(h, print ? print : "", print ? strlen(print) : 0);
        XXH64_update(h, &s->weight, sizeof s->weight);
        for (size_t i = 0; i < s->n; i++) {
            uint64_t word[3] = {s->item[i].key_hash, s->item[i].T, s->item[i].text_len};
            XXH64_update(h, word, sizeof word);
        }
    }
    uint64_t v = XXH64_digest(h);
    XXH64_freeState(h);
    return v;
}

/* ---- sequences ---- */

static void begin_sequence(const shard_t *s, uint64_t id, sequence_t *w) {
    *w = (sequence_t){.shard = s->path};
    token_record_t *r = &w->record;
    read_record(s, id, r);
    if (!s->map.column) return;
    w->actions = scaling_map(&s->map, r->actions, r->T);
    w->labels = scaling_map(&s->map, r->label_actions, r->T);
    if (w->actions) r->actions = w->actions;
    if (w->labels) r->label_actions = w->labels;
}

static void append_steps(sequence_t *w, size_t first, size_t n) {
    w->step = xrealloc(w->step, (w->n_steps + n) * sizeof *w->step);
    for (size_t i = 0; i < n; i++) w->step[w->n_steps++] = (uint32_t)(first + i);
}

/* Sequence `index` of a record that is cut into consecutive ones. */
static void cut(const shard_t *s, uint64_t id, size_t index, sequence_t *w) {
    const item_t *t = &s->item[id];
    begin_sequence(s, id, w);
    size_t first = index * t->span;
    if (t->kind == RECORD_EPISODE) {
        append_steps(w, first, min_size(t->span, t->T - first));
        w->text_len = t->text_len;
    } else {
        append_steps(w, 0, 1);
        w->text_first = first;
        w->text_len = min_size(t->span, t->text_len - first);
    }
}

static size_t round_half_even(double x) {
    return (size_t)nearbyint(x); /* the default rounding direction */
}

void dataset_prompt_split(size_t steps, size_t *prompt, size_t *main_part) {
    *main_part = round_half_even((double)steps / 2);
    if (!*main_part) *main_part = steps; /* one timestep has no room for a prompt */
    *prompt = steps - *main_part;
}

enum { DRAW_START, DRAW_PROMPT, DRAW_PIECE };

/* Appends prompt and main part. Where an episode is shorter than either, that is the whole
 * episode. */
static void prompted_steps(const item_t *t, rng_t r, bool end, sequence_t *w) {
    size_t prompt, main_part;
    dataset_prompt_split(t->span, &prompt, &main_part);
    prompt = min_size(prompt, t->T);
    main_part = min_size(main_part, t->T);
    size_t room = t->T - prompt;
    append_steps(w, end ? room : rng_below(r, DRAW_PROMPT, (uint32_t)room + 1), prompt);
    w->n_prompt = prompt;
    append_steps(w, rng_below(r, DRAW_START, (uint32_t)(t->T - main_part) + 1), main_part);
}

static const shard_t *choose_shard(const dataset_t *d, rng_t r) {
    double at = rng_uniform64(r, 0) * d->weight;
    const shard_t *last = NULL;
    for (size_t k = 0; k < d->n; k++) {
        const shard_t *s = &d->shard[k];
        if (!s->n_side[SIDE_TRAIN]) continue;
        last = s;
        at -= s->weight;
        if (at < 0) break;
    }
    if (!last) BUG("no shard has a training side");
    return last;
}

/* Each shard goes through permutations of its n records: sample number g is record g % n of
 * permutation g / n. */
void dataset_sample(const dataset_t *d, uint64_t seed, uint64_t step, size_t index, size_t per_step,
                    sequence_t *w) {
    uint64_t g = step * per_step + index;
    rng_t r = rng_fold(rng_make(seed, "gato.data"), g);
    const shard_t *s = choose_shard(d, rng_fold(r, 0));
    uint64_t n = s->n_side[SIDE_TRAIN];
    rng_t order = rng_fold(rng_fold(rng_make(seed, "gato.order"), (uint64_t)(s - d->shard)), g / n);
    uint64_t id = s->side[SIDE_TRAIN][rng_permute(order, g % n, n)];
    const item_t *t = &s->item[id];
    rng_t draw = rng_fold(r, 1);
    if (t->kind != RECORD_EPISODE) {
        cut(s, id, rng_below(draw, DRAW_PIECE, (uint32_t)item_sequences(t)), w);
    } else {
        size_t prompted = round_half_even(d->config.train.prompt * (double)per_step);
        size_t by_end = round_half_even((double)prompted / 2);
        begin_sequence(s, id, w);
        w->text_len = t->text_len;
        if (index < prompted) {
            prompted_steps(t, draw, index < by_end, w);
        } else {
            size_t length = min_size(t->span, t->T);
            append_steps(w, rng_below(draw, DRAW_START, (uint32_t)(t->T - length) + 1), length);
        }
    }
    w->sample = g;
}

static void side_range(side_t side, int *first, int *end) {
    *first = side == SIDE_VAL ? 1 : 0;
    *end = side == SIDE_TRAIN ? 1 : 2;
}

size_t dataset_sequences(const dataset_t *d, size_t source, side_t side) {
    const shard_t *s = &d->shard[source];
    int first, end;
    size_t n = 0;
    side_range(side, &first, &end);
    for (int k = first; k < end; k++) n += s->sequences[k][s->n_side[k]];
    return n;
}

void dataset_sequence(const dataset_t *d, size_t source, side_t side, size_t i, sequence_t *w) {
    const shard_t *s = &d->shard[source];
    int k, end;
    side_range(side, &k, &end);
    for (; k < end && i >= s->sequences[k][s->n_side[k]]; k++) i -= s->sequences[k][s->n_side[k]];
    if (k == end) BUG("sequence beyond the last of source %zu", source);
    size_t low = 0, high = s->n_side[k]; /* the last record with sequences[low] <= i */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (s->sequences[k][middle] <= i)
            low = middle;
        else
            high = middle;
    }
    cut(s, s->side[k][low], i - s->sequences[k][low], w);
    w->sample = i;
}

bool dataset_first_sequence(const dataset_t *d, size_t source, uint64_t id, sequence_t *w) {
    const shard_t *s = &d->shard[source];
    if (id >= s->n) return false;
    cut(s, id, 0, w);
    return true;
}
