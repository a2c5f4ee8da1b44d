/* message.h - a timestep of an episode as bytes, for the pipe between a worker and who writes it
 * down. Both are one program on one machine, so numbers stand as they do in memory. */
#ifndef GATO_MESSAGE_H
#define GATO_MESSAGE_H

#include "gato/play/episode.h"

typedef struct {
    uint8_t *v;
    size_t n, cap;
} message_t;

/* Appends n bytes, and zeros up to a multiple of 8. */
void message_put(message_t *m, const void *bytes, size_t n);
/* Appends a step of an episode of this task. */
void message_put_step(message_t *m, const task_t *task, const episode_step_t *s);

/* A step that came: pointers go into the message, or into this. */
typedef struct {
    episode_step_t step;
    env_observation_t seen;
    env_action_t action, expert;
} message_step_t;
/* Reads what message_put_step wrote, at an address divisible by 8. */
void message_get_step(const void *bytes, size_t n, const task_t *task, message_step_t *out);

#endif
