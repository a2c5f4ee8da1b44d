/* stage.c - see stage.h. */
#include "gato/stage.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- options ---- */

stage_args_t stage_presets(const char *policy) {
    return (stage_args_t){.policy = policy,
                          .context = "cache",
                          .weights = "f32",
                          .temperature = NAN,
                          .beta = NAN,
                          .ensemble = NAN,
                          .smooth = NAN,
                          .plan = INT64_MIN,
                          .horizon = INT64_MIN,
                          .iterations = INT64_MIN,
                          .elite = INT64_MIN,
                          .execute = INT64_MIN,
                          .max_steps = INT64_MIN,
                          .prompt_top = INT64_MIN};
}

void stage_options(stage_args_t *a, cli_opt_t options[STAGE_OPTIONS]) {
    const cli_opt_t table[] = {
        {"--env", CLI_STR, &a->env, "NAME", "a built-in environment (reacher unless --env-cmd)",
         false},
        {"--env-cmd", CLI_STR, &a->command, "CMD",
         "an environment as a child process, run by sh -c, one for each worker", false},
        {"--env-size", CLI_INT, &a->size, "N",
         "side of the images in pixels: of reacher (0 = its own 64)", false},
        {"--env-timeout", CLI_DURATION, &a->timeout, "S",
         "how long the child may take for a step (unless given: 30 s)", false},
        {"--task", CLI_STR, &a->task, "NAME",
         "which of the model's tasks this is (unless given: the one of its name, else the only one "
         "that fits)",
         false},
        {"--allow-missing", CLI_FLAG, &a->allow_missing, NULL,
         "play although the model reads what the environment does not show", false},
        {"--policy", CLI_STR, &a->policy, "NAME", "who plays: expert, random, model, mix or plan",
         false},
        {"--beta", CLI_DOUBLE, &a->beta, "B",
         "probability of the expert's action in each step (--policy mix)", false},
        {"--model", CLI_STR, &a->model, "RUN", "the trained policy (--policy model or mix)", false},
        {"--prompt", CLI_STR, &a->prompt, "X.lmdb[:ID]",
         "before each episode, feed the model the end of a record: of that number, or of one that "
         "each episode draws",
         false},
        {"--prompt-top", CLI_INT, &a->prompt_top, "K",
         "draw among the K episodes of --prompt X.lmdb with the highest returns", false},
        {"--plan", CLI_INT, &a->plan, "N",
         "choose actions by dreaming N action sequences towards --goal (--policy plan; unless "
         "given: 64)",
         false},
        {"--horizon", CLI_INT, &a->horizon, "H", "timesteps that a plan dreams (unless given: 5)",
         false},
        {"--iterations", CLI_INT, &a->iterations, "I",
         "rounds of a plan's cross-entropy method; 1 = random shooting (unless given: 3)", false},
        {"--elite", CLI_INT, &a->elite, "E",
         "sequences that the next round learns from (unless given: an eighth)", false},
        {"--smooth", CLI_DOUBLE, &a->smooth, "R",
         "correlation of a plan's drawn numbers from step to step, below 1 (unless given: 0)",
         false},
        {"--forget", CLI_FLAG, &a->forget, NULL,
         "begin each plan from the present timestep alone, so that its dreams stay within as many "
         "timesteps as a training sequence has",
         false},
        {"--goal", CLI_STR, &a->goal, "FILE|env",
         "show the model a goal: an image, or what the environment says that the end of each "
         "episode looks like (unless given: none)",
         false},
        {"--decode", CLI_STR, &a->decode, "HOW",
         "mean, center, left, greedy or sample (unless given: the RUN's act.decode)", false},
        {"--temperature", CLI_DOUBLE, &a->temperature, "T",
         "of drawn tokens; 0 = the likeliest (unless given: the RUN's act.temperature)", false},
        {"--execute", CLI_INT, &a->execute, "M",
         "actions of a chunk or plan that are done before the next (unless given: of chunks the "
         "RUN's act.execute, of plans 1)",
         false},
        {"--ensemble", CLI_DOUBLE, &a->ensemble, "W",
         "average overlapping chunks, weighted exp(-W i) from the oldest on (unless given: the "
         "RUN's act.ensemble)",
         false},
        {"--max-steps", CLI_INT, &a->max_steps, "N",
         "end episodes after N steps (unless given: where the environment ends them)", false},
        {0},
    };
    _Static_assert(sizeof table / sizeof *table == STAGE_OPTIONS, "STAGE_OPTIONS counts the table");
    memcpy(options, table, sizeof table);
}

static int decode_of(const char *name) {
    static const char *const names[] = {"mean", "center", "left", "greedy", "sample"};
    static const decode_t decodes[] = {DECODE_MEAN, DECODE_CENTER, DECODE_LEFT, DECODE_GREEDY,
                                       DECODE_SAMPLE};
    if (!name) return -1;
    for (size_t i = 0; i < sizeof decodes / sizeof *decodes; i++)
        if (!strcmp(name, names[i])) return (int)decodes[i];
    die(RC_USAGE, "--decode '%s': one of mean, center, left, greedy, sample is needed", name);
}

/* Options that nothing reads. */
static void warn_idle(const stage_t *s) {
    const stage_args_t *a = s->args;
    bool plans = s->policy == &policy_plan, chooses = s->policy->needs_model && !plans;
    const struct {
        const char *option;
        bool given, read;
    } all[] = {
        {"--model", a->model != NULL, s->policy->needs_model},
        {"--task", a->task != NULL, s->policy->needs_model},
        {"--allow-missing", a->allow_missing, s->policy->needs_model},
        {"--prompt", a->prompt != NULL, chooses},
        {"--prompt-top", a->prompt_top != INT64_MIN, chooses},
        {"--goal", a->goal != NULL, s->policy->needs_model},
        {"--decode", a->decode != NULL, chooses},
        {"--temperature", !isnan(a->temperature), chooses},
        {"--execute", a->execute != INT64_MIN, s->policy->needs_model},
        {"--ensemble", !isnan(a->ensemble), chooses},
        {"--blank-image", a->blank, s->policy->needs_model},
        {"--context", strcmp(a->context, "cache") != 0, s->policy->needs_model},
        {"--weights", strcmp(a->weights, "f32") != 0, s->policy->needs_model},
        {"--horizon", a->horizon != INT64_MIN, plans},
        {"--iterations", a->iterations != INT64_MIN, plans},
        {"--elite", a->elite != INT64_MIN, plans},
        {"--smooth", !isnan(a->smooth), plans},
        {"--forget", a->forget, plans},
        {"--beta", !isnan(a->beta), s->policy == &policy_mix},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given && !all[i].read)
            warn("%s does nothing with --policy %s", all[i].option, s->policy->name);
    if (a->timeout > 0 && !a->command) warn("--env-timeout does nothing without --env-cmd");
}

static size_t plan_number(int64_t given, int64_t least, int64_t most, size_t preset,
                          const char *option) {
    if (given == INT64_MIN) return preset;
    if (given < least || given > most)
        die(RC_USAGE, "%s must be %lld to %lld", option, (long long)least, (long long)most);
    return (size_t)given;
}

search_opts_t stage_plan(const stage_args_t *a) {
    search_opts_t o = {.candidates = plan_number(a->plan, 2, 4096, 64, "--plan")};
    o.horizon = plan_number(a->horizon, 1, 1000, 5, "--horizon");
    o.iterations = plan_number(a->iterations, 1, 1000, 3, "--iterations");
    o.elite = plan_number(a->elite, 1, (int64_t)o.candidates, (o.candidates + 7) / 8, "--elite");
    o.smooth = isnan(a->smooth) ? 0 : a->smooth;
    if (!(o.smooth >= 0 && o.smooth < 1)) die(RC_USAGE, "--smooth must be 0 or more and below 1");
    o.execute = plan_number(a->execute, 1, (int64_t)o.horizon, 1, "--execute");
    return o;
}

player_opts_t stage_player(const stage_args_t *a, bool plans) {
    reason_t why;
    if (!isnan(a->temperature) && !(a->temperature >= 0 && a->temperature <= 1e6))
        die(RC_USAGE, "--temperature must be 0 or more");
    if (!plans && a->execute != INT64_MIN && a->execute < 1)
        die(RC_USAGE, "--execute must be 1 or more");
    if (!isnan(a->ensemble) && !(a->ensemble >= 0 && a->ensemble <= 1000))
        die(RC_USAGE, "--ensemble must be 0 to 1000");
    if (strcmp(a->context, "cache") && strcmp(a->context, "rebuild"))
        die(RC_USAGE, "--context '%s': one of cache, rebuild is needed", a->context);
    player_opts_t o = {.rebuild = !strcmp(a->context, "rebuild"),
                       .blank = a->blank,
                       .decode = decode_of(a->decode),
                       .temperature = isnan(a->temperature) ? -1 : a->temperature,
                       .execute = plans || a->execute == INT64_MIN ? 0 : a->execute,
                       .averages = !plans && !isnan(a->ensemble),
                       .ensemble = isnan(a->ensemble) ? 0 : a->ensemble};
    if (gato_weights_named(a->weights, &o.weights, &why)) die(RC_USAGE, "--weights %s", why.text);
    return o;
}

static void check(stage_t *s) {
    const stage_args_t *a = s->args;
    reason_t why;
    bool by_plan = a->plan != INT64_MIN && !strcmp(a->policy, "model"); /* it selects plans */
    s->policy = policy_find(by_plan ? "plan" : a->policy, &why);
    if (!s->policy) die(RC_USAGE, "%s", why.text);
    bool plans = s->policy == &policy_plan;
    if (a->plan != INT64_MIN && !plans)
        die(RC_USAGE, "--plan: --policy %s does not plan", s->policy->name);
    if (a->env && a->command) die(RC_USAGE, "--env and --env-cmd: one of them is needed");
    if (s->policy->needs_model && !a->model)
        die(RC_USAGE, "--policy %s needs --model RUN", s->policy->name);
    if (plans && !a->goal) die(RC_USAGE, "--policy plan needs --goal FILE or --goal env");
    if (s->policy == &policy_mix && !(a->beta >= 0 && a->beta <= 1))
        die(RC_USAGE, "--policy mix needs --beta B, a probability: 0 to 1");
    if (a->max_steps != INT64_MIN && (a->max_steps < 1 || a->max_steps > INT32_MAX))
        die(RC_USAGE, "--max-steps must be 1 or more");
    if (a->prompt_top != INT64_MIN && (a->prompt_top < 1 || a->prompt_top > 1000000000))
        die(RC_USAGE, "--prompt-top must be 1 or more");
    if (a->prompt_top != INT64_MIN && !a->prompt)
        die(RC_USAGE, "--prompt-top needs --prompt X.lmdb");
    if (a->size && (a->size < 16 || a->size > 1024)) die(RC_USAGE, "--env-size must be 16 to 1024");
    s->max_steps = a->max_steps == INT64_MIN ? 0 : (size_t)a->max_steps;
    s->how = (policy_opts_t){
        .model = a->model,
        .task = a->task,
        .allow_missing = a->allow_missing,
        .goal = a->goal,
        .prompt = a->prompt,
        .prompt_top = a->prompt_top == INT64_MIN ? 0 : (size_t)a->prompt_top,
        .beta = a->beta,
        .plan = plans ? stage_plan(a) : (search_opts_t){0},
        .forget = a->forget,
        .player = stage_player(a, plans),
    };
    if (s->policy->needs_model) gato_weights_warn(s->how.player.weights, true);
    warn_idle(s);
}

/* ---- opening ---- */

static void open_env(stage_t *s) {
    if (s->env) return;
    const char *name = s->args->env ? s->args->env : s->args->command ? NULL : "reacher";
    env_opts_t o = {.name = name,
                    .command = s->args->command,
                    .size = (size_t)s->args->size,
                    .step_timeout = s->args->timeout};
    int rc;
    reason_t why;
    s->env = env_open(&o, &rc, &why);
    if (!s->env) die(rc, "%s", why.text);
}

static void check_goal(const stage_t *s) {
    const char *goal = s->args->goal;
    if (s->policy->needs_model && goal && !strcmp(goal, GOAL_FROM_ENV) && !env_knows_goals(s->env))
        die(RC_USAGE, "--goal env: environment '%s' knows no goal to show", env_name(s->env));
}

static void open_player(stage_t *s) {
    if (s->player || !s->policy->open) return;
    int rc = RC_RUNTIME;
    reason_t why;
    s->player = s->policy->open(&s->task, &s->how, &rc, &why);
    if (!s->player) die(rc, "%s", why.text);
}

stage_t stage_open(const stage_args_t *a) {
    stage_t s = {.args = a};
    pool_set_threads(1);
    check(&s);
    open_env(&s);
    check_goal(&s);
    s.task = task_copy(env_task(s.env));
    s.env_name = xstrdup(env_name(s.env));
    if (!s.task.max_steps && !s.max_steps)
        die(RC_USAGE, "'%s' never ends an episode by itself: --max-steps N is needed", s.env_name);
    open_player(&s);
    if (s.player && s.policy->about) {
        char about[512];
        log_line("%s", s.policy->about(s.player, about));
    }
    return s;
}

static void close_player(stage_t *s) {
    if (s->player && s->policy->close) s->policy->close(s->player);
    s->player = NULL;
}

size_t stage_hand_over(stage_t *s, int64_t threads, size_t n) {
    pool_set_threads((int)threads);
    size_t workers = min_size((size_t)pool_threads(), n);
    if (workers < 2) return workers;
    pool_set_threads(1);
    close_player(s);
    env_close(s->env);
    s->env = NULL;
    return workers;
}

void stage_close(stage_t *s) {
    close_player(s);
    env_close(s->env);
    task_release(&s->task);
    free(s->env_name);
}

/* In the process that asks: writes the renderer's name to fd. */
static void tell_renderer(const stage_t *s, int fd) {
    reason_t why;
    const char *name = env_renderer(s->env, &why);
    if (!name) die(RC_RUNTIME, "%s", why.text);
    size_t n = strlen(name);
    if (write(fd, name, n) != (ssize_t)n) die_errno(RC_RUNTIME, "cannot write to a pipe");
    _exit(RC_OK);
}

char *stage_renderer(const stage_t *s) {
    if (s->args->command) return xstrdup(""); /* a child process draws as it likes */
    char name[512];
    int fd[2], status;
    if (pipe2(fd, O_CLOEXEC)) die_errno(RC_RUNTIME, "cannot make a pipe");
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) die_errno(RC_RUNTIME, "cannot start a process");
    if (!pid) tell_renderer(s, fd[1]);
    close(fd[1]);
    size_t n = 0;
    for (ssize_t k; (k = read(fd[0], name + n, sizeof name - 1 - n)) != 0;) {
        if (k < 0 && errno != EINTR) die_errno(RC_RUNTIME, "cannot read from a pipe");
        if (k > 0) n += (size_t)k;
    }
    close(fd[0]);
    name[n] = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) die_errno(RC_RUNTIME, "cannot wait for a process");
    if (!WIFEXITED(status)) die(RC_RUNTIME, "the screen driver of '%s' crashed", s->env_name);
    if (WEXITSTATUS(status)) exit(WEXITSTATUS(status)); /* it has said why */
    return xstrdup(name);
}

/* ---- playing ---- */

int stage_play(stage_t *s, const episode_opts_t *o, uint64_t episode, bool images,
               episode_sink_t sink, stage_again_t again, void *ctx, episode_result_t *result,
               reason_t *why) {
    episode_opts_t how = *o;
    how.goal = s->policy->needs_model && s->args->goal && !strcmp(s->args->goal, GOAL_FROM_ENV);
    open_env(s);
    open_player(s);
    for (bool second = false;; second = true) {
        if (!episode_play(s->env, s->policy, s->player, &how, episode, images, sink, ctx, result,
                          why))
            return 0;
        if (second || !again(ctx, why)) return -1;
    }
}
