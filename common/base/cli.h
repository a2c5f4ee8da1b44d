/* cli.h - command lines: one table per command, usage text with live defaults, did-you-mean for
 * typos.
 *
 * A program has commands (vqvae train, vqvae eval, ...). Each has a table of options bound to the
 * caller's variables; whatever they hold before cli_parse is the default that the usage text shows.
 */
#ifndef BASE_CLI_H
#define BASE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { CLI_FLAG, CLI_STR, CLI_INT, CLI_U64, CLI_DOUBLE, CLI_DURATION, CLI_LIST } cli_kind_t;

/* A list of strings: repeated options, or one option followed by several words ("--image a.png
 * b.png"). */
typedef struct {
    const char **item;
    size_t n, cap;
} cli_list_t;

typedef struct {
    const char *name; /* "--data" ; "" = positional words, collected in a CLI_LIST */
    cli_kind_t kind;
    void *
        /* bool*, const char**, int64_t*, uint64_t*, double*, double* (seconds), cli_list_t* */
        value;
    const char *arg; /* placeholder in the usage text, NULL for flags */
    const char *help;
    bool required;
} cli_opt_t;

typedef struct {
    const char *name; /* "train" */
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
} cli_command_t;

/* Parses argv[1..]. --help prints the usage to stdout and exits 0; anything wrong is one line on
 * stderr and exit 2, with the nearest option's name. Tables end with {0}; several tables may be
 * chained (own options, then the common ones). */
void cli_parse(int argc, char **argv, const char *command, const char *summary,
               const cli_opt_t *const *tables, size_t n_tables);

/* main() of a program: dispatches to a command, answers --help, --version (calls `version`) and
 * nothing. Flushes and checks stdout at the end: a full or closed stdout is RC_RUNTIME. */
int cli_main(int argc, char **argv, const char *program, const char *summary,
             const cli_command_t *commands, void (*version)(void));

/* Nearest of `n` names to `word` by edit distance, or NULL when nothing is near. */
const char *cli_nearest(const char *word, const char *const *names, size_t n);

/* "90", "90s", "15m", "2h", "1d" -> seconds; -1 on error. */
double cli_duration(const char *s);

/* "255,0,16" -> rgb; false, and rgb as it was, unless it is three numbers of 0..255. */
bool cli_rgb(const char *s, uint8_t rgb[3]);

#endif
