/* parts.h - what the pages of `vqvae report` and `gato report` share: the head with its style
 * sheet, tiles, curves over steps, the table of a configuration. No dates, and of paths the last
 * name alone: the same RUN gives the same bytes.
 *
 *     html_t h = {0};
 *     metrics_log_t m = metrics_log_read(run);
 *     report_begin(&h, run, "gato");
 *     report_curve(&h, &m, (chart_t){.title = "Loss", .mark = NAN}, &key, NULL, 1);
 *     report_end(&h);
 */
#ifndef REPORT_PARTS_H
#define REPORT_PARTS_H

#include "common/report/html.h"
#include "common/report/metrics_log.h"

/* From the doctype to the heading, which names the run; program: markup of our own. */
void report_begin(html_t *h, const char *run, const char *program);
void report_end(html_t *h);
/* A number and what it is, both markup of our own; nothing where it is not finite. Tiles stand in a
 * <div class="tiles">. */
void report_tile(html_t *h, const char *name, const char *format, double v);
/* The chart of n <= CHART_SERIES columns of m; name (NULL: none): of the series. c has the rest:
 * title, format, mark. Nothing where no column has a value. Charts stand in a
 * <div class="charts">. */
void report_curve(html_t *h, const metrics_log_t *m, chart_t c, const char *const *key,
                  const char *const *name, size_t n);
/* The configuration of a RUN, that of its training if there was one; in bold what differs from
 * `usual`, the defaults as JSON. die(RC_DATA) when the file is damaged. */
void report_config(html_t *h, const char *run, const char *usual);
/* Last part of a path, malloc'ed. */
char *report_name(const char *path);

#endif
