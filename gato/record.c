/* record.c - `gato record`: a policy plays an environment; the episodes become a Minari dataset.
 *
 * Episode i is a function of (seed, i) and the options, whichever process plays it. This process
 * alone writes, in order, so the bytes are the same for any --threads.
 */
#include "gato/record.h"
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/io/episodes/minari_write.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "gato/play/rollout.h"
#include "gato/play/workers.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *env, *policy, *out, *model;
    int64_t episodes, threads;
    bool force;
    rollout_opts_t play;
} options_t;

static options_t parse(int argc, char **argv) {
    options_t o = {.env = "reacher", .policy = "expert", .play = {.noise = 0.3}};
    const cli_opt_t table[] = {
        {"--env", CLI_STR, &o.env, "NAME", "the environment", false},
        {"--policy", CLI_STR, &o.policy, "NAME", "who plays: expert, random or model", false},
        {"--model", CLI_STR, &o.model, "RUN", "the trained policy (--policy model)", false},
        {"--episodes", CLI_INT, &o.episodes, "N", "how many episodes", true},
        {"--out", CLI_STR, &o.out, "DIR", "the dataset's folder", true},
        {"--seed", CLI_U64, &o.play.seed, "S", "episode i is a function of S and i", false},
        {"--burst", CLI_DOUBLE, &o.play.burst, "P",
         "probability per step that 3-8 steps of one random action begin", false},
        {"--noise", CLI_DOUBLE, &o.play.noise, "SIGMA",
         "standard deviation of the noise on executed actions", false},
        {"--noise-episodes", CLI_DOUBLE, &o.play.noise_episodes, "F",
         "fraction of the episodes that get noise", false},
        {"--threads", CLI_INT, &o.threads, "N",
         "worker processes (0 = one per processor); the bytes are the same for any", false},
        {"--force", CLI_FLAG, &o.force, NULL, "write into a folder that is not empty", false},
        {0},
    };
    cli_parse(argc, argv, "record", "play episodes and write them as a Minari dataset (DIR/data)",
              (const cli_opt_t *const[]){table}, 1);
    const rollout_opts_t *p = &o.play;
    if (o.episodes < 1 || o.episodes > 1000000000) die(RC_USAGE, "--episodes must be 1 or more");
    if (!(p->burst >= 0 && p->burst <= 1)) die(RC_USAGE, "--burst is a probability: 0 to 1");
    if (!(p->noise_episodes >= 0 && p->noise_episodes <= 1))
        die(RC_USAGE, "--noise-episodes is a fraction: 0 to 1");
    if (!(p->noise >= 0 && p->noise <= 1000)) die(RC_USAGE, "--noise must be 0 or more");
    if (o.threads < 0 || o.threads > 1024) die(RC_USAGE, "--threads must be 0 to 1024");
    return o;
}

static void prepare_out(const options_t *o) {
    reason_t why;
    if (fs_exists(o->out) && !fs_is_dir(o->out)) die(RC_USAGE, "'%s' is not a folder", o->out);
    if (!fs_dir_empty(o->out) && !o->force)
        die(RC_USAGE, "'%s' is not empty (--force writes into it)", o->out);
    if (fs_mkdirs(o->out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(o->out);
}

/* What a process plays with. The environment is open before the fork (its screen driver is not);
 * the player opens when it is first needed. */
typedef struct {
    const options_t *options;
    const policy_t *policy;
    env_t *env;
    void *player;
} stage_t;

static stage_t open_stage(const options_t *o) {
    int rc;
    reason_t why;
    stage_t s = {.options = o, .policy = policy_find(o->policy, &why)};
    if (!s.policy) die(RC_USAGE, "%s", why.text);
    s.env = env_open(o->env, &rc, &why);
    if (!s.env) die(rc, "%s", why.text);
    return s;
}

static void close_stage(stage_t *s) {
    if (s->player && s->policy->close) s->policy->close(s->player);
    env_close(s->env);
}

static void play_into(void *ctx, size_t episode, void *block) {
    stage_t *s = ctx;
    if (s->policy->open && !s->player) {
        int rc = RC_RUNTIME;
        reason_t why;
        s->player = s->policy->open(env_info(s->env), s->options->model, NULL, &rc, &why);
        if (!s->player) die(rc, "%s", why.text);
    }
    rollout_t r = rollout_view(env_info(s->env), block);
    rollout_play(&r, s->env, s->policy, s->player, &s->options->play, episode);
}

/* The observation's leaves: image, text, vector, as far as the environment has them, in
 * alphabetical order of their paths. */
enum { MAX_LEAVES = 3 };
typedef struct {
    space_leaf_t obs[MAX_LEAVES], act;
    size_t n, image, text, vector; /* places in obs; n = absent */
} layout_t;

static space_leaf_t box(const char *path, size_t count, double limit) {
    space_leaf_t l = {
        .kind = SPACE_BOX, .dtype = "float32", .rank = 1, .dim = {count}, .count = count};
    strcpy(l.path, path);
    l.low = xcalloc(count, sizeof(double));
    l.high = xcalloc(count, sizeof(double));
    for (size_t i = 0; i < count; i++) {
        l.high[i] = limit > 0 ? limit : INFINITY;
        l.low[i] = -l.high[i];
    }
    return l;
}

static layout_t make_layout(const env_info_t *info) {
    layout_t l = {.image = MAX_LEAVES, .text = MAX_LEAVES, .vector = MAX_LEAVES};
    if (info->image_w) {
        l.image = l.n++;
        l.obs[l.image] =
            (space_leaf_t){.path = "image", .kind = SPACE_IMAGE, .dtype = "uint8", .rank = 3};
        size_t dim[3] = {info->image_h, info->image_w, 3};
        memcpy(l.obs[l.image].dim, dim, sizeof dim);
        l.obs[l.image].count = dim[0] * dim[1] * dim[2];
    }
    if (info->text) {
        l.text = l.n++;
        l.obs[l.text] =
            (space_leaf_t){.path = "text", .kind = SPACE_TEXT, .dtype = "str", .count = 1};
    }
    if (info->n_vector) {
        l.vector = l.n++;
        l.obs[l.vector] = box("vector", info->n_vector, info->vector_limit);
    }
    l.act = box("", info->n_actions, 1);
    return l;
}

static void release_layout(layout_t *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->obs[i].low);
        free(l->obs[i].high);
    }
    free(l->act.low);
    free(l->act.high);
}

/* The environment's description of itself, with the renderer that drew the images (frames differ
 * between drivers); malloc'ed. */
static char *env_spec(env_t *env) {
    reason_t why;
    const char *renderer = env_renderer(env, &why);
    if (!renderer) die(RC_RUNTIME, "%s", why.text);
    cJSON *spec =
        json_parse(env_info(env)->spec_json, strlen(env_info(env)->spec_json), false, &why);
    if (!spec) BUG("environment '%s': spec_json: %s", env_info(env)->name, why.text);
    cJSON *kwargs = cJSON_GetObjectItemCaseSensitive(spec, "kwargs");
    if (*renderer && (!kwargs || !cJSON_AddStringToObject(kwargs, "renderer", renderer)))
        BUG("spec_json without kwargs");
    char *text = json_canonical(spec);
    cJSON_Delete(spec);
    return text;
}

static minari_writer_t *open_dataset(const options_t *o, env_t *env, const layout_t *l) {
    reason_t why;
    char *spec = env_spec(env), *id = xasprintf("%s/%s-v0", o->env, o->policy);
    minari_spec_t s = {.dataset_id = id,
                       .algorithm = o->policy,
                       .env_spec = spec,
                       .obs = l->obs,
                       .n_obs = l->n,
                       .act = &l->act,
                       .n_act = 1,
                       .dict_obs = true};
    minari_writer_t *w = minari_writer_new(o->out, &s, &why);
    if (!w) die(RC_RUNTIME, "%s", why.text);
    free(spec);
    free(id);
    return w;
}

static void add_episode(minari_writer_t *w, const rollout_t *r, const env_info_t *info,
                        const layout_t *l, uint64_t seed) {
    size_t T = r->head->T;
    uint8_t *image[MAX_LEAVES + 1] = {0};
    float *value[MAX_LEAVES + 1] = {0}, *action[1] = {r->action};
    char **text[MAX_LEAVES + 1] = {0}, **mission = xcalloc(T + 1, sizeof *mission);
    for (size_t t = 0; t <= T; t++) mission[t] = (char *)info->text;
    image[l->image] = r->rgb;
    value[l->vector] = r->vector;
    text[l->text] = mission;
    recorded_episode_t e = {.T = T,
                            .image = image,
                            .value = value,
                            .text = text,
                            .action = action,
                            .expert_action = r->expert,
                            .rewards = r->reward,
                            .terminated = r->terminated,
                            .truncated = r->truncated,
                            .seed = seed <= INT64_MAX ? (int64_t)seed : -1,
                            .n_obs = l->n,
                            .n_act = 1};
    reason_t why;
    if (minari_writer_add(w, &e, &why)) {
        minari_writer_abort(w);
        die(RC_RUNTIME, "%s", why.text);
    }
    free(mission);
}

/* Sums in the order of episodes. */
typedef struct {
    size_t episodes, steps, solved;
    double sum, squares;
} tally_t;

static void count(tally_t *t, const rollout_head_t *h) {
    t->episodes++;
    t->steps += h->T;
    t->solved += h->success;
    t->sum += h->ret;
    t->squares += h->ret * h->ret;
}

static void report(const options_t *o, const tally_t *t, double seconds) {
    double n = (double)t->episodes, mean = t->sum / n;
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, o->play.seed);
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_str(&w, "env", o->env);
    jsonw_str(&w, "policy", o->policy);
    jsonw_raw(&w, "seed", seed); /* 64 bits: more than jsonw_int holds */
    jsonw_int(&w, "episodes", (int64_t)t->episodes);
    jsonw_int(&w, "steps", (int64_t)t->steps);
    jsonw_num(&w, "return_mean", mean);
    jsonw_num(&w, "return_std", sqrt(fmax(0, t->squares / n - mean * mean)));
    jsonw_num(&w, "success_rate", (double)t->solved / n);
    jsonw_num(&w, "frames_per_s", (double)(t->steps + t->episodes) / seconds);
    puts(jsonw_end(&w));
    jsonw_free(&w);
}

/* The options that decide the bytes, for DIR/done; malloc'ed. */
static char *arguments(const options_t *o) {
    char burst[40], noise[40], fraction[40];
    return xasprintf("record env=%s policy=%s episodes=%" PRId64 " seed=%" PRIu64
                     " burst=%s noise=%s noise-episodes=%s",
                     o->env, o->policy, o->episodes, o->play.seed,
                     json_double(burst, o->play.burst), json_double(noise, o->play.noise),
                     json_double(fraction, o->play.noise_episodes));
}

static void finish(const options_t *o, minari_writer_t *w, const tally_t *t) {
    reason_t why;
    if (minari_writer_commit(w, &why)) die(RC_RUNTIME, "%s", why.text);
    char *args = arguments(o),
         *counts = xasprintf("{\"episodes\":%zu,\"steps\":%zu}", t->episodes, t->steps);
    if (fs_done_write(o->out, args, counts, &why)) die(RC_RUNTIME, "%s", why.text);
    free(args);
    free(counts);
}

static tally_t record_all(const options_t *o, stage_t *stage, workers_t *workers, void *block) {
    const env_info_t *info = env_info(stage->env);
    layout_t layout = make_layout(info);
    minari_writer_t *writer = open_dataset(o, stage->env, &layout);
    rollout_t r = rollout_view(info, block);
    tally_t tally = {0};
    progress_t progress;
    progress_begin(&progress, "episodes", 0, (size_t)o->episodes);
    for (size_t i = 0; i < (size_t)o->episodes; i++) {
        workers_next(workers, block);
        if (r.head->failed) {
            minari_writer_abort(writer);
            die(RC_RUNTIME, "episode %zu: %s", i, r.head->why.text);
        }
        add_episode(writer, &r, info, &layout, o->play.seed);
        count(&tally, r.head);
        progress_step(&progress, i + 1, NULL);
    }
    progress_end(&progress);
    finish(o, writer, &tally);
    release_layout(&layout);
    return tally;
}

int cmd_record(int argc, char **argv) {
    options_t o = parse(argc, argv);
    stage_t stage = open_stage(&o);
    if (stage.policy->open) { /* report a RUN that does not load before anything is written */
        int rc;
        reason_t refused;
        void *trial = stage.policy->open(env_info(stage.env), o.model, NULL, &rc, &refused);
        if (!trial) die(rc, "%s", refused.text);
        stage.policy->close(trial);
    }
    prepare_out(&o);
    pool_set_threads((int)o.threads);
    double start = log_now();
    size_t bytes = rollout_bytes(env_info(stage.env));
    void *block = xaligned(bytes);
    workers_t *workers =
        workers_start((size_t)pool_threads(), (size_t)o.episodes, bytes, play_into, &stage);
    tally_t tally = record_all(&o, &stage, workers, block);
    workers_end(workers);
    report(&o, &tally, log_now() - start);
    free(block);
    close_stage(&stage);
    return RC_OK;
}
