/* test_gato_model.c - the policy against PyTorch (tests/reference/gato), its gradients against
 * finite differences, its plan against unshared memory, its attention window against plain
 * causality. */
#include "tests/gato_case.h"
#include "tests/test.h"

#include "common/base/pool.h"
#include "gato/model/graph.h"
#include "gato/model/head_tokens.h"
#include "gato/model/whiten.h"

static const double TOLERANCE = 2e-5;

/* Executes a batch; the loss. */
static double step_loss(gato_graphs_t *g, const batch_t *b, uint64_t seed, uint64_t step,
                        uint64_t sample) {
    gato_metrics_t f;
    gato_metrics_init(&f, gato_graphs_model(g));
    gato_step(g, b, seed, step, sample, false, &f);
    double loss = f.loss;
    gato_metrics_release(&f);
    return loss;
}

/* The targets of a head, by name, and what it recorded. */
static size_t group_of(const gato_model_t *m, const char *head) {
    for (size_t i = 0; i < m->n_groups; i++)
        if (!strcmp(m->group[i].head->name, head)) return i;
    BUG("no group of '%s'", head);
}

/* The sums over all tasks of what heads measure. */
static head_sums_t sums_of(const gato_metrics_t *f, const char *of) {
    head_sums_t sum = {0};
    for (size_t t = 0; t < f->tasks; t++)
        for (size_t h = 0; h < HEADS; h++) {
            const head_sums_t *s = &f->sums[t * HEADS + h];
            if (strcmp(heads[h]->of, of)) continue;
            sum.ce += s->ce;
            sum.n += s->n;
            sum.squared += s->squared;
            sum.n_values += s->n_values;
        }
    return sum;
}

/* Gradients "prefix/<tensor>" that the file holds; returns how many were compared. */
static size_t check_gradients(const gato_case_t *c, gato_model_t *m, const char *prefix) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        char name[256], slash[64];
        snprintf(slash, sizeof slash, "%s/", prefix);
        const st_tensor_t *found = case_weight(c, slash, p->name);
        if (!found) continue;
        snprintf(name, sizeof name, "%s", found->name);
        float *g = xmalloc(p->count * sizeof *g);
        params_export(m->params, PARAMS_GRAD, (int)i, g);
        double d = case_worst(c, name, g, p->count);
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
        const st_tensor_t *found = case_weight(c, "grad_norm/", p->name);
        if (!found) continue;
        const char *name = found->name;
        const float *g = params_ptr(m->params, PARAMS_GRAD, (int)i);
        double s = 0;
        for (size_t j = 0; j < p->count; j++) s += (double)g[j] * (double)g[j];
        CHECK(fabs(sqrt(s) - case_scalar(c, name)) < TOLERANCE, "%s: %g against %g", name, sqrt(s),
              case_scalar(c, name));
        n++;
    }
    return n;
}

/* The whole case under one kind of action loss. */
static void check_case(const char *name, action_kind_t kind, const char *loss, const char *grad,
                       size_t least_gradients) {
    gato_case_t c;
    case_load(&c, name);
    c.config.loss.action_kind = kind;
    gato_model_t *m = case_model(&c);
    m->window[0] = 1000;
    batch_t b;
    case_batch(&c, m, &b);
    CHECK(case_same_ids(&c, "tokens", &b.id), "%s: tokens", name);
    CHECK(case_same_ids(&c, "target_mask", &b.mask), "%s: mask", name);
    CHECK(case_same_ids(&c, "steps", &b.step), "%s: steps", name);
    gato_graphs_t *g =
        gato_graphs_new(m, (graph_opts_t){.train = true, .all_logits = true, .exact = true});
    gato_metrics_t f;
    gato_metrics_init(&f, m);
    gato_step(g, &b, 0, 0, 0, false, &f);
    gato_graph_t *at = gato_graphs_last(g);
    size_t T = b.at.n, D = 12;
    CHECK(case_worst(&c, "embeddings", plan_data(at->plan, at->embeddings), T * D) < TOLERANCE,
          "%s", name);
    CHECK(case_worst(&c, "hidden", plan_data(at->plan, at->hidden), T * D) < TOLERANCE, "%s", name);
    CHECK(fabs(f.loss - case_scalar(&c, loss)) < TOLERANCE, "%s: %s: %.7g against %.7g", name, loss,
          f.loss, case_scalar(&c, loss));
    gato_metrics_release(&f);
    for (int some = 0; some < 2; some++) { /* again, and with only what losses read */
        gato_graphs_free(g);
        g = gato_graphs_new(m, (graph_opts_t){.train = true, .all_logits = !some, .exact = true});
        double l = step_loss(g, &b, 0, 0, 0);
        CHECK(fabs(l - case_scalar(&c, loss)) < TOLERANCE, "%s: %s: %.7g", name, loss, l);
        CHECK(some || gato_graphs_last(g)->read == NO_VAR);
        size_t n = check_gradients(&c, m, grad);
        CHECK(n >= least_gradients, "%s: %zu gradients", name, n);
        if (!strcmp(grad, "grad")) check_gradient_norms(&c, m);
    }
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
    case_close(&c);
}

TEST(codes_match_the_reference) {
    check_case("codes", ACTION_CE, "loss", "grad", 11);
}
TEST(mixed_loss_matches_the_reference) {
    check_case("codes", ACTION_MIX, "loss_mix", "grad_mix", 3);
}
TEST(regression_matches_the_reference) {
    check_case("codes", ACTION_MSE, "loss_mse", "grad_mse", 4);
}
TEST(linear_vector_matches_the_reference) {
    check_case("vector_linear", ACTION_CE, "loss", "grad", 13);
}
TEST(linear_vector_regression_matches_the_reference) {
    check_case("vector_linear", ACTION_MSE, "loss_mse", "grad_mse", 5);
}
TEST(unmerged_codes_match_the_reference) {
    check_case("codes_merge1", ACTION_CE, "loss", "grad", 11);
}
TEST(patches_match_the_reference) {
    check_case("patches", ACTION_CE, "loss", "grad", 13);
}
TEST(text_matches_the_reference) {
    check_case("text", ACTION_CE, "loss", "grad", 9);
}

/* ---- whole rows, the attention window, expectations ---- */

TEST(window_of_two_steps_matches_the_reference) {
    gato_case_t c;
    case_load(&c, "codes");
    gato_model_t *m = case_model(&c);
    m->window[0] = 2;
    batch_t b;
    case_batch(&c, m, &b);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    step_loss(g, &b, 0, 0, 0);
    const gato_graph_t *at = gato_graphs_last(g);
    CHECK(case_worst(&c, "hidden_window2", plan_data(at->plan, at->hidden), b.at.n * 12) <
          TOLERANCE);
    CHECK(case_worst(&c, "hidden", plan_data(at->plan, at->hidden), b.at.n * 12) > 1e-3,
          "the attention window changes nothing");
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
    case_close(&c);
}

TEST(logits_and_expectations_match_the_reference) {
    gato_case_t c;
    case_load(&c, "codes");
    gato_model_t *m = case_model(&c);
    m->window[0] = 1000;
    batch_t b;
    case_batch(&c, m, &b);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    gato_metrics_t f;
    gato_metrics_init(&f, m);
    gato_step(g, &b, 0, 0, 0, false, &f);
    const gato_graph_t *at = gato_graphs_last(g);
    size_t group = group_of(m, "action_ce");
    CHECK(case_worst(&c, "expectation",
                     plan_data(at->plan, at->head[group].value[TOKEN_EXPECTATION]),
                     b.target[group].rows.n) < TOLERANCE);
    head_sums_t sum = sums_of(&f, "action");
    CHECK_NEAR(sum.squared / (double)sum.n_values, case_scalar(&c, "loss_expectation_mse"),
               TOLERANCE);
    CHECK_NEAR(sum.ce / (double)sum.n, case_scalar(&c, "loss"), TOLERANCE);
    gato_metrics_release(&f);
    uint32_t *row = case_ids(&c, "logit_rows");
    size_t V = tokens_total(&m->tokens), rows = case_dim(&c, "logit_rows", 0);
    float *picked = xmalloc(rows * V * sizeof *picked), *all = plan_data(at->plan, at->logits);
    for (size_t i = 0; i < rows; i++) memcpy(picked + i * V, all + row[i] * V, V * sizeof *all);
    CHECK(rows > 0 && case_worst(&c, "logits", picked, rows * V) < TOLERANCE);
    free(picked);
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
    case_close(&c);
}

/* ---- a small network of every part, random weights ---- */

static const char *const small_set[] = {
    "model.width=8",   "model.layers=2",         "model.heads=2",  "model.context=48",
    "model.bins=6",    "model.merge=2",          "loss.image=0.5", "loss.text=0.7",
    "loss.action=1.3", "model.activation=geglu", "optim.clip=0"};
static float small_book[24];

/* Bounds of an acted vector that the model has scaled. */
static slot_t *add_acted(task_t *t, uint32_t width) {
    return task_add(t, SLOT_VECTOR, SIDE_ACTED, "action", width);
}

/* A body with an image, a vector and both kinds of actions, a text, an image with a caption. */
enum { BODY, TEXT, CAPTION };
static tasks_t small_tasks(void) {
    tasks_t list = {0};
    task_t body = task_new("body", RECORD_EPISODE), text = task_new("text", RECORD_TEXT),
           caption = task_new("caption", RECORD_IMAGE);
    task_add(&body, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&body, SLOT_VECTOR, SIDE_OBSERVED, "vector", 2);
    add_acted(&body, 2);
    slot_t *choice = task_add(&body, SLOT_DISCRETE, SIDE_ACTED, "choice", 1);
    choice->range = xcalloc(1, sizeof *choice->range);
    choice->range[0] = 3;
    task_add(&text, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    task_add(&caption, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&caption, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    tasks_add(&list, body);
    tasks_add(&list, text);
    tasks_add(&list, caption);
    return list;
}

/* Zeros and ones at the start would hide mistakes; small weights too. */
static void stir(gato_model_t *m) {
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        float *v = params_ptr(m->params, PARAMS_VALUE, (int)i);
        rng_t r = rng_make(11, p->name);
        if (!strstr(p->name, "codebook"))
            for (size_t k = 0; k < p->count; k++)
                v[k] = (v[k] > 0.99f ? 1 : 0) + 0.4f * rng_normal(r, k);
    }
}

static gato_model_t *small_model(const char *const *more, size_t n) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < sizeof small_set / sizeof *small_set; i++)
        config_set(gato_config_table, &c, small_set[i]);
    for (size_t i = 0; i < n; i++) config_set(gato_config_table, &c, more[i]);
    for (size_t i = 0; i < 24; i++) small_book[i] = sinf((float)i * 1.7f);
    vocabulary_t v = {
        .text = 20, .codes = 12, .code_dim = 2, .codebook = small_book, .mu = 100, .M = 256};
    tasks_t tasks = small_tasks();
    gato_model_t *m = gato_model_new(&c, &v, &tasks, 5);
    for (size_t i = 0; i < tasks.n; i++) m->window[i] = 4;
    tasks_release(&tasks);
    stir(m);
    return m;
}

/* Timestep t of an episode, from the arrays below. */
static timestep_t small_step(const gato_model_t *m, size_t t, size_t in_sequence) {
    static uint32_t codes[24];
    static float vector[] = {0.1f, -3, 0.7f, 20, -0.2f, 0.01f},
                 actions[] = {-0.9f, 0.2f, 0.55f, 0.95f, -0.3f, 0},
                 labels[] = {-0.4f, 0.2f, 0.5f, 0.9f, -0.35f, 0.1f};
    static uint32_t choice[] = {2, 0, 1};
    static uint8_t rgb[8 * 8 * 3];
    for (uint32_t i = 0; i < 24; i++) codes[i] = i * 7 % 12;
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 37);
    timestep_t s = {.task = BODY, .linked = in_sequence > 0};
    if (m->config.model.image_in == IMAGE_IN_PATCHES)
        s.slot[0] = (slot_value_t){.rgb = rgb, .image_h = 8, .image_w = 8};
    else
        s.slot[0] = (slot_value_t){.codes = codes + 8 * t, .grid_h = 2, .grid_w = 4};
    s.slot[1].vector = vector + 2 * t;
    s.slot[2] = (slot_value_t){.vector = actions + 2 * t, .label_vector = labels + 2 * t};
    s.slot[3].discrete = choice + t;
    return s;
}

static void add_step(batch_t *b, const timestep_t *s, size_t step) {
    reason_t why;
    CHECK(!batch_observation(b, s, (int32_t)step, 0, &why), "%s", why.text);
    if (s->task == BODY) batch_actions(b, true);
}

/* Sequences of different lengths: control of 3 and 1 steps, text, a caption. */
static void small_sequence(const gato_model_t *m, batch_t *b, size_t i) {
    static const uint32_t text[] = {3, 14, 19, 7};
    static const uint32_t task[] = {BODY, TEXT, BODY, CAPTION};
    batch_begin(b, task[i]);
    if (task[i] == BODY) {
        size_t n = i ? 1 : 3;
        for (size_t t = 0; t < n; t++) {
            timestep_t s = small_step(m, i ? 1 : t, t);
            add_step(b, &s, t);
        }
    } else {
        timestep_t s = {.task = task[i]}, picture = small_step(m, 2, 0);
        if (task[i] == CAPTION) s.slot[0] = picture.slot[0];
        s.slot[task[i] == CAPTION] = task[i] == TEXT
                                         ? (slot_value_t){.text = text, .text_len = 4}
                                         : (slot_value_t){.text = text + 1, .text_len = 3};
        add_step(b, &s, 0);
    }
    batch_end(b);
}

static void small_batch(const gato_model_t *m, batch_t *b, size_t from, size_t to) {
    batch_clear(b, false, 0, 0);
    for (size_t i = from; i < to; i++) small_sequence(m, b, i);
}

static double loss_of(gato_graphs_t *g, const batch_t *b) {
    return step_loss(g, b, 0, 0, 0);
}

/* Every parameter's gradient along random directions, against central differences of the loss. */
static void check_differences(const char *const *set, size_t n) {
    gato_model_t *m = small_model(set, n);
    batch_t b;
    batch_init(&b, m);
    small_batch(m, &b, 0, 4);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.train = true});
    loss_of(g, &b);
    params_t *p = m->params;
    float *grad = xmalloc(params_block(p) * sizeof *grad);
    memcpy(grad, params_base(p, PARAMS_GRAD), params_block(p) * sizeof *grad);
    size_t moving = 0;
    for (size_t i = 0; i < params_n(p); i++) {
        const param_t *q = params_at(p, (int)i);
        if (!params_match(q->name, m->wrt, m->n_wrt)) continue;
        for (int round = 0; round < 2; round++) {
            rng_t r = rng_fold(rng_make(3, q->name), (uint64_t)round);
            float *v = params_ptr(p, PARAMS_VALUE, (int)i), *old = xmalloc(q->count * sizeof *old);
            memcpy(old, v, q->count * sizeof *old);
            double slope = 0, length = 0, loss[4];
            for (size_t k = 0; k < q->count; k++) {
                double d = (double)rng_normal(r, k);
                slope += d * (double)grad[q->offset + k];
                length += d * d;
            }
            static const double at[] = {-2, -1, 1, 2};
            double h = 4e-3 / sqrt(length) * sqrt((double)q->count > 64 ? 8 : 1);
            for (int s = 0; s < 4; s++) {
                for (size_t k = 0; k < q->count; k++)
                    v[k] = (float)((double)old[k] + at[s] * h * (double)rng_normal(r, k));
                loss[s] = loss_of(g, &b);
            }
            memcpy(v, old, q->count * sizeof *old);
            double numeric = (loss[0] - 8 * loss[1] + 8 * loss[2] - loss[3]) / (12 * h);
            CHECK(fabs(numeric - slope) < 2e-3 * fabs(slope) + 2e-3 * sqrt(length),
                  "%s: %g, by differences %g", q->name, slope, numeric);
            moving += fabs(slope) > 5e-3 * sqrt(length);
            free(old);
        }
    }
    CHECK(moving > 28, "only %zu slopes were large enough to tell", moving);
    free(grad);
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
}

TEST(gradients_of_mixed_data) {
    check_differences(NULL, 0);
}
TEST(gradients_of_mix_and_sequences) {
    check_differences((const char *const[]){"loss.action_kind=mix", "loss.per_sequence=true",
                                            "model.vector_in=linear"},
                      3);
}
TEST(gradients_of_regression) {
    check_differences((const char *const[]){"loss.action_kind=mse", "model.activation=gelu_new",
                                            "loss.horizon=2"},
                      3);
}
TEST(gradients_of_table_and_codes) {
    check_differences(
        (const char *const[]){"model.merge=1", "model.image_in=both", "model.text_first=true"}, 3);
}
TEST(gradients_of_horizons_and_bins) {
    check_differences((const char *const[]){"loss.horizon=[1,2]", "loss.vector=0.6",
                                            "loss.image_changed=3", "model.vector_first=true"},
                      4);
}
TEST(gradients_of_next_vectors) {
    check_differences(
        (const char *const[]){"loss.vector=0.6", "model.vector_in=linear", "loss.action_kind=mse"},
        3);
}
TEST(gradients_of_two_patch_blocks) {
    check_differences((const char *const[]){"model.merge=1", "model.image_in=patches",
                                            "loss.image=0", "model.patch=4", "model.patch_mid=6",
                                            "model.patch_groups=3", "model.patch_blocks=2"},
                      7);
}
TEST(gradients_of_patches) {
    check_differences((const char *const[]){"model.merge=1", "model.image_in=patches",
                                            "loss.image=0", "model.patch=4", "model.patch_mid=6",
                                            "model.patch_groups=3"},
                      6);
}

/* Padding, other sequences and buckets change nothing that counts. */
TEST(a_batch_is_the_mean_of_its_sequences) {
    gato_model_t *m = small_model((const char *const[]){"loss.per_sequence=true", "loss.image=0",
                                                        "loss.action=1", "loss.text=1"},
                                  4);
    batch_t b;
    batch_init(&b, m);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.train = true});
    gato_graphs_t *exact = gato_graphs_new(m, (graph_opts_t){.exact = true});
    small_batch(m, &b, 0, 4);
    double together = loss_of(g, &b), apart = 0;
    for (size_t i = 0; i < 4; i++) {
        small_batch(m, &b, i, i + 1);
        apart += loss_of(exact, &b) / 4;
    }
    CHECK_NEAR(together, apart, 1e-5);
    gato_graphs_free(g);
    gato_graphs_free(exact);
    batch_release(&b);
    gato_model_free(m);
}

/* The definition at the top of graph.h, from rows of the trace's logits, in double. */
TEST(the_loss_is_what_is_written) {
    gato_model_t *m = small_model((const char *const[]){"loss.image=0"}, 1);
    batch_t b;
    batch_init(&b, m);
    small_batch(m, &b, 0, 4);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.train = true});
    gato_graphs_t *e = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    double ours = loss_of(g, &b);
    gato_metrics_t f;
    gato_metrics_init(&f, m);
    gato_step(e, &b, 0, 0, 0, false, &f);
    const gato_graph_t *at = gato_graphs_last(e);
    const float *logits = plan_data(at->plan, at->logits);
    size_t V = tokens_total(&m->tokens), n = 0;
    double sum = 0;
    const rows_t *acted = &b.target[group_of(m, "action_ce")].rows;
    for (size_t s = 0; s + 1 < b.start.n; s++)
        for (int32_t first = column_at(&b.start, s), p = first; p + 1 < column_at(&b.start, s + 1);
             p++) {
            if (!column_at(&b.mask, (size_t)p + 1)) continue;
            int32_t id = column_at(&b.id, (size_t)p + 1);
            for (size_t i = 0; i < acted->n; i++)
                if (column_at(&acted->input[INPUT_POSITION], i) == p)
                    id = column_at(&acted->input[TOKEN_TARGET], i);
            const float *x = logits + (s * at->T + (size_t)(p - first)) * V;
            double z = 0;
            for (size_t k = 0; k < V; k++) z += exp((double)x[k]);
            sum += (id < 20 ? 0.7 : 1.3) * (log(z) - (double)x[id]);
            n++;
        }
    CHECK(n == b.targets &&
              n == sums_of(&f, "text").n + sums_of(&f, "action").n + sums_of(&f, "discrete").n,
          "%zu", n);
    CHECK_NEAR(ours, sum / (double)n, 2e-5);
    CHECK_NEAR(ours, f.loss, 1e-6);
    gato_metrics_release(&f);
    gato_graphs_free(g);
    gato_graphs_free(e);
    batch_release(&b);
    gato_model_free(m);
}

/* Gradients over shared memory and over buffers apart, poisoned with NaN: the same bits, and again
 * under other numbers of threads. */
TEST(shared_memory_equals_unshared) {
    static const char *const kinds[] = {"loss.action_kind=ce", "loss.action_kind=mix",
                                        "loss.action_kind=mse"};
    for (size_t k = 0; k < 3; k++) {
        gato_model_t *m = small_model((const char *const[]){kinds[k], "model.dropout=0.1"}, 2);
        size_t bytes = params_block(m->params) * sizeof(float);
        float *first = xmalloc(bytes);
        batch_t b;
        batch_init(&b, m);
        small_batch(m, &b, 0, 4);
        double loss = 0;
        for (int run = 0; run < 3; run++) {
            gato_graphs_t *g =
                gato_graphs_new(m, (graph_opts_t){.train = true, .unshared = run == 1});
            pool_set_threads(run == 2 ? 1 : 2);
            double l = step_loss(g, &b, 1, 2, 3);
            if (run)
                CHECK(!memcmp(first, params_base(m->params, PARAMS_GRAD), bytes) && l == loss,
                      "run %d, %s", run, kinds[k]);
            memcpy(first, params_base(m->params, PARAMS_GRAD), bytes);
            loss = l;
            gato_graphs_free(g);
        }
        batch_release(&b);
        gato_model_free(m);
        free(first);
    }
}

TEST(the_codebook_stays) {
    gato_model_t *m = small_model(NULL, 0);
    int i = params_find(m->params, "image_codes.codebook");
    CHECK(i >= 0 && !params_match("image_codes.codebook", m->wrt, m->n_wrt) &&
          params_match("image_codes.proj.weight", m->wrt, m->n_wrt));
    CHECK(!memcmp(params_ptr(m->params, PARAMS_VALUE, i), small_book, sizeof small_book));
    gato_model_free(m);
}

/* A model with code_norm = white is the plain model of the whitened codebook, value for value. */
TEST(whitened_codes_enter_in_place_of_the_codebook) {
    static const char *const white[] = {"model.code_norm=white"};
    gato_model_t *a = small_model(white, 1), *b = small_model(NULL, 0);
    int plain = params_find(a->params, "image_codes.codebook"),
        at = params_find(a->params, "image_codes.white");
    REQUIRE(plain >= 0 && at >= 0 && params_find(b->params, "image_codes.white") < 0);
    CHECK(!memcmp(params_ptr(a->params, PARAMS_VALUE, plain), small_book, sizeof small_book));
    CHECK(!params_match("image_codes.white", a->wrt, a->n_wrt));
    float book[24];
    whiten_codebook(small_book, 12, 2, book);
    params_import(a->params, PARAMS_VALUE, at, book); /* small_model stirs what it does not know */
    params_import(b->params, PARAMS_VALUE, params_find(b->params, "image_codes.codebook"), book);
    double loss[2];
    gato_model_t *m[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        batch_t batch;
        batch_init(&batch, m[i]);
        batch_clear(&batch, true, 1, 0);
        small_batch(m[i], &batch, 0, 4);
        gato_graphs_t *g = gato_graphs_new(m[i], (graph_opts_t){.train = true});
        loss[i] = step_loss(g, &batch, 1, 0, 0);
        gato_graphs_free(g);
        batch_release(&batch);
    }
    CHECK(loss[0] == loss[1] && loss[0] > 0, "%.9g and %.9g", loss[0], loss[1]);
    gato_model_free(a);
    gato_model_free(b);
}
