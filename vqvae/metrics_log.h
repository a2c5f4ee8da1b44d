/* metrics_log.h - metrics.jsonl read back as columns. */
#ifndef VQVAE_METRICS_LOG_H
#define VQVAE_METRICS_LOG_H

#include "common/io/text/json.h"

typedef struct {
    cJSON **line;
    size_t n;
    double *step; /* [n] */
} metrics_log_t;

/* Lines up to the first that is damaged or goes back in steps (a training may be writing the last
 * one). No file: no lines. die()s when it cannot be read. */
metrics_log_t metrics_log_read(const char *run);
void metrics_log_release(metrics_log_t *m);
/* A member of every line: [n], NAN where it is no number; malloc'ed. */
double *metrics_log_column(const metrics_log_t *m, const char *key);

#endif
