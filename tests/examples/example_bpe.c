/* example_bpe.c - the use that bpe.h opens with. */
#include "common/io/text/bpe.h"
#include "tests/test.h"

#ifdef WITH_PCRE2
TEST(there_and_back) {
    /* use of common/io/text/bpe.h */
    int rc;
    reason_t why;
    text_ids_t ids = {0};
    bpe_t *bpe = bpe_open("tests/reference/bpe/gpt2.json", &rc, &why);
    if (!bpe) die(rc, "%s", why.text);
    bpe_encode(bpe, "a red ball", 10, &ids);
    size_t size;
    char *text = bpe_decode(bpe, ids.id, ids.n, &size); // "a red ball"
    /* end of use */
    CHECK_STR(text, "a red ball");
    /* use of common/io/text/bpe.h */
    free(text);
    text_ids_release(&ids);
    bpe_free(bpe);
    /* end of use */
}
#else
TEST(not_built_in) {
    CHECK(true);
}
#endif
