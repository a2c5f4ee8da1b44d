/* checkpoint.h - a training run on disk: inference files for everyone, training files for --resume.
 *
 * training.safetensors alone holds everything a resume needs (values, moments, average, extra
 * state, and training.json's text in its metadata): one file, one rename, so a kill at any moment
 * leaves the old unit or the new one. training.json is its readable copy. A resume goes by
 * training.safetensors; the other files are rewritten by the next save.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "common/io/safetensors/safetensors.h"
#include "common/tape/params.h"

/* Training state beside the parameters ("quantizer.counts"). */
typedef struct {
    const char *name;
    float *data;
    size_t count;
} checkpoint_state_t;

typedef struct {
    const char *file; /* "config.json" */
    const char *text;
} checkpoint_text_t;

typedef struct {
    params_t *params;
    const char *weights_file;   /* "diffusion_pytorch_model.safetensors" */
    int weights_block;          /* PARAMS_VALUE or PARAMS_AVERAGE */
    const char *const *weights; /* which parameters belong to the weights file (params_match) */
    size_t n_weights;
    /* Tensors of the weights file (disk layout) that stand there in place of the parameter of that
     * name. */
    const checkpoint_state_t *made;
    size_t n_made;
    /* Parameters of this prefix are never averaged and, at restore, keep their values when the
     * state has none; or NULL. */
    const char *fresh;
    const checkpoint_text_t *text; /* inference texts */
    size_t n_text;
    const checkpoint_state_t *state;
    size_t n_state;
    const char *training_json; /* step, seed, config, data manifest ... : deterministic text */
} checkpoint_t;

/* Writes all files as temporaries, then renames them, training.safetensors first. -1 (also for
 * numbers that are none): nothing of the old run is lost. */
int checkpoint_save(const char *dir, const checkpoint_t *c, reason_t *why);
/* True if DIR holds a training state. */
bool checkpoint_exists(const char *dir);
/* Reads training.safetensors: *json receives the training text (malloc'ed), *file the open file for
 * checkpoint_restore. 0 or an exit code. */
int checkpoint_open(const char *dir, st_file_t *file, char **json, reason_t *why);
/* Fills parameters (all that exist in params), moments, average and state. 0 or an exit code
 * (RC_MISFIT: missing or of another shape). */
int checkpoint_restore(const st_file_t *file, const checkpoint_t *c, reason_t *why);
/* Does t (NULL: no) have this shape? */
bool checkpoint_shaped(const st_tensor_t *t, int rank, const size_t *dim);
/* t's numbers, called `name` in messages, when it has this shape: 0, RC_MISFIT (NULL, another shape
 * or no numbers) or RC_DATA (NaN or infinity). */
int checkpoint_read(const st_tensor_t *t, const char *name, int rank, const size_t *dim, float *out,
                    reason_t *why);
/* Only the inference files (for tools that write a RUN without training). */
int checkpoint_save_weights(const char *dir, const checkpoint_t *c, reason_t *why);

#endif
