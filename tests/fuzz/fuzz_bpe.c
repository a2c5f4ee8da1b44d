/* fuzz_bpe.c - any bytes as the files of a byte-level BPE: no crash, and a tokenizer or a reason.
 * The first byte chooses between tokenizer.json, and vocab.json with merges.txt (cut at the first
 * NUL). What is accepted prints as a file that is accepted again and prints the same; and the bytes
 * themselves, as a text, come back.
 */
#include "common/io/text/bpe.h"
#include "common/io/text/bpe_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const bpe_t *bpe, const char *text, size_t n) {
    text_ids_t ids = {0};
    size_t size;
    bpe_encode(bpe, text, n, &ids);
    for (size_t i = 0; i < ids.n; i++)
        if (ids.id[i] >= bpe_ids(bpe)) BUG("id %u", ids.id[i]);
    char *back = bpe_decode(bpe, ids.id, ids.n, &size);
    bool same = size == n && !memcmp(back, text, n);
    bool longer = size > n; /* spaces were put before it */
    if (!same && !longer) BUG("%zu bytes became %zu", n, size);
    free(back);
    text_ids_release(&ids);
}

static void check_tokenizer(const char *json, size_t json_size, const char *text, size_t n) {
    int rc = -1;
    reason_t why = {""};
    size_t size, again_size;
    bpe_t *bpe = bpe_parse(json, json_size, &rc, &why);
    if (!bpe) {
        if (rc <= 0 || !*why.text) BUG("refused without a reason");
        return;
    }
    const char *once = bpe_json(bpe, &size);
    bpe_t *again = bpe_parse(once, size, &rc, &why);
    if (!again) BUG("canonical form is refused: %s", why.text);
    const char *twice = bpe_json(again, &again_size);
    if (size != again_size || memcmp(once, twice, size)) BUG("canonical form changes");
    if (bpe_end(bpe) >= bpe_ids(bpe)) BUG("end %u", bpe_end(bpe));
    check_text(bpe, text, n);
    bpe_free(again);
    bpe_free(bpe);
}

/* A whole vocabulary of bytes is out of a fuzzer's reach: what it finds is put behind one. */
static char *with_bytes(const bpe_file_t *from, size_t *size) {
    static char name[256][3];
    bpe_file_t file = *from;
    int other = 0x100;
    file.token = xmalloc((256 + from->n_tokens) * sizeof *file.token);
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
        int c = printable ? byte : other++;
        if (c < 0x80)
            memcpy(name[byte], (char[]){(char)c, 0}, 2);
        else
            memcpy(name[byte], (char[]){(char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)), 0}, 3);
        file.token[byte] = (bpe_token_t){name[byte], (uint32_t)byte};
    }
    file.n_tokens = 256;
    for (size_t i = 0; i < from->n_tokens; i++) { /* ids follow those of the bytes */
        if (from->token[i].id > BPE_MOST_IDS - 257) continue;
        file.token[file.n_tokens] = from->token[i];
        file.token[file.n_tokens++].id += 256;
    }
    char *json = bpe_file_print(&file, size);
    free(file.token);
    return json;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    reason_t why = {""};
    bpe_file_t file;
    if (!size) return 0;
    const char *text = (const char *)data + 1;
    size_t n = size - 1, at = strnlen(text, n);
    int rc = *data & 1 ? bpe_file_parse(&file, text, n, &why)
                       : bpe_file_parse_pair(&file, text, at, at < n ? text + at + 1 : "",
                                             at < n ? n - at - 1 : 0, &why);
    if (rc) {
        if (!*why.text) BUG("refused without a reason");
        return 0;
    }
    size_t json_size;
    char *json = bpe_file_print(&file, &json_size);
    check_tokenizer(json, json_size, text, n);
    free(json);
    json = with_bytes(&file, &json_size);
    check_tokenizer(json, json_size, text, n);
    free(json);
    bpe_file_release(&file);
    return 0;
}
