/* checkpoint.h - a training on disk: inference files for everyone, training files for --resume.
 *
 *     file                   holds                                      tensor names
 *     training.safetensors   all that a resume needs: weights, Adam's   value/X m/X v/X average/X
 *                            moments, average, state; the training      state/NAME
 *                            text as metadata "training"
 *     training.json          a readable copy of the training text
 *     weights_file           the weights for use, PyTorch's layout      X
 *     texts                  what describes them (config.json)
 *
 * A resume reads training.safetensors alone. It is one file and one rename, so a kill at any moment
 * leaves the old state or the new one, whole; the next save rewrites the other files.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "common/io/safetensors/safetensors.h"
#include "common/tape/params.h"

/* Numbers of the training beside the parameters ("quantizer.counts"). */
typedef struct {
    const char *name;
    float *data; /* [count], borrowed */
    size_t count;
} checkpoint_state_t;

/* Numbers for the weights file that are made for it ("quantize.embedding.weight" of a codebook that
 * is computed from others). */
typedef struct {
    const char *name;
    const float *data; /* [count], disk layout, borrowed */
    size_t count;
} checkpoint_made_t;

/* A text file for use ("config.json"). */
typedef struct {
    const char *file;
    const char *text;
} checkpoint_text_t;

/* What there is to store and to restore. Everything is borrowed. */
typedef struct {
    params_t *params;
    const char *weights_file;   /* "diffusion_pytorch_model.safetensors" */
    int weights_block;          /* which block it holds: PARAMS_VALUE or PARAMS_AVERAGE */
    const char *const *weights; /* [n_weights] patterns: which parameters it holds (params_match) */
    size_t n_weights;
    /* [n_made] tensors that stand in the weights file in place of the parameter of that name and
     * count. */
    const checkpoint_made_t *made;
    size_t n_made;
    /* Parameters with this prefix are never averaged, and keep their values at a restore if the
     * state has none; NULL = there are none. */
    const char *fresh;
    /* [n_moves] patterns: which parameters have moments; NULL = all. */
    const char *const *moves;
    size_t n_moves;
    const checkpoint_text_t *text; /* [n_text] inference texts */
    size_t n_text;
    const checkpoint_state_t *state; /* [n_state] */
    size_t n_state;
    const char *training_json; /* step, seed, configuration, data: identity_json */
} checkpoint_t;

/* ---- writing ---- */

/* Writes all files as temporaries, syncs them, then renames them, training.safetensors first. `dir`
 * is made if need be. -1 with a reason when a file cannot be written, or when a number is NaN or
 * infinite: the files of the former checkpoint are still there, whole. */
int checkpoint_save(const char *dir, const checkpoint_t *c, reason_t *why);
/* The same for the inference files alone (for tools that write a RUN without training). */
int checkpoint_save_weights(const char *dir, const checkpoint_t *c, reason_t *why);

/* ---- reading ---- */

/* True if `dir` holds a training state. */
bool checkpoint_exists(const char *dir);
/* Opens training.safetensors: *file is for checkpoint_restore and is closed by the caller, *json is
 * the training text, malloc'ed. Returns RC_OK; or RC_DATA with a reason, and nothing is open. */
int checkpoint_open(const char *dir, st_file_t *file, char **json, reason_t *why);
/* True if the state holds an average of the weights. */
bool checkpoint_has_average(const st_file_t *file);
/* Reads into c->params every parameter that exists there, in each block that the state has (values,
 * moments, average), and into c->state. Moments stay as they are where the state was saved when the
 * parameter did not move. Only params, fresh, moves and state of *c matter. Returns RC_OK;
 * or with a reason RC_MISFIT (a tensor is missing or has another shape) or RC_DATA (a number is NaN
 * or infinite), and parameters before that tensor have changed. */
int checkpoint_restore(const st_file_t *file, const checkpoint_t *c, reason_t *why);

/* ---- single tensors ---- */

/* True if t has this shape; false for t = NULL. */
bool checkpoint_shaped(const st_tensor_t *t, int rank, const size_t *dim);
/* Reads t, called `name` in messages, into out [product of dim]. Returns RC_OK; or with a reason
 * RC_MISFIT (t is NULL, has another shape or holds no numbers) or RC_DATA (NaN or infinity). */
int checkpoint_read(const st_tensor_t *t, const char *name, int rank, const size_t *dim, float *out,
                    reason_t *why);

#endif
