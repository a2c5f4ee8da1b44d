/* fuzz_caption.c - arbitrary bytes as a JSON line of captions and questions.
 * fuzz-sources: tokenize/caption.c
 */
#include "tokenize/caption.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const caption_text_t *t) {
    if (!t->text || !t->len || t->len != strlen(t->text) || t->prompt_len >= t->len)
        BUG("a text of %zu and a prompt of %zu", t->len, t->prompt_len);
    if (t->prompt_len && t->text[t->prompt_len - 1] != ' ')
        BUG("no space between question and answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const members[] = {NULL, "caption"};
    for (size_t i = 0; i < 2; i++) {
        caption_t c;
        reason_t why = {""};
        if (caption_parse((const char *)data, size, members[i], &c, &why)) {
            if (!why.text[0] || c.image || c.n)
                BUG("refused without a reason, or with something left");
            continue;
        }
        if (!c.n || (c.image && !*c.image)) BUG("neither refused nor a text");
        for (size_t k = 0; k < c.n; k++) check(&c.text[k]);
        caption_release(&c);
    }
    return 0;
}
