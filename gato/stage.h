/* stage.h - what `gato record` and `gato act` share: the environment, the policy and the player
 * that a process plays with, their options on the command line, and the second try of an episode
 * that failed. For programs: it dies where a user has to know. */
#ifndef GATO_STAGE_H
#define GATO_STAGE_H

#include "common/base/cli.h"
#include "gato/play/episode.h"

typedef struct {
    const char *env, *command, *policy, *model, *task;
    const char *prompt;
    const char *goal; /* an image file, or GOAL_FROM_ENV; NULL = not given */
    const char *decode, *context, *weights;
    int64_t plan, horizon, iterations, elite;            /* of plans; INT64_MIN = not given */
    double timeout, temperature, beta, ensemble, smooth; /* NAN = not given */
    int64_t max_steps, execute, prompt_top;              /* INT64_MIN = not given */
    int64_t size;                                        /* 0 = not given */
    bool blank, allow_missing, forget;
} stage_args_t;

enum { STAGE_OPTIONS = 24 };
/* Their presets: nothing is given. */
stage_args_t stage_presets(const char *policy);
/* The options of both commands, bound to *a, for cli_parse. */
void stage_options(stage_args_t *a, cli_opt_t options[STAGE_OPTIONS]);

/* How a model plays, and plans, by these options: checked, die()s with RC_USAGE. */
player_opts_t stage_player(const stage_args_t *a, bool plans);
search_opts_t stage_plan(const stage_args_t *a);

typedef struct {
    const stage_args_t *args;
    const policy_t *policy;
    policy_opts_t how;
    size_t max_steps;
    task_t task; /* the environment's */
    char *env_name;
    env_t *env; /* NULL: not open in this process yet */
    void *player;
} stage_t;

/* Checks the options, opens environment and player, and says how a trained policy acts. Dies with
 * the reason. Starts no thread, since this process may still have to fork. */
stage_t stage_open(const stage_args_t *a);
void stage_close(stage_t *s);
/* Before workers are forked for n episodes: how many, one per thread of --threads (0 = all
 * processors). Each opens its own environment (a child process belongs to one of them). A single
 * worker is this process, with all the threads. */
size_t stage_hand_over(stage_t *s, int64_t threads, size_t n);

/* What draws the environment's images, malloc'ed; "" where that means nothing. A screen driver is
 * started in a process of its own, since this one may still have to fork. Dies with the reason. */
char *stage_renderer(const stage_t *s);

/* episode_play on this process's environment and player, opened if they are not. An episode that
 * fails is played once more, from its reset: `again` is called before, with the reason, and returns
 * whether it shall. 0, or -1 with the reason of the last failure. */
typedef bool (*stage_again_t)(void *ctx, const reason_t *why);
int stage_play(stage_t *s, const episode_opts_t *o, uint64_t episode, bool images,
               episode_sink_t sink, stage_again_t again, void *ctx, episode_result_t *result,
               reason_t *why);

#endif
