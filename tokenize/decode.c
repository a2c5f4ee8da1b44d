/* decode.c - `tokenize decode`: turns codes back into images. Writes a PNG file per record (of an
 * episode the strip of its frames, side by side; with --apng an animation too) and one contact
 * sheet.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/image/image.h"
#include "tokenize/apng.h"
#include "tokenize/commands.h"
#include "tokenize/shard_open.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILES = 48, STRIPS = 8, FRAMES = 10, GAP = 4, NAME = 120, SHEET_PIXELS = 100000000 };

typedef struct {
    tokenizer_t *tokenizer;
    const char *out;
    bool sheet, apng; /* --sheet: all images on the contact sheet */
    unsigned fps;
    image_t *tile; /* of the contact sheet, [n_tiles] */
    size_t n_tiles, tiles_cap, tile_pixels;
    size_t records, images; /* written */
    bool episodes;          /* some of the records are episodes */
} decode_t;

/* "000012-a_x.png" for key "a/x.jpg": the record's number, then its key without the ending, cut to
 * NAME bytes, in which letters, digits, '-' and '.' stay and all else becomes '_'. malloc'ed. */
static char *file_of(const char *dir, uint64_t number, const token_record_t *record,
                     const char *suffix) {
    char name[NAME + 1];
    size_t n = 0, end = record->key_len;
    while (record->kind != RECORD_EPISODE && end > 0 && record->key[end - 1] != '.' &&
           record->key[end - 1] != '/')
        end--;
    if (end == 0 || record->key[end - 1] != '.') end = record->key_len + 1;
    for (size_t i = 0; i + 1 < end && n < NAME; i++) {
        unsigned char c = (unsigned char)record->key[i];
        name[n++] = c < 128 && (isalnum(c) || c == '-' || c == '.') ? (char)c : '_';
    }
    name[n] = 0;
    return xasprintf("%s/%06llu-%s%s", dir, (unsigned long long)number, name, suffix);
}

/* The T images of a record, side by side. */
static image_t decode_strip(const decode_t *decode, const token_record_t *record) {
    tokenizer_grid_t grid = {.h = record->grid_h, .w = record->grid_w};
    size_t w, h;
    tokenizer_image_size(decode->tokenizer, grid, &w, &h);
    uint8_t *rgb = xmalloc((size_t)record->T * w * h * 3);
    tokenizer_decode(decode->tokenizer, record->codes, record->T, grid, rgb);
    image_t strip = image_new(w * record->T, h);
    for (size_t t = 0; t < record->T; t++) {
        image_t frame = {.w = w, .h = h, .rgb = rgb + t * w * h * 3};
        image_paste(&strip, &frame, t * w, 0);
    }
    free(rgb);
    return strip;
}

/* --sheet stops only where the sheet would become too large. */
static bool sheet_is_full(const decode_t *decode) {
    if (decode->sheet) return decode->tile_pixels > SHEET_PIXELS;
    return decode->n_tiles == (decode->episodes ? STRIPS : TILES);
}

/* Adds a tile to the contact sheet: an image as it is; for an episode a row of a few of its frames,
 * from its start to its end. */
static void add_tile(decode_t *decode, const token_record_t *record, const image_t *strip) {
    if (sheet_is_full(decode)) return;
    size_t w = strip->w / record->T, n = min_size(record->T, FRAMES);
    image_t tile = image_new(n * w + (n - 1) * GAP / 2, strip->h);
    memset(tile.rgb, 255, tile.w * tile.h * 3);
    for (size_t i = 0; i < n; i++) {
        size_t t = n > 1 ? i * (record->T - 1) / (n - 1) : 0;
        image_t frame = image_crop(strip, t * w, 0, w, strip->h);
        image_paste(&tile, &frame, i * (w + GAP / 2), 0);
        image_release(&frame);
    }
    decode->tile =
        xgrow(decode->tile, &decode->tiles_cap, decode->n_tiles + 1, sizeof *decode->tile);
    decode->tile[decode->n_tiles++] = tile;
    decode->tile_pixels += tile.w * tile.h;
}

static void write_animation(const decode_t *decode, uint64_t i, const token_record_t *record,
                            const image_t *strip) {
    reason_t why;
    size_t w = strip->w / record->T;
    image_t *frame = xcalloc(record->T, sizeof *frame);
    for (size_t t = 0; t < record->T; t++) frame[t] = image_crop(strip, t * w, 0, w, strip->h);
    char *path = file_of(decode->out, i, record, ".apng");
    if (apng_write(path, frame, record->T, decode->fps, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t t = 0; t < record->T; t++) image_release(&frame[t]);
    free(frame);
    free(path);
}

static void decode_record(decode_t *decode, uint64_t i, const token_record_t *record) {
    reason_t why;
    decode->episodes |= record->kind == RECORD_EPISODE;
    image_t strip = decode_strip(decode, record);
    char *path = file_of(decode->out, i, record, ".png");
    if (image_write_png(&strip, path, &why)) die(RC_RUNTIME, "%s", why.text);
    if (decode->apng && record->kind == RECORD_EPISODE) write_animation(decode, i, record, &strip);
    add_tile(decode, record, &strip);
    image_release(&strip);
    free(path);
    decode->records++;
    decode->images += record->T;
}

static void write_sheet(decode_t *decode) {
    reason_t why;
    image_t sheet = image_sheet(decode->tile, decode->n_tiles, decode->episodes ? 1 : 8, GAP);
    char *path = fs_join(decode->out, "contact.png");
    if (image_write_png(&sheet, path, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t i = 0; i < decode->n_tiles; i++) image_release(&decode->tile[i]);
    free(decode->tile);
    image_release(&sheet);
    free(path);
}

/* A folder for the images: made, or there and empty, or any with --force. */
static void prepare_folder(const char *out, bool force) {
    reason_t why;
    if (fs_exists(out) && !fs_is_dir(out)) die(RC_USAGE, "'%s' is a file; a folder is needed", out);
    if (!force && !fs_dir_empty(out))
        die(RC_USAGE, "'%s' exists and is not empty (--force writes into it)", out);
    if (fs_mkdirs(out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(out);
}

/* The first `limit` records, 0 = all. */
static void decode_records(decode_t *decode, token_db_t *shard, uint64_t limit) {
    reason_t why;
    uint64_t n = token_db_count(shard);
    if (limit) n = min_size(n, limit);
    progress_t bar;
    progress_begin(&bar, "decode", 0, n);
    for (uint64_t i = 0; i < n; i++) {
        token_record_t record;
        if (token_db_get(shard, i, &record, &why)) die(RC_DATA, "%s", why.text);
        if (record.codes) decode_record(decode, i, &record);
        token_record_release(&record);
        progress_step(&bar, i + 1, NULL);
    }
    progress_end(&bar);
}

int cmd_decode(int argc, char **argv) {
    const char *model = NULL, *in = NULL, *out = NULL;
    int64_t limit = 0, threads = 0, fps = 10;
    bool force = false, sheet = false, apng = false;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN", "the tokenizer that made the shard", true},
        {"--in", CLI_STR, &in, "X.lmdb", "the shard", true},
        {"--out", CLI_STR, &out, "DIR", "folder for the PNG files", true},
        {"--limit", CLI_INT, &limit, "N", "only the first N records (0 = all)", false},
        {"--sheet", CLI_FLAG, &sheet, NULL,
         "put all images on the contact sheet, not only the first 48 (8 episodes)", false},
        {"--apng", CLI_FLAG, &apng, NULL, "also write an animated PNG file for each episode",
         false},
        {"--fps", CLI_INT, &fps, "N", "frames per second of the animations", false},
        {"--force", CLI_FLAG, &force, NULL, "write into a folder that is not empty", false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "decode", "write the images that a shard's codes stand for",
              (const cli_opt_t *const[]){options}, 1);
    pool_set_threads((int)threads);
    if (limit < 0) die(RC_USAGE, "--limit cannot be negative");
    if (fps < 1 || fps > 65535)
        die(RC_USAGE, "--fps %lld: 1 to 65535 are possible", (long long)fps);
    if (fs_same(in, out)) die(RC_USAGE, "--out '%s' is --in", out);
    reason_t why;
    token_db_t *shard = shard_open_or_die(in);
    decode_t decode = {.tokenizer = shard_tokenizer_open_or_die(model, in, token_db_meta(shard)),
                       .out = out,
                       .sheet = sheet,
                       .apng = apng,
                       .fps = (unsigned)fps};
    prepare_folder(out, force);
    decode_records(&decode, shard, (uint64_t)limit);
    if (!decode.records) die(RC_DATA, "'%s' has no record with codes", in);
    write_sheet(&decode);
    char counts[80];
    snprintf(counts, sizeof counts, "{\"records\":%zu,\"images\":%zu}", decode.records,
             decode.images);
    if (fs_done_write(out, tokenizer_fingerprint(decode.tokenizer), counts, &why))
        die(RC_RUNTIME, "%s", why.text);
    puts(counts);
    token_db_close(shard);
    tokenizer_free(decode.tokenizer);
    return RC_OK;
}
