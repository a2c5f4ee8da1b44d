/* test_layout.c - timesteps slot by slot; positions along an axis against their definition in
 * floating point. */
#include "tests/golden.h"
#include "tests/layout_case.h"

/* ---- timesteps ---- */

/* Slots in the order of the task, missing ones without tokens; a mission may come first. */
TEST(slots_in_order) {
    gato_config_t c = config_of((const char *const[]){"model.context=100"}, 1);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "torque", 2);
    task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "state", 3);
    slot_t *front = task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    front->grid_h = front->grid_w = 2;
    slot_t *wrist = task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "wrist", 1);
    wrist->grid_h = 1;
    wrist->grid_w = 3;
    slot_t *mission = task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "mission", 1);
    mission->text_len = 5;
    add_discrete(&t, SIDE_ACTED, "grip", 1, 3);
    enum { FRONT, WRIST, MISSION, STATE, TORQUE, GRIP };
    layout_t l;
    REQUIRE(!layout_declared(&l, &c, &t, NULL));
    static const size_t count[] = {4, 3, 5, 3, 2, 1}, start[] = {0, 4, 7, 12, 16, 18};
    for (uint32_t k = 0; k < 6; k++)
        CHECK(l.count[k] == count[k] && layout_start(&l, k) == start[k], "slot %u: %zu at %zu", k,
              l.count[k], layout_start(&l, k));
    CHECK(layout_observation(&l) == 15 && layout_tokens(&l) == 19);
    CHECK(layout_window(&c, &t) == 5);
    c.model.text_first = true;
    REQUIRE(!layout_declared(&l, &c, &t, NULL));
    CHECK(layout_start(&l, MISSION) == 0 && layout_start(&l, FRONT) == 5 &&
          layout_start(&l, WRIST) == 9 && layout_start(&l, STATE) == 12);
    c.model.control_text = false;
    CHECK(layout_window(&c, &t) == 7);
    c.model.vector_in = VECTOR_IN_LINEAR;
    CHECK(layout_window(&c, &t) == 8);
    c.train.window = 3; /* what training never shows together is not seen together */
    CHECK(layout_window(&c, &t) == 3);
    c.train.window = 9;
    CHECK(layout_window(&c, &t) == 8);
    /* data without the wrist and of another length of text */
    uint32_t codes[4] = {0}, words[2] = {0};
    float state[3] = {0};
    timestep_t s = {.slot[FRONT] = {.codes = codes, .grid_h = 2, .grid_w = 2},
                    .slot[MISSION] = {.text = words, .text_len = 2},
                    .slot[STATE] = {.vector = state}};
    REQUIRE(!layout_of(&l, &c, &t, &s, NULL));
    CHECK(l.count[FRONT] == 4 && !l.count[WRIST] && l.count[MISSION] == 2 && l.count[STATE] == 1);
    CHECK(layout_tokens(&l) == 8 && layout_start(&l, STATE) == 6);
    task_release(&t);
}

/* The text that an image is to be described with never comes before it. */
TEST(captions_follow_their_image) {
    gato_config_t c = config_of((const char *const[]){"model.text_first=true"}, 1);
    task_t t = task_new("caption", RECORD_IMAGE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "text", 1)->text_len = 4;
    t.slot[0].grid_h = t.slot[0].grid_w = 2;
    layout_t l;
    REQUIRE(!layout_declared(&l, &c, &t, NULL));
    CHECK(layout_start(&l, 0) == 0 && layout_start(&l, 1) == 4);
    CHECK(layout_window(&c, &t) == 1);
    task_release(&t);
}

TEST(sizes_that_do_not_fit_have_a_reason) {
    gato_config_t c = config_of((const char *const[]){"model.merge=2"}, 1);
    task_t t = task_new("arm", RECORD_EPISODE);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    static uint32_t codes[300];
    timestep_t s = {.slot[0] = {.codes = codes, .grid_h = 2, .grid_w = 3}};
    layout_t l;
    reason_t why = {""};
    CHECK(layout_of(&l, &c, &t, &s, &why) && strstr(why.text, "grid of 2 x 3"), "%s", why.text);
    c.model.merge = 1;
    s.slot[0].grid_h = 1;
    s.slot[0].grid_w = 129;
    CHECK(layout_of(&l, &c, &t, &s, &why) && strstr(why.text, "1 x 129 tokens"), "%s", why.text);
    s.slot[0].grid_w = 128;
    CHECK(!layout_of(&l, &c, &t, &s, &why) && l.count[0] == 128);
    c.model.patch_pos = POS_NONE;
    s.slot[0].grid_w = 129;
    CHECK(!layout_of(&l, &c, &t, &s, &why) && l.count[0] == 129);
    task_release(&t);
}

/* ---- positions ---- */

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

/* NEKO's own numbers, where they lie beside the project. In training its intervals begin one lower
 * in ten of them (float32 rounding of the edges). */
TEST(neko_positions_agree) {
    char *path = golden_path("neko/patch_positions.json");
    if (!path) return;
    cJSON *o = json_parse_file(path, false, NULL);
    free(path);
    REQUIRE(o);
    const cJSON *row, *rows = cJSON_GetObjectItem(o, "rows");
    size_t n = 0, differ = 0;
    cJSON_ArrayForEach(row, rows) {
        const cJSON *mean = cJSON_GetObjectItem(row, "eval_index"),
                    *interval = cJSON_GetObjectItem(row, "train_allowed_inclusive");
        n++;
        bool same = true;
        for (size_t i = 0; i < n; i++) {
            const cJSON *ends = cJSON_GetArrayItem(interval, (int)i);
            CHECK(layout_position(i, n, 128, false, true, 0) ==
                      cJSON_GetArrayItem(mean, (int)i)->valueint,
                  "%zu of %zu", i, n);
            int low = layout_position(i, n, 128, false, false, 0) -
                      cJSON_GetArrayItem(ends, 0)->valueint,
                high = layout_position(i, n, 128, false, false, 0.99999994f) -
                       cJSON_GetArrayItem(ends, 1)->valueint;
            CHECK(low >= 0 && low <= 1 && high >= 0 && high <= 1, "%zu of %zu", i, n);
            same = same && !low && !high;
        }
        differ += !same;
    }
    CHECK(n == 128 && differ == 10, "%zu rows, %zu differ", n, differ);
    cJSON_Delete(o);
}
