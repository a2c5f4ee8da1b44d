/* loss_gan.c - the losses of a generator and its discriminator (loss.h): means over a few thousand
 * logits, serial and in double. */
#include "common/kernel/kernel.h"

#include <math.h>

/* log(1 + e^x), without overflow. */
static double softplus(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}
static double hinge(double x) { /* NaN stays */
    return x < 0 ? 0 : x;
}
static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* f(x) */
static double value(kern_gan_t f, double x) {
    switch (f) {
    case GAN_GENERATOR:
        return -x;
    case GAN_HINGE_REAL:
        return hinge(1 - x);
    case GAN_HINGE_FAKE:
        return hinge(1 + x);
    case GAN_VANILLA_REAL:
        return softplus(-x);
    case GAN_VANILLA_FAKE:
        return softplus(x);
    }
    return x;
}

/* f'(x) */
static double slope(kern_gan_t f, double x) {
    switch (f) {
    case GAN_GENERATOR:
        return -1;
    case GAN_HINGE_REAL:
        return x < 1 ? -1 : 0;
    case GAN_HINGE_FAKE:
        return x > -1 ? 1 : 0;
    case GAN_VANILLA_REAL:
        return -sigmoid(-x);
    case GAN_VANILLA_FAKE:
        return sigmoid(x);
    }
    return 0;
}

void kern_gan_forward(kern_gan_t f, const float *x, size_t n, float *out) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += value(f, (double)x[i]);
    *out = (float)(sum / (double)n);
}

void kern_gan_backward(kern_gan_t f, const float *x, size_t n, float dout, float *dx, bool add) {
    double unit = (double)dout / (double)n;
    for (size_t i = 0; i < n; i++)
        dx[i] = (float)(unit * slope(f, (double)x[i]) + (add ? (double)dx[i] : 0));
}
