/* test_batch.c - batches token by token, against sequences written out by hand; packing against its
 * promises. */
#include "tests/golden.h"
#include "tests/layout_case.h"

/* Two timesteps of 2x4 codes merged by 2, two numbers, one discrete observation, one action of each
 * kind. */
TEST(control_batch_by_hand) {
    gato_config_t c =
        config_of((const char *const[]){"model.merge=2", "model.bins=8", "loss.image=1"}, 3);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "vector", 2);
    add_discrete(&t, SIDE_OBSERVED, "flag", 1, 4);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
    add_discrete(&t, SIDE_ACTED, "choice", 1, 3);
    gato_model_t *m = model_of(c, t, 10, 64);
    static const uint32_t codes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const float vector[] = {0, -300, 300, 0}, action[] = {-1, 0.9f}, label[] = {0, 0.9f};
    static const uint32_t flag[] = {3, 0}, choice[] = {2, 1}, better[] = {0, 1};
    timestep_t step[3];
    for (size_t i = 0; i < 2; i++)
        step[i] =
            (timestep_t){.linked = i > 0,
                         .slot = {{.codes = codes + 8 * i, .grid_h = 2, .grid_w = 4},
                                  {.vector = vector + 2 * i},
                                  {.discrete = flag + i},
                                  {.vector = action + i, .label_vector = label + i},
                                  {.discrete = choice + i, .label_discrete = i ? NULL : better}}};
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, step, 2, false);
    /* continuous ids from 10, discrete from 18 */
    check_ids("id", &b.id, (int32_t[]){0, 0, 14, 10, 21, 0, 10, 20, 0, 0, 17, 14, 18, 0, 17, 19},
              16);
    check_ids("inner", &b.inner, (int32_t[]){0, 1, 2, 3, 4, -1, -1, -1, 0, 1, 2, 3, 4, -1, -1, -1},
              16);
    check_ids("mask", &b.mask, (int32_t[]){0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1}, 16);
    check_ids("step", &b.step, (int32_t[]){0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}, 16);
    const rows_t *image = &b.pool[gato_model_pool(m, 0, 0)];
    check_ids("code", &image->input[0],
              (int32_t[]){0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15}, 16);
    /* 1 x 2 merged tokens: the row is the middle of all, columns the middles of the halves */
    check_ids("row", &image->input[1], (int32_t[]){64, 64, 64, 64}, 4);
    check_ids("col", &image->input[2], (int32_t[]){32, 96, 32, 96}, 4);
    /* predicted by the token before: the label's bin, not the executed one's */
    check_ids("position", input_of(&b, "action_ce", 0, INPUT_POSITION), (int32_t[]){5, 13}, 2);
    check_ids("target", input_of(&b, "action_ce", 0, TOKEN_TARGET), (int32_t[]){14, 17}, 2);
    check_floats("value", input_of(&b, "action_ce", 0, TOKEN_VALUE), label, 2);
    check_ids("position", input_of(&b, "discrete", 0, INPUT_POSITION), (int32_t[]){6, 14}, 2);
    check_ids("target", input_of(&b, "discrete", 0, TOKEN_TARGET), (int32_t[]){18, 19}, 2);
    check_ids("own", input_of(&b, "discrete", 0, TOKEN_OWN), (int32_t[]){18, 21, 18, 21}, 4);
    CHECK(b.targets == 4 && b.target_sequences == 1);
    /* image tokens 1 (of step 0), 8 and 9 have a token before them; 0 has none */
    check_ids("future", input_of(&b, "image", 0, INPUT_POSITION), (int32_t[]){0, 7, 8}, 3);
    check_ids("future code", input_of(&b, "image", 0, INPUT_OTHER),
              (int32_t[]){2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15}, 12);
    /* steps 0, 2, 3: only 2 -> 3 are neighbours */
    step[2] = step[1];
    step[1].linked = false;
    batch_clear(&b, false, 0, 0);
    add_sequence(&b, step, 3, false);
    check_ids("future across a seam", input_of(&b, "image", 0, INPUT_POSITION),
              (int32_t[]){0, 8, 15, 16}, 4);
    batch_release(&b);
    gato_model_free(m);
}

/* Several horizons at once; two cameras, of which one drops out. */
TEST(horizons_by_hand) {
    gato_config_t c = config_of((const char *const[]){"loss.image=1", "loss.horizon=[1,2]"}, 2);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "wrist", 1);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
    gato_model_t *m = model_of(c, t, 10, 16);
    static const uint32_t codes[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const float action[1] = {0};
    timestep_t step[4];
    for (size_t i = 0; i < 4; i++) {
        step[i] = (timestep_t){.linked = i > 0};
        step[i].slot[0] = (slot_value_t){.codes = codes + 2 * i, .grid_h = 1, .grid_w = 2};
        if (i != 2)
            step[i].slot[1] = (slot_value_t){.codes = codes + 8 + i, .grid_h = 1, .grid_w = 1};
        step[i].slot[2].vector = action;
    }
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, step, 4, false);
    /* front at 0 5 10 14 (two each), wrist at 2 7 16; separators 3 8 12 17 */
    check_ids("near", input_of(&b, "image", 0, INPUT_POSITION),
              (int32_t[]){0, 1, 4, 5, 6, 9, 10, 13, 14, 15}, 10);
    check_ids("near code", input_of(&b, "image", 0, INPUT_OTHER),
              (int32_t[]){1, 8, 2, 3, 9, 4, 5, 6, 7, 11}, 10);
    check_ids("far", input_of(&b, "image", 1, INPUT_POSITION), (int32_t[]){0, 1, 5, 6, 7}, 5);
    check_ids("far code", input_of(&b, "image", 1, INPUT_OTHER), (int32_t[]){4, 5, 6, 7, 11}, 5);
    step[3].linked = false;
    batch_clear(&b, false, 0, 0);
    add_sequence(&b, step, 4, false);
    check_ids("far before a seam", input_of(&b, "image", 1, INPUT_POSITION), (int32_t[]){0, 1}, 2);
    CHECK(params_find(m->params, "predict_future.weight") >= 0 &&
          params_find(m->params, "predict_future.2.weight") >= 0);
    batch_release(&b);
    gato_model_free(m);
}

/* What is known of the image before: nothing in the first of a sequence, behind a seam and behind
 * an image that was missing. Only horizon 1 asks. */
TEST(images_before_by_hand) {
    gato_config_t c = config_of(
        (const char *const[]){"loss.image=1", "loss.horizon=[1,2]", "model.image_last=true"}, 3);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
    gato_model_t *m = model_of(c, t, 12, 16);
    static const uint32_t codes[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const float action[1] = {0};
    timestep_t step[6];
    for (size_t i = 0; i < 6; i++) {
        step[i] = (timestep_t){.linked = i > 0 && i != 2};
        if (i != 4)
            step[i].slot[0] = (slot_value_t){.codes = codes + 2 * i, .grid_h = 1, .grid_w = 2};
        step[i].slot[1].vector = action;
    }
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, step, 6, false);
    check_ids("code", input_of(&b, "image", 0, INPUT_OTHER), (int32_t[]){1, 2, 3, 5, 6, 7, 10, 11},
              8);
    check_ids("last", input_of(&b, "image", 0, INPUT_OTHER + 2),
              (int32_t[]){-1, 0, 1, -1, 4, 5, -1, -1}, 8);
    CHECK(params_find(m->params, "predict_future.last.weight") >= 0 &&
          params_find(m->params, "predict_future.2.last.weight") < 0);
    batch_release(&b);
    gato_model_free(m);
}

/* The vector of the next timestep, read at the token before its own. */
TEST(next_vectors_by_hand) {
    static const float vector[] = {1, 5, 3, 9, -1, 1}, action[1] = {0};
    for (int linear = 0; linear < 2; linear++) {
        gato_config_t c = config_of((const char *const[]){"loss.vector=1", "model.bins=8"}, 2);
        c.model.vector_in = linear ? VECTOR_IN_LINEAR : VECTOR_IN_BINS;
        task_t t = task_new("arm", RECORD_EPISODE);
        slot_t *slot = task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "state", 2);
        slot->mean = floats_of(2, 1);
        slot->deviation = floats_of(2, 4);
        task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 1);
        gato_model_t *m = model_of(c, t, 10, 0);
        timestep_t step[3];
        for (size_t i = 0; i < 3; i++)
            step[i] = (timestep_t){.linked = i == 1,
                                   .slot = {{.vector = vector + 2 * i}, {.vector = action}}};
        batch_t b;
        batch_init(&b, m);
        add_sequence(&b, step, 3, false);
        if (linear) {
            check_ids("position", input_of(&b, "vector", 0, INPUT_POSITION), (int32_t[]){2}, 1);
            check_floats("value", input_of(&b, "vector", 0, INPUT_OTHER), (float[]){0.5f, 2}, 2);
        } else { /* the second number follows the first of its own timestep */
            check_ids("position", input_of(&b, "vector_ce", 0, INPUT_POSITION),
                      (int32_t[]){0, 3, 4, 8}, 4);
            const column_t *id = input_of(&b, "vector_ce", 0, TOKEN_TARGET);
            static const size_t at[] = {1, 4, 5, 9};
            for (size_t i = 0; i < 4; i++)
                CHECK(column_at(id, i) == column_at(&b.id, at[i]), "%zu", i);
        }
        CHECK(b.targets == 3, "%zu: only actions count", b.targets);
        batch_release(&b);
        gato_model_free(m);
    }
}

/* Training by regression: the executed action of the last timestep has no reader, every separator
 * keeps its target. */
TEST(regression_leaves_out_the_last_action_tokens) {
    static const float action[] = {-1, 0.9f, 0, 0}, label[] = {0, 0.1f, 0.2f, 0.3f};
    static const int32_t all[] = {0, 10, 17, 0, 14, 14};
    for (int mix = 0; mix < 2; mix++) {
        gato_config_t c =
            config_of((const char *const[]){"loss.action_kind=mse", "model.bins=8"}, 2);
        if (mix) c.loss.action_kind = ACTION_MIX;
        task_t t = task_new("arm", RECORD_EPISODE);
        task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", 2);
        gato_model_t *m = model_of(c, t, 10, 0);
        timestep_t step[2];
        for (size_t i = 0; i < 2; i++)
            step[i] =
                (timestep_t){.linked = i > 0,
                             .slot[0] = {.vector = action + 2 * i, .label_vector = label + 2 * i}};
        batch_t b;
        batch_init(&b, m);
        add_sequence(&b, step, 2, false);
        check_ids("id", &b.id, all, 6);
        batch_clear(&b, true, 1, 0);
        add_sequence(&b, step, 2, !mix);
        if (mix) {
            check_ids("id with bins as targets", &b.id, all, 6);
        } else {
            add_sequence(&b, step, 2, true);
            check_ids("id in training", &b.id, (int32_t[]){0, 10, 17, 0, 0, 10, 17, 0}, 8);
            check_ids("separator", input_of(&b, "action_mse", 0, INPUT_POSITION),
                      (int32_t[]){0, 3, 4, 7}, 4);
            check_floats("action", input_of(&b, "action_mse", 0, INPUT_OTHER),
                         (float[]){0, 0.1f, 0.2f, 0.3f, 0, 0.1f, 0.2f, 0.3f}, 8);
        }
        batch_release(&b);
        gato_model_free(m);
    }
}

static task_t captions(record_kind_t kind) {
    task_t t = task_new("text", kind);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    return t;
}

TEST(text_and_caption_by_hand) {
    gato_model_t *m = model_of(config_of(NULL, 0), captions(RECORD_IMAGE), 257, 8);
    static const uint32_t words[] = {5, 6, 256}, caption[] = {9, 256}, codes[] = {7, 1};
    timestep_t text = {.slot[1] = {.text = words, .text_len = 3}};
    timestep_t image = {
        .slot = {{.codes = codes, .grid_h = 1, .grid_w = 2}, {.text = caption, .text_len = 2}}};
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, &text, 1, false);
    add_sequence(&b, &image, 1, false);
    check_ids("start", &b.start, (int32_t[]){0, 4, 9}, 3);
    check_ids("id", &b.id, (int32_t[]){5, 6, 256, 0, 0, 0, 9, 256, 0}, 9);
    check_ids("mask", &b.mask, (int32_t[]){1, 1, 1, 0, 0, 0, 1, 1, 0}, 9);
    /* the first token of a sequence has nothing before it */
    check_ids("position", input_of(&b, "text", 0, INPUT_POSITION), (int32_t[]){0, 1, 5, 6}, 4);
    check_ids("target", input_of(&b, "text", 0, TOKEN_TARGET), (int32_t[]){6, 256, 9, 256}, 4);
    CHECK(b.targets == 4 && b.target_sequences == 2);
    batch_release(&b);
    gato_model_free(m);
}

/* A question and its space are read, the answer is to be predicted. */
TEST(questions_are_no_targets) {
    gato_model_t *m = model_of(config_of(NULL, 0), captions(RECORD_TEXT), 257, 8);
    static const uint32_t words[] = {9, 32, 65, 256}, codes[] = {7, 1};
    timestep_t s = {.slot = {{.codes = codes, .grid_h = 1, .grid_w = 2},
                             {.text = words, .text_len = 4, .text_given = 2}}};
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, &s, 1, false);
    check_ids("mask", &b.mask, (int32_t[]){0, 0, 0, 0, 1, 1, 0}, 7);
    check_ids("position", input_of(&b, "text", 0, INPUT_POSITION), (int32_t[]){3, 4}, 2);
    check_ids("target", input_of(&b, "text", 0, TOKEN_TARGET), (int32_t[]){65, 256}, 2);
    batch_release(&b);
    gato_model_free(m);
}

TEST(weights_by_sequence) {
    gato_config_t c = config_of((const char *const[]){"loss.per_sequence=true"}, 1);
    gato_model_t *m = model_of(c, captions(RECORD_TEXT), 257, 0);
    static const uint32_t words[] = {1, 2, 3, 4, 5};
    timestep_t s = {.slot[1] = {.text = words, .text_len = 5}};
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, &s, 1, false);
    s.slot[1].text_len = 3;
    add_sequence(&b, &s, 1, false);
    check_floats("weight", input_of(&b, "text", 0, INPUT_WEIGHT),
                 (float[]){0.25f, 0.25f, 0.25f, 0.25f, 0.5f, 0.5f}, 6);
    CHECK_NEAR(targets_of(&b, "text", 0)->weight, 2, 1e-6);
    batch_release(&b);
    gato_model_free(m);
}

static gato_model_t *patch_model(void) {
    gato_config_t c = config_of((const char *const[]){"model.image_in=patches", "model.patch=4",
                                                      "model.patch_mid=4", "model.patch_groups=2"},
                                4);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "wrist", 1);
    return model_of(c, t, 1, 0);
}

TEST(patches_are_padded_and_normalized) {
    gato_model_t *m = patch_model();
    uint8_t rgb[3 * 5 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 5);
    timestep_t s = {.slot[0] = {.rgb = rgb, .image_h = 3, .image_w = 5}};
    batch_t b;
    batch_init(&b, m);
    add_sequence(&b, &s, 1, false);
    const column_t *pixel = &b.pool[gato_model_pool(m, 0, 0)].input[0];
    REQUIRE(pixel->n == 2 * 4 * 4 * 3);
    for (size_t i = 0; i < 2; i++)
        for (size_t y = 0; y < 4; y++)
            for (size_t x = 0; x < 4; x++)
                for (size_t ch = 0; ch < 3; ch++) {
                    size_t X = i * 4 + x;
                    double v = y < 3 && X < 5 ? (double)rgb[(y * 5 + X) * 3 + ch] : 0;
                    float got = ((const float *)pixel->v)[((i * 4 + y) * 4 + x) * 3 + ch];
                    CHECK_NEAR((double)got, (v / 127.5 - 1) / 2, 1e-6);
                }
    batch_release(&b);
    gato_model_free(m);
}

TEST(drawn_places_follow_their_key) {
    gato_model_t *m = patch_model();
    static uint8_t rgb[16 * 16 * 3];
    timestep_t s = {.slot[0] = {.rgb = rgb, .image_h = 16, .image_w = 16}}, two = s;
    two.slot[1] = s.slot[0];
    batch_t b, again;
    batch_init(&b, m);
    batch_init(&again, m);
    batch_clear(&b, true, 3, 7);
    batch_clear(&again, true, 3, 7);
    batch_begin(&again, 0);
    batch_observation(&again, &s, 0, 99, NULL);
    batch_observation(&again, &two, 2, 5, NULL);
    batch_end(&again);
    batch_begin(&b, 0);
    batch_observation(&b, &s, 2, 5, NULL);
    batch_end(&b);
    const int32_t *one = b.pool[gato_model_pool(m, 0, 0)].input[1].v,
                  *more = again.pool[gato_model_pool(m, 0, 0)].input[1].v;
    CHECK(!memcmp(one, more + 16, 16 * sizeof *one), "a place depends on the batch around it");
    CHECK(memcmp(more, more + 16, 16 * sizeof *one) != 0);
    const int32_t *col = b.pool[gato_model_pool(m, 0, 0)].input[2].v;
    CHECK(one[0] == one[3] && col[1] == col[13], "one draw a row and a column");
    CHECK(memcmp(more + 16, more + 32, 16 * sizeof *one) != 0, "two cameras have one draw");
    batch_release(&b);
    batch_release(&again);
    gato_model_free(m);
}

TEST(buckets) {
    CHECK(graph_bucket(0) == 0 && graph_bucket(1) == 8 && graph_bucket(64) == 64 &&
          graph_bucket(65) == 128 && graph_bucket(1000) == 1024);
    for (size_t n = 1; n < 100000; n += 7)
        CHECK(graph_bucket(n) >= n && (n <= 512 || graph_bucket(n) - n <= n / 8), "%zu", n);
}

/* ---- packing ---- */

static void lengths(batch_t *b, const size_t *n, size_t count) {
    static uint32_t words[4096];
    batch_clear(b, false, 0, 0);
    for (size_t i = 0; i < count; i++) {
        timestep_t s = {.slot[1] = {.text = words, .text_len = n[i] - 1}};
        add_sequence(b, &s, 1, false);
    }
}

/* No two sequences share a position, all lie inside; the same lengths lie the same. */
static double check_packing(const batch_t *b, packing_t *p) {
    size_t n = batch_sequences(b);
    uint8_t *taken = xcalloc(p->B * p->T, 1);
    for (size_t s = 0; s < n; s++) {
        size_t length = (size_t)(column_at(&b->start, s + 1) - column_at(&b->start, s));
        CHECK(p->row[s] < p->B && p->offset[s] + length <= p->T, "%zu", s);
        for (size_t i = 0; i < length; i++) CHECK(!taken[p->row[s] * p->T + p->offset[s] + i]++);
    }
    free(taken);
    double empty = 1 - (double)batch_positions(b) / (double)(p->B * p->T);
    packing_release(p);
    return empty;
}

TEST(packed_rows_leave_little_empty) {
    gato_config_t c = config_of((const char *const[]){"model.context=4096"}, 1);
    gato_model_t *m = model_of(c, captions(RECORD_TEXT), 257, 0);
    batch_t b;
    batch_init(&b, m);
    /* equal lengths: one a row, in order */
    size_t equal[] = {30, 30, 29, 30};
    lengths(&b, equal, 4);
    packing_t p = packing_of(&b, false);
    CHECK(p.B == 4 && p.T == 30);
    for (size_t s = 0; s < 4; s++) CHECK(p.row[s] == s && !p.offset[s]);
    packing_release(&p);
    /* three tasks, any mixture of 16 sequences */
    double all = 0, none = 0;
    for (uint64_t k = 0; k < 200; k++) {
        size_t n[16];
        for (size_t i = 0; i < 16; i++) {
            rng_t r = rng_fold(rng_make(k, "lengths"), i);
            static const uint32_t base[] = {150, 61, 900};
            uint32_t which = rng_below(r, 0, 3);
            n[i] = base[which] + rng_below(r, 1, 8);
        }
        lengths(&b, n, 16);
        p = packing_of(&b, false);
        size_t places = p.B * p.T;
        double empty = check_packing(&b, &p);
        CHECK(empty < 0.25, "mixture %d: %.3f of the positions are empty", (int)k, empty);
        all += (double)places;
        none += empty * (double)places;
    }
    CHECK(none < 0.1 * all, "%.3f of the positions are empty", none / all);
    batch_release(&b);
    gato_model_free(m);
}

/* ---- NEKO's own sequences, where they lie beside the project ---- */

static size_t numbers_of(const cJSON *o, int t, float *v) {
    const cJSON *row = o ? cJSON_GetArrayItem(o, t) : NULL;
    size_t n = row ? (size_t)cJSON_GetArraySize(row) : 0;
    for (size_t i = 0; i < n; i++) v[i] = (float)cJSON_GetArrayItem(row, (int)i)->valuedouble;
    return n;
}

enum { EXAMPLE_STEPS = 8 };
typedef struct {
    float v[4][EXAMPLE_STEPS][8];
    uint32_t id[4][EXAMPLE_STEPS][8], words[8];
    size_t width[4], steps, n_words;
    bool image;
} example_t;

static void read_example(example_t *e, const cJSON *in) {
    static const char *const part[] = {"continuous_obs", "discrete_obs", "continuous_actions",
                                       "discrete_actions"};
    const cJSON *text = cJSON_GetObjectItem(in, "text");
    *e = (example_t){.steps = 1, .image = cJSON_GetObjectItem(in, "images") != NULL};
    for (int k = 0; k < 4; k++) {
        const cJSON *o = cJSON_GetObjectItem(in, part[k]);
        if (o) e->steps = (size_t)cJSON_GetArraySize(o);
        for (size_t t = 0; t < e->steps && o; t++) {
            e->width[k] = numbers_of(o, (int)t, e->v[k][t]);
            for (size_t i = 0; i < 8; i++) e->id[k][t][i] = (uint32_t)fmaxf(e->v[k][t][i], 0);
        }
    }
    e->n_words = text ? (size_t)cJSON_GetArraySize(text) : 0;
    for (size_t i = 0; i < e->n_words; i++)
        e->words[i] = (uint32_t)cJSON_GetArrayItem(text, (int)i)->valueint;
}

/* The example as the only sequence of a model of its own. */
static gato_model_t *example_batch(const example_t *e, batch_t *b) {
    static uint8_t rgb[32 * 48 * 3];
    gato_config_t c = config_of((const char *const[]){"model.image_in=patches"}, 1);
    task_t t = task_new("neko", e->n_words ? RECORD_TEXT : RECORD_EPISODE);
    if (e->image) task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    if (e->n_words) task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    if (e->width[0]) task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "vector", (uint32_t)e->width[0]);
    if (e->width[1]) add_discrete(&t, SIDE_OBSERVED, "flag", (uint32_t)e->width[1], 1024);
    if (e->width[2]) task_add(&t, SLOT_VECTOR, SIDE_ACTED, "action", (uint32_t)e->width[2]);
    if (e->width[3]) add_discrete(&t, SIDE_ACTED, "choice", (uint32_t)e->width[3], 1024);
    gato_model_t *m = model_of(c, t, 300, 0);
    timestep_t step[EXAMPLE_STEPS];
    for (size_t i = 0; i < e->steps; i++) {
        slot_value_t *slot = step[i].slot;
        step[i] = (timestep_t){.linked = i > 0};
        if (e->image) *slot++ = (slot_value_t){.rgb = rgb, .image_h = 32, .image_w = 48};
        if (e->n_words) *slot++ = (slot_value_t){.text = e->words, .text_len = e->n_words};
        for (int k = 0; k < 4; k++) {
            if (!e->width[k]) continue;
            if (k % 2)
                slot++->discrete = e->id[k][i];
            else
                slot++->vector = e->v[k][i];
        }
    }
    batch_init(b, m);
    add_sequence(b, step, e->steps, false);
    return m;
}

TEST(neko_sequences_agree) {
    char *path = golden_path("neko/sequence_layout.json");
    if (!path) return;
    cJSON *o = json_parse_file(path, false, NULL);
    free(path);
    REQUIRE(o);
    const cJSON *example, *examples = cJSON_GetObjectItem(o, "examples");
    size_t seen = 0;
    cJSON_ArrayForEach(example, examples) {
        static example_t e;
        batch_t b;
        read_example(&e, cJSON_GetObjectItem(example, "input"));
        gato_model_t *m = example_batch(&e, &b);
        const cJSON *tokens = cJSON_GetObjectItem(example, "tokens"),
                    *mask = cJSON_GetObjectItem(example, "target_mask");
        REQUIRE(b.id.n == (size_t)cJSON_GetArraySize(tokens), "example %zu: %zu tokens", seen,
                b.id.n);
        for (size_t i = 0; i < b.id.n; i++) {
            int want = cJSON_GetArrayItem(tokens, (int)i)->valueint;
            /* a full value leaves its range there: 1324 is the first discrete id */
            if (want == 1324 && column_at(&b.id, i) == 1323) want = 1323;
            CHECK(column_at(&b.id, i) == want, "example %zu, token %zu: %d", seen, i,
                  column_at(&b.id, i));
            CHECK(column_at(&b.mask, i) == cJSON_GetArrayItem(mask, (int)i)->valueint,
                  "example %zu, mask %zu", seen, i);
        }
        seen++;
        batch_release(&b);
        gato_model_free(m);
    }
    CHECK(seen == 6);
    cJSON_Delete(o);
}
