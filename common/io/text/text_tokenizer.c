/* text_tokenizer.c - see text_tokenizer.h. */
#include "common/io/text/text_tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, BYTES_END = 256, BYTES_IDS };

struct text_tokenizer {
    bpe_t *bpe; /* NULL = bytes */
    char *name;
};

static text_tokenizer_t *of_bpe(bpe_t *bpe) {
    if (!bpe) return NULL;
    text_tokenizer_t *t = NEW(text_tokenizer_t);
    t->bpe = bpe;
    t->name = xasprintf("bpe %s", bpe_fingerprint(bpe));
    return t;
}

text_tokenizer_t *text_tokenizer_bytes(void) {
    text_tokenizer_t *t = NEW(text_tokenizer_t);
    t->name = xstrdup("byte");
    return t;
}

text_tokenizer_t *text_tokenizer_bpe(const char *path, int *rc, reason_t *why) {
    return of_bpe(bpe_open(path, rc, why));
}

text_tokenizer_t *text_tokenizer_load(const char *name, const char *file, int *rc, reason_t *why) {
    if (!strcmp(name, "byte")) return text_tokenizer_bytes();
    if (strncmp(name, "bpe ", 4)) {
        *rc = RC_MISFIT;
        reason_set(why, "text tokenizer '%.60s' is not known to this program", name);
        return NULL;
    }
    if (!file) {
        *rc = RC_DATA;
        reason_set(why, "text tokenizer '%.60s' without its file", name);
        return NULL;
    }
    text_tokenizer_t *t = of_bpe(bpe_parse(file, strlen(file), rc, why));
    if (!t || !strcmp(t->name, name)) return t;
    *rc = RC_MISFIT;
    reason_set(why, "text tokenizer: %.60s and %.60s", name, t->name);
    text_tokenizer_free(t);
    return NULL;
}

void text_tokenizer_free(text_tokenizer_t *t) {
    if (!t) return;
    bpe_free(t->bpe);
    free(t->name);
    free(t);
}

const char *text_tokenizer_name(const text_tokenizer_t *t) {
    return t->name;
}

const char *text_tokenizer_file(const text_tokenizer_t *t) {
    size_t size;
    return t->bpe ? bpe_json(t->bpe, &size) : NULL;
}

uint32_t text_tokenizer_ids(const text_tokenizer_t *t) {
    return t->bpe ? bpe_ids(t->bpe) : BYTES_IDS;
}

uint32_t text_tokenizer_end(const text_tokenizer_t *t) {
    return t->bpe ? bpe_end(t->bpe) : BYTES_END;
}

bool text_tokenizer_space_leads(const text_tokenizer_t *t) {
    return t->bpe != NULL;
}

void text_tokenizer_encode(const text_tokenizer_t *t, const char *text, size_t n, text_ids_t *out) {
    if (t->bpe) {
        bpe_encode(t->bpe, text, n, out);
        return;
    }
    out->id = xgrow(out->id, &out->cap, out->n + n, sizeof *out->id);
    for (size_t i = 0; i < n; i++) out->id[out->n++] = (uint8_t)text[i];
}

void text_tokenizer_encode_on(const text_tokenizer_t *t, const char *text, size_t n,
                              text_ids_t *out) {
    if (t->bpe)
        bpe_encode_on(t->bpe, text, n, out);
    else
        text_tokenizer_encode(t, text, n, out);
}

char *text_tokenizer_decode(const text_tokenizer_t *t, const uint32_t *id, size_t n, size_t *size) {
    if (t->bpe) return bpe_decode(t->bpe, id, n, size);
    char *text = xmalloc(n + 1);
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        if (id[i] > BYTES_END) BUG("id %u of %d", id[i], BYTES_IDS);
        if (id[i] < BYTES) text[(*size)++] = (char)id[i];
    }
    text[*size] = 0;
    return text;
}
