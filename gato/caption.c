/* caption.c - `gato caption` and `gato answer`: a policy writes about images, answers questions,
 * and goes on with texts. A JSON line each.
 */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/source/image_source.h"
#include "common/io/text/json.h"
#include "gato/commands.h"
#include "gato/play/player.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };

typedef struct {
    const char *model, *in, *question, *task, *weights;
    cli_list_t image; /* files */
    double temperature, top_p;
    int64_t top_k, most, samples, limit, threads;
    uint64_t seed;
} args_t;

typedef struct {
    const args_t *args;
    image_source_t *source; /* NULL: files, or no images */
    size_t n;               /* items: images, or one without */
    player_t *player;
    uint32_t task;
    sampler_t how;
    bad_items_t *bad;
} writing_t;

/* ---- images ---- */

static const char *key_of(const writing_t *w, size_t i) {
    if (w->source) return image_source_key(w->source, i);
    return w->args->image.n ? w->args->image.item[i] : NULL;
}

static void count_bad(const writing_t *w, size_t i, const char *why, bool unsupported) {
    const char *name = w->source ? image_source_name(w->source) : "--image";
    bad_items_add(w->bad, name, key_of(w, i), why, unsupported);
}

/* Image of item i to *out; false: it cannot be used, and was counted. */
static bool read_item(const writing_t *w, size_t i, image_t *out) {
    reason_t why;
    image_opts_t o = image_opts_default();
    *out = (image_t){0};
    if (!key_of(w, i)) return true;
    image_status_t status = w->source ? image_source_read(w->source, i, out, &o, &why)
                                      : image_read(out, key_of(w, i), &o, &why);
    if (status == IMAGE_OK) return true;
    count_bad(w, i, why.text, status == IMAGE_UNSUPPORTED);
    return false;
}

/* ---- texts ---- */

static void print_text(const writing_t *w, size_t item, const player_text_t *text) {
    size_t size;
    char *written = player_text(w->player, text, &size);
    jsonw_t line;
    jsonw_begin(&line);
    jsonw_str(&line, "image", key_of(w, item));
    if (w->args->question) jsonw_str(&line, "question", w->args->question);
    jsonw_bytes(&line, "text", written, size);
    jsonw_int(&line, "ids", (int64_t)text->written.n);
    jsonw_bool(&line, "ended", text->ended);
    puts(jsonw_end(&line));
    jsonw_free(&line);
    free(written);
}

/* Some items whose images could be read, at most LANES with all their samples. */
typedef struct {
    size_t item[LANES], n;
    image_t image[LANES];
} group_of_items_t;

/* An image that does not fit is one that cannot be used, as an unreadable one; what else fails
 * would fail for all. */
static void cannot_write(const writing_t *w, size_t item, const player_text_t *text) {
    if (!text->rc) return;
    if (text->rc != RC_MISFIT || !key_of(w, item))
        die(text->rc, "'%s': %s", w->args->model, text->why.text);
    count_bad(w, item, text->why.text, false);
}

/* Writes and prints the texts of all samples of these items, each in a lane. */
static void write_group(const writing_t *w, group_of_items_t *group) {
    player_text_t text[LANES];
    size_t samples = (size_t)w->args->samples, n = group->n * samples;
    rng_t draw = rng_make(w->args->seed, "gato.text");
    for (size_t i = 0; i < n; i++) {
        size_t of = i / samples;
        const image_t *im = &group->image[of];
        text[i] = (player_text_t){.rgb = im->rgb,
                                  .image_w = im->w,
                                  .image_h = im->h,
                                  .given = w->args->question ? w->args->question : "",
                                  .draw = rng_fold(rng_fold(draw, group->item[of]), i % samples)};
    }
    if (n) player_write(w->player, w->task, &w->how, (size_t)w->args->most, text, n);
    for (size_t i = 0; i < n; i++) {
        cannot_write(w, group->item[i / samples], &text[i]);
        if (!text[i].rc) print_text(w, group->item[i / samples], &text[i]);
        text_ids_release(&text[i].written);
    }
    for (size_t i = 0; i < group->n; i++) image_release(&group->image[i]);
    group->n = 0;
}

static void write_all(const writing_t *w) {
    group_of_items_t group = {.n = 0};
    size_t at_once = LANES / (size_t)w->args->samples;
    for (size_t i = 0; i < w->n; i++) {
        if (!read_item(w, i, &group.image[group.n])) continue;
        group.item[group.n++] = i;
        if (group.n == at_once) write_group(w, &group);
    }
    write_group(w, &group);
}

/* ---- the commands ---- */

static void parse(args_t *a, int argc, char **argv, bool answers) {
    const cli_opt_t about[] = {
        {"--model", CLI_STR, &a->model, "RUN", "the policy", true},
        {"--in", CLI_STR, &a->in, "SRC", "the images: a folder, a WebDataset tar, a Minari dataset",
         false},
        {"--image", CLI_LIST, &a->image, "F", "or files of images", false},
        {"--limit", CLI_INT, &a->limit, "N", "only the first N images (0 = all)", false},
        {"--task", CLI_STR, &a->task, "NAME",
         "the task whose texts are written; of one without images the question is the beginning of "
         "a text",
         false},
        {0},
    };
    const cli_opt_t asks[] = {
        {"--question", CLI_STR, &a->question, "TEXT", "what is asked, of every image", true}, {0}};
    const cli_opt_t how[] = {
        {"--temperature", CLI_DOUBLE, &a->temperature, "T", "0 = always the likeliest token",
         false},
        {"--top-k", CLI_INT, &a->top_k, "K", "draw among the K likeliest (0 = all)", false},
        {"--top-p", CLI_DOUBLE, &a->top_p, "P",
         "draw among the likeliest whose probabilities reach P", false},
        {"--samples", CLI_INT, &a->samples, "N", "texts for each image (at most 16)", false},
        {"--most", CLI_INT, &a->most, "N", "tokens of a text; what has not ended then is cut",
         false},
        {"--seed", CLI_U64, &a->seed, "S", "of the draws", false},
        {"--weights", CLI_STR, &a->weights, "BITS",
         "f32, bf16, q8 or q4: how the weights of linear layers are stored", false},
        {"--threads", CLI_INT, &a->threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, argv[0],
              answers ? "answer a question about images, or go on with a text: a JSON line each"
                      : "write captions of images: a JSON line each",
              (const cli_opt_t *const[]){about, how, asks}, answers ? 3 : 2);
}

static void check(const args_t *a, bool answers) {
    if (a->in && a->image.n) die(RC_USAGE, "--in and --image exclude each other");
    if (!answers && !a->in && !a->image.n) die(RC_USAGE, "give the images: --in SRC or --image F");
    if (!(a->temperature >= 0)) die(RC_USAGE, "--temperature must be 0 or more");
    if (!(a->top_p > 0 && a->top_p <= 1)) die(RC_USAGE, "--top-p must be above 0 and at most 1");
    if (a->top_k < 0 || a->top_k > INT32_MAX) die(RC_USAGE, "--top-k must be 0 or more");
    if (a->samples < 1 || a->samples > LANES)
        die(RC_USAGE, "--samples must be 1 to %d", (int)LANES);
    if (a->most < 1) die(RC_USAGE, "--most must be 1 or more");
    if (a->limit < 0) die(RC_USAGE, "--limit must not be negative");
    bool draws = a->top_k || a->top_p < 1 || a->samples > 1;
    if (draws && a->temperature == 0)
        die(RC_USAGE, "--top-k, --top-p and --samples do nothing at --temperature 0");
}

static void open_images(writing_t *w) {
    const args_t *a = w->args;
    if (a->in) {
        w->source = image_source_open_or_die(a->in);
        w->n = image_source_count(w->source);
    } else {
        w->n = a->image.n ? a->image.n : 1;
    }
    if (a->limit) w->n = min_size(w->n, (size_t)a->limit);
}

static void open_policy(writing_t *w) {
    int rc;
    reason_t why;
    player_opts_t o = {.decode = -1, .temperature = -1};
    if (gato_weights_named(w->args->weights, &o.weights, &why))
        die(RC_USAGE, "--weights: %s", why.text);
    gato_weights_warn(o.weights, false);
    w->player = player_open(w->args->model, &o, &rc, &why);
    if (!w->player) die(rc, "%s", why.text);
    int task = player_writes(w->player, w->args->task, &why);
    if (task < 0) die(RC_MISFIT, "'%s': %s (--task)", w->args->model, why.text);
    w->task = (uint32_t)task;
    const task_t *about = &player_model(w->player)->tasks.v[task];
    bool sees = task_first(about, SIDE_OBSERVED, SLOT_IMAGE) >= 0,
         given = w->args->in || w->args->image.n;
    if (given && !sees)
        die(RC_MISFIT, "'%s': task '%s' of the policy has no images", w->args->model, about->name);
    if (sees && !given)
        die(RC_USAGE, "task '%s' is about images: --in SRC or --image F", about->name);
    if (player_lanes(w->player, LANES, &why)) die(RC_RUNTIME, "%s", why.text);
}

static int run(int argc, char **argv, bool answers) {
    args_t a = {.task = answers ? "vqa" : "caption",
                .weights = "f32",
                .top_p = 1,
                .samples = 1,
                .most = 100};
    parse(&a, argc, argv, answers);
    check(&a, answers);
    pool_set_threads((int)a.threads);
    writing_t w = {
        .args = &a, .how = {a.temperature, (uint32_t)a.top_k, a.top_p}, .bad = bad_items_new(1)};
    open_images(&w);
    open_policy(&w);
    write_all(&w);
    bad_items_summary(w.bad);
    bad_items_check(w.bad, w.n);
    bad_items_free(w.bad);
    player_close(w.player);
    image_source_close(w.source);
    free(a.image.item);
    return RC_OK;
}

int cmd_gato_caption(int argc, char **argv) {
    return run(argc, argv, false);
}

int cmd_gato_answer(int argc, char **argv) {
    return run(argc, argv, true);
}
