/* token_db.h - token shards: what `tokenize` writes and `gato` reads. The schema to the byte is in
 * FORMATS.md.
 *
 * A shard is an LMDB directory "X.lmdb" with one unnamed database; keys are 16 bytes (tag, three
 * zero bytes, 32-bit part, 64-bit id; big endian); key and value lengths are multiples of 8, so
 * values are aligned and read in place. Every value starts with a header that carries an XXH64 of
 * the rest, checked at every read. Writers hold OUT.lock; a killed writer leaves whole
 * transactions.
 */
#ifndef IO_TOKEN_DB_H
#define IO_TOKEN_DB_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_DB_VERSION = 1 };
typedef enum { TAG_META = 0, TAG_RECORD = 1, TAG_SOURCE = 2, TAG_BAD = 3 } token_tag_t;
typedef enum { RECORD_IMAGE, RECORD_EPISODE, RECORD_TEXT } record_kind_t;

/* What the whole shard agrees on. Strings are owned; release with shard_meta_release. */
typedef struct {
    char *tool; /* "tokenize 0.1" */
    char
        *arguments; /* the options that shaped the shard, canonical JSON: a resume needs the same */
    char *fingerprint;    /* 32 hex digits of the encoder, or NULL without one */
    char *preprocess;     /* canonical JSON of tokenizer.json's preprocess, or NULL */
    char *quantizer;      /* canonical JSON, or NULL */
    char *text_tokenizer; /* "byte", ... */
    char *env;            /* environment spec of control episodes (JSON), or NULL */
    uint32_t codes;       /* K; 0 = no images tokens */
    uint32_t code_dim;    /* D */
    float *codebook;      /* [K,D] or NULL */
    uint32_t grid_h, grid_w, image_h, image_w;                        /* 0 = mixed sizes */
    uint32_t text_vocab;                                              /* 257 for byte */
    uint32_t n_continuous, n_discrete, n_actions, n_discrete_actions; /* widths a timestep */
    uint32_t *discrete_range, *discrete_action_range; /* sizes of the discrete spaces */
    /* [n_actions] as declared, maybe infinite. Actions are scaled to [-1,1] by them, except those
     * that shard_action_raw names. */
    float *action_low, *action_high;
    uint8_t *action_raw; /* [n_actions] 1: stored as it is; NULL: where a bound is infinite */
    char *leaves;        /* names of the columns (leaves.h), NULL = not known */
    float mu, M;
    /* counts, rewritten with every transaction */
    uint64_t records, images, episodes, steps, tokens, skipped, bad;
    bool complete; /* the whole input has been read */
} shard_meta_t;
void shard_meta_release(shard_meta_t *m);
/* Is action column k stored as the data set has it, in the units of its environment? */
bool shard_action_raw(const shard_meta_t *m, uint32_t k);
void shard_meta_copy(shard_meta_t *to, const shard_meta_t *from);

/* One record: an image, an episode (or window of one), a text. Arrays of absent parts are NULL; T
 * timesteps (1 for images and texts). Reading: pointers go into the map (valid until
 * token_db_close), except those in `owned`. */
typedef struct {
    record_kind_t kind;
    uint32_t T;
    const char
        *key; /* of the source item ("a/x.png", "episode_3"); key_len bytes, no NUL inside needed */
    uint32_t key_len;
    const char *source; /* as given to --in */
    uint32_t source_len;
    uint32_t grid_h, grid_w; /* of this record's images */
    uint32_t image_h, image_w;
    uint64_t first_step; /* of the episode, for windows */
    const uint32_t
        *codes; /* [T, grid_h*grid_w]; stored as u16 when K <= 65536, widened by the reader */
    const uint32_t *text; /* [text_len] token ids, once a record */
    uint32_t text_len;
    uint32_t
        /* the first ids of the text are given (a question and a space), not to be predicted */
        prompt_len;
    const char
        *label; /* class of an image, as its data set writes it; label_len bytes, NULL = none */
    uint32_t label_len;
    const float *continuous;               /* [T, n_continuous] */
    const uint32_t *discrete;              /* [T, n_discrete] */
    const float *actions;                  /* [T, n_actions], scaled to [-1,1] or raw */
    const uint32_t *discrete_actions;      /* [T, n_discrete_actions] */
    const float *label_actions;            /* [T, n_actions] clean targets, NULL = actions */
    const float *rewards;                  /* [T] */
    const uint8_t *terminated, *truncated; /* [T] */
    const uint8_t *
        /* PNG bytes of kept images, [pixels_bytes], T PNGs after one another; pixel_size[T] their
         * lengths */
        pixels;
    const uint32_t *pixel_size;
    uint64_t pixels_bytes;
    const uint32_t
        *image_hash; /* [2], low half first: of the decoded image, kept by --dedupe; or NULL */
    void *owned;     /* released by token_record_release */
} token_record_t;
void token_record_release(token_record_t *r);

typedef struct token_db token_db_t;

/* ---- writing ---- */
/* Creates X.lmdb, or reopens it to go on (meta->arguments must equal those stored: -1 with
 * RC_MISFIT in *rc). Another writer: -1, RC_RUNTIME "'X.lmdb' is locked by pid N". max_map: bytes
 * the map may grow to (0 = 1 TB). On resume *meta's counts are loaded. *meta stays the caller's and
 * must outlive the handle: the caller keeps images, episodes, steps, tokens, skipped and complete
 * up to date in it, putting keeps records and bad, committing stores it. Like the arguments,
 * fingerprint, preprocess, quantizer, tokenizer, env and widths must be those stored. */
token_db_t *token_db_create(const char *path, shard_meta_t *meta, uint64_t max_map, int *rc,
                            reason_t *why);
/* Records are numbered in order; they become visible at token_db_commit, which also stores the
 * sources' marks and the counts. Failures (full disk, full map) are -1 with what to do: what was
 * committed stays good. */
int token_db_put(token_db_t *db, const token_record_t *r, reason_t *why);
int token_db_put_bad(token_db_t *db, const char *key, size_t key_len, const char *reason,
                     reason_t *why);
/* Items are done in the order of their source: the first `items` of `source` (a hash of its name)
 * are, and the last of them has a key of hash `last`. Stored by the next commit; at most 64
 * sources. */
void token_db_mark(token_db_t *db, uint64_t source, uint64_t items, uint64_t last);
/* How many, and *last; 0 for a source that was never marked. */
uint64_t token_db_done(const token_db_t *db, uint64_t source, uint64_t *last);
/* Bytes that wait for the next commit. */
uint64_t token_db_pending(const token_db_t *db);
int token_db_commit(token_db_t *db, reason_t *why);

/* ---- reading ---- */
/* Opens for reading (read-only media without a lock file). The whole tree of pages is checked
 * against the file first, so a cut or damaged file is refused here; 16 bytes a page of entries are
 * kept, however many records there are. Opening a shard again in this process gives the same handle
 * once more. *rc: RC_USAGE missing, RC_DATA corrupt, RC_MISFIT another version or endianness. A
 * SIGBUS while reading (file truncated under us) ends the program with RC_DATA and the file's
 * name. */
token_db_t *token_db_open(const char *path, int *rc, reason_t *why);
const shard_meta_t *token_db_meta(const token_db_t *db);
uint64_t token_db_count(const token_db_t *db); /* records */
uint64_t token_db_bytes(const token_db_t *db); /* of the file */
/* Record i (0-based, in order of writing): checksum, sizes and ids (codes < K, text < text_vocab,
 * discrete within range, numbers finite) are checked. -1 with key and offset. Thread-safe. */
int token_db_get(token_db_t *db, uint64_t i, token_record_t *r, reason_t *why);
/* Bad items: i-th; -1 at the end. */
int token_db_bad(token_db_t *db, uint64_t i, char **key, char **reason, reason_t *why);
void token_db_close(token_db_t *db);

#endif
