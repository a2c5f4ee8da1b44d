/* events.h - a run's curves for TensorBoard: an event file beside metrics.jsonl, with the same
 * numbers.
 *
 * metrics.jsonl and samples/ are the truth; the event file is a copy. Every start of a training
 * makes a new one from them and removes those of former starts, so no step is in it twice after a
 * kill and a resume. Its name holds time, host and process, its records hold the time: it need not
 * be the same bytes from run to run. Nothing here ends a training: an event file that cannot be
 * written is a warning.
 *
 * Format: TFRecord framing around Event messages of protocol buffers
 * (tensorflow/core/util/event.proto, summary.proto); FORMATS.md has the bytes.
 */
#ifndef TRAIN_EVENTS_H
#define TRAIN_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct events events_t;

/* CRC-32C (Castagnoli, RFC 3720 B.4): of "123456789" it is 0xe3069283. */
uint32_t events_crc32c(const void *data, size_t n);

/* Makes RUN/events.out.tfevents.<unix time>.<host>.<pid>.0 from what RUN/metrics.jsonl and
 * RUN/samples hold, then removes other event files of RUN. The caller closes it. NULL after a
 * warning when the file cannot be made. */
events_t *events_open(const char *run);
/* Adds a line of metrics.jsonl: numbers whose names begin with "loss" under losses/, all others
 * under charts/, speeds also as charts/SPS; null is left out. If RUN/samples/step-<step>.png is
 * there, it is added as an image. wall: unix time in seconds. e may be NULL: nothing happens. After
 * a write that fails (a warning) nothing more is added. */
void events_line(events_t *e, const char *line, double wall);
/* Closes the file and frees e; NULL is allowed. */
void events_close(events_t *e);

/* Removes RUN's event files, except the one called `keep` (NULL: all of them). A file that cannot
 * be removed is a warning. */
void events_remove(const char *run, const char *keep);

#endif
