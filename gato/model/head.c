/* head.c - the table of heads. */
#include "gato/model/head.h"

#include "common/base/die.h"

#include <string.h>

#define HEAD_ADDRESS(name) &head_##name,
const head_t *const heads[HEADS + 1] = {HEAD_KINDS(HEAD_ADDRESS) NULL};

size_t head_number(const head_t *head) {
    for (size_t i = 0; heads[i]; i++)
        if (heads[i] == head) return i;
    BUG("head '%s' is not in the table", head->name);
}

double head_weight(const head_t *head, const gato_config_t *c) {
    double weight;
    memcpy(&weight, (const char *)c + head->weight, sizeof weight);
    return weight;
}
