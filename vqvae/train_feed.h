/* train_feed.h - images into the trainer: batches of a step, and those that the codebook starts
 * from. Which images they are is a function of seed and sample number alone (data.h).
 */
#ifndef VQVAE_TRAIN_FEED_H
#define VQVAE_TRAIN_FEED_H

#include "vqvae/data.h"
#include "vqvae/trainer.h"

/* Fills the inputs of graph g with the batch of samples from `first` on: image [n,h,w,3], and the
 * weight of each pixel [n,h,w] if the loss has one (loss.focus). n, w and h are the trainer's. */
void train_feed_batch(const data_t *d, const trainer_t *t, graph_t *g, uint64_t first);

/* Starts the codebook before the first step with quantizer: by k-means over encoder outputs, or
 * with what is in the parameters (quantizer.kmeans). k-means sees images of sample numbers from
 * 2^40 on, which no step reaches. */
void train_feed_codebook(const data_t *d, trainer_t *t);

#endif
