/* render.c - OSMesa context, MuJoCo scene, read-back. MuJoCo finds the OpenGL functions in the
 * process, so the context must be current before mjr_makeContext.
 */
#ifdef WITH_MUJOCO
#include "gato/env/render.h"
#include <GL/gl.h>
#include <GL/osmesa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GEOMS = 200 };

struct render {
    OSMesaContext gl;
    /* OSMesa's own buffer, RGBA; the images that we read come from MuJoCo's off-screen buffer */
    uint8_t *screen;
    uint8_t *bottom_up;
    mjvScene scene;
    mjvOption option;
    mjvCamera camera;
    mjrContext context;
    int most_w, most_h; /* of the off-screen buffer */
    char driver[128];
};

/* Keeps llvmpipe from starting threads for every context: small images gain nothing by them, and
 * workers are processes already. A user's own setting wins. */
static void calm_driver(void) {
    setenv("LP_NUM_THREADS", "0", 0);
}

static int make_current(render_t *r, reason_t *why) {
    if (OSMesaGetCurrentContext() == r->gl) return 0;
    if (!OSMesaMakeCurrent(r->gl, r->screen, GL_UNSIGNED_BYTE, r->most_w, r->most_h))
        return reason_set(why, "cannot make the OSMesa context current");
    return 0;
}

/* Flat images: nothing that costs time or adds colors. */
static void plain_scene(mjvScene *s) {
    s->flags[mjRND_SHADOW] = s->flags[mjRND_REFLECTION] = s->flags[mjRND_SKYBOX] = 0;
    s->flags[mjRND_FOG] = s->flags[mjRND_HAZE] = 0;
}

static int make_scene(render_t *r, const mjModel *m, reason_t *why) {
    mjv_makeScene(m, &r->scene, MAX_GEOMS);
    plain_scene(&r->scene);
    r->camera.type = mjCAMERA_FIXED;
    mjr_makeContext(m, &r->context, mjFONTSCALE_50);
    mjr_setBuffer(mjFB_OFFSCREEN, &r->context);
    if (r->context.currentBuffer != mjFB_OFFSCREEN)
        return reason_set(why, "no off-screen buffer in this OpenGL");
    if (r->context.offWidth != r->most_w || r->context.offHeight != r->most_h)
        return reason_set(why, "the off-screen buffer is %d x %d, the model wants %d x %d",
                          r->context.offWidth, r->context.offHeight, r->most_w, r->most_h);
    return 0;
}

render_t *render_open(const mjModel *m, reason_t *why) {
    calm_driver();
    render_t *r = NEW(render_t);
    r->most_w = m->vis.global.offwidth;
    r->most_h = m->vis.global.offheight;
    size_t pixels = (size_t)r->most_w * r->most_h;
    mjv_defaultScene(&r->scene);
    mjv_defaultOption(&r->option);
    mjv_defaultCamera(&r->camera);
    mjr_defaultContext(&r->context);
    r->screen = xcalloc(pixels, 4);
    r->bottom_up = xcalloc(pixels, 3);
    r->gl = OSMesaCreateContextExt(GL_RGBA, 24, 8, 8, NULL);
    if (!r->gl) {
        reason_set(why, "cannot create an OSMesa context");
    } else if (!make_current(r, why) && !make_scene(r, m, why)) {
        const GLubyte *s = glGetString(GL_RENDERER);
        snprintf(r->driver, sizeof r->driver, "%s", s ? (const char *)s : "unknown");
        return r;
    }
    render_close(r);
    return NULL;
}

void render_close(render_t *r) {
    if (!r) return;
    if (r->gl) {
        if (!make_current(r, NULL)) mjr_freeContext(&r->context);
        mjv_freeScene(&r->scene);
        OSMesaDestroyContext(r->gl);
    }
    free(r->screen);
    free(r->bottom_up);
    free(r);
}

int render_frame(render_t *r, const mjModel *m, mjData *d, const char *camera, int w, int h,
                 uint8_t *rgb, reason_t *why) {
    int id = mj_name2id(m, mjOBJ_CAMERA, camera);
    if (id < 0) BUG("the model has no camera '%s'", camera);
    /* MuJoCo does not refuse a viewport larger than its buffer: it gives wrong pixels. */
    if (w < 1 || h < 1 || w > r->most_w || h > r->most_h)
        BUG("image of %d x %d, the off-screen buffer is %d x %d", w, h, r->most_w, r->most_h);
    if (make_current(r, why)) return -1;
    mjrRect view = {0, 0, w, h};
    r->camera.fixedcamid = id;
    mjv_updateScene(m, d, &r->option, NULL, &r->camera, mjCAT_ALL, &r->scene);
    mjr_render(view, &r->scene, &r->context);
    mjr_readPixels(r->bottom_up, NULL, view, &r->context);
    size_t row = (size_t)w * 3;
    for (int y = 0; y < h; y++) memcpy(rgb + y * row, r->bottom_up + (h - 1 - y) * row, row);
    return 0;
}

const char *render_driver(const render_t *r) {
    return r->driver;
}

#else
typedef int render_is_not_built;
#endif
