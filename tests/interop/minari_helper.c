/* minari_helper.c - the C side of minari_roundtrip.py: writes a dataset whose every value is a
 * formula, and prints any dataset as JSON.
 *
 *   minari_helper write-dict DIR | write-bare DIR | dump DIR
 */
#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/minari_write.h"
#include "common/io/text/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPISODES = 12, SIDE = 40, VECTOR = 3, ACTIONS = 2 };

static space_leaf_t leaf_of(const char *path, space_kind_t kind, const char *dtype) {
    space_leaf_t leaf = {.kind = kind, .count = 1};
    snprintf(leaf.path, sizeof leaf.path, "%s", path);
    snprintf(leaf.dtype, sizeof leaf.dtype, "%s", dtype);
    return leaf;
}

static space_leaf_t vector_leaf(const char *path, size_t n, double *low, double *high) {
    space_leaf_t leaf = leaf_of(path, SPACE_BOX, "float32");
    leaf.rank = 1;
    leaf.count = leaf.dim[0] = n;
    leaf.low = low;
    leaf.high = high;
    return leaf;
}

/* The formulas, which the script states again in Python. */
static float vector_at(size_t e, size_t t, size_t j) {
    return (float)t * 0.25f - (float)j * 0.5f + (float)e;
}
static float action_at(size_t e, size_t t, size_t j) {
    return ((float)t - (float)j) / 8 - (float)e / 64;
}
static uint8_t pixel_at(size_t e, size_t t, size_t y, size_t x, size_t c) {
    return (uint8_t)(t * 7 + y * 3 + x * 5 + c * 11 + e * 13);
}

static uint8_t *make_frames(size_t e, size_t n) {
    uint8_t *v = xmalloc(n * SIDE * SIDE * 3), *p = v;
    for (size_t t = 0; t < n; t++)
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++)
                for (size_t c = 0; c < 3; c++) *p++ = pixel_at(e, t, y, x, c);
    return v;
}

static float *make_rows(float (*at)(size_t, size_t, size_t), size_t e, size_t rows, size_t width,
                        float plus) {
    float *v = xmalloc(rows * width * sizeof *v);
    for (size_t i = 0; i < rows * width; i++) v[i] = at(e, i / width, i % width) + plus;
    return v;
}

/* An episode of e + 1 steps; the arrays a space does not ask for stay unused. */
static void make_episode(size_t e, bool dict, recorded_episode_t *out) {
    size_t T = e + 1;
    *out = (recorded_episode_t){
        .T = T, .seed = e % 2 ? (int64_t)(100 + e) : -1, .n_obs = dict ? 4 : 1, .n_act = 1};
    out->image = xcalloc(4, sizeof *out->image);
    out->value = xcalloc(4, sizeof *out->value);
    out->text = xcalloc(4, sizeof *out->text);
    out->action = xcalloc(1, sizeof *out->action);
    if (dict) { /* image, mode, text, vector */
        out->image[0] = make_frames(e, T + 1);
        out->value[1] = xmalloc((T + 1) * sizeof(float));
        for (size_t t = 0; t <= T; t++) out->value[1][t] = (float)(t % 5);
        out->text[2] = xcalloc(T + 1, sizeof(char *));
        for (size_t t = 0; t <= T; t++)
            out->text[2][t] = t == 1 ? xstrdup("") : xasprintf("touch \"%zu\" at %zu °", e, t);
        out->value[3] = make_rows(vector_at, e, T + 1, VECTOR, 0);
    } else {
        out->value[0] = make_rows(vector_at, e, T + 1, VECTOR, 0);
    }
    out->action[0] = make_rows(action_at, e, T, ACTIONS, 0);
    out->expert_action = xcalloc(1, sizeof *out->expert_action);
    out->expert_action[0] = make_rows(action_at, e, T, ACTIONS, 0.125f);
    out->rewards = make_rows(vector_at, e, T, 1, 0.5f);
    out->terminated = xcalloc(T, 1);
    out->truncated = xcalloc(T, 1);
    (e % 2 ? out->truncated : out->terminated)[T - 1] = 1;
}

static int write_dataset(const char *dir, bool dict) {
    double low[VECTOR] = {-INFINITY, -100, -0.1}, high[VECTOR] = {INFINITY, 100, 1e-7},
           one[ACTIONS] = {1, 1}, minus[ACTIONS] = {-1, -1};
    space_leaf_t obs[4] = {
        leaf_of("image", SPACE_IMAGE, "uint8"), leaf_of("mode", SPACE_DISCRETE, "int64"),
        leaf_of("text", SPACE_TEXT, "str"), vector_leaf("vector", VECTOR, low, high)};
    obs[0].rank = 3;
    obs[0].dim[0] = obs[0].dim[1] = SIDE;
    obs[0].dim[2] = 3;
    obs[0].count = SIDE * SIDE * 3;
    obs[1].n = 5;
    obs[1].start = -2;
    space_leaf_t bare = vector_leaf("", VECTOR, low, high),
                 act = vector_leaf("", ACTIONS, minus, one);
    minari_spec_t spec = {.dataset_id = "test/round-v0",
                          .algorithm = "formula",
                          .obs = dict ? obs : &bare,
                          .n_obs = dict ? 4 : 1,
                          .act = &act,
                          .n_act = 1,
                          .dict_obs = dict};
    reason_t why;
    int failed;
    minari_writer_t *w = minari_writer_new(dir, &spec, false, &failed, &why);
    for (size_t e = 0; w && e < EPISODES; e++) {
        recorded_episode_t episode;
        make_episode(e, dict, &episode);
        int rc = minari_writer_add(w, &episode, &why);
        recorded_episode_release(&episode);
        if (rc) die(RC_RUNTIME, "%s", why.text);
    }
    if (!w) die(failed, "%s", why.text);
    minari_writer_close(w);
    return 0;
}

/* ---- dump ---- */

static void put_floats(jsonw_t *j, const char *key, const float *v, size_t n) {
    jsonw_open(j, key, '[');
    for (size_t i = 0; i < n; i++) jsonw_float(j, NULL, v[i]);
    jsonw_close(j, ']');
}

static void put_bytes(jsonw_t *j, const char *key, const uint8_t *v, size_t n) {
    jsonw_open(j, key, '[');
    for (size_t i = 0; i < n; i++) jsonw_int(j, NULL, v[i]);
    jsonw_close(j, ']');
}

static void put_episode(jsonw_t *j, const episode_source_t *m, const recorded_episode_t *e) {
    jsonw_int(j, "T", (int64_t)e->T);
    jsonw_int(j, "seed", e->seed);
    jsonw_open(j, "obs", '{');
    for (size_t i = 0; i < e->n_obs; i++) {
        const space_leaf_t *leaf = episode_source_obs(m, i);
        if (e->image[i]) put_bytes(j, leaf->path, e->image[i], (e->T + 1) * leaf->count);
        if (e->value[i]) put_floats(j, leaf->path, e->value[i], (e->T + 1) * leaf->count);
        if (!e->text[i]) continue;
        jsonw_open(j, leaf->path, '[');
        for (size_t t = 0; t <= e->T; t++) jsonw_str(j, NULL, e->text[i][t]);
        jsonw_close(j, ']');
    }
    jsonw_close(j, '}');
    jsonw_open(j, "act", '{');
    for (size_t i = 0; i < e->n_act; i++)
        put_floats(j, episode_source_act(m, i)->path, e->action[i],
                   e->T * episode_source_act(m, i)->count);
    jsonw_close(j, '}');
    jsonw_open(j, "expert", '{');
    for (size_t i = 0; i < e->n_act; i++)
        if (e->expert_action[i])
            put_floats(j, episode_source_act(m, i)->path, e->expert_action[i],
                       e->T * episode_source_act(m, i)->count);
    jsonw_close(j, '}');
    jsonw_open(j, "present", '{');
    for (size_t i = 0; i < e->n_obs; i++)
        if (e->present[i]) put_bytes(j, episode_source_obs(m, i)->path, e->present[i], e->T + 1);
    jsonw_close(j, '}');
    if (e->success) put_bytes(j, "success", e->success, e->T);
    put_floats(j, "rewards", e->rewards, e->T);
    put_bytes(j, "terminated", e->terminated, e->T);
    put_bytes(j, "truncated", e->truncated, e->T);
}

static int dump(const char *dir) {
    reason_t why;
    int rc = 0;
    episode_source_t *m = episode_source_open(dir, &rc, &why);
    if (!m) die(rc, "%s", why.text);
    for (size_t i = 0; i < episode_source_count(m); i++) {
        recorded_episode_t e;
        jsonw_t j = {0};
        jsonw_begin(&j);
        if (episode_source_read(m, i, &e, &why))
            jsonw_str(&j, "error", why.text);
        else
            put_episode(&j, m, &e);
        puts(jsonw_end(&j));
        jsonw_free(&j);
        recorded_episode_release(&e);
    }
    episode_source_close(m);
    return fflush(stdout) ? RC_RUNTIME : RC_OK;
}

int main(int argc, char **argv) {
    die_set_program("minari_helper");
    if (argc == 3 && strcmp(argv[1], "write-dict") == 0) return write_dataset(argv[2], true);
    if (argc == 3 && strcmp(argv[1], "write-bare") == 0) return write_dataset(argv[2], false);
    if (argc == 3 && strcmp(argv[1], "dump") == 0) return dump(argv[2]);
    die(RC_USAGE, "usage: minari_helper write-dict|write-bare|dump DIR");
}
