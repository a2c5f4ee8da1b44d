/* mujoco_model.c - models out of strings, and MuJoCo's own ways to report trouble. */
#ifdef WITH_MUJOCO
#include "gato/env/mujoco_model.h"
#include <stdlib.h>
#include <string.h>

/* MuJoCo's own handlers wait for Enter on stdin and write a log file into the current folder. */
static void on_error(const char *text) {
    die(RC_RUNTIME, "mujoco: %s", text);
}
static void on_warning(const char *text) {
    warn("mujoco: %s", text);
}

mjModel *mujoco_model(const char *name, const char *xml, reason_t *why) {
    static const char file[] = "model.xml";
    mju_user_error = on_error;
    mju_user_warning = on_warning;
    if (mj_version() != mjVERSION_HEADER) {
        reason_set(why, "libmujoco is version %d, this program was built for %d", mj_version(),
                   mjVERSION_HEADER);
        return NULL;
    }
    mjVFS *files = xmalloc(sizeof *files); /* megabytes: not for the stack */
    mj_defaultVFS(files);
    mj_makeEmptyFileVFS(files, file, (int)strlen(xml));
    memcpy(files->filedata[0], xml, strlen(xml));
    char text[256] = "";
    mjModel *m = mj_loadXML(file, files, text, sizeof text);
    mj_deleteVFS(files);
    free(files);
    if (!m) reason_set(why, "mujoco refuses the %s model: %s", name, text);
    return m;
}

int mujoco_id(const mjModel *m, mjtObj kind, const char *name) {
    int id = mj_name2id(m, kind, name);
    if (id < 0) BUG("the model has no '%s'", name);
    return id;
}

int mujoco_check(const mjData *d, reason_t *why) {
    static const int bad[] = {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC, mjWARN_BADCTRL};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (d->warning[bad[i]].number)
            return reason_set(why, "the simulation became unstable at %.2f s", d->time);
    return 0;
}

#else
typedef int mujoco_model_is_not_built;
#endif
