/* head.c - the table of heads. */
#include "gato/model/head.h"

#include "common/base/die.h"

extern const head_t head_action_ce, head_action_mix, head_action_mse, head_discrete, head_text,
    head_image, head_vector_ce, head_vector;

const head_t *const heads[] = {&head_action_ce, &head_action_mix, &head_discrete,
                               &head_text,      &head_action_mse, &head_image,
                               &head_vector_ce, &head_vector,     NULL};

size_t head_number(const head_t *head) {
    for (size_t i = 0; heads[i]; i++)
        if (heads[i] == head) return i;
    BUG("head '%s' is not in the table", head->name);
}
