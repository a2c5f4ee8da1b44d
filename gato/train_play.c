/* train_play.c - see train_play.h. */
#include "gato/train_play.h"

#include "common/io/fs.h"
#include "gato/env/env.h"
#include "gato/model/layout.h"
#include "gato/play/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { ANSWER = 1 << 16 /* bytes of what the child may print */ };

/* The weights as a RUN, which shares the tokenizer. Returns its path, malloc'ed. */
static char *write_weights(const train_play_t *p) {
    reason_t why;
    char *dir = fs_join(p->out, "eval"), *link = fs_join(dir, RUN_TOKENIZER);
    int rc = run_save(p->m, p->block, dir, &why);
    if (rc) die(rc, "%s", why.text);
    if (symlink("../" RUN_TOKENIZER, link) && errno != EEXIST)
        die_errno(RC_RUNTIME, "cannot link '%s'", link);
    free(link);
    return dir;
}

static void remove_file(const char *path) {
    if (unlink(path) && errno != ENOENT) die_errno(RC_RUNTIME, "cannot remove '%s'", path);
}

/* Removes a folder with these files, and what a killed run left of their temporaries (fs.h). */
static void remove_folder(const char *dir, const char *const file[], size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *temporary = xasprintf("%s/.%s.tmp", dir, file[i]), *path = fs_join(dir, file[i]);
        remove_file(path);
        remove_file(temporary);
        free(temporary);
        free(path);
    }
    if (rmdir(dir) && errno != ENOENT) die_errno(RC_RUNTIME, "cannot remove '%s'", dir);
}

static void remove_weights(const char *dir) {
    static const char *const file[] = {GATO_CONFIG_FILE, GATO_WEIGHTS_FILE, GATO_TEXT_FILE,
                                       RUN_TOKENIZER},
                             *const of_fast[] = {FAST_PROCESSOR_FILE, FAST_TOKENIZER_FILE};
    char *fast = fs_join(dir, RUN_FAST);
    remove_folder(fast, of_fast, sizeof of_fast / sizeof *of_fast);
    remove_folder(dir, file, sizeof file / sizeof *file);
    free(fast);
}

void train_play_clean(const char *out) {
    char *dir = fs_join(out, "eval");
    if (fs_is_dir(dir)) remove_weights(dir);
    free(dir);
}

/* All that it prints, ended by 0. */
static void read_answer(int fd, char answer[ANSWER]) {
    size_t n = 0;
    for (ssize_t k; (k = read(fd, answer + n, ANSWER - 1 - n)) != 0;) {
        if (k < 0 && errno != EINTR) die_errno(RC_RUNTIME, "cannot read from 'gato act'");
        if (k > 0) n += (size_t)k;
    }
    answer[n] = 0;
}

/* Runs this program with the arguments, in a process group of its own: a signal from the keyboard
 * stops the training, which waits for it. Returns its exit code. */
static int run_self(char *const argv[], char answer[ANSWER]) {
    int fd[2], status;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (pipe2(fd, O_CLOEXEC)) die_errno(RC_RUNTIME, "cannot make a pipe");
    if (posix_spawn_file_actions_init(&actions) ||
        posix_spawn_file_actions_adddup2(&actions, fd[1], STDOUT_FILENO) ||
        posix_spawnattr_init(&attributes) ||
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP))
        die(RC_RUNTIME, "out of memory (gato act)");
    errno = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    if (errno) die_errno(RC_RUNTIME, "cannot start 'gato act'");
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(fd[1]);
    read_answer(fd[0], answer);
    close(fd[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) die_errno(RC_RUNTIME, "cannot wait for 'gato act'");
    return WIFEXITED(status) ? WEXITSTATUS(status) : RC_RUNTIME;
}

/* Was the task that plays trained with goals? It is named as the environment, or the only one. */
static bool has_goals(const train_play_t *p) {
    const tasks_t *tasks = &p->m->tasks;
    for (size_t i = 0; i < tasks->n; i++)
        if ((tasks->n == 1 || !strcmp(tasks->v[i].name, p->m->config.train.eval_env)) &&
            layout_goal(&p->m->config, &tasks->v[i]) >= 0)
            return true;
    return false;
}

static int act(const train_play_t *p, int64_t episodes, bool probe, char answer[ANSWER]) {
    char *dir = write_weights(p), seed[32], threads[32], number[32];
    const gato_config_t *c = &p->m->config;
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->seed);
    snprintf(threads, sizeof threads, "%lld", (long long)p->threads);
    snprintf(number, sizeof number, "%lld", (long long)episodes);
    char env[CONFIG_STRING];
    snprintf(env, sizeof env, "%s", c->train.eval_env);
    char *argv[20] = {"gato",   "act", "--env",     env,     "--model",    dir,
                      "--seed", seed,  "--threads", threads, "--episodes", number};
    size_t n = 12;
    if (probe) argv[n++] = "--max-steps", argv[n++] = "1";
    if (has_goals(p)) argv[n++] = "--goal", argv[n++] = GOAL_FROM_ENV;
    int rc = run_self(argv, answer);
    remove_weights(dir);
    free(dir);
    return rc;
}

void train_play_check(const gato_config_t *c) {
    int rc;
    reason_t why;
    if (!*c->train.eval_env) return;
    env_t *env = env_open(&(env_opts_t){.name = c->train.eval_env}, &rc, &why);
    if (!env) die(rc, "train.eval_env: %s", why.text);
    env_close(env);
}

void train_play_probe(const train_play_t *p) {
    char *answer = xmalloc(ANSWER);
    if (*p->m->config.train.eval_env) {
        int rc = act(p, 1, true, answer);
        if (rc) die(rc, "train.eval_env: the policy cannot play '%s'", p->m->config.train.eval_env);
    }
    free(answer);
}

void train_play(const train_play_t *p, jsonw_t *line) {
    static const struct {
        const char *ours, *theirs;
    } member[] = {{"return", "return_mean"}, {"success", "success_rate"}};
    const gato_config_t *c = &p->m->config;
    if (!*c->train.eval_env) return;
    char *answer = xmalloc(ANSWER);
    int rc = act(p, c->train.eval_episodes, false, answer);
    cJSON *o = rc ? NULL : json_parse(answer, strlen(answer), false, NULL);
    if (!o) die(RC_RUNTIME, "train.eval_env: 'gato act' failed (exit code %d)", rc);
    for (size_t i = 0; i < sizeof member / sizeof *member; i++) {
        char *key = xasprintf("%s_%s", member[i].ours, c->train.eval_env);
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, member[i].theirs);
        if (!cJSON_IsNumber(v)) BUG("gato act without %s", member[i].theirs);
        jsonw_float(line, key, (float)v->valuedouble);
        free(key);
    }
    cJSON_Delete(o);
    free(answer);
}
