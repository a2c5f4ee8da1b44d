/* reconstruct.c - `vqvae reconstruct`: originals beside reconstructions, as PNG pairs and one
 * contact sheet. */
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "vqvae/commands.h"
#include "vqvae/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHEET = 48 /* pairs */, GAP = 4 /* pixels */ };

/* "a/x.png" -> "a_x.png": one flat folder; bytes that are no plain name become '_'. */
static char *file_name(size_t number, const char *key) {
    char *name = xasprintf("%05zu-%s", number, key);
    for (char *c = name; *c; c++)
        if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') &&
            *c != '-' && *c != '.')
            *c = '_';
    if (strlen(name) > 200) name[200] = 0;
    char *dot = strrchr(name, '.');
    if (dot) *dot = 0;
    char *full = xasprintf("%s.png", name);
    free(name);
    return full;
}

/* An image beside its reconstruction from the first `keep` codes (0: all); the caller releases
 * it. */
static image_t make_pair(vqvae_t *v, const image_t *original, size_t keep) {
    size_t w = original->w, h = original->h, gw, gh;
    vqvae_grid(vqvae_config(v), w, h, &gw, &gh);
    uint32_t *codes = xmalloc(gw * gh * sizeof *codes);
    image_t pair = image_new(2 * w + GAP, h), reconstruction = image_new(w, h);
    vqvae_encode_images(v, original->rgb, 1, w, h, codes);
    vqvae_decode_codes(v, codes, 1, keep ? keep : gw, gh, reconstruction.rgb);
    memset(pair.rgb, 255, pair.w * pair.h * 3);
    image_paste(&pair, original, 0, 0);
    image_paste(&pair, &reconstruction, w + GAP, 0);
    image_release(&reconstruction);
    free(codes);
    return pair;
}

typedef struct {
    vqvae_t *v;
    data_t *d;
    split_t split;
    size_t limit; /* images per source; 0 = all */
    size_t keep;  /* first codes of an image; 0 = all */
    const char *out;
    size_t number;        /* images so far */
    image_t sheet[SHEET]; /* some of them, for the contact sheet */
    size_t n_sheet;
} reconstruct_t;

static void write_pair(const reconstruct_t *r, const image_t *pair, const char *key) {
    reason_t why;
    char *name = file_name(r->number, key), *path = fs_join(r->out, name);
    if (image_write_png(pair, path, &why)) die(RC_RUNTIME, "%s", why.text);
    free(name);
    free(path);
}

/* Images spread over a source, as a PNG each; as many of them go on the sheet as its share has
 * room for, spread too. */
static void write_source(reconstruct_t *r, const data_source_t *s) {
    size_t all = data_count(s, r->split), n = r->limit ? min_size(all, r->limit) : all;
    size_t share = SHEET / r->d->n;
    for (size_t i = 0; i < n; i++) {
        size_t item = data_item(s, r->split, i * all / n);
        image_t original = image_new(r->d->w, r->d->h);
        if (!data_read(r->d, s, item, original.rgb)) { /* vanished */
            image_release(&original);
            continue;
        }
        image_t pair = make_pair(r->v, &original, r->keep);
        write_pair(r, &pair, image_source_key(s->source, item));
        r->number++;
        if (r->n_sheet < SHEET && i * share / n != (i + 1) * share / n)
            r->sheet[r->n_sheet++] = pair;
        else
            image_release(&pair);
        image_release(&original);
    }
}

/* contact.png, when there is an image. */
static void write_sheet(reconstruct_t *r) {
    reason_t why;
    image_t grid = image_sheet(r->sheet, r->n_sheet, 6, GAP * 2),
            big = image_zoom(&grid, r->d->w <= 64 ? 2 : 1);
    char *path = fs_join(r->out, "contact.png");
    if (r->n_sheet && image_write_png(&big, path, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t i = 0; i < r->n_sheet; i++) image_release(&r->sheet[i]);
    image_release(&grid);
    image_release(&big);
    free(path);
}

static void check_keep(reconstruct_t *r, const char *model, int64_t keep) {
    config_t c;
    size_t most = vqvae_most_kept(vqvae_config(r->v));
    if (keep && !most)
        die(RC_USAGE, "--keep %lld: the codes of '%s' are a grid, and all are needed",
            (long long)keep, model);
    if (keep < 0 || (size_t)keep > most)
        die(RC_USAGE, "--keep %lld: an image of '%s' has %zu codes", (long long)keep, model, most);
    config_defaults(config_table, &c);
    if (keep && (size_t)keep < most && config_of_run(model, &c) && c.model.tail_dropout <= 0)
        warn("'%s' was trained with model.tail_dropout = 0: its decoder has never seen less than "
             "all codes",
             model);
    r->keep = (size_t)keep;
}

int cmd_vqvae_reconstruct(int argc, char **argv) {
    const char *model = NULL, *out = NULL, *split = "all";
    cli_list_t data = {0}, set = {0};
    int64_t threads = 0, limit = 0, keep = 0;
    double max_bad = 0.01;
    uint64_t max_pixels = 0;
    bool force = false, lenient = false;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN", "the tokenizer", true},
        {"--data", CLI_LIST, &data, "SRC", "images: folders, WebDataset tars or Minari datasets",
         true},
        {"--out", CLI_STR, &out, "DIR", "folder for the PNG files", true},
        {"--split", CLI_STR, &split, "S", SPLIT_HELP, false},
        {"--limit", CLI_INT, &limit, "N", "images per source (0 = all)", false},
        {"--keep", CLI_INT, &keep, "N",
         "show what the first N codes give (0 = all; model.kind = causal1d alone has ordered "
         "codes)",
         false},
        {"--force", CLI_FLAG, &force, NULL, "write into a folder that is not empty", false},
        {"--set", CLI_LIST, &set, "KEY=VALUE", "data.* keys, as for eval", false},
        {"--max-bad", CLI_DOUBLE, &max_bad, "F", "largest share of images that may be unreadable",
         false},
        {"--max-pixels", CLI_U64, &max_pixels, "N",
         "refuse larger images (0 = 100,000,000; those that can be shrunk row by row "
         "1,000,000,000)",
         false},
        {"--lenient", CLI_FLAG, &lenient, NULL, IMAGE_LENIENT_HELP, false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "reconstruct", "write originals beside their reconstructions",
              (const cli_opt_t *const[]){options}, 1);
    pool_set_threads((int)threads);
    reason_t why;
    reconstruct_t r = {.split = split_parse(split), .limit = (size_t)limit, .out = out};
    r.v = vqvae_open_or_die(model);
    check_keep(&r, model, keep);
    data_refuse_out(&data, out);
    if (!force && !fs_dir_empty(out))
        die(RC_USAGE, "'%s' exists and is not empty (--force writes into it)", out);
    config_t c = config_for_model(r.v, model, &set);
    r.d = data_open(&data, &c, 0, max_bad, max_pixels, lenient);
    if (!data_say_empty(r.d, r.split))
        die(RC_USAGE, "no image to reconstruct: nothing is held out; --split all is needed");
    if (fs_mkdirs(out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(out);
    for (size_t k = 0; k < r.d->n; k++) write_source(&r, &r.d->source[k]);
    write_sheet(&r);
    char counts[64];
    snprintf(counts, sizeof counts, "{\"images\":%zu}", r.number);
    if (fs_done_write(out, vqvae_fingerprint(r.v), counts, &why)) die(RC_RUNTIME, "%s", why.text);
    printf("%s\n", counts);
    data_summary(r.d);
    data_close(r.d);
    vqvae_free(r.v);
    return RC_OK;
}
