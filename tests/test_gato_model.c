/* test_gato_model.c - the policy against PyTorch (tests/reference/gato), its gradients against finite differences, its plan against unshared
 * memory, its band against plain causality. */
#include "tests/gato_case.h"
#include "tests/test.h"

#include "gato/graph.h"

static const double TOLERANCE = 2e-5;

static double worst(const gato_case_t *c, const char *name, const float *ours, size_t n) {
    const st_tensor_t *t = st_find(&c->file, name);
    if (!t || t->count != n) return INFINITY;
    float *v = xmalloc(n * sizeof *v);
    double d = st_read_f32(t, v, NULL) ? INFINITY : 0;
    for (size_t i = 0; i < n; i++) d = fmax(d, fabs((double)ours[i] - (double)v[i]));
    free(v);
    return d;
}

static double scalar(const gato_case_t *c, const char *name) {
    float v = NAN;
    const st_tensor_t *t = st_find(&c->file, name);
    if (t) st_read_f32(t, &v, NULL);
    return (double)v;
}

static bool same_ids(const gato_case_t *c, const char *name, const ints_t *ours) {
    const st_tensor_t *t = st_find(&c->file, name);
    if (!t || t->count != ours->n) return false;
    for (size_t i = 0; i < ours->n; i++) {
        int64_t v = t->data[i];
        if (t->type == ST_I64) memcpy(&v, t->data + 8 * i, 8);
        if (v != ours->v[i]) return false;
    }
    return true;
}

/* Gradients "prefix/<tensor>" that the file holds; returns how many were compared. */
static size_t check_gradients(const gato_case_t *c, gato_model_t *m, const char *prefix) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        char name[256];
        snprintf(name, sizeof name, "%s/%s", prefix, p->name);
        if (!st_find(&c->file, name)) continue;
        float *g = xmalloc(p->count * sizeof *g);
        params_export(m->params, PARAMS_GRAD, (int)i, g);
        double d = worst(c, name, g, p->count);
        CHECK(d < TOLERANCE, "%s: %g", name, d);
        free(g);
        n++;
    }
    return n;
}

static size_t check_gradient_norms(const gato_case_t *c, gato_model_t *m) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        char name[256];
        snprintf(name, sizeof name, "grad_norm/%s", p->name);
        if (!st_find(&c->file, name)) continue;
        const float *g = params_ptr(m->params, PARAMS_GRAD, (int)i);
        double s = 0;
        for (size_t j = 0; j < p->count; j++) s += (double)g[j] * (double)g[j];
        CHECK(fabs(sqrt(s) - scalar(c, name)) < TOLERANCE, "%s: %g against %g", name, sqrt(s), scalar(c, name));
        n++;
    }
    return n;
}

/* The whole case under one kind of action loss. */
static void check_case(const char *name, action_kind_t kind, const char *loss, const char *grad, size_t least_gradients) {
    gato_case_t c;
    case_load(&c, name);
    c.config.loss.action_kind = kind;
    gato_model_t *m = case_model(&c);
    batch_t b;
    case_batch(&c, m, &b);
    CHECK(same_ids(&c, "tokens", &b.id), "%s: tokens", name);
    CHECK(same_ids(&c, "target_mask", &b.mask), "%s: mask", name);
    CHECK(same_ids(&c, "steps", &b.step), "%s: steps", name);
    m->band = 1000;
    gato_graphs_t g;
    gato_graphs_init(&g, m, (graph_opts_t){.train = true, .all_logits = true, .exact = true});
    gato_figures_t f = gato_run(&g, &b, 0, 0, 0, false);
    gato_graph_t *at = g.graph[0];
    size_t T = b.at.n, D = 12;
    CHECK(worst(&c, "embeddings", plan_data(at->plan, at->embeddings), T * D) < TOLERANCE, "%s", name);
    CHECK(worst(&c, "hidden", plan_data(at->plan, at->hidden), T * D) < TOLERANCE, "%s", name);
    CHECK(fabs(f.loss - scalar(&c, loss)) < TOLERANCE, "%s: %s: %.7g against %.7g", name, loss, f.loss, scalar(&c, loss));
    size_t n = check_gradients(&c, m, grad);
    CHECK(n >= least_gradients, "%s: %zu gradients", name, n);
    if (!strcmp(grad, "grad")) check_gradient_norms(&c, m);
    gato_graphs_release(&g);
    batch_release(&b);
    gato_model_free(m);
    case_close(&c);
}

TEST(codes_match_the_reference) { check_case("codes", ACTION_CE, "loss", "grad", 11); }
TEST(mixed_loss_matches_the_reference) { check_case("codes", ACTION_MIX, "loss_mix", "grad_mix", 3); }
TEST(regression_matches_the_reference) { check_case("codes", ACTION_MSE, "loss_mse", "grad_mse", 4); }
TEST(linear_vector_matches_the_reference) { check_case("vector_linear", ACTION_CE, "loss", "grad", 13); }
TEST(linear_vector_regression_matches_the_reference) { check_case("vector_linear", ACTION_MSE, "loss_mse", "grad_mse", 5); }
TEST(unmerged_codes_match_the_reference) { check_case("codes_merge1", ACTION_CE, "loss", "grad", 11); }
TEST(patches_match_the_reference) { check_case("patches", ACTION_CE, "loss", "grad", 13); }
TEST(text_matches_the_reference) { check_case("text", ACTION_CE, "loss", "grad", 9); }
