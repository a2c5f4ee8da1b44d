/* player.h - a trained policy at play: an image in, an action out, one timestep after another.
 *
 * The player owns a cache of the keys and values of past tokens. A token of step t sees the steps
 * after t - N, N being the attention window of training; tokens of older steps are dropped whole.
 * There are no absolute positions, so nothing is computed twice. For comparison, `rebuild` runs the
 * context of the last N steps anew for every token (NEKO's way).
 */
#ifndef GATO_PLAYER_H
#define GATO_PLAYER_H

#include "common/model/tokenizer.h"
#include "gato/model/model.h"
#include "gato/play/policy.h"

typedef struct player_opts {
    bool rebuild;           /* run the whole context for every token */
    bool blank;             /* the policy sees a black image, whatever the camera shows */
    int decode;             /* decode_t, or -1 = the RUN's act.decode */
    double temperature;     /* 0 = the RUN's act.temperature */
    kern_weights_t weights; /* how linear layers are stored: 32, 16 or 8 bits per weight */
} player_opts_t;

typedef struct player player_t;

/* Opens a gato RUN; a policy that reads images as codes has its tokenizer in vqvae/ inside. NULL
 * with a reason; *rc as of run_load, or RC_MISFIT for another tokenizer. Close with
 * player_close. */
player_t *player_open(const char *dir, const player_opts_t *o, int *rc, reason_t *why);
void player_close(player_t *p);
const gato_model_t *player_model(const player_t *p);
/* Does an environment show and take what the model was trained with? 0, or -1 with both values. */
int player_fits(const player_t *p, const env_info_t *info, reason_t *why);

/* Begins an episode: forgets the last one. */
void player_reset(player_t *p);
/* Chooses the action for the current observation: rgb [h,w,3], vector [n_continuous] and text (the
 * mission), each NULL if absent. action [n_actions] is in the units of the environment: the
 * policy's [-1,1] scaled back as in training. draw: the random key of sampled decoding. 0, or -1
 * with a reason. */
int player_act(player_t *p, const uint8_t *rgb, size_t w, size_t h, const float *vector,
               const char *text, rng_t draw, float *action, reason_t *why);
/* The hidden state [D] of the last token that ran (for tests). */
const float *player_hidden(const player_t *p);

/* The row "model" of policy.h. */
extern const policy_t player_policy;

#endif
