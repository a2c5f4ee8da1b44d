/* decode.c - `tokenize decode`: turns codes back into images. Writes a PNG file for each image slot
 * of a record (of an episode the strip of its frames, side by side; with --apng an animation too)
 * and a contact sheet for each image slot of the shard.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/image/apng.h"
#include "common/io/image/image.h"
#include "tokenize/commands.h"
#include "tokenize/shard_open.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILES = 48, STRIPS = 8, FRAMES = 10, GAP = 4, NAME = 120, SHEET_PIXELS = 100000000 };
enum { MISSING_GRAY = 128 }; /* a frame that the record lacks */

/* The contact sheet of one image slot of a task. */
typedef struct {
    char *file; /* "contact.png"; "contact.0-reacher.1-wrist.png" where there are several */
    bool episodes;
    image_t *tile; /* [n] */
    size_t n, cap, pixels;
} sheet_t;

typedef struct {
    tokenizer_t *tokenizer;
    const tasks_t *tasks;
    const char *out;
    bool all, apng; /* --sheet: all images on the contact sheets */
    unsigned fps;
    sheet_t **sheet;        /* [tasks][slots]; those of other slots are empty */
    size_t records, images; /* written */
} decode_t;

/* ---- names ---- */

static bool is_image(const task_t *task, uint32_t s) {
    return task->slot[s].kind == SLOT_IMAGE;
}

static size_t count_images(const task_t *task) {
    size_t n = 0;
    for (uint32_t s = 0; s < task->n_slots; s++) n += is_image(task, s);
    return n;
}

/* At most NAME bytes of a name, in which letters, digits, '-' and '.' stay and all else becomes
 * '_'. */
static const char *safe_name(char buf[NAME + 1], const char *name, size_t size) {
    size_t n = 0;
    for (; n < size && n < NAME; n++) {
        unsigned char c = (unsigned char)name[n];
        buf[n] = c < 128 && (isalnum(c) || c == '-' || c == '.') ? (char)c : '_';
    }
    buf[n] = 0;
    return buf;
}

/* ".1-wrist" for slot 1 of a task with several images, else "". */
static const char *slot_suffix(char buf[NAME + 32], const task_t *task, uint32_t s) {
    char name[NAME + 1];
    *buf = 0;
    if (count_images(task) > 1)
        snprintf(buf, NAME + 32, ".%u-%s", s,
                 safe_name(name, task->slot[s].name, strlen(task->slot[s].name)));
    return buf;
}

/* "000012-a_x.png" for key "a/x.jpg": the record's number, then its key without the ending, then
 * the slot if there are several. malloc'ed. */
static char *file_of(const decode_t *decode, uint64_t number, const token_record_t *record,
                     uint32_t s, const char *ending) {
    const task_t *task = &decode->tasks->v[record->task];
    char name[NAME + 1], suffix[NAME + 32];
    size_t end = record->key_len;
    while (task->kind != RECORD_EPISODE && end > 0 && record->key[end - 1] != '.' &&
           record->key[end - 1] != '/')
        end--;
    if (end == 0 || record->key[end - 1] != '.') end = record->key_len + 1;
    return xasprintf("%s/%06llu-%s%s%s", decode->out, (unsigned long long)number,
                     safe_name(name, record->key, end - 1), slot_suffix(suffix, task, s), ending);
}

static char *sheet_file(const tasks_t *tasks, size_t t, uint32_t s) {
    char name[NAME + 1], suffix[NAME + 32];
    size_t with_images = 0;
    for (size_t i = 0; i < tasks->n; i++) with_images += count_images(&tasks->v[i]) > 0;
    slot_suffix(suffix, &tasks->v[t], s);
    if (with_images <= 1) return xasprintf("contact%s.png", suffix);
    return xasprintf("contact.%zu-%s%s.png", t,
                     safe_name(name, tasks->v[t].name, strlen(tasks->v[t].name)), suffix);
}

/* ---- contact sheets ---- */

static void make_sheets(decode_t *decode) {
    decode->sheet = xcalloc(decode->tasks->n, sizeof *decode->sheet);
    for (size_t t = 0; t < decode->tasks->n; t++) {
        const task_t *task = &decode->tasks->v[t];
        decode->sheet[t] = xcalloc(task->n_slots, sizeof **decode->sheet);
        for (uint32_t s = 0; s < task->n_slots; s++)
            if (is_image(task, s))
                decode->sheet[t][s] = (sheet_t){.file = sheet_file(decode->tasks, t, s),
                                                .episodes = task->kind == RECORD_EPISODE};
    }
}

/* --sheet stops only where the sheet would become too large. */
static bool sheet_is_full(const decode_t *decode, const sheet_t *sheet) {
    if (decode->all) return sheet->pixels > SHEET_PIXELS;
    return sheet->n == (sheet->episodes ? STRIPS : TILES);
}

/* Adds a tile to a contact sheet: an image as it is; for an episode a row of a few of its frames,
 * from its start to its end. */
static void add_tile(const decode_t *decode, sheet_t *sheet, const image_t *strip, size_t T) {
    if (sheet_is_full(decode, sheet)) return;
    size_t w = strip->w / T, n = min_size(T, FRAMES);
    image_t tile = image_new(n * w + (n - 1) * GAP / 2, strip->h);
    memset(tile.rgb, 255, tile.w * tile.h * 3);
    for (size_t i = 0; i < n; i++) {
        size_t t = n > 1 ? i * (T - 1) / (n - 1) : 0;
        image_t frame = image_crop(strip, t * w, 0, w, strip->h);
        image_paste(&tile, &frame, i * (w + GAP / 2), 0);
        image_release(&frame);
    }
    sheet->tile = xgrow(sheet->tile, &sheet->cap, sheet->n + 1, sizeof *sheet->tile);
    sheet->tile[sheet->n++] = tile;
    sheet->pixels += tile.w * tile.h;
}

static void write_sheet(const decode_t *decode, sheet_t *sheet) {
    reason_t why;
    image_t whole = image_sheet(sheet->tile, sheet->n, sheet->episodes ? 1 : 8, GAP);
    char *path = fs_join(decode->out, sheet->file);
    if (image_write_png(&whole, path, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t i = 0; i < sheet->n; i++) image_release(&sheet->tile[i]);
    image_release(&whole);
    free(path);
}

static void write_sheets(decode_t *decode) {
    for (size_t t = 0; t < decode->tasks->n; t++) {
        for (uint32_t s = 0; s < decode->tasks->v[t].n_slots; s++) {
            sheet_t *sheet = &decode->sheet[t][s];
            if (sheet->n) write_sheet(decode, sheet);
            free(sheet->tile);
            free(sheet->file);
        }
        free(decode->sheet[t]);
    }
    free(decode->sheet);
}

/* ---- records ---- */

/* The images of slot s, side by side. */
static image_t decode_strip(const decode_t *decode, const token_record_t *record, uint32_t s) {
    const slot_data_t *data = &record->slot[s];
    size_t T = record->T;
    tokenizer_grid_t grid = {.h = data->grid_h, .w = data->grid_w};
    size_t w, h;
    tokenizer_image_size(decode->tokenizer, grid, &w, &h);
    if (!w || !h)
        die(RC_DATA, "'%.*s': %zu x %zu codes per image, which the tokenizer never makes",
            (int)record->key_len, record->key, grid.h, grid.w);
    uint8_t *rgb = xmalloc(T * w * h * 3);
    tokenizer_decode(decode->tokenizer, data->codes, T, grid, rgb);
    image_t strip = image_new(w * T, h);
    for (size_t t = 0; t < T; t++) {
        image_t frame = {.w = w, .h = h, .rgb = rgb + t * w * h * 3};
        if (data->present && !data->present[t]) memset(frame.rgb, MISSING_GRAY, w * h * 3);
        image_paste(&strip, &frame, t * w, 0);
    }
    free(rgb);
    return strip;
}

static void write_animation(const decode_t *decode, const char *path, const image_t *strip,
                            size_t T) {
    reason_t why;
    size_t w = strip->w / T;
    image_t *frame = xcalloc(T, sizeof *frame);
    for (size_t t = 0; t < T; t++) frame[t] = image_crop(strip, t * w, 0, w, strip->h);
    if (apng_write(path, frame, T, decode->fps, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t t = 0; t < T; t++) image_release(&frame[t]);
    free(frame);
}

static void decode_slot(decode_t *decode, uint64_t i, const token_record_t *record, uint32_t s) {
    reason_t why;
    const slot_data_t *data = &record->slot[s];
    sheet_t *sheet = &decode->sheet[record->task][s];
    image_t strip = decode_strip(decode, record, s);
    char *path = file_of(decode, i, record, s, ".png");
    if (image_write_png(&strip, path, &why)) die(RC_RUNTIME, "%s", why.text);
    free(path);
    if (decode->apng && sheet->episodes) {
        path = file_of(decode, i, record, s, ".apng");
        write_animation(decode, path, &strip, record->T);
        free(path);
    }
    add_tile(decode, sheet, &strip, record->T);
    image_release(&strip);
    for (size_t t = 0; t < record->T; t++) decode->images += !data->present || data->present[t];
}

static void decode_record(decode_t *decode, uint64_t i, const token_record_t *record) {
    bool any = false;
    for (uint32_t s = 0; s < decode->tasks->v[record->task].n_slots; s++) {
        if (!record->slot[s].codes) continue;
        decode_slot(decode, i, record, s);
        any = true;
    }
    decode->records += any;
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
        decode_record(decode, i, &record);
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
         "put all images on the contact sheets, not only the first 48 (8 episodes)", false},
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
                       .tasks = &token_db_meta(shard)->tasks,
                       .out = out,
                       .all = sheet,
                       .apng = apng,
                       .fps = (unsigned)fps};
    tokenizer_can_decode_or_die(decode.tokenizer, model);
    prepare_folder(out, force);
    make_sheets(&decode);
    decode_records(&decode, shard, (uint64_t)limit);
    if (!decode.records) die(RC_DATA, "'%s' has no record with codes", in);
    write_sheets(&decode);
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
