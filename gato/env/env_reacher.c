/* env_reacher.c - "reacher": a two-link arm, seen from above, has to touch a red ball. Only the
 * image shows the ball: the vector holds cosine and sine of both joints and their velocities. An
 * episode has 50 actions of 0.02 s; reward = -(distance of tip and ball in meters).
 *
 * Owns the model (below), MuJoCo's state, and a renderer that starts with the first image.
 */
#include "common/base/rng.h"
#include "gato/env/env_driver.h"
#include "gato/env/expert.h"

#ifdef WITH_MUJOCO
#include "gato/env/mujoco_model.h"
#include "gato/env/render.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 64, JOINTS = 2, SUBSTEPS = 2, ACTIONS_PER_EPISODE = 50 };
enum { SEEN_IMAGE, SEEN_TEXT, SEEN_VECTOR }; /* numbers of the task's slots */
static const double LINK = 0.15, NEAREST = 0.08, FARTHEST = 0.27, TOUCH = 0.02,
                    TURN = 6.283185307179586;
static const char MISSION[] = "touch the red ball";

/* Ambient light alone and no multisampling give few colors, small PNG files and the same gray
 * values in any pose. The sphere of the ball lies above its body, so the arm never covers it;
 * distances are measured in the plane of the arm. */
static const char MODEL[] =
    "<mujoco model='reacher'>\n"
    "  <compiler angle='radian'/>\n"
    "  <option timestep='0.01'/>\n"
    "  <statistic extent='0.6' center='0 0 0'/>\n"
    "  <visual>\n"
    "    <global offwidth='64' offheight='64'/>\n"
    "    <quality offsamples='0' shadowsize='0'/>\n"
    "    <headlight ambient='1 1 1' diffuse='0 0 0' specular='0 0 0'/>\n"
    "  </visual>\n"
    "  <default>\n"
    "    <geom contype='0' conaffinity='0'/>\n"
    "    <joint type='hinge' axis='0 0 1' damping='0.02'/>\n"
    "    <motor gear='0.1' ctrllimited='true' ctrlrange='-1 1'/>\n"
    "  </default>\n"
    "  <worldbody>\n"
    "    <camera name='top' pos='0 0 0.9' fovy='45'/>\n"
    "    <geom name='floor' type='plane' size='0.6 0.6 0.1' pos='0 0 -0.03' rgba='0.85 0.85 0.8 "
    "1'/>\n"
    "    <body name='upper'>\n"
    "      <joint name='shoulder'/>\n"
    "      <geom type='capsule' fromto='0 0 0 0.15 0 0' size='0.015' mass='0.05' rgba='0.1 0.2 0.5 "
    "1'/>\n"
    "      <body name='lower' pos='0.15 0 0'>\n"
    "        <joint name='elbow' limited='true' range='-2.8 2.8'/>\n"
    "        <geom type='capsule' fromto='0 0 0 0.15 0 0' size='0.015' mass='0.05' rgba='0.2 0.6 "
    "0.9 1'/>\n"
    "        <site name='tip' pos='0.15 0 0' size='0.005' group='5'/>\n"
    "      </body>\n"
    "    </body>\n"
    "    <body name='target' mocap='true'>\n"
    "      <geom name='ball' type='sphere' size='0.02' pos='0 0 0.02' rgba='1 0 0 1'/>\n"
    "    </body>\n"
    "  </worldbody>\n"
    "  <actuator>\n"
    "    <motor name='shoulder' joint='shoulder'/>\n"
    "    <motor name='elbow' joint='elbow'/>\n"
    "  </actuator>\n"
    "</mujoco>\n";

typedef struct {
    mjModel *m;
    mjData *d, *solved; /* solved: the state of a goal's image; NULL until one is wanted */
    render_t *render;
    int qpos[JOINTS], qvel[JOINTS], motor[JOINTS], tip, target;
    double goal[JOINTS]; /* the joint angles that the expert chose at reset */
    float vector[3 * JOINTS];
    int side;       /* of the image */
    uint8_t *image; /* [side, side, 3] */
} reacher_t;

static task_t make_task(int side) {
    task_t task = task_new("reacher", RECORD_EPISODE);
    slot_t *image = task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    image->image_h = image->image_w = (uint32_t)side;
    task_add(&task, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    task_add(&task, SLOT_VECTOR, SIDE_OBSERVED, "vector", 3 * JOINTS);
    slot_t *torque = task_add(&task, SLOT_VECTOR, SIDE_ACTED, "", JOINTS);
    for (int i = 0; i < JOINTS; i++) {
        torque->low[i] = -1;
        torque->high[i] = 1;
    }
    task.max_steps = ACTIONS_PER_EPISODE;
    task.random_return = -15.88; /* both measured over 1,000 episodes */
    task.expert_return = -4.74;
    task.env = xstrdup("{\"additional_wrappers\":[],\"disable_env_checker\":false,"
                       "\"entry_point\":null,\"id\":\"reacher-v0\",\"kwargs\":{},"
                       "\"max_episode_steps\":50,\"nondeterministic\":false,"
                       "\"order_enforce\":true,\"reward_threshold\":null,"
                       "\"vector_entry_point\":null}");
    return task;
}

static void *reacher_open(const env_opts_t *o, task_t *task, int *rc, reason_t *why) {
    *rc = RC_RUNTIME;
    mjModel *m = mujoco_model("reacher", MODEL, why);
    if (!m) return NULL;
    reacher_t *r = NEW(reacher_t);
    r->m = m;
    r->side = o->size ? (int)o->size : SIDE;
    r->image = xcalloc((size_t)r->side * r->side, 3);
    m->vis.global.offwidth = m->vis.global.offheight = r->side; /* of the renderer's buffer */
    r->d = mj_makeData(m);
    static const char *const joint[JOINTS] = {"shoulder", "elbow"};
    for (int i = 0; i < JOINTS; i++) {
        int id = mujoco_id(m, mjOBJ_JOINT, joint[i]);
        r->qpos[i] = m->jnt_qposadr[id];
        r->qvel[i] = m->jnt_dofadr[id];
        r->motor[i] = mujoco_id(m, mjOBJ_ACTUATOR, joint[i]);
    }
    r->tip = mujoco_id(m, mjOBJ_SITE, "tip");
    r->target = m->body_mocapid[mujoco_id(m, mjOBJ_BODY, "target")];
    *task = make_task(r->side);
    return r;
}

static void reacher_close(void *self) {
    reacher_t *r = self;
    render_close(r->render);
    mj_deleteData(r->solved);
    mj_deleteData(r->d);
    mj_deleteModel(r->m);
    free(r->image);
    free(r);
}

static void read_joints(const reacher_t *r, double angle[JOINTS], double velocity[JOINTS]) {
    for (int i = 0; i < JOINTS; i++) {
        angle[i] = r->d->qpos[r->qpos[i]];
        velocity[i] = r->d->qvel[r->qvel[i]];
    }
}

static int reacher_reset(void *self, uint64_t seed, uint64_t episode, reason_t *why) {
    reacher_t *r = self;
    rng_t rng = rng_fold(rng_make(seed, "env.reacher"), episode);
    mj_resetData(r->m, r->d);
    r->d->qpos[r->qpos[0]] = TURN * rng_uniform64(rng, 0);
    r->d->qpos[r->qpos[1]] = 2 * rng_uniform64(rng, 1) - 1;
    double radius = NEAREST + (FARTHEST - NEAREST) * rng_uniform64(rng, 2),
           angle = TURN * rng_uniform64(rng, 3);
    double *target = r->d->mocap_pos + 3 * r->target;
    target[0] = radius * cos(angle);
    target[1] = radius * sin(angle);
    target[2] = 0;
    mj_forward(r->m, r->d);
    double joint[JOINTS], velocity[JOINTS];
    read_joints(r, joint, velocity);
    expert_reach_aim(LINK, target, joint, r->goal);
    return 0;
}

static int need_renderer(reacher_t *r, reason_t *why) {
    if (!r->render) r->render = render_open(r->m, why);
    return r->render ? 0 : -1;
}

static int reacher_observe(void *self, bool images, env_observation_t *seen, reason_t *why) {
    reacher_t *r = self;
    double angle[JOINTS], velocity[JOINTS];
    read_joints(r, angle, velocity);
    for (int i = 0; i < JOINTS; i++) {
        r->vector[2 * i] = (float)cos(angle[i]);
        r->vector[2 * i + 1] = (float)sin(angle[i]);
        r->vector[2 * JOINTS + i] = (float)velocity[i];
    }
    seen->slot[SEEN_TEXT].text = MISSION;
    seen->slot[SEEN_VECTOR].vector = r->vector;
    if (!images) return 0;
    seen->slot[SEEN_IMAGE].rgb = r->image;
    if (need_renderer(r, why)) return -1;
    return render_frame(r->render, r->m, r->d, "top", r->side, r->side, r->image, why);
}

static double distance(const reacher_t *r) {
    const double *tip = r->d->site_xpos + 3 * r->tip, *target = r->d->mocap_pos + 3 * r->target;
    return hypot(tip[0] - target[0], tip[1] - target[1]);
}

static int reacher_step(void *self, const env_action_t *action, env_outcome_t *out, reason_t *why) {
    reacher_t *r = self;
    for (int i = 0; i < JOINTS; i++) r->d->ctrl[r->motor[i]] = action->vector[i];
    for (int i = 0; i < SUBSTEPS; i++) mj_step(r->m, r->d);
    mj_forward(r->m, r->d); /* mj_step leaves the places of the state before its last integration */
    if (mujoco_check(r->d, why)) return -1;
    out->reward = (float)-distance(r);
    out->success = distance(r) <= TOUCH;
    return 0;
}

static env_expert_t reacher_expert(void *self, env_action_t *action, reason_t *why) {
    reacher_t *r = self;
    double angle[JOINTS], velocity[JOINTS];
    read_joints(r, angle, velocity);
    expert_reach_act(r->goal, angle, velocity, action->vector);
    return ENV_EXPERT;
}

/* The arm at rest with its tip on the ball, bent as the expert chose. */
static env_goal_t reacher_goal(void *self, env_observation_t *goal, reason_t *why) {
    reacher_t *r = self;
    if (need_renderer(r, why)) return ENV_GOAL_FAILED;
    if (!r->solved) r->solved = mj_makeData(r->m);
    mj_copyData(r->solved, r->m, r->d);
    for (int i = 0; i < JOINTS; i++) r->solved->qpos[r->qpos[i]] = r->goal[i];
    mj_forward(r->m, r->solved);
    goal->slot[SEEN_IMAGE].rgb = r->image;
    return render_frame(r->render, r->m, r->solved, "top", r->side, r->side, r->image, why)
               ? ENV_GOAL_FAILED
               : ENV_GOAL;
}

static size_t reacher_state(const void *self, double *out, size_t cap) {
    const reacher_t *r = self;
    double all[2 * JOINTS + 2];
    read_joints(r, all, all + JOINTS);
    memcpy(all + 2 * JOINTS, r->d->mocap_pos + 3 * r->target, 2 * sizeof(double));
    size_t n = sizeof all / sizeof all[0];
    memcpy(out, all, (cap < n ? cap : n) * sizeof(double));
    return n;
}

static const char *reacher_renderer(void *self, reason_t *why) {
    reacher_t *r = self;
    return need_renderer(r, why) ? NULL : render_driver(r->render);
}

const env_driver_t env_reacher = {
    .name = "reacher",
    .sized = true,
    .open = reacher_open,
    .close = reacher_close,
    .reset = reacher_reset,
    .observe = reacher_observe,
    .step = reacher_step,
    .expert = reacher_expert,
    .goal = reacher_goal,
    .state = reacher_state,
    .renderer = reacher_renderer,
};

#else

static void *reacher_open(const env_opts_t *o, task_t *task, int *rc, reason_t *why) {
    *rc = RC_RUNTIME;
    reason_set(why, "built without MuJoCo: install libmujoco-dev and libosmesa6-dev, then rebuild");
    return NULL;
}

const env_driver_t env_reacher = {.name = "reacher", .open = reacher_open};

#endif
