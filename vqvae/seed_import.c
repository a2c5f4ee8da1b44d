/* seed_import.c - `vqvae import --from seed`: the published files of SEED become a RUN.
 *
 * Names, shapes and numbers are checked before the first byte is written, hashes before anything of
 * the folder is replaced. Numbers keep the type that they came in; a tensor at a time is in memory.
 */
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/model/seed.h"
#include "common/model/vqvae.h"
#include "common/train/import.h"
#include "common/train/run_folder.h"
#include "vqvae/seed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES = 8 };
static const char VQMODEL[] = "diffusion_pytorch_model.safetensors"; /* is removed */

typedef struct {
    seed_file_t file[FILES];
    size_t n;
    seed_config_t network;
    params_t *sketch;
    size_t ignored;
    char *quantizer, *preprocess, fingerprint[33];
} import_t;

/* ---- reading ---- */

static void open_files(import_t *m, const cli_list_t *files) {
    reason_t why;
    if (files->n < 1 || files->n > FILES)
        die(RC_USAGE, "--from seed: 1 to %d files of safetensors are needed, not %zu", FILES,
            files->n);
    for (m->n = 0; m->n < files->n; m->n++) {
        const char *path = files->item[m->n];
        import_check_weights(path);
        if (seed_file_open(&m->file[m->n], path, &why)) die(RC_DATA, "%s", why.text);
    }
}

static const char *whole_vit(const import_t *m) {
    for (size_t i = 0; i < m->n; i++)
        if (m->file[i].whole) return m->file[i].path;
    return NULL;
}

static void find_sizes(import_t *m, const char *config, const char *weights) {
    reason_t why;
    seed_config_t *c = &m->network;
    if (seed_config_infer(c, m->file, m->n, &why))
        die(RC_MISFIT, "'%s'%s: %s", m->file[0].path, m->n > 1 ? " and the others" : "", why.text);
    if (config) {
        size_t size;
        uint8_t *text = import_read_config(config, &size);
        int rc = seed_config_amend(c, (char *)text, size, &why);
        if (rc) die(rc, "'%s': %s", config, why.text);
        free(text);
    }
    if (weights && !seed_weights_named(weights, &c->weights))
        die(RC_USAGE, "--precision '%s': f32, bf16 or q8 is needed", weights);
    if (!c->vision_layers)
        die(RC_USAGE,
            "'%s' is a whole ViT with a norm behind its last block, which SEED does not use: "
            "--config with vision_layers says how many blocks are used (published: 39)",
            whole_vit(m));
    if (!c->heads || !c->vision_heads)
        die(RC_USAGE,
            "widths %zu and %zu are no multiples of heads of 88 and 64: --config with vision_heads "
            "and heads is needed",
            c->vision_width, c->width);
    if (seed_config_check(c, &why)) die(RC_MISFIT, "'%s': %s", m->file[0].path, why.text);
    for (size_t i = 0; i < m->n; i++)
        if (m->file[i].bare) m->file[i].vision_layers = c->vision_layers;
}

static void check_all(import_t *m) {
    reason_t why;
    m->sketch = params_sketch();
    seed_declare(m->sketch, &m->network, false);
    int rc = seed_check_files(m->sketch, m->file, m->n, &m->ignored, &why);
    if (rc) die(rc, "%s", why.text);
    m->quantizer = seed_quantizer_text(&m->network);
    m->preprocess = seed_preprocess_text(&m->network);
    if (seed_fingerprint_files(m->sketch, m->file, m->n, m->quantizer, m->preprocess,
                               m->fingerprint, &why))
        die(RC_DATA, "%s", why.text);
}

/* ---- writing ---- */

/* The bytes of parameter i, as they are in its file. */
static void fill(void *ctx, size_t i, void *data) {
    import_t *m = ctx;
    seed_file_t *in = NULL;
    st_tensor_t part;
    reason_t why;
    const st_tensor_t *t = seed_files_find(m->file, m->n, params_at(m->sketch, (int)i)->name, &in);
    if (!t) BUG("tensor %zu was checked and is missing", i);
    if (st_part(&in->file, t, &part, &why))
        die(RC_DATA, "'%s': tensor '%s': %s", in->path, t->name, why.text);
    memcpy(data, part.data, part.bytes);
    free((void *)(uintptr_t)part.data);
}

static void write_weights(import_t *m, fs_writer_t *to, const char *path) {
    reason_t why;
    st_writer_t *w = st_writer_new();
    for (size_t i = 0; i < params_n(m->sketch); i++) {
        const char *name = params_at(m->sketch, (int)i)->name;
        const st_tensor_t *t = seed_files_find(m->file, m->n, name, NULL);
        st_writer_lazy(w, name, t->type, t->rank, t->dim, fill, m, i);
    }
    if (fs_writer_open(to, path, &why) || st_write_stream(w, to->file, &why)) {
        fs_writer_abort(to);
        die(RC_RUNTIME, "'%s': %s", path, why.text);
    }
    st_writer_free(w);
    for (size_t i = 0; i < m->n; i++)
        if (st_parts_end(&m->file[i].file, &why)) {
            fs_writer_abort(to);
            die(RC_DATA, "'%s': %s", m->file[i].path, why.text);
        }
}

/* What another tokenizer or a training left would not fit the new weights. */
static void clear_old(const char *out) {
    fs_done_clear(out);
    run_folder_clear(out);
    char *old = fs_join(out, VQMODEL);
    if (unlink(old) && errno != ENOENT) die_errno(RC_RUNTIME, "cannot remove '%s'", old);
    free(old);
}

static void write_run(import_t *m, const char *out, const char *counts) {
    reason_t why;
    char *config = seed_config_json(&m->network),
         *tokenizer = vqvae_tokenizer_text(m->fingerprint, m->preprocess, m->quantizer, true),
         *paths[3] = {fs_join(out, SEED_WEIGHTS_FILE), fs_join(out, "config.json"),
                      fs_join(out, "tokenizer.json")};
    const char *text[3] = {NULL, config, tokenizer};
    fs_writer_t file[3];
    if (fs_mkdirs(out, &why)) die(RC_RUNTIME, "%s", why.text);
    write_weights(m, &file[0], paths[0]);
    for (size_t i = 1; i < 3; i++) {
        if (fs_writer_open(&file[i], paths[i], &why)) die(RC_RUNTIME, "%s", why.text);
        fputs(text[i], file[i].file);
    }
    for (size_t i = 0; i < 3; i++)
        if (fs_writer_finish(&file[i], &why)) die(RC_RUNTIME, "%s", why.text);
    clear_old(out);
    if (fs_writer_publish(file, 3, &why) || fs_done_write(out, m->fingerprint, counts, &why))
        die(RC_RUNTIME, "%s", why.text);
    for (size_t i = 0; i < 3; i++) free(paths[i]);
    free(config);
    free(tokenizer);
}

static size_t numbers(const params_t *p) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(p); i++) n += params_at(p, (int)i)->count;
    return n;
}

void seed_import(const cli_list_t *files, const char *config, const char *weights, const char *out,
                 bool force) {
    static const char *const changed[] = {"config.json", SEED_WEIGHTS_FILE, "tokenizer.json",
                                          VQMODEL};
    import_t m = {.n = 0};
    open_files(&m, files);
    for (size_t i = 0; i < files->n; i++)
        import_check_out(out, force, changed, sizeof changed / sizeof *changed, files->item[i],
                         config ? config : files->item[i]);
    find_sizes(&m, config, weights);
    check_all(&m);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_int(&w, "tensors", (int64_t)params_n(m.sketch));
    jsonw_int(&w, "parameters", (int64_t)numbers(m.sketch));
    jsonw_int(&w, "ignored", (int64_t)m.ignored);
    jsonw_int(&w, "codes", (int64_t)m.network.codes);
    jsonw_int(&w, "tokens", (int64_t)m.network.queries);
    jsonw_str(&w, "fingerprint", m.fingerprint);
    const char *counts = jsonw_end(&w);
    write_run(&m, out, counts);
    puts(counts);
    jsonw_free(&w);
    params_free(m.sketch);
    free(m.quantizer);
    free(m.preprocess);
}
