/* metrics_log.h - metrics.jsonl read back as columns. */
#ifndef REPORT_METRICS_LOG_H
#define REPORT_METRICS_LOG_H

#include "common/io/text/json.h"

typedef struct {
    cJSON **line;
    size_t n;
    /* [n], ascending. */
    double *step;
} metrics_log_t;

/* Reads the lines up to the first that is damaged or goes back in steps (a training may be writing
 * the last one). No file: no lines. die(RC_RUNTIME) when it cannot be read. */
metrics_log_t metrics_log_read(const char *run);
void metrics_log_release(metrics_log_t *m);
/* The values of a key, one per line: [n], NAN where it is no number; malloc'ed. */
double *metrics_log_column(const metrics_log_t *m, const char *key);
/* The last value of a key; NAN: none. */
double metrics_log_last(const metrics_log_t *m, const char *key);

#endif
