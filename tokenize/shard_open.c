/* shard_open.c - see shard_open.h. */
#include "tokenize/shard_open.h"

#include <string.h>

token_db_t *shard_open_or_die(const char *path) {
    int rc;
    reason_t why;
    token_db_t *shard = token_db_open(path, &rc, &why);
    if (!shard) die(rc, "%s", why.text);
    return shard;
}

tokenizer_t *shard_tokenizer_open_or_die(const char *run, const char *path,
                                         const shard_meta_t *meta) {
    if (!meta->fingerprint) die(RC_MISFIT, "'%s' holds no codes", path);
    tokenizer_t *tokenizer = tokenizer_open_or_die(run);
    if (strcmp(meta->fingerprint, tokenizer_fingerprint(tokenizer)) != 0)
        die(RC_MISFIT,
            "'%s' was made by another tokenizer: its fingerprint is %s, that of '%s' is %s", path,
            meta->fingerprint, run, tokenizer_fingerprint(tokenizer));
    if (meta->codes != tokenizer_codes(tokenizer) || meta->code_dim != tokenizer_width(tokenizer))
        die(RC_MISFIT, "'%s' has %u codes of width %u, '%s' %zu of width %zu", path, meta->codes,
            meta->code_dim, run, tokenizer_codes(tokenizer), tokenizer_width(tokenizer));
    tokenizer_warn_untrained(tokenizer, run);
    return tokenizer;
}
