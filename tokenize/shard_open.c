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

vqvae_t *shard_model_open(const char *run, const char *shard, const shard_meta_t *m) {
    int rc;
    reason_t why;
    if (!m->fingerprint) die(RC_MISFIT, "'%s' holds no codes", shard);
    vqvae_t *v = vqvae_load(run, &rc, &why);
    if (!v) die(rc, "%s", why.text);
    if (strcmp(m->fingerprint, vqvae_fingerprint(v)) != 0)
        die(RC_MISFIT,
            "'%s' was made by another tokenizer: its fingerprint is %s, that of '%s' is %s", shard,
            m->fingerprint, run, vqvae_fingerprint(v));
    if (m->codes != vqvae_config(v)->codes || m->code_dim != vqvae_config(v)->vq_embed_dim)
        die(RC_MISFIT, "'%s' has %u codes of width %u, '%s' %zu of width %zu", shard, m->codes,
            m->code_dim, run, vqvae_config(v)->codes, vqvae_config(v)->vq_embed_dim);
    vqvae_warn_untrained(v, run);
    return v;
}
