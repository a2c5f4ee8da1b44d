#!/usr/bin/env python3
"""make_statistics.py [OUT] - tests/reference/statistics.txt: values of scipy.stats that gato/statistics.c must give. Needs scipy and numpy.

A line is a name and numbers: what goes in, then what comes out.

    wilson K N LOW HIGH             the 95 % interval of a proportion: binomtest(...).proportion_ci(method="wilson")
    mcnemar B C P                   binomtest(B, B + C, 0.5).pvalue
    share N DISCORDANT SMALLEST     Connor's equation, solved by brentq with norm.ppf; its bounds as in statistics.h
    mean SE SMALLEST                (norm.ppf(0.975) + norm.ppf(0.8)) SE
    bootstrap LOW HIGH V...         scipy.stats.bootstrap of the mean of V, percentile method, 100,000 resamples
"""
import os
import sys

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, bootstrap, norm

out = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
a, b = norm.ppf(0.975), norm.ppf(0.8)


def share(n, discordant):
    def excess(d):
        p = max(discordant, d)
        return np.sqrt(n) * d - a * np.sqrt(p) - b * np.sqrt(max(0.0, p - d * d))

    root = brentq(excess, 1e-9 + 1e-3 / n, 1, xtol=1e-15) if excess(1) > 0 else 1.0
    return min(1.0, max(root, 6 / n))


lines = []
for k, n in [(0, 10), (1, 10), (5, 10), (10, 10), (87, 100), (291, 300), (749, 750), (1, 1)]:
    ci = binomtest(k, n).proportion_ci(0.95, method="wilson")
    lines.append(("wilson", k, n, ci.low, ci.high))
for x, y in [(0, 0), (0, 1), (0, 5), (0, 6), (3, 9), (10, 25), (25, 10), (40, 40), (120, 160), (0, 300), (900, 1000)]:
    lines.append(("mcnemar", x, y, binomtest(x, x + y, 0.5).pvalue if x + y else 1.0))
for n, p in [(750, 0.1), (750, 0.02), (250, 0.3), (250, 0.0), (100, 0.5), (40, 1.0), (20, 0.05), (5, 0.2)]:
    lines.append(("share", n, p, share(n, p)))
for se in [0.0, 0.125, 3.5]:
    lines.append(("mean", se, (a + b) * se))
rng = np.random.default_rng(7)
for n, scale in [(30, 1.0), (200, 4.0)]:
    v = np.round(rng.normal(0.3, scale, n) + (rng.random(n) < 0.1) * 5, 3)
    ci = bootstrap((v,), np.mean, n_resamples=100000, method="percentile", random_state=3).confidence_interval
    lines.append(("bootstrap", ci.low, ci.high, *v))
with open(os.path.join(out, "statistics.txt"), "w") as f:
    for name, *v in lines:
        f.write(name + " " + " ".join(repr(float(x)) for x in v) + "\n")
