/* run_folder.h - the folder of a training (RUN): who may write to it, and what a former training
 * left there.
 *
 * A training holds the lock RUN/.lock from run_folder_begin to run_folder_end, or to the end of the
 * process. Another process that wants the same RUN ends with RC_RUNTIME and "'RUN' is locked by pid
 * N: another process is writing it".
 */
#ifndef TRAIN_RUN_FOLDER_H
#define TRAIN_RUN_FOLDER_H

#include "common/io/lock.h"
#include "common/io/safetensors/safetensors.h"

typedef struct {
    const char *out; /* --out; must outlive the training */
    bool resume, force;
    lock_t lock; /* private */
} run_folder_t;

/* Ends the process by die(RC_RUNTIME) if --resume or --force asks for a RUN that another process
 * trains. Called right after the command line, before data is read: it changes nothing. */
void run_folder_look(const run_folder_t *f);

/* Makes the folder ready for a training, and locks it. There are three ways to begin:
 *
 *     fresh      RUN is made; it must be absent or empty
 *     --force    a former training's files are removed (run_folder_clear), others stay
 *     --resume   with a training state in RUN: returns true; *file is the open state, which the
 *                caller closes, and *json its training text, which the caller frees. RUN/done is
 *                removed. Without a state: as --force
 *
 * Returns false unless a training is resumed. die()s: RC_USAGE when RUN is a file, or is not empty
 * and neither option was given; RC_RUNTIME when it cannot be made, written to or locked; the exit
 * code of checkpoint_open when the state cannot be read. */
bool run_folder_begin(run_folder_t *f, st_file_t *file, char **json);

/* Removes the lock. */
void run_folder_end(run_folder_t *f);

/* Removes what a training leaves in `dir` beside the inference files (training state, metrics,
 * samples, event files, report, `done`), and the weights of an imported SEED. Everything else
 * stays. die(RC_RUNTIME) when a file cannot be removed. */
void run_folder_clear(const char *dir);

#endif
