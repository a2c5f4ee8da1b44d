/* example_task.c - the use that task.h opens with. */
#include "common/io/token_db/task.h"
#include "tests/test.h"

#include <stdlib.h>

TEST(a_task_of_an_arm) {
    /* use of common/io/token_db/task.h */
    task_t arm = task_new("arm", RECORD_EPISODE);
    slot_t *wrist = task_add(&arm, SLOT_IMAGE, SIDE_OBSERVED, "wrist", 1);
    wrist->image_h = wrist->image_w = 64;
    slot_t *joints = task_add(&arm, SLOT_VECTOR, SIDE_OBSERVED, "state/joints", 6);
    joints->low[5] = 0; // the gripper's
    slot_t *torque = task_add(&arm, SLOT_VECTOR, SIDE_ACTED, "torque", 1);
    torque->low[0] = -1;
    torque->high[0] = 1;
    char *json = tasks_json(&(tasks_t){&arm, 1});
    task_release(&arm);
    /* end of use */
    CHECK_STR(json,
              "[{\"kind\":\"episode\",\"name\":\"arm\",\"slots\":["
              "{\"image\":[64,64],\"kind\":\"image\",\"name\":\"wrist\",\"side\":\"observed\"},"
              "{\"high\":[null,null,null,null,null,null],\"kind\":\"vector\","
              "\"low\":[null,null,null,null,null,0],\"name\":\"state/joints\","
              "\"side\":\"observed\"},"
              "{\"high\":[1],\"kind\":\"vector\",\"low\":[-1],\"name\":\"torque\",\"raw\":[1],"
              "\"side\":\"acted\"}]}]");
    free(json);
}
