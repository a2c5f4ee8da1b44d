/* test_cli.c - command lines as a user meets them: values, defaults, typos, help, and a stdout that
 * cannot be written.
 */
#include "common/base/cli.h"
#include "common/base/die.h"
#include "tests/child.h"
#include "tests/test.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>

typedef struct {
    bool resume;
    const char *out;
    int64_t steps;
    uint64_t seed;
    double noise, limit;
    cli_list_t data, words;
} args_t;

static void parse(int argc, char **argv, args_t *a) {
    const cli_opt_t own[] = {
        {"--out", CLI_STR, &a->out, "RUN", "folder of the run", true},
        {"--data", CLI_LIST, &a->data, "SRC", "sources", false},
        {"--noise", CLI_DOUBLE, &a->noise, "P", "share of noise", false},
        {"", CLI_LIST, &a->words, "FILE", "inputs", false},
        {0},
    };
    const cli_opt_t common[] = {
        {"--resume", CLI_FLAG, &a->resume, NULL, "go on", false},
        {"--steps", CLI_INT, &a->steps, "N", "optimizer steps", false},
        {"--seed", CLI_U64, &a->seed, "S", "seed of all random numbers", false},
        {"--time-limit", CLI_DURATION, &a->limit, "T", "stop after this time", false},
        {0},
    };
    const cli_opt_t *const tables[] = {own, common};
    cli_parse(argc, argv, "train", "Trains a model.", tables, 2);
}

static args_t defaults(void) {
    return (args_t){.steps = 1000, .noise = NAN};
}

/* Splits at blanks; "''" is an empty word. */
static int words(char *line, char **argv) {
    int argc = 0;
    for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
        argv[argc++] = strcmp(w, "''") == 0 ? "" : w;
    argv[argc] = NULL;
    return argc;
}

static args_t parsed(const char *line) {
    static char copy[512];
    static char *argv[64];
    args_t a = defaults();
    snprintf(copy, sizeof copy, "train %s", line);
    parse(words(copy, argv), argv, &a);
    return a;
}

static int show(int argc, char **argv) {
    args_t a = defaults();
    parse(argc, argv, &a);
    printf("%s\n", a.out);
    return 0;
}
static int quiet(int argc, char **argv) {
    return 3;
}
static void version(void) {
    printf("1.2.3\n");
}
static const cli_command_t commands[] = {
    {"train", "trains", show}, {"quiet", "says nothing", quiet}, {0}};

static int program(void *line) {
    char copy[512], *argv[64];
    snprintf(copy, sizeof copy, "vqvae %s", (char *)line);
    return cli_main(words(copy, argv), argv, "vqvae", "Image tokens.", commands, version);
}

static child_t ran(const char *line) {
    child_t c;
    child_run(program, (void *)line, &c);
    return c;
}

TEST(cli_values) {
    args_t a = parsed("--out run --steps -5 --seed 18446744073709551615 --resume --time-limit 2h");
    CHECK_STR(a.out, "run");
    CHECK(a.steps == -5 && a.seed == UINT64_MAX && a.resume && a.limit == 7200 && isnan(a.noise) &&
          !a.data.n && !a.words.n);
    a = parsed("--out=a=b --steps=7 --noise=-.5e-3");
    CHECK_STR(a.out, "a=b");
    CHECK(a.steps == 7 && a.noise == -0.0005 && !a.resume && a.seed == 0);
    a = parsed("--out '' -");
    CHECK(a.out && !*a.out && a.words.n == 1);
    free(a.words.item);
}

TEST(cli_lists) {
    args_t a = parsed("x --data a b=0.5 --out r y --data=c -- --data -z");
    CHECK(a.data.n == 3 && a.words.n == 4);
    if (a.data.n != 3 || a.words.n != 4) return;
    CHECK_STR(a.data.item[0], "a");
    CHECK_STR(a.data.item[1], "b=0.5");
    CHECK_STR(a.data.item[2], "c");
    CHECK_STR(a.words.item[0], "x");
    CHECK_STR(a.words.item[1], "y");
    CHECK_STR(a.words.item[2], "--data");
    CHECK_STR(a.words.item[3], "-z");
    free(a.data.item);
    free(a.words.item);
}

TEST(cli_typos_and_bad_values) {
    static const char *const line[][2] = {
        {"train --ouput r", "vqvae train: unknown option '--ouput' (did you mean '--out'?)\n"},
        {"train --out r --step 5",
         "vqvae train: unknown option '--step' (did you mean '--steps'?)\n"},
        {"train --sede=5", "vqvae train: unknown option '--sede' (did you mean '--seed'?)\n"},
        {"train --frobnicate",
         "vqvae train: unknown option '--frobnicate' (see 'vqvae train --help')\n"},
        {"train -q", "vqvae train: unknown option '-q' (see 'vqvae train --help')\n"},
        {"train", "vqvae train: missing option '--out' (see 'vqvae train --help')\n"},
        {"train --out", "vqvae train: option '--out' needs a value (RUN)\n"},
        {"train --out --resume", "vqvae train: option '--out' needs a value (RUN)\n"},
        {"train --out r --resume=1", "vqvae train: option '--resume' takes no value\n"},
        {"train --steps 5x", "vqvae train: option '--steps' wants an integer, got '5x'\n"},
        {"train --steps 1e3", "vqvae train: option '--steps' wants an integer, got '1e3'\n"},
        {"train --steps=", "vqvae train: option '--steps' wants an integer, got ''\n"},
        {"train --steps 9223372036854775808",
         "vqvae train: option '--steps' wants an integer of 64 bits, got '9223372036854775808'\n"},
        {"train --seed -1", "vqvae train: option '--seed' wants an integer from 0 up, got '-1'\n"},
        {"train --noise nan", "vqvae train: option '--noise' wants a number, got 'nan'\n"},
        {"train --noise 0x10", "vqvae train: option '--noise' wants a number, got '0x10'\n"},
        {"train --noise 1.5.2", "vqvae train: option '--noise' wants a number, got '1.5.2'\n"},
        {"train --noise 1e999",
         "vqvae train: option '--noise' wants a finite number, got '1e999'\n"},
        {"train --noise 1,5", "vqvae train: option '--noise' wants a number, got '1,5'\n"},
        {"train --time-limit 2x", "vqvae train: option '--time-limit' wants a duration (90, 90s, "
                                  "15m, 2h or 1d), got '2x'\n"},
        {"trian", "vqvae: unknown command 'trian' (did you mean 'train'?)\n"},
        {"zzz", "vqvae: unknown command 'zzz' (see 'vqvae --help')\n"},
    };
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        child_t c = ran(line[i][0]);
        CHECK(c.code == 2 && !*c.out, "%s: code %d", line[i][0], c.code);
        CHECK_STR(c.err, line[i][1]);
    }
}

static int no_words(int argc, char **argv) {
    cli_parse(argc, argv, "vqvae info", "", NULL, 0);
    return 0;
}
static int wants_word(int argc, char **argv) {
    cli_list_t list = {0};
    const cli_opt_t table[] = {{"", CLI_LIST, &list, "RUN", "", true}, {0}};
    const cli_opt_t *const tables[] = {table};
    cli_parse(argc, argv, "info", "", tables, 1);
    return 0;
}
static int info_program(void *arg) {
    static const cli_command_t two[] = {{"info", "", no_words}, {"word", "", wants_word}, {0}};
    char *argv[] = {"vqvae", ((char **)arg)[0], ((char **)arg)[1], NULL};
    return cli_main(argv[2] ? 3 : 2, argv, "vqvae", "", two, version);
}

TEST(cli_words_are_checked) {
    child_t c;
    child_run(info_program, (char *[]){"info", "x"}, &c);
    CHECK(c.code == 2);
    CHECK_STR(c.err, "vqvae info: unexpected word 'x' (see 'vqvae info --help')\n");
    child_run(info_program, (char *[]){"word", NULL}, &c);
    CHECK(c.code == 2);
    CHECK_STR(c.err, "vqvae info: missing RUN (see 'vqvae info --help')\n");
    child_run(info_program, (char *[]){"word", "x"}, &c);
    CHECK(c.code == 0 && !*c.err);
}

TEST(cli_help_and_version) {
    child_t c = ran("train --frob --help");
    CHECK(c.code == 0 && !*c.err);
    CHECK(strstr(c.out, "usage: vqvae train --out RUN [options]\nTrains a model.\n") == c.out, "%s",
          c.out);
    CHECK(strstr(c.out, "\n  --steps N                 optimizer steps (default 1000)\n") != NULL,
          "%s", c.out);
    CHECK(strstr(c.out, "\n  --out RUN                 folder of the run (required)\n") != NULL,
          "%s", c.out);
    CHECK(strstr(c.out, "\n  --noise P                 share of noise\n") != NULL, "%s", c.out);
    CHECK(strstr(c.out, "\n  --resume                  go on\n") != NULL, "%s", c.out);
    c = ran("");
    CHECK(c.code == 2 && !*c.out && strstr(c.err, "  train          trains\n"), "%s", c.err);
    c = ran("--help");
    CHECK(c.code == 0 && !*c.err && strstr(c.out, "usage: vqvae COMMAND") == c.out);
    c = ran("--version");
    CHECK(c.code == 0 && strcmp(c.out, "1.2.3\n") == 0 && !*c.err);
    c = ran("quiet");
    CHECK(c.code == 3 && !*c.out && !*c.err);
    c = ran("train --out r");
    CHECK(c.code == 0 && strcmp(c.out, "r\n") == 0 && !*c.err);
}

TEST(cli_durations) {
    CHECK(cli_duration("90") == 90 && cli_duration("90s") == 90 && cli_duration("15m") == 900 &&
          cli_duration("1d") == 86400);
    CHECK(cli_duration("1.5h") == 5400 && cli_duration("0") == 0);
    static const char *const bad[] = {"",  "h",   "-1",  "1.2.3", "1hh", "1 h",
                                      ".", "1e3", "inf", "0x10",  "+5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(cli_duration(bad[i]) == -1, "%s", bad[i]);
}

TEST(cli_colors) {
    uint8_t c[3] = {1, 2, 3};
    static const char *const bad[] = {"",        "1,2",    "256,2,3", "1,256,3", "1,2,256",
                                      "1,2,3,4", "1,2,3 ", "-1,2,3",  "a,b,c",   "1;2;3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!cli_rgb(bad[i], c) && c[0] == 1 && c[1] == 2 && c[2] == 3, "%s", bad[i]);
    CHECK(cli_rgb("255,0,16", c) && c[0] == 255 && c[1] == 0 && c[2] == 16);
}

TEST(cli_nearest_names) {
    static const char *const names[] = {"train", "eval", "reconstruct", "optim.lr", "optim.eps"};
    static const char *const pair[][2] = {{"trian", "train"},
                                          {"tran", "train"},
                                          {"evaluate", NULL},
                                          {"reconstuct", "reconstruct"},
                                          {"optim.lt", "optim.lr"},
                                          {"xyz", NULL},
                                          {"", NULL},
                                          {"x", NULL},
                                          {"eva", "eval"},
                                          {"evl", "eval"},
                                          {"optmi.eps", "optim.eps"}};
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        const char *got = cli_nearest(pair[i][0], names, 5);
        CHECK(pair[i][1] ? got && strcmp(got, pair[i][1]) == 0 : !got, "%s: %s", pair[i][0],
              got ? got : "none");
    }
    char longest[500];
    memset(longest, 'a', 499);
    longest[499] = 0;
    CHECK(!cli_nearest(longest, names, 5));
}

/* ---- stdout ---- */

static int full(void *line) {
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0 || dup2(fd, 1) < 0) return 99;
    return program(line);
}
static int closed(void *line) {
    close(1);
    return program(line);
}
static int no_reader(void *line) {
    int fd[2];
    if (pipe(fd) || dup2(fd[1], 1) < 0) return 99;
    close(fd[0]);
    close(fd[1]);
    return program(line);
}
static int no_reader_ignored(void *line) {
    signal(SIGPIPE, SIG_IGN);
    return no_reader(line);
}

TEST(fault_071_stdout_full_or_closed) {
    child_t c;
    static const char *const talks[] = {"train --out r", "--help", "--version", "train --help"};
    for (size_t i = 0; i < 4; i++) {
        child_run(full, (void *)talks[i], &c);
        CHECK(c.code == 1, "%s: %d", talks[i], c.code);
        CHECK_STR(c.err, "vqvae: cannot write to standard output: No space left on device\n");
        child_run(closed, (void *)talks[i], &c);
        CHECK(c.code == 1, "%s: %d", talks[i], c.code);
        CHECK_STR(c.err, "vqvae: cannot write to standard output: Bad file descriptor\n");
    }
    child_run(closed, "quiet", &c); /* who prints nothing needs no stdout */
    CHECK(c.code == 3 && !*c.err, "%d %s", c.code, c.err);
}

static int opens_file(int argc, char **argv) {
    int fd = open("/dev/null", O_WRONLY);
    return fd > 2 ? 0 : 50 + fd;
}
static int all_closed(void *arg) {
    static const cli_command_t one[] = {{"open", "", opens_file}, {0}};
    char *argv[] = {"vqvae", "open", NULL};
    for (int fd = 0; fd < 3; fd++) close(fd);
    return cli_main(2, argv, "vqvae", "", one, version);
}

TEST(fault_071_files_never_take_a_standard_number) {
    child_t c;
    child_run(all_closed, NULL, &c);
    CHECK(c.code == 0, "%d", c.code);
}

TEST(fault_057_sigpipe_is_quiet) {
    child_t c;
    child_run(no_reader, "train --out r", &c);
    CHECK(c.code == 128 + SIGPIPE && !*c.err, "%d %s", c.code, c.err);
    child_run(no_reader_ignored, "train --out r", &c);
    CHECK(c.code == 1 && !*c.err, "%d %s", c.code, c.err);
}

/* ---- locale ---- */

static int number_command(int argc, char **argv) {
    double v = 0;
    const cli_opt_t table[] = {{"--v", CLI_DOUBLE, &v, "V", "", false}, {0}};
    const cli_opt_t *const tables[] = {table};
    cli_parse(argc, argv, "n", "", tables, 1);
    printf("%g\n", v);
    return 0;
}
static int german(void *locale) {
    static const cli_command_t one[] = {{"n", "", number_command}, {0}};
    char *argv[] = {"vqvae", "n", "--v", "1.5", NULL};
    if (!setlocale(LC_ALL, locale)) return 77;
    char text[8];
    snprintf(text, sizeof text, "%.1f", 0.5);
    if (text[1] != ',') return 78;
    return cli_main(4, argv, "vqvae", "", one, version);
}

TEST(fault_073_locale_de_DE) {
    char dir[256], command[400];
    child_mkdir(dir);
    snprintf(command, sizeof command,
             "localedef -i de_DE -f UTF-8 --no-archive %s/de_DE.UTF-8 >/dev/null 2>&1", dir);
    bool made = system(command) == 0;
    if (made) setenv("LOCPATH", dir, 1);
    child_t c;
    child_run(german, "de_DE.UTF-8", &c);
    CHECK(c.code == 0 || (c.code == 77 && !made), "%d", c.code);
    if (c.code == 0)
        CHECK_STR(c.out, "1.5\n");
    else
        fprintf(stderr, "  no de_DE locale on this machine\n");
    unsetenv("LOCPATH");
    child_rmdir(dir);
}
