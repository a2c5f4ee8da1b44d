/* train_play.h - closed loop during training: `gato act` plays train.eval_env with the weights at
 * hand, in a process of its own (this one has threads, and a screen driver might not outlive a
 * fork). What it prints is a function of the weights and the seed, so metrics.jsonl stays the same
 * for any number of threads and after a resume. */
#ifndef GATO_TRAIN_PLAY_H
#define GATO_TRAIN_PLAY_H

#include "common/io/text/json.h"
#include "gato/run/run.h"

typedef struct {
    const gato_model_t *m;
    int block;       /* which block of the parameters plays: PARAMS_VALUE or PARAMS_AVERAGE */
    const char *out; /* the RUN, with its tokenizer: the weights lie in out/eval meanwhile */
    uint64_t seed;
    int64_t threads; /* of the child, as --threads */
} train_play_t;

/* Is train.eval_env an environment? die()s with the exit codes of env_open. For a look before
 * anything is written. */
void train_play_check(const gato_config_t *c);
/* Removes what a run that was killed while its weights played has left in out/eval. */
void train_play_clean(const char *out);
/* One step of one episode, before the training begins: can the policy play there at all? Nothing
 * without train.eval_env. Ends the process with the child's exit code if it cannot. */
void train_play_probe(const train_play_t *p);
/* A task that was trained with goals is shown them (--goal env).
 * train.eval_episodes episodes: adds return_<env> and success_<env> to the line. Nothing without
 * train.eval_env. die(RC_RUNTIME) when the child fails. */
void train_play(const train_play_t *p, jsonw_t *line);

#endif
