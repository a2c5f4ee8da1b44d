/* player_private.h - what the files of the player share: its lanes, and the network over a chunk.
 *
 * player.c opens, binds and owns; player_observe.c turns what an environment shows into a timestep;
 * player_run.c runs chunks of new tokens over the caches; player_choose.c decodes actions.
 */
#ifndef GATO_PLAYER_PRIVATE_H
#define GATO_PLAYER_PRIVATE_H

#include "common/tape/plan_cache.h"
#include "gato/model/batch.h"
#include "gato/model/graph.h"
#include "gato/play/player.h"

enum { PLAYER_COLUMNS = ENV_ACTIONS + ENV_DISCRETE };

/* One number of an action, in the order of the tokens. */
typedef struct {
    uint32_t slot, k; /* of the task */
    bool discrete, regressed;
    size_t place;    /* in env_action_t.vector or .discrete */
    uint32_t lo, hi; /* the ids that it is chosen from */
} player_column_t;

/* How a body plays a task of the policy. */
typedef struct {
    bool bound;
    int32_t seen[TASK_SLOTS]; /* the body's slot for each observed slot, -1 = missing */
    size_t acted[TASK_SLOTS]; /* where an acted slot begins in env_action_t.vector or .discrete */
    player_column_t column[PLAYER_COLUMNS];
    size_t columns;
    bool regresses; /* a slot is read at the separator */
} player_body_t;

typedef struct {
    uint32_t task;
    bool begun;
    float **cache; /* [layers] */
    attention_lane_t span;
    int32_t step;
    size_t *begin; /* ring [window]: first row of each of the last timesteps */
    /* tokens of the action that no chunk has run yet; after a step they wait for the next one */
    uint32_t pending[PLAYER_COLUMNS], id[PLAYER_COLUMNS];
    size_t n_pending, column;
    float scaled[PLAYER_COLUMNS]; /* by column, in [-1,1] */
    float value[PLAYER_COLUMNS];  /* regressed ones, by column */
    uint32_t discrete[ENV_DISCRETE];
    timestep_t now;   /* owns its arrays */
    timestep_t *past; /* with rebuild: ring [window] that own theirs */
    float *hidden;    /* [D] */
    const float *logits;
    uint32_t logits_lo;
} player_lane_t;

struct player {
    gato_model_t *m;
    nn_packed_t *packed;
    tokenizer_t *tokenizer;
    size_t fit_w, fit_h; /* of vocabulary.preprocess; 0 = native */
    player_opts_t o;
    player_body_t *body; /* [tasks] */
    player_lane_t *lane;
    size_t n_lanes;
    attention_lane_t *span; /* [n_lanes] of the chunk at hand; chunks are bound to it */
    batch_t batch;
    plan_cache_t *chunks;
    size_t *key;   /* [key_sizes]: positions, lanes, lo, hi, rows of the pools, tasks that regress */
    size_t key_sizes;
};

void player_timestep_release(timestep_t *s);
/* Fills lane->now from what the body shows and the given action. */
int player_observe(player_t *p, player_lane_t *lane, const player_turn_t *turn, reason_t *why);
/* Are images of w x h of a body what the slot was trained on, after preprocessing? */
int player_image_fits(const player_t *p, const slot_t *slot, size_t w, size_t h, reason_t *why);

/* Forgets the recorded chunks and the caches of all lanes. */
void player_lane_init(player_t *p, player_lane_t *lane);
void player_lane_release(player_t *p, player_lane_t *lane);
/* Runs the observations of these lanes, behind the tokens that waited. */
void player_run_observations(player_t *p, player_lane_t **lane, size_t n);
/* Runs the pending tokens of these lanes. */
void player_run_pending(player_t *p, player_lane_t **lane, size_t n);
/* Bytes of a recorded chunk and numbers of its key. */
size_t player_chunk_bytes(const gato_model_t *m);
size_t player_key_sizes(const gato_model_t *m);
void player_record_chunk(void *context, const void *key, plan_memory_t *memory, cached_plan_t *at);

/* Takes columns as far as what has run allows. True: the pending tokens must run first. */
bool player_choose(player_t *p, player_lane_t *lane, const player_turn_t *turn);
/* The chosen or given action in the units of the environment. */
void player_action(const player_t *p, const player_lane_t *lane, player_turn_t *turn);

#endif
