/* minari_sample.h - episodes of four steps with every kind of leaf, for the tests of what
 * minari_writer makes of them. Only with HDF5. */
#ifndef TESTS_MINARI_SAMPLE_H
#define TESTS_MINARI_SAMPLE_H

#include "common/io/episodes/minari_write.h"
#include <hdf5.h>
#include <string.h>

enum { OUT_T = 4, SIDE = 32, FRAME = SIDE * SIDE, OUT_C = 3 };

static inline space_leaf_t leaf(const char *path, space_kind_t kind, const char *dtype, int rank,
                                size_t a, size_t b, size_t c) {
    space_leaf_t l = {.kind = kind, .rank = rank, .dim = {a, b, c}, .count = 1};
    for (int i = 0; i < rank; i++) l.count *= l.dim[i];
    strcpy(l.path, path);
    strcpy(l.dtype, dtype);
    return l;
}

static uint8_t out_image[(OUT_T + 1) * FRAME * OUT_C];
static float out_vector[(OUT_T + 1) * 2] = {0.1f, -1e-20f, 3, 4, 5, 6, 7, 8, 9, 10},
                                      out_mode[OUT_T + 1] = {0, 1, 2, 3, 4};
static char *out_text[OUT_T + 1] = {(char[]){"a"}, (char[]){""}, (char[]){"\xc3\xbc"},
                                    (char[]){"d"}, (char[]){"e"}};
static float out_action[OUT_T] = {0.5f, -0.25f, 1, -1}, out_expert[OUT_T] = {1, 2, 3, 4},
             out_rewards[OUT_T] = {0, 0.1f, -3, 1e10f};
static uint8_t out_terminated[OUT_T] = {0, 0, 0, 1}, out_truncated[OUT_T] = {0, 1, 0, 0};

/* The episode step by step, after a piece of one that is dropped. */
static inline int add_in_pieces(minari_writer_t *w, const recorded_episode_t *e, reason_t *why) {
    for (size_t stop = 2;; stop = e->T + 1) {
        minari_writer_begin(w, e->seed);
        for (size_t t = 0; t < stop; t++) {
            uint8_t *image[] = {NULL, e->image[1] + t * FRAME * OUT_C, NULL, NULL};
            float *value[] = {e->value[0] + t * 2, NULL, NULL, e->value[3] + t};
            char **text[] = {NULL, NULL, e->text[2] + t, NULL};
            size_t a = t < e->T ? t : 0;
            float *action[] = {e->action[0] + a}, *expert[] = {e->expert_action[0] + a};
            recorded_episode_t step = *e;
            step.T = t < e->T;
            step.image = image;
            step.value = value;
            step.text = text;
            step.action = action;
            step.expert_action = expert;
            step.rewards = e->rewards + a;
            step.terminated = e->terminated + a;
            step.truncated = e->truncated + a;
            minari_writer_rows(w, &step, t == e->T);
        }
        if (stop > e->T) return minari_writer_end(w, NULL, why);
        minari_writer_drop(w);
    }
}

/* Returns 0, -1, or the exit code of a dataset that cannot be opened. */
static inline int write_episodes(const char *dir, int episodes, bool append, bool pieces,
                                 reason_t *why) {
    space_leaf_t obs[] = {leaf("vector", SPACE_BOX, "float32", 1, 2, 0, 0),
                          leaf("image", SPACE_IMAGE, "uint8", 3, SIDE, SIDE, OUT_C),
                          leaf("text", SPACE_TEXT, "str", 0, 0, 0, 0),
                          leaf("mode", SPACE_DISCRETE, "int64", 0, 0, 0, 0)};
    space_leaf_t act = leaf("", SPACE_BOX, "float32", 1, 1, 0, 0);
    double low = -1, high = 1;
    act.low = &low;
    act.high = &high;
    obs[3].n = 5;
    obs[3].start = 10;
    for (size_t i = 0; i < sizeof out_image; i++) out_image[i] = (uint8_t)(i * 7 + i / 1000);
    minari_spec_t spec = {.dataset_id = "a-v0",
                          .algorithm = "x\"y",
                          .env_spec = "{\"id\": 1}",
                          .obs = obs,
                          .n_obs = 4,
                          .act = &act,
                          .n_act = 1,
                          .dict_obs = true};
    uint8_t *image[] = {NULL, out_image, NULL, NULL};
    float *value[] = {out_vector, NULL, NULL, out_mode}, *action[] = {out_action},
          *expert[] = {out_expert};
    char **text[] = {NULL, NULL, out_text, NULL};
    recorded_episode_t e = {.T = OUT_T,
                            .image = image,
                            .value = value,
                            .text = text,
                            .action = action,
                            .expert_action = expert,
                            .rewards = out_rewards,
                            .terminated = out_terminated,
                            .truncated = out_truncated,
                            .seed = 42,
                            .n_obs = 4,
                            .n_act = 1};
    int rc;
    minari_writer_t *w = minari_writer_new(dir, &spec, append, &rc, why);
    if (!w) return rc;
    for (int i = (int)minari_writer_count(w); i < episodes; i++) {
        e.seed = i ? -1 : 42;
        if (pieces ? add_in_pieces(w, &e, why) : minari_writer_add(w, &e, why)) return -1;
    }
    minari_writer_close(w);
    return 0;
}

static inline int write_sample(const char *dir, int episodes, reason_t *why) {
    return write_episodes(dir, episodes, false, false, why);
}

static inline long long attr_of(hid_t file, const char *object, const char *name) {
    long long v = -99;
    hid_t a = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT), type = H5Aget_type(a);
    if (H5Tequal(type, H5T_STD_I64LE) > 0) H5Aread(a, H5T_NATIVE_LLONG, &v);
    H5Tclose(type);
    H5Aclose(a);
    return v;
}

#endif
