/* metrics.c - see metrics.h. */
#include "gato/run/metrics.h"

#include <math.h>
#include <stdlib.h>
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

/* The first head that measures the same stands for all of them. */
static size_t measure_of(const char *of) {
    for (size_t i = 0; heads[i]; i++)
        if (!strcmp(heads[i]->of, of)) return i;
    BUG("no head measures '%s'", of);
}

/* What all heads measured. Acted and predicted tokens share one mean; the rest have their own. */
typedef struct {
    head_sums_t all[HEADS]; /* by the first head that measures it */
    const head_sums_t *action, *discrete, *text;
} measured_t;

static void add_sums(head_sums_t *to, const head_sums_t *s) {
    to->ce += s->ce;
    to->n += s->n;
    to->correct += s->correct;
    to->n_correct += s->n_correct;
    to->squared += s->squared;
    to->absolute += s->absolute;
    to->n_values += s->n_values;
}

/* Horizons weigh alike, however many targets each has: the sum of a part is its mean, and it counts
 * once. A part without targets is left out. */
static void weigh_parts_alike(const gato_metrics_t *f, uint32_t task, measured_t *m) {
    const gato_model_t *model = f->model;
    for (size_t i = 0; i < model->n_groups; i++) {
        const head_t *head = model->group[i].head;
        if (head->own || !head->parts) continue;
        head_sums_t part = {0}, *to = &m->all[measure_of(head->of)];
        for (size_t t = 0; t < f->tasks; t++)
            if (task == METRICS_ALL || task == t)
                add_sums(&part, &f->part[t * model->n_groups + i]);
        if (!model->group[i].part) to->ce = 0, to->n = 0;
        if (!part.n) continue;
        to->ce += part.ce / (double)part.n;
        to->n++;
    }
}

/* Sums over the heads that measure the same, of one task or all. */
static void gather(const gato_metrics_t *f, uint32_t task, measured_t *m) {
    *m = (measured_t){.action = &m->all[measure_of("action")],
                      .discrete = &m->all[measure_of("discrete")],
                      .text = &m->all[measure_of("text")]};
    for (size_t t = 0; t < f->tasks; t++)
        for (size_t h = 0; h < HEADS && (task == METRICS_ALL || task == t); h++)
            add_sums(&m->all[measure_of(heads[h]->of)], &f->sums[t * HEADS + h]);
    weigh_parts_alike(f, task, m);
}

/* Does head h stand for a measure with a mean of its own? */
static bool apart(const measured_t *m, size_t h) {
    const head_sums_t *s = &m->all[h];
    return measure_of(heads[h]->of) == h && s != m->action && s != m->discrete && s != m->text;
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
/* Of tokens, or of numbers. */
static double mean_loss(const head_sums_t *s) {
    return s->n ? cross_entropy(s) : squared_error(s);
}

double metrics_loss(const gato_model_t *m, const gato_metrics_t *f, uint32_t task) {
    const gato_config_t *c = &m->config;
    bool regress = c->loss.action_kind == ACTION_MSE, mix = c->loss.action_kind == ACTION_MIX;
    measured_t s;
    gather(f, task, &s);
    double n = (double)((regress ? 0 : s.action->n) + s.discrete->n + s.text->n);
    double ce = regress ? 0 : s.action->ce * (mix ? c->loss.ce_weight : 1);
    bool numbers = (regress || mix) && s.action->n_values, measured = n > 0 || numbers;
    double sum =
        n > 0 ? (c->loss.action * (ce + s.discrete->ce) + c->loss.text * s.text->ce) / n : 0;
    if (numbers) sum = add_weighted(sum, c->loss.action, squared_error(s.action));
    for (size_t h = 0; h < HEADS; h++) {
        if (!apart(&s, h)) continue;
        measured = measured || !isnan(mean_loss(&s.all[h]));
        sum = add_weighted(sum, head_weight(heads[h], c), mean_loss(&s.all[h]));
    }
    return measured ? sum : NAN;
}

double metrics_action_error(const gato_metrics_t *f, uint32_t task) {
    measured_t s;
    gather(f, task, &s);
    return ratio(s.action->absolute, (double)s.action->n_values);
}

/* The member loss_<of> of what head h stands for. */
static void put_loss(const gato_config_t *c, const measured_t *s, size_t h, jsonw_t *w) {
    char *key = xasprintf("loss_%s", heads[h]->of);
    jsonw_float(w, key, (float)trained(head_weight(heads[h], c), mean_loss(&s->all[h])));
    free(key);
}

static double action_loss(const gato_config_t *c, const measured_t *s) {
    bool regress = c->loss.action_kind == ACTION_MSE;
    double v = regress && s->action->n_values ? squared_error(s->action)
                                              : ratio(s->action->ce + s->discrete->ce,
                                                      (double)(s->action->n + s->discrete->n));
    return trained(c->loss.action, v);
}

static const char *const modality[METRICS_MODALITIES] = {"action", "image", "text", "vector"};

char *metrics_modality_key(const char *task, size_t i) {
    return task ? xasprintf("loss_%s/%s", task, modality[i])
                : xasprintf("loss_%s_held_out", modality[i]);
}

void metrics_modalities(const gato_model_t *m, const gato_metrics_t *f, uint32_t task, jsonw_t *w) {
    const gato_config_t *c = &m->config;
    measured_t s;
    gather(f, task, &s);
    const double loss[METRICS_MODALITIES] = {
        action_loss(c, &s), trained(c->loss.image, mean_loss(&s.all[measure_of("image")])),
        trained(c->loss.text, cross_entropy(s.text)),
        trained(c->loss.vector, mean_loss(&s.all[measure_of("vector")]))};
    for (size_t i = 0; i < METRICS_MODALITIES; i++) {
        if (!isfinite(loss[i])) continue;
        char *key = metrics_modality_key(task == METRICS_ALL ? NULL : m->tasks.v[task].name, i);
        jsonw_float(w, key, (float)loss[i]);
        free(key);
    }
}

void metrics_members(const gato_model_t *m, const gato_metrics_t *f, uint32_t task, jsonw_t *w) {
    const gato_config_t *c = &m->config;
    measured_t s;
    gather(f, task, &s);
    double text = trained(c->loss.text, cross_entropy(s.text));
    size_t correct = s.action->correct + s.discrete->correct,
           all = s.action->n_correct + s.discrete->n_correct, image = measure_of("image");
    jsonw_float(w, "loss", (float)metrics_loss(m, f, task));
    jsonw_float(w, "loss_action", (float)action_loss(c, &s));
    put_loss(c, &s, image, w);
    jsonw_float(w, "loss_text", (float)text);
    jsonw_float(w, "action_accuracy", (float)ratio((double)correct, (double)all));
    jsonw_float(w, "action_mae", (float)metrics_action_error(f, task));
    jsonw_float(w, "perplexity_text", (float)exp(text));
    for (size_t h = 0; h < HEADS; h++)
        if (apart(&s, h) && h != image) put_loss(c, &s, h, w);
}
