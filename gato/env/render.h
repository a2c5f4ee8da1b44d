/* render.h - images of a MuJoCo scene without a screen, drawn by OSMesa (software OpenGL). Another
 * way to get an OpenGL context changes render.c alone. Built only with MuJoCo. */
#ifndef GATO_RENDER_H
#define GATO_RENDER_H
#ifdef WITH_MUJOCO

#include "common/base/die.h"
#include <mujoco/mujoco.h>
#include <stdint.h>

typedef struct render render_t;
/* Opens a renderer of w x h images through the named fixed camera. The model's off-screen buffer
 * (<global offwidth offheight>) must be w x h. NULL with a reason. Use it in the thread that opened
 * it; several may exist side by side. Close with render_close. */
render_t *render_open(const mjModel *m, int w, int h, const char *camera, reason_t *why);
void render_close(render_t *r);
/* Draws d's current positions into rgb [h,w,3], top row first; call mj_forward first. 0, or -1 with
 * a reason. */
int render_frame(render_t *r, const mjModel *m, mjData *d, uint8_t *rgb, reason_t *why);
/* OpenGL's renderer string; lives as long as r. */
const char *render_driver(const render_t *r);

#endif
#endif
