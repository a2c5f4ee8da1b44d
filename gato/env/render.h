/* render.h - images of a MuJoCo scene without a screen, drawn by OSMesa (software OpenGL). Another
 * way to get an OpenGL context changes render.c alone. Built only with MuJoCo. */
#ifndef GATO_RENDER_H
#define GATO_RENDER_H
#ifdef WITH_MUJOCO

#include "common/base/die.h"
#include <mujoco/mujoco.h>
#include <stdint.h>

typedef struct render render_t;
/* Opens a renderer for all fixed cameras of a model. Its off-screen buffer (<global offwidth
 * offheight>) is as large as the largest image. NULL with a reason. Use it in the thread that opened
 * it; several may exist side by side. Close with render_close. */
render_t *render_open(const mjModel *m, reason_t *why);
void render_close(render_t *r);
/* Draws d's current positions through the named camera into rgb [h,w,3], top row first; call
 * mj_forward first. A larger image than the off-screen buffer, or a camera that the model does not
 * have, is a BUG. 0, or -1 with a reason. */
int render_frame(render_t *r, const mjModel *m, mjData *d, const char *camera, int w, int h,
                 uint8_t *rgb, reason_t *why);
/* OpenGL's renderer string; lives as long as r. */
const char *render_driver(const render_t *r);

#endif
#endif
