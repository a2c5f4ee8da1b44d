/* codes.c - the kinds of codes; see codes.h. */
#include "common/model/codes.h"

#include <string.h>

/* The first whose `is` holds counts; a codebook is what all others are not. */
static const codes_kind_t *const kinds[] = {&codes_fsq, &codes_vq};
enum { KINDS = sizeof kinds / sizeof *kinds };

const codes_kind_t *codes_kind(const vqvae_config_t *c) {
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i]->is(c)) return kinds[i];
    BUG("a tokenizer without a kind of codes");
}

const codes_kind_t *codes_kind_of_class(const char *class_name) {
    for (size_t i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i]->class_name, class_name)) return kinds[i];
    return NULL;
}
