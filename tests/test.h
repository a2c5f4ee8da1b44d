/* test.h - the unit tests' frame: TEST(name) registers, CHECK records, main (made here) runs and
 * closes with "N passed, N failed" (", N skipped" where a test said SKIP).
 *
 * A test binary takes an optional substring to select tests. Exit 1 when anything failed or nothing
 * ran.
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
} test_t;
static test_t *test_list, **test_tail = &test_list;
static int test_failures; /* of the running test */
static int test_skips;    /* of the running test */

#define TEST(fn)                                                                                   \
    static void fn(void);                                                                          \
    __attribute__((constructor)) static void fn##_register(void) {                                 \
        static test_t self = {#fn, fn, NULL};                                                      \
        *test_tail = &self;                                                                        \
        test_tail = &self.next;                                                                    \
    }                                                                                              \
    static void fn(void)

#define CHECK_OR(otherwise, cond, ...)                                                             \
    do {                                                                                           \
        if (!(cond)) { /* evaluated once: it may be the call under test */                         \
            if (test_failures++ < 5) {                                                             \
                fprintf(stderr, "  %s:%d: %s:", __FILE__, __LINE__, #cond);                        \
                fprintf(stderr, " " __VA_ARGS__);                                                  \
                fputc('\n', stderr);                                                               \
            }                                                                                      \
            otherwise;                                                                             \
        }                                                                                          \
    } while (0)
#define CHECK(cond, ...) CHECK_OR((void)0, cond, __VA_ARGS__)
/* Counts the test as skipped, unless a check fails; it goes on. */
#define SKIP(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "skipped: " __VA_ARGS__);                                                  \
        fputc('\n', stderr);                                                                       \
        test_skips++;                                                                              \
    } while (0)
/* Stops the test when false. */
#define REQUIRE(cond, ...) CHECK_OR(return, cond, __VA_ARGS__)
#define CHECK_NEAR(a, b, tol)                                                                      \
    do {                                                                                           \
        double a_ = (a), b_ = (b);                                                                 \
        CHECK(fabs(a_ - b_) <= (tol), "%.9g against %.9g", a_, b_);                                \
    } while (0)
#define CHECK_STR(a, b) CHECK(strcmp((a), (b)) == 0, "\"%s\" against \"%s\"", (a), (b))

int main(int argc, char **argv) {
    int passed = 0, failed = 0, skipped = 0;
    for (test_t *t = test_list; t; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1])) continue;
        test_failures = test_skips = 0;
        t->run();
        if (test_failures) {
            printf("FAIL %s (%d checks)\n", t->name, test_failures);
            failed++;
        } else if (test_skips) {
            skipped++;
        } else {
            passed++;
        }
        fflush(stdout);
    }
    printf("%d passed, %d failed", passed, failed);
    if (skipped) printf(", %d skipped", skipped);
    putchar('\n');
    return failed || !(passed + skipped);
}

#endif
