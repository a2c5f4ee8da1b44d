/* report.c - `vqvae report`: a RUN as one HTML page that needs nothing else: curves,
 * reconstructions, use of the codebook, best and worst images, configuration, metrics.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "vqvae/commands.h"
#include "vqvae/page.h"

#include <stdio.h>
#include <stdlib.h>

int cmd_vqvae_report(int argc, char **argv) {
    const char *split = "val", *out = NULL;
    cli_list_t runs = {0}, data = {0}, set = {0};
    int64_t threads = 0, limit = 500;
    double max_bad = 0.01;
    uint64_t max_pixels = 0;
    bool lenient = false;
    const cli_opt_t options[] = {
        {"", CLI_LIST, &runs, "RUN", "folder of a training", true},
        {"--data", CLI_LIST, &data, "SRC",
         "images to show and measure: folders, WebDataset tars or Minari datasets (without them "
         "the "
         "page has curves and configuration)",
         false},
        {"--out", CLI_STR, &out, "F.html", "the page (default RUN/report.html)", false},
        {"--split", CLI_STR, &split, "S", SPLIT_HELP, false},
        {"--limit", CLI_INT, &limit, "N", "images per source to measure (0 = all)", false},
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
    cli_parse(argc, argv, "report",
              "a RUN as one HTML page: curves, images, codebook, configuration",
              (const cli_opt_t *const[]){options}, 1);
    if (runs.n != 1) die(RC_USAGE, "one RUN is needed, not %zu", runs.n);
    if (limit < 0) die(RC_USAGE, "--limit cannot be negative; 0 = all");
    pool_set_threads((int)threads);
    page_t p = {.run = runs.item[0], .split = split_parse(split)};
    reason_t why;
    char *config = fs_join(p.run, "config.json"),
         *page = out ? xstrdup(out) : fs_join(p.run, "report.html");
    p.metrics = metrics_log_read(p.run);
    /* A training that has not come to its first checkpoint has curves already. */
    if (fs_exists(config) || !p.metrics.n || data.n) p.v = vqvae_open_or_die(p.run);
    if (data.n) {
        config_t c = config_for_model(p.v, p.run, &set);
        p.d = data_open(&data, &c, 0, max_bad, max_pixels, lenient);
        data_say_empty(p.d, p.split);
        p.g = gallery_new(p.v, p.d, p.split, (size_t)limit);
    }
    size_t images = p.g.n;
    page_write(&p);
    if (fs_write(page, p.h.text, p.h.n, &why)) die(RC_RUNTIME, "%s", why.text);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_str(&w, "report", page);
    jsonw_int(&w, "images", (int64_t)images);
    jsonw_int(&w, "bytes", (int64_t)p.h.n);
    puts(jsonw_end(&w));
    jsonw_free(&w);
    gallery_release(&p.g);
    metrics_log_release(&p.metrics);
    data_close(p.d);
    vqvae_free(p.v);
    free(p.h.text);
    free(config);
    free(page);
    return RC_OK;
}
