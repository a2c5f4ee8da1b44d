/* test_gato_slots.c - timesteps of many slots against PyTorch (tests/reference/gato/slots_*): every
 * way in and out of the policy, cameras and vectors that drop out; tasks in one batch against each
 * alone. */
#include "tests/gato_case.h"
#include "tests/test.h"

#include "gato/model/graph.h"
#include "gato/model/head_tokens.h"
#include "gato/run/metrics.h"

extern const head_t head_action_mse, head_image, head_text;

static const double TOLERANCE = 3e-5;

/* ---- reading a case ---- */

/* "observed image front;acted vector torque" */
static void read_slots(gato_case_t *c) {
    char *list = xstrdup(st_meta(&c->file, "slots"));
    bool text = strstr(list, "observed text") && !strstr(list, "acted");
    tasks_add(&c->tasks, task_new("body", text ? RECORD_TEXT : RECORD_EPISODE));
    for (char *at = strtok(list, ";"); at; at = strtok(NULL, ";")) {
        char side[16], kind[16], name[64], tensor[80];
        if (sscanf(at, "%15s %15s %63s", side, kind, name) != 3) BUG("slot '%s'", at);
        slot_kind_t k = SLOT_IMAGE;
        while (strcmp(slot_kind_names[k], kind)) k++;
        snprintf(tensor, sizeof tensor, "in.%s", name);
        int n = case_slot(c, tensor, k, strcmp(side, "acted") ? SIDE_OBSERVED : SIDE_ACTED, name);
        slot_t *slot = &c->tasks.v[0].slot[n];
        snprintf(tensor, sizeof tensor, "mean.%s", name);
        if (!st_find(&c->file, tensor)) continue;
        slot->mean = floats_of(slot->width, 0);
        slot->deviation = floats_of(slot->width, 0);
        memcpy(slot->mean, case_floats(c, tensor), slot->width * sizeof *slot->mean);
        snprintf(tensor, sizeof tensor, "deviation.%s", name);
        memcpy(slot->deviation, case_floats(c, tensor), slot->width * sizeof *slot->deviation);
    }
    free(list);
}

static slot_value_t read_value(gato_case_t *c, const slot_t *slot, size_t t) {
    char in[80], label[80];
    snprintf(in, sizeof in, "in.%s", slot->name);
    snprintf(label, sizeof label, "label.%s", slot->name);
    const st_tensor_t *data = st_find(&c->file, in);
    size_t a = (size_t)data->dim[1], b = (size_t)data->dim[2];
    slot_value_t v = {0};
    switch (slot->kind) {
    case SLOT_IMAGE:
        if (data->type == ST_U8)
            v = (slot_value_t){.rgb = data->data + t * a * b * 3, .image_h = a, .image_w = b};
        else
            v = (slot_value_t){.codes = case_ids(c, in) + t * a * b, .grid_h = a, .grid_w = b};
        break;
    case SLOT_TEXT:
        v = (slot_value_t){.text = case_ids(c, in), .text_len = (size_t)data->dim[0]};
        break;
    case SLOT_VECTOR:
        v.vector = case_floats(c, in) + t * a;
        if (st_find(&c->file, label)) v.label_vector = case_floats(c, label) + t * a;
        break;
    default:
        v.discrete = case_ids(c, in) + t * a;
        if (st_find(&c->file, label)) v.label_discrete = case_ids(c, label) + t * a;
    }
    return v;
}

static void slots_load(gato_case_t *c, const char *name) {
    char file[80], key[80];
    *c = (gato_case_t){0};
    snprintf(file, sizeof file, "slots_%s", name);
    case_open(&c->weights, "weights");
    case_open(&c->file, file);
    case_config(c);
    char *set = xstrdup(st_meta(&c->file, "set"));
    for (char *at = strtok(set, " "); at; at = strtok(NULL, " "))
        config_set(gato_config_table, &c->config, at);
    free(set);
    c->vocabulary = case_vocabulary();
    read_slots(c);
    c->n_steps = (size_t)atoi(st_meta(&c->file, "steps"));
    for (size_t t = 0; t < c->n_steps; t++) {
        c->step[t].linked = st_meta(&c->file, "linked")[t] == '1';
        for (uint32_t k = 0; k < c->tasks.v[0].n_slots; k++) {
            const slot_t *slot = &c->tasks.v[0].slot[k];
            snprintf(key, sizeof key, "present.%s", slot->name);
            const st_tensor_t *present = st_find(&c->file, key);
            if (!present || present->data[t]) c->step[t].slot[k] = read_value(c, slot, t);
        }
    }
}

/* ---- comparing ---- */

static size_t check_gradients(const gato_case_t *c, gato_model_t *m, const char *name) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        const st_tensor_t *found = case_weight(c, "grad/", p->name);
        if (!found) continue;
        float *g = xmalloc(p->count * sizeof *g);
        params_export(m->params, PARAMS_GRAD, (int)i, g);
        double d = case_worst(c, found->name, g, p->count);
        CHECK(d < TOLERANCE, "%s: %s: %g", name, found->name, d);
        free(g);
        n++;
    }
    return n;
}

static void check_case(const char *name, size_t gradients) {
    gato_case_t c;
    slots_load(&c, name);
    gato_model_t *m = case_model(&c);
    m->window[0] = 1000;
    batch_t b;
    case_batch(&c, m, &b);
    CHECK(case_same_ids(&c, "tokens", &b.id), "%s: tokens", name);
    CHECK(case_same_ids(&c, "target_mask", &b.mask), "%s: mask", name);
    gato_graphs_t *g =
        gato_graphs_new(m, (graph_opts_t){.train = true, .all_logits = true, .exact = true});
    gato_metrics_t f;
    gato_metrics_init(&f, m);
    gato_step(g, &b, 0, 0, 0, false, &f);
    double loss = f.loss, want = case_scalar(&c, "loss"), eval = metrics_loss(m, &f, METRICS_ALL);
    CHECK(fabs(eval - want) < TOLERANCE, "%s: from sums %.7g against %.7g", name, eval, want);
    gato_metrics_release(&f);
    const gato_graph_t *at = gato_graphs_last(g);
    size_t n = b.at.n * 12;
    double d = case_worst(&c, "embeddings", plan_data(at->plan, at->embeddings), n);
    CHECK(d < TOLERANCE, "%s: embeddings: %g", name, d);
    d = case_worst(&c, "hidden", plan_data(at->plan, at->hidden), n);
    CHECK(d < TOLERANCE, "%s: hidden: %g", name, d);
    CHECK(fabs(loss - want) < TOLERANCE, "%s: loss %.7g against %.7g", name, loss, want);
    size_t compared = check_gradients(&c, m, name);
    CHECK(compared >= gradients, "%s: %zu gradients", name, compared);
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
    case_close(&c);
}

TEST(the_next_image_matches_the_reference) {
    check_case("future_1", 7);
    check_case("future_merged", 14);
}
TEST(far_images_match_the_reference) {
    check_case("future_5", 7);
}
TEST(several_horizons_match_the_reference) {
    check_case("future_1_5", 8);
    check_case("future_merged_1_5", 21);
}
/* Horizon 1 with 3 + 1 targets of mean 2, horizon 5 with one of 4: (2 + 4) / 2, not 12 / 5. */
TEST(horizons_weigh_alike_in_metrics) {
    gato_case_t c;
    slots_load(&c, "future_1_5");
    c.config.loss.image = 0.5;
    gato_model_t *m = case_model(&c);
    gato_metrics_t f, more;
    gato_metrics_init(&f, m);
    gato_metrics_init(&more, m);
    CHECK(isnan(metrics_loss(m, &f, 0)));
    size_t image = head_number(&head_image), first = 0;
    while (m->group[first].head != &head_image) first++;
    f.sums[image] = f.part[first] = (head_sums_t){.ce = 5, .n = 3};
    CHECK_NEAR(metrics_loss(m, &f, 0), 0.5 * 5 / 3, 1e-12); /* the other has no target */
    more.part[first] = (head_sums_t){.ce = 3, .n = 1};
    more.part[first + 1] = (head_sums_t){.ce = 4, .n = 1};
    more.sums[image] = (head_sums_t){.ce = 7, .n = 2};
    gato_metrics_add(&f, &more);
    CHECK_NEAR(metrics_loss(m, &f, 0), 0.5 * 3, 1e-12);
    CHECK_NEAR(metrics_loss(m, &f, METRICS_ALL), 0.5 * 3, 1e-12);
    gato_metrics_release(&f);
    gato_metrics_release(&more);
    gato_model_free(m);
    case_close(&c);
}
TEST(images_that_know_the_last_match_the_reference) {
    check_case("last_1", 14);
    check_case("last_merged", 21);
}
TEST(code_tables_match_the_reference) {
    check_case("table", 4);
}
TEST(codes_and_tables_match_the_reference) {
    check_case("both", 6);
}
TEST(linear_patches_match_the_reference) {
    check_case("patches_0", 5);
}
TEST(two_patch_blocks_match_the_reference) {
    check_case("patches_2", 8);
}
TEST(next_bins_match_the_reference) {
    check_case("vectors_bins", 4);
}
TEST(next_vectors_match_the_reference) {
    check_case("vectors_linear", 14);
}
/* Two cameras of which one drops out, a mission, several discrete slots: as the reference has it,
 * whose sequence lacks the tokens of what is missing. */
TEST(cameras_match_the_reference) {
    check_case("cameras", 22);
}

/* ---- several tasks ---- */

enum { TASKS = 3 };

static slot_t *discrete(task_t *t, slot_side_t side, const char *name, uint32_t range) {
    slot_t *slot = task_add(t, SLOT_DISCRETE, side, name, 1);
    slot->range = xcalloc(1, sizeof *slot->range);
    slot->range[0] = range;
    return slot;
}

/* An arm with two vectors, a game, a text. */
static tasks_t some_tasks(size_t n) {
    tasks_t list = {0};
    task_t arm = task_new("arm", RECORD_EPISODE), game = task_new("a game", RECORD_EPISODE),
           text = task_new("text", RECORD_TEXT);
    task_add(&arm, SLOT_VECTOR, SIDE_OBSERVED, "state", 2);
    task_add(&arm, SLOT_VECTOR, SIDE_OBSERVED, "gps", 3);
    task_add(&arm, SLOT_VECTOR, SIDE_ACTED, "torque", 2);
    task_add(&game, SLOT_VECTOR, SIDE_OBSERVED, "state", 3);
    task_add(&game, SLOT_VECTOR, SIDE_ACTED, "steer", 1);
    discrete(&game, SIDE_ACTED, "fire", 2);
    task_add(&text, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    task_t all[TASKS] = {arm, game, text};
    for (size_t i = 0; i < TASKS; i++) {
        if (i < n)
            tasks_add(&list, all[i]);
        else
            task_release(&all[i]);
    }
    return list;
}

static gato_model_t *mixed_model(size_t n, const char *action_kind) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    const char *const set[] = {"model.width=16",   "model.layers=2",         "model.heads=2",
                               "model.context=40", "model.bins=8",           "loss.vector=0.5",
                               "loss.text=0.7",    "model.vector_in=linear", action_kind};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) config_set(gato_config_table, &c, set[i]);
    vocabulary_t v = {.text = 20, .mu = 100, .M = 256};
    tasks_t tasks = some_tasks(n);
    gato_model_t *m = gato_model_new(&c, &v, &tasks, 5);
    tasks_release(&tasks);
    return m;
}

/* Sequence i of a mixture: lengths differ. */
static void add_mixed(const gato_model_t *m, batch_t *b, uint64_t i) {
    static float numbers[64][8];
    static const uint32_t words[40] = {1, 5, 9, 2, 7, 3}, fire[2] = {0, 1};
    uint32_t task = (uint32_t)i % TASKS;
    size_t steps = task == 0 ? 9 : task == 1 ? 3 + i : 1;
    reason_t why;
    for (size_t t = 0; t < 64; t++)
        for (size_t k = 0; k < 8; k++) numbers[t][k] = sinf((float)(t * 8 + k) * 1.3f) * 0.9f;
    batch_begin(b, task);
    for (size_t t = 0; t < steps; t++) {
        const float *v = numbers[i + t];
        timestep_t s = {.task = task, .linked = t > 0};
        if (task == 2) s.slot[0] = (slot_value_t){.text = words, .text_len = 4 + i};
        if (task == 0 && t != 2) s.slot[1].vector = v + 1; /* the gps drops out */
        if (task < 2) s.slot[0].vector = v;
        if (task == 0) s.slot[2] = (slot_value_t){.vector = v + 4, .label_vector = v + 5};
        if (task == 1) {
            s.slot[1].vector = v + 5;
            s.slot[2].discrete = &fire[t % 2];
        }
        if (batch_observation(b, &s, (int32_t)t, i, &why)) CHECK(false, "%s", why.text);
        if (task < 2) batch_actions(b, true);
    }
    batch_end(b);
    (void)m;
}

static void run(gato_graphs_t *g, const batch_t *b, gato_metrics_t *f) {
    gato_metrics_init(f, gato_graphs_model(g));
    gato_step(g, b, 0, 0, 0, false, f);
}

/* Hidden states and sums of every sequence in packed rows, against the sequence alone. */
static void check_packed(const char *kind) {
    enum { SEQUENCES = 12 };
    gato_model_t *m = mixed_model(TASKS, kind);
    batch_t b, one;
    batch_init(&b, m);
    batch_init(&one, m);
    batch_clear(&b, false, 0, 0);
    for (uint64_t i = 0; i < SEQUENCES; i++) add_mixed(m, &b, i);
    gato_graphs_t *packed = gato_graphs_new(m, (graph_opts_t){.all_logits = true}),
                  *alone = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    gato_metrics_t f, sum, g;
    run(packed, &b, &f);
    packing_t p = packing_of(&b, false);
    CHECK(p.B < SEQUENCES && gato_graphs_padding(packed) < 0.1, "%zu rows, %.3f empty", p.B,
          gato_graphs_padding(packed));
    const gato_graph_t *at = gato_graphs_last(packed);
    const float *together = plan_data(at->plan, at->hidden);
    gato_metrics_init(&sum, m);
    double worst = 0;
    for (uint64_t i = 0; i < SEQUENCES; i++) {
        batch_clear(&one, false, 0, 0);
        add_mixed(m, &one, i);
        run(alone, &one, &g);
        gato_metrics_add(&sum, &g);
        gato_metrics_release(&g);
        const gato_graph_t *its = gato_graphs_last(alone);
        const float *h = plan_data(its->plan, its->hidden),
                    *row = together + (p.row[i] * p.T + p.offset[i]) * 16;
        for (size_t k = 0; k < batch_positions(&one) * 16; k++)
            worst = fmax(worst, fabs((double)h[k] - (double)row[k]));
    }
    CHECK(worst < 1e-5, "%s: hidden states differ by %g", kind, worst);
    for (size_t k = 0; k < TASKS * HEADS; k++) {
        const head_sums_t *a = &f.sums[k], *e = &sum.sums[k];
        CHECK(a->n == e->n && a->n_values == e->n_values && a->correct == e->correct,
              "%s: counts of task %zu, %s", kind, k / HEADS, heads[k % HEADS]->name);
        CHECK_NEAR(a->ce, e->ce, 1e-4 * (1 + e->ce));
        CHECK_NEAR(a->squared, e->squared, 1e-4 * (1 + e->squared));
    }
    CHECK(f.positions[1] == sum.positions[1] && f.sequences[2] == 4);
    packing_release(&p);
    gato_metrics_release(&f);
    gato_metrics_release(&sum);
    gato_graphs_free(packed);
    gato_graphs_free(alone);
    batch_release(&b);
    batch_release(&one);
    gato_model_free(m);
}

TEST(packed_sequences_are_each_alone) {
    check_packed("loss.action_kind=ce");
    check_packed("loss.action_kind=mix");
    check_packed("loss.action_kind=mse");
}

/* The loss of several tasks is the mean over all numbers, whatever task they belong to: computed
 * from the sums. */
TEST(regression_weighs_numbers_alike) {
    gato_model_t *m = mixed_model(TASKS, "loss.action_kind=mse");
    batch_t b;
    batch_init(&b, m);
    for (uint64_t i = 0; i < 6; i++) add_mixed(m, &b, i);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.train = true});
    gato_metrics_t f;
    run(g, &b, &f);
    double squared[2] = {0}, numbers[2] = {0}, ce = 0;
    static const char *const of[2] = {"action", "vector"};
    for (size_t k = 0; k < TASKS * HEADS; k++)
        for (size_t j = 0; j < 2; j++) {
            if (strcmp(heads[k % HEADS]->of, of[j])) continue;
            squared[j] += f.sums[k].squared;
            numbers[j] += (double)f.sums[k].n_values;
        }
    for (size_t k = 0; k < TASKS * HEADS; k++)
        ce += f.sums[k].ce * (strcmp(heads[k % HEADS]->name, "text") ? 1 : 0.7);
    double want = squared[0] / numbers[0] + 0.5 * squared[1] / numbers[1] + ce / (double)b.targets;
    CHECK(numbers[0] > 40 && numbers[1] > 40);
    CHECK_NEAR(f.loss, want, 1e-5);
    gato_metrics_release(&f);
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
}

/* ---- parameters ---- */

TEST(another_task_leaves_first_values_alone) {
    gato_model_t *few = mixed_model(1, "loss.action_kind=mse"),
                 *many = mixed_model(TASKS, "loss.action_kind=mse");
    CHECK(params_n(few->params) < params_n(many->params));
    for (size_t i = 0; i < params_n(few->params); i++) {
        const param_t *p = params_at(few->params, (int)i);
        int k = params_find(many->params, p->name);
        REQUIRE(k >= 0, "%s", p->name);
        CHECK(!memcmp(params_ptr(few->params, PARAMS_VALUE, (int)i),
                      params_ptr(many->params, PARAMS_VALUE, k), p->count * sizeof(float)),
              "%s", p->name);
    }
    CHECK(params_find(many->params, "predict_action.a%20game.weight") >= 0 &&
          params_find(many->params, "vector_embedding.a%20game.state.weight") >= 0);
    gato_model_free(few);
    gato_model_free(many);
}

TEST(names_of_tensors) {
    char buf[3 * TASK_NAME];
    CHECK_STR(model_tensor_name("arm-2_b/left.joint %", buf), "arm-2_b%2Fleft%2Ejoint%20%25");
    CHECK_STR(model_tensor_name("\xc3\xa9", buf), "%C3%A9");
    CHECK_STR(model_tensor_name("", buf), "");
}

TEST(storages_of_weights_have_names) {
    kern_weights_t kind;
    reason_t why;
    CHECK(!gato_weights_named("q4", &kind, &why) && kind == WEIGHTS_Q4);
    CHECK(!gato_weights_named("bf16", &kind, &why) && kind == (kern_weights_t)1);
    CHECK(gato_weights_named("f64", &kind, &why) == -1 && strstr(why.text, "'f64'"));
}

/* What an acted slot plays is its columns of the whole layer. */
TEST(a_slot_plays_its_columns) {
    gato_case_t c;
    slots_load(&c, "vectors_linear");
    gato_model_t *m = case_model(&c);
    tape_t *t = tape_new(m->params);
    nn_t nn;
    nn_begin(&nn, t);
    var_t x = tape_input(t, "x", F32_2(3, 12)), y[2];
    const slot_t *slot = c.tasks.v[0].slot;
    for (uint32_t k = 0; k < 2; k++) y[k] = head_action_mse.play.record(&nn, m, 0, 2 + k, x);
    var_t keep[] = {x, y[0], y[1]};
    plan_t *plan = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 3});
    float *in = plan_data(plan, x);
    for (size_t i = 0; i < 36; i++) in[i] = cosf((float)i);
    plan_forward(plan);
    const float *W = params_ptr(m->params, PARAMS_VALUE,
                                params_find(m->params, "predict_action.body.weight")),
                *bias = params_ptr(m->params, PARAMS_VALUE,
                                   params_find(m->params, "predict_action.body.bias"));
    CHECK(slot[2].width == 2 && slot[3].width == 1);
    for (size_t i = 0; i < 3; i++)
        for (size_t o = 0; o < 3; o++) {
            double want = (double)bias[o];
            for (size_t k = 0; k < 12; k++) want += (double)W[o * 12 + k] * (double)in[i * 12 + k];
            const float *got = plan_data(plan, o < 2 ? y[0] : y[1]);
            CHECK_NEAR((double)(o < 2 ? got[i * 2 + o] : got[i]), want, 1e-5);
        }
    plan_free(plan);
    tape_free(t);
    gato_model_free(m);
    case_close(&c);
}

/* A long text over many ids: the logits are made in slices, and the loss is that of a batch so
 * small that they are not; also where the weights are stored in fewer bits. Returns the loss. */
static double check_slices(kern_weights_t weights) {
    enum { LONG = 700, IDS = 9000 };
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    const char *const set[] = {"model.width=8", "model.layers=1", "model.heads=1",
                               "model.context=1024", "model.bins=8"};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) config_set(gato_config_table, &c, set[i]);
    vocabulary_t v = {.text = IDS, .mu = 100, .M = 256};
    tasks_t tasks = {0};
    tasks_add(&tasks, task_new("text", RECORD_TEXT));
    task_add(&tasks.v[0], SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    gato_model_t *m = gato_model_new(&c, &v, &tasks, 3);
    nn_packed_t *packed = weights == WEIGHTS_F32 ? NULL : nn_packed_new(m->params, weights);
    uint32_t *words = xmalloc(LONG * sizeof *words);
    for (uint32_t i = 0; i < LONG; i++) words[i] = i * 7919 % IDS;
    double ce[2] = {0}, correct[2] = {0};
    for (int whole = 0; whole < 2; whole++)
        for (size_t given = 0; given < LONG; given += whole ? LONG : 100) {
            timestep_t s = {.slot[0] = {.text = words,
                                        .text_len = whole ? LONG : given + 100,
                                        .text_given = given}};
            batch_t b;
            gato_metrics_t f;
            batch_init(&b, m);
            batch_begin(&b, 0);
            batch_observation(&b, &s, 0, 0, NULL);
            batch_end(&b);
            gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.exact = true, .packed = packed});
            run(g, &b, &f);
            const head_vars_t *vars = &gato_graphs_last(g)->head[0];
            CHECK((vars->value[TOKEN_LOGITS] == NO_VAR) == (whole == 1));
            size_t h = head_number(&head_text);
            ce[whole] += f.sums[h].ce;
            correct[whole] += (double)f.sums[h].correct;
            gato_metrics_release(&f);
            gato_graphs_free(g);
            batch_release(&b);
        }
    CHECK_NEAR(ce[0], ce[1], 1e-3);
    CHECK(correct[0] == correct[1] && ce[0] > 1000);
    free(words);
    tasks_release(&tasks);
    nn_packed_free(packed);
    gato_model_free(m);
    return ce[1];
}

TEST(many_logits_are_made_in_slices) {
    double exact = check_slices(WEIGHTS_F32);
    CHECK(check_slices(WEIGHTS_BF16) != exact);
    CHECK(fabs(check_slices(WEIGHTS_Q8) - exact) > 1e-3);
    CHECK(fabs(check_slices(WEIGHTS_Q4) - exact) > 1e-3);
}
