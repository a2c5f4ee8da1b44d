/* token_db.h - token shards: `tokenize` writes them, `gato` reads them.
 *
 * A shard is an LMDB folder X.lmdb (FORMATS.md 1 has it to the byte): one meta, then records. Use
 * (tests/examples/example_token_db.c):
 *
 *     int rc; // the program's exit code
 *     reason_t why;
 *     task_t task = task_new("image", RECORD_IMAGE);
 *     task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
 *     shard_meta_t meta = {.arguments = "{}", .codes = 512, .tasks = {&task, 1}};
 *     token_db_t *db = token_db_create("x.lmdb", &meta, 0, &rc, &why);
 *     if (!db) die(rc, "%s", why.text);
 *     token_record_t image = {.task = 0, .T = 1, .key = "a.png", .key_len = 5};
 *     image.slot[0] = (slot_data_t){.grid_h = 1, .grid_w = 2, .codes = (uint32_t[]){7, 511}};
 *     if (token_db_put(db, &image, &why)) die(RC_RUNTIME, "%s", why.text);
 *     if (token_db_commit(db, &why)) die(RC_RUNTIME, "%s", why.text);
 *     token_db_close(db);
 *
 *     token_record_t r;
 *     db = token_db_open("x.lmdb", &rc, &why);
 *     if (!db || token_db_get(db, 0, &r, &why)) die(RC_DATA, "%s", why.text);
 *     uint32_t second = r.slot[0].codes[1];
 *     token_record_release(&r);
 *     token_db_close(db);
 *
 * Promises: values are read in place; each carries a checksum that every read checks, and every id
 * is below its range. A writer holds X.lmdb.lock, and a killed one leaves whole transactions.
 */
#ifndef IO_TOKEN_DB_H
#define IO_TOKEN_DB_H

#include "common/base/die.h"
#include "common/io/token_db/task.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_DB_VERSION = 2 };
typedef enum { TAG_META = 0, TAG_RECORD = 1, TAG_SOURCE = 2, TAG_BAD = 3 } token_tag_t;

/* ---- the meta ---- */

/* What all records of a shard agree on. Strings and arrays are owned; those that do not apply are
 * NULL. Release with shard_meta_release. */
typedef struct {
    char *tool;           /* "tokenize 0.1" */
    char *arguments;      /* canonical JSON of what shaped the shard; resuming needs the same */
    char *fingerprint;    /* of the encoder, 32 hex digits */
    char *preprocess;     /* canonical JSON of tokenizer.json's preprocess */
    char *quantizer;      /* canonical JSON */
    char *text_tokenizer; /* "byte", or "bpe" and a fingerprint (text_tokenizer.h) */
    char *text_file;      /* its tokenizer.json; NULL where the name says all */
    uint32_t codes;       /* K: ids are below it; 0 = no image tokens */
    uint32_t code_dim;    /* D */
    float *codebook;      /* [K,D] */
    uint32_t text_vocab;  /* text ids are below it; 257 for bytes; 0 = no task has a text */
    float mu, M;          /* of the mu-law */
    tasks_t tasks;        /* part of the shard's identity, as the arguments are */

    /* Counts. Every commit stores them. */
    uint64_t records, images, episodes, steps, tokens, skipped, bad;
    bool complete; /* the whole input has been read */
} shard_meta_t;

/* Frees what the meta owns and empties it. */
void shard_meta_release(shard_meta_t *m);
/* A deep copy; *to is overwritten, not released. */
void shard_meta_copy(shard_meta_t *to, const shard_meta_t *from);

/* ---- a record ---- */

/* What a record holds of one slot. Absent arrays are NULL; with all of them NULL the record lacks
 * the slot. */
typedef struct {
    /* Where the slot is there: [T] 1 or 0; NULL = in every timestep. Arrays have T rows in any
     * case; the rows of a timestep without the slot are zero, and mean nothing. */
    const uint8_t *present;

    /* images */
    uint32_t grid_h, grid_w, image_h, image_w;
    const uint32_t *codes; /* [T, grid_h, grid_w] */
    /* Images that were kept: T PNG files one behind another, pixels_bytes in all. */
    const uint8_t *pixels;
    const uint32_t *pixel_size; /* [T] bytes of each; 0 where it is not present */
    uint64_t pixels_bytes;

    /* texts: once per record */
    const uint32_t *text; /* [text_len] token ids */
    uint32_t text_len;
    uint32_t prompt_len; /* so many ids are given, not to be predicted: a question */

    /* vectors: observed as they are; acted scaled to [-1,1] or raw (slot_t) */
    const float *vector; /* [T, width] */
    /* discrete values */
    const uint32_t *discrete; /* [T, width] */

    /* acted slots: clean targets; NULL = the executed actions above */
    const float *label_vector;      /* [T, width] */
    const uint32_t *label_discrete; /* [T, width] */
} slot_data_t;

/* An image, an episode or a piece of one, or a text. Absent arrays are NULL. Nothing is owned but
 * `owned`: in a record that was read, pointers go into the file's map and hold until
 * token_db_close. */
typedef struct {
    uint32_t task; /* its number in the meta's list */
    uint32_t T;    /* timesteps; 1 for images and texts */

    /* Names: any bytes, no NUL behind them. */
    const char *key; /* of the item in its source: "a/x.png", "episode_3" */
    uint32_t key_len;
    const char *source; /* as given to --in */
    uint32_t source_len;
    const char *label; /* class of an image, as its dataset writes it */
    uint32_t label_len;

    uint64_t first_step;          /* of a piece in its episode; of a text, its byte */
    slot_data_t slot[TASK_SLOTS]; /* by the task's slots */

    const float *rewards;                            /* [T] */
    const uint8_t *terminated, *truncated, *success; /* [T] 0 or 1 */
    const uint32_t *image_hash; /* [2], low half first: of the decoded image, with --dedupe */

    void *owned;
} token_record_t;

/* The first slot of a kind on a side that this record holds, or NULL: for those who know that there
 * is one at most. *number, if not NULL: the slot's number. */
const slot_data_t *token_record_find(const token_record_t *r, const task_t *task, slot_side_t side,
                                     slot_kind_t kind, int *number);

/* Frees what a record that was read owns and empties it. */
void token_record_release(token_record_t *r);

typedef struct token_db token_db_t;

/* ---- writing ---- */

/* Creates the shard `path`, or opens it to go on; only this process may write it.
 *
 * meta: the caller's, must outlive the handle. When an existing shard is opened, its counts and its
 * tasks' sizes of images are loaded into *meta; everything else must be equal to what is stored.
 * While writing, the caller keeps images, episodes, steps, tokens, skipped, complete and these
 * sizes up to date, and token_db_put keeps records and bad. max_map: bytes that the file may grow
 * to; 0 = 1 TB.
 *
 * NULL with a reason: *rc is RC_MISFIT (another meta or version, named), RC_RUNTIME (locked by
 * another writer, disk), RC_USAGE (no shard, or open in this process) or RC_DATA (corrupt, or tasks
 * that are none: task_check). */
token_db_t *token_db_create(const char *path, shard_meta_t *meta, uint64_t max_map, int *rc,
                            reason_t *why);
/* Adds a record, copied; records are numbered in this order. Readers see it after token_db_commit.
 * 0, or -1 with a reason when it does not fit the meta. */
int token_db_put(token_db_t *db, const token_record_t *r, reason_t *why);
/* Adds an item that could not be used: its key (key_len bytes) and the reason. Returns 0. */
int token_db_put_bad(token_db_t *db, const char *key, size_t key_len, const char *reason,
                     reason_t *why);
/* Marks the first `items` items of a source as done. source: XXH64 of its name; last: XXH64 of the
 * last one's key. Items must be done in the order of their source. The next commit stores the mark;
 * a shard has at most 64 sources (BUG). */
void token_db_mark(token_db_t *db, uint64_t source, uint64_t items, uint64_t last);
/* How many items of a source are marked as done, and *last as it was marked; 0 and 0 when none. */
uint64_t token_db_done(const token_db_t *db, uint64_t source, uint64_t *last);
/* Bytes that wait for the next commit. */
uint64_t token_db_pending(const token_db_t *db);
/* Writes all that was put, the marks and the counts in one transaction, and syncs it. 0, or -1 with
 * a reason that says what to do (full disk, full map): what was committed before stays good. */
int token_db_commit(token_db_t *db, reason_t *why);

/* ---- reading ---- */

/* Opens the newest state of a shard, which stays as it is whatever a writer does meanwhile. The
 * whole tree of pages is checked against the file first, so a cut or damaged file is refused here.
 * Memory: 16 bytes per page of records. Opening a shard that this process reads already returns the
 * same handle; close it once more.
 *
 * NULL with a reason: *rc is RC_USAGE (missing, or written by this process), RC_DATA (corrupt),
 * RC_MISFIT (another byte order or version; of version 1 the reason says which command makes the
 * shard anew) or RC_RUNTIME. When the file is truncated while it is
 * read, SIGBUS ends the program with RC_DATA and the shard's name. */
token_db_t *token_db_open(const char *path, int *rc, reason_t *why);
/* The meta: borrowed, valid until token_db_close. */
const shard_meta_t *token_db_meta(const token_db_t *db);
/* Number of records; in a writer, also those that wait for a commit. */
uint64_t token_db_count(const token_db_t *db);
/* Bytes of the file, of a reader. */
uint64_t token_db_bytes(const token_db_t *db);
/* Reads record i, counted from 0 in the order of writing. Checks its checksum, its sizes, that ids
 * are below their ranges and that numbers are finite. 0, or -1 with a reason that names key and
 * offset. Release *r with token_record_release. Thread-safe. */
int token_db_get(token_db_t *db, uint64_t i, token_record_t *r, reason_t *why);
/* The checksum that record i carries: XXH64 over its contents and number. It is not compared with
 * them here, so it costs a look-up; token_db_get does that. 0 when there is no such record, or its
 * place in the file was damaged since the shard was opened. Thread-safe. */
uint64_t token_db_checksum(token_db_t *db, uint64_t i);
/* Reads bad item i: *key and *reason are malloc'ed. 0; -1 with a reason, which is empty when there
 * is no such item. */
int token_db_bad(token_db_t *db, uint64_t i, char **key, char **reason, reason_t *why);

/* Closes a reader or a writer; what was not committed is lost. NULL is allowed. */
void token_db_close(token_db_t *db);

#endif
