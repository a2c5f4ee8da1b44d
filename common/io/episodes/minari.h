/* minari.h - Minari datasets (HDF5) without Python: reading the layouts of all releases up to 0.5,
 * frames raw or as JPEG, and writing them with raw frames; and reading D4RL's flat HDF5 files as if
 * they were such datasets.
 *
 * A dataset is DIR/data/{metadata.json, main_data.hdf5} (DIR may also be the data folder itself),
 * or a D4RL file. Observations and actions may be one Box, or a Dict / Tuple of Boxes, Discretes
 * and Texts. Reading flattens them to named parts. Not thread-safe: HDF5 is not.
 */
#ifndef IO_MINARI_H
#define IO_MINARI_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { SPACE_BOX, SPACE_IMAGE, SPACE_DISCRETE, SPACE_TEXT } space_kind_t;

/* A leaf of an observation or action space. An image is a Box of 2 or 3 dims, u8, sides >= 32,
 * 0..255. */
typedef struct {
    char path[256]; /* "" for a bare space, "image", "state/joints", "_index_0" */
    space_kind_t kind;
    char dtype[16]; /* "float32", "uint8", "int64" */
    int rank;
    size_t dim[8];
    size_t count; /* elements a step */
    /* [count] for SPACE_BOX (infinities as +-INFINITY); first and last values for MultiDiscrete;
     * NULL for others. */
    double *low, *high;
    /* SPACE_DISCRETE (count > 1 for MultiDiscrete, n its largest, and MultiBinary). SPACE_TEXT: n
     * is max_length, 0 = not known. */
    int64_t n, start;
    bool planar; /* SPACE_IMAGE: [c,h,w] instead of [h,w] or [h,w,c] */
} minari_leaf_t;

typedef struct minari minari_t;

/* NULL with a reason "file: what". *rc: RC_USAGE when it is neither dataset folder nor HDF5 file,
 * RC_DATA when it is unusable. */
minari_t *minari_open(const char *path, int *rc, reason_t *why);
void minari_close(minari_t *m);
size_t minari_episodes(const minari_t *m);
const char *minari_env_spec(const minari_t *m);   /* JSON text or NULL */
const char *minari_dataset_id(const minari_t *m); /* "" when absent */
size_t minari_n_obs(const minari_t *m);
const minari_leaf_t *minari_obs(const minari_t *m, size_t i);
size_t minari_n_act(const minari_t *m);
const minari_leaf_t *minari_act(const minari_t *m, size_t i);
/* Range and first value of element k of a SPACE_DISCRETE leaf. */
int64_t minari_leaf_n(const minari_leaf_t *leaf, size_t k);
int64_t minari_leaf_start(const minari_leaf_t *leaf, size_t k);

/* Takes observation i as an image: SPACE_IMAGE as declared, or a u8 Box of [h,w], [h,w,c] or
 * [c,h,w] with c = 1 or 3 (3 at both ends: channels first). false: it is none. From then on it is
 * SPACE_IMAGE and read as such. */
bool minari_as_image(minari_t *m, size_t i);
/* The observation that is the image when nobody says which: the first that Minari itself counts
 * as an image, else the first that can be taken as one with sides of 32 or more (it then is); -1 =
 * none. */
int minari_find_image(minari_t *m);
/* Height, width and channels of a SPACE_IMAGE leaf. */
void minari_image_size(const minari_leaf_t *leaf, size_t *h, size_t *w, size_t *c);
/* Leaves that are not wanted are not read: their arrays stay NULL. */
void minari_skip_obs(minari_t *m, size_t i);
void minari_skip_act(minari_t *m, size_t i);
/* JPEG frames that end early or hold damaged data are taken as far as they decode. */
void minari_lenient(minari_t *m, bool lenient);

/* One episode: T steps, T+1 observations. Arrays are owned by the episode. A defect is -1 with
 * "file:episode:field: reason": the program skips and counts the episode. A file that reaches out
 * of itself (links to other files, storage in them, filters that need a plugin) or claims sizes it
 * cannot hold is MINARI_REFUSED: the program stops. */
enum { MINARI_REFUSED = -2 };
typedef struct {
    size_t T;
    uint8_t **image; /* per obs leaf: [T+1, h,w,c] for SPACE_IMAGE, else NULL */
    float **
        /* per obs leaf: [T+1, count] for SPACE_BOX and SPACE_DISCRETE (value - start), else NULL */
        value;
    char ***text;         /* per obs leaf: [T+1] strings for SPACE_TEXT, else NULL */
    float **action;       /* per act leaf: [T, count] (discrete: value - start); NULL for texts */
    float *expert_action; /* infos/expert_action [T, count of act leaf 0] or NULL */
    float *rewards;       /* [T] */
    uint8_t *terminated, *truncated; /* [T] */
    int64_t seed;                    /* -1 = none */
    size_t n_obs, n_act;
} minari_episode_t;
int minari_read(minari_t *m, size_t episode, minari_episode_t *e, reason_t *why);
void minari_episode_release(minari_episode_t *e);
/* T of an episode from its attributes (cheap). */
int minari_steps(minari_t *m, size_t episode, size_t *T, reason_t *why);
/* Only the frames of minari_find_image's leaf: *frames [T+1,h,w,c], malloc'ed. */
int minari_read_frames(minari_t *m, size_t episode, uint8_t **frames, size_t *T1, size_t *h,
                       size_t *w, size_t *c, reason_t *why);

/* Writing: the same layout (raw frames, gzip filter on images, jpeg_encoding false, HDF5 without
 * object times: same bytes for the same data). Everything goes to DIR/data under temporary names
 * until minari_writer_commit. */
typedef struct minari_writer minari_writer_t;
typedef struct {
    const char *dataset_id, *algorithm, *env_spec; /* env_spec: JSON text or NULL */
    const minari_leaf_t *obs, *act;
    size_t n_obs, n_act;
    bool dict_obs; /* true: Dict with the leaves' paths as keys */
} minari_spec_t;
minari_writer_t *minari_writer_new(const char *dir, const minari_spec_t *spec, reason_t *why);
/* Appends an episode (leaf arrays as in minari_episode_t). */
int minari_writer_add(minari_writer_t *w, const minari_episode_t *e, reason_t *why);
int minari_writer_commit(minari_writer_t *w, reason_t *why);
void minari_writer_abort(minari_writer_t *w);

#endif
