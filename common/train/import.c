/* import.c - see import.h. */
#include "common/train/import.h"

#include "common/base/die.h"
#include "common/io/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void import_check_weights(const char *path) {
    uint8_t head[4] = {0};
    if (!fs_exists(path)) die(RC_USAGE, "'%s': no such file", path);
    if (fs_is_dir(path)) die(RC_USAGE, "'%s' is a folder; a safetensors file is needed", path);
    if (fs_ends(path, ".json") || strstr(path, "-of-0"))
        die(RC_DATA,
            "'%s' is one part of several or their index: 'python3 " IMPORT_SCRIPT "' joins them",
            path);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (!f) die_errno(RC_DATA, "cannot open '%s'", path);
    fclose(f);
    bool zip = n == 4 && !memcmp(head, "PK\3\4", 4),
         pickle = n == 4 && head[0] == 0x80 && head[1] && head[1] < 6;
    if (zip || (pickle && !fs_ends(path, ".safetensors")) || fs_ends(path, ".ckpt") ||
        fs_ends(path, ".pth") || fs_ends(path, ".pt") || fs_ends(path, ".bin"))
        die(RC_DATA,
            "'%s' is a PyTorch checkpoint: 'python3 " IMPORT_SCRIPT
            "' turns it into safetensors and JSON",
            path);
}

uint8_t *import_read_config(const char *path, size_t *size) {
    enum { MOST = 1 << 20 };
    uint8_t *text;
    reason_t why;
    if (!fs_exists(path)) die(RC_USAGE, "--config '%s': no such file", path);
    if (fs_is_dir(path)) die(RC_USAGE, "--config '%s' is a folder; a JSON file is needed", path);
    if (fs_read(path, MOST, &text, size, &why)) die(RC_DATA, "%s", why.text);
    return text;
}

void import_check_out(const char *out, bool force, const char *const *files, size_t n,
                      const char *weights, const char *config) {
    if (fs_exists(out) && !fs_is_dir(out))
        die(RC_USAGE, "'%s' is a file; a folder for the RUN is needed", out);
    for (size_t i = 0; i < n; i++) {
        char *path = fs_join(out, files[i]);
        if (fs_same(path, weights) || fs_same(path, config))
            die(RC_USAGE, "--out '%s' is the folder of the files that are imported", out);
        free(path);
    }
    if (!force && !fs_dir_empty(out))
        die(RC_USAGE, "'%s' exists and is not empty (--force replaces it)", out);
}
