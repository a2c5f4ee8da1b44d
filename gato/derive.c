/* derive.c - see derive.h. */
#include "gato/derive.h"

#include "common/io/fs.h"
#include "common/train/import.h"
#include "common/train/run_folder.h"

#include <stdlib.h>

void derive_check(const char *model, const char *out, bool force) {
    static const char *const files[] = {GATO_CONFIG_FILE, GATO_WEIGHTS_FILE, GATO_TEXT_FILE};
    char *weights = fs_join(model, GATO_WEIGHTS_FILE), *config = fs_join(model, GATO_CONFIG_FILE);
    if (fs_same(model, out)) die(RC_USAGE, "'%s' is both --model and --out", model);
    import_check_out(out, force, files, sizeof files / sizeof *files, weights, config);
    free(weights);
    free(config);
}

void derive_run(const gato_model_t *m, const char *model, const char *out, const char *by,
                const char *counts) {
    reason_t why;
    char *tokenizer = fs_join(model, RUN_TOKENIZER);
    if (fs_mkdirs(out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(out);
    run_folder_clear(out);
    int rc = run_save(m, PARAMS_VALUE, out, &why);
    if (rc) die(rc, "%s", why.text);
    if (fs_is_dir(tokenizer) && run_copy_tokenizer(tokenizer, out, &why))
        die(RC_RUNTIME, "%s", why.text);
    if (fs_done_write(out, by, counts, &why)) die(RC_RUNTIME, "%s", why.text);
    free(tokenizer);
}
