/* fuzz_token_record.c - arbitrary bytes as values of a shard, with a corrected checksum so that the
 * content is read. An accepted record must build the same bytes again.
 */
#include "common/io/token_db/token_db_value.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint32_t discrete_range[2] = {3, 70000}, action_range[1] = {5};
static float low[2] = {-1, -1}, high[2] = {1, 1};

static void check_record(const uint8_t *v, size_t size, uint32_t codes) {
    const shard_meta_t meta = {.codes = codes,
                               .text_vocab = codes > 65536 ? 70000 : 257,
                               .n_continuous = 2,
                               .n_discrete = 2,
                               .n_actions = 2,
                               .n_discrete_actions = 1,
                               .discrete_range = discrete_range,
                               .discrete_action_range = action_range,
                               .action_low = low,
                               .action_high = high};
    token_record_t r;
    reason_t why = {""};
    int rc = token_record_parse(v, size, 7, &meta, &r, &why);
    if (rc) {
        if (!why.text[0] || r.owned) BUG("refused without a reason, or with something left");
        return;
    }
    size_t again_size;
    uint8_t *again = token_record_build(&meta, 7, &r, &again_size, &why);
    token_record_t r2;
    if (!again) BUG("read but not to be written: %s", why.text);
    if (token_record_parse(again, again_size, 7, &meta, &r2, &why))
        BUG("written but not to be read: %s", why.text);
    if (r2.T != r.T || r2.text_len != r.text_len || r2.key_len != r.key_len ||
        r2.pixels_bytes != r.pixels_bytes || !r.codes != !r2.codes || !r.text != !r2.text)
        BUG("a record changes by writing");
    token_record_release(&r2);
    token_record_release(&r);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    uint8_t what = data[0], *v = malloc(size); /* malloc aligns */
    memcpy(v, data + 1, --size);
    if (size >= VALUE_HEADER && !(what & 1)) {
        uint64_t sum = XXH64(v + 24, size - 24, XXH64(v, 16, 0));
        memcpy(v + 16, &sum, 8);
    }
    shard_meta_t meta = {.codes = 4, .code_dim = 2};
    reason_t why;
    if (what & 2) {
        check_record(v, size, what & 4 ? 70000 : 512);
    } else {
        if (token_codebook_parse(v, size, &meta, &why) == 0) shard_meta_release(&meta);
        if (token_meta_parse(v, size, &meta, &why) == 0) {
            size_t again_size;
            uint8_t *again = token_meta_build(&meta, &again_size);
            if (again_size > size) BUG("a meta value grows by writing");
            free(again);
            shard_meta_release(&meta);
        }
    }
    free(v);
    return 0;
}
