/* token_db_value.h - the inside of a shard's keys and values (FORMATS.md 1.1 to 1.5).
 *
 * A value is a header with a checksum, a head of fixed size, a table of parts, and the parts' data.
 * On top of that container stand the three structs that values carry: meta, codebook and record.
 * Pure functions over bytes: no LMDB here. What is built passes the same checks as what is parsed.
 */
#ifndef IO_TOKEN_DB_VALUE_H
#define IO_TOKEN_DB_VALUE_H

#include "common/io/token_db/token_db.h"

/* Bytes, but for VALUE_PARTS: the most parts of a value. */
enum {
    KEY_BYTES = 16,
    VALUE_HEADER = 32,
    VALUE_PARTS = TASK_SLOTS * 5 + 16, /* a slot has 5 at most: an image with its pixels */
    META_HEAD = 80,
    RECORD_HEAD = 16,
    MARK_HEAD = 16
};

/* ---- keys ---- */

typedef struct {
    token_tag_t tag;
    uint32_t sub;
    uint64_t id;
} token_key_t;

/* The key's bytes: big-endian, so that LMDB's order is that of tag, sub and id. */
void token_key_write(token_key_t k, uint8_t out[KEY_BYTES]);
/* 0, or -1: it is no key of a shard. */
int token_key_parse(const uint8_t *key, size_t size, token_key_t *out);

/* ---- the container ---- */

/* Numbers of the parts, as they stand in the file. Those of a record that belong to a slot carry
 * its number beside. */
enum {
    PART_KEY = 1,
    PART_SOURCE,
    PART_CODES, /* of a slot, and so are the next six */
    PART_TEXT,
    PART_VECTOR,
    PART_DISCRETE,
    PART_LABEL_VECTOR,
    PART_LABEL_DISCRETE,
    PART_PRESENT,
    PART_REWARDS,
    PART_TERMINATED,
    PART_TRUNCATED,
    PART_PIXEL_SIZE, /* of a slot */
    PART_PIXELS,     /* of a slot */
    PART_IMAGE_HASH,
    PART_PROMPT, /* of a slot */
    PART_LABEL,
    PART_SIZES, /* of a slot */
    PART_SUCCESS,
    PART_TOOL = 32,
    PART_ARGUMENTS,
    PART_FINGERPRINT,
    PART_PREPROCESS,
    PART_QUANTIZER,
    PART_TEXT_TOKENIZER,
    PART_TASKS,
    PART_CODEBOOK = 48,
    PART_REASON,
    PART_TEXT_FILE,
};

typedef struct {
    uint16_t part;
    uint8_t slot;   /* of a part that belongs to one, else 0 */
    char type;      /* B u8, H u16, I u32, f f32 */
    uint64_t count; /* elements */
    const void *data;
} value_part_t;

/* A parsed value: points into its bytes. */
typedef struct {
    const uint8_t *head;
    value_part_t part[VALUE_PARTS];
    unsigned n;
} value_t;

/* Builds a value with its checksum from a head of head_size bytes and n parts in ascending order
 * of number, then slot; parts whose data is NULL are left out. Returns *size bytes, malloc'ed. */
uint8_t *value_build(token_key_t key, const void *head, size_t head_size, const value_part_t *part,
                     size_t n, size_t *size);
/* Checks and parses the value of `key`. *out points into `v`, which must be aligned to 8 bytes and
 * outlive it. 0; RC_DATA (corrupt) or RC_MISFIT (another version or byte order) with a reason. */
int value_parse(const uint8_t *v, size_t size, token_key_t key, size_t head_size, value_t *out,
                reason_t *why);
/* The same for a value of another version of the format. */
int value_parse_version(const uint8_t *v, size_t size, unsigned version, token_key_t key,
                        size_t head_size, value_t *out, reason_t *why);
/* The part of that number and slot (0 for those that belong to none), or NULL. */
const value_part_t *value_part(const value_t *v, unsigned part, unsigned slot);
/* The checksum that the value's header has, of at least VALUE_HEADER bytes; nothing is checked. */
uint64_t value_checksum(const uint8_t *v);

/* ---- what values carry ---- */

/* Is every task fit to be stored, and its name there once? 0, or -1 with a reason. */
int token_meta_check(const shard_meta_t *m, reason_t *why);
/* The value of the meta without its codebook and its text_file, malloc'ed. */
uint8_t *token_meta_build(const shard_meta_t *m, size_t *size);
/* Back: 0, or an RC_ code with a reason and *out empty. Of a meta of version 1 the reason says
 * which command makes the shard anew. Release with shard_meta_release. */
int token_meta_parse(const uint8_t *v, size_t size, shard_meta_t *out, reason_t *why);

/* The value of m's codebook [K,D], malloc'ed. */
uint8_t *token_codebook_build(const shard_meta_t *m, size_t *size);
/* Gives m its codebook, a copy; K and D must be those of m. 0, or an RC_ code with a reason. */
int token_codebook_parse(const uint8_t *v, size_t size, shard_meta_t *m, reason_t *why);
/* The value of m's text_file, malloc'ed. */
uint8_t *token_text_file_build(const shard_meta_t *m, size_t *size);
/* Gives m its text_file, a copy. 0, or an RC_ code with a reason. */
int token_text_file_parse(const uint8_t *v, size_t size, shard_meta_t *m, reason_t *why);

/* The value of record `id`, malloc'ed; NULL with a reason when r is not as its task says: parts of
 * slots of another kind, sizes against T and the widths, ids against their ranges, finite numbers,
 * rows of timesteps that lack the slot. */
uint8_t *token_record_build(const shard_meta_t *m, uint64_t id, const token_record_t *r,
                            size_t *size, reason_t *why);
/* Back, with the same checks. 0, or an RC_ code with a reason and *r empty. Arrays of *r point into
 * `v`; release with token_record_release. */
int token_record_parse(const uint8_t *v, size_t size, uint64_t id, const shard_meta_t *m,
                       token_record_t *r, reason_t *why);

#endif
