/* cli.h - command lines: a table of options per command, usage text with live defaults, and the
 * nearest name for a typo.
 *
 * A program has commands (vqvae train, vqvae eval, ...). Each has a table of options bound to the
 * caller's variables. What a variable holds before cli_parse is the default that the usage text
 * shows:
 *
 *     const char *data = NULL;
 *     int64_t steps = 1000;
 *     const cli_opt_t options[] = {
 *         {"--data", CLI_STR, &data, "DIR", "the images", .required = true},
 *         {"--steps", CLI_INT, &steps, "N", "optimizer steps"},
 *         {0}};
 *     cli_parse(argc, argv, "vqvae train", "trains a tokenizer",
 *               (const cli_opt_t *[]){options}, 1);
 */
#ifndef BASE_CLI_H
#define BASE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { CLI_FLAG, CLI_STR, CLI_INT, CLI_U64, CLI_DOUBLE, CLI_DURATION, CLI_LIST } cli_kind_t;

/* A list of strings: an option given several times, or followed by several words ("--image a.png
 * b.png"). The words are those of argv, not copies. */
typedef struct {
    const char **item;
    size_t n, cap;
} cli_list_t;

typedef struct {
    const char *name; /* "--data"; "" = words without an option, collected in a CLI_LIST */
    cli_kind_t kind;
    /* The caller's variable. In the order of cli_kind_t: bool, const char *, int64_t, uint64_t,
     * double, double (seconds), cli_list_t. */
    void *value;
    const char *arg; /* placeholder in the usage text, NULL for flags */
    const char *help;
    bool required;
} cli_opt_t;

typedef struct {
    const char *name; /* "train" */
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
} cli_command_t;

/* Parses argv[1..] into the variables of n_tables tables, each ending with {0}: a command's own
 * options, then common ones.
 *
 * --help prints the usage to stdout and exits 0. Anything wrong is one line on stderr, with the
 * nearest option's name, and exit 2. */
void cli_parse(int argc, char **argv, const char *command, const char *summary,
               const cli_opt_t *const *tables, size_t n_tables);

/* main() of a program: runs the command that argv[1] names and returns its exit code. Answers
 * --help,
 * --version (calls `version`) and an empty command line itself. At the end it flushes and checks
 * stdout: a full or closed one is RC_RUNTIME. */
int cli_main(int argc, char **argv, const char *program, const char *summary,
             const cli_command_t *commands, void (*version)(void));

/* Nearest of `n` names to `word` by edit distance, or NULL when nothing is near. */
const char *cli_nearest(const char *word, const char *const *names, size_t n);

/* "90", "90s", "15m", "2h", "1d" -> seconds; -1 on error. */
double cli_duration(const char *s);

/* "255,0,16" -> rgb. False, and rgb is unchanged, unless these are three numbers of 0..255. */
bool cli_rgb(const char *s, uint8_t rgb[3]);

#endif
