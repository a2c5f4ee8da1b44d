/* minari_spaces.h - spaces of observations as they stand in metadata.json: JSON inside of a JSON
 * string, so every quote is escaped. */
#ifndef TESTS_MINARI_SPACES_H
#define TESTS_MINARI_SPACES_H

static const char box2[] = "{\\\"type\\\": \\\"Box\\\", \\\"dtype\\\": \\\"float32\\\", "
                           "\\\"shape\\\": [2], \\\"low\\\": [-Infinity, -1.5], "
                           "\\\"high\\\": [Infinity, NaN]}";
#define DISCRETE "{\\\"type\\\": \\\"Discrete\\\", \\\"n\\\": 7, \\\"start\\\": -3}"

#endif
