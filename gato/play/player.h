/* player.h - a trained policy at play: observations in, actions out, in one lane or many.
 *
 * A lane is an episode in progress. The player owns a cache of keys and values for each: a token of
 * step t sees the steps after t - N, N being the attention window of the lane's task in training;
 * tokens of older steps are dropped whole. There are no absolute positions, so nothing is computed
 * twice. Many lanes run as one batch and give the bits of each alone. For comparison, `rebuild`
 * runs the context of the last N steps anew for every token (NEKO's way).
 *
 * Use:
 *
 *     player_t *p = player_open("run", &(player_opts_t){.decode = -1}, &rc, &why);
 *     int body = player_bind(p, env_task(e), NULL, false, &why); // which task it plays
 *     if (player_lanes(p, 1, &why) || body < 0) ...
 *     player_reset(p, 0, (uint32_t)body);
 *     player_turn_t turn = {.lane = 0, .seen = &seen, .draw = draw};
 *     if (player_push(p, &turn, 1, &why)) ...
 *     env_step(e, &turn.action, ...);
 *
 * Nothing here ends the program.
 */
#ifndef GATO_PLAYER_H
#define GATO_PLAYER_H

#include "common/io/text/bpe.h"
#include "common/model/tokenizer.h"
#include "gato/env/env.h"
#include "gato/model/model.h"
#include "gato/play/sampler.h"

typedef struct player_opts {
    bool rebuild;           /* run the whole context for every token */
    bool blank;             /* the policy sees black images, whatever the cameras show */
    int decode;             /* decode_t, or -1 = the RUN's act.decode */
    double temperature;     /* below 0 = the RUN's act.temperature; 0 = the likeliest */
    kern_weights_t weights; /* how linear layers are stored: 32, 16 or 8 bits per weight */
} player_opts_t;

typedef struct player player_t;

/* Opens a gato RUN; a policy that reads images as codes has its tokenizer in vqvae/ inside. NULL
 * with a reason; *rc as of run_load, or RC_MISFIT for another tokenizer. Close with
 * player_close. */
player_t *player_open(const char *dir, const player_opts_t *o, int *rc, reason_t *why);
void player_close(player_t *p);
const gato_model_t *player_model(const player_t *p);

/* The number of the policy's task that a body (an environment's task) plays: the one of `name`;
 * with NULL the one of the body's name or of its last part (of "suite/reach", what tokenize calls
 * "reach"), else the only one of the policy that fits. -1 with a reason
 * that goes slot by slot: what the policy reads and does, and what the body shows and takes. Slots
 * that the body has and the task lacks are not read; observed slots that the body lacks are missing
 * in every timestep, which must be said: allow_missing. The player keeps how the slots correspond.
 * */
int player_bind(player_t *p, const task_t *body, const char *name, bool allow_missing,
                reason_t *why);

/* How many lanes there are: 0 .. n - 1. Resets all. 0, or -1 with a reason. */
int player_lanes(player_t *p, size_t n, reason_t *why);
/* Begins an episode of a bound task in a lane: forgets the last one. */
void player_reset(player_t *p, size_t lane, uint32_t task);

/* One timestep of a lane. */
typedef struct {
    size_t lane;
    const env_observation_t *seen; /* by the slots of the bound body */
    /* What was done in this timestep, in the units of the environment (prompts, other policies);
     * NULL: the policy chooses. */
    const env_action_t *given;
    rng_t draw;          /* the random key of sampled decoding */
    env_action_t action; /* out: what was chosen or given, in the units of the environment */
} player_turn_t;
/* Feeds a timestep to n different lanes, which take their actions. 0, or -1 with a reason, naming
 * the lane if there are several: an observation that does not fit. The lanes are then as before. */
int player_push(player_t *p, player_turn_t *turn, size_t n, reason_t *why);
/* The hidden state [D] of the last token that ran in a lane (for tests). */
const float *player_hidden(const player_t *p, size_t lane);

/* ---- texts ---- */

/* A text to be written: about an image, behind a question or a beginning, or both. */
typedef struct {
    const uint8_t *rgb; /* [image_h, image_w, 3], borrowed; NULL = no image */
    size_t image_w, image_h;
    /* UTF-8: of a task with images a question, and the answer is written; else the beginning of a
     * text, which goes on. "" = none */
    const char *given;
    rng_t draw;         /* the random key of sampled ids */
    text_ids_t written; /* out: ids of texts, without the end; text_ids_release */
    bool ended;         /* out: by an end that was chosen; false: by `most` or the context */
    bool space_leads;   /* out: an answer begins with the space behind the question */
    /* out: 0, or why nothing was written: RC_MISFIT for an image that does not fit, in size
     * or in the context; RC_USAGE when nothing is seen and given, or more than the context holds */
    int rc;
    reason_t why;
} player_text_t;

/* The number of the task of that name whose texts the policy writes; -1 with a reason that names
 * those there are. */
int player_writes(const player_t *p, const char *name, reason_t *why);
/* Writes n texts of one task, at most as many as there are lanes, which forget what they did. A
 * text does not depend on the others, nor on how many they are. most: ids of each. */
void player_write(player_t *p, uint32_t task, const sampler_t *how, size_t most,
                  player_text_t *text, size_t n);
/* What was written, without the space behind a question; malloc'ed, of *size bytes and a NUL. A
 * text that was cut amid a character of UTF-8 ends before it. */
char *player_text(const player_t *p, const player_text_t *text, size_t *size);

#endif
