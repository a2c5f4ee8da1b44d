/* token_db_value.h - the inside of a shard's values (FORMATS.md 1.2 to 1.5): header, head, parts;
 * and the structs they carry. Pure functions over bytes: no LMDB here.
 */
#ifndef IO_TOKEN_DB_VALUE_H
#define IO_TOKEN_DB_VALUE_H

#include "common/io/token_db/token_db.h"

enum {
    KEY_BYTES = 16,
    VALUE_HEADER = 32,
    VALUE_PARTS = 24,
    META_HEAD = 112,
    RECORD_HEAD = 32,
    MARK_HEAD = 16
};

typedef struct {
    token_tag_t tag;
    uint32_t sub;
    uint64_t id;
} token_key_t;
void token_key_write(token_key_t k, uint8_t out[KEY_BYTES]);
/* -1 when it is no key of a shard. */
int token_key_parse(const uint8_t *key, size_t size, token_key_t *out);

/* Part numbers. */
enum {
    PART_KEY = 1,
    PART_SOURCE,
    PART_CODES,
    PART_TEXT,
    PART_CONTINUOUS,
    PART_DISCRETE,
    PART_ACTIONS,
    PART_DISCRETE_ACTIONS,
    PART_LABEL_ACTIONS,
    PART_REWARDS,
    PART_TERMINATED,
    PART_TRUNCATED,
    PART_PIXEL_SIZE,
    PART_PIXELS,
    PART_IMAGE_HASH,
    PART_PROMPT,
    PART_LABEL,
    PART_TOOL = 32,
    PART_ARGUMENTS,
    PART_FINGERPRINT,
    PART_PREPROCESS,
    PART_QUANTIZER,
    PART_TEXT_TOKENIZER,
    PART_ENV,
    PART_DISCRETE_RANGE,
    PART_DISCRETE_ACTION_RANGE,
    PART_ACTION_LOW,
    PART_ACTION_HIGH,
    PART_ACTION_RAW,
    PART_LEAVES,
    PART_CODEBOOK = 48,
    PART_REASON,
};

typedef struct {
    uint16_t part;
    char type; /* B H I f */
    uint64_t count;
    const void *data;
} value_part_t;

typedef struct {
    const uint8_t *head;
    value_part_t part[VALUE_PARTS];
    unsigned n;
} value_t;

/* A checksummed value; malloc'ed. Parts in ascending order; those with data NULL are left out. */
uint8_t *value_build(token_key_t key, const void *head, size_t head_size, const value_part_t *part,
                     size_t n, size_t *size);
/* 0, RC_DATA (corrupt) or RC_MISFIT (another version or endianness). out points into `v`, which
 * must be aligned to 8.
 */
int value_parse(const uint8_t *v, size_t size, token_key_t key, size_t head_size, value_t *out,
                reason_t *why);
/* The part's data, NULL when absent; *count its elements. */
const value_part_t *value_part(const value_t *v, unsigned part);

/* Meta without its codebook. 0 or an RC; *out is empty on failure. */
uint8_t *token_meta_build(const shard_meta_t *m, size_t *size);
int token_meta_parse(const uint8_t *v, size_t size, shard_meta_t *out, reason_t *why);
uint8_t *token_codebook_build(const shard_meta_t *m, size_t *size);
/* Gives m its codebook; K and D must be those of m. */
int token_codebook_parse(const uint8_t *v, size_t size, shard_meta_t *m, reason_t *why);

/* A record. Building checks what parsing checks: sizes against T and the meta's widths, ids against
 * their ranges, finite numbers. NULL / an RC with a reason. */
uint8_t *token_record_build(const shard_meta_t *m, uint64_t id, const token_record_t *r,
                            size_t *size, reason_t *why);
int token_record_parse(const uint8_t *v, size_t size, uint64_t id, const shard_meta_t *m,
                       token_record_t *r, reason_t *why);

#endif
