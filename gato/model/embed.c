/* embed.c - the table of embeddings. */
#include "gato/model/embed.h"

#include "common/base/die.h"

extern const embed_t embed_token, embed_patches, embed_codes, embed_table, embed_both, embed_vector;

const embed_t *const embeds[] = {&embed_token, &embed_patches, &embed_codes, &embed_table,
                                 &embed_both,  &embed_vector,  NULL};

const embed_t *embed_of(const gato_config_t *c, const slot_t *slot) {
    for (size_t i = 0; embeds[i]; i++)
        if (embeds[i]->serves(c, slot)) return embeds[i];
    BUG("no embedding serves slot '%s'", slot->name);
}
