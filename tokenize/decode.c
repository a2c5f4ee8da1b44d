/* decode.c - `tokenize decode`: images back from their codes. A PNG file a record - for an
 * episode the strip of its frames, side by side, and with --apng also an animation - and one
 * contact sheet.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
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
    image_t *tile; /* of the contact sheet */
    size_t n_tiles, tiles_cap, tile_pixels, records, images;
    bool episodes, sheet, apng;
    unsigned fps;
} decode_t;

/* "000012-a_x.png" of key "a/x.jpg": the record's number, and as much of its key as makes a plain
 * name. */
static char *file_of(const char *dir, uint64_t number, const token_record_t *r,
                     const char *suffix) {
    char name[NAME + 1];
    size_t n = 0, end = r->key_len;
    while (r->kind != RECORD_EPISODE && end > 0 && r->key[end - 1] != '.' && r->key[end - 1] != '/')
        end--;
    if (end == 0 || r->key[end - 1] != '.') end = r->key_len + 1;
    for (size_t i = 0; i + 1 < end && n < NAME; i++) {
        unsigned char c = (unsigned char)r->key[i];
        name[n++] = c < 128 && (isalnum(c) || c == '-' || c == '.') ? (char)c : '_';
    }
    name[n] = 0;
    return xasprintf("%s/%06llu-%s%s", dir, (unsigned long long)number, name, suffix);
}

/* The T images of a record, side by side. */
static image_t decode_strip(const decode_t *d, const token_record_t *r) {
    tokenizer_grid_t grid = {.h = r->grid_h, .w = r->grid_w};
    size_t w, h;
    tokenizer_image_size(d->tokenizer, grid, &w, &h);
    uint8_t *rgb = xmalloc((size_t)r->T * w * h * 3);
    tokenizer_decode(d->tokenizer, r->codes, r->T, grid, rgb);
    image_t strip = image_new(w * r->T, h);
    for (size_t t = 0; t < r->T; t++) {
        image_t frame = {.w = w, .h = h, .rgb = rgb + t * w * h * 3};
        image_paste(&strip, &frame, t * w, 0);
    }
    free(rgb);
    return strip;
}

/* For the contact sheet: an image as it is, of an episode a row of a few frames from its start to
 * its end. */
static void add_tile(decode_t *d, const token_record_t *r, const image_t *strip) {
    if (d->sheet ? d->tile_pixels > SHEET_PIXELS : d->n_tiles == (d->episodes ? STRIPS : TILES))
        return;
    size_t w = strip->w / r->T, n = r->T < FRAMES ? r->T : FRAMES;
    image_t tile = image_new(n * w + (n - 1) * GAP / 2, strip->h);
    memset(tile.rgb, 255, tile.w * tile.h * 3);
    for (size_t i = 0; i < n; i++) {
        size_t t = n > 1 ? i * (r->T - 1) / (n - 1) : 0;
        image_t frame = image_crop(strip, t * w, 0, w, strip->h);
        image_paste(&tile, &frame, i * (w + GAP / 2), 0);
        image_release(&frame);
    }
    d->tile = xgrow(d->tile, &d->tiles_cap, d->n_tiles + 1, sizeof *d->tile);
    d->tile[d->n_tiles++] = tile;
    d->tile_pixels += tile.w * tile.h;
}

static void write_animation(const decode_t *d, uint64_t i, const token_record_t *r,
                            const image_t *strip) {
    reason_t why;
    size_t w = strip->w / r->T;
    image_t *frame = xcalloc(r->T, sizeof *frame);
    for (size_t t = 0; t < r->T; t++) frame[t] = image_crop(strip, t * w, 0, w, strip->h);
    char *path = file_of(d->out, i, r, ".apng");
    if (apng_write(path, frame, r->T, d->fps, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t t = 0; t < r->T; t++) image_release(&frame[t]);
    free(frame);
    free(path);
}

static void decode_record(decode_t *d, uint64_t i, const token_record_t *r) {
    reason_t why;
    d->episodes |= r->kind == RECORD_EPISODE;
    image_t strip = decode_strip(d, r);
    char *path = file_of(d->out, i, r, ".png");
    if (image_write_png(&strip, path, &why)) die(RC_RUNTIME, "%s", why.text);
    if (d->apng && r->kind == RECORD_EPISODE) write_animation(d, i, r, &strip);
    add_tile(d, r, &strip);
    image_release(&strip);
    free(path);
    d->records++;
    d->images += r->T;
}

static void write_sheet(decode_t *d) {
    reason_t why;
    image_t sheet = image_sheet(d->tile, d->n_tiles, d->episodes ? 1 : 8, GAP);
    char *path = fs_join(d->out, "contact.png");
    if (image_write_png(&sheet, path, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t i = 0; i < d->n_tiles; i++) image_release(&d->tile[i]);
    free(d->tile);
    image_release(&sheet);
    free(path);
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
         "all images on the contact sheet, not only the first 48 (8 episodes)", false},
        {"--apng", CLI_FLAG, &apng, NULL, "an animated PNG file of each episode, too", false},
        {"--fps", CLI_INT, &fps, "N", "its frames a second", false},
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
    token_db_t *db = shard_open(in);
    decode_t d = {.tokenizer = shard_model_open(model, in, token_db_meta(db)),
                  .out = out,
                  .sheet = sheet,
                  .apng = apng};
    d.fps = (unsigned)fps;
    if (fs_exists(out) && !fs_is_dir(out)) die(RC_USAGE, "'%s' is a file; a folder is needed", out);
    if (!force && !fs_dir_empty(out))
        die(RC_USAGE, "'%s' exists and is not empty (--force writes into it)", out);
    if (fs_mkdirs(out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(out);
    uint64_t n = token_db_count(db);
    if (limit && n > (uint64_t)limit) n = (uint64_t)limit;
    progress_t bar;
    progress_begin(&bar, "decode", 0, n);
    for (uint64_t i = 0; i < n; i++) {
        token_record_t r;
        if (token_db_get(db, i, &r, &why)) die(RC_DATA, "%s", why.text);
        if (r.codes) decode_record(&d, i, &r);
        token_record_release(&r);
        progress_step(&bar, i + 1, NULL);
    }
    progress_end(&bar);
    if (!d.records) die(RC_DATA, "'%s' has no record with codes", in);
    write_sheet(&d);
    char counts[80];
    snprintf(counts, sizeof counts, "{\"records\":%zu,\"images\":%zu}", d.records, d.images);
    if (fs_done_write(out, tokenizer_fingerprint(d.tokenizer), counts, &why))
        die(RC_RUNTIME, "%s", why.text);
    puts(counts);
    token_db_close(db);
    tokenizer_free(d.tokenizer);
    return RC_OK;
}
