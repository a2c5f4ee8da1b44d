/* env_pusher.c - "pusher": a round pusher on a table has to push a red puck onto a green disc. Only
 * the images show puck and disc, from the front (64 x 64) and from above (48 x 48): the vector
 * holds the pusher's own place and velocity, in meters and meters per second.
 *
 * An action is a velocity, each of x and y in [-1,1] parts of 0.25 m/s, for 0.04 s. The reward is
 * -(distance of puck and goal) - 0.1 * (gap between pusher and puck), in meters. The episode ends
 * when the puck is on the goal: its middle within 0.03 m; at most after 100 actions.
 *
 * Owns the model (below), MuJoCo's state, and a renderer that starts with the first image.
 */
#include "common/base/rng.h"
#include "gato/env/env_driver.h"

#ifdef WITH_MUJOCO
#include "gato/env/expert_push.h"
#include "gato/env/mujoco_model.h"
#include "gato/env/render.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRONT = 64, TOP = 48, AXES = 2, SUBSTEPS = 4, ACTIONS_PER_EPISODE = 100 };
/* Of the task's slots. */
enum { SEEN_FRONT, SEEN_TOP, SEEN_TEXT, SEEN_VECTOR };
static const double ON_GOAL = 0.03, GAP_WEIGHT = 0.1, TOUCH = 0.025 + 0.04;
static const char MISSION[] = "push the puck onto the goal";

/* The puck slides and turns on joints whose friction is that of a table: 0.3 of its weight. It
 * cannot come closer to the border of the table than the pusher can go behind it. Ambient light
 * alone (render.c), so tops have a lighter color than sides: else the front would show plain
 * silhouettes. The disc is larger than the puck, so a rim shows when both meet. */
static const char MODEL[] =
    "<mujoco model='pusher'>\n"
    "  <compiler angle='radian'/>\n"
    "  <option timestep='0.01'/>\n"
    "  <statistic extent='0.6' center='0 0 0'/>\n"
    "  <visual>\n"
    "    <global offwidth='64' offheight='64'/>\n"
    "    <quality offsamples='0' shadowsize='0'/>\n"
    "    <headlight ambient='1 1 1' diffuse='0 0 0' specular='0 0 0'/>\n"
    "  </visual>\n"
    "  <default>\n"
    "    <geom type='cylinder' contype='0' conaffinity='0' friction='0.3'/>\n"
    "    <joint type='slide'/>\n"
    "    <velocity gear='4' kv='0.25' ctrllimited='true' ctrlrange='-1 1'/>\n"
    "  </default>\n"
    "  <worldbody>\n"
    "    <camera name='top' pos='0 0 0.66' fovy='45'/>\n"
    "    <camera name='front' pos='0 -0.62 0.5' xyaxes='1 0 0 0 0.628 0.778' fovy='42'/>\n"
    "    <geom name='floor' type='plane' size='3 3 0.1' pos='0 0 -0.1' rgba='0.35 0.35 0.4 1'/>\n"
    "    <geom name='table' type='box' size='0.26 0.26 0.01' pos='0 0 -0.01'"
    " rgba='0.85 0.85 0.8 1'/>\n"
    "    <body name='goal' mocap='true'>\n"
    "      <geom name='goal' size='0.05 0.001' rgba='0.2 0.75 0.3 1'/>\n"
    "    </body>\n"
    "    <body name='puck' pos='0 0 0.014'>\n"
    "      <joint name='puck_x' axis='1 0 0' limited='true' range='-0.16 0.16'"
    " frictionloss='0.15'/>\n"
    "      <joint name='puck_y' axis='0 1 0' limited='true' range='-0.16 0.16'"
    " frictionloss='0.15'/>\n"
    "      <joint name='puck_turn' type='hinge' axis='0 0 1' frictionloss='0.004'/>\n"
    "      <geom name='puck' size='0.04 0.012' mass='0.05' contype='1' conaffinity='1'"
    " rgba='0.7 0.1 0.1 1'/>\n"
    "      <geom name='puck_top' size='0.04 0.0005' pos='0 0 0.012' mass='0' rgba='1 0.2 0.2 1'/>\n"
    "    </body>\n"
    "    <body name='pusher' pos='0 0 0.03'>\n"
    "      <joint name='pusher_x' axis='1 0 0' limited='true' range='-0.25 0.25'/>\n"
    "      <joint name='pusher_y' axis='0 1 0' limited='true' range='-0.25 0.25'/>\n"
    "      <geom name='pusher' size='0.025 0.028' mass='0.1' contype='1' conaffinity='1'"
    " rgba='0.1 0.2 0.5 1'/>\n"
    "      <geom name='pusher_top' size='0.025 0.0005' pos='0 0 0.028' mass='0'"
    " rgba='0.2 0.6 0.9 1'/>\n"
    "    </body>\n"
    "  </worldbody>\n"
    "  <actuator>\n"
    "    <velocity name='pusher_x' joint='pusher_x'/>\n"
    "    <velocity name='pusher_y' joint='pusher_y'/>\n"
    "  </actuator>\n"
    "</mujoco>\n";

/* Numbers of a joint in MuJoCo's arrays. */
typedef struct {
    int qpos, qvel;
} joint_t;

typedef struct {
    mjModel *m;
    mjData *d, *solved; /* solved: the state of a goal's images; NULL until they are wanted */
    render_t *render;
    joint_t pusher[AXES], puck[AXES], turn;
    int motor[AXES], goal;
    float vector[2 * AXES];
    uint8_t front[FRONT * FRONT * 3], top[TOP * TOP * 3];
} pusher_t;

/* ---- opening ---- */

static void add_camera(task_t *task, const char *name, uint32_t side) {
    slot_t *image = task_add(task, SLOT_IMAGE, SIDE_OBSERVED, name, 1);
    image->image_h = image->image_w = side;
}

static task_t make_task(void) {
    task_t task = task_new("pusher", RECORD_EPISODE);
    add_camera(&task, "front", FRONT);
    add_camera(&task, "top", TOP);
    task_add(&task, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    task_add(&task, SLOT_VECTOR, SIDE_OBSERVED, "vector", 2 * AXES);
    slot_t *velocity = task_add(&task, SLOT_VECTOR, SIDE_ACTED, "", AXES);
    for (int i = 0; i < AXES; i++) {
        velocity->low[i] = -1;
        velocity->high[i] = 1;
    }
    task.max_steps = ACTIONS_PER_EPISODE;
    task.random_return = -16.56; /* both measured over 1,000 episodes */
    task.expert_return = -5.45;
    task.env = xstrdup("{\"additional_wrappers\":[],\"disable_env_checker\":false,"
                       "\"entry_point\":null,\"id\":\"pusher-v0\",\"kwargs\":{},"
                       "\"max_episode_steps\":100,\"nondeterministic\":false,"
                       "\"order_enforce\":true,\"reward_threshold\":null,"
                       "\"vector_entry_point\":null}");
    return task;
}

static joint_t find_joint(const mjModel *m, const char *name) {
    int id = mujoco_id(m, mjOBJ_JOINT, name);
    return (joint_t){m->jnt_qposadr[id], m->jnt_dofadr[id]};
}

static void *pusher_open(const env_opts_t *o, task_t *task, int *rc, reason_t *why) {
    static const char *const pusher[AXES] = {"pusher_x", "pusher_y"}, *const puck[AXES] = {
                                                                          "puck_x", "puck_y"};
    *rc = RC_RUNTIME;
    mjModel *m = mujoco_model("pusher", MODEL, why);
    if (!m) return NULL;
    pusher_t *p = NEW(pusher_t);
    p->m = m;
    p->d = mj_makeData(m);
    for (int i = 0; i < AXES; i++) {
        p->pusher[i] = find_joint(m, pusher[i]);
        p->puck[i] = find_joint(m, puck[i]);
        p->motor[i] = mujoco_id(m, mjOBJ_ACTUATOR, pusher[i]);
    }
    p->turn = find_joint(m, "puck_turn");
    p->goal = m->body_mocapid[mujoco_id(m, mjOBJ_BODY, "goal")];
    *task = make_task();
    return p;
}

static void pusher_close(void *self) {
    pusher_t *p = self;
    render_close(p->render);
    mj_deleteData(p->solved);
    mj_deleteData(p->d);
    mj_deleteModel(p->m);
    free(p);
}

/* ---- the state ---- */

static void read_place(const mjData *d, const joint_t joint[AXES], double place[AXES]) {
    for (int i = 0; i < AXES; i++) place[i] = d->qpos[joint[i].qpos];
}

static void write_place(pusher_t *p, const joint_t joint[AXES], const double place[AXES]) {
    for (int i = 0; i < AXES; i++) p->d->qpos[joint[i].qpos] = place[i];
}

static const double *goal_of(const pusher_t *p) {
    return p->d->mocap_pos + 3 * p->goal;
}

static double distance(const double a[AXES], const double b[AXES]) {
    return hypot(a[0] - b[0], a[1] - b[1]);
}

/* A place within `reach` of the middle of the table, no nearer to `other` than `gap`. */
static void draw_place(rng_t rng, uint64_t *i, double reach, const double other[AXES], double gap,
                       double place[AXES]) {
    do
        for (int axis = 0; axis < AXES; axis++)
            place[axis] = reach * (2 * rng_uniform64(rng, (*i)++) - 1);
    while (distance(place, other) < gap);
}

static int pusher_reset(void *self, uint64_t seed, uint64_t episode, reason_t *why) {
    pusher_t *p = self;
    rng_t rng = rng_fold(rng_make(seed, "env.pusher"), episode);
    uint64_t draws = 0;
    double puck[AXES] = {0}, pusher[AXES], *goal = p->d->mocap_pos + 3 * p->goal;
    mj_resetData(p->m, p->d);
    draw_place(rng, &draws, 0.11, puck, 0, puck);
    draw_place(rng, &draws, 0.13, puck, 0.09, goal);
    draw_place(rng, &draws, 0.20, puck, 0.09, pusher);
    write_place(p, p->puck, puck);
    write_place(p, p->pusher, pusher);
    mj_forward(p->m, p->d);
    return 0;
}

/* One action on a state. */
static int advance(const pusher_t *p, mjData *d, const float action[AXES], reason_t *why) {
    for (int i = 0; i < AXES; i++) d->ctrl[p->motor[i]] = action[i];
    for (int i = 0; i < SUBSTEPS; i++) mj_step(p->m, d);
    mj_forward(p->m, d); /* mj_step leaves the places of the state before its last integration */
    return mujoco_check(d, why);
}

static double to_goal(const pusher_t *p, const mjData *d) {
    double puck[AXES];
    read_place(d, p->puck, puck);
    return distance(puck, goal_of(p));
}

static int pusher_step(void *self, const env_action_t *action, env_outcome_t *out, reason_t *why) {
    pusher_t *p = self;
    if (advance(p, p->d, action->vector, why)) return -1;
    double puck[AXES], pusher[AXES];
    read_place(p->d, p->puck, puck);
    read_place(p->d, p->pusher, pusher);
    double gap = fmax(0, distance(pusher, puck) - TOUCH);
    out->reward = (float)(-to_goal(p, p->d) - GAP_WEIGHT * gap);
    out->success = out->terminated = to_goal(p, p->d) <= ON_GOAL;
    return 0;
}

/* What the expert does in a state. */
static void choose(const pusher_t *p, const mjData *d, float action[AXES]) {
    double puck[AXES], pusher[AXES];
    read_place(d, p->puck, puck);
    read_place(d, p->pusher, pusher);
    expert_push_act(pusher, puck, goal_of(p), TOUCH, action);
}

static env_expert_t pusher_expert(void *self, env_action_t *action, reason_t *why) {
    const pusher_t *p = self;
    choose(p, p->d, action->vector);
    return ENV_EXPERT;
}

/* Places of pusher and puck, the puck's angle, their velocities in the same order, the goal. */
static size_t pusher_state(const void *self, double *out, size_t cap) {
    const pusher_t *p = self;
    const joint_t joint[] = {p->pusher[0], p->pusher[1], p->puck[0], p->puck[1], p->turn};
    enum { JOINTS = sizeof joint / sizeof joint[0] };
    double all[2 * JOINTS + AXES];
    for (int i = 0; i < JOINTS; i++) {
        all[i] = p->d->qpos[joint[i].qpos];
        all[JOINTS + i] = p->d->qvel[joint[i].qvel];
    }
    memcpy(all + 2 * JOINTS, goal_of(p), AXES * sizeof(double));
    size_t n = sizeof all / sizeof all[0];
    memcpy(out, all, (cap < n ? cap : n) * sizeof(double));
    return n;
}

/* ---- what it shows ---- */

static int need_renderer(pusher_t *p, reason_t *why) {
    if (!p->render) p->render = render_open(p->m, why);
    return p->render ? 0 : -1;
}

static int draw_images(pusher_t *p, mjData *d, env_observation_t *seen, reason_t *why) {
    seen->slot[SEEN_FRONT].rgb = p->front;
    seen->slot[SEEN_TOP].rgb = p->top;
    if (need_renderer(p, why)) return -1;
    if (render_frame(p->render, p->m, d, "front", FRONT, FRONT, p->front, why)) return -1;
    return render_frame(p->render, p->m, d, "top", TOP, TOP, p->top, why);
}

static int pusher_observe(void *self, bool images, env_observation_t *seen, reason_t *why) {
    pusher_t *p = self;
    for (int i = 0; i < AXES; i++) {
        p->vector[i] = (float)p->d->qpos[p->pusher[i].qpos];
        p->vector[AXES + i] = (float)p->d->qvel[p->pusher[i].qvel];
    }
    seen->slot[SEEN_TEXT].text = MISSION;
    seen->slot[SEEN_VECTOR].vector = p->vector;
    return images ? draw_images(p, p->d, seen, why) : 0;
}

/* The state in which the expert, from here on alone, leaves the table: the puck on the disc, the
 * pusher behind it. */
static env_goal_t pusher_goal(void *self, env_observation_t *goal, reason_t *why) {
    pusher_t *p = self;
    if (!p->solved) p->solved = mj_makeData(p->m);
    mj_copyData(p->solved, p->m, p->d);
    for (int t = 0; t < ACTIONS_PER_EPISODE && to_goal(p, p->solved) > ON_GOAL; t++) {
        float action[AXES];
        choose(p, p->solved, action);
        if (advance(p, p->solved, action, why)) return ENV_GOAL_FAILED;
    }
    if (to_goal(p, p->solved) > ON_GOAL) return ENV_NO_GOAL;
    return draw_images(p, p->solved, goal, why) ? ENV_GOAL_FAILED : ENV_GOAL;
}

static const char *pusher_renderer(void *self, reason_t *why) {
    pusher_t *p = self;
    return need_renderer(p, why) ? NULL : render_driver(p->render);
}

const env_driver_t env_pusher = {
    .name = "pusher",
    .open = pusher_open,
    .close = pusher_close,
    .reset = pusher_reset,
    .observe = pusher_observe,
    .step = pusher_step,
    .expert = pusher_expert,
    .goal = pusher_goal,
    .state = pusher_state,
    .renderer = pusher_renderer,
};

#else

static void *pusher_open(const env_opts_t *o, task_t *task, int *rc, reason_t *why) {
    *rc = RC_RUNTIME;
    reason_set(why, "built without MuJoCo: install libmujoco-dev and libosmesa6-dev, then rebuild");
    return NULL;
}

const env_driver_t env_pusher = {.name = "pusher", .open = pusher_open};

#endif
