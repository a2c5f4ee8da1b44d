/* window.h - which steps of an episode a record holds: a function of the episode's name and length alone, so that a run
 * that goes on, another machine, and `verify` find the same ones.
 */
#ifndef TOKENIZE_WINDOW_H
#define TOKENIZE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

/* Fills step[T] with the steps that are kept of T, rising; returns how many. frames 0 or at least T: all. Else `frames`
 * consecutive ones, their start uniform over all places; spread: one step of each of `frames` equal parts. */
size_t window_steps(const char *key, size_t T, size_t frames, bool spread, size_t *step);

#endif
