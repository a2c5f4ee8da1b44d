/* render.h - images of a MuJoCo scene without a screen: OSMesa (software OpenGL) behind one file,
 * so that another way of getting an OpenGL context is a change of render.c alone. Only built with
 * MuJoCo.
 */
#ifndef GATO_RENDER_H
#define GATO_RENDER_H
#ifdef WITH_MUJOCO

#include "common/base/die.h"
#include <mujoco/mujoco.h>
#include <stdint.h>

typedef struct render render_t;
/* A renderer of w x h images through the named fixed camera. The model's off-screen buffer
 * (<global offwidth offheight>) must be w x h. NULL with a reason. Use it on the thread that opened
 * it; several may live side by side. */
render_t *render_open(const mjModel *m, int w, int h, const char *camera, reason_t *why);
void render_close(render_t *r);
/* rgb [h,w,3], top row first, of d's current positions (mj_forward done by the caller). */
int render_frame(render_t *r, const mjModel *m, mjData *d, uint8_t *rgb, reason_t *why);
/* OpenGL's renderer string. */
const char *render_driver(const render_t *r);

#endif
#endif
