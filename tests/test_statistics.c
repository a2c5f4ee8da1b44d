/* test_statistics.c - gato/statistics.h against scipy (tests/reference/make_statistics.py), and
 * cases that are known by hand. */
#include "gato/statistics.h"

#include "tests/test.h"

enum { MOST = 512 };

/* The numbers behind `name` in a line of the reference; 0: another line. */
static size_t numbers(char *line, const char *name, double v[MOST]) {
    size_t n = 0;
    char *word = strtok(line, " \n");
    if (!word || strcmp(word, name)) return 0;
    while ((word = strtok(NULL, " \n")) && n < MOST) v[n++] = strtod(word, NULL);
    return n;
}

/* Calls check for each line of that name, of which there must be `lines`. */
static void each(const char *name, size_t lines, void (*check)(const double *v, size_t n)) {
    static char line[1 << 16];
    double v[MOST];
    FILE *f = fopen("tests/reference/statistics.txt", "r");
    REQUIRE(f, "no reference");
    while (fgets(line, sizeof line, f)) {
        size_t n = numbers(line, name, v);
        if (!n) continue;
        check(v, n);
        lines--;
    }
    fclose(f);
    CHECK(!lines, "lines are missing");
}

static void check_wilson(const double *v, size_t n) {
    double ci[2];
    statistics_wilson(v[0], v[1], ci);
    CHECK_NEAR(ci[0], v[2], 1e-12);
    CHECK_NEAR(ci[1], v[3], 1e-12);
}
TEST(wilson) {
    each("wilson", 8, check_wilson);
}

static void check_mcnemar(const double *v, size_t n) {
    CHECK_NEAR(statistics_mcnemar((size_t)v[0], (size_t)v[1]), v[2], 1e-9 * v[2]);
}
TEST(mcnemar) {
    each("mcnemar", 11, check_mcnemar);
}

static void check_share(const double *v, size_t n) {
    CHECK_NEAR(statistics_smallest_share(v[0], v[1]), v[2], 1e-9);
}
TEST(smallest_share) {
    each("share", 8, check_share);
}

static void check_mean(const double *v, size_t n) {
    CHECK_NEAR(statistics_smallest_mean(v[0]), v[1], 1e-12);
}
TEST(smallest_mean) {
    each("mean", 3, check_mean);
}

/* Two bootstraps draw otherwise: their ends differ by a few hundredths of the interval. */
static void check_bootstrap(const double *v, size_t n) {
    size_t group[2] = {0, n - 2};
    differences_t d = {v + 2, group, 1};
    double ci[2], again[2], width = v[1] - v[0], sum = 0;
    statistics_bootstrap(&d, 100000, 1, ci);
    CHECK_NEAR(ci[0], v[0], 0.015 * width);
    CHECK_NEAR(ci[1], v[1], 0.015 * width);
    statistics_bootstrap(&d, 100000, 1, again);
    CHECK(ci[0] == again[0] && ci[1] == again[1], "the same seed");
    statistics_bootstrap(&d, 100000, 2, again);
    CHECK(ci[0] != again[0] || ci[1] != again[1], "another seed");
    for (size_t i = 2; i < n; i++) sum += v[i];
    CHECK_NEAR(statistics_mean(&d), sum / (double)(n - 2), 1e-12);
}
TEST(bootstrap) {
    each("bootstrap", 2, check_bootstrap);
}

/* Pairs of a training that agree say nothing about trainings: three of them, drawn with
 * replacement, are all the worst one in 1 of 27 cases. */
TEST(trainings_are_drawn_too) {
    double v[300], ci[2];
    for (int i = 0; i < 300; i++) v[i] = i / 100;
    size_t group[4] = {0, 100, 200, 300};
    differences_t three = {v, group, 3};
    statistics_bootstrap(&three, 20000, 0, ci);
    CHECK(ci[0] == 0 && ci[1] == 2, "%g to %g", ci[0], ci[1]);
    /* as one training: the standard error of a mean of 300 */
    size_t all[2] = {0, 300};
    differences_t one = {v, all, 1};
    statistics_bootstrap(&one, 20000, 0, ci);
    CHECK_NEAR(ci[1] - ci[0], 2 * 1.96 * sqrt(2.0 / 3 / 300), 0.01);
    /* trainings count alike, whatever their pairs; an empty one does not count */
    size_t uneven[4] = {0, 150, 150, 300};
    differences_t two = {v, uneven, 3};
    CHECK_NEAR(statistics_mean(&two), (1.0 / 3 + 5.0 / 3) / 2, 1e-12);
}

TEST(deviation) {
    const double v[4] = {2, 4, 4, 6};
    CHECK_NEAR(statistics_deviation(v, 4), sqrt(8.0 / 3), 1e-12);
    CHECK(isnan(statistics_deviation(v, 1)), "one number has none");
}
