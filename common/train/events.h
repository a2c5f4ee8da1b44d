/* events.h - a run's curves for TensorBoard: an event file beside metrics.jsonl that says the same
 * things.
 *
 * metrics.jsonl and samples/ are the truth, the event file a copy: every start of a training makes
 * a new one from them and removes those of former starts, so that after a kill and a resume no step
 * stands in it twice. Its name bears time, host and process, its records the time: it is no part of
 * what must be the same bytes. Nothing here ends a training: an event file that cannot be written
 * is a warning.
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
 * RUN/samples hold, then removes other event files of RUN. NULL (after a warning) when it
 * cannot. */
events_t *events_open(const char *run);
/* Adds a line of metrics.jsonl: each number under losses/ ("loss...") or charts/ (the rest; speeds
 * also as charts/SPS), null left out; and RUN/samples/step-<step>.png, if it is there, as an image.
 * wall: unix time. */
void events_line(events_t *e, const char *line, double wall);
void events_close(events_t *e); /* NULL is fine */

/* Removes RUN's event files, but for the one called `keep` (may be NULL). */
void events_remove(const char *run, const char *keep);

#endif
