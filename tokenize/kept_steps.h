/* kept_steps.h - which steps of an episode a record keeps, by --frames, --spread and --head.
 *
 * The choice is a function of the episode's name and length alone: a resumed run, another machine
 * and `verify` find the same steps. Owns no memory, reads no episode.
 */
#ifndef TOKENIZE_KEPT_STEPS_H
#define TOKENIZE_KEPT_STEPS_H

#include <stddef.h>

typedef enum {
    STEPS_CONSECUTIVE, /* a run of neighbours; every start is equally likely */
    STEPS_SPREAD,      /* the episode is cut into equal parts; one step of each */
    STEPS_HEAD         /* the first ones: where a robot reaches, before it holds still */
} step_choice_t;

/* Writes the numbers of the kept steps, rising, to step (room for T) and returns how many they
 * are: `frames`, or T when frames is 0 or more than T. key: the episode's name, which seeds the
 * draws. */
size_t kept_steps_find(const char *key, size_t T, size_t frames, step_choice_t choice,
                       size_t *step);

#endif
