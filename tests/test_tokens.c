/* test_tokens.c - numbers as tokens, against values worked out by hand and against exact bin edges
 * in extended precision. */
#include "tests/golden.h"
#include "tests/test.h"

#include "common/io/text/json.h"
#include "gato/task/tokens.h"

#include <stdint.h>

static const tokens_t neko = {.text = 50257, .bins = 1024, .mu = 100, .M = 256};

TEST(vocabulary_ranges) {
    tokens_t t = neko;
    CHECK(tokens_continuous(&t) == 50257 && tokens_discrete(&t) == 51281 &&
          tokens_total(&t) == 52305);
    t.codes = 512;
    CHECK(tokens_codes(&t) == 52305 && tokens_total(&t) == 52817);
}

/* Bins listed in the literature of the format: observations with mu-law, actions without. */
TEST(known_bins) {
    const struct {
        float x;
        uint32_t observed, action;
    } known[] = {{0, 512, 512},     {-0.0f, 512, 512},  {-0.001f, 507, 511}, {1, 744, 1023},
                 {-1, 279, 0},      {1e-45f, 512, 512}, {-INFINITY, 0, 0},   {INFINITY, 1023, 1023},
                 {256, 1023, 1023}, {300, 1023, 1023},  {-300, 0, 0},        {0.999f, 744, 1023},
                 {0.5f, 710, 768}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        CHECK(tokens_bin(known[i].x, 1024) == known[i].action, "%g: %u", (double)known[i].x,
              tokens_bin(known[i].x, 1024));
        uint32_t o = tokens_bin_observation(&neko, known[i].x);
        CHECK(o == known[i].observed, "%g: %u", (double)known[i].x, o);
    }
}

/* A bin is right iff the value lies between its edges; extended precision decides, values within
 * float rounding of an edge excepted. */
TEST(bins_lie_between_their_edges) {
    size_t tested = 0;
    for (int i = -40000; i <= 40000; i++) {
        float x = (float)i * 0.0077f;
        long double m = logl(1 + 100 * fabsl((long double)x)) / logl(25601),
                    at = ((x < 0 ? -m : m) + 1) * 512;
        if (fabsl(at - roundl(at)) < 2e-3L) continue;
        uint32_t want = at < 0 ? 0 : at >= 1024 ? 1023 : (uint32_t)at;
        CHECK(tokens_bin_observation(&neko, x) == want, "%g", (double)x);
        tested++;
    }
    CHECK(tested > 70000, "%zu", tested);
}

TEST(bins_of_other_counts) {
    /* 32 bins of width 1/16: -1 + b/16 <= a */
    CHECK(tokens_bin(-0.9376f, 32) == 0 && tokens_bin(-0.9374f, 32) == 1 &&
          tokens_bin(0.9376f, 32) == 31);
    CHECK(tokens_bin(0.0624f, 32) == 16 && tokens_bin(0.0626f, 32) == 17);
    CHECK(tokens_bin(0, 3) == 1 && tokens_bin(0.4f, 3) == 2 && tokens_bin(-0.4f, 3) == 0);
}

TEST(mu_law_outside_leaves_the_unit_interval_alone) {
    tokens_t t = neko;
    t.outside = true;
    CHECK(tokens_bin_observation(&t, 0.5f) == 768);
    CHECK(tokens_bin_observation(&t, -1) == 0);
    CHECK(tokens_bin_observation(&t, 2) == tokens_bin_observation(&neko, 2));
}

/* A number that stands for a bin has it, whatever the mu-law, and is the mu-law's inverse. */
TEST(numbers_of_bins_have_them) {
    for (int outside = 0; outside < 2; outside++)
        for (uint32_t bins = 2; bins <= 1024; bins = bins * 3 / 2 + 1) {
            tokens_t t = {.text = 9, .bins = bins, .mu = 100, .M = 256, .outside = outside};
            for (uint32_t b = 0; b < bins; b++)
                CHECK(tokens_bin_observation(&t, tokens_observation_value(&t, b)) == b, "%u of %u",
                      b, bins);
        }
    tokens_t t = {.bins = 1024, .mu = 100, .M = 256};
    float x = tokens_observation_value(&t, 900);
    CHECK_NEAR((double)tokens_mu_law(x, 100, 256), (double)tokens_bin_value(900, 1024, false),
               1e-6);
}

TEST(decoding) {
    CHECK(tokens_bin_value(0, 1024, true) == -1);
    CHECK(tokens_bin_value(512, 1024, true) == 0);
    CHECK(tokens_bin_value(512, 1024, false) == 1.0f / 1024);
    CHECK(tokens_bin_value(1023, 1024, true) == 1 - 2.0f / 1024);
    /* A center comes back to its own bin. */
    for (uint32_t b = 0; b < 1024; b++)
        CHECK(tokens_bin(tokens_bin_value(b, 1024, false), 1024) == b, "%u", b);
}

/* Bins of actions behind a mu-law of their own, M = 1: extended precision decides; a bin's center
 * and left edge by the inverse; without mu-law, nothing else. */
TEST(bins_of_actions) {
    tokens_t t = {.text = 257, .bins = 64, .mu = 100, .M = 256, .actions_mu = 100};
    size_t tested = 0;
    for (int i = -11000; i <= 11000; i++) {
        float x = (float)i * 1e-4f;
        long double m = logl(1 + 100 * fabsl((long double)x)) / logl(101),
                    at = ((x < 0 ? -m : m) + 1) * 32;
        if (fabsl(at - roundl(at)) < 1e-4L) continue;
        uint32_t want = at < 0 ? 0 : at >= 64 ? 63 : (uint32_t)at;
        CHECK(tokens_bin_action(&t, x) == want, "%g", (double)x);
        tested++;
    }
    CHECK(tested > 20000, "%zu", tested);
    for (uint32_t b = 0; b < 64; b++)
        for (int left = 0; left < 2; left++) {
            long double y = (2 * b + (left ? 0 : 1)) / 64.0L - 1,
                        x = (powl(101, fabsl(y)) - 1) / 100 * (y < 0 ? -1 : 1);
            CHECK(fabsl((long double)tokens_action_value(&t, b, left) - x) < 1e-7L, "%u", b);
            CHECK(left || tokens_bin_action(&t, tokens_action_value(&t, b, false)) == b, "%u", b);
        }
    CHECK(tokens_bin_action(&t, INFINITY) == 63 && tokens_bin_action(&t, -INFINITY) == 0);
    t.actions_mu = 0;
    for (int i = -200; i <= 200; i++) {
        float x = (float)i * 0.007f;
        CHECK(tokens_bin_action(&t, x) == tokens_bin(x, 64), "%g", (double)x);
    }
    CHECK(tokens_action_value(&t, 40, true) == 0.25f);
}

/* NEKO's own numbers, where they lie beside the project. */
static double hex_float(const char *s) {
    uint32_t bits = (uint32_t)strtoul(s, NULL, 16);
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

TEST(neko_values_agree) {
    char *path = golden_path("neko/continuous_tokens.json");
    if (!path) return;
    cJSON *o = json_parse_file(path, false, NULL);
    free(path);
    REQUIRE(o);
    const cJSON *hex = cJSON_GetObjectItem(o, "value_hex"),
                *observed = cJSON_GetObjectItem(o, "obs_token_mu_law");
    const cJSON *action = cJSON_GetObjectItem(o, "action_token_no_mu_law");
    REQUIRE(hex && observed && action, "members are missing");
    int n = cJSON_GetArraySize(hex);
    CHECK(n == 239, "%d", n);
    for (int i = 0; i < n; i++) {
        float x = (float)hex_float(cJSON_GetArrayItem(hex, i)->valuestring);
        if (isnan(x)) continue;
        int a = cJSON_GetArrayItem(action, i)->valueint,
            b = cJSON_GetArrayItem(observed, i)->valueint;
        if (a > 51280) a = 51280; /* the reference lets a full value leave its range */
        if (b > 51280) b = 51280;
        CHECK((int)(50257 + tokens_bin(x, 1024)) == a, "action %g", (double)x);
        CHECK((int)(50257 + tokens_bin_observation(&neko, x)) == b, "observation %g", (double)x);
    }
    cJSON_Delete(o);
}
