/* bounds.h - actions between the units of their environment and [-1,1], by a lower and an upper
 * bound.
 *
 * Some bounds say nothing about the numbers: infinite ones, two equal ones, and those at or beyond
 * the largest float16, which are the limits of a number type. The declaration alone decides that,
 * so all parts of one dataset agree. Such actions are stored as they are; the training side chooses
 * how to scale them (gato/task/scaling.h).
 */
#ifndef IO_BOUNDS_H
#define IO_BOUNDS_H

#include <float.h>
#include <math.h>
#include <stdbool.h>

#define BOUNDS_LARGEST 65504.0f /* of float16; float32's, float64's and int32's lie beyond */

/* Do the bounds say nothing about the numbers? */
static inline bool bounds_wide(float low, float high) {
    return !(low > -BOUNDS_LARGEST && high < BOUNDS_LARGEST && low != high);
}

/* The nearest finite float. */
static inline float bounds_finite(double v) {
    if (v > (double)FLT_MAX) return FLT_MAX;
    if (v < -(double)FLT_MAX) return -FLT_MAX;
    return (float)v;
}

/* Maps [low, high] to [-1,1]; what lies beyond stays beyond. When both bounds are equal, that value
 * maps to 0, smaller ones to -2 and larger ones to 2. */
static inline float bounds_scale(float v, float low, float high) {
    double width = (double)high - (double)low;
    if (low == -1 && high == 1) return v;
    if (width == 0 && v == low) return 0;
    if (width == 0) return v < low ? -2 : 2;
    return bounds_finite(2 * ((double)v - (double)low) / width - 1);
}

/* Maps [-1,1] back to [low, high]; both bounds are finite. */
static inline float bounds_unscale(float v, float low, float high) {
    double width = (double)high - (double)low;
    if (low == -1 && high == 1) return v;
    return bounds_finite((double)low + ((double)v + 1) / 2 * width);
}

#endif
