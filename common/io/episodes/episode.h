/* episode.h - what a recorded episode is, whatever file it comes from or goes to: its spaces, made
 * of leaves, and its arrays.
 *
 * Observations and actions are lists of leaves, each an array per step with a path as its name. A
 * bare space is one leaf; a Dict or Tuple gives one leaf per member.
 */
#ifndef IO_EPISODE_H
#define IO_EPISODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { SPACE_BOX, SPACE_IMAGE, SPACE_DISCRETE, SPACE_TEXT } space_kind_t;

/* A leaf of an observation or action space. SPACE_IMAGE is a Box of u8 in 0..255 with 2 or 3
 * dimensions and sides of 32 or more. */
typedef struct {
    char path[256]; /* "" for a bare space, "image", "state/joints", "_index_0" */
    space_kind_t kind;
    char dtype[16]; /* "float32", "uint8", "int64" */
    int rank;
    size_t dim[8];
    size_t count; /* elements per step */
    /* [count] for SPACE_BOX (without a bound: +-INFINITY). First and last values for MultiDiscrete.
     * NULL for others. */
    double *low, *high;
    /* SPACE_DISCRETE: how many values, and the first. MultiDiscrete (count > 1): the largest n of
     * its elements. SPACE_TEXT: n is max_length, 0 = not known. */
    int64_t n, start;
    bool planar; /* SPACE_IMAGE: stored [c,h,w] instead of [h,w] or [h,w,c] */
} space_leaf_t;

/* How many values element k of a SPACE_DISCRETE leaf has, and the first of them. */
int64_t space_leaf_n(const space_leaf_t *leaf, size_t k);
int64_t space_leaf_start(const space_leaf_t *leaf, size_t k);
/* Height, width and channels of a SPACE_IMAGE leaf. */
void space_leaf_image_size(const space_leaf_t *leaf, size_t *h, size_t *w, size_t *c);
/* Frees n leaves and their array. */
void space_leaves_free(space_leaf_t *leaf, size_t n);

/* One episode: T steps, T + 1 observations. It owns its arrays. An observation has one of image,
 * value and text; the other two are NULL, and all three when it is skipped. */
typedef struct {
    size_t T;
    uint8_t **image; /* per observation: [T+1,h,w,c] for SPACE_IMAGE */
    float **value; /* per observation: [T+1,count] for SPACE_BOX, SPACE_DISCRETE (value - start) */
    char ***text;  /* per observation: [T+1] strings for SPACE_TEXT */
    /* Per observation [T+1]: 1 where it is there, 0 where it is missing (a camera that dropped
     * out), and its row means nothing. NULL entry: it is there always; `present` itself may be
     * NULL, which is that for all of them. */
    uint8_t **present;
    float **action; /* per action: [T,count] (SPACE_DISCRETE: value - start); NULL for texts */
    float **expert_action; /* per action: [T,count] clean ones; NULL, or NULL entries: none */
    float *rewards;        /* [T] */
    uint8_t *terminated, *truncated, *success; /* [T], 0 or 1; success: NULL = not recorded */
    int64_t seed;                              /* -1 = none */
    size_t n_obs, n_act;
} recorded_episode_t;
/* Frees the arrays; *e is then empty. */
void recorded_episode_release(recorded_episode_t *e);

#endif
