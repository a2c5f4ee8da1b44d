/* test_chunk.c - chunks of actions (model.chunk): what is learned, against rows written by hand;
 * losses and metrics in double. */
#include "tests/layout_case.h"

#include "gato/data/dataset.h"

#include <math.h>

enum { T = 5, CHUNK = 3 };

/* Two acted slots: 'arm' of two columns, 'grip' of one, which drops out at timesteps 1 and 3. The
 * number of a column: 0.1 * timestep + 0.01 * column, negative where it is executed and not
 * clean. */
static const float executed[T * 2] = {-0.1f, -0.2f, -0.3f, -0.4f, -0.5f,
                                      -0.6f, -0.7f, -0.8f, -0.9f, -1},
                                clean[T * 2] = {0,    .01f, .1f,  .11f, .2f,
                                                .21f, .3f,  .31f, .4f,  .41f},
                                grip[T] = {.5f, 0, .7f, 0, .9f};
static const uint8_t there[T] = {1, 0, 1, 0, 1};
static const int32_t map[2] = {0, 1};

static gato_model_t *arm(const char *more) {
    gato_config_t c = config_of(
        (const char *const[]){"loss.action_kind=mse", "model.bins=8", "model.chunk=3", more}, 4);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "arm", 2);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "grip", 1);
    return model_of(c, t, 10, 0);
}

/* Timesteps of a record; labels: the clean actions are another array. */
static void add_steps(batch_t *b, uint32_t *step, size_t n, size_t n_prompt, bool labels,
                      bool lone) {
    reason_t why;
    sequence_t w = {.of = &b->model->tasks.v[0],
                    .map = map,
                    .step = step,
                    .n_steps = n,
                    .n_prompt = n_prompt,
                    .lone = lone,
                    .record = {.T = T}};
    w.record.slot[0].vector = labels ? executed : clean;
    if (labels) w.record.slot[0].label_vector = clean;
    w.record.slot[1].vector = grip;
    w.record.slot[1].present = there;
    if (sequence_add(b, &w, &why)) CHECK(false, "%s", why.text);
}

/* Rows [arm t, arm t+1, arm t+2, grip t, grip t+1, grip t+2]. */
static void by_hand(bool labels) {
    gato_model_t *m = arm("loss.action=1");
    batch_t b;
    batch_init(&b, m);
    add_steps(&b, (uint32_t[]){1, 2, 3, 4}, 4, 0, labels, false);
    static const float action[] = {.1f, .11f, .2f, .21f, .3f, .31f, 0,   .7f, 0,   /* t = 1 */
                                   .2f, .21f, .3f, .31f, .4f, .41f, .7f, 0,   .9f, /* t = 2 */
                                   .3f, .31f, .4f, .41f, 0,   0,    0,   .9f, 0,   /* t = 3 */
                                   .4f, .41f, 0,   0,    0,   0,    .9f, 0,   0};  /* t = 4 */
    static const float present[] = {1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1,
                                    1, 1, 1, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0};
    check_floats("action", input_of(&b, "action_mse", 0, INPUT_OTHER), action, 36);
    check_floats("present", input_of(&b, "action_mse", 0, INPUT_OTHER + 1), present, 36);
    CHECK(targets_of(&b, "action_mse", 0)->numbers == 23, "%g",
          targets_of(&b, "action_mse", 0)->numbers);
    /* what stands in the sequence is one executed action per timestep */
    CHECK(batch_positions(&b) == 3 + 4 + 3 + 4, "%zu", batch_positions(&b));
    batch_release(&b);
    gato_model_free(m);
}

TEST(actions_ahead_by_hand) {
    by_hand(false);
    by_hand(true);
}

/* The actions ahead are those of the episode, not those of the sequence: a seam between prompt and
 * main part, or the end of the sequence, hides nothing. Steps that are no neighbors have none. */
TEST(actions_ahead_follow_the_episode) {
    gato_model_t *m = arm("loss.action=1");
    batch_t b;
    batch_init(&b, m);
    add_steps(&b, (uint32_t[]){4, 0}, 2, 1, true, false);
    check_floats(
        "prompt and main", input_of(&b, "action_mse", 0, INPUT_OTHER),
        (float[]){.4f, .41f, 0, 0, 0, 0, .9f, 0, 0, 0, .01f, .1f, .11f, .2f, .21f, .5f, 0, .7f},
        18);
    batch_clear(&b, false, 0, 0);
    add_steps(&b, (uint32_t[]){0, 2}, 2, 0, true, true);
    check_floats("alone", input_of(&b, "action_mse", 0, INPUT_OTHER),
                 (float[]){0, .01f, 0, 0, 0, 0, .5f, 0, 0, .2f, .21f, 0, 0, 0, 0, .7f, 0, 0}, 18);
    batch_release(&b);
    gato_model_free(m);
}

/* The loss is the mean over the numbers that are there, from the hidden states of the separators:
 * the layer by a double loop. */
static void check_loss(const char *more) {
    gato_model_t *m = arm(more);
    batch_t b;
    batch_init(&b, m);
    add_steps(&b, (uint32_t[]){1, 2, 3, 4}, 4, 0, true, false);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    gato_metrics_t f;
    gato_metrics_init(&f, m);
    gato_step(g, &b, 0, 0, 0, false, &f);
    const gato_graph_t *at = gato_graphs_last(g);
    const float *hidden = plan_data(at->plan, at->hidden);
    const param_t *p = params_at(m->params, params_find(m->params, "predict_action.arm.weight"));
    CHECK(p->rank == 2 && p->dim[0] == 3 * CHUNK && p->dim[1] == 8);
    const float *W = params_ptr(m->params, PARAMS_VALUE,
                                params_find(m->params, "predict_action.arm.weight")),
                *bias = params_ptr(m->params, PARAMS_VALUE,
                                   params_find(m->params, "predict_action.arm.bias"));
    static const size_t separator[] = {0, 3, 7, 10};
    double squared = 0, absolute = 0;
    size_t n = 0;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < CHUNK && i + 1 + j < T; j++)
            for (size_t k = 0; k < 3; k++) { /* two columns of the arm, the grip */
                size_t t = i + 1 + j, row = k < 2 ? 2 * j + k : 2 * CHUNK + j;
                if (k == 2 && !there[t]) continue;
                double y = (double)bias[row], want = (double)(k < 2 ? clean[2 * t + k] : grip[t]);
                for (size_t d = 0; d < 8; d++)
                    y += (double)W[8 * row + d] * (double)hidden[8 * separator[i] + d];
                squared += (y - want) * (y - want);
                absolute += fabs(y - want);
                n++;
            }
    const head_sums_t *sums = &f.sums[head_number(&head_action_mse)];
    CHECK(fabs(f.loss - squared / (double)n) < 1e-6, "%g against %g", f.loss, squared / (double)n);
    CHECK(sums->n_values == n && n == 23 && fabs(sums->absolute - absolute) < 1e-5, "%zu, %g",
          sums->n_values, sums->absolute);
    gato_metrics_release(&f);
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
}

TEST(the_loss_counts_what_is_there) {
    check_loss("loss.per_sequence=false");
    check_loss("loss.per_sequence=true");
}

static bool refuses(const char *pattern, const char *const *set, size_t n) {
    gato_config_t c = config_of(set, n);
    reason_t why = {""};
    if (!gato_config_check(&c, &why)) return false;
    CHECK(strstr(why.text, pattern), "%s", why.text);
    return true;
}

TEST(chunks_that_cannot_be_meant) {
    static const char mse[] = "loss.action_kind=mse", eight[] = "model.chunk=8";
    CHECK(!refuses("", (const char *const[]){mse, eight, "act.execute=8"}, 3));
    CHECK(!refuses("", (const char *const[]){mse, eight, "act.ensemble=0"}, 3));
    CHECK(refuses("needs loss.action_kind = mse", (const char *const[]){eight}, 1));
    CHECK(refuses("more than a chunk", (const char *const[]){mse, eight, "act.execute=9"}, 3));
    CHECK(refuses("more than a chunk", (const char *const[]){"act.execute=2"}, 1));
    CHECK(refuses("0 or more", (const char *const[]){mse, eight, "act.ensemble=-0.5"}, 3));
    CHECK(refuses("model.chunk is 1", (const char *const[]){mse, "act.ensemble=0.01"}, 2));
    CHECK(refuses("in every step",
                  (const char *const[]){mse, eight, "act.ensemble=0.01", "act.execute=2"}, 4));
    CHECK(refuses("bins of equal width",
                  (const char *const[]){"loss.action_kind=mix", "model.bin_kind=mulaw"}, 2));
}
