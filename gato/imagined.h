/* imagined.h - episodes of a shard that a policy goes on with in image tokens, and how near what it
 * imagines comes to what was recorded.
 *
 * `context` timesteps of an episode are shown; horizon h is the h-th timestep behind them. Each
 * episode has lanes of the player (player.h): one is fed the truth, a fork of it imagines the next
 * timestep alone, and every sample imagines freely, once under the actions that are asked for and
 * once, where those are the recorded ones, under actions of other moments.
 */
#ifndef GATO_IMAGINED_H
#define GATO_IMAGINED_H

#include "common/io/image/image_metrics.h"
#include "gato/data/dataset.h"
#include "gato/play/player.h"

typedef enum { ACTIONS_RECORDED, ACTIONS_POLICY, ACTIONS_GIVEN } imagined_actions_t;

typedef struct {
    player_t *player;
    size_t context, steps, samples;
    sampler_t how;
    imagined_actions_t actions;
    const timestep_t *given;      /* [steps] ACTIONS_GIVEN: acted slots, from the last shown on */
    const object_color_t *object; /* NULL = none */
    uint64_t seed;
} imagining_t;

/* Sums over the images of one horizon. Squared errors are of channels, on [0,1]. */
typedef struct {
    double squared, changed, copy, copy_changed, ceiling, shuffled_changed, ssim;
    size_t pixels, changed_pixels, ceiling_pixels, images;
    dream_sums_t teacher, frame, free;
    /* Images of a true future that shows the object, those imagined ones that show it too, and how
     * far these move it, in pixels: each, and their sum. Likewise of the copied image. */
    size_t with_object, found, copy_found;
    double error, copy_error, *errors; /* errors: [found] */
    size_t cap;
    size_t episodes;
} horizon_t;

/* An episode under way. */
typedef struct {
    uint64_t id; /* of its record */
    sequence_t w;
    size_t steps;          /* timesteps imagined: not beyond its end */
    const timestep_t *mix; /* [steps] whose actions stand in for its own; NULL = none */
} imagined_t;

/* Called with the images of one slot of an episode: true [1 + steps], from the last timestep shown
 * on, and imagined [samples][1 + steps], which begin with that timestep through the tokenizer;
 * missing ones are gray. */
typedef void (*imagined_sink_t)(void *ctx, const imagined_t *e, uint32_t slot, const image_t *truth,
                                const image_t *imagined, size_t n, size_t samples);

/* Lanes that an episode needs. */
size_t imagined_lanes(const imagining_t *o);
/* Imagines n episodes of one task at once, which the player has lanes for, and adds to sums
 * [o->steps], by horizon - 1. sink: NULL, or who takes the images. 0, or -1 with a reason. */
int imagine(const imagining_t *o, imagined_t *e, size_t n, horizon_t *sums, imagined_sink_t sink,
            void *ctx, reason_t *why);

#endif
