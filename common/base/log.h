/* log.h - what a long run tells: short human lines and a progress bar on stderr, JSON lines to a
 * file.
 *
 * On a terminal the bar redraws one line; otherwise (no TTY, TERM=dumb, NO_COLOR) a plain line
 * appears at most every ten seconds. Times come from the monotonic clock.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* Seconds of the monotonic clock. */
double log_now(void);

/* One human line on stderr ("vqvae: ..."), safe beside a progress bar. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

typedef struct {
    const char *what;
    double start, last;
    size_t total, first;
} progress_t;
/* `first` = items already done (resume): they do not count for speed and ETA. total 0 = unknown. */
void progress_begin(progress_t *p, const char *what, size_t first, size_t total);
/* Draws when it is time; `note` ("loss 0.12") may be NULL. */
void progress_step(progress_t *p, size_t done, const char *note);
void progress_end(progress_t *p);

/* "1.2 GB", "3 m 20 s": into buf, returned. */
const char *log_bytes(char buf[32], double bytes);
const char *log_seconds(char buf[32], double seconds);

#endif
