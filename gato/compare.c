/* compare.c - `gato compare`: do two policies differ? Pairs the episodes that `gato act --each`
 * wrote, one by one: the same task, seed, number and start. One JSON object says what follows.
 *
 * Several trainings of a policy, from several seeds, are told apart by their weights; parts of one
 * training's play are joined. Where a side has an episode more than once, by several trainings, the
 * k-th of one side meets the k-th of the other, in the order of the files.
 */
#include "common/base/cli.h"
#include "gato/commands.h"
#include "gato/json_lines.h"
#include "gato/statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a headline needs: pairs, and trainings; and what a bootstrap needs at least to mean
 * anything. */
enum { HEADLINE_PAIRS = 250, HEADLINE_TRAININGS = 3, FEWEST_PAIRS = 20 };

enum { SUCCESS, RETURN, NORMALIZED, METRICS };
static const char *const metric_names[METRICS] = {"success", "return", "normalized"};

typedef struct {
    const char *file;
    size_t line, order;           /* order: over all files of its side */
    char *key;                    /* task, seed and number */
    char *start, *view, *weights; /* "" = none */
    bool failed;
    double value[METRICS]; /* NAN = not known */
} episode_t;

typedef struct {
    episode_t *v;
    size_t n, cap;
} side_t;

/* ---- reading ---- */

static void bad_line(const episode_t *e, const char *what) __attribute__((noreturn));
static void bad_line(const episode_t *e, const char *what) {
    die(RC_DATA, "'%s', line %zu: %s", e->file, e->line, what);
}

static const cJSON *member(const cJSON *line, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(line, key);
}

static char *text_of(const cJSON *line, const char *key) {
    const char *s = cJSON_GetStringValue(member(line, key));
    return xstrdup(s ? s : "");
}

static double number_of(const cJSON *line, const char *key) {
    const cJSON *item = member(line, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* The file at hand. */
typedef struct {
    side_t *side;
    const char *file;
} reader_t;

static void take_line(void *ctx, size_t number, const cJSON *line) {
    const reader_t *r = ctx;
    side_t *side = r->side;
    side->v = xgrow(side->v, &side->cap, side->n + 1, sizeof *side->v);
    episode_t *e = &side->v[side->n];
    *e = (episode_t){.file = r->file, .line = number, .order = side->n};
    side->n++;
    const char *task = cJSON_GetStringValue(member(line, "task"));
    double seed = number_of(line, "seed"), episode = number_of(line, "episode");
    if (!task || isnan(seed) || isnan(episode) || !cJSON_IsBool(member(line, "success")))
        bad_line(e, "no line of gato act --each");
    e->key = xasprintf("episode %.0f of '%s', seed %.0f", episode, task, seed);
    e->start = text_of(line, "start");
    e->view = text_of(line, "view");
    e->weights = text_of(line, "weights");
    e->failed = cJSON_IsTrue(member(line, "failed"));
    e->value[SUCCESS] = cJSON_IsTrue(member(line, "success"));
    e->value[RETURN] = number_of(line, "return");
    e->value[NORMALIZED] = number_of(line, "normalized");
    if (!e->failed && (!*e->start || isnan(e->value[RETURN])))
        bad_line(e, "an episode without start or return");
}

static void read_file(side_t *side, const char *path) {
    reader_t r = {side, path};
    size_t before = side->n;
    json_lines_read(path, take_line, &r);
    if (side->n == before) die(RC_DATA, "'%s' holds no episodes", path);
}

static int by_key(const void *a, const void *b) {
    const episode_t *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static side_t read_side(const cli_list_t *files) {
    side_t side = {0};
    for (size_t i = 0; i < files->n; i++) read_file(&side, files->item[i]);
    qsort(side.v, side.n, sizeof *side.v, by_key);
    for (size_t i = 0; i < side.n; i++)
        for (size_t k = i + 1; k < side.n && !strcmp(side.v[i].key, side.v[k].key); k++)
            if (!strcmp(side.v[i].weights, side.v[k].weights))
                die(RC_DATA, "'%s', line %zu: %s stands in '%s', line %zu, too, of the same policy",
                    side.v[k].file, side.v[k].line, side.v[k].key, side.v[i].file, side.v[i].line);
    return side;
}

static void release_side(side_t *side) {
    for (size_t i = 0; i < side->n; i++) {
        free(side->v[i].key);
        free(side->v[i].start);
        free(side->v[i].view);
        free(side->v[i].weights);
    }
    free(side->v);
}

/* ---- pairing ---- */

typedef struct {
    const episode_t *a, *b;
    size_t training;
} pair_t;

typedef struct {
    pair_t *v;
    size_t n, trainings;
} pairs_t;

static void missing(const episode_t *there, const char *side) __attribute__((noreturn));
static void missing(const episode_t *there, const char *side) {
    die(RC_MISFIT, "%s stands in '%s', line %zu, and not as often on side %s", there->key,
        there->file, there->line, side);
}

/* A view is the sizes of its images, a colon, and their hash. */
static bool same_sizes(const char *a, const char *b) {
    size_t n = strcspn(a, ":");
    return n && n == strcspn(b, ":") && !strncmp(a, b, n);
}

static void check_start(const episode_t *a, const episode_t *b) {
    if (a->failed || b->failed) return;
    bool same = !strcmp(a->start, b->start);
    if (same_sizes(a->view, b->view)) same = same && !strcmp(a->view, b->view);
    if (!same)
        die(RC_MISFIT, "%s begins in another state in '%s', line %zu, than in '%s', line %zu",
            a->key, a->file, a->line, b->file, b->line);
}

static size_t training_of(const pairs_t *p, const episode_t *a, const episode_t *b) {
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->v[i].a->weights, a->weights) && !strcmp(p->v[i].b->weights, b->weights))
            return p->v[i].training;
    return p->trainings;
}

static int by_training(const void *a, const void *b) {
    const pair_t *x = a, *y = b;
    if (x->training != y->training) return x->training < y->training ? -1 : 1;
    return by_key(x->a, y->a);
}

static pairs_t pair(const side_t *a, const side_t *b) {
    pairs_t p = {.v = xcalloc(a->n, sizeof *p.v)};
    for (size_t i = 0; i < a->n || i < b->n; i++) {
        if (i == a->n) missing(&b->v[i], "A");
        if (i == b->n) missing(&a->v[i], "B");
        int order = strcmp(a->v[i].key, b->v[i].key);
        if (order < 0) missing(&a->v[i], "B");
        if (order > 0) missing(&b->v[i], "A");
        check_start(&a->v[i], &b->v[i]);
        size_t training = training_of(&p, &a->v[i], &b->v[i]);
        if (training == p.trainings) p.trainings++;
        p.v[p.n++] = (pair_t){&a->v[i], &b->v[i], training};
    }
    qsort(p.v, p.n, sizeof *p.v, by_training);
    return p;
}

/* ---- what follows ---- */

/* B less A in one metric, by training. */
typedef struct {
    differences_t d;
    double *v;
    size_t *group;
} metric_t;

static metric_t metric_of(const pairs_t *p, int metric) {
    metric_t m = {.v = xcalloc(p->n, sizeof *m.v),
                  .group = xcalloc(p->trainings + 1, sizeof *m.group)};
    size_t n = 0, i = 0;
    for (size_t g = 0; g < p->trainings; g++) {
        for (; i < p->n && p->v[i].training == g; i++) {
            double difference = p->v[i].b->value[metric] - p->v[i].a->value[metric];
            if (isfinite(difference)) m.v[n++] = difference;
        }
        m.group[g + 1] = n;
    }
    m.d = (differences_t){m.v, m.group, p->trainings};
    return m;
}

/* Of the trainings' mean differences. */
static double spread_of(const differences_t *d) {
    double *mean = xcalloc(d->groups, sizeof *mean);
    size_t n = 0;
    for (size_t g = 0; g < d->groups; g++) {
        differences_t one = {d->v, d->group + g, 1};
        if (d->group[g] < d->group[g + 1]) mean[n++] = statistics_mean(&one);
    }
    double spread = statistics_deviation(mean, n);
    free(mean);
    return spread;
}

typedef struct {
    size_t n;
    double difference, ci[2], spread, smallest, p; /* NAN = not known */
    size_t a_only, b_only;
} finding_t;

static finding_t find(const pairs_t *p, int metric, size_t resamples, uint64_t seed) {
    metric_t m = metric_of(p, metric);
    size_t n = m.group[p->trainings];
    finding_t f = {
        .n = n, .difference = statistics_mean(&m.d), .spread = spread_of(&m.d), .p = NAN};
    double smallest = statistics_smallest_mean(statistics_deviation(m.v, n) / sqrt((double)n));
    statistics_bootstrap(&m.d, resamples, seed, f.ci);
    if (metric == SUCCESS) {
        for (size_t i = 0; i < n; i++) {
            f.a_only += m.v[i] < 0;
            f.b_only += m.v[i] > 0;
        }
        f.p = statistics_mcnemar(f.a_only, f.b_only);
        double discordant = (double)(f.a_only + f.b_only) / (double)n;
        smallest = statistics_smallest_share((double)n, discordant);
    }
    /* trainings vary, too: the larger of both */
    f.smallest = fmax(smallest, statistics_smallest_mean(f.spread / sqrt((double)p->trainings)));
    free(m.v);
    free(m.group);
    return f;
}

/* Which side is better; "none": the interval spans 0, or McNemar's test allows chance, or trainings
 * differ by more, or pairs are too few for any of this. */
static const char *verdict(const finding_t *f) {
    bool seen = f->n >= FEWEST_PAIRS && (f->ci[0] > 0 || f->ci[1] < 0);
    if (!seen || f->p >= 0.05 || fabs(f->difference) < f->spread) return "none";
    return f->difference > 0 ? "b" : "a";
}

static void put_interval(jsonw_t *w, const char *key, const double ci[2]) {
    jsonw_open(w, key, '[');
    jsonw_num(w, NULL, ci[0]);
    jsonw_num(w, NULL, ci[1]);
    jsonw_close(w, ']');
}

static void put_side(jsonw_t *w, const char *key, const side_t *side) {
    double sum[METRICS] = {0}, played = 0, normalized = 0, ci[2];
    for (size_t i = 0; i < side->n; i++) {
        const episode_t *e = &side->v[i];
        sum[SUCCESS] += e->value[SUCCESS];
        if (e->failed) continue;
        played++;
        sum[RETURN] += e->value[RETURN];
        normalized += isfinite(e->value[NORMALIZED]);
        sum[NORMALIZED] += isfinite(e->value[NORMALIZED]) ? e->value[NORMALIZED] : 0;
    }
    statistics_wilson(sum[SUCCESS], (double)side->n, ci);
    jsonw_open(w, key, '{');
    jsonw_int(w, "failed", (int64_t)side->n - (int64_t)played);
    jsonw_num(w, "success_rate", sum[SUCCESS] / (double)side->n);
    put_interval(w, "success_ci", ci);
    jsonw_num(w, "return_mean", sum[RETURN] / played);
    jsonw_num(w, "normalized_mean", sum[NORMALIZED] / normalized);
    jsonw_close(w, '}');
}

static void put_finding(jsonw_t *w, int metric, const finding_t *f) {
    jsonw_open(w, metric_names[metric], '{');
    jsonw_num(w, "difference", f->difference);
    put_interval(w, "ci", f->ci);
    if (metric == SUCCESS) {
        jsonw_int(w, "a_only", (int64_t)f->a_only);
        jsonw_int(w, "b_only", (int64_t)f->b_only);
        jsonw_num(w, "p", f->p);
    }
    jsonw_num(w, "spread", f->spread);
    jsonw_num(w, "smallest", f->smallest);
    jsonw_str(w, "verdict", verdict(f));
    jsonw_close(w, '}');
}

typedef struct {
    cli_list_t word, a, b;
    int64_t resamples;
    uint64_t seed;
    const char *by;
} options_t;

static options_t parse(int argc, char **argv) {
    options_t o = {.resamples = 10000, .by = "success"};
    const cli_opt_t options[] = {
        {"", CLI_LIST, &o.word, "A.jsonl B.jsonl", "what gato act --each wrote of two policies",
         false},
        {"--a", CLI_LIST, &o.a, "A.jsonl", "the same, several files: trainings, or parts of a play",
         false},
        {"--b", CLI_LIST, &o.b, "B.jsonl", "of the other policy", false},
        {"--by", CLI_STR, &o.by, "METRIC", "success, return or normalized: gives the verdict",
         false},
        {"--resamples", CLI_INT, &o.resamples, "N", "of the bootstrap", false},
        {"--seed", CLI_U64, &o.seed, "S", "of the bootstrap", false},
        {0},
    };
    cli_parse(argc, argv, "compare",
              "say whether two policies differ on the same episodes, as JSON",
              (const cli_opt_t *const[]){options}, 1);
    bool pair = o.word.n == 2 && !o.a.n && !o.b.n;
    if (!pair && (o.word.n || !o.a.n || !o.b.n))
        die(RC_USAGE, "two files are needed, or --a FILE... and --b FILE...");
    if (o.resamples < 100 || o.resamples > 10000000)
        die(RC_USAGE, "--resamples must be 100 to 10000000");
    return o;
}

static int metric_named(const char *name) {
    for (int i = 0; i < METRICS; i++)
        if (!strcmp(name, metric_names[i])) return i;
    die(RC_USAGE, "--by '%s': one of success, return, normalized is needed", name);
}

int cmd_gato_compare(int argc, char **argv) {
    options_t o = parse(argc, argv);
    int by = metric_named(o.by);
    bool words = o.word.n == 2;
    cli_list_t first = {o.word.item, 1, 0}, second = {o.word.item + 1, 1, 0};
    side_t a = read_side(words ? &first : &o.a), b = read_side(words ? &second : &o.b);
    pairs_t p = pair(&a, &b);
    finding_t f[METRICS];
    for (int i = 0; i < METRICS; i++) f[i] = find(&p, i, (size_t)o.resamples, o.seed);
    if (isnan(f[by].difference)) die(RC_MISFIT, "no pair has a %s on both sides", o.by);
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_int(&w, "n", (int64_t)p.n);
    jsonw_int(&w, "trainings", (int64_t)p.trainings);
    put_side(&w, "a", &a);
    put_side(&w, "b", &b);
    for (int i = 0; i < METRICS; i++) put_finding(&w, i, &f[i]);
    jsonw_bool(&w, "headline", p.n >= HEADLINE_PAIRS && p.trainings >= HEADLINE_TRAININGS);
    jsonw_str(&w, "by", o.by);
    jsonw_str(&w, "verdict", verdict(&f[by]));
    puts(jsonw_end(&w));
    jsonw_free(&w);
    free(p.v);
    release_side(&a);
    release_side(&b);
    free(o.word.item);
    free(o.a.item);
    free(o.b.item);
    return RC_OK;
}
