/* player.h - a trained policy at play: observations in, actions out, in one lane or many.
 *
 * A lane is an episode in progress. The player owns a cache of keys and values for each: a token
 * of step t sees the steps after t - N, N being the attention window of the lane's task in
 * training; tokens of older steps are dropped whole. There are no absolute positions, so nothing
 * is computed twice. Many lanes run as one batch and give the bits of each alone. For comparison,
 * `rebuild` runs the context of the last N steps anew for every token (NEKO's way).
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
    kern_weights_t weights; /* how linear layers are stored: 32, 16, 8 or 4 bits per weight */
    /* How the actions of chunks are used. execute: so many before the next chunk; 0 = with
     * `averages` 1, else as the RUN says, act.execute and act.ensemble. averages: the mean of all
     * chunks that reach a step, by the weights exp(-ensemble i). */
    int64_t execute;
    bool averages;
    double ensemble;
} player_opts_t;

typedef struct player player_t;

/* Opens a gato RUN; a policy that reads images as codes has its tokenizer in vqvae/ inside. NULL
 * with a reason; *rc as of run_load, RC_MISFIT for another tokenizer, or RC_USAGE for chunks that
 * cannot be used as asked. Close with
 * player_close. */
player_t *player_open(const char *dir, const player_opts_t *o, int *rc, reason_t *why);
/* The same of a model, which it takes, whose RUN is dir; NULL: there is none, and images come as
 * the codes of recorded timesteps. */
player_t *player_of(gato_model_t *m, const char *dir, const player_opts_t *o, int *rc,
                    reason_t *why);
void player_close(player_t *p);
const gato_model_t *player_model(const player_t *p);
/* "8 actions at once, 4 used before the next"; "" = without chunks. Returns buf. */
const char *player_chunks(const player_t *p, char buf[128]);

/* The number of the policy's task that a body (an environment's task) plays: the one of `name`;
 * with NULL the one of the body's name or of its last part (of "suite/reach", what tokenize calls
 * "reach"), else the only one of the policy that fits. -1 with a reason
 * that goes slot by slot: what the policy reads and does, and what the body shows and takes. Slots
 * that the body has and the task lacks are not read; observed slots that the body lacks are
 * missing in every timestep, which must be said: allow_missing. The player keeps how the slots
 * correspond. */
int player_bind(player_t *p, const task_t *body, const char *name, bool allow_missing,
                reason_t *why);

/* How many lanes there are: 0 .. n - 1. Resets all. 0, or -1 with a reason. */
int player_lanes(player_t *p, size_t n, reason_t *why);
/* Begins an episode of a bound task in a lane: forgets the last one. */
void player_reset(player_t *p, size_t lane, uint32_t task);

/* Has the policy's task a slot of goals (data.goal), and the body a camera for it? The number of
 * the body's slot, or -1. */
int player_goal_camera(const player_t *p, uint32_t task);
/* Shows the lane a goal, an image of w x h pixels, in every timestep from now to the reset;
 * without one the slot is missing. 0, or -1 with a reason: no slot of goals, or a size that does
 * not fit. */
int player_goal(player_t *p, size_t lane, const uint8_t *rgb, size_t w, size_t h, reason_t *why);

/* One timestep of a lane. */
typedef struct {
    size_t lane;
    const env_observation_t *seen; /* by the slots of the bound body */
    /* What was done in this timestep, in the units of the environment (prompts, other policies);
     * NULL: the policy chooses. */
    const env_action_t *given;
    /* Instead of `seen` and `given`, a timestep as shards hold it (sequence.c), by the slots of the
     * policy's task; borrowed for the call. All its acted slots or none: then the policy chooses.
     * Where its slot of goals is empty, it holds the lane's goal. */
    const timestep_t *recorded;
    rng_t draw;          /* the random key of sampled decoding */
    env_action_t action; /* out: what was chosen or given, in the units of the environment */
} player_turn_t;
/* Feeds a timestep to n different lanes, which take their actions. 0, or -1 with a reason, naming
 * the lane if there are several: an observation that does not fit. The lanes are then as before.
 * */
int player_push(player_t *p, player_turn_t *turn, size_t n, reason_t *why);
/* Feeds a lane, just reset, n recorded timesteps as its past: their goals are left out, the lane's
 * own holds. Where one has no actions, the policy chooses them; no chunk reaches beyond the last.
 * 0, or -1 with a reason as player_push. */
int player_feed(player_t *p, size_t lane, const timestep_t *step, size_t n, rng_t draw,
                reason_t *why);
/* The hidden state [D] of the last token that ran in a lane (for tests). A step whose action a
 * chunk holds already runs only where later steps see it (an attention window above 1). */
const float *player_hidden(const player_t *p, size_t lane);

/* ---- dreams: timesteps whose observation the policy's model chooses ----
 *
 * Token after token: the codes of every image from those before, then vectors and discrete values,
 * each fed as soon as it is chosen; texts and goals are those of the lane's last timestep, and so
 * is which slots there are. Then the separator, and an action that is given or chosen. The three
 * ways to measure a future that is known, over player_reset and pushes of what came before it:
 *
 *     teacher-forced   player_dream with the truth and `force`, timestep after timestep
 *     frame by frame   player_fork(p, a, b); player_dream on b with the truth; player_push on a
 *     free             player_dream with the truth, timestep after timestep
 */

/* How a timestep that was dreamt compares with the true one. Cross entropies are in nats, sums
 * over n codes, and 0 without truth. */
typedef struct {
    size_t n;                        /* true codes */
    size_t equal;                    /* of them, those that were chosen */
    double ce;                       /* of the true codes, behind what the lane was fed */
    size_t n_changed, equal_changed; /* over codes that are not those of the last timestep */
    double ce_changed;               /* as ce, over these */
    double own; /* -log p of the codes that were fed, over n_own of them (also without truth) */
    size_t n_own;
    double squared; /* errors of numbers of observed vectors, in standard deviations of the task */
    size_t n_values;
} dream_sums_t;

/* One dreamt timestep of a lane. */
typedef struct {
    size_t lane;
    /* As in player_turn_t: NULL, and no acted slots in `recorded`: the policy chooses. */
    const env_action_t *given;
    /* The truth, to compare with: one of them or none. `seen` is by the slots of the bound body,
     * `recorded` by those of the policy's task; slots may be missing (images of another grid than
     * the lane's last one are refused). */
    const env_observation_t *seen;
    const timestep_t *recorded;
    bool force; /* feed the truth, where it is there, instead of what is chosen */
    rng_t draw; /* the random key of everything sampled */
    /* Out, each the caller's array or NULL, by the slots of the policy's task: what was chosen
     * (with `force` too), codes [grid h * w] row by row, vectors in their units. */
    uint32_t *codes[TASK_SLOTS];
    float *vector[TASK_SLOTS];
    uint32_t *discrete[TASK_SLOTS];
    env_action_t action; /* out: as in player_turn_t */
    dream_sums_t sums;   /* out: of this timestep */
} player_dream_t;

/* Can the model choose the observations of a task? -1 with a reason that names what it lacks: a
 * head (loss.image with horizon 1, loss.vector), an attention window of two timesteps. */
int player_dreams(const player_t *p, uint32_t task, reason_t *why);
/* Dreams a timestep in n different lanes, each of which has had at least one timestep since its
 * reset. how: the sampling of codes, bins and discrete values; what a policy chooses to do stays
 * player_opts_t's. A lane does not depend on the others. 0, or -1 with a reason (player_dreams, a
 * truth or an action that does not fit): the lanes are then as before. */
int player_dream(player_t *p, player_dream_t *dream, size_t n, const sampler_t *how, reason_t *why);
/* Changes the action that was given in the lane's last timestep; nothing has run behind it. 0, or
 * -1 with a reason: an action that does not fit. */
int player_redo(player_t *p, size_t lane, const env_action_t *given, reason_t *why);
/* Copies the episode of a lane to another: its task, its cache, its last timestep. */
void player_fork(player_t *p, size_t from, size_t to);
/* The codes of an image slot in the lane's last timestep: h rows of w; 0 x 0: it is missing. */
tokenizer_grid_t player_grid(const player_t *p, size_t lane, uint32_t slot);
/* They themselves, valid until the lane's next timestep; NULL: it is missing. */
const uint32_t *player_seen_codes(const player_t *p, size_t lane, uint32_t slot);
/* The codes of an image of w x h pixels for a slot of the policy's task, malloc'ed. NULL with a
 * reason: a size that does not fit. */
uint32_t *player_codes(player_t *p, uint32_t task, uint32_t slot, const uint8_t *rgb, size_t w,
                       size_t h, tokenizer_grid_t *grid, reason_t *why);
/* The mean over n places of the squared distance between the vectors of two codes. */
double player_distance(player_t *p, const uint32_t *a, const uint32_t *b, size_t n);
/* Do the codes of its tokenizer become images? 0, or -1 with a reason. */
int player_shows(const player_t *p, reason_t *why);
/* The codes as an image; image_release. BUG: a policy that cannot (player_shows). */
image_t player_image(player_t *p, const uint32_t *codes, tokenizer_grid_t grid);

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
