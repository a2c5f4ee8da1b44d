/* window.h - which steps of an episode a record holds: a function of the episode's name and length
 * alone, so that a run that goes on, another machine, and `verify` find the same ones.
 */
#ifndef TOKENIZE_WINDOW_H
#define TOKENIZE_WINDOW_H

#include <stddef.h>

/* Which of an episode's steps --frames keeps. */
typedef enum {
    TAKE_WINDOW, /* consecutive ones, their start uniform over all places */
    TAKE_SPREAD, /* one of each of that many equal parts */
    TAKE_HEAD    /* the first ones: the reaching, before the holding still */
} take_t;

/* Fills step[T] with the steps that are kept of T, rising; returns how many. frames 0 or at least
 * T: all. */
size_t window_steps(const char *key, size_t T, size_t frames, take_t take, size_t *step);

#endif
