/* test_table.c - tables for people: the expected lines are written by hand. */
#include "common/base/die.h"
#include "common/base/table.h"
#include "tests/child.h"
#include "tests/test.h"

static int prints(void *arg) {
    die_set_program("p");
    table_t t;
    table_begin(&t, "lrrl", "source", "PSNR", "codes", "note");
    table_text(&t, "clipart");
    table_number(&t, "%.2f", 18.256);
    table_format(&t, "%d/%d", 7, 512);
    table_text(&t, "");
    table_text(&t, "äöü €");
    table_number(&t, "%.2f", (double)NAN);
    table_number(&t, "%.0f", (double)INFINITY);
    table_text(&t, NULL);
    table_print(&t);
    return 0;
}

TEST(columns_are_aligned_and_lines_end_without_spaces) {
    child_t c;
    child_run(prints, NULL, &c);
    CHECK(c.code == 0, "%d", c.code);
    CHECK_STR(c.out, "");
    CHECK_STR(c.err, "p: source    PSNR  codes  note\n"
                     "p: clipart  18.26  7/512\n"
                     "p: äöü €        -      -  -\n");
}

static int prints_plain(void *arg) {
    die_set_program("p");
    table_t t;
    table_begin_plain(&t, "ll");
    for (int i = 0; i < 100; i++) { /* more cells than the first block of memory holds */
        table_format(&t, "row %d", i);
        table_format(&t, "%s", i == 50 ? "a\nb" : "x");
    }
    table_print(&t);
    table_begin_plain(&t, "r"); /* usable again */
    table_text(&t, "7");
    table_print(&t);
    return 0;
}

TEST(many_rows_without_titles) {
    char want[4000] = "";
    child_t c;
    for (int i = 0; i < 100; i++) {
        char line[64];
        snprintf(line, sizeof line, "p: row %d%s  %s\n", i, i < 10 ? " " : "",
                 i == 50 ? "a?b" : "x");
        strcat(want, line);
    }
    strcat(want, "p: 7\n");
    child_run(prints_plain, NULL, &c);
    CHECK(c.code == 0, "%d", c.code);
    CHECK_STR(c.err, want);
}

static int forgets_a_cell(void *arg) {
    table_t t;
    table_begin_plain(&t, "ll");
    table_text(&t, "alone");
    table_print(&t);
    return 0;
}

static int no_such_alignment(void *arg) {
    table_t t;
    table_begin_plain(&t, "lc");
    return 0;
}

TEST(mistakes_of_the_caller_stop_the_program) {
    child_t c;
    child_run(forgets_a_cell, NULL, &c);
    CHECK(c.code != 0 && strstr(c.err, "2 columns with 1 cells"), "%d: %s", c.code, c.err);
    child_run(no_such_alignment, NULL, &c);
    CHECK(c.code != 0 && strstr(c.err, "alignment 'c'"), "%d: %s", c.code, c.err);
}
