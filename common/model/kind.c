/* kind.c - the kinds of tokenizer; see kind.h. */
#include "common/model/kind.h"

#include <string.h>

#define ROW(name, help) &kind_##name,
static const model_kind_t *const kinds[] = {MODEL_KINDS(ROW)};
enum { KINDS = sizeof kinds / sizeof *kinds };

const model_kind_t *model_kind(const vqvae_config_t *c) {
    for (size_t i = 0; i < KINDS; i++)
        if (kinds[i]->is(c)) return kinds[i];
    BUG("a tokenizer of no kind");
}

size_t model_kinds(void) {
    return KINDS;
}

const model_kind_t *model_kind_at(size_t i) {
    return kinds[i];
}

int model_kind_index(const model_kind_t *kind) {
    for (int i = 0; i < KINDS; i++)
        if (kinds[i] == kind) return i;
    BUG("kind '%s' is in no row", kind->name);
}

bool model_kind_reads(const char *keys, const char *key) {
    size_t n = strlen(key);
    for (const char *word = keys; *word;) {
        size_t length = strcspn(word, " ");
        if (length == n && !memcmp(word, key, n)) return true;
        word += length;
        word += strspn(word, " ");
    }
    return false;
}
