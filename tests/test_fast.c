/* test_fast.c - FAST: coefficients and ids of scipy and of pip's tokenizers
 * (reference/make_fast.py), the way back, ids drawn at random under the constraint, fitting against
 * the library's trainer, and files that are none.
 */
#include "tests/folder.h"
#include "tests/test.h"

#include "common/base/rng.h"
#include "common/io/fs.h"
#include "common/io/text/bpe_fit.h"
#include "common/io/text/json.h"
#include "gato/task/fast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFERENCE "tests/reference/fast/"
enum { H = 6, D = 2, N = H * D, SCALE = 60, IDS = 330 };

static cJSON *values(void) {
    reason_t why;
    cJSON *o = json_parse_file(REFERENCE "values.json", false, &why);
    if (!o) BUG("%s", why.text);
    return o;
}

static const cJSON *member(const cJSON *o, const char *key) {
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!m) BUG("no '%s'", key);
    return m;
}

static void chunk_of(const cJSON *row, float x[N]) {
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach(item, member(row, "chunk")) x[i++] = (float)item->valuedouble;
}

static bool same_ids(const cJSON *want, const text_ids_t *got) {
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach(item, want) {
        if (i >= got->n || got->id[i] != (uint32_t)item->valueint) return false;
        i++;
    }
    return i == got->n;
}

static char *text_of(const char *path) {
    reason_t why;
    uint8_t *text;
    size_t size;
    if (fs_read(path, 1 << 20, &text, &size, &why)) BUG("%s", why.text);
    return (char *)text;
}

static fast_t *library(void) {
    int rc;
    reason_t why;
    fast_t *f = fast_open(REFERENCE "library", H, &rc, &why);
    if (!f) BUG("%s", why.text);
    return f;
}

/* The processor of the library beside the BPE of bytes. */
static fast_t *of_bytes(void) {
    int rc;
    reason_t why;
    char *processor = text_of(REFERENCE "library/processor_config.json"),
         *bpe = text_of(REFERENCE "bytes.json");
    fast_t *f = fast_parse(processor, bpe, H, &rc, &why);
    if (!f) BUG("%s", why.text);
    free(processor);
    free(bpe);
    return f;
}

TEST(coefficients_and_ids_of_the_library) {
    cJSON *o = values();
    fast_t *f = library(), *g = of_bytes();
    const cJSON *row;
    size_t rows = 0;
    CHECK(fast_ids(f) == IDS && fast_ids(g) <= IDS && fast_scale(f) == SCALE);
    cJSON_ArrayForEach(row, member(o, "rows")) {
        float x[N];
        int32_t q[N];
        size_t i = 0;
        const cJSON *item;
        text_ids_t a = {0}, b = {0};
        chunk_of(row, x);
        fast_coefficients(x, H, D, SCALE, q);
        cJSON_ArrayForEach(item, member(row, "coefficients")) {
            CHECK(q[i] == item->valueint, "row %zu, %zu: %d", rows, i, q[i]);
            i++;
        }
        CHECK(i == N);
        fast_encode(f, x, D, &a);
        fast_encode(g, x, D, &b);
        CHECK(same_ids(member(row, "library"), &a), "row %zu", rows);
        CHECK(same_ids(member(row, "bytes"), &b), "row %zu", rows);
        CHECK(a.n <= fast_most(H, D) && b.n <= fast_most(H, D));
        text_ids_release(&a);
        text_ids_release(&b);
        rows++;
    }
    CHECK(rows == 12);
    cJSON_Delete(o);
    fast_free(f);
    fast_free(g);
}

/* cos(pi (2 t + 1) k / 2 H), by recurrence in extended precision. */
static long double basis(size_t k, size_t t) {
    long double pi = acosl(-1);
    return sqrtl((k ? 2.0L : 1.0L) / H) * cosl(pi * (long double)((2 * t + 1) * k) / (2 * H));
}

/* There and back: no coefficient moves by more than half a step. What lies beyond [-1,1] is
 * clamped. */
TEST(the_way_back) {
    fast_t *f = of_bytes();
    rng_t draw = rng_make(3, "chunks");
    double worst = 0;
    for (size_t n = 0; n < 50; n++) {
        float x[N], y[N];
        text_ids_t ids = {0};
        double level[D] = {0.3 * rng_normal(draw, 100 * n), 0.3 * rng_normal(draw, 100 * n + 1)};
        for (size_t i = 0; i < N; i++)
            x[i] = (float)(level[i % D] + 0.1 * rng_normal(draw, 100 * n + 2 + i));
        if (n == 7) x[3] = 40, x[4] = -7;
        fast_encode(f, x, D, &ids);
        fast_decode(f, ids.id, ids.n, D, y);
        for (size_t k = 0; k < H; k++)
            for (size_t d = 0; d < D; d++) {
                long double error = 0;
                for (size_t t = 0; t < H; t++) {
                    float c = fmaxf(-1, fminf(1, x[t * D + d]));
                    error += basis(k, t) * ((long double)y[t * D + d] - (long double)c);
                }
                worst = fmax(worst, fabs((double)error));
            }
        text_ids_release(&ids);
    }
    CHECK(worst <= 0.5 / SCALE + 1e-6 && worst > 0.4 / SCALE, "%g", worst * SCALE);
    fast_free(f);
}

/* The bytes of an id, by the file itself. */
static size_t written(const bpe_t *bpe, uint32_t id, char out[64]) {
    size_t n;
    char *bytes = bpe_decode(bpe, &id, 1, &n);
    if (n > 64) BUG("%zu bytes", n);
    memcpy(out, bytes, n);
    free(bytes);
    return n;
}

/* Whatever is drawn of what is allowed ends with exactly N characters of UTF-8; what is not allowed
 * would break it at once. */
static void draw_chunks(const fast_t *f, const char *path) {
    int rc;
    reason_t why;
    char *json = text_of(path);
    size_t before = strcspn(json, "\\"); /* the library's "\u0000":0, which our JSON refuses */
    if (!strncmp(json + before, "\\u0000\":0,", 10)) memset(json + before - 1, ' ', 11);
    bpe_t *bpe = bpe_parse_partial(json, strlen(json), &rc, &why);
    if (!bpe) BUG("%s", why.text);
    rng_t draw = rng_make(5, path);
    uint64_t drawn = 0;
    for (size_t n = 0; n < 300; n++) {
        fast_state_t s = fast_begin(f, D);
        uint32_t id[2 * N];
        char text[64 * N];
        size_t count = 0, size = 0;
        float x[N];
        while (s.left) {
            uint32_t allowed[IDS], m = 0;
            for (uint32_t i = 0; i < fast_ids(f); i++)
                if (fast_allows(f, &s, i)) allowed[m++] = i;
            REQUIRE(m > 0 && count < 2 * N);
            id[count] = allowed[(size_t)(rng_uniform64(draw, drawn++) * m)];
            fast_take(f, &s, id[count]);
            size += written(bpe, id[count], text + size);
            count++;
        }
        CHECK(!s.half);
        size_t characters = 0;
        for (size_t i = 0; i < size; i++) characters += ((uint8_t)text[i] & 0xC0) != 0x80;
        CHECK(characters == N, "%zu characters", characters);
        fast_decode(f, id, count, D, x);
        for (size_t i = 0; i < N; i++) CHECK(isfinite(x[i]));
    }
    bpe_free(bpe);
    free(json);
}

TEST(every_drawn_text_is_a_chunk) {
    fast_t *f = library(), *g = of_bytes();
    draw_chunks(g, REFERENCE "bytes.json");
    draw_chunks(f, REFERENCE "library/tokenizer.json");
    fast_state_t end = fast_begin(g, D);
    end.left = 0;
    for (uint32_t i = 0; i < fast_ids(g); i++) CHECK(!fast_allows(g, &end, i), "%u", i);
    fast_free(f);
    fast_free(g);
}

/* Canonical, as our reader prints it. */
static char *canonical(const char *json) {
    int rc;
    reason_t why;
    bpe_t *b = bpe_parse_partial(json, strlen(json), &rc, &why);
    if (!b) BUG("%s", why.text);
    size_t size;
    char *text = xstrdup(bpe_json(b, &size));
    bpe_free(b);
    return text;
}

/* The same vocabulary and merges as BpeTrainer finds in the same texts. */
TEST(fitted_as_the_library_fits) {
    cJSON *o = values();
    const cJSON *item, *train = member(o, "train");
    size_t n = (size_t)cJSON_GetArraySize(train), at = 0;
    int32_t *q = xcalloc(n * N, sizeof *q);
    uint32_t *length = xcalloc(n, sizeof *length);
    int rc = 0;
    reason_t why = {""};
    cJSON_ArrayForEach(item, train) {
        char *text = item->valuestring;
        length[at / N] = N;
        for (size_t i = 0; i < N; i++) q[at++] = (int32_t)strtol(text, &text, 10);
    }
    fast_t *f = fast_fit(q, length, n, H, D, SCALE, IDS, &rc, &why);
    REQUIRE(f, "%s", why.text);
    char *theirs = text_of(REFERENCE "bytes.json"), *a = canonical(theirs),
         *b = canonical(fast_tokenizer(f));
    CHECK_STR(b, a);
    CHECK(strstr(fast_processor(f), "\"min_token\":-147") &&
          strstr(fast_processor(f), "\"time_horizon\":6") &&
          strstr(fast_processor(f), "\"action_dim\":2"));
    CHECK(!fast_fits(f, D, &why) && fast_fits(f, 3, &why) && strstr(why.text, "of 2 numbers"));
    /* beyond what was fitted: the ends of its range */
    float far[N], y[N];
    text_ids_t ids = {0};
    for (size_t i = 0; i < N; i++) far[i] = i % D ? -1 : 1;
    fast_encode(f, far, D, &ids);
    fast_decode(f, ids.id, ids.n, D, y);
    for (size_t i = 0; i < N; i++)
        CHECK(fabs((double)far[i] - (double)y[i]) < 0.01, "%g", (double)y[i]);
    /* what cannot be fitted */
    CHECK(!fast_fit(q, length, n, H, D, SCALE, 100, &rc, &why) && rc == RC_USAGE &&
          strstr(why.text, "too few"));
    CHECK(!fast_fit(q, length, 0, H, D, SCALE, IDS, &rc, &why) &&
          strstr(why.text, "no whole chunk"));
    q[0] = 5000;
    CHECK(!fast_fit(q, length, n, H, D, SCALE, IDS, &rc, &why) && strstr(why.text, "2048"));
    text_ids_release(&ids);
    free(theirs);
    free(a);
    free(b);
    free(q);
    free(length);
    fast_free(f);
    cJSON_Delete(o);
}

TEST(files_that_are_none) {
    char *processor = text_of(REFERENCE "library/processor_config.json"),
         *bpe = text_of(REFERENCE "bytes.json");
    static const struct {
        const char *processor, *bpe, *says;
        int rc;
    } bad[] = {
        {"{", NULL, "processor_config.json: ", RC_DATA},
        {"{}", NULL, "'scale' is missing", RC_DATA},
        {"{\"scale\":0,\"min_token\":0}", NULL, "'scale' = 0", RC_DATA},
        {"{\"scale\":10}", NULL, "'min_token' is missing", RC_DATA},
        {"{\"scale\":10,\"min_token\":0.5}", NULL, "no whole number", RC_DATA},
        {"{\"scale\":10,\"min_token\":0,\"time_horizon\":5}", NULL, "time_horizon is 5", RC_MISFIT},
        {"{\"scale\":10,\"min_token\":0,\"action_dim\":-1}", NULL, "'action_dim'", RC_DATA},
        {NULL, "{}", "tokenizer.json: no tokenizer", RC_DATA},
        {NULL,
         "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]},\"pre_tokenizer\":"
         "{\"type\":\"ByteLevel\"}}",
         "could not be ended", RC_DATA},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int rc = 0;
        reason_t why = {""};
        fast_t *f = fast_parse(bad[i].processor ? bad[i].processor : processor,
                               bad[i].bpe ? bad[i].bpe : bpe, H, &rc, &why);
        CHECK(!f && rc == bad[i].rc && strstr(why.text, bad[i].says), "%s: %d, %s", bad[i].says, rc,
              why.text);
    }
    char *prefixed = xstrdup(bpe), *at = strstr(prefixed, "\"add_prefix_space\":false");
    REQUIRE(at);
    memcpy(at, "\"add_prefix_space\":true ", strlen("\"add_prefix_space\":false"));
    int rc = 0;
    reason_t why = {""};
    CHECK(!fast_parse(processor, prefixed, H, &rc, &why) && rc == RC_DATA &&
              strstr(why.text, "add_prefix_space"),
          "%s", why.text);
    free(prefixed);
    CHECK(!fast_open("tests/reference/bpe", H, &rc, &why) && rc == RC_USAGE);
    free(processor);
    free(bpe);
}
