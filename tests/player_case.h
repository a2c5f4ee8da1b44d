/* player_case.h - policies at play, small enough to be run whole: their RUN, what they see, games.
 */
#ifndef TESTS_PLAYER_CASE_H
#define TESTS_PLAYER_CASE_H

#include "tests/folder.h"
#include "tests/test.h"
#include "tests/vqvae_folder.h"

#include "common/io/text/text_tokenizer.h"
#include "gato/model/graph.h"
#include "gato/play/player.h"
#include "gato/run/run.h"

enum { WIDTH = 16, VECTOR = 3, ACTIONS = 2, BINS = 16, LONGEST = 200, TEXT_LEN = 6 };
static const double TOLERANCE = 1e-4;

/* One folder for all tests: "run" is the policy at hand. */
__attribute__((constructor)) static void begin(void) {
    folder_open();
}
__attribute__((destructor)) static void end(void) {
    if (!child_self) folder_remove();
}

/* ---- policies ---- */

/* What a body has beside an observed vector. */
enum {
    HAS_IMAGE = 1,    /* 16 x 8 'image' */
    HAS_WRIST = 2,    /* 8 x 8 'wrist' */
    HAS_TEXT = 4,     /* 'mission' */
    HAS_VALUE = 8,    /* discrete 'value', two columns */
    HAS_ACTION = 16,  /* vector 'action' of ACTIONS */
    HAS_CHOICE = 32,  /* discrete 'choice' of one column */
    HAS_CHOICES = 64, /* discrete 'choices' of three columns */
    HAS_GRIP = 128,   /* vector 'grip' of one column */
    HAS_LARGE = 512,  /* 32 x 16 'large' */
    HAS_BPE = 256     /* 'mission' is read by tests/reference/bpe/gpt2.json, not as bytes */
};
typedef struct {
    const char *name, *set[6];
    unsigned has;
} kind_t;
static const kind_t kinds[] = {
    {"bins", {"model.vector_in=bins"}, HAS_ACTION},
    {"linear", {"model.vector_in=linear"}, HAS_ACTION},
    {"mse", {"model.vector_in=linear", "loss.action_kind=mse"}, HAS_ACTION},
    {"mse of bins, gated", {"loss.action_kind=mse", "model.activation=geglu"}, HAS_ACTION},
    {"mix", {"loss.action_kind=mix", "model.inner_pos=false"}, HAS_ACTION},
    {"codes", {"model.vector_in=linear"}, HAS_ACTION | HAS_IMAGE},
    {"merged codes, mse", {"model.merge=2", "loss.action_kind=mse"}, HAS_ACTION | HAS_IMAGE},
    {"table", {"model.image_in=table"}, HAS_ACTION | HAS_IMAGE},
    {"patches",
     {"model.image_in=patches", "model.patch=4", "model.patch_mid=6", "model.patch_groups=3"},
     HAS_ACTION | HAS_IMAGE},
};
enum { BIN, LINEAR, MSE, MSE_BIN, MIX, CODES, MERGED, TABLE, PATCHES, KINDS };

static inline bool kind_says(const kind_t *k, const char *setting) {
    for (size_t i = 0; i < 6 && k->set[i]; i++)
        if (!strcmp(k->set[i], setting)) return true;
    return false;
}
static inline bool has_images(const kind_t *k) {
    return k->has & (HAS_IMAGE | HAS_WRIST | HAS_LARGE);
}
static inline bool has_patches(const kind_t *k) {
    return kind_says(k, "model.image_in=patches");
}
static inline bool regresses(const kind_t *k) {
    return kind_says(k, "loss.action_kind=mse");
}

/* Tokens of a timestep, by hand. */
static inline size_t tokens_of(const kind_t *k, unsigned has) {
    size_t merged = kind_says(k, "model.merge=2") ? 4 : kind_says(k, "model.merge=4") ? 16 : 1;
    size_t n = kind_says(k, "model.vector_in=linear") ? 1 : VECTOR;
    if (has & HAS_IMAGE) n += 8 / merged;
    if (has & HAS_WRIST) n += 4 / merged;
    if (has & HAS_LARGE) n += 32 / merged;
    if (has & HAS_TEXT) n += TEXT_LEN;
    if (has & HAS_VALUE) n += 2;
    n++;
    if (has & HAS_ACTION) n += ACTIONS;
    if (has & HAS_GRIP) n++;
    if (has & HAS_CHOICE) n++;
    if (has & HAS_CHOICES) n += 3;
    return n;
}

static inline void add_image(task_t *t, const char *name, uint32_t w, uint32_t h) {
    slot_t *s = task_add(t, SLOT_IMAGE, SIDE_OBSERVED, name, 1);
    s->image_w = w;
    s->image_h = h;
}

static inline void add_discrete(task_t *t, slot_side_t side, const char *name, uint32_t width) {
    slot_t *s = task_add(t, SLOT_DISCRETE, side, name, width);
    s->range = xcalloc(width, sizeof *s->range);
    for (uint32_t i = 0; i < width; i++) s->range[i] = 40 + 7 * i;
}

static inline void add_acted(task_t *t, const char *name, uint32_t width) {
    slot_t *s = task_add(t, SLOT_VECTOR, SIDE_ACTED, name, width);
    for (uint32_t i = 0; i < width; i++) s->low[i] = -1, s->high[i] = 1;
}

/* What an environment declares. Release with task_release. */
static inline task_t body_of(const char *name, unsigned has) {
    task_t t = task_new(name, RECORD_EPISODE);
    if (has & HAS_IMAGE) add_image(&t, "image", 16, 8);
    if (has & HAS_WRIST) add_image(&t, "wrist", 8, 8);
    if (has & HAS_LARGE) add_image(&t, "large", 32, 16);
    if (has & HAS_TEXT) task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "mission", 1);
    task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "state", VECTOR);
    if (has & HAS_VALUE) add_discrete(&t, SIDE_OBSERVED, "value", 2);
    if (has & HAS_ACTION) add_acted(&t, "action", ACTIONS);
    if (has & HAS_GRIP) add_acted(&t, "grip", 1);
    if (has & HAS_CHOICE) add_discrete(&t, SIDE_ACTED, "choice", 1);
    if (has & HAS_CHOICES) add_discrete(&t, SIDE_ACTED, "choices", 3);
    return t;
}

/* What bin b of column i stands for where columns have bins of their own. */
static inline double own_value(size_t i, size_t b, size_t bins) {
    double center = -1 + (2.0 * (double)b + 1) / (double)bins;
    return center * center * center / (double)(i + 1);
}

static inline void own_bins(slot_t *s, uint32_t bins) {
    s->n_bins = bins;
    s->bin_edges = floats_of(s->width * (bins - 1), 0);
    s->bin_values = floats_of(s->width * bins, 0);
    for (uint32_t i = 0; i < s->width; i++)
        for (uint32_t b = 0; b < bins; b++) {
            double v = own_value(i, b, bins);
            s->bin_values[i * bins + b] = (float)v;
            if (!b) continue;
            s->bin_edges[i * (bins - 1) + b - 1] = (float)((own_value(i, b - 1, bins) + v) / 2);
        }
}

/* What training has added to it. */
static inline void train_task(task_t *t, bool codes, uint32_t bins) {
    for (uint32_t k = 0; k < t->n_slots; k++) {
        slot_t *s = &t->slot[k];
        if (s->kind == SLOT_TEXT) s->text_len = TEXT_LEN;
        if (s->kind == SLOT_IMAGE && codes) s->grid_w = s->image_w / 4, s->grid_h = s->image_h / 4;
        if (s->kind != SLOT_VECTOR || s->side != SIDE_ACTED) continue;
        s->scale_low = floats_of(s->width, -1);
        s->scale_high = floats_of(s->width, 1);
        s->scaling = xcalloc(s->width, 1);
        if (bins) own_bins(s, bins);
    }
}

/* A tokenizer inside the run; what the policy knows of it. */
static inline vqvae_t *make_tokenizer(void) {
    char *dir = fs_join(in_folder("run"), "vqvae");
    reason_t why;
    int rc;
    if (fs_mkdirs(dir, &why)) BUG("%s", why.text);
    params_t *p = own_params(&OWN);
    write_run(dir, p, &OWN, NULL);
    params_free(p);
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    if (!v) BUG("%s", why.text);
    free(dir);
    return v;
}

static inline void save(const gato_model_t *m) {
    reason_t why;
    if (run_save(m, PARAMS_VALUE, in_folder("run"), &why)) BUG("%s", why.text);
}

/* Zeros and ones of the start would hide mistakes. */
static inline void shake(gato_model_t *m) {
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        float *x = params_ptr(m->params, PARAMS_VALUE, (int)i);
        rng_t r = rng_make(11, p->name);
        float size = strstr(p->name, "predict_action") ? 0.15f : 0.4f; /* few at the ends */
        if (strstr(p->name, "codebook")) continue;
        for (size_t e = 0; e < p->count; e++)
            x[e] = (x[e] > 0.99f ? 1 : 0) + size * rng_normal(r, e);
    }
}

/* FAST of tests/reference/fast/bytes.json for actions of any width; coefficients are small, so that
 * few actions end at a bound. */
static inline void add_fast(vocabulary_t *v, uint32_t chunk) {
    static const char processor[] = "{\"scale\":250,\"min_token\":-147}";
    uint8_t *bpe;
    size_t size;
    int rc;
    reason_t why;
    if (fs_read("tests/reference/fast/bytes.json", 1 << 20, &bpe, &size, &why)) BUG("%s", why.text);
    fast_t *f = fast_parse(processor, (char *)bpe, chunk, &rc, &why);
    if (!f) BUG("%s", why.text);
    v->fast = fast_ids(f);
    v->fast_name = xstrdup(fast_fingerprint(f));
    v->fast_processor = xstrdup(processor);
    v->fast_tokenizer = (char *)bpe;
    fast_free(f);
}

/* Writes the folder "run": tasks "body0", "body1", ... with the parts has[i]; the model in memory
 * is the oracle's. window: how many timesteps a token of the first task is to see. */
static inline gato_model_t *make_tasks(const kind_t *k, const unsigned *has, size_t n,
                                       size_t window, int layers) {
    gato_config_t c;
    reason_t why;
    char context[64], depth[64], width[64], name[32];
    size_t tokens = tokens_of(k, has[0]);
    snprintf(context, sizeof context, "model.context=%zu", window * tokens + tokens - 1);
    snprintf(depth, sizeof depth, "model.layers=%d", layers);
    snprintf(width, sizeof width, "model.width=%d", WIDTH);
    const char *const base[] = {width, "model.heads=2", "model.bins=16", depth, context};
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < sizeof base / sizeof *base; i++)
        config_set(gato_config_table, &c, base[i]);
    for (size_t i = 0; i < 6 && k->set[i]; i++) config_set(gato_config_table, &c, k->set[i]);
    if (gato_config_check(&c, &why) || fs_mkdirs(in_folder("run"), &why)) BUG("%s", why.text);
    char byte[] = "byte";
    vocabulary_t v = {.text = 257, .text_tokenizer = byte, .mu = 100, .M = 256};
    text_tokenizer_t *words = NULL;
    int rc;
    if (k->has & HAS_BPE) {
        words = text_tokenizer_bpe("tests/reference/bpe/gpt2.json", &rc, &why);
        if (!words) BUG("%s", why.text);
        v.text = text_tokenizer_ids(words);
        v.text_tokenizer = (char *)(uintptr_t)text_tokenizer_name(words);
        v.text_file = (char *)(uintptr_t)text_tokenizer_file(words);
    }
    vqvae_t *tokenizer = has_images(k) && !has_patches(k) ? make_tokenizer() : NULL;
    if (tokenizer) {
        v.codes = (uint32_t)OWN.codes;
        v.code_dim = (uint32_t)OWN.vq_embed_dim;
        v.codebook = (float *)(uintptr_t)vqvae_codebook_data(tokenizer);
        v.fingerprint = (char *)(uintptr_t)vqvae_fingerprint(tokenizer);
    }
    if (c.model.bin_kind == BIN_KIND_FAST) add_fast(&v, (uint32_t)c.model.chunk);
    tasks_t tasks = {0};
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "body%zu", i);
        task_t t = body_of(name, has[i]);
        train_task(&t, tokenizer, kind_says(k, "model.bin_kind=quantile") ? 16 : 0);
        tasks_add(&tasks, t);
    }
    gato_model_t *m = gato_model_new(&c, &v, &tasks, 5);
    tasks_release(&tasks);
    vqvae_free(tokenizer);
    text_tokenizer_free(words);
    free(v.fast_name);
    free(v.fast_processor);
    free(v.fast_tokenizer);
    shake(m);
    save(m);
    return m;
}

static inline gato_model_t *make_run(const kind_t *k, size_t window, int layers) {
    return make_tasks(k, &k->has, 1, window, layers);
}

/* The policy with every task bound to a body of the same parts, and so many lanes. */
static inline player_t *open_lanes(const player_opts_t *o, const unsigned *has, size_t n,
                                   size_t lanes) {
    int rc;
    reason_t why;
    char name[32];
    player_t *p = player_open(in_folder("run"), o, &rc, &why);
    if (!p || player_lanes(p, lanes, &why)) BUG("%s", why.text);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "body%zu", i);
        task_t body = body_of(name, has[i]);
        if (player_bind(p, &body, NULL, false, &why) != (int)i) BUG("%s", why.text);
        task_release(&body);
    }
    return p;
}

static inline player_t *open_run(const player_opts_t *o, const kind_t *k) {
    return open_lanes(o, &k->has, 1, 1);
}

/* ---- what is seen, and games ---- */

/* An episode of a body: what it shows is a function of the seed and the timestep. */
typedef struct {
    const task_t *task;
    uint64_t seed;
    const char *text;
    uint32_t missing; /* bits of slots that are not seen in two timesteps of three */
} scene_t;

typedef struct {
    env_observation_t seen;
    void *owned[TASK_SLOTS];
    size_t n_owned;
} view_t;

static inline void *view_own(view_t *v, size_t bytes) {
    return v->owned[v->n_owned++] = xcalloc(1, bytes);
}
static inline void view_release(view_t *v) {
    for (size_t i = 0; i < v->n_owned; i++) free(v->owned[i]);
}

static inline void show_slot(const slot_t *s, rng_t r, view_t *v, env_value_t *to) {
    if (s->kind == SLOT_IMAGE) {
        size_t n = (size_t)s->image_w * s->image_h * 3;
        uint8_t *rgb = view_own(v, n);
        for (size_t i = 0; i < n; i++) rgb[i] = (uint8_t)(rng_u64(r, i / 3 / 8) >> (i % 3 * 8));
        to->rgb = rgb;
    } else if (s->kind == SLOT_VECTOR) {
        float *x = view_own(v, s->width * sizeof *x);
        for (uint32_t i = 0; i < s->width; i++) x[i] = rng_normal(r, i) * (i == 1 ? 20 : 1);
        to->vector = x;
    } else if (s->kind == SLOT_DISCRETE) {
        uint32_t *x = view_own(v, s->width * sizeof *x);
        for (uint32_t i = 0; i < s->width; i++) x[i] = (uint32_t)(rng_u64(r, i) % s->range[i]);
        to->discrete = x;
    }
}

static inline void show(const scene_t *s, size_t t, view_t *v) {
    *v = (view_t){0};
    for (uint32_t k = 0; k < s->task->n_slots; k++) {
        const slot_t *slot = &s->task->slot[k];
        if (slot->side == SIDE_ACTED || ((s->missing >> k & 1) && t % 3)) continue;
        show_slot(slot, rng_fold(rng_fold(rng_make(s->seed, "seen"), t), k), v, &v->seen.slot[k]);
        if (slot->kind == SLOT_TEXT) v->seen.slot[k].text = s->text;
    }
}

typedef struct {
    size_t T;
    env_action_t action[LONGEST];
    float hidden[LONGEST][WIDTH];
} game_t;

static inline rng_t draw_of(size_t t) {
    return rng_fold(rng_make(3, "draw"), t);
}

/* Plays T timesteps of a scene in a lane; given: the actions of another game, or NULL. */
static inline bool play_lane(player_t *p, size_t lane, uint32_t task, const scene_t *s, size_t T,
                             const game_t *given, game_t *g) {
    reason_t why;
    g->T = T;
    player_reset(p, lane, task);
    for (size_t t = 0; t < T; t++) {
        view_t v;
        show(s, t, &v);
        player_turn_t turn = {.lane = lane,
                              .seen = &v.seen,
                              .given = given ? &given->action[t] : NULL,
                              .draw = draw_of(t)};
        int rc = player_push(p, &turn, 1, &why);
        view_release(&v);
        if (rc) {
            fprintf(stderr, "  %s\n", why.text);
            return false;
        }
        g->action[t] = turn.action;
        memcpy(g->hidden[t], player_hidden(p, lane), sizeof g->hidden[t]);
    }
    return true;
}

/* The first task of the policy's model in lane 0. */
static inline bool play(player_t *p, const char *text, size_t T, game_t *g) {
    scene_t s = {.task = &player_model(p)->tasks.v[0], .seed = 7, .text = text};
    return play_lane(p, 0, 0, &s, T, NULL, g);
}

static inline bool same_games(const game_t *a, const game_t *b) {
    return a->T == b->T && !memcmp(a->action, b->action, a->T * sizeof *a->action) &&
           !memcmp(a->hidden, b->hidden, a->T * sizeof *a->hidden);
}

#endif
