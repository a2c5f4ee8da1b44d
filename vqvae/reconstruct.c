/* reconstruct.c - `vqvae reconstruct`: originals beside reconstructions, as PNG pairs and one
 * contact sheet. */
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "vqvae/commands.h"
#include "vqvae/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHEET = 48, GAP = 4 };

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

int cmd_vqvae_reconstruct(int argc, char **argv) {
    const char *model = NULL, *out = NULL, *split = "all";
    cli_list_t data = {0}, set = {0};
    int64_t threads = 0, limit = 0;
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
    split_t which = split_parse(split);
    vqvae_t *v = vqvae_open_or_die(model);
    data_refuse_out(&data, out);
    if (!force && !fs_dir_empty(out))
        die(RC_USAGE, "'%s' exists and is not empty (--force writes into it)", out);
    config_t c = config_for_model(v, model, &set);
    data_t *d = data_open(&data, &c, 0, max_bad, max_pixels, lenient);
    if (fs_mkdirs(out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(out);
    size_t f = vqvae_stride(vqvae_config(v)), gw = d->w / f, gh = d->h / f, number = 0, n_sheet = 0;
    uint32_t *codes = xmalloc(gw * gh * sizeof *codes);
    image_t sheet[SHEET];
    for (size_t k = 0; k < d->n; k++) {
        const data_source_t *s = &d->source[k];
        size_t n = data_count(s, which), share = SHEET / d->n;
        if (limit && n > (size_t)limit) n = (size_t)limit;
        for (size_t i = 0; i < n; i++) {
            size_t item =
                data_item(s, which, i * data_count(s, which) / n); /* spread over the source */
            image_t a = image_new(d->w, d->h);
            if (!data_read(d, s, item, a.rgb)) { /* vanished */
                image_release(&a);
                continue;
            }
            image_t pair = image_new(2 * d->w + GAP, d->h), b = image_new(d->w, d->h);
            memset(pair.rgb, 255, pair.w * pair.h * 3);
            vqvae_encode_images(v, a.rgb, 1, d->w, d->h, codes);
            vqvae_decode_codes(v, codes, 1, gw, gh, b.rgb);
            image_paste(&pair, &a, 0, 0);
            image_paste(&pair, &b, d->w + GAP, 0);
            char *name = file_name(number++, image_source_key(s->source, item)),
                 *path = fs_join(out, name);
            if (image_write_png(&pair, path, &why)) die(RC_RUNTIME, "%s", why.text);
            if (n_sheet < SHEET && i * share / n != (i + 1) * share / n)
                sheet[n_sheet++] = pair;
            else
                image_release(&pair);
            image_release(&a);
            image_release(&b);
            free(name);
            free(path);
        }
    }
    image_t grid = image_sheet(sheet, n_sheet, 6, GAP * 2),
            big = image_zoom(&grid, d->w <= 64 ? 2 : 1);
    char *path = fs_join(out, "contact.png"), counts[64];
    if (n_sheet && image_write_png(&big, path, &why)) die(RC_RUNTIME, "%s", why.text);
    snprintf(counts, sizeof counts, "{\"images\":%zu}", number);
    if (fs_done_write(out, vqvae_fingerprint(v), counts, &why)) die(RC_RUNTIME, "%s", why.text);
    printf("%s\n", counts);
    for (size_t i = 0; i < n_sheet; i++) image_release(&sheet[i]);
    image_release(&grid);
    image_release(&big);
    free(path);
    free(codes);
    data_summary(d);
    data_close(d);
    vqvae_free(v);
    return RC_OK;
}
