/* bench_body.h - what `gato bench` runs on: made-up timesteps of a task, and a made-up body for
 * policies that are a configuration only. */
#ifndef GATO_BENCH_BODY_H
#define GATO_BENCH_BODY_H

#include "gato/model/model.h"

/* Sizes of the made-up body: an image of 8 x 8 codes out of 512 (64 x 64 pixels), 8 observed and 4
 * acted numbers. */
enum { BODY_SIDE = 64, BODY_GRID = 8, BODY_CODES = 512, BODY_SEES = 8, BODY_ACTS = 4 };
/* Made with random values of the seed; the caller releases both. */
tasks_t bench_tasks(const gato_config_t *c);
vocabulary_t bench_vocabulary(uint64_t seed);

/* Timesteps with all that a task declares: random codes, pixels and numbers. Release with
 * bench_steps_release. */
typedef struct {
    timestep_t *step;
    size_t n;
    void **owned;
    size_t n_owned, cap;
} bench_steps_t;
bench_steps_t bench_steps(const gato_model_t *m, uint32_t task, size_t n, uint64_t seed);
void bench_steps_release(bench_steps_t *s);

#endif
