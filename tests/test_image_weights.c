/* test_image_weights.c - how much each predicted code counts (loss.image_changed, image_first): by
 * hand, and the loss against a double loop over the recorded codes; vectors before images
 * (model.vector_first) by hand. */
#include "tests/golden.h"
#include "tests/layout_case.h"

#include <math.h>

extern const head_t head_image;

/* Of a merged token each code counts by itself. Timestep 2 is behind a seam, 4 has no image. */
TEST(changed_codes_by_hand) {
    gato_config_t c =
        config_of((const char *const[]){"loss.image=1", "loss.horizon=[1,2]", "model.merge=2",
                                        "loss.image_changed=3", "loss.image_first=0.5"},
                  5);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
    gato_model_t *m = model_of(c, t, 12, 16);
    static const uint32_t codes[6][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {0, 9, 2, 3, 4, 5, 6, 8},
                                         {1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 1, 1, 1, 1, 3, 1},
                                         {0, 0, 0, 0, 0, 0, 0, 0}, {1, 2, 1, 4, 1, 1, 3, 1}};
    static const float action[1] = {0};
    timestep_t step[6];
    for (size_t i = 0; i < 6; i++) {
        step[i] = (timestep_t){.linked = i > 0 && i != 2};
        if (i != 4) step[i].slot[0] = (slot_value_t){.codes = codes[i], .grid_h = 2, .grid_w = 4};
        step[i].slot[1].vector = action;
    }
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, step, 6, false);
    /* Blocks are columns 0, 1, 4, 5 and 2, 3, 6, 7 of the arrays above. */
    static const float near[] = {
        0.5f, 0.5f, 0.5f, 0.5f,                      /* step 0: its first token has none before */
        1,    3,    1,    1,    1,    1,    1,    3, /* 1 behind 0 */
        0.5f, 0.5f, 0.5f, 0.5f,                      /* 2: a seam */
        1,    3,    1,    1,    1,    1,    3,    1, /* 3 behind 2 */
        0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, /* 5: none before */
    };
    check_floats("near", input_of(&b, "image", 0, INPUT_WEIGHT), near, 32);
    CHECK_NEAR(targets_of(&b, "image", 0)->weight, 8 * 0.5 + 8 * 0.5 + 12 + 4 * 3, 1e-9);
    static const float far[] = {1, 1, 1, 1, 1, 3, 1, 1}; /* 5 behind 3: code 3 became 4 */
    check_floats("far", input_of(&b, "image", 1, INPUT_WEIGHT), far, 8);
    batch_release(&b);
    gato_model_free(m);
}

/* Images that have none before them are no targets at all. */
TEST(first_images_are_left_out) {
    gato_config_t c = config_of((const char *const[]){"loss.image=1", "loss.image_first=0"}, 2);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
    gato_model_t *m = model_of(c, t, 12, 16);
    static const uint32_t codes[] = {0, 1, 2, 3, 4, 5};
    static const float action[1] = {0};
    timestep_t step[3];
    for (size_t i = 0; i < 3; i++) {
        step[i] = (timestep_t){.linked = i == 1};
        step[i].slot[0] = (slot_value_t){.codes = codes + 2 * i, .grid_h = 1, .grid_w = 2};
        step[i].slot[1].vector = action;
    }
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, step, 3, false);
    check_ids("position", input_of(&b, "image", 0, INPUT_POSITION), (int32_t[]){3, 4}, 2);
    check_ids("code", input_of(&b, "image", 0, INPUT_OTHER), (int32_t[]){2, 3}, 2);
    batch_release(&b);
    gato_model_free(m);
}

enum { SEQUENCES = 3, STEPS = 5, CODES = 4, CAMERAS = 2 };
static uint32_t seen[SEQUENCES][STEPS][CAMERAS][CODES];
static bool there(size_t s, size_t i, size_t k) {
    return !(k == 1 && (s + i) % 4 == 3);
}
static bool is_linked(size_t s, size_t i) {
    return i > 0 && !(s == 1 && i == 3);
}

/* The weight of a code, from the recorded ones. */
static double weight_of(size_t s, size_t i, size_t k, size_t j) {
    if (!is_linked(s, i) || !there(s, i - 1, k)) return 0.25;
    return seen[s][i][k][j] == seen[s][i - 1][k][j] ? 1 : 7;
}

/* sum of weight x cross entropy / sum of weights, over sequences, timesteps, cameras and codes. The
 * cross entropies are those of the rows, which count alike for the metrics. */
TEST(the_loss_is_the_weighted_mean) {
    gato_config_t c = config_of((const char *const[]){"loss.image=1", "loss.image_changed=7",
                                                      "loss.image_first=0.25", "loss.action=0",
                                                      "model.image_last=true"},
                                5);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "wrist", 1);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
    gato_model_t *m = model_of(c, t, 12, 16);
    rng_t r = rng_make(4, "weights");
    static const float action[1] = {0.3f};
    batch_t b;
    batch_init(&b, m);
    batch_clear(&b, true, 0, 0);
    for (size_t s = 0; s < SEQUENCES; s++) {
        timestep_t step[STEPS];
        for (size_t i = 0; i < STEPS; i++) {
            step[i] = (timestep_t){.linked = is_linked(s, i)};
            for (size_t k = 0; k < CAMERAS; k++) {
                for (size_t j = 0; j < CODES; j++) {
                    uint64_t at = ((s * STEPS + i) * CAMERAS + k) * CODES + j;
                    bool moves = i == 0 || rng_below(r, 2 * at, 3) == 0;
                    seen[s][i][k][j] = moves ? rng_below(r, 2 * at + 1, 16) : seen[s][i - 1][k][j];
                }
                if (there(s, i, k))
                    step[i].slot[k] =
                        (slot_value_t){.codes = seen[s][i][k], .grid_h = 2, .grid_w = 2};
            }
            step[i].slot[CAMERAS].vector = action;
        }
        add_sequence(&b, step, STEPS, false);
    }
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.train = true});
    gato_metrics_t f;
    gato_metrics_init(&f, m);
    gato_step(g, &b, 0, 0, 0, false, &f);
    size_t group = 0, n = 0;
    while (m->group[group].head != &head_image) group++;
    const gato_graph_t *at = gato_graphs_last(g);
    const float *row = plan_data(at->plan, at->head[group].value[TOKEN_ROWS]);
    const column_t *code = input_of(&b, "image", 0, INPUT_OTHER);
    double sum = 0, weights = 0, plain = 0;
    for (size_t s = 0; s < SEQUENCES; s++)
        for (size_t i = 0; i < STEPS; i++)
            for (size_t k = 0; k < CAMERAS; k++)
                for (size_t j = 0; j < CODES && there(s, i, k); j++) {
                    if (!is_linked(s, i) && k == 0 && j == 0) continue; /* nothing before it */
                    CHECK(column_at(code, n) == (int32_t)seen[s][i][k][j], "%zu", n);
                    double ce = (double)row[n++];
                    sum += weight_of(s, i, k, j) * ce;
                    weights += weight_of(s, i, k, j);
                    plain += ce;
                }
    CHECK(n == targets_of(&b, "image", 0)->rows.n, "%zu", n);
    CHECK_NEAR(f.loss, sum / weights, 1e-5);
    CHECK(fabs(sum / weights - plain / (double)n) > 1e-3, "the weights change nothing");
    gato_metrics_release(&f);
    gato_graphs_free(g);
    batch_release(&b);
    gato_model_free(m);
}

/* The vector stands before the image, and behind a text that comes first, too. */
TEST(vectors_first_by_hand) {
    gato_config_t c =
        config_of((const char *const[]){"loss.image=1", "loss.vector=1", "model.bins=8",
                                        "model.vector_first=true", "model.text_first=true"},
                  5);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "vector", 2);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
    gato_model_t *m = model_of(c, t, 10, 64);
    static const uint32_t codes[4] = {3, 4, 5, 6}, text[1] = {7};
    static const float vector[] = {0, -300, 300, 0}, action[] = {-1, 0.9f};
    timestep_t step[2];
    for (size_t i = 0; i < 2; i++)
        step[i] = (timestep_t){.linked = i > 0,
                               .slot = {{.codes = codes + 2 * i, .grid_h = 1, .grid_w = 2},
                                        {.text = text, .text_len = 1},
                                        {.vector = vector + 2 * i},
                                        {.vector = action + i}}};
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, step, 2, false);
    /* text, two numbers, two codes, separator, action */
    check_ids("id", &b.id, (int32_t[]){7, 14, 10, 0, 0, 0, 10, 7, 17, 14, 0, 0, 0, 17}, 14);
    check_ids("inner", &b.inner, (int32_t[]){0, 1, 2, 3, 4, -1, -1, 0, 1, 2, 3, 4, -1, -1}, 14);
    check_ids("image", input_of(&b, "image", 0, INPUT_POSITION), (int32_t[]){2, 3, 9, 10}, 4);
    check_ids("vector", input_of(&b, "vector_ce", 0, INPUT_POSITION), (int32_t[]){0, 1, 7, 8}, 4);
    batch_release(&b);
    gato_model_free(m);
}
