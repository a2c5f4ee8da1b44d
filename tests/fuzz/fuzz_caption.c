/* fuzz_caption.c - arbitrary bytes as a JSON line of captions and questions.
 * fuzz-sources: tokenize/caption.c */
#include "tokenize/caption.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    caption_t c;
    reason_t why = {""};
    if (caption_parse((const char *)data, size, &c, &why)) {
        if (!why.text[0] || c.image || c.text)
            BUG("refused without a reason, or with something left");
        return 0;
    }
    if (!c.text || c.len != strlen(c.text) || c.prompt_len > c.len)
        BUG("a text of %zu and a prompt of %zu", c.len, c.prompt_len);
    if (c.prompt_len && c.text[c.prompt_len - 1] != ' ')
        BUG("no space between question and answer");
    caption_release(&c);
    return 0;
}
