/* train_eval.h - what a training tells about itself: metrics of held-out images, the grid of
 * samples, and the encoder's outputs.
 *
 * Up to 128 held-out images are evaluated, of all sources in turn; they are the same ones at every
 * evaluation.
 */
#ifndef VQVAE_TRAIN_EVAL_H
#define VQVAE_TRAIN_EVAL_H

#include "common/io/text/json.h"
#include "vqvae/data.h"
#include "vqvae/trainer.h"

/* After `step` updates: reconstructs held-out images with the current weights, adds psnr_held_out
 * to the line (null if nothing is held out), and writes RUN/samples/step-NNNNNN.png: pairs of the
 * first images and their reconstructions, the original on the left. A grid that cannot be written
 * is a warning. */
void train_eval_held_out(trainer_t *t, const data_t *d, const char *run, int64_t step,
                         jsonw_t *line);

/* Adds, of the last batch: z_norm, the mean length of the encoder's outputs; and quant_error, how
 * far the codes are from them as a share of their variance (1 = as far as one code for all would
 * be). quant_error is null without quantizer, and for kinds whose codes are vectors of another
 * space than the encoder's. */
void train_eval_latents(trainer_t *t, int64_t step, jsonw_t *line);

/* Seconds that one evaluation takes, measured on one batch; 0 if nothing is held out. */
double train_eval_seconds(trainer_t *t, const data_t *d);

#endif
