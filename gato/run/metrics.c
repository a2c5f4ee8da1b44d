/* metrics.c - see metrics.h. */
#include "gato/run/metrics.h"

#include <math.h>

enum { SEQUENCES = 16 };

gato_metrics_t metrics_over(gato_graphs_t *g, const dataset_t *d, size_t source, side_t side,
                            size_t limit) {
    gato_metrics_t sum = {0};
    batch_t b;
    batch_init(&b, &g->model->config, &g->model->facts);
    size_t all = dataset_sequences(d, source, side), n = limit && limit < all ? limit : all;
    for (size_t i = 0; i < n; i += SEQUENCES) {
        batch_clear(&b, false, 0, 0);
        for (size_t k = i; k < n && k < i + SEQUENCES; k++) {
            sequence_t w;
            dataset_sequence(d, source, side, k * all / n, &w);
            batch_add_sequence(&b, &w);
            sequence_release(&w);
        }
        gato_metrics_t f = gato_step(g, &b, 0, 0, 0, false);
        gato_metrics_add(&sum, &f);
    }
    batch_release(&b);
    return sum;
}

static double ratio(double a, double n) {
    return n > 0 ? a / n : NAN;
}
static double add_weighted(double sum, double weight, double value) {
    return isnan(value) ? sum : sum + weight * value;
}

double metrics_loss(const gato_model_t *m, const gato_metrics_t *f) {
    const gato_config_t *c = &m->config;
    bool regress = c->loss.action_kind == ACTION_MSE, mix = c->loss.action_kind == ACTION_MIX;
    double n = (double)((regress ? 0 : f->n_continuous) + f->n_discrete + f->n_text);
    double ce = regress ? 0 : f->ce_continuous * (mix ? c->loss.ce_weight : 1);
    double sum =
        n > 0 ? (c->loss.action * (ce + f->ce_discrete) + c->loss.text * f->ce_text) / n : 0;
    if (regress || mix)
        sum = add_weighted(sum, c->loss.action, ratio(f->squared, (double)f->n_values));
    if (!f->n_values && !f->n_image && n <= 0) return NAN; /* nothing was measured */
    return add_weighted(sum, c->loss.image, ratio(f->ce_image, (double)f->n_image));
}

void metrics_members(const gato_model_t *m, const gato_metrics_t *f, jsonw_t *w) {
    bool regress = m->config.loss.action_kind == ACTION_MSE;
    double actions = regress && f->n_values ? ratio(f->squared, (double)f->n_values)
                                            : ratio(f->ce_continuous + f->ce_discrete,
                                                    (double)(f->n_continuous + f->n_discrete));
    double text = ratio(f->ce_text, (double)f->n_text);
    jsonw_float(w, "loss", (float)metrics_loss(m, f));
    jsonw_float(w, "loss_action", (float)actions);
    jsonw_float(w, "loss_image", (float)ratio(f->ce_image, (double)f->n_image));
    jsonw_float(w, "loss_text", (float)text);
    jsonw_float(w, "action_accuracy", (float)ratio((double)f->correct, (double)f->n_correct));
    jsonw_float(w, "action_mae", (float)ratio(f->absolute, (double)f->n_values));
    jsonw_float(w, "perplexity_text", (float)exp(text));
}
