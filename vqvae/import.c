/* import.c - `vqvae import`: a VQGAN that others trained becomes a RUN (a SEED: seed_import.c).
 *
 * Weights come as safetensors under taming-transformers' or diffusers' names, the configuration as
 * JSON. Everything is checked before the first byte is written. A tensor at a time is read and
 * written, so that memory stays near the network's size.
 */
#include "common/train/import.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/model/kind.h"
#include "common/model/vqvae_names.h"
#include "common/train/checkpoint.h"
#include "common/train/run_folder.h"
#include "vqvae/commands.h"
#include "vqvae/config.h"
#include "vqvae/seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char NATIVE[] = "{\"range\":[-1,1],\"size\":null}";

typedef struct {
    const char *from, *weights, *config, *out, *size;
    bool force;
    vqvae_names_t names;
    vqvae_config_t network;
    size_t sample_size, ignored;
    params_t *params;
    char *preprocess, *quantizer, fingerprint[33];
} import_t;

/* The side in pixels that diffusers' configuration names for information; 32 where it does not. */
static size_t read_sample_size(const char *text, size_t size) {
    reason_t why;
    cJSON *o = json_parse(text, size, false, &why);
    uint64_t v;
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(o, "sample_size"), &v) || v < 1 || v > 1 << 15)
        v = 32;
    cJSON_Delete(o);
    return (size_t)v;
}

static void read_config(import_t *m) {
    size_t size;
    reason_t why;
    uint8_t *text = import_read_config(m->config, &size);
    int rc = m->names == VQ_NAMES_TAMING
                 ? vqvae_taming_config(&m->network, &m->sample_size, (char *)text, size, &why)
                 : vqvae_config_parse(&m->network, (char *)text, size, &why);
    if (rc == RC_DATA && (fs_ends(m->config, ".yaml") || fs_ends(m->config, ".yml")))
        die(rc, "'%s' is YAML: 'python3 " IMPORT_SCRIPT "' turns it into JSON", m->config);
    if (rc) die(rc, "'%s': %s", m->config, why.text);
    if (model_kind(&m->network) != &kind_grid)
        die(RC_MISFIT,
            "'%s' describes a %s, which is no network of others: its RUN needs no import",
            m->config, model_kind(&m->network)->name);
    if (m->names == VQ_NAMES_DIFFUSERS) m->sample_size = read_sample_size((char *)text, size);
    free(text);
}

/* "256", "128x96" */
static void read_size(import_t *m) {
    config_t c;
    config_defaults(config_table, &c);
    if (!m->size) {
        m->preprocess = xstrdup(NATIVE);
        return;
    }
    unsigned w, h;
    int one = -1, two = -1;
    size_t f = vqvae_stride(&m->network);
    if (sscanf(m->size, "%5u%n", &w, &one) == 1 && one == (int)strlen(m->size))
        h = w;
    else if (sscanf(m->size, "%5ux%5u%n", &w, &h, &two) != 2 || two != (int)strlen(m->size))
        die(RC_USAGE, "--size '%s': a width and height like 256x256 is needed", m->size);
    if (!w || !h || w > 1 << 15 || h > 1 << 15)
        die(RC_USAGE, "--size '%s': between 1 and 32768 is needed", m->size);
    if (w % f || h % f)
        die(RC_USAGE, "--size '%s' is no multiple of the network's stride %zu", m->size, f);
    c.data.size = (config_ints_t){{w, h}, 2};
    m->preprocess = config_preprocess(&c);
}

/* Refuses a network far beyond what the file can hold before any memory is asked for. */
static void check_plausible(const import_t *m) {
    struct stat st;
    const vqvae_config_t *c = &m->network;
    double least = (double)c->codes * (double)c->vq_embed_dim;
    for (size_t i = 0; i < c->levels; i++)
        least += 9.0 * (double)c->channels[i] * (double)c->channels[i] *
                 (double)(3 * c->layers_per_block + 1);
    if (!stat(m->weights, &st) && 2 * least > 8 * (double)st.st_size + 0x1p30)
        die(RC_MISFIT, "'%s' describes a network of more than %.0f numbers; '%s' has %jd bytes",
            m->config, least, m->weights, (intmax_t)st.st_size);
}

static void read_weights(import_t *m) {
    reason_t why;
    check_plausible(m);
    m->params = params_new(0);
    vqvae_declare(m->params, &m->network);
    int rc =
        vqvae_read_named(m->params, m->weights, m->names, m->network.levels, &m->ignored, &why);
    if (rc) die(rc, "%s", why.text);
    m->quantizer = vqvae_quantizer_text(&m->network);
    vqvae_fingerprint_make(m->params, PARAMS_VALUE, m->quantizer, m->preprocess, m->fingerprint);
}

static void write_run(const import_t *m, const char *counts) {
    static const char *const all[] = {""};
    reason_t why;
    char *config = vqvae_config_json(&m->network, m->sample_size),
         *tokenizer = vqvae_tokenizer_text(m->fingerprint, m->preprocess, m->quantizer, true);
    checkpoint_text_t text[] = {{"config.json", config}, {"tokenizer.json", tokenizer}};
    checkpoint_t c = {.params = m->params,
                      .weights_file = "diffusion_pytorch_model.safetensors",
                      .weights_block = PARAMS_VALUE,
                      .weights = all,
                      .n_weights = 1,
                      .text = text,
                      .n_text = 2};
    if (fs_mkdirs(m->out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(m->out);
    run_folder_clear(m->out); /* what a training left would not fit the new weights */
    if (checkpoint_save_weights(m->out, &c, &why) ||
        fs_done_write(m->out, m->fingerprint, counts, &why))
        die(RC_RUNTIME, "%s", why.text);
    free(config);
    free(tokenizer);
}

static size_t numbers(const params_t *p) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(p); i++) n += params_at(p, (int)i)->count;
    return n;
}

int cmd_vqvae_import(int argc, char **argv) {
    static const char *const files[] = {"config.json", "diffusion_pytorch_model.safetensors",
                                        "tokenizer.json"};
    import_t m = {.force = false};
    int64_t threads = 0;
    cli_list_t seed_files = {0};
    const char *precision = NULL;
    const cli_opt_t options[] = {
        {"--from", CLI_STR, &m.from, "taming|diffusers|seed",
         "the project whose tensor names and configuration the files follow", true},
        {"--weights", CLI_STR, &m.weights, "FILE",
         "of taming and diffusers: safetensors file (F32, F16, BF16 or F64)", false},
        {"--config", CLI_STR, &m.config, "FILE",
         "taming's YAML as JSON, or diffusers' config.json; of seed what tensors' shapes do not "
         "say: heads, vision_heads, causal, vision_layers",
         false},
        {"", CLI_LIST, &seed_files, "FILES...",
         "of seed: the safetensors files of its ViT and of its quantizer, or one with both", false},
        {"--precision", CLI_STR, &precision, "f32|bf16|q8",
         "of seed: how matrices are kept in memory and multiplied (default f32)", false},
        {"--out", CLI_STR, &m.out, "RUN", "folder of the new RUN", true},
        {"--size", CLI_STR, &m.size, "WxH",
         "fit images to this size before encoding (default: their own size)", false},
        {"--force", CLI_FLAG, &m.force, NULL, "replace an existing RUN", false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "import",
              "turn a VQGAN of taming-transformers or diffusers, or a SEED tokenizer, into a RUN",
              (const cli_opt_t *const[]){options}, 1);
    if (!strcmp(m.from, "seed")) {
        if (m.weights) die(RC_USAGE, "--weights: of seed the files stand alone, without an option");
        if (m.size) die(RC_USAGE, "--size: a SEED tokenizer sees one size alone");
        pool_set_threads((int)threads);
        seed_import(&seed_files, m.config, precision, m.out, m.force);
        return RC_OK;
    }
    if (!strcmp(m.from, "taming"))
        m.names = VQ_NAMES_TAMING;
    else if (!strcmp(m.from, "diffusers"))
        m.names = VQ_NAMES_DIFFUSERS;
    else
        die(RC_USAGE, "--from '%s': 'taming', 'diffusers' or 'seed' is needed", m.from);
    if (seed_files.n) die(RC_USAGE, "'%s': only --from seed takes files alone", seed_files.item[0]);
    if (precision) die(RC_USAGE, "--precision is for --from seed");
    if (!m.weights || !m.config)
        die(RC_USAGE, "%s is needed (--help shows all options)",
            m.weights ? "--config" : "--weights");
    pool_set_threads((int)threads);
    import_check_weights(m.weights);
    read_config(&m);
    read_size(&m);
    import_check_out(m.out, m.force, files, sizeof files / sizeof *files, m.weights, m.config);
    read_weights(&m);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_int(&w, "tensors", (int64_t)params_n(m.params));
    jsonw_int(&w, "parameters", (int64_t)numbers(m.params));
    jsonw_int(&w, "ignored", (int64_t)m.ignored);
    jsonw_int(&w, "codes", (int64_t)m.network.codes);
    jsonw_int(&w, "stride", (int64_t)vqvae_stride(&m.network));
    jsonw_str(&w, "fingerprint", m.fingerprint);
    const char *counts = jsonw_end(&w);
    write_run(&m, counts);
    puts(counts);
    jsonw_free(&w);
    params_free(m.params);
    free(m.preprocess);
    return RC_OK;
}
