/* imagine.c - `gato imagine`: a policy goes on with recorded episodes in image tokens. A JSON line
 * per task and horizon says how near that comes to the true future; --out shows it. */
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/fs.h"
#include "common/io/image/apng.h"
#include "common/io/text/json.h"
#include "gato/commands.h"
#include "gato/imagined.h"
#include "gato/run/run.h"
#include "gato/task/scaling.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 64, FPS = 10 };

static const size_t horizons[] = {1, 2, 5, 10, 25};
enum { HORIZONS = sizeof horizons / sizeof *horizons };

typedef struct {
    const char *model, *data, *split, *actions, *object, *out, *weights;
    int64_t id, limit, context, steps, samples, top_k, threads;
    double temperature, top_p;
    uint64_t seed;
    bool force;
} args_t;

/* ---- the command line ---- */

static args_t parse(int argc, char **argv) {
    args_t a = {.split = "val",
                .actions = "recorded",
                .weights = "f32",
                .id = -1,
                .limit = 100,
                .steps = 25,
                .samples = 1,
                .top_p = 1};
    const cli_opt_t what[] = {
        {"--model", CLI_STR, &a.model, "RUN",
         "the policy: loss.image with horizon 1, and a window of several timesteps", true},
        {"--data", CLI_STR, &a.data, "X.lmdb",
         "episodes with consecutive steps (tokenize episodes without --spread); with --keep-pixels "
         "the true images are those, else the true codes decoded",
         true},
        {"--split", CLI_STR, &a.split, "S", "val (held out), train or all", false},
        {"--id", CLI_INT, &a.id, "N", "only record N, in order of writing from 0", false},
        {"--limit", CLI_INT, &a.limit, "N", "at most N episodes per task (0 = all)", false},
        {"--context", CLI_INT, &a.context, "N",
         "timesteps that are shown first (0 = one less than the attention window)", false},
        {"--steps", CLI_INT, &a.steps, "H",
         "timesteps that are imagined, or up to the episode's end", false},
        {"--actions", CLI_STR, &a.actions, "WHICH",
         "recorded, policy (its own), or a JSON file of H rows of numbers, the first for the last "
         "timestep shown",
         false},
        {0},
    };
    const cli_opt_t how[] = {
        {"--samples", CLI_INT, &a.samples, "N", "futures per episode, averaged (at most 16)",
         false},
        {"--temperature", CLI_DOUBLE, &a.temperature, "T", "0 = always the likeliest code", false},
        {"--top-k", CLI_INT, &a.top_k, "K", "draw among the K likeliest (0 = all)", false},
        {"--top-p", CLI_DOUBLE, &a.top_p, "P",
         "draw among the likeliest whose probabilities reach P", false},
        {"--object", CLI_STR, &a.object, "R,G,B",
         "also measure how far an object of this color is from its true place", false},
        {"--out", CLI_STR, &a.out, "DIR",
         "folder for a strip (PNG) and an animation (APNG) of each episode: true above, imagined "
         "below, from the last timestep shown on",
         false},
        {"--force", CLI_FLAG, &a.force, NULL, "write into a folder that is not empty", false},
        {"--weights", CLI_STR, &a.weights, "BITS", "f32, bf16, q8 or q4", false},
        {"--seed", CLI_U64, &a.seed, "S", "of the draws, and of the shuffled actions", false},
        {"--threads", CLI_INT, &a.threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "imagine",
              "go on with recorded episodes in image tokens: a JSON line per task and horizon "
              "(1, 2, 5, 10, 25), beside the last image copied, the tokenizer's own ceiling and "
              "shuffled actions",
              (const cli_opt_t *const[]){what, how}, 2);
    return a;
}

static side_t check(const args_t *a, object_color_t *color) {
    bool draws = a->top_k || a->top_p < 1 || a->samples > 1;
    if (!(a->temperature >= 0)) die(RC_USAGE, "--temperature must be 0 or more");
    if (!(a->top_p > 0 && a->top_p <= 1)) die(RC_USAGE, "--top-p must be above 0 and at most 1");
    if (a->top_k < 0 || a->top_k > INT32_MAX) die(RC_USAGE, "--top-k must be 0 or more");
    if (a->samples < 1 || a->samples > 16) die(RC_USAGE, "--samples must be 1 to 16");
    if (draws && a->temperature == 0)
        die(RC_USAGE, "--top-k, --top-p and --samples do nothing at --temperature 0");
    if (a->limit < 0) die(RC_USAGE, "--limit must not be negative");
    if (a->context < 0 || a->context > 1000000) die(RC_USAGE, "--context must be 0 to 1000000");
    if (a->steps < 1 || a->steps > 1000000) die(RC_USAGE, "--steps must be 1 to 1000000");
    if (a->object && !cli_rgb(a->object, color->color))
        die(RC_USAGE, "--object '%s': three numbers from 0 to 255 are needed", a->object);
    if (a->force && !a->out) warn("--force does nothing without --out");
    if (a->out && !a->force && !fs_dir_empty(a->out))
        die(RC_USAGE, "'%s' exists and is not empty (--force writes into it)", a->out);
    if (!strcmp(a->split, "val")) return SIDE_VAL;
    if (!strcmp(a->split, "train")) return SIDE_TRAIN;
    if (!strcmp(a->split, "all")) return SIDE_ALL;
    die(RC_USAGE, "--split '%s': one of val, train, all is needed", a->split);
}

/* ---- given actions ---- */

/* The next number of a row into column k of a slot; -1: it is none, or out of range. */
static int take_number(const slot_t *slot, uint32_t k, const cJSON *v, float *vector,
                       uint32_t *discrete) {
    uint64_t whole;
    if (slot->kind == SLOT_VECTOR) {
        if (!cJSON_IsNumber(v)) return -1;
        vector[k] = (float)v->valuedouble;
        return isfinite(vector[k]) ? 0 : -1;
    }
    if (!json_u64(v, &whole) || whole >= slot->range[k]) return -1;
    discrete[k] = (uint32_t)whole;
    return 0;
}

/* Row i of the file: the columns of the acted slots in their order, in the units of the
 * environment. free_actions frees what *to points to. */
static void take_row(const char *path, const cJSON *row, size_t i, const task_t *task,
                     timestep_t *to) {
    size_t width =
        task_width(task, SIDE_ACTED, SLOT_VECTOR) + task_width(task, SIDE_ACTED, SLOT_DISCRETE);
    if (!cJSON_IsArray(row) || (size_t)cJSON_GetArraySize(row) != width)
        die(RC_DATA, "'%s': row %zu: a list of %zu numbers is needed", path, i + 1, width);
    const cJSON *v = row->child;
    for (uint32_t s = 0; s < task->n_slots; s++) {
        const slot_t *slot = &task->slot[s];
        if (slot->side != SIDE_ACTED) continue;
        float *units = xcalloc(slot->width, sizeof *units);
        uint32_t *discrete = xcalloc(slot->width, sizeof *discrete);
        for (uint32_t k = 0; k < slot->width; k++, v = v->next)
            if (take_number(slot, k, v, units, discrete))
                die(RC_DATA, "'%s': row %zu: no value for the slot '%s'", path, i + 1, slot->name);
        if (slot->kind == SLOT_VECTOR) {
            scaling_from_units(slot, units, units);
            to->slot[s].vector = units;
            free(discrete);
        } else {
            to->slot[s].discrete = discrete;
            free(units);
        }
    }
}

static void free_actions(timestep_t *given, const task_t *task, size_t steps) {
    for (size_t i = 0; given && i < steps; i++)
        for (uint32_t s = 0; s < task->n_slots; s++) {
            free((float *)given[i].slot[s].vector);
            free((uint32_t *)given[i].slot[s].discrete);
        }
    free(given);
}

/* One timestep's acted slots per step. */
static timestep_t *read_actions(const char *path, const task_t *task, size_t steps) {
    reason_t why;
    if (!fs_exists(path))
        die(RC_USAGE, "--actions '%s': recorded, policy, or a file is needed", path);
    cJSON *rows = json_parse_file(path, false, &why);
    if (!rows) die(RC_DATA, "%s", why.text);
    if (!cJSON_IsArray(rows) || (size_t)cJSON_GetArraySize(rows) < steps)
        die(RC_DATA, "'%s': a list of %zu rows is needed, one per step that is imagined", path,
            steps);
    timestep_t *given = xcalloc(steps, sizeof *given);
    const cJSON *row = rows->child;
    for (size_t i = 0; i < steps; i++, row = row->next) take_row(path, row, i, task, &given[i]);
    cJSON_Delete(rows);
    return given;
}

/* ---- episodes ---- */

typedef struct {
    const args_t *a;
    player_t *player;
    const gato_model_t *model;
    dataset_t *d;
    side_t side;
    size_t files; /* written */
} command_t;

/* Which records of a task there are: *n numbers, malloc'ed. */
static uint64_t *find_records(const command_t *c, uint32_t task, size_t *n) {
    const args_t *a = c->a;
    size_t all = dataset_records(c->d, 0, task, a->id >= 0 ? SIDE_ALL : c->side);
    uint64_t *id = xcalloc(all + 1, sizeof *id);
    *n = 0;
    for (size_t i = 0; i < all; i++) {
        uint64_t record = dataset_record(c->d, 0, task, a->id >= 0 ? SIDE_ALL : c->side, i);
        if (a->id < 0 || record == (uint64_t)a->id) id[(*n)++] = record;
    }
    return id;
}

/* Opens the episodes that are long enough, at most --limit. */
static imagined_t *open_episodes(const command_t *c, const imagining_t *o, uint32_t task,
                                 size_t *n) {
    size_t records, shorter = 0;
    uint64_t *id = find_records(c, task, &records);
    imagined_t *e = xcalloc(records + 1, sizeof *e);
    *n = 0;
    for (size_t i = 0; i < records && (!c->a->limit || *n < (size_t)c->a->limit); i++) {
        imagined_t *at = &e[*n];
        *at = (imagined_t){.id = id[i]};
        if (!dataset_episode(c->d, 0, id[i], &at->w)) continue;
        if (at->w.n_steps < o->context + 1) {
            sequence_release(&at->w);
            shorter++;
            continue;
        }
        at->steps = min_size(o->steps, at->w.n_steps - o->context);
        ++*n;
    }
    if (shorter)
        warn("task '%s': %zu of %zu episodes are shorter than %zu timesteps (--context and one), "
             "and are left out",
             c->model->tasks.v[task].name, shorter, records, o->context + 1);
    free(id);
    return e;
}

static void close_episodes(imagined_t *e, size_t n) {
    for (size_t i = 0; i < n; i++) sequence_release(&e[i].w);
    free(e);
}

/* For every imagined timestep of every episode the actions of one: a permutation of all of them,
 * fixed by the seed. [sum of steps], for the caller to free; NULL: there are none to permute. */
static timestep_t *shuffle(const command_t *c, imagined_t *e, size_t n, size_t context) {
    size_t all = 0, at = 0;
    for (size_t i = 0; i < n; i++) all += e[i].steps;
    timestep_t *in = xcalloc(2 * all, sizeof *in), *out = in + all;
    rng_t r = rng_make(c->a->seed, "gato.imagine.shuffle");
    reason_t why;
    for (size_t i = 0; i < n; i++) { /* a timestep points into the record */
        sequence_steps_t s;
        if (sequence_steps(&c->model->config, &e[i].w, &s, &why)) die(RC_DATA, "%s", why.text);
        memcpy(in + at, s.step + context - 1, e[i].steps * sizeof *in);
        at += e[i].steps;
        sequence_steps_release(&s);
    }
    for (size_t i = 0; i < all; i++) out[i] = in[rng_permute(r, i, all)];
    at = 0;
    for (size_t i = 0; i < n; i++) {
        e[i].mix = out + at;
        at += e[i].steps;
    }
    return in;
}

/* ---- files ---- */

static char *file_of(const command_t *c, const imagined_t *e, uint32_t slot, const char *ending) {
    const task_t *task = &c->model->tasks.v[e->w.task];
    char suffix[16] = "";
    if (task_first(task, SIDE_OBSERVED, SLOT_IMAGE) != (int)slot)
        snprintf(suffix, sizeof suffix, ".%u", slot);
    return xasprintf("%s/%06" PRIu64 "%s%s", c->a->out, e->id, suffix, ending);
}

/* A row of true images, then one per sample. */
static void write_files(void *ctx, const imagined_t *e, uint32_t slot, const image_t *truth,
                        const image_t *imagined, size_t n, size_t samples) {
    command_t *c = ctx;
    reason_t why;
    image_t *all = xcalloc((1 + samples) * n, sizeof *all), *frame = xcalloc(n, sizeof *frame),
            *column = xcalloc(1 + samples, sizeof *column);
    memcpy(all, truth, n * sizeof *all);
    memcpy(all + n, imagined, samples * n * sizeof *all);
    image_t strip = image_sheet(all, (1 + samples) * n, n, 0);
    for (size_t h = 0; h < n; h++) {
        for (size_t s = 0; s <= samples; s++) column[s] = all[s * n + h];
        frame[h] = image_sheet(column, 1 + samples, 1, 0);
    }
    char *png = file_of(c, e, slot, ".png"), *apng = file_of(c, e, slot, ".apng");
    if (image_write_png(&strip, png, &why) || apng_write(apng, frame, n, FPS, &why))
        die(RC_RUNTIME, "%s", why.text);
    c->files += 2;
    for (size_t h = 0; h < n; h++) image_release(&frame[h]);
    image_release(&strip);
    free(png);
    free(apng);
    free(all);
    free(frame);
    free(column);
}

/* ---- lines ---- */

static double ratio(double a, size_t n) {
    return n ? a / (double)n : NAN;
}

/* PSNR of a sum of squared errors of the channels of so many pixels. */
static double psnr(double squared, size_t pixels) {
    return pixels ? image_psnr(squared / (3 * (double)pixels)) : NAN;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What nine tenths of the true objects are moved at most; one that is not there counts as
 * infinitely far: null then. */
static double error_p90(horizon_t *f) {
    size_t at = (f->with_object * 9 + 9) / 10;
    if (!at || at > f->found) return NAN;
    qsort(f->errors, f->found, sizeof *f->errors, by_value);
    return f->errors[at - 1];
}

static void print(const imagining_t *o, const task_t *task, size_t h, horizon_t *f) {
    bool mixed = o->actions == ACTIONS_RECORDED;
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_str(&w, "task", task->name);
    jsonw_int(&w, "horizon", (int64_t)h);
    jsonw_int(&w, "samples", (int64_t)o->samples);
    jsonw_float(&w, "token_accuracy", (float)ratio((double)f->free.equal, f->free.n));
    jsonw_float(&w, "ce_teacher", (float)ratio(f->teacher.ce, f->teacher.n));
    jsonw_float(&w, "ce_frame", (float)ratio(f->frame.ce, f->frame.n));
    jsonw_float(&w, "ce_free", (float)ratio(f->free.ce, f->free.n));
    jsonw_float(&w, "psnr", (float)psnr(f->squared, f->pixels));
    jsonw_float(&w, "psnr_changed", (float)psnr(f->changed, f->changed_pixels));
    jsonw_float(&w, "ssim", (float)ratio(f->ssim, f->images));
    jsonw_float(&w, "object_error_px", (float)ratio(f->error, f->found));
    jsonw_float(&w, "copy_psnr", (float)psnr(f->copy, f->pixels));
    jsonw_float(&w, "copy_psnr_changed", (float)psnr(f->copy_changed, f->changed_pixels));
    jsonw_float(&w, "ceiling_psnr", (float)psnr(f->ceiling, f->ceiling_pixels));
    jsonw_float(&w, "shuffled_psnr_changed",
                (float)(mixed ? psnr(f->shuffled_changed, f->changed_pixels) : NAN));
    jsonw_int(&w, "episodes", (int64_t)f->episodes);
    jsonw_float(&w, "changed", (float)ratio((double)f->changed_pixels, f->pixels));
    jsonw_float(&w, "teacher_accuracy_changed",
                (float)ratio((double)f->teacher.equal_changed, f->teacher.n_changed));
    jsonw_float(&w, "ce_teacher_changed",
                (float)ratio(f->teacher.ce_changed, f->teacher.n_changed));
    jsonw_float(&w, "vector_rmse", (float)sqrt(ratio(f->free.squared, f->free.n_values)));
    if (o->object) {
        jsonw_int(&w, "object_images", (int64_t)f->with_object);
        jsonw_int(&w, "object_found", (int64_t)f->found);
        jsonw_float(&w, "object_error_p90_px", (float)error_p90(f));
        jsonw_float(&w, "copy_object_error_px", (float)ratio(f->copy_error, f->copy_found));
    }
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

static void print_all(const imagining_t *o, const task_t *task, horizon_t *sums) {
    for (size_t i = 0; i < HORIZONS; i++) {
        size_t h = horizons[i];
        if (h <= o->steps && sums[h - 1].episodes) print(o, task, h, &sums[h - 1]);
    }
    for (size_t h = 0; h < o->steps; h++) free(sums[h].errors);
}

/* ---- tasks ---- */

/* Says what the metrics are not. */
static void say_limits(const command_t *c, const imagining_t *o, const task_t *task,
                       const horizon_t *first) {
    if (!first->ceiling_pixels)
        warn("task '%s': '%s' keeps no pixels (tokenize --keep-pixels): PSNR is against the "
             "true codes decoded, and the ceiling is null",
             task->name, c->a->data);
    if (o->actions != ACTIONS_RECORDED)
        warn("task '%s': the true future is that of the recorded actions", task->name);
    if (o->object && !first->with_object)
        warn("task '%s': no true image shows the object %s", task->name, c->a->object);
}

static size_t imagine_task(command_t *c, imagining_t o, uint32_t task) {
    const task_t *t = &c->model->tasks.v[task];
    reason_t why;
    size_t n;
    if (player_bind(c->player, t, t->name, true, &why) < 0) die(RC_MISFIT, "%s", why.text);
    if (player_dreams(c->player, task, &why)) die(RC_USAGE, "'%s': %s", c->a->model, why.text);
    if (player_shows(c->player, &why)) die(RC_MISFIT, "'%s': %s", c->a->model, why.text);
    if (!o.context) o.context = c->model->window[task] > 1 ? c->model->window[task] - 1 : 1;
    timestep_t *given = NULL;
    if (o.actions == ACTIONS_GIVEN) o.given = given = read_actions(c->a->actions, t, o.steps);
    imagined_t *e = open_episodes(c, &o, task, &n);
    timestep_t *mixed = o.actions == ACTIONS_RECORDED && n ? shuffle(c, e, n, o.context) : NULL;
    horizon_t *sums = xcalloc(o.steps, sizeof *sums);
    size_t at_once = LANES / imagined_lanes(&o) ? LANES / imagined_lanes(&o) : 1;
    progress_t bar;
    progress_begin(&bar, "imagine", 0, n);
    for (size_t i = 0; i < n; i += at_once) {
        size_t some = min_size(at_once, n - i);
        if (imagine(&o, e + i, some, sums, c->a->out ? write_files : NULL, c, &why))
            die(RC_MISFIT, "'%s': %s", c->a->data, why.text);
        progress_step(&bar, i + some, NULL);
    }
    progress_end(&bar);
    if (n) say_limits(c, &o, t, &sums[0]);
    if (n) print_all(&o, t, sums);
    free(sums);
    free(mixed);
    free_actions(given, t, o.steps);
    close_episodes(e, n);
    return n;
}

/* ---- the command ---- */

static void open_all(command_t *c, const imagining_t *o) {
    int rc;
    reason_t why;
    player_opts_t options = {.decode = -1, .temperature = -1};
    if (gato_weights_named(c->a->weights, &options.weights, &why))
        die(RC_USAGE, "--weights: %s", why.text);
    c->player = player_open(c->a->model, &options, &rc, &why);
    if (!c->player) die(rc, "%s", why.text);
    c->model = player_model(c->player);
    if (player_lanes(c->player, LANES > imagined_lanes(o) ? LANES : imagined_lanes(o), &why))
        die(RC_RUNTIME, "%s", why.text);
    const char *spec[1] = {c->a->data};
    c->d = dataset_open(
        &(cli_list_t){spec, 1, 1}, &c->model->config,
        &(dataset_opts_t){.tasks = &c->model->tasks, .vocabulary = &c->model->vocabulary});
    if (dataset_kinds(c->d, UINT32_MAX).spread)
        die(RC_USAGE,
            "'%s': its steps are spread over their episodes (tokenize --spread): what follows on a "
            "step is not there",
            c->a->data);
    if (c->a->id >= 0 && (uint64_t)c->a->id >= dataset_records(c->d, 0, UINT32_MAX, SIDE_ALL))
        die(RC_USAGE, "'%s' has %zu records, counted from 0: there is no record %" PRId64,
            c->a->data, dataset_records(c->d, 0, UINT32_MAX, SIDE_ALL), c->a->id);
}

int cmd_gato_imagine(int argc, char **argv) {
    args_t a = parse(argc, argv);
    object_color_t color = {.radius = 80};
    reason_t why;
    command_t c = {.a = &a, .side = check(&a, &color)};
    pool_set_threads((int)a.threads);
    imagining_t o = {.context = (size_t)a.context,
                     .steps = (size_t)a.steps,
                     .samples = (size_t)a.samples,
                     .how = {a.temperature, (uint32_t)a.top_k, a.top_p},
                     .object = a.object ? &color : NULL,
                     .seed = a.seed};
    o.actions = !strcmp(a.actions, "recorded") ? ACTIONS_RECORDED
                : !strcmp(a.actions, "policy") ? ACTIONS_POLICY
                                               : ACTIONS_GIVEN;
    open_all(&c, &o);
    o.player = c.player;
    if (a.out && fs_mkdirs(a.out, &why)) die(RC_RUNTIME, "%s", why.text);
    if (a.out) fs_done_clear(a.out);
    size_t episodes = 0;
    for (uint32_t t = 0; t < c.model->tasks.n; t++) {
        bool control = c.model->tasks.v[t].kind == RECORD_EPISODE;
        if (control && dataset_records(c.d, 0, t, SIDE_ALL)) episodes += imagine_task(&c, o, t);
    }
    if (!episodes)
        die(RC_USAGE,
            "'%s': no episode to imagine: none of --split %s is longer than what is shown "
            "(--split all takes every episode, --context N shows less)",
            a.data, a.split);
    if (a.out) {
        char run[RUN_FINGERPRINT], counts[80];
        run_fingerprint(c.model, run);
        snprintf(counts, sizeof counts, "{\"episodes\":%zu,\"files\":%zu}", episodes, c.files);
        if (fs_done_write(a.out, run, counts, &why)) die(RC_RUNTIME, "%s", why.text);
    }
    dataset_close(c.d);
    player_close(c.player);
    return RC_OK;
}
