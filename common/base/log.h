/* log.h - what a long run tells on stderr: lines for people, and a progress bar.
 *
 * On a terminal the bar redraws one line. Otherwise (no TTY, TERM=dumb, NO_COLOR) a plain line
 * appears at most every ten seconds. Times come from the monotonic clock.
 *
 *     progress_t p;
 *     progress_begin(&p, "encoding", 0, n);
 *     for (size_t i = 0; i < n; i++) {
 *         ...
 *         progress_step(&p, i + 1, NULL);
 *     }
 *     progress_end(&p);
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* Seconds of the monotonic clock. */
double log_now(void);

/* One line on stderr ("vqvae: ..."), safe beside a progress bar. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Each line of `list` as a line of its own, set in by two spaces: what a log_line before it
 * announces. */
void log_list(const char *list);

typedef struct {
    const char *what;
    double start, last;  /* seconds: of progress_begin and of the last line or bar */
    size_t total, first; /* items */
} progress_t;

/* `what` names the work and must outlive p. `first` items were done before (resume): they do not
 * count for speed and ETA. total 0 = unknown. */
void progress_begin(progress_t *p, const char *what, size_t first, size_t total);
/* `done` items in all. Draws when it is time; `note` ("loss 0.12") may be NULL. */
void progress_step(progress_t *p, size_t done, const char *note);
/* A last line with the time it took. */
void progress_end(progress_t *p);

/* "1.2 GB", "3 m 20 s": written to buf, which is returned. */
const char *log_bytes(char buf[32], double bytes);
const char *log_seconds(char buf[32], double seconds);

#endif
