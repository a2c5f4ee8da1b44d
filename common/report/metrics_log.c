/* metrics_log.c - see metrics_log.h. */
#include "common/report/metrics_log.h"

#include "common/io/fs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

metrics_log_t metrics_log_read(const char *run) {
    metrics_log_t m = {0};
    char *path = fs_join(run, "metrics.jsonl");
    uint8_t *text = NULL;
    size_t size = 0, cap[2] = {0};
    reason_t why;
    if (fs_exists(path) && fs_read(path, 0, &text, &size, &why)) die(RC_RUNTIME, "%s", why.text);
    for (const char *at = (const char *)text, *end; size; at = end + 1) {
        size_t left = size - (size_t)(at - (const char *)text);
        int64_t step;
        end = left ? memchr(at, '\n', left) : NULL;
        cJSON *line = end ? json_parse(at, (size_t)(end - at), false, NULL) : NULL;
        if (!json_i64(cJSON_GetObjectItemCaseSensitive(line, "step"), &step) ||
            (m.n && (double)step <= m.step[m.n - 1])) {
            cJSON_Delete(line);
            break;
        }
        m.line = xgrow(m.line, &cap[0], m.n + 1, sizeof *m.line);
        m.step = xgrow(m.step, &cap[1], m.n + 1, sizeof *m.step);
        m.line[m.n] = line;
        m.step[m.n++] = (double)step;
    }
    free(text);
    free(path);
    return m;
}

void metrics_log_release(metrics_log_t *m) {
    for (size_t i = 0; i < m->n; i++) cJSON_Delete(m->line[i]);
    free(m->line);
    free(m->step);
    *m = (metrics_log_t){0};
}

double *metrics_log_column(const metrics_log_t *m, const char *key) {
    double *v = xmalloc(m->n * sizeof *v);
    for (size_t i = 0; i < m->n; i++) {
        const cJSON *c = cJSON_GetObjectItemCaseSensitive(m->line[i], key);
        v[i] = cJSON_IsNumber(c) ? c->valuedouble : NAN;
    }
    return v;
}

double metrics_log_last(const metrics_log_t *m, const char *key) {
    double *y = metrics_log_column(m, key), v = NAN;
    for (size_t i = 0; i < m->n; i++)
        if (isfinite(y[i])) v = y[i];
    free(y);
    return v;
}
