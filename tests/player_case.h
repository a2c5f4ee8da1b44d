/* player_case.h - a policy at play, small enough to be run whole: its RUN, what it sees, a game. */
#ifndef TESTS_PLAYER_CASE_H
#define TESTS_PLAYER_CASE_H

#include "tests/folder.h"
#include "tests/test.h"
#include "tests/vqvae_folder.h"

#include "gato/model/graph.h"
#include "gato/play/player.h"
#include "gato/run/run.h"

enum { VECTOR = 3, ACTIONS = 2, BINS = 16, LONGEST = 200, W = 16, H = 8 };
static const double TOLERANCE = 1e-4;

/* One folder for all tests: "run" is the policy at hand. */
__attribute__((constructor)) static void begin(void) {
    folder_open();
}
__attribute__((destructor)) static void end(void) {
    if (!child_self) folder_remove();
}

typedef struct {
    const char *name, *set[6];
    size_t tokens; /* of a timestep without text */
    bool codes, patches;
} kind_t;
static const kind_t kinds[] = {
    {"bins", {"model.vector_in=bins"}, VECTOR + 1 + ACTIONS, false, false},
    {"linear", {"model.vector_in=linear"}, 1 + 1 + ACTIONS, false, false},
    {"mse", {"model.vector_in=linear", "loss.action_kind=mse"}, 1 + 1 + ACTIONS, false, false},
    {"mse of bins, gated",
     {"loss.action_kind=mse", "model.activation=geglu"},
     VECTOR + 1 + ACTIONS,
     false,
     false},
    {"mix", {"loss.action_kind=mix", "model.inner_pos=false"}, VECTOR + 1 + ACTIONS, false, false},
    {"codes", {"model.vector_in=linear"}, 8 + 1 + 1 + ACTIONS, true, false},
    {"merged codes, mse",
     {"model.merge=2", "loss.action_kind=mse"},
     2 + VECTOR + 1 + ACTIONS,
     true,
     false},
    {"table", {"model.image_in=table"}, 8 + VECTOR + 1 + ACTIONS, true, false},
    {"patches",
     {"model.image_in=patches", "model.patch=4", "model.patch_mid=6", "model.patch_groups=3"},
     8 + VECTOR + 1 + ACTIONS,
     false,
     true},
};
enum { BIN, LINEAR, MSE, MSE_BIN, MIX, CODES, MERGED, TABLE, PATCHES, KINDS };

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

/* Writes the folder "run"; the model in memory is the oracle's. attn_window: how many timesteps a
 * token is to see. */
static inline gato_model_t *make_run(const kind_t *k, size_t attn_window, int layers) {
    gato_config_t c;
    reason_t why;
    char context[64], depth[64];
    snprintf(context, sizeof context, "model.context=%zu", attn_window * k->tokens + k->tokens - 1);
    snprintf(depth, sizeof depth, "model.layers=%d", layers);
    const char *const base[] = {"model.width=16", "model.heads=2", "model.bins=16", depth, context};
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < sizeof base / sizeof *base; i++)
        config_set(gato_config_table, &c, base[i]);
    for (size_t i = 0; i < 6 && k->set[i]; i++) config_set(gato_config_table, &c, k->set[i]);
    if (fs_mkdirs(in_folder("run"), &why)) BUG("%s", why.text);
    gato_facts_t f = {
        .text_vocab = 257, .n_continuous = VECTOR, .n_actions = ACTIONS, .mu = 100, .M = 256};
    vqvae_t *v = k->codes ? make_tokenizer() : NULL;
    if (v) {
        f.codes = (uint32_t)OWN.codes, f.code_dim = (uint32_t)OWN.vq_embed_dim, f.grid_h = H / 4,
        f.grid_w = W / 4;
        f.codebook = (float *)(uintptr_t)vqvae_codebook_data(v);
    }
    if (k->codes || k->patches) f.image_h = H, f.image_w = W;
    gato_model_t *m = gato_model_new(&c, &f, 5);
    if (v) m->facts.fingerprint = xstrdup(vqvae_fingerprint(v));
    vqvae_free(v);
    for (size_t i = 0; i < params_n(m->params);
         i++) { /* zeros and ones of the start would hide mistakes */
        const param_t *p = params_at(m->params, (int)i);
        float *x = params_ptr(m->params, PARAMS_VALUE, (int)i);
        rng_t r = rng_make(11, p->name);
        if (strstr(p->name, "codebook")) continue;
        for (size_t e = 0; e < p->count; e++)
            x[e] = (x[e] > 0.99f ? 1 : 0) + 0.4f * rng_normal(r, e);
    }
    if (run_save(m, in_folder("run"), &why)) BUG("%s", why.text);
    return m;
}

static inline player_t *open_run(const player_opts_t *o) {
    int rc;
    reason_t why;
    player_t *p = player_open(in_folder("run"), o, &rc, &why);
    if (!p) BUG("%s", why.text);
    return p;
}

/* ---- what is seen, and a game ---- */

static inline void see(size_t t, float *vector, uint8_t *rgb) {
    rng_t r = rng_fold(rng_make(7, "seen"), t);
    for (size_t i = 0; i < VECTOR; i++) vector[i] = rng_normal(r, i) * (i == 1 ? 20 : 1);
    for (size_t i = 0; i < W * H * 3; i++)
        rgb[i] = (uint8_t)(rng_u64(r, 100 + i / 3 / 8) >> (i % 3 * 8));
}

typedef struct {
    size_t T;
    float action[LONGEST][ACTIONS], hidden[LONGEST][16];
} game_t;

static inline rng_t draw_of(size_t t) {
    return rng_fold(rng_make(3, "draw"), t);
}

static inline bool play(player_t *p, const char *text, size_t T, game_t *g) {
    float vector[VECTOR];
    uint8_t rgb[W * H * 3];
    reason_t why;
    g->T = T;
    player_reset(p);
    for (size_t t = 0; t < T; t++) {
        see(t, vector, rgb);
        if (player_act(p, rgb, W, H, vector, text, draw_of(t), g->action[t], &why)) {
            fprintf(stderr, "  %s\n", why.text);
            return false;
        }
        memcpy(g->hidden[t], player_hidden(p), sizeof g->hidden[t]);
    }
    return true;
}

#endif
