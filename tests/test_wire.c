/* test_wire.c - environments in child processes. The child is tests/env_child.py, whose world is a
 * few lines of arithmetic that are written once more here; each way in which it misbehaves must be
 * named, cost no more than its time, and leave no process behind.
 */
#include "common/base/log.h"
#include "gato/env/env.h"
#include "gato/env/wire.h"
#include "tests/child.h"
#include "tests/test.h"
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static char script[PATH_MAX], folder[256];

/* The script lies in tests/ above the build folder, wherever that is. */
static bool find_script(void) {
    ssize_t n = readlink("/proc/self/exe", script, sizeof script - 32);
    if (n < 0) return false;
    script[n] = 0;
    for (char *slash = strrchr(script, '/'); slash; slash = strrchr(script, '/')) {
        strcpy(slash, "/tests/env_child.py");
        if (access(script, R_OK) == 0) return true;
        *slash = 0;
    }
    return false;
}

/* `python3 -S .../env_child.py FAULT` in a fresh folder; valid until the next call. */
static const char *child(const char *fault) {
    static char command[2 * PATH_MAX];
    if (!*script && !find_script()) printf("FAIL no tests/env_child.py\n"), exit(1);
    if (!*folder) child_mkdir(folder);
    snprintf(command, sizeof command, "cd '%s' && rm -f x && exec python3 -S '%s' %s", folder,
             script, fault);
    return command;
}

static void clean(void) {
    if (*folder) child_rmdir(folder);
    *folder = 0;
}

static env_t *open_child(const char *fault, reason_t *why) {
    static const char *const waits[] = {"hang", "no-end", "half", "never-reads"};
    double limit = 20;
    for (int i = 0; i < 4; i++)
        if (strstr(fault, waits[i])) limit = 1;
    int rc = RC_OK;
    why->text[0] = 0;
    env_t *e = env_open(&(env_opts_t){.command = child(fault),
                                      .start_timeout = strstr(fault, "hello") ? limit : 20,
                                      .reset_timeout = strstr(fault, "reset") ? limit : 20,
                                      .step_timeout = limit},
                        &rc, why);
    CHECK(rc == (e ? RC_OK : RC_RUNTIME), "%d", rc);
    return e;
}

/* Has this process a child that lives, or waits to be reaped? */
static bool has_child(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Kills the child, which has left its number in a file. */
static void kill_child(void) {
    char path[300];
    int pid = 0;
    snprintf(path, sizeof path, "%s/env_child.pid", folder);
    FILE *f = fopen(path, "r");
    REQUIRE(f && fscanf(f, "%d", &pid) == 1 && pid > 1);
    fclose(f);
    kill(pid, SIGKILL);
}

/* ---- the world, once more ---- */

typedef struct {
    double x;
    int t;
    uint64_t seed, episode;
} world_t;

static world_t begin(uint64_t seed, uint64_t episode) {
    return (world_t){(double)seed + 10 * (double)episode, 0, seed, episode};
}

static void check_image(const uint8_t *rgb, int bytes, const world_t *w) {
    REQUIRE(rgb != NULL, "at step %d", w->t);
    for (int i = 0; i < bytes; i++) CHECK(rgb[i] == (uint8_t)((int)w->x + i), "byte %d", i);
}

/* Slots in the task's order: front, wrist, mission, state, phase. */
static void check_seen(env_t *e, const world_t *w, bool images) {
    env_observation_t seen;
    reason_t why = {""};
    char mission[64];
    REQUIRE(!env_observe(e, images, &seen, &why), "%s", why.text);
    if (images) check_image(seen.slot[0].rgb, 4 * 6 * 3, w);
    if (images && w->t % 2 == 0) check_image(seen.slot[1].rgb, 2 * 2 * 3, w);
    CHECK(images || !seen.slot[0].rgb, "an image that nobody wanted");
    CHECK((images && w->t % 2 == 0) || !seen.slot[1].rgb, "the second camera is out at odd steps");
    snprintf(mission, sizeof mission, "mission of episode %d", (int)w->episode);
    CHECK_STR(seen.slot[2].text, mission);
    CHECK_NEAR(seen.slot[3].vector[0], w->x, 1e-4);
    CHECK(seen.slot[3].vector[1] == (float)w->t && seen.slot[3].vector[2] == (float)w->seed);
    CHECK(seen.slot[4].discrete[0] == (uint32_t)w->t % 4);
    CHECK(seen.slot[4].discrete[1] == (uint32_t)(w->episode % 3));
}

/* Plays by the actions of `push`, which may lie outside of its bounds [-1,1]. */
static void play(env_t *e, uint64_t seed, uint64_t episode, bool images, float push) {
    reason_t why = {""};
    world_t w = begin(seed, episode);
    env_outcome_t out = {0};
    REQUIRE(!env_reset(e, seed, episode, &why), "%s", why.text);
    check_seen(e, &w, images);
    while (!out.terminated && w.t < 10) {
        env_action_t action = {.vector = {push, 3}, .discrete = {(uint32_t)w.t % 3}};
        REQUIRE(!env_step(e, &action, &out, &why), "%s", why.text);
        float pushed = push > 1 ? 1 : push < -1 ? -1 : push;
        w.x += pushed + 3 + w.t % 3;
        w.t++;
        CHECK(out.reward == pushed, "%g", out.reward);
        CHECK(out.success == (w.t == 2) && !out.truncated, "step %d", w.t);
        check_seen(e, &w, images);
    }
    CHECK(w.t == 5, "%d", w.t);
}

TEST(child_declares_its_task) {
    reason_t why;
    env_t *e = open_child("", &why);
    REQUIRE(e, "%s", why.text);
    const task_t *task = env_task(e);
    CHECK_STR(task->name, "walk");
    CHECK_STR(env_name(e), child(""));
    REQUIRE(task->n_slots == 8 && task->max_steps == 20);
    CHECK(task->random_return == -1.5 && task->expert_return == 2.5);
    CHECK_STR(task->env, "{\"id\":\"walk-v0\"}");
    CHECK(task->slot[0].image_h == 4 && task->slot[0].image_w == 6);
    CHECK(task->slot[3].width == 3 && task->slot[4].range[0] == 4 && task->slot[4].range[1] == 3);
    CHECK(task->slot[5].low[0] == -1 && task->slot[5].high[0] == 1);
    CHECK(task->slot[6].low[0] == -INFINITY && task->slot[6].high[0] == INFINITY);
    CHECK(env_n_vector(task) == 2 && env_n_discrete(task) == 1);
    CHECK_STR(env_renderer(e, &why), "");
    CHECK(env_state(e, NULL, 0) == 0);
    env_close(e);
    CHECK(!has_child());
}

TEST(child_plays_episodes) {
    reason_t why;
    env_t *e = open_child("", &why);
    REQUIRE(e, "%s", why.text);
    play(e, 3, 0, true, 0.25f);
    play(e, 3, 1, false, 0.25f);
    play(e, 4, 7, true, 1e30f);
    play(e, 5, 2, false, -7);
    env_close(e);
}

TEST(child_gives_images_only_when_wanted_but_then_always) {
    reason_t why;
    env_t *e = open_child("", &why);
    REQUIRE(e, "%s", why.text);
    world_t w = begin(9, 1);
    REQUIRE(!env_reset(e, 9, 1, &why), "%s", why.text);
    for (int i = 0; i < 4; i++) check_seen(e, &w, i % 2);
    env_action_t action = {0};
    env_outcome_t out;
    REQUIRE(!env_step(e, &action, &out, &why), "%s", why.text);
    w.t = 1;
    check_seen(e, &w, false);
    REQUIRE(!env_step(e, &action, &out, &why), "%s", why.text);
    w.t = 2;
    check_seen(e, &w, true);
    env_close(e);
}

TEST(child_byte_by_byte) {
    reason_t why;
    env_t *e = open_child("dribble", &why);
    REQUIRE(e, "%s", why.text);
    play(e, 3, 0, true, 0.25f);
    env_close(e);
}

TEST(child_seed_of_64_bits) {
    reason_t why;
    env_t *e = open_child("", &why);
    REQUIRE(e, "%s", why.text);
    /* The text is printed from the whole number. */
    env_observation_t seen;
    REQUIRE(!env_reset(e, 1, UINT64_MAX, &why) && !env_observe(e, false, &seen, &why), "%s",
            why.text);
    CHECK_STR(seen.slot[2].text, "mission of episode 18446744073709551615");
    env_close(e);
}

TEST(child_expert) {
    reason_t why;
    env_t *e = open_child("", &why);
    REQUIRE(e, "%s", why.text);
    env_action_t action = {0};
    env_outcome_t out;
    REQUIRE(!env_reset(e, 1, 1, &why));
    CHECK(env_expert(e, &action, &why) == ENV_EXPERT);
    CHECK(action.vector[0] == 0.5f && action.vector[1] == -2 && action.discrete[0] == 0);
    REQUIRE(!env_step(e, &action, &out, &why));
    CHECK(env_expert(e, &action, &why) == ENV_NO_EXPERT, "none at step 1");
    REQUIRE(!env_step(e, &action, &out, &why));
    CHECK(env_expert(e, &action, &why) == ENV_EXPERT && action.discrete[0] == 2);
    env_close(e);
    e = open_child("no-expert", &why);
    REQUIRE(e && !env_reset(e, 1, 1, &why));
    CHECK(env_expert(e, &action, &why) == ENV_NO_EXPERT);
    env_close(e);
}

TEST(child_goal) {
    reason_t why;
    env_action_t action = {0};
    env_outcome_t out;
    env_observation_t seen, goal;
    env_t *e = open_child("goal", &why);
    REQUIRE(e && !env_reset(e, 1, 1, &why) && !env_observe(e, true, &seen, &why), "%s", why.text);
    REQUIRE(env_goal(e, &goal, &why) == ENV_GOAL && goal.slot[0].rgb, "%s", why.text);
    for (int i = 0; i < 72; i++)
        CHECK(goal.slot[0].rgb[i] == 100 + i && seen.slot[0].rgb[i] == 11 + i);
    for (int i = 1; i < 5; i++)
        CHECK(!goal.slot[i].rgb && !goal.slot[i].text && !goal.slot[i].vector &&
              !goal.slot[i].discrete);
    REQUIRE(!env_step(e, &action, &out, &why));
    CHECK(env_goal(e, &goal, &why) == ENV_NO_GOAL, "none at step 1");
    env_close(e);
    e = open_child("worded-goal", &why);
    REQUIRE(e && !env_reset(e, 1, 1, &why));
    CHECK(env_goal(e, &goal, &why) == ENV_GOAL_FAILED);
    CHECK(strstr(why.text, "goal: a goal of something else than images"), "%s", why.text);
    env_close(e);
    e = open_child("", &why);
    REQUIRE(e && !env_reset(e, 1, 1, &why));
    CHECK(env_goal(e, &goal, &why) == ENV_NO_GOAL, "a child of before");
    env_close(e);
}

TEST(two_children_at_once) {
    reason_t why;
    env_t *a = open_child("", &why), *b = open_child("", &why);
    REQUIRE(a && b, "%s", why.text);
    world_t wa = begin(1, 2), wb = begin(7, 5);
    REQUIRE(!env_reset(a, 1, 2, &why) && !env_reset(b, 7, 5, &why));
    for (int t = 0; t < 4; t++) {
        env_action_t pa = {.vector = {0.5f, 0}}, pb = {.vector = {-0.5f, 0}, .discrete = {1}};
        env_outcome_t out;
        check_seen(a, &wa, true);
        check_seen(b, &wb, true);
        REQUIRE(!env_step(a, &pa, &out, &why) && !env_step(b, &pb, &out, &why));
        wa.x += 0.5;
        wb.x += 0.5;
        wa.t++, wb.t++;
    }
    /* Each ends although the other one lives: no end of its pipes is held elsewhere. */
    double begun = log_now();
    env_close(a);
    CHECK(log_now() - begun < 1.5, "%g s to close", log_now() - begun);
    check_seen(b, &wb, false);
    env_close(b);
    CHECK(!has_child());
}

/* ---- misbehavior ---- */

typedef enum { AT_OPEN, AT_RESET, AT_STEP, AT_OBSERVE, AT_EXPERT } place_t;
typedef struct {
    const char *fault;
    place_t place;
    const char *verb, *cause, *first;
} fault_t;

/* Does the child go on after it? What it says or shows is its own matter. */
static bool lives(const fault_t *f) {
    return f->place != AT_OPEN && (!strncmp(f->cause, "it says", 7) ||
                                   !strncmp(f->cause, "it shows", 8) || !strcmp(f->verb, "step 0"));
}

static const fault_t faults[] = {
    {"die-hello", AT_OPEN, "hello", "it ended with exit code 7", NULL},
    {"abort-hello", AT_OPEN, "hello", "it was ended by signal 6 (Aborted)", NULL},
    {"hang-hello", AT_OPEN, "hello", "no whole reply within 1 s", NULL},
    {"garbage-hello", AT_OPEN, "hello",
     "not a line of JSON: 1:1: ", "began with \"Loading world\\x1B[0m ...\\x0A"},
    {"nul-hello", AT_OPEN, "hello", "not a line of JSON", "began with \"\\x00\\x01\\x0A"},
    {"list-hello", AT_OPEN, "hello", "not an object", "began with \"[1, 2]\\x0A"},
    {"no-ok-hello", AT_OPEN, "hello", "'ok' is not true or false", "began with \"{}\\x0A"},
    {"bare-hello", AT_OPEN, "hello", "'protocol' is not a number", "began with \"{\"ok\": true}"},
    {"no-end-hello", AT_OPEN, "hello", "no whole reply within 1 s", "began with \"{\"ok\": tr\""},
    {"endless-hello", AT_OPEN, "hello", "a line of more than 1048576 bytes", "began with \"aaaa"},
    {"close-hello", AT_OPEN, "hello", "it closed its output", NULL},
    {"never-reads hello", AT_OPEN, "hello", "no whole reply within 1 s", NULL},
    {"error-hello", AT_OPEN, "hello", "it says: the arm\\x0Ais stuck", NULL},
    {"mute-hello", AT_OPEN, "hello", "'ok' is false without an 'error'", "began with \"{\"error\""},
    {"protocol", AT_OPEN, "hello", "it speaks protocol 2, this program 1", "began with \"{\"ok\""},
    {"giant-task", AT_OPEN, "hello",
     "'task': task 'walk': 65536 x 65536 image 'front': 65536 x 65536 pixels", "began with"},
    {"large-task", AT_OPEN, "hello", "its observations have 805371936 bytes, at most 67108864",
     "began with"},
    {"no-size", AT_OPEN, "hello", "image 'front' has no size", "began with"},
    {"no-action", AT_OPEN, "hello", "its task has no actions", "began with"},
    {"wide", AT_OPEN, "hello", "its actions have 301 numbers and 1 discrete values", "began with"},
    {"die-reset", AT_RESET, "reset", "it ended with exit code 7", NULL},
    {"hang-reset", AT_RESET, "reset", "no whole reply within 1 s", NULL},
    {"error-reset", AT_RESET, "reset", "it says: the arm\\x0Ais stuck", NULL},
    {"bare-reset", AT_RESET, "reset", "'slots' is not an object", "began with \"{\"ok\": true}"},
    {"die-step", AT_STEP, "step", "it ended with exit code 7", NULL},
    {"abort-step", AT_STEP, "step", "it was ended by signal 6 (Aborted)", NULL},
    {"hang-step", AT_STEP, "step", "no whole reply within 1 s", NULL},
    {"garbage-step", AT_STEP, "step", "not a line of JSON", "began with \"Loading world"},
    {"no-end-step", AT_STEP, "step", "no whole reply within 1 s", "began with \"{\"ok\": tr\""},
    {"endless-step", AT_STEP, "step", "a line of more than 1048576 bytes", "began with \"aaaa"},
    {"close-step", AT_STEP, "step", "it closed its output", NULL},
    {"bare-step", AT_STEP, "step", "'reward' is not a number", "began with \"{\"ok\": true}"},
    {"error-step", AT_STEP, "step", "it says: the arm\\x0Ais stuck", NULL},
    {"half", AT_STEP, "step", "no whole reply within 1 s", "began with \"{\"ok\": true, \"slots\""},
    {"wrong-size", AT_STEP, "step", "4 x 6 image 'front' has 71 bytes, wanted 72", "began with"},
    {"giant", AT_STEP, "step", "4 x 6 image 'front' has 1073741824 bytes, wanted 72", "began with"},
    {"giant-text", AT_STEP, "step", "text 'mission' has 1073741824 bytes, at most 65536",
     "began with"},
    {"stranger", AT_STEP, "step", "its task has no observed slot 'elbow'", "began with"},
    {"acted", AT_STEP, "step", "its task has no observed slot 'push'", "began with"},
    {"nul", AT_STEP, "step", "a text with a NUL", "began with"},
    {"tail", AT_STEP, "step", "4 bytes behind the reply", "began with"},
    {"nan", AT_OBSERVE, "step 1", "it shows state[0] is not finite", NULL},
    {"range", AT_OBSERVE, "step 1", "it shows phase[0] is 7, its values are 0 to 3", NULL},
    {"utf8", AT_OBSERVE, "step 1", "it shows mission is not UTF-8", NULL},
    {"die-expert", AT_EXPERT, "expert", "it ended with exit code 7", NULL},
    {"hang-expert", AT_EXPERT, "expert", "no whole reply within 1 s", NULL},
    {"wide-expert", AT_EXPERT, "expert", "an action of 16 bytes, wanted 12", "began with"},
    {"nan-expert", AT_EXPERT, "step 0", "its expert's push is not finite", NULL},
};

/* Where does it fail? */
static int fail_at(env_t **e, const fault_t *f, reason_t *why) {
    env_action_t action = {0};
    env_outcome_t out;
    env_observation_t seen;
    *e = open_child(f->fault, why);
    if (!*e) return AT_OPEN;
    if (env_reset(*e, 1, 1, why)) return AT_RESET;
    if (env_observe(*e, true, &seen, why)) return -1;
    if (f->place == AT_EXPERT)
        return env_expert(*e, &action, why) == ENV_EXPERT_FAILED ? AT_EXPERT : -1;
    if (env_step(*e, &action, &out, why)) return AT_STEP;
    return env_observe(*e, true, &seen, why) ? AT_OBSERVE : -1;
}

static void check_fault(const fault_t *f) {
    reason_t why = {""};
    char head[2 * PATH_MAX];
    env_t *e;
    double begun = log_now();
    int place = fail_at(&e, f, &why);
    double took = log_now() - begun;
    CHECK(place == (int)f->place, "%s: at %d: %s", f->fault, place, why.text);
    CHECK(took < 6, "%s: %g s", f->fault, took);
    snprintf(head, sizeof head, "environment 'cd '%s", folder);
    CHECK(!strncmp(why.text, head, strlen(head)), "%s: %s", f->fault, why.text);
    snprintf(head, sizeof head, "': %s: %s", f->verb, f->cause);
    CHECK(strstr(why.text, head), "%s: '%s' is not in: %s", f->fault, head, why.text);
    if (f->first)
        CHECK(strstr(why.text, f->first), "%s: %s", f->fault, why.text);
    else
        CHECK(!strstr(why.text, "began with"), "%s: %s", f->fault, why.text);
    CHECK(has_child() == lives(f), "%s: a process is left", f->fault);
    env_close(e);
    CHECK(!has_child(), "%s: a process is left after the end", f->fault);
}

TEST(fault_090_children) {
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) check_fault(&faults[i]);
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_maxrss - before.ru_maxrss < 64 << 10, "%ld KB more", after.ru_maxrss);
    clean();
}

TEST(command_that_does_not_exist) {
    int rc = RC_OK;
    reason_t why = {""};
    CHECK(!env_open(&(env_opts_t){.command = "./no-such-program 2>&1", .start_timeout = 5}, &rc,
                    &why));
    CHECK(rc == RC_RUNTIME);
    CHECK(strstr(why.text, "environment './no-such-program 2>&1': hello: "), "%s", why.text);
    CHECK(strstr(why.text, "no-such-program") && strstr(why.text, "found"), "%s", why.text);
}

TEST(dead_child_is_started_anew) {
    static const char *const fault[] = {"once-reset", "once-step", "once-expert"};
    for (int i = 0; i < 3; i++) {
        reason_t why;
        env_action_t action = {0};
        env_outcome_t out;
        env_t *e = open_child(fault[i], &why);
        REQUIRE(e, "%s", why.text);
        bool failed = env_reset(e, 1, 1, &why) || env_expert(e, &action, &why) < 0 ||
                      env_step(e, &action, &out, &why);
        CHECK(failed && !has_child(), "%s", fault[i]);
        play(e, 3, 1, true, 0.25f);
        env_close(e);
        clean();
    }
}

TEST(child_killed_between_two_steps) {
    reason_t why;
    env_t *e = open_child("pid", &why);
    REQUIRE(e && !env_reset(e, 1, 1, &why));
    kill_child();
    usleep(100000);
    /* The write meets a closed pipe: SIGPIPE would end this test. */
    env_action_t action = {0};
    env_outcome_t out;
    CHECK(env_step(e, &action, &out, &why) == -1);
    CHECK(strstr(why.text, "step: it was ended by signal 9 (Killed)"), "%s", why.text);
    play(e, 3, 1, true, 0.25f);
    env_close(e);
    clean();
}

TEST(new_child_with_another_task_is_refused) {
    reason_t why;
    env_action_t action = {0};
    env_outcome_t out;
    env_t *e = open_child("other-task", &why);
    REQUIRE(e && !env_reset(e, 1, 1, &why));
    kill_child();
    CHECK(env_step(e, &action, &out, &why) == -1);
    CHECK(env_reset(e, 1, 1, &why) == -1);
    CHECK(strstr(why.text, "hello: it was started anew and declares another task"), "%s", why.text);
    CHECK(!has_child());
    env_close(e);
    clean();
}

TEST(stderr_of_a_child_goes_to_the_log) {
    char log[300], text[4096];
    int rc;
    reason_t why = {""};
    const char *command = child("chatty");
    snprintf(log, sizeof log, "%s/log", folder);
    for (int i = 0; i < 2; i++)
        env_close(env_open(&(env_opts_t){.command = command, .log = log}, &rc, &why));
    FILE *f = fopen(log, "r");
    REQUIRE(f, "%s", why.text);
    child_slurp(f, text, sizeof text);
    CHECK_STR(text, "hello from the world\nhello from the world\n");
    CHECK(!env_open(&(env_opts_t){.command = command, .log = "/nowhere/log"}, &rc, &why));
    CHECK_STR(why.text, "cannot open '/nowhere/log': No such file or directory");
    clean();
}

/* ---- the wire alone ---- */

TEST(wire_long_requests_and_late_readers) {
    enum { SIZE = 4 << 20 };
    char *bytes = xcalloc(SIZE, 1), line[64];
    reason_t why = {""};
    snprintf(line, sizeof line, "{\"bytes\":%d,\"verb\":\"put\"}", SIZE);
    /* It answers with more than a pipe holds before it reads at all. */
    wire_t *w = wire_start(child("crossed"), NULL, &why);
    cJSON *reply = wire_ask(w, "put", line, bytes, SIZE, 20, &why);
    CHECK(reply && strlen(cJSON_GetObjectItem(reply, "long")->valuestring) == 900000, "%s",
          why.text);
    CHECK(!wire_done(w, &why), "%s", why.text);
    cJSON_Delete(reply);
    wire_close(w);
    /* It reads slowly, and answers then. */
    w = wire_start(child("deaf"), NULL, &why);
    for (int i = 0; i < 2; i++) {
        reply = wire_ask(w, "put", line, bytes, SIZE, 20, &why);
        CHECK(reply && cJSON_GetObjectItem(reply, "sum")->valuedouble == SIZE, "%s", why.text);
        cJSON_Delete(reply);
    }
    wire_close(w);
    /* It never reads: the time is over, not the patience of this test. */
    w = wire_start(child("never-reads"), NULL, &why);
    double begun = log_now();
    CHECK(!wire_ask(w, "put", line, bytes, SIZE, 0.5, &why));
    CHECK(log_now() - begun > 0.4 && log_now() - begun < 3);
    CHECK(strstr(why.text, "put: no whole reply within 0.5 s"), "%s", why.text);
    CHECK(wire_stopped(w) && !has_child());
    wire_close(w);
    free(bytes);
    clean();
}

/* A child that knows no `close` still ends at once, at the end of its input: nobody else holds the
 * pipe to it, not even a child that was started later. */
TEST(wire_closes_every_end) {
    reason_t why = {""};
    wire_t *first = wire_start("cat >/dev/null", NULL, &why),
           *second = wire_start("cat >/dev/null", NULL, &why);
    REQUIRE(first && second, "%s", why.text);
    double begun = log_now();
    wire_close(first);
    CHECK(log_now() - begun < 1.5, "%g s to close", log_now() - begun);
    wire_close(second);
    CHECK(!has_child());
}

/* Also what the child has started is killed: sleepers in the background, which ignore signals. */
TEST(wire_kills_the_whole_group) {
    reason_t why = {""};
    char mark[64];
    snprintf(mark, sizeof mark, "%d.25", 100000 + getpid());
    char *command =
        xasprintf("(trap '' TERM HUP INT; sleep %s & sleep %s) & cat >/dev/null; wait", mark, mark);
    wire_t *w = wire_start(command, NULL, &why);
    CHECK(!wire_ask(w, "wait", "{}", NULL, 0, 0.5, &why));
    wire_close(w);
    free(command);
    /* Is a process with that mark in its command line left? */
    usleep(100000);
    DIR *proc = opendir("/proc");
    for (struct dirent *d = proc ? readdir(proc) : NULL; d; d = readdir(proc)) {
        char path[300], text[512] = "";
        snprintf(path, sizeof path, "/proc/%s/cmdline", d->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        size_t n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        for (size_t i = 0; i + 1 < n; i++)
            if (!text[i]) text[i] = ' ';
        CHECK(!strstr(text, mark), "%s: %s", d->d_name, text);
    }
    if (proc) closedir(proc);
}

/* The child of a process that is killed meets the end of its input. */
TEST(wire_child_ends_with_its_parent) {
    char pid_file[300];
    child("");
    snprintf(pid_file, sizeof pid_file, "%s/pid", folder);
    pid_t parent = fork();
    if (parent == 0) {
        reason_t why;
        char *command = xasprintf("echo $$ >'%s'; cat >/dev/null; sleep 50", pid_file);
        wire_t *w = wire_start(command, NULL, &why);
        wire_ask(w, "wait", "{}", NULL, 0, 60, &why);
        _exit(0);
    }
    int pid = 0;
    for (int i = 0; i < 200 && !pid; i++) {
        usleep(10000);
        FILE *f = fopen(pid_file, "r");
        if (f && fscanf(f, "%d", &pid) != 1) pid = 0;
        if (f) fclose(f);
    }
    CHECK(pid > 1 && kill(pid, 0) == 0);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    bool gone = false;
    char path[64], state[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int i = 0; i < 200 && !gone; i++) {
        usleep(10000);
        FILE *f = fopen(path, "r");
        gone = !f || !fgets(state, sizeof state, f) || strstr(state, ") Z");
        if (f) fclose(f);
    }
    CHECK(gone, "%s", state);
    clean();
}
