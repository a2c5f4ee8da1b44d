/* task.h - tasks: the bodies that one model plays, and the kinds of text that it reads.
 *
 * A task is a name, its slots, and what belongs to them. A slot is one named part of a timestep: an
 * image, a text, a vector of numbers or discrete values, observed or acted. Shards, RUN folders and
 * environments all say with these types what their timesteps are made of. Use
 * (tests/examples/example_task.c):
 *
 *     task_t arm = task_new("arm", RECORD_EPISODE);
 *     slot_t *wrist = task_add(&arm, SLOT_IMAGE, SIDE_OBSERVED, "wrist", 1);
 *     wrist->image_h = wrist->image_w = 64;
 *     slot_t *joints = task_add(&arm, SLOT_VECTOR, SIDE_OBSERVED, "state/joints", 6);
 *     joints->low[5] = 0; // the gripper's
 *     slot_t *torque = task_add(&arm, SLOT_VECTOR, SIDE_ACTED, "torque", 1);
 *     torque->low[0] = -1;
 *     torque->high[0] = 1;
 *     char *json = tasks_json(&(tasks_t){&arm, 1});
 *     task_release(&arm);
 *
 * Slots stand in the order of a timestep: observed ones by kind (image, text, vector, discrete),
 * then acted ones (vector, discrete); inside a kind in the order of declaration. task_add keeps it.
 */
#ifndef IO_TASK_H
#define IO_TASK_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { SLOT_IMAGE, SLOT_TEXT, SLOT_VECTOR, SLOT_DISCRETE, SLOT_KINDS } slot_kind_t;
/* "image", "text", "vector", "discrete" */
extern const char *const slot_kind_names[SLOT_KINDS];
typedef enum { SIDE_OBSERVED, SIDE_ACTED } slot_side_t;
/* What the records of a task are. The text of an image or of a text is what a model predicts; that
 * of an episode is observed. */
typedef enum { RECORD_IMAGE, RECORD_EPISODE, RECORD_TEXT, RECORD_KINDS } record_kind_t;
/* "image", "episode", "text" */
extern const char *const record_kind_names[RECORD_KINDS];

enum {
    TASK_SLOTS = 32,      /* most slots of a task */
    TASK_TEXT_SLOTS = 1,  /* of these texts */
    TASK_DISCRETE = 1024, /* most values of a discrete column */
    TASK_WIDTH = 1 << 20, /* most columns of a slot */
    TASK_BINS = 1 << 16,  /* most bins of a column */
    TASK_NAME = 256,      /* bytes of a name, its end included */
    TASK_LIST = 1024      /* most tasks of a list that is read */
};

/* Where the bounds that scale an action come from (gato/task/scaling.h). */
typedef enum { SCALING_DECLARED, SCALING_QUANTILES, SCALING_EXTREMES, SCALINGS } scaling_t;
extern const char *const scaling_names[SCALINGS];

/* Arrays are owned and [width]; NULL = not known, or of another kind of slot. */
typedef struct {
    char *name; /* as the data call it: "image", "agent/wrist"; unique within the task's side */
    slot_kind_t kind;
    slot_side_t side;
    uint32_t width; /* columns of a vector or of discrete values; 1 for images and texts */

    /* Images: pixels after preprocessing, and the grid of codes. 0 = they differ from record to
     * record, or there are none. */
    uint32_t image_h, image_w, grid_h, grid_w;
    /* In a RUN: its images had several sizes in training; those above are of the largest. */
    bool varies;

    uint32_t *range; /* discrete: values of a column are 0 .. range - 1; range <= TASK_DISCRETE */

    /* Vectors: bounds as declared, maybe infinite. Never NULL in an acted vector; in an observed
     * one NULL is the same as infinite. */
    float *low, *high;
    /* Acted vectors, never NULL there: 1 = a shard holds the column in the units of the
     * environment, 0 = scaled by low and high to [-1,1] (bounds.h). */
    uint8_t *raw;

    /* Statistics of the training side. A RUN has them, a shard does not. */
    uint32_t text_len;             /* texts: ids of the longest; 0 = not known */
    float *mean, *deviation;       /* observed vectors */
    float *scale_low, *scale_high; /* acted vectors: [scale_low, scale_high] is [-1,1] */
    uint8_t *scaling;              /* acted vectors: a scaling_t for each column */
    /* Acted vectors whose bins have widths of their own (gato/task/action_bins.h), column after
     * column: the lower edges of all bins but the first, rising, and what each bin stands for. */
    uint32_t n_bins;   /* of a column; 0 = they have not */
    float *bin_edges;  /* [width, n_bins - 1] */
    float *bin_values; /* [width, n_bins] */
} slot_t;

typedef struct {
    char *name; /* "reacher"; unique within a list */
    record_kind_t kind;
    slot_t *slot; /* [n_slots], owned, in the order of a timestep */
    uint32_t n_slots;
    uint32_t max_steps; /* of an episode; 0 = not known */
    /* Mean returns, the 0 and the 1 of normalized scores; NAN = not known. */
    double random_return, expert_return;
    char *env; /* JSON: the environment's specification, or NULL */
} task_t;

/* {0} is an empty list. */
typedef struct {
    task_t *v;
    size_t n;
} tasks_t;

/* n floats that are all v, malloc'ed: for bounds. */
float *floats_of(size_t n, float v);

/* ---- a task ---- */

/* An empty task; the name is copied. Release with task_release. */
task_t task_new(const char *name, record_kind_t kind);
void task_release(task_t *t);
/* A deep copy. */
task_t task_copy(const task_t *t);
/* Adds a slot in its place; the name is copied. Bounds of a vector are infinite, and an acted
 * vector is raw; the caller sets what it knows, and the range of discrete values always. NULL when
 * the side has that name already, or TASK_SLOTS are reached. Pointers from former calls are invalid
 * then. */
slot_t *task_add(task_t *t, slot_kind_t kind, slot_side_t side, const char *name, uint32_t width);
/* The number of the slot of that side and name, or -1. */
int task_find(const task_t *t, slot_side_t side, const char *name);
/* The first slot of that side and kind, or -1. */
int task_first(const task_t *t, slot_side_t side, slot_kind_t kind);
/* Columns of all slots of that side and kind. */
uint64_t task_width(const task_t *t, slot_side_t side, slot_kind_t kind);
/* Is every slot as this header says, within its limits? 0, or -1 with a reason. */
int task_check(const task_t *t, reason_t *why);
/* Can values of `data` be read by `model`: the same slots by side, kind, name, width and range, the
 * same declared bounds? Sizes of images, statistics and what is missing (a slot that data lack)
 * fit, and so do infinite bounds of an observation. A name "" fits any other of its kind and width.
 * The kinds of records must be equal, the tasks' names need not. 0, or -1 with a reason that goes
 * slot by slot: what the model reads and the data have. */
int task_fit(const task_t *model, const task_t *data, reason_t *why);
/* Fills map [data->n_slots] with the numbers of the model's slots; data must fit. */
void task_map(const task_t *model, const task_t *data, int32_t *map);
/* Column k of a slot for messages: "arm/joints[2]", "image", "action[1]" where it has no name.
 * Returns buf. */
const char *slot_column(const slot_t *slot, uint32_t k, char buf[TASK_NAME + 32]);
/* "48 x 64 image 'front'", "vector 'state' of 6": for messages. Sizes are height x width, as in
 * FORMATS.md and in the shapes of arrays. Returns buf. */
const char *slot_text(const slot_t *slot, char buf[TASK_NAME + 64]);

/* ---- a list ---- */

void tasks_release(tasks_t *list);
tasks_t tasks_copy(const tasks_t *list);
/* Appends a task, which the list owns from then on. */
void tasks_add(tasks_t *list, task_t task);
/* The number of the task of that name, or -1. */
int tasks_find(const tasks_t *list, const char *name);
/* The list as canonical JSON (FORMATS.md 1.3.1), malloc'ed. What is not known is left out; infinite
 * bounds are null. */
char *tasks_json(const tasks_t *list);
/* The same without sizes of images: what is equal in two lists whose tasks are the same. */
char *tasks_json_unsized(const tasks_t *list);
/* Back, with task_check. 0, or -1 with a reason and *out empty. */
int tasks_parse(tasks_t *out, const char *json, size_t size, reason_t *why);

#endif
