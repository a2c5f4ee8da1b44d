/* player_private.h - what the parts of the player share: its lanes, and what happens in a push.
 *
 *   player.c          opens, binds bodies, keeps lanes
 *   player_observe.c  observations become timesteps of the model
 *   player_run.c      new tokens run behind those in the caches
 *   player_choose.c   hidden states become actions
 *   player_chunk.c    which of the actions predicted at once is done when
 *   player_text.c     texts are written, id by id
 *   player_dream.c    observations are chosen, token by token
 */
#ifndef GATO_PLAYER_PRIVATE_H
#define GATO_PLAYER_PRIVATE_H

#include "common/io/text/text_tokenizer.h"
#include "common/tape/plan_cache.h"
#include "gato/model/graph.h"
#include "gato/play/player.h"

/* Columns of an action: tokens that a timestep can add behind its separator. */
enum { PLAYER_TOKENS = ENV_ACTIONS + ENV_DISCRETE };
/* Those of chunks (FAST) are more. */
enum { PLAYER_CHOSEN = PLAYER_TOKENS + FAST_MOST };

/* A timestep that owns its arrays. */
typedef struct {
    timestep_t data;
    void *owned[2 * TASK_SLOTS];
    size_t n_owned;
} seen_t;

/* How a task of the model corresponds to the body that plays it. */
typedef struct {
    bool is_bound;
    int32_t body[TASK_SLOTS];    /* the body's slot for each of the task, -1 = it has none */
    uint32_t column[TASK_SLOTS]; /* acted slots: their first column in the body's env_action_t */
    uint32_t image_w[TASK_SLOTS], image_h[TASK_SLOTS]; /* of the body's images, in pixels */
} binding_t;

typedef struct {
    uint32_t task;
    bool is_open; /* player_reset was called */
    int32_t step;
    float **cache; /* [layers] of [capacity, kern_cache_width] */
    size_t capacity;
    size_t used, first; /* rows in use; the first that the present timestep sees */
    size_t *begin;      /* ring [window]: first row of each of the last timesteps */
    /* Tokens of actions that have not run: of this timestep, or of the one before. */
    uint32_t waiting[PLAYER_TOKENS];
    size_t n_waiting;
    float *hidden; /* [D] of the last token that ran */
    seen_t *past;  /* rebuild: ring [window] */
    seen_t last;   /* without rebuild: what was seen in the last timestep */
    seen_t goal;   /* the goal of the episode in its slot, if there is one */
    /* chunks, unclamped: ring of [chunk, acted columns]; the last `planned` of them, up to that of
     * step last_plan, count */
    float *plan;
    int32_t planned, last_plan;
    bool plans; /* in the step at hand */

    /* the push at hand */
    seen_t now;
    float *separator;               /* [D] its hidden state */
    uint32_t chosen[PLAYER_CHOSEN]; /* all tokens of this timestep's actions so far */
    size_t n_chosen;
    fast_state_t writing; /* of the chunk at hand, whose tokens begin at chosen[chunk_first] */
    size_t chunk_first;
    uint32_t slot, column;       /* the next to be chosen */
    float scaled[PLAYER_TOKENS]; /* acted vectors in [-1,1], by column of the task */
    uint32_t discrete[ENV_DISCRETE];
} lane_t;

struct player {
    gato_model_t *m;
    nn_packed_t *packed;
    tokenizer_t *tokenizer;
    text_tokenizer_t *words;
    size_t fit_w, fit_h; /* patches: the size that images are fitted to; 0 = none */
    bool fit_bicubic;    /* whole, by SEED's filter, not by image_fit */
    player_opts_t o;
    binding_t *binding; /* [tasks] */
    lane_t *lane;
    size_t n_lanes, longest; /* longest: timesteps of the widest attention window */
    batch_t batch;
    plan_cache_t *chunks;    /* the network over new tokens, by lanes, positions, rows of pools */
    plan_cache_t *readers;   /* what heads make of hidden states */
    plan_cache_t *futures;   /* what they make of them in dreams */
    attention_lane_t *lanes; /* [n_lanes] bound to the chunks: those that run */
    size_t *key;             /* of a chunk: 2 + n_pools */
};

/* ---- player_observe.c ---- */

void seen_release(seen_t *s);
/* Turns an observation into a timestep of the lane's task. 0, or -1 with a reason. */
int player_observe(player_t *p, const lane_t *lane, const env_observation_t *seen, seen_t *out,
                   reason_t *why);

/* Copies what was observed in a timestep. */
void player_copy_seen(const player_t *p, const timestep_t *from, seen_t *to);

/* Encodes an image of w x h pixels for a slot; what *v points to belongs to *s. 0, or -1 with a
 * reason. */
int player_see_image(player_t *p, const slot_t *slot, const uint8_t *rgb, size_t w, size_t h,
                     seen_t *s, slot_value_t *v, reason_t *why);

/* ---- player_run.c ---- */

void player_run_open(player_t *p);
void player_run_close(player_t *p);
/* Empties the lane's cache. */
void lane_clear(lane_t *lane);
/* Runs, in each of n lanes, the tokens that waited and the present observation. */
void player_run_observations(player_t *p, lane_t *const *lane, size_t n);
/* Runs, in each of n lanes, the tokens of this timestep's actions that wait. */
void player_run_tokens(player_t *p, lane_t *const *lane, size_t n);
/* Begins a timestep of a lane whose tokens come in parts; its waiting tokens have run. */
void lane_begin(const player_t *p, lane_t *lane);
/* Runs, in each of n lanes, tokens first[i] .. end[i] - 1 of its present observation (batch_part).
 */
void player_run_parts(player_t *p, lane_t *const *lane, const size_t *first, const size_t *end,
                      size_t n);
/* Copies the keys and values that a lane still sees to another. */
void lane_copy_cache(const player_t *p, const lane_t *from, lane_t *to);
/* Runs, in each of n lanes, what is seen of a text to be written, without a separator: from an
 * empty cache. */
void player_run_beginnings(player_t *p, lane_t *const *lane, size_t n);
/* 0 where texts can be read and written, else -1 with a reason. */
int player_needs_words(const player_t *p, reason_t *why);
/* Runs one more id of each text: id[i] in lane i. */
void player_run_words(player_t *p, lane_t *const *lane, const uint32_t *id, size_t n);
/* Closes the timestep of a lane. */
void lane_next(player_t *p, lane_t *lane);

/* ---- player_chunk.c ---- */

/* Numbers that the chunks of a lane take. */
size_t player_chunk_floats(const player_t *p);
/* Voids all chunks of the lane. */
void lane_plans_nothing(lane_t *lane);
/* Copies what is planned in a lane to another of the same task and step. */
void lane_copy_plans(const player_t *p, const lane_t *from, lane_t *to);
/* Begins a step in which the policy acts: says in lane->plans whether a new chunk is predicted. */
void lane_begins_step(const player_t *p, lane_t *lane);
/* Takes what a step that plans predicts for a slot, [chunk, width], from acted column `first`
 * on. */
void lane_plan(const player_t *p, lane_t *lane, uint32_t first, uint32_t width, const float *rows);
/* What is done in the present step, unclamped: of one column of the task's acted vectors. */
float lane_does(const player_t *p, const lane_t *lane, uint32_t column);

/* ---- player_choose.c ---- */

void player_choose_open(player_t *p);
void player_choose_close(player_t *p);
/* Chooses the actions of n lanes, turn by turn in their order. */
void player_choose(player_t *p, player_turn_t *const *turn, lane_t *const *lane, size_t n);
/* The logits [n, hi - lo] of the ids lo .. hi - 1 behind the last token of each lane, valid until
 * the next reading. */
const float *player_read(player_t *p, lane_t *const *lane, size_t n, uint32_t lo, uint32_t hi);
/* Takes given actions. 0, or -1 with a reason: a number that is not finite, a value out of range.
 * */
int player_check_given(const player_t *p, const lane_t *lane, const env_action_t *given,
                       reason_t *why);
void player_take_given(const player_t *p, lane_t *lane, const env_action_t *given);
/* Does a recorded timestep have its actions? *all: all acted slots or, without a fault, none. 0, or
 * -1 with a reason. */
int player_check_recorded(const player_t *p, const lane_t *lane, const timestep_t *s, bool *all,
                          reason_t *why);
/* Takes them; *action: in the units of the body. */
void player_take_recorded(const player_t *p, lane_t *lane, const timestep_t *s,
                          env_action_t *action);

/* ---- player_dream.c ---- */

void player_dream_open(player_t *p);
void player_dream_close(player_t *p);

#endif
