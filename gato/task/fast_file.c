/* fast_file.c - the files of FAST: read, checked, fitted. */
#include "common/io/fs.h"
#include "common/io/text/bpe_fit.h"
#include "common/io/text/json.h"
#include "gato/task/fast_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MOST_BYTES = 1 << 28 };

/* ---- processor_config.json ---- */

static int get_number(const cJSON *o, const char *key, double low, double high, double *out,
                      reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsNumber(item)) return reason_set(why, "'%s' is missing or not a number", key);
    if (!(item->valuedouble >= low && item->valuedouble <= high))
        return reason_set(why, "'%s' = %g is not in [%g, %g]", key, item->valuedouble, low, high);
    *out = item->valuedouble;
    return 0;
}

/* null or absent: any, 0. */
static int get_size(const cJSON *o, const char *key, uint32_t *out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    uint64_t v = 0;
    if (!item || cJSON_IsNull(item)) return 0;
    if (!json_u64(item, &v) || !v || v > 1 << 20)
        return reason_set(why, "'%s' is neither null nor a count", key);
    *out = (uint32_t)v;
    return 0;
}

static int read_processor(fast_t *f, uint32_t *horizon, reason_t *why) {
    double min_token = 0;
    cJSON *o = json_parse(f->processor, strlen(f->processor), false, why);
    if (!o) return -1;
    int rc = get_number(o, "scale", 1e-6, 1e6, &f->scale, why) ||
             get_number(o, "min_token", -1e9, 1e9, &min_token, why) ||
             get_size(o, "time_horizon", horizon, why) || get_size(o, "action_dim", &f->D, why);
    f->min_token = (int32_t)min_token;
    if (!rc && (double)f->min_token != min_token)
        rc = reason_set(why, "'min_token' = %g is no whole number", min_token);
    cJSON_Delete(o);
    return rc ? -1 : 0;
}

static char *print_processor(double scale, int32_t min_token, uint32_t H, uint32_t D,
                             uint32_t ids) {
    jsonw_t w;
    jsonw_begin(&w);
    if (D)
        jsonw_int(&w, "action_dim", D);
    else
        jsonw_str(&w, "action_dim", NULL);
    jsonw_int(&w, "min_token", min_token);
    jsonw_str(&w, "processor_class", "UniversalActionProcessor");
    jsonw_num(&w, "scale", scale);
    jsonw_int(&w, "time_horizon", H);
    jsonw_int(&w, "vocab_size", ids);
    char *text = xasprintf("%s\n", jsonw_end(&w));
    jsonw_free(&w);
    return text;
}

/* ---- both files ---- */

/* The library gives all characters up to the greatest one an id, as if they were those of bytes,
 * and the first is U+0000, which our JSON refuses. No text has it: another that stands for nothing
 * takes its place. malloc'ed. */
static char *without_nul(const char *text) {
    char *copy = xstrdup(text);
    for (char *at = copy; (at = strstr(at, "\"\\u0000\""));) memcpy(at, "\"\\uE000\"", 8);
    return copy;
}

static bpe_t *read_bpe(const char *text, int *rc, reason_t *why) {
    char *copy = without_nul(text);
    bpe_t *bpe = bpe_parse_partial(copy, strlen(copy), rc, why);
    free(copy);
    return bpe;
}

static void set_fingerprint(fast_t *f) {
    char *all = xasprintf("%.17g %d %s", f->scale, f->min_token, bpe_fingerprint(f->bpe));
    XXH128_hash_t h = XXH3_128bits(all, strlen(all));
    snprintf(f->fingerprint, sizeof f->fingerprint, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
    free(all);
}

/* The end of a text that bpe_end adds to a BPE without one stands for nothing here. */
static uint32_t ids_of(const bpe_t *bpe) {
    uint32_t end = bpe_end(bpe);
    size_t size;
    free(bpe_decode(bpe, &end, 1, &size));
    return bpe_ids(bpe) - (!size && end + 1 == bpe_ids(bpe));
}

fast_t *fast_parse(const char *processor, const char *tokenizer, uint32_t chunk, int *rc,
                   reason_t *why) {
    fast_t *f = NEW(fast_t);
    uint32_t horizon = 0;
    reason_t cause;
    f->H = chunk;
    f->processor = xstrdup(processor);
    f->tokenizer = xstrdup(tokenizer);
    *rc = RC_DATA;
    if (read_processor(f, &horizon, &cause)) {
        reason_set(why, "%s: %s", FAST_PROCESSOR_FILE, cause.text);
    } else if (horizon && horizon != chunk) {
        *rc = RC_MISFIT;
        reason_set(why, "%s: time_horizon is %u, and model.chunk is %u", FAST_PROCESSOR_FILE,
                   horizon, chunk);
    } else if (!(f->bpe = read_bpe(tokenizer, rc, &cause))) {
        reason_set(why, "%s: %s", FAST_TOKENIZER_FILE, cause.text);
    } else {
        f->ids = ids_of(f->bpe);
        *rc = RC_DATA;
        if (!fast_tables(f, &cause)) {
            set_fingerprint(f);
            return f;
        }
        reason_set(why, "%s: %s", FAST_TOKENIZER_FILE, cause.text);
    }
    fast_free(f);
    return NULL;
}

static char *read_text(const char *dir, const char *name, int *rc, reason_t *why) {
    char *path = fs_join(dir, name);
    uint8_t *text = NULL;
    size_t size;
    *rc = fs_exists(path) ? RC_DATA : RC_USAGE;
    if (fs_read(path, MOST_BYTES, &text, &size, why)) text = NULL;
    free(path);
    return (char *)text;
}

fast_t *fast_open(const char *dir, uint32_t chunk, int *rc, reason_t *why) {
    char *processor = read_text(dir, FAST_PROCESSOR_FILE, rc, why), *tokenizer = NULL;
    fast_t *f = NULL;
    reason_t cause;
    if (processor) tokenizer = read_text(dir, FAST_TOKENIZER_FILE, rc, why);
    if (tokenizer) {
        f = fast_parse(processor, tokenizer, chunk, rc, &cause);
        if (!f) reason_set(why, "'%.300s': %.600s", dir, cause.text);
    }
    free(processor);
    free(tokenizer);
    return f;
}

void fast_free(fast_t *f) {
    if (!f) return;
    bpe_free(f->bpe);
    free(f->processor);
    free(f->tokenizer);
    free(f->token);
    free(f->table);
    free(f);
}

const char *fast_processor(const fast_t *f) {
    return f->processor;
}
const char *fast_tokenizer(const fast_t *f) {
    return f->tokenizer;
}
const char *fast_fingerprint(const fast_t *f) {
    return f->fingerprint;
}
uint32_t fast_ids(const fast_t *f) {
    return f->ids;
}
double fast_scale(const fast_t *f) {
    return f->scale;
}

int fast_fits(const fast_t *f, uint32_t D, reason_t *why) {
    if (!f->D || f->D == D) return 0;
    return reason_set(why, "FAST was fitted to actions of %u numbers (action_dim), not of %u", f->D,
                      D);
}

/* ---- fitting ---- */

/* The bytes of all characters below `n`; their number. */
static uint32_t bytes_below(uint32_t n, bool byte[256]) {
    uint32_t count = 0;
    for (uint32_t c = 0; c < n; c++) {
        char text[2];
        size_t size = fast_character(c, text);
        for (size_t i = 0; i < size; i++) {
            count += !byte[(uint8_t)text[i]];
            byte[(uint8_t)text[i]] = true;
        }
    }
    return count;
}

static char *fit_bpe(const int32_t *q, const uint32_t *length, size_t n, int32_t least,
                     const bool byte[256], uint32_t most, reason_t *why) {
    bpe_fit_t *fit = bpe_fit_new(byte, why);
    size_t cap = 0, size;
    char *text = NULL;
    if (!fit) return NULL;
    for (size_t i = 0; i < n; i++) {
        text = xgrow(text, &cap, 2 * (size_t)length[i] + 1, 1);
        size = 0;
        for (uint32_t k = 0; k < length[i]; k++)
            size += fast_character((uint32_t)(*q++ - least), text + size);
        bpe_fit_add(fit, text, size);
    }
    free(text);
    return bpe_fit_end(fit, most, &size);
}

fast_t *fast_fit(const int32_t *q, const uint32_t *length, size_t n, uint32_t H, uint32_t D,
                 double scale, uint32_t most, int *rc, reason_t *why) {
    size_t all = 0;
    bool byte[256] = {0};
    *rc = RC_USAGE;
    for (size_t i = 0; i < n; i++) all += length[i];
    int32_t least = all ? q[0] : 0, greatest = least;
    for (size_t i = 0; i < all; i++) {
        if (q[i] < least) least = q[i];
        if (q[i] > greatest) greatest = q[i];
    }
    uint32_t range = (uint32_t)(greatest - least) + 1;
    if (!all) {
        reason_set(why, "no whole chunk of %u actions to fit FAST to", H);
        return NULL;
    }
    if (range > FAST_CHARACTERS) {
        reason_set(why,
                   "model.fast_scale = %g spreads the coefficients of chunks over %u numbers, and "
                   "%d are possible",
                   scale, range, FAST_CHARACTERS);
        return NULL;
    }
    uint32_t bytes = bytes_below(range, byte);
    if (bytes > most) {
        reason_set(why,
                   "model.bins = %u ids of FAST are too few: the bytes of its characters "
                   "alone need %u",
                   most, bytes);
        return NULL;
    }
    char *tokenizer = fit_bpe(q, length, n, least, byte, most, why);
    if (!tokenizer) return NULL;
    char *processor = print_processor(scale, least, H, D, most);
    fast_t *f = fast_parse(processor, tokenizer, H, rc, why);
    free(processor);
    free(tokenizer);
    return f;
}
