/* test_level.c - the levels of the kernels: those that this processor has by the system's own list
 * of what it can, refusals, and that a chosen level is the one that runs.
 */
#include "common/kernel/kernel.h"
#include "tests/test.h"

/* Is every word of `wanted` among the flags of /proc/cpuinfo? */
static bool processor_has(const char *wanted) {
    static char flags[8192];
    if (!*flags) {
        FILE *f = fopen("/proc/cpuinfo", "r");
        while (f && fgets(flags, sizeof flags, f) && strncmp(flags, "flags", 5)) flags[0] = 0;
        if (f) fclose(f);
        flags[strcspn(flags, "\n")] = ' ';
    }
    char words[256], *rest;
    snprintf(words, sizeof words, "%s", wanted);
    for (char *w = strtok_r(words, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        char spaced[64];
        snprintf(spaced, sizeof spaced, " %s ", w);
        if (!strstr(flags, spaced)) return false;
    }
    return true;
}

typedef struct {
    const char *level, *flags;
} needs_t;
static const needs_t needs[] = {
    {"base", ""},
    {"avx2", "avx2 fma"},
    {"avx2_vnni", "avx2 fma avx_vnni"},
    {"avx512", "avx2 fma avx512f avx512bw avx512dq avx512vl"},
    {"avx512_vnni", "avx2 fma avx512f avx512bw avx512dq avx512vl avx512_vnni"},
};

TEST(levels_of_this_processor) {
    if (kern_levels() == 1) {
        CHECK_STR(kern_level_name(0), "single");
        CHECK(kern_level_here(0));
        return;
    }
    REQUIRE(kern_levels() == sizeof needs / sizeof *needs);
    for (size_t i = 0; i < kern_levels(); i++) {
        CHECK_STR(kern_level_name(i), needs[i].level);
        CHECK(kern_level_here(i) == processor_has(needs[i].flags), "%s: '%s'", needs[i].level,
              needs[i].flags);
    }
}

TEST(levels_are_refused) {
    size_t before = kern_level();
    reason_t why = {0};
    CHECK(kern_level_choose("avx3", &why) == -1 && strstr(why.text, "'avx3'"), "%s", why.text);
    CHECK(kern_level_choose("", &why) == -1);
    for (size_t i = 0; i < kern_levels(); i++)
        if (!kern_level_here(i)) {
            CHECK(kern_level_choose(kern_level_name(i), &why) == -1);
            CHECK(strstr(why.text, kern_level_name(i)), "%s", why.text);
        }
    CHECK(kern_level() == before);
}

/* (1 + e)(1 - e) - 1 is -e^2 where a product is added without rounding in between, else 0. */
TEST(the_chosen_level_runs) {
    size_t before = kern_level();
    const float e = 0x1p-13f, left[2] = {-1, 1 + e}, right[2] = {1, 1 - e};
    for (size_t i = 0; kern_levels() > 1 && i < kern_levels(); i++) {
        if (!kern_level_here(i)) continue;
        reason_t why;
        float sum = 9;
        REQUIRE(kern_level_choose(kern_level_name(i), &why) == 0, "%s", why.text);
        CHECK(kern_level() == i);
        kern_gemm(false, false, 1, 1, 2, left, 2, right, 1, &sum, 1, false, NULL);
        CHECK(sum == (i ? -e * e : 0), "%s: %g", kern_level_name(i), (double)sum);
    }
    reason_t why;
    CHECK(kern_level_choose(kern_level_name(before), &why) == 0);
}
