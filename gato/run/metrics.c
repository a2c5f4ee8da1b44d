/* metrics.c - see metrics.h. */
#include "gato/run/metrics.h"

#include <math.h>
#include <string.h>

enum { SEQUENCES = 16 };

static void add_batch(batch_t *b, const dataset_t *d, size_t source, uint32_t task, side_t side,
                      size_t i) {
    sequence_t w;
    reason_t why;
    dataset_sequence(d, source, task, side, i, &w);
    if (sequence_add(b, &w, &why)) die(RC_DATA, "%s", why.text);
    sequence_release(&w);
}

void metrics_over(gato_graphs_t *g, const dataset_t *d, size_t source, uint32_t task, side_t side,
                  size_t limit, gato_metrics_t *f) {
    batch_t b;
    batch_init(&b, gato_graphs_model(g));
    size_t all = dataset_sequences(d, source, task, side), n = limit && limit < all ? limit : all;
    for (size_t i = 0; i < n; i += SEQUENCES) {
        batch_clear(&b, false, 0, 0);
        for (size_t k = i; k < n && k < i + SEQUENCES; k++)
            add_batch(&b, d, source, task, side, k * all / n);
        gato_step(g, &b, 0, 0, 0, false, f);
    }
    batch_release(&b);
}

/* ---- sums by what they measure ---- */

typedef enum { ACTION, DISCRETE, TEXT, IMAGE, VECTOR, MEASURES } measure_t;
static const char *const measure_names[MEASURES] = {"action", "discrete", "text", "image",
                                                    "vector"}; /* head_t.of */

static measure_t measure_of(const head_t *head) {
    for (int i = 0; i < MEASURES; i++)
        if (!strcmp(measure_names[i], head->of)) return (measure_t)i;
    BUG("head '%s' measures '%s'", head->name, head->of);
}

static void add_sums(head_sums_t *to, const head_sums_t *s) {
    to->ce += s->ce;
    to->n += s->n;
    to->correct += s->correct;
    to->n_correct += s->n_correct;
    to->squared += s->squared;
    to->absolute += s->absolute;
    to->n_values += s->n_values;
}

/* Sums over the heads that measure the same, of one task or all. */
static void gather(const gato_metrics_t *f, uint32_t task, head_sums_t sums[MEASURES]) {
    memset(sums, 0, MEASURES * sizeof *sums);
    for (size_t t = 0; t < f->tasks; t++)
        for (size_t h = 0; h < HEADS && (task == METRICS_ALL || task == t); h++)
            add_sums(&sums[measure_of(heads[h])], &f->sums[t * HEADS + h]);
}

static size_t count(const size_t *v, const gato_metrics_t *f, uint32_t task) {
    size_t n = 0;
    for (size_t t = 0; t < f->tasks; t++)
        if (task == METRICS_ALL || task == t) n += v[t];
    return n;
}
size_t metrics_sequences(const gato_metrics_t *f, uint32_t task) {
    return count(f->sequences, f, task);
}
size_t metrics_positions(const gato_metrics_t *f, uint32_t task) {
    return count(f->positions, f, task);
}

static double ratio(double a, double n) {
    return n > 0 ? a / n : NAN;
}
static double cross_entropy(const head_sums_t *s) {
    return ratio(s->ce, (double)s->n);
}
static double squared_error(const head_sums_t *s) {
    return ratio(s->squared, (double)s->n_values);
}
static double add_weighted(double sum, double weight, double value) {
    return isnan(value) ? sum : sum + weight * value;
}
/* NAN where the configuration does not train it. */
static double trained(double weight, double value) {
    return weight > 0 ? value : NAN;
}
/* Of bins, or of numbers. */
static double vector_loss(const head_sums_t *s) {
    return s->n ? cross_entropy(s) : squared_error(s);
}

double metrics_loss(const gato_model_t *m, const gato_metrics_t *f, uint32_t task) {
    const gato_config_t *c = &m->config;
    bool regress = c->loss.action_kind == ACTION_MSE, mix = c->loss.action_kind == ACTION_MIX;
    head_sums_t s[MEASURES];
    gather(f, task, s);
    double n = (double)((regress ? 0 : s[ACTION].n) + s[DISCRETE].n + s[TEXT].n);
    double ce = regress ? 0 : s[ACTION].ce * (mix ? c->loss.ce_weight : 1);
    bool numbers = (regress || mix) && s[ACTION].n_values;
    if (n <= 0 && !numbers && !s[IMAGE].n && isnan(vector_loss(&s[VECTOR]))) return NAN;
    double sum =
        n > 0 ? (c->loss.action * (ce + s[DISCRETE].ce) + c->loss.text * s[TEXT].ce) / n : 0;
    if (numbers) sum = add_weighted(sum, c->loss.action, squared_error(&s[ACTION]));
    sum = add_weighted(sum, c->loss.image, cross_entropy(&s[IMAGE]));
    return add_weighted(sum, c->loss.vector, vector_loss(&s[VECTOR]));
}

double metrics_action_error(const gato_metrics_t *f, uint32_t task) {
    head_sums_t s[MEASURES];
    gather(f, task, s);
    return ratio(s[ACTION].absolute, (double)s[ACTION].n_values);
}

void metrics_members(const gato_model_t *m, const gato_metrics_t *f, uint32_t task, jsonw_t *w) {
    const gato_config_t *c = &m->config;
    bool regress = c->loss.action_kind == ACTION_MSE;
    head_sums_t s[MEASURES];
    gather(f, task, s);
    double actions = regress && s[ACTION].n_values ? squared_error(&s[ACTION])
                                                   : ratio(s[ACTION].ce + s[DISCRETE].ce,
                                                           (double)(s[ACTION].n + s[DISCRETE].n)),
           text = trained(c->loss.text, cross_entropy(&s[TEXT]));
    size_t correct = s[ACTION].correct + s[DISCRETE].correct,
           all = s[ACTION].n_correct + s[DISCRETE].n_correct;
    jsonw_float(w, "loss", (float)metrics_loss(m, f, task));
    jsonw_float(w, "loss_action", (float)trained(c->loss.action, actions));
    jsonw_float(w, "loss_image", (float)trained(c->loss.image, cross_entropy(&s[IMAGE])));
    jsonw_float(w, "loss_text", (float)text);
    jsonw_float(w, "action_accuracy", (float)ratio((double)correct, (double)all));
    jsonw_float(w, "action_mae", (float)metrics_action_error(f, task));
    jsonw_float(w, "perplexity_text", (float)exp(text));
    jsonw_float(w, "loss_vector", (float)trained(c->loss.vector, vector_loss(&s[VECTOR])));
}
