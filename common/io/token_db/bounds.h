/* bounds.h - actions between the units of their environment and [-1,1], by a lower and an upper
 * end.
 *
 * Which bounds say anything about the numbers is decided from the declaration alone, so that parts
 * of one dataset agree: bounds at or beyond the largest float16 are a number type's limits (or a
 * giant's), and infinite ones are none. Such actions are stored as they are; how they are scaled is
 * decided where the training side is known (gato/scaling.h).
 */
#ifndef IO_BOUNDS_H
#define IO_BOUNDS_H

#include <float.h>
#include <math.h>
#include <stdbool.h>

#define BOUNDS_LARGEST 65504.0f /* of float16; float32's, float64's and int32's lie beyond */

/* Do the bounds say nothing about the numbers? */
static inline bool bounds_wide(float low, float high) {
    return !(low > -BOUNDS_LARGEST && high < BOUNDS_LARGEST);
}

/* The nearest finite float. */
static inline float bounds_finite(double v) {
    if (v > (double)FLT_MAX) return FLT_MAX;
    return v < -(double)FLT_MAX ? -FLT_MAX : (float)v;
}

/* [low, high] to [-1,1]; what lies beyond stays beyond. Both ends equal: 0 there, +-2 elsewhere. */
static inline float bounds_scale(float v, float low, float high) {
    double width = (double)high - (double)low;
    if (low == -1 && high == 1) return v;
    if (width == 0) return v == low ? 0 : v < low ? -2 : 2;
    return bounds_finite(2 * ((double)v - (double)low) / width - 1);
}

/* And back: both ends finite. */
static inline float bounds_unscale(float v, float low, float high) {
    double width = (double)high - (double)low;
    if (low == -1 && high == 1) return v;
    return bounds_finite((double)low + ((double)v + 1) / 2 * width);
}

#endif
