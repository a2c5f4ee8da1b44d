/* test_layout.c - timesteps and batches token by token, against sequences written out by hand;
 * positions along an axis against their definition in floating point.
 */
#include "tests/test.h"

#include "common/io/text/json.h"
#include "gato/model/batch.h"
#include "gato/model/graph.h"
#include "gato/model/layout.h"

TEST(parts_in_order) {
    layout_t l = {.count = {4, 2, 3, 1, 1, 2, 1}, .text_target = true};
    CHECK(layout_observation(&l) == 10 && layout_tokens(&l) == 14);
    CHECK(layout_start(&l, PART_IMAGE) == 0 && layout_start(&l, PART_TEXT) == 4 &&
          layout_start(&l, PART_CONTINUOUS) == 6);
    CHECK(layout_start(&l, PART_SEPARATOR) == 10 && layout_start(&l, PART_ACTION) == 11);
    size_t index;
    CHECK(layout_part(&l, 5, &index) == PART_TEXT && index == 1);
    CHECK(layout_part(&l, 13, &index) == PART_DISCRETE_ACTION && index == 0);
    static const char target[] = "00001100000111";
    for (size_t i = 0; i < 14; i++) {
        CHECK(layout_target(&l, i) == (target[i] == '1'), "%zu", i);
        CHECK(layout_inner(&l, i) == (i < 10 ? (int32_t)i : -1), "%zu", i);
    }
    l.text_first = true;
    CHECK(layout_start(&l, PART_TEXT) == 0 && layout_start(&l, PART_IMAGE) == 2 &&
          layout_start(&l, PART_CONTINUOUS) == 6);
}

TEST(known_positions) {
    static const int32_t five[] = {12, 38, 63, 88, 114}, six[] = {10, 31, 52, 74, 95, 116};
    for (size_t i = 0; i < 5; i++)
        CHECK(layout_position(i, 5, 128, false, true, 0) == five[i], "%zu", i);
    for (size_t i = 0; i < 6; i++)
        CHECK(layout_position(i, 6, 128, false, true, 0) == six[i], "%zu", i);
    CHECK(layout_position(0, 1, 128, false, true, 0) == 64);
}

/* Any draw lies in its own interval; both ends come up; intervals tile the table. */
TEST(drawn_positions_stay_in_their_interval) {
    for (size_t n = 1; n <= 128; n++)
        for (size_t i = 0; i < n; i++) {
            int32_t low = layout_position(i, n, 128, false, false, 0),
                    high = layout_position(i, n, 128, false, false, 0.99999994f);
            CHECK(low == (int32_t)floor((double)i * 128 / (double)n + 1e-9), "%zu of %zu", i, n);
            CHECK(high == (int32_t)floor((double)(i + 1) * 128 / (double)n + 1e-9) - 1,
                  "%zu of %zu", i, n);
            int32_t mean = layout_position(i, n, 128, false, true, 0);
            CHECK(mean == (int32_t)nearbyint((low + high) / 2.0), "%zu of %zu", i, n);
            int32_t closed = layout_position(i, n, 128, true, false, 0.99999994f);
            CHECK(closed == (high + 1 < 128 ? high + 1 : 127), "%zu of %zu", i, n);
        }
}

static void check_ids(const char *what, const ints_t *a, const int32_t *want, size_t n) {
    CHECK(a->n == n, "%s: %zu instead of %zu", what, a->n, n);
    for (size_t i = 0; i < n && i < a->n; i++)
        CHECK(a->v[i] == want[i], "%s[%zu]: %d instead of %d", what, i, a->v[i], want[i]);
}

static gato_config_t config_of(const char *const *set, size_t n) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < n; i++) config_set(gato_config_table, &c, set[i]);
    return c;
}

/* Two timesteps of 2x4 codes merged by 2, two numbers, one discrete observation, one action of each
 * kind. */
TEST(control_batch_by_hand) {
    gato_config_t c =
        config_of((const char *const[]){"model.merge=2", "model.bins=8", "loss.image=1"}, 3);
    gato_facts_t f = {.text_vocab = 10,
                      .codes = 64,
                      .code_dim = 1,
                      .grid_h = 2,
                      .grid_w = 4,
                      .n_continuous = 2,
                      .n_discrete = 1,
                      .n_actions = 1,
                      .n_discrete_actions = 1,
                      .mu = 100,
                      .M = 256,
                      .discrete_range = (uint32_t[]){4},
                      .discrete_action_range = (uint32_t[]){3}};
    static const uint32_t codes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    sequence_t w = {.record = {.kind = RECORD_EPISODE,
                               .T = 2,
                               .grid_h = 2,
                               .grid_w = 4,
                               .codes = codes,
                               .continuous = (float[]){0, -300, 300, 0},
                               .discrete = (uint32_t[]){3, 0},
                               .actions = (float[]){-1, 0.9f},
                               .label_actions = (float[]){0, 0.9f},
                               .discrete_actions = (uint32_t[]){2, 1}},
                    .step = (uint32_t[]){0, 1},
                    .n_steps = 2};
    batch_t b;
    batch_init(&b, &c, &f);
    batch_add_sequence(&b, &w);
    /* continuous ids from 10, discrete from 18 */
    check_ids("id", &b.id, (int32_t[]){0, 0, 14, 10, 21, 0, 10, 20, 0, 0, 17, 14, 18, 0, 17, 19},
              16);
    check_ids("inner", &b.inner, (int32_t[]){0, 1, 2, 3, 4, -1, -1, -1, 0, 1, 2, 3, 4, -1, -1, -1},
              16);
    check_ids("mask", &b.mask, (int32_t[]){0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1}, 16);
    check_ids("step", &b.step, (int32_t[]){0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}, 16);
    check_ids("code", &b.code, (int32_t[]){0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15},
              16);
    /* 1 x 2 merged tokens: the row is the middle of all, columns the middles of the halves */
    check_ids("row", &b.row, (int32_t[]){64, 64, 64, 64}, 4);
    check_ids("col", &b.col, (int32_t[]){32, 96, 32, 96}, 4);
    /* predicted by the token before: the label's bin, not the executed one's */
    check_ids("continuous position", &b.continuous.position, (int32_t[]){5, 13}, 2);
    check_ids("continuous target", &b.continuous.target, (int32_t[]){14, 17}, 2);
    check_ids("discrete position", &b.other.position, (int32_t[]){6, 14}, 2);
    check_ids("discrete target", &b.other.target, (int32_t[]){20, 19}, 2);
    check_ids("separator", &b.separator, (int32_t[]){5, 13}, 2);
    CHECK(b.action.v[0] == 0 && b.action.v[1] == 0.9f);
    /* image tokens 1 (of step 0), 8 and 9 have a token before them; 0 has none */
    check_ids("future", &b.future, (int32_t[]){0, 7, 8}, 3);
    check_ids("future code", &b.future_code, (int32_t[]){2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15},
              12);
    /* the same place a step later */
    c.loss.horizon = 2;
    batch_clear(&b, false, 0, 0);
    batch_add_sequence(&b, &w);
    CHECK(b.future.n == 0);
    /* steps 0, 2, 3: only 2 -> 3 are neighbours */
    c.loss.horizon = 1;
    static const uint32_t more[32] = {0};
    w.record.T = 4;
    w.record.codes = more;
    w.record.continuous = (float[8]){0};
    w.record.discrete = (uint32_t[4]){0};
    w.record.actions = w.record.label_actions = (float[4]){0};
    w.record.discrete_actions = (uint32_t[4]){0};
    w.step = (uint32_t[]){0, 2, 3};
    w.n_steps = 3;
    batch_clear(&b, false, 0, 0);
    batch_add_sequence(&b, &w);
    check_ids("future across a seam", &b.future, (int32_t[]){0, 8, 15, 16}, 4);
    batch_release(&b);
}

TEST(far_horizon_by_hand) {
    gato_config_t c = config_of((const char *const[]){"loss.image=1", "loss.horizon=2"}, 2);
    gato_facts_t f = {.text_vocab = 10,
                      .codes = 8,
                      .code_dim = 1,
                      .grid_h = 1,
                      .grid_w = 2,
                      .n_actions = 1,
                      .mu = 100,
                      .M = 256};
    sequence_t w = {.record = {.kind = RECORD_EPISODE,
                               .T = 4,
                               .grid_h = 1,
                               .grid_w = 2,
                               .codes = (uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7},
                               .actions = (float[]){0, 0, 0, 0}},
                    .step = (uint32_t[]){0, 1, 2, 3},
                    .n_steps = 4};
    batch_t b;
    batch_init(&b, &c, &f);
    batch_add_sequence(&b, &w);
    /* 4 tokens a step: codes at 0,1 then 4,5 predict those of two steps later; the last two steps
     * predict nothing */
    check_ids("future", &b.future, (int32_t[]){0, 1, 4, 5}, 4);
    check_ids("future code", &b.future_code, (int32_t[]){4, 5, 6, 7}, 4);
    batch_release(&b);
}

/* Training by regression: the executed action of the last timestep has no reader, every separator
 * keeps its target. */
TEST(regression_leaves_out_the_last_action_tokens) {
    gato_config_t c = config_of((const char *const[]){"loss.action_kind=mse", "model.bins=8"}, 2);
    gato_facts_t f = {.text_vocab = 10, .n_actions = 2, .mu = 100, .M = 256};
    sequence_t w = {.record = {.kind = RECORD_EPISODE,
                               .T = 3,
                               .actions = (float[]){-1, 0.9f, 0, 0, 0.9f, -1},
                               .label_actions = (float[]){0, 0.1f, 0.2f, 0.3f, 0.4f, 0.5f}},
                    .step = (uint32_t[]){0, 1},
                    .n_steps = 2};
    batch_t b;
    batch_init(&b, &c, &f);
    static const int32_t all[] = {0, 10, 17, 0, 14, 14};
    batch_add_sequence(&b, &w);
    check_ids("id", &b.id, all, 6);
    batch_clear(&b, true, 1, 0);
    batch_add_sequence(&b, &w);
    batch_add_sequence(&b, &w);
    check_ids("id in training", &b.id, (int32_t[]){0, 10, 17, 0, 0, 10, 17, 0}, 8);
    check_ids("separator", &b.separator, (int32_t[]){0, 3, 4, 7}, 4);
    for (size_t i = 0; i < 8; i++) CHECK(b.action.v[i] == w.record.label_actions[i % 4], "%zu", i);
    c.loss.action_kind = ACTION_MIX;
    batch_clear(&b, true, 1, 0);
    batch_add_sequence(&b, &w);
    check_ids("id with bins as targets", &b.id, all, 6);
    batch_release(&b);
}

TEST(text_and_caption_by_hand) {
    gato_config_t c = config_of((const char *const[]){"model.text_first=false"}, 1);
    gato_facts_t f = {.text_vocab = 257, .codes = 8, .code_dim = 1, .mu = 100, .M = 256};
    sequence_t text = {
        .record = {.kind = RECORD_TEXT, .T = 1, .text = (uint32_t[]){5, 6, 256}, .text_len = 3},
        .step = (uint32_t[]){0},
        .n_steps = 1,
        .text_len = 3};
    sequence_t caption = {.record = {.kind = RECORD_IMAGE,
                                     .T = 1,
                                     .grid_h = 1,
                                     .grid_w = 2,
                                     .codes = (uint32_t[]){7, 1},
                                     .text = (uint32_t[]){9, 256},
                                     .text_len = 2},
                          .step = (uint32_t[]){0},
                          .n_steps = 1,
                          .text_len = 2};
    batch_t b;
    batch_init(&b, &c, &f);
    batch_add_sequence(&b, &text);
    batch_add_sequence(&b, &caption);
    check_ids("start", &b.start, (int32_t[]){0, 4, 9}, 3);
    check_ids("id", &b.id, (int32_t[]){5, 6, 256, 0, 0, 0, 9, 256, 0}, 9);
    check_ids("mask", &b.mask, (int32_t[]){1, 1, 1, 0, 0, 0, 1, 1, 0}, 9);
    /* the first token of a sequence has nothing before it */
    check_ids("position", &b.other.position, (int32_t[]){0, 1, 5, 6}, 4);
    check_ids("target", &b.other.target, (int32_t[]){6, 256, 9, 256}, 4);
    CHECK(b.targets == 4 && b.target_sequences == 2);
    /* a later piece of the text */
    text.text_first = 2;
    text.text_len = 1;
    batch_clear(&b, false, 0, 0);
    batch_add_sequence(&b, &text);
    check_ids("piece", &b.id, (int32_t[]){256, 0}, 2);
    batch_release(&b);
}

/* A question and its space are read, the answer is to be predicted. */
TEST(questions_are_no_targets) {
    gato_config_t c = config_of((const char *const[]){"model.text_first=false"}, 1);
    gato_facts_t f = {.text_vocab = 257, .codes = 8, .code_dim = 1, .mu = 100, .M = 256};
    sequence_t w = {.record = {.kind = RECORD_TEXT,
                               .T = 1,
                               .grid_h = 1,
                               .grid_w = 2,
                               .codes = (uint32_t[]){7, 1},
                               .text = (uint32_t[]){9, 32, 65, 256},
                               .text_len = 4,
                               .prompt_len = 2},
                    .step = (uint32_t[]){0},
                    .n_steps = 1,
                    .text_len = 4};
    batch_t b;
    batch_init(&b, &c, &f);
    batch_add_sequence(&b, &w);
    check_ids("mask", &b.mask, (int32_t[]){0, 0, 0, 0, 1, 1, 0}, 7);
    check_ids("position", &b.other.position, (int32_t[]){3, 4}, 2);
    check_ids("target", &b.other.target, (int32_t[]){65, 256}, 2);
    /* a piece that begins inside of the question */
    w.text_first = 1;
    w.text_len = 2;
    batch_clear(&b, false, 0, 0);
    batch_add_sequence(&b, &w);
    check_ids("target of a piece", &b.other.target, (int32_t[]){65}, 1);
    batch_release(&b);
}

TEST(weights_by_sequence) {
    gato_config_t c = config_of((const char *const[]){"loss.per_sequence=true"}, 1);
    gato_facts_t f = {.text_vocab = 257, .mu = 100, .M = 256};
    sequence_t w = {
        .record = {.kind = RECORD_TEXT, .T = 1, .text = (uint32_t[]){1, 2, 3, 4, 5}, .text_len = 5},
        .step = (uint32_t[]){0},
        .n_steps = 1,
        .text_len = 5};
    batch_t b;
    batch_init(&b, &c, &f);
    batch_add_sequence(&b, &w);
    w.text_len = 3;
    batch_add_sequence(&b, &w);
    static const float want[] = {0.25f, 0.25f, 0.25f, 0.25f, 0.5f, 0.5f};
    REQUIRE(b.other.weight.n == 6);
    for (size_t i = 0; i < 6; i++) CHECK(b.other.weight.v[i] == want[i], "%zu", i);
    batch_release(&b);
}

TEST(patches_are_padded_and_normalized) {
    uint8_t rgb[3 * 5 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 5);
    float out[2 * 2 * 4 * 4 * 3];
    batch_patches(rgb, 3, 5, 4, out);
    for (size_t i = 0; i < 2; i++)
        for (size_t y = 0; y < 4; y++)
            for (size_t x = 0; x < 4; x++)
                for (size_t ch = 0; ch < 3; ch++) {
                    size_t X = i * 4 + x;
                    double v = y < 3 && X < 5 ? (double)rgb[(y * 5 + X) * 3 + ch] : 0;
                    CHECK_NEAR((double)out[((i * 4 + y) * 4 + x) * 3 + ch], (v / 127.5 - 1) / 2,
                               1e-6);
                }
}

TEST(drawn_places_follow_their_key) {
    gato_config_t c =
        config_of((const char *const[]){"model.image_in=patches", "model.patch=4"}, 2);
    gato_facts_t f = {.text_vocab = 1, .image_h = 16, .image_w = 16, .mu = 100, .M = 256};
    static uint8_t rgb[16 * 16 * 3];
    timestep_t s = {.rgb = rgb, .image_h = 16, .image_w = 16};
    batch_t b, again;
    batch_init(&b, &c, &f);
    batch_init(&again, &c, &f);
    batch_clear(&b, true, 3, 7);
    batch_clear(&again, true, 3, 7);
    batch_observation(&again, &s, 0, 99);
    batch_end(&again);
    batch_observation(&again, &s, 2, 5);
    batch_end(&again);
    batch_observation(&b, &s, 2, 5);
    batch_end(&b);
    CHECK(!memcmp(b.row.v, again.row.v + 16, 16 * sizeof *b.row.v),
          "a place depends on the batch around it");
    CHECK(memcmp(again.row.v, again.row.v + 16, 16 * sizeof *b.row.v) != 0);
    CHECK(b.row.v[0] == b.row.v[3] && b.col.v[1] == b.col.v[13], "one draw a row and a column");
    batch_clear(&b, true, 3, 8);
    batch_observation(&b, &s, 2, 5);
    batch_end(&b);
    CHECK(memcmp(b.row.v, again.row.v + 16, 16 * sizeof *b.row.v) != 0, "the step does not matter");
    batch_release(&b);
    batch_release(&again);
}

TEST(buckets) {
    CHECK(graph_bucket(0) == 0 && graph_bucket(1) == 8 && graph_bucket(64) == 64 &&
          graph_bucket(65) == 128 && graph_bucket(1000) == 1024);
    for (size_t n = 1; n < 100000; n += 7)
        CHECK(graph_bucket(n) >= n && (n <= 512 || graph_bucket(n) - n <= n / 8), "%zu", n);
}

/* ---- NEKO's own sequences, where they lie beside the project ---- */

static size_t floats_of(const cJSON *rows, int step, float *out) {
    const cJSON *row = cJSON_GetArrayItem(rows, step);
    int n = row ? cJSON_GetArraySize(row) : 0;
    for (int i = 0; i < n; i++) out[i] = (float)cJSON_GetArrayItem(row, i)->valuedouble;
    return (size_t)n;
}

static void add_example(batch_t *b, gato_facts_t *f, const cJSON *in) {
    const cJSON *images = cJSON_GetObjectItem(in, "images"),
                *text = cJSON_GetObjectItem(in, "text");
    const cJSON *part[4] = {
        cJSON_GetObjectItem(in, "continuous_obs"), cJSON_GetObjectItem(in, "discrete_obs"),
        cJSON_GetObjectItem(in, "continuous_actions"), cJSON_GetObjectItem(in, "discrete_actions")};
    static uint8_t rgb[32 * 48 * 3];
    int steps = 1;
    for (int k = 0; k < 4; k++)
        if (part[k]) steps = cJSON_GetArraySize(part[k]);
    batch_begin(b);
    for (int t = 0; t < steps; t++) {
        float v[4][8];
        uint32_t id[4][8], words[8];
        size_t n[4];
        for (int k = 0; k < 4; k++) {
            n[k] = floats_of(part[k], t, v[k]);
            for (size_t i = 0; i < n[k]; i++) id[k][i] = (uint32_t)v[k][i];
        }
        f->n_continuous = (uint32_t)n[0], f->n_discrete = (uint32_t)n[1],
        f->n_actions = (uint32_t)n[2], f->n_discrete_actions = (uint32_t)n[3];
        int n_words = text ? cJSON_GetArraySize(text) : 0;
        for (int i = 0; i < n_words; i++)
            words[i] = (uint32_t)cJSON_GetArrayItem(text, i)->valueint;
        timestep_t s = {.rgb = images ? rgb : NULL,
                        .image_h = 32,
                        .image_w = 48,
                        .text = words,
                        .text_len = (size_t)n_words,
                        .text_target = text != NULL,
                        .continuous = n[0] ? v[0] : NULL,
                        .discrete = n[1] ? id[1] : NULL,
                        .actions = n[2] ? v[2] : NULL,
                        .discrete_actions = n[3] ? id[3] : NULL};
        batch_observation(b, &s, t, 0);
        batch_actions(b, &s, t);
    }
    batch_end(b);
}

TEST(neko_sequences_agree) {
    cJSON *o = json_parse_file("../shared/goldens/neko/sequence_layout.json", false, NULL);
    if (!o) return; /* not for everyone */
    const cJSON *example, *examples = cJSON_GetObjectItem(o, "examples");
    gato_config_t c = config_of((const char *const[]){"model.image_in=patches"}, 1);
    gato_facts_t f = {.text_vocab = 300, .mu = 100, .M = 256};
    batch_t b;
    batch_init(&b, &c, &f);
    size_t seen = 0;
    cJSON_ArrayForEach(example, examples) {
        batch_clear(&b, false, 0, 0);
        add_example(&b, &f, cJSON_GetObjectItem(example, "input"));
        const cJSON *tokens = cJSON_GetObjectItem(example, "tokens"),
                    *mask = cJSON_GetObjectItem(example, "target_mask");
        REQUIRE(b.id.n == (size_t)cJSON_GetArraySize(tokens), "example %zu: %zu tokens", seen,
                b.id.n);
        for (size_t i = 0; i < b.id.n; i++) {
            int want = cJSON_GetArrayItem(tokens, (int)i)->valueint;
            /* a full value leaves its range there: 1324 is the first discrete id */
            if (want == 1324 && b.id.v[i] == 1323) want = 1323;
            CHECK(b.id.v[i] == want, "example %zu, token %zu: %d", seen, i, b.id.v[i]);
            CHECK(b.mask.v[i] == cJSON_GetArrayItem(mask, (int)i)->valueint,
                  "example %zu, mask %zu", seen, i);
        }
        seen++;
    }
    CHECK(seen == 6);
    batch_release(&b);
    cJSON_Delete(o);
}
