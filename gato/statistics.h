/* statistics.h - what a comparison of two policies on the same episodes can say: intervals, exact
 * tests, bootstrap, and the smallest difference that the episodes could have shown. Two-sided,
 * level 0.05, power 0.8.
 */
#ifndef GATO_STATISTICS_H
#define GATO_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* The 95 % interval of a proportion k / n, n > 0, by Wilson (1927). Its ends are exact where k is 0
 * or n. */
void statistics_wilson(double k, double n, double out[2]);

/* McNemar's exact test: the two-sided binomial probability of a split at least as uneven as b : c
 * of b + c discordant pairs, if each side were as likely; 1 where there are none. */
double statistics_mcnemar(size_t b, size_t c);

/* Sample standard deviation (n - 1); NAN where n < 2. */
double statistics_deviation(const double *v, size_t n);

/* The smallest true difference of two proportions that McNemar's test shows with the power above,
 * of n > 0 pairs of which a share `discordant` differ (Connor 1987); at least 6 / n, since fewer
 * than six discordant pairs never reach the level. At most 1. */
double statistics_smallest_share(double n, double discordant);
/* The same of a mean of differences whose standard error is given. */
double statistics_smallest_mean(double standard_error);

/* Pairs of several trainings: differences v[group[g]] .. v[group[g + 1] - 1] are those of training
 * g; group [groups + 1]. */
typedef struct {
    const double *v;
    const size_t *group;
    size_t groups;
} differences_t;
/* The mean over trainings of their mean differences; a training without pairs does not count. */
double statistics_mean(const differences_t *d);
/* The 95 % percentile interval of that mean. Trainings are drawn with replacement, and so are the
 * pairs of each (Davison & Hinkley 1997, 3.8); of one training the pairs alone. The same seed gives
 * the same interval. */
void statistics_bootstrap(const differences_t *d, size_t resamples, uint64_t seed, double out[2]);

#endif
