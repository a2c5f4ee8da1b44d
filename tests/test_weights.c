/* test_weights.c - parameters from a file: numbers against the ones the test wrote (axes moved by
 * loops of its own), and the list of what does not fit against texts written by hand.
 */
#include "common/io/safetensors/safetensors.h"
#include "common/nn/weights.h"
#include "tests/child.h"
#include "tests/test.h"

enum { OUT = 3, IN = 2, SIDE = 3, ROWS = 4, COLS = 5 };

static float conv_at(size_t o, size_t i, size_t y, size_t x) {
    return (float)(1000 * o + 100 * i + 10 * y + x);
}
static float table_at(size_t r, size_t c) {
    return 0.5f + (float)(10 * r + c);
}

/* A file is a list of tensors; what a test spoils is named here. */
typedef struct {
    const char *conv, *table, *extra; /* names; NULL: absent */
    bool flat_conv;                   /* [OUT, IN * SIDE * SIDE] */
    bool column;                      /* the table as [ROWS,COLS,1,1] */
    float first;                      /* of the table, if not 0 */
} file_t;

static void write_file(const char *path, const file_t *f) {
    static float conv[OUT * IN * SIDE * SIDE], table[ROWS * COLS];
    static const float one = 1;
    for (size_t o = 0; o < OUT; o++)
        for (size_t i = 0; i < IN; i++)
            for (size_t y = 0; y < SIDE; y++)
                for (size_t x = 0; x < SIDE; x++)
                    conv[((o * IN + i) * SIDE + y) * SIDE + x] = conv_at(o, i, y, x);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++) table[r * COLS + c] = table_at(r, c);
    if (f->first != 0) table[0] = f->first;
    st_writer_t *w = st_writer_new();
    reason_t why;
    if (f->conv)
        st_writer_add(w, f->conv, ST_F32, f->flat_conv ? 2 : 4,
                      f->flat_conv ? (uint64_t[]){OUT, IN * SIDE * SIDE}
                                   : (uint64_t[]){OUT, IN, SIDE, SIDE},
                      conv);
    if (f->table)
        st_writer_add(w, f->table, ST_F32, f->column ? 4 : 2, (uint64_t[]){ROWS, COLS, 1, 1},
                      table);
    if (f->extra) st_writer_add(w, f->extra, ST_F32, 1, (uint64_t[]){1}, &one);
    CHECK(!st_write(w, path, &why), "%s", why.text);
    st_writer_free(w);
}

static params_t *declared(void) {
    params_t *p = params_blank();
    params_get(p, "net.conv", 4, (size_t[]){OUT, IN, SIDE, SIDE}, LAYOUT_CONV,
               (param_init_t){INIT_ZERO, 0});
    params_get(p, "net.table", 2, (size_t[]){ROWS, COLS}, LAYOUT_SAME,
               (param_init_t){INIT_ZERO, 0});
    return p;
}

/* "old.x" is our "net.x". */
static bool ours(const void *context, const char *theirs, char out[WEIGHTS_NAME]) {
    if (!strncmp(theirs, "net.", 4)) return snprintf(out, WEIGHTS_NAME, "%s", theirs) > 0;
    if (strncmp(theirs, "old.", 4)) return false;
    return snprintf(out, WEIGHTS_NAME, "net.%s", theirs + 4) > 0;
}
static bool theirs(const void *context, const char *name, char out[WEIGHTS_NAME]) {
    return snprintf(out, WEIGHTS_NAME, "old.%s", name + 4) > 0;
}
static bool ignored(const void *context, const char *name) {
    return !strncmp(name, context, strlen(context));
}
static const char *refusal(const void *context, const char *name) {
    return strcmp(name, "bad.kind") ? NULL : "of a kind that is not supported";
}
static const weights_names_t PLAIN = {.ours = NULL},
                             IGNORING = {.ignored = ignored, .context = "loss."},
                             RENAMED = {.ours = ours,
                                        .theirs = theirs,
                                        .ignored = ignored,
                                        .refusal = refusal,
                                        .context = "loss.",
                                        .loose_axes = true};

/* Reads a file so written; `parts`: tensor by tensor. */
static int read_file(params_t *p, const file_t *f, const weights_names_t *names, bool parts,
                     size_t *passed_over, char text[1024]) {
    char dir[256], path[300];
    snprintf(path, sizeof path, "%s/w.safetensors", child_mkdir(dir));
    write_file(path, f);
    st_file_t file;
    reason_t why = {""};
    int rc = parts ? st_open_parts(&file, path, &why) : st_open(&file, path, &why);
    CHECK(!rc, "%s", why.text);
    if (!rc) {
        rc = weights_read(p, &file, "w", names, passed_over, &why);
        st_close(&file);
    }
    child_rmdir(dir);
    snprintf(text, 1024, "%s", why.text);
    return rc;
}

static void check_numbers(params_t *p) {
    const float *conv = params_ptr(p, PARAMS_VALUE, params_find(p, "net.conv"));
    const float *table = params_ptr(p, PARAMS_VALUE, params_find(p, "net.table"));
    size_t wrong = 0;
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++)
            for (size_t i = 0; i < IN; i++)
                for (size_t o = 0; o < OUT; o++) wrong += *conv++ != conv_at(o, i, y, x);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++) wrong += *table++ != table_at(r, c);
    CHECK(wrong == 0, "%zu numbers", wrong);
}

TEST(numbers_arrive_under_either_names) {
    static const file_t files[] = {
        {.conv = "net.conv", .table = "net.table"},
        {.conv = "old.conv", .table = "net.table", .extra = "loss.w"},
        {.conv = "net.conv", .table = "old.table", .column = true},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (int parts = 0; parts < 2; parts++) {
            params_t *p = declared();
            size_t passed_over = 77;
            char text[1024];
            int rc = read_file(p, &files[i], &RENAMED, parts, &passed_over, text);
            CHECK(rc == RC_OK, "file %zu: exit %d: %s", i, rc, text);
            CHECK(passed_over == (files[i].extra ? 1 : 0), "file %zu: %zu", i, passed_over);
            check_numbers(p);
            params_free(p);
        }
}

TEST(what_does_not_fit_is_told) {
    static const struct {
        file_t file;
        const weights_names_t *names;
        int rc;
        const char *says;
    } cases[] = {
        {{.conv = "net.conv"},
         &PLAIN,
         RC_MISFIT,
         "'w' does not fit its configuration in 1 places: missing tensor 'net.table'"},
        {{.conv = "net.conv"},
         &RENAMED,
         RC_MISFIT,
         "'w' does not fit its configuration in 1 places: missing tensor 'old.table'"},
        {{.conv = "net.conv", .table = "net.table", .extra = "net.bias"},
         &PLAIN,
         RC_MISFIT,
         "'w' does not fit its configuration in 1 places: unknown tensor 'net.bias'"},
        {{.conv = "net.conv", .table = "net.table", .extra = "old.table"},
         &RENAMED,
         RC_MISFIT,
         "'w' does not fit its configuration in 1 places: second tensor 'old.table'"},
        {{.conv = "net.conv", .table = "net.table", .flat_conv = true, .extra = "what"},
         &RENAMED,
         RC_MISFIT,
         "'w' does not fit its configuration in 2 places: another shape of 'net.conv' (3,18, not "
         "3,2,3,3), unknown tensor 'what'"},
        {{.conv = "net.conv", .table = "net.table", .column = true},
         &PLAIN,
         RC_MISFIT,
         "'w' does not fit its configuration in 1 places: another shape of 'net.table' (4,5,1,1, "
         "not 4,5)"},
        {{.conv = "net.conv", .table = "net.table", .extra = "bad.kind"},
         &RENAMED,
         RC_MISFIT,
         "'w': tensor 'bad.kind': of a kind that is not supported"},
        {{.conv = "net.conv", .table = "net.table", .first = NAN},
         &PLAIN,
         RC_DATA,
         "'w': tensor 'net.table' holds a NaN or infinity"},
        {{.conv = "net.conv", .table = "net.table", .first = INFINITY},
         &RENAMED,
         RC_DATA,
         "'w': tensor 'net.table' holds a NaN or infinity"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int parts = 0; parts < 2; parts++) {
            params_t *p = declared();
            char text[1024];
            int rc = read_file(p, &cases[i].file, cases[i].names, parts, NULL, text);
            CHECK(rc == cases[i].rc, "case %zu: exit %d", i, rc);
            CHECK_STR(text, cases[i].says);
            params_free(p);
        }
}

/* Seven are missing: five are named, all are counted, and long names do not overflow the reason. */
TEST(five_of_many) {
    char name[300] = {0}, text[1024];
    params_t *p = params_blank();
    memset(name, 'n', sizeof name - 1);
    for (size_t i = 0; i < 7; i++) {
        name[0] = (char)('0' + i);
        name[i < 6 ? 40 : sizeof name - 1] = 0;
        params_get(p, name, 1, (size_t[]){1}, LAYOUT_SAME, (param_init_t){INIT_ZERO, 0});
    }
    int rc = read_file(p, &(file_t){.extra = "loss.w"}, &IGNORING, false, NULL, text);
    CHECK(rc == RC_MISFIT && strstr(text, "in 7 places: missing tensor '0nnn"), "%d: %s", rc, text);
    int named = 0;
    for (const char *at = text; (at = strstr(at, "missing tensor")); at++) named++;
    CHECK(named == 5, "%d named", named);
    params_free(p);
}

/* ---- several files, and numbers that go elsewhere ---- */

typedef struct {
    params_t *params;
    size_t taken;
} taken_t;
static void take(void *taker, int index, const float *numbers) {
    taken_t *t = taker;
    t->taken++;
    params_import(t->params, PARAMS_VALUE, index, numbers);
}

/* The network in two files. */
static int read_two(params_t *p, const file_t two[2], const weights_names_t *names,
                    char text[1024]) {
    char dir[256];
    weights_file_t in[2];
    st_file_t file[2];
    reason_t why = {""};
    child_mkdir(dir);
    for (size_t i = 0; i < 2; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%zu.safetensors", dir, i);
        write_file(path, &two[i]);
        CHECK(!st_open_parts(&file[i], path, &why), "%s", why.text);
        in[i] = (weights_file_t){&file[i], i ? "b" : "a", names};
    }
    int rc = weights_read_files(p, in, 2, NULL, &why);
    for (size_t i = 0; i < 2; i++) st_close(&file[i]);
    child_rmdir(dir);
    snprintf(text, 1024, "%s", why.text);
    return rc;
}

TEST(a_network_in_two_files) {
    char text[1024];
    params_t *p = declared();
    taken_t taken = {p, 0};
    weights_names_t names = {.take = take, .taker = &taken};
    int rc = read_two(p, (file_t[]){{.conv = "net.conv"}, {.table = "net.table"}}, &names, text);
    CHECK(rc == RC_OK && taken.taken == 2, "exit %d, %zu taken: %s", rc, taken.taken, text);
    check_numbers(p);
    rc = read_two(p, (file_t[]){{.conv = "net.conv"}, {.table = "net.tab"}}, &PLAIN, text);
    CHECK(rc == RC_MISFIT &&
              !strcmp(text, "'a' and 'b' do not fit their configuration in 2 places: "
                            "unknown tensor 'net.tab', missing tensor 'net.table'"),
          "exit %d: %s", rc, text);
    rc = read_two(p, (file_t[]){{.conv = "net.conv", .table = "net.table"}, {.conv = "net.conv"}},
                  &PLAIN, text);
    CHECK(rc == RC_MISFIT && strstr(text, "second tensor 'net.conv'"), "exit %d: %s", rc, text);
    params_free(p);
}

/* Nothing is taken before all fits; a NaN is found all the same. */
TEST(taken_whole_or_not_at_all) {
    char text[1024];
    size_t passed_over;
    params_t *p = declared();
    taken_t taken = {p, 0};
    weights_names_t names = {.take = take, .taker = &taken};
    int rc = read_file(p, &(file_t){.conv = "net.conv", .table = "net.table", .extra = "odd"},
                       &names, true, &passed_over, text);
    CHECK(rc == RC_MISFIT && !taken.taken && strstr(text, "'odd'"), "exit %d: %s", rc, text);
    rc = read_file(p, &(file_t){.conv = "net.conv", .table = "net.table", .first = NAN}, &names,
                   true, &passed_over, text);
    CHECK(rc == RC_DATA && strstr(text, "'net.table' holds a NaN"), "exit %d: %s", rc, text);
    params_free(p);
}
