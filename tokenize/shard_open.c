/* shard_open.c - see shard_open.h. */
#include "tokenize/shard_open.h"

#include <string.h>

token_db_t *shard_open(const char *path) {
    int rc;
    reason_t why;
    token_db_t *db = token_db_open(path, &rc, &why);
    if (!db) die(rc, "%s", why.text);
    return db;
}

tokenizer_t *shard_model_open(const char *run, const char *shard, const shard_meta_t *m) {
    if (!m->fingerprint) die(RC_MISFIT, "'%s' holds no codes", shard);
    tokenizer_t *tokenizer = tokenizer_open_or_die(run);
    if (strcmp(m->fingerprint, tokenizer_fingerprint(tokenizer)) != 0)
        die(RC_MISFIT,
            "'%s' was made by another tokenizer: its fingerprint is %s, that of '%s' is %s", shard,
            m->fingerprint, run, tokenizer_fingerprint(tokenizer));
    if (m->codes != tokenizer_codes(tokenizer) || m->code_dim != tokenizer_width(tokenizer))
        die(RC_MISFIT, "'%s' has %u codes of width %u, '%s' %zu of width %zu", shard, m->codes,
            m->code_dim, run, tokenizer_codes(tokenizer), tokenizer_width(tokenizer));
    tokenizer_warn_untrained(tokenizer, run);
    return tokenizer;
}
