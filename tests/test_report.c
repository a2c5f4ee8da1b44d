/* test_report.c - the parts of `vqvae report` and of the metrics by hand: escaping, base64, metrics
 * of encoder outputs. tests/cli/vqvae_watch.sh reads whole pages.
 */
#include "common/base/die.h"
#include "common/base/rng.h"
#include "common/report/html.h"
#include "tests/test.h"
#include "vqvae/metrics.h"

static void check_text(const char *in, const char *out) {
    html_t h = {0};
    html_text(&h, in);
    CHECK_STR(h.text ? h.text : "", out);
    free(h.text);
}

TEST(text_is_escaped) {
    check_text("", "");
    check_text("plain name_1.png", "plain name_1.png");
    check_text("<b>&\"x'", "&lt;b&gt;&amp;&quot;x&#39;");
    check_text("&amp;", "&amp;amp;");
    check_text("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f");
    check_text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x9d", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x9d");
    check_text("\xff<\xc3", "\\xff&lt;\\xc3");
    check_text("\xc0\xbc", "\\xc0\\xbc"); /* an overlong '<' */
    check_text("\xc2\x85\xc2\xa0", "\\xc2\\x85\xc2\xa0");
}

TEST(base64_of_rfc4648) {
    static const char *const pair[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xff\xfe\xfb", "//77"}};
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        html_t h = {0};
        html_put(&h, "");
        html_base64(&h, (const uint8_t *)pair[i][0], strlen(pair[i][0]));
        CHECK_STR(h.text, pair[i][1]);
        free(h.text);
    }
}

TEST(charts_without_numbers_and_with_few) {
    double x[] = {1, 2, 3}, none[] = {NAN, NAN, NAN}, flat[] = {NAN, 5, 5}, wide[] = {1e-6, 1, 1e6};
    html_t h = {0};
    chart_t c = {
        .title = "T", .x = x, .n = 3, .series = {{NULL, none}}, .n_series = 1, .mark = NAN};
    html_put(&h, "");
    html_chart(&h, &c);
    CHECK_STR(h.text, "");
    for (int i = 0; i < 4; i++) {
        c.series[0].y = i & 1 ? wide : flat;
        c.n = i & 2 ? 2 : 3;
        html_chart(&h, &c);
    }
    CHECK(!strstr(h.text, "nan") && !strstr(h.text, "inf"), "%s", h.text);
    CHECK(strstr(h.text, "<polyline"), "a line");
    free(h.text);
}

TEST(latents_by_hand) {
    static const float z[] = {3, 4, 0, 0, -6, 8}, e[] = {3, 4, 1, 0, -6, 6};
    latents_t f = metrics_latents(z, e, 3, 2);
    CHECK_NEAR(f.norm, 5, 1e-12);                                           /* (5 + 0 + 10) / 3 */
    CHECK_NEAR(f.error, (0 + 1 + 4) / (16 + 0 + 1 + 16 + 25 + 16.0), 1e-9); /* means -1 and 4 */
    CHECK(isnan(metrics_latents(z, NULL, 3, 2).error), "no codes, no error");
    CHECK(isnan(metrics_latents(z, e, 1, 2).error), "one vector has no variance");
}

TEST(latents_against_one_code) {
    /* A single code at the mean of all vectors is as far as their variance. */
    enum { N = 500, D = 7 };
    float *z = xmalloc(N * D * sizeof *z), *e = xmalloc(N * D * sizeof *e);
    double mean[D] = {0};
    rng_t r = rng_make(5, "latents");
    for (size_t i = 0; i < N * D; i++) mean[i % D] += (z[i] = 3 + rng_normal(r, i)) / (double)N;
    for (size_t i = 0; i < N * D; i++) e[i] = (float)mean[i % D];
    CHECK_NEAR(metrics_latents(z, e, N, D).error, 1, 1e-5);
    CHECK_NEAR(metrics_latents(z, z, N, D).error, 0, 0);
    free(z);
    free(e);
}
