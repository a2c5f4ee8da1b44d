/* player.h - a trained policy at play: a frame in, an action out, one timestep after another.
 *
 * Keys and values of past tokens stay in a cache that this owns: a token of step t sees the steps >
 * t - N (N = the band of training), and tokens of older steps are dropped whole. There are no
 * absolute positions, so nothing is recomputed. With `rebuild` the context of the last N steps is
 * run anew for every token instead (NEKO's way), for comparison.
 */
#ifndef GATO_PLAYER_H
#define GATO_PLAYER_H

#include "common/model/tokenizer.h"
#include "gato/model.h"
#include "gato/policy.h"

typedef struct player_opts {
    bool rebuild, blank;    /* blank: the image is black, whatever the camera sees */
    int decode;             /* decode_t, or -1 = the RUN's act.decode */
    double temperature;     /* 0 = the RUN's */
    kern_weights_t weights; /* of linear layers: 32, 16 or 8 bits */
} player_opts_t;

typedef struct player player_t;

/* dir: a gato RUN, with vqvae/ inside if it looks at images through codes. NULL with a reason;
 * *rc as of the loaders.
 */
player_t *player_open(const char *dir, const player_opts_t *o, int *rc, reason_t *why);
void player_close(player_t *p);
const gato_model_t *player_model(const player_t *p);
/* Does an environment show and take what the model knows? -1 with both values. */
int player_fits(const player_t *p, const env_info_t *info, reason_t *why);

/* Forgets everything: an episode begins. */
void player_reset(player_t *p);
/* The action for what is seen now. rgb [h,w,3] or NULL, vector [n_continuous] or NULL, text or NULL
 * (the mission). action [n_actions] in the units of the environment: what the policy says in
 * [-1,1], scaled back by what it was trained with. draw: random key of sampled decoding. */
int player_act(player_t *p, const uint8_t *rgb, size_t w, size_t h, const float *vector,
               const char *text, rng_t draw, float *action, reason_t *why);
/* Hidden state [D] of the last token that was run (tests). */
const float *player_hidden(const player_t *p);

/* As a policy of policy.h, "model". */
extern const policy_t player_policy;

#endif
