/* weights.h - parameters from a safetensors file, with the list of what does not fit.
 *
 * Every tensor of the file must be a parameter and every parameter must be in the file. Names may
 * be other people's: weights_names_t translates them. What does not fit is gathered, and the first
 * five places are told in one reason (exit 4):
 *
 *     'model.safetensors' does not fit its configuration in 2 places: another shape of
 *     'embed.weight' (47,8, not 48,8), missing tensor 'ln_f.bias'
 *
 * This lives on the floor of nn because common/model and the programs read weights, and tape knows
 * no file formats.
 */
#ifndef NN_WEIGHTS_H
#define NN_WEIGHTS_H

#include "common/io/safetensors/safetensors.h"
#include "common/tape/params.h"

enum { WEIGHTS_NAME = 1100 }; /* bytes of a translated name */

/* How a file names its tensors. Each function may be NULL; context is handed to all of them. */
typedef struct {
    /* The parameter's name for a tensor of the file; false: no parameter. NULL: the same name. */
    bool (*ours)(const void *context, const char *theirs, char out[WEIGHTS_NAME]);
    /* The file's name for a parameter, for messages; false: the parameter's own. */
    bool (*theirs)(const void *context, const char *ours, char out[WEIGHTS_NAME]);
    /* Tensors to pass over. */
    bool (*ignored)(const void *context, const char *theirs);
    /* Why a file with this tensor cannot be read at all; NULL: no reason. */
    const char *(*refusal)(const void *context, const char *theirs);
    const void *context;
    /* Where the numbers of a parameter go, in disk layout, instead of into params (NULL). Then
     * nothing is read before all names and shapes fit. */
    void (*take)(void *taker, int index, const float *numbers);
    void *taker;
    /* Axes of length 1 behind the second may be there or not: [C,C,1,1] fits [C,C]. */
    bool loose_axes;
} weights_names_t;

/* Fills the values of `params` from an open file (st_open or st_open_parts), which stays open.
 * path: for messages. *ignored (may be NULL): tensors passed over. RC_OK; RC_MISFIT: names, shapes
 * or types do not fit, or a tensor is refused; RC_DATA: a NaN or infinity, or the file cannot be
 * read. After an error the values are undefined. */
int weights_read(params_t *params, st_file_t *file, const char *path, const weights_names_t *names,
                 size_t *ignored, reason_t *why);

/* A file among several. */
typedef struct {
    st_file_t *file;
    const char *path;
    const weights_names_t *names;
} weights_file_t;
/* The same from n >= 1 files that hold every parameter once between them. names->theirs of the
 * first one names what is missing. */
int weights_read_files(params_t *params, const weights_file_t *file, size_t n, size_t *ignored,
                       reason_t *why);

#endif
