/* log.c - what a long run tells on stderr: lines and a progress bar.
 *
 * The bar is drawn without a newline and every line of die_line clears the row first, so neither
 * has to know of the other. Without a terminal there are plain lines only, no carriage returns.
 */
#include "common/base/log.h"

#include "common/base/die.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double BAR_EVERY = 0.1, LINE_EVERY = 10;

double log_now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) BUG("no monotonic clock");
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void log_line(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    die_line(die_program(), NULL, fmt, args);
    va_end(args);
}

void log_list(const char *list) {
    die_list_lines(die_program(), list);
}

const char *log_bytes(char buf[32], double bytes) {
    static const char *unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t u = 0;
    for (; u + 1 < sizeof unit / sizeof *unit && bytes >= 999.95; u++) bytes /= 1000;
    snprintf(buf, 32, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
    return buf;
}

const char *log_seconds(char buf[32], double seconds) {
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(buf, 32, "?");
    } else if (seconds < 59.95) {
        snprintf(buf, 32, seconds < 9.95 ? "%.1f s" : "%.0f s", seconds);
    } else {
        long long s = llround(seconds), m = s / 60, h = m / 60, d = h / 24;
        if (h < 1)
            snprintf(buf, 32, "%lld m %lld s", m, s % 60);
        else if (d < 1)
            snprintf(buf, 32, "%lld h %lld m", h, m % 60);
        else
            snprintf(buf, 32, "%lld d %lld h", d, h % 24);
    }
    return buf;
}

void progress_begin(progress_t *p, const char *what, size_t first, size_t total) {
    double now = log_now();
    *p = (progress_t){.what = what, .start = now, .last = now, .first = first, .total = total};
}

/* "450/1000 45%  12.3/s  ETA 45 s  loss 0.12" */
static void describe(const progress_t *p, size_t done, const char *note, double now, char *out,
                     size_t size) {
    double fresh = done > p->first ? (double)(done - p->first) : 0, spent = now - p->start;
    double speed = spent > 0 ? fresh / spent : 0;
    char eta[32], rate[32] = "", left[48] = "", share[48] = "";
    if (speed > 0) snprintf(rate, sizeof rate, speed < 9.95 ? "  %.2f/s" : "  %.0f/s", speed);
    if (p->total)
        snprintf(share, sizeof share, "/%zu %3.0f%%", p->total,
                 floor(100.0 * (double)done / (double)p->total));
    if (p->total > done && speed > 0)
        snprintf(left, sizeof left, "  ETA %s",
                 log_seconds(eta, (double)(p->total - done) / speed));
    snprintf(out, size, "%zu%s%s%s%s%s", done, share, rate, left, note ? "  " : "",
             note ? note : "");
}

static int columns(void) {
    struct winsize w;
    return ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

static void draw_bar(const progress_t *p, size_t done, const char *note, double now) {
    enum { CELLS = 20 };
    char text[256], bar[CELLS + 4] = "", line[400];
    describe(p, done, note, now, text, sizeof text);
    if (p->total) {
        size_t filled =
            done >= p->total ? CELLS : (size_t)((double)done / (double)p->total * CELLS);
        bar[0] = '[';
        memset(bar + 1, '#', filled);
        memset(bar + 1 + filled, '.', CELLS - filled);
        memcpy(bar + 1 + CELLS, "] ", 3);
    }
    int n = snprintf(line, sizeof line, "%s %s%s", p->what, bar, text), width = columns() - 1;
    if (n > width) n = width; /* a wrapped row could not be cleared */
    if (n >= (int)sizeof line) n = (int)sizeof line - 1;
    for (int i = 0; i < n; i++) {
        if ((unsigned char)line[i] < 0x20) line[i] = '?';
    }
    char out[420];
    int m = snprintf(out, sizeof out, "\r\033[K%.*s", n, line);
    if (write(2, out, (size_t)m) < 0) return; /* nobody to tell */
}

void progress_step(progress_t *p, size_t done, const char *note) {
    double now = log_now();
    if (now - p->last < BAR_EVERY) return;
    bool bar = die_terminal();
    if (!bar && now - p->last < LINE_EVERY) return;
    if (bar) {
        draw_bar(p, done, note, now);
    } else {
        char text[256];
        describe(p, done, note, now, text, sizeof text);
        log_line("%s %s", p->what, text);
    }
    p->last = now;
}

void progress_end(progress_t *p) {
    char spent[32];
    log_line("%s: done in %s", p->what, log_seconds(spent, log_now() - p->start));
}
