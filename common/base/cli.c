/* cli.c - command lines. Owns the parsing of words into the caller's variables, the usage text, and
 * a program's beginning and end: streams that are really open, numbers with a '.', and an output
 * that has really been written.
 */
#include "common/base/cli.h"

#include "common/base/die.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_NAMES = 256, NAME_COLUMN = 28, WIDTH = 100 };

/* ---- did you mean ---- */

static size_t min2(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap neighbours) from a to b; SIZE_MAX for words too long to
 * compare. */
static size_t edit_distance(const char *a, const char *b) {
    enum { LONGEST = 63 };
    size_t n = strlen(a), m = strlen(b), row[3][LONGEST + 1];
    if (n > LONGEST || m > LONGEST) return SIZE_MAX;
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= m; j++) last[j] = j;
    memset(before, 0, sizeof row[0]);
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t d = last[j - 1] + (a[i - 1] != b[j - 1]);
            d = min2(d, min2(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = min2(d, before[j - 2] + 1);
            now[j] = d;
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

const char *cli_nearest(const char *word, const char *const *names, size_t n) {
    size_t length = strlen(word) - strspn(word, "-");
    size_t limit = 1 + length / 4, best = SIZE_MAX; /* "--ouput" is 2 from "--out" */
    const char *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, names[i]);
        if (d <= limit && d < best && d < length) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

/* ---- numbers ---- */

double cli_duration(const char *s) {
    size_t digits = strspn(s, "0123456789."), unit = 0;
    static const char units[] = "smhd";
    static const double seconds[] = {1, 60, 3600, 86400};
    if (!digits || (s[0] == '.' && digits == 1)) return -1;
    if (s[digits]) {
        const char *found = strchr(units, s[digits]);
        if (!found || s[digits + 1]) return -1;
        unit = (size_t)(found - units);
    }
    char *end;
    double v = strtod(s, &end);
    return end == s + digits && isfinite(v) ? v * seconds[unit] : -1;
}

bool cli_rgb(const char *s, uint8_t rgb[3]) {
    unsigned c[3];
    char rest;
    if (sscanf(s, "%u,%u,%u%c", &c[0], &c[1], &c[2], &rest) != 3 || c[0] > 255 || c[1] > 255 ||
        c[2] > 255)
        return false;
    for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)c[i];
    return true;
}

/* Each returns NULL, or what the word should have been. */
static const char *parse_int(const char *s, int64_t *out) {
    char *end;
    size_t sign = *s == '-' || *s == '+';
    if (!s[sign] || s[sign + strspn(s + sign, "0123456789")]) return "an integer";
    errno = 0;
    *out = strtoll(s, &end, 10);
    return errno ? "an integer of 64 bits" : NULL;
}

static const char *parse_u64(const char *s, uint64_t *out) {
    if (!*s || s[strspn(s, "0123456789")]) return "an integer from 0 up";
    errno = 0;
    *out = strtoull(s, NULL, 10);
    return errno ? "an integer of 64 bits" : NULL;
}

static const char *parse_double(const char *s, double *out) {
    char *end;
    double v = strtod(s, &end);
    if (!*s || s[strspn(s, "0123456789+-.eE")] || *end)
        return "a number"; /* no space, hex, nan or inf */
    if (!isfinite(v)) return "a finite number";
    *out = v;
    return NULL;
}

/* ---- parsing ---- */

typedef struct {
    char who[96]; /* "vqvae train" */
    const char *summary;
    const cli_opt_t *opt[MAX_NAMES];
    bool seen[MAX_NAMES];
    const char
        *name[MAX_NAMES + 1]; /* of the options that have one, and --help: for did-you-mean */
    size_t n, n_name;
} parser_t;

static void usage_error(const parser_t *p, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
static void usage_error(const parser_t *p, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    die_line(p->who, NULL, fmt, args);
    va_end(args);
    exit(RC_USAGE);
}

static void parser_init(parser_t *p, const char *command, const char *summary,
                        const cli_opt_t *const *tables, size_t n_tables) {
    *p = (parser_t){.summary = summary};
    size_t n = strlen(die_program());
    bool whole = strncmp(command, die_program(), n) == 0 && (command[n] == ' ' || !command[n]);
    snprintf(p->who, sizeof p->who, "%s%s%s", whole ? "" : die_program(),
             whole || !*command ? "" : " ", command);
    for (size_t t = 0; t < n_tables; t++) {
        for (const cli_opt_t *o = tables[t]; o && o->name; o++) {
            if (p->n == MAX_NAMES) BUG("more than %d options", MAX_NAMES);
            if (!o->value) BUG("option '%s' has no variable", o->name);
            if (!*o->name && o->kind != CLI_LIST) BUG("positional words need a CLI_LIST");
            p->opt[p->n++] = o;
            if (*o->name) p->name[p->n_name++] = o->name;
        }
    }
    p->name[p->n_name++] = "--help";
}

static void list_add(parser_t *p, size_t i, const char *word) {
    cli_list_t *list = p->opt[i]->value;
    if (!p->seen[i]) list->n = 0; /* the first word replaces the default */
    list->item = xgrow(list->item, &list->cap, list->n + 1, sizeof *list->item);
    list->item[list->n++] = word;
    p->seen[i] = true;
}

static void set_value(parser_t *p, size_t i, const char *word) {
    const cli_opt_t *o = p->opt[i];
    const char *wanted = NULL;
    switch (o->kind) {
    case CLI_STR:
        *(const char **)o->value = word;
        break;
    case CLI_INT:
        wanted = parse_int(word, o->value);
        break;
    case CLI_U64:
        wanted = parse_u64(word, o->value);
        break;
    case CLI_DOUBLE:
        wanted = parse_double(word, o->value);
        break;
    case CLI_DURATION: {
        double v = cli_duration(word);
        if (v < 0)
            wanted = "a duration (90, 90s, 15m, 2h or 1d)";
        else
            *(double *)o->value = v;
        break;
    }
    case CLI_LIST:
        list_add(p, i, word);
        break;
    case CLI_FLAG:
        BUG("a flag has no value");
    }
    if (wanted) usage_error(p, "option '%s' wants %s, got '%s'", o->name, wanted, word);
    p->seen[i] = true;
}

/* A word that cannot be a value: "--out", "-h"; but "-5", "-" and "-.5" can. */
static bool is_option(const char *word) {
    return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.';
}

static size_t find_option(const parser_t *p, const char *word, size_t len) {
    for (size_t i = 0; i < p->n; i++) {
        if (*p->opt[i]->name && strncmp(p->opt[i]->name, word, len) == 0 && !p->opt[i]->name[len])
            return i;
    }
    return SIZE_MAX;
}

static void unknown_option(const parser_t *p, const char *word, size_t len)
    __attribute__((noreturn));
static void unknown_option(const parser_t *p, const char *word, size_t len) {
    char *name = xasprintf("%.*s", (int)len, word);
    const char *near = cli_nearest(name, p->name, p->n_name);
    if (near) usage_error(p, "unknown option '%s' (did you mean '%s'?)", name, near);
    usage_error(p, "unknown option '%s' (see '%s --help')", name, p->who);
}

/* The option at argv[at]; returns the index of the next word. */
static int take_option(parser_t *p, int argc, char **argv, int at) {
    const char *word = argv[at++], *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    size_t i = find_option(p, word, len);
    if (i == SIZE_MAX) unknown_option(p, word, len);
    const cli_opt_t *o = p->opt[i];
    if (o->kind == CLI_FLAG) {
        if (equals) usage_error(p, "option '%s' takes no value", o->name);
        *(bool *)o->value = p->seen[i] = true;
        return at;
    }
    if (equals) {
        set_value(p, i, equals + 1);
        return at;
    }
    if (at >= argc || is_option(argv[at]))
        usage_error(p, "option '%s' needs a value (%s)", o->name, o->arg ? o->arg : "VALUE");
    set_value(p, i, argv[at++]);
    if (o->kind == CLI_LIST) {
        while (at < argc && !is_option(argv[at])) set_value(p, i, argv[at++]);
    }
    return at;
}

static void check_required(const parser_t *p) {
    for (size_t i = 0; i < p->n; i++) {
        const cli_opt_t *o = p->opt[i];
        if (!o->required || p->seen[i]) continue;
        if (*o->name) usage_error(p, "missing option '%s' (see '%s --help')", o->name, p->who);
        usage_error(p, "missing %s (see '%s --help')", o->arg ? o->arg : "word", p->who);
    }
}

/* ---- usage ---- */

/* The default as the usage text shows it; empty for none. INT64_MIN, NaN, NULL and an empty list
 * mean "no default". */
static const char *default_text(const cli_opt_t *o, char *buf, size_t size) {
    *buf = 0;
    switch (o->kind) {
    case CLI_FLAG:
        snprintf(buf, size, "%s", *(bool *)o->value ? "on" : "");
        break;
    case CLI_STR:
        snprintf(buf, size, "%s", *(const char **)o->value ? *(const char **)o->value : "");
        break;
    case CLI_INT:
        if (*(int64_t *)o->value != INT64_MIN)
            snprintf(buf, size, "%lld", (long long)*(int64_t *)o->value);
        break;
    case CLI_U64:
        snprintf(buf, size, "%llu", (unsigned long long)*(uint64_t *)o->value);
        break;
    case CLI_DOUBLE:
        if (!isnan(*(double *)o->value)) snprintf(buf, size, "%g", *(double *)o->value);
        break;
    case CLI_DURATION:
        if (*(double *)o->value > 0) snprintf(buf, size, "%gs", *(double *)o->value);
        break;
    case CLI_LIST: {
        const cli_list_t *list = o->value;
        for (size_t i = 0, n = 0; i < list->n && n < size; i++)
            n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? " " : "", list->item[i]);
    }
    }
    return buf;
}

/* `text` wrapped at words into the column right of the names. */
static void print_wrapped(const char *text) {
    size_t column = NAME_COLUMN;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, " ");
        if (column + n > WIDTH && column > NAME_COLUMN) {
            printf("\n%*s", NAME_COLUMN, "");
            column = NAME_COLUMN;
        }
        printf("%.*s", (int)n, at);
        at += n;
        column += n;
        if (*at) {
            at++;
            if (*at) putchar(' ');
            column++;
        }
    }
    putchar('\n');
}

static void print_option(const char *name, const char *arg, const char *help) {
    int n = printf("  %s%s%s", name, *name && arg ? " " : "", arg ? arg : "");
    if (n >= NAME_COLUMN - 1)
        printf("\n%*s", NAME_COLUMN, "");
    else
        printf("%*s", NAME_COLUMN - n, "");
    print_wrapped(help);
}

static void print_usage(const parser_t *p) {
    printf("usage: %s", p->who);
    for (size_t i = 0; i < p->n; i++) {
        const cli_opt_t *o = p->opt[i];
        if (o->required)
            printf(" %s%s%s%s", o->name, *o->name ? " " : "", o->arg ? o->arg : "WORD",
                   o->kind == CLI_LIST ? "..." : "");
    }
    printf(" [options]\n%s\n\n", p->summary ? p->summary : "");
    for (size_t i = 0; i < p->n; i++) {
        const cli_opt_t *o = p->opt[i];
        char shown[256];
        default_text(o, shown, sizeof shown);
        const char *before = o->required ? " (required)" : *shown ? " (default " : "";
        char *help = xasprintf("%s%s%s%s", o->help ? o->help : "", before, o->required ? "" : shown,
                               !o->required && *shown ? ")" : "");
        print_option(o->name, o->kind == CLI_FLAG ? NULL : o->arg ? o->arg : "VALUE", help);
        free(help);
    }
    print_option("--help", NULL, "this text");
}

/* The verdict on everything printed: a full disk shows at the flush, not at the print. */
static int finish_stdout(int rc) {
    bool earlier = ferror(stdout); /* its errno is gone */
    errno = 0;
    bool ok = fflush(stdout) == 0 && !earlier;
    if (!ok && !errno && at_size_limit(fileno(stdout))) errno = EFBIG;
    int copy =
        ok ? dup(fileno(stdout))
           /* some file systems report at close only; stdout itself stays open for exit handlers */
           : -1;
    if (copy >= 0 && close(copy) != 0) ok = false;
    if (ok) return rc;
    if (errno == EPIPE) return rc ? rc : RC_RUNTIME; /* the reader left: nothing to say */
    int error = errno;
    die(RC_RUNTIME, "cannot write to standard output: %s",
        error ? cause_of(error) : "an earlier write failed");
}

void cli_parse(int argc, char **argv, const char *command, const char *summary,
               const cli_opt_t *const *tables, size_t n_tables) {
    parser_t p;
    parser_init(&p, command, summary, tables, n_tables);
    size_t words = SIZE_MAX;
    for (size_t i = 0; i < p.n; i++) {
        if (!*p.opt[i]->name) words = i;
    }
    /* Help first: it answers even where the rest of the line is wrong. */
    for (int at = 1; at < argc && strcmp(argv[at], "--") != 0; at++) {
        if (strcmp(argv[at], "--help") != 0 && strcmp(argv[at], "-h") != 0) continue;
        print_usage(&p);
        exit(finish_stdout(RC_OK));
    }
    bool options = true;
    for (int at = 1; at < argc;) {
        if (options && strcmp(argv[at], "--") == 0) {
            options = false;
            at++;
        } else if (options && is_option(argv[at])) {
            at = take_option(&p, argc, argv, at);
        } else if (words == SIZE_MAX) {
            usage_error(&p, "unexpected word '%s' (see '%s --help')", argv[at], p.who);
        } else {
            list_add(&p, words, argv[at++]);
        }
    }
    check_required(&p);
}

/* ---- main ---- */

/* A program started with a closed standard stream would open its first file under that number, and
 * then print into it.
 */
static void open_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        int mode = fd == 0 ? O_WRONLY
                           : O_RDONLY; /* the wrong way round: uses of a closed stream still fail */
        if (open("/dev/null", mode) != fd) exit(RC_RUNTIME);
    }
}

static void print_commands(FILE *f, const char *program, const char *summary,
                           const cli_command_t *commands) {
    fprintf(f, "usage: %s COMMAND [options]\n%s\n\n", program, summary);
    for (const cli_command_t *c = commands; c->name; c++)
        fprintf(f, "  %-14s %s\n", c->name, c->summary);
    fprintf(f, "\n'%s COMMAND --help' explains a command; '%s --version' tells what is built in.\n",
            program, program);
}

static int unknown_command(const char *program, const char *word, const cli_command_t *commands) {
    const char *name[MAX_NAMES];
    size_t n = 0;
    for (const cli_command_t *c = commands; c->name && n < MAX_NAMES; c++) name[n++] = c->name;
    const char *near = cli_nearest(word, name, n);
    if (near) die(RC_USAGE, "unknown command '%s' (did you mean '%s'?)", word, near);
    die(RC_USAGE, "unknown command '%s' (see '%s --help')", word, program);
}

int cli_main(int argc, char **argv, const char *program, const char *summary,
             const cli_command_t *commands, void (*version)(void)) {
    open_standard_streams();
    die_set_program(program);
    /* A limit on file sizes is then an error of write, like a full disk. */
    signal(SIGXFSZ, SIG_IGN);
    setlocale(LC_NUMERIC, "C");
    if (argc < 2) {
        print_commands(stderr, program, summary, commands);
        return RC_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_commands(stdout, program, summary, commands);
        return finish_stdout(RC_OK);
    }
    if (strcmp(word, "--version") == 0) {
        version();
        return finish_stdout(RC_OK);
    }
    for (const cli_command_t *c = commands; c->name; c++) {
        if (strcmp(c->name, word) == 0) return finish_stdout(c->run(argc - 1, argv + 1));
    }
    return unknown_command(program, word, commands);
}
