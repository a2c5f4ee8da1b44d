/* token_db_meta.c - shard_meta_t to bytes and back (FORMATS.md 1.3). */
#include "common/io/token_db/leaves.h"
#include "common/io/token_db/token_db_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void shard_meta_release(shard_meta_t *m) {
    free(m->tool);
    free(m->arguments);
    free(m->fingerprint);
    free(m->preprocess);
    free(m->quantizer);
    free(m->text_tokenizer);
    free(m->env);
    free(m->codebook);
    free(m->discrete_range);
    free(m->discrete_action_range);
    free(m->action_low);
    free(m->action_high);
    free(m->action_raw);
    free(m->leaves);
    memset(m, 0, sizeof *m);
}

void shard_meta_copy(shard_meta_t *to, const shard_meta_t *from) {
    const struct {
        void *const *from;
        void **to;
        size_t size; /* 0: a string */
    } owned[] = {
#define OWNED(field, bytes) {(void *const *)&from->field, (void **)&to->field, (bytes)}
        OWNED(tool, 0),
        OWNED(arguments, 0),
        OWNED(fingerprint, 0),
        OWNED(preprocess, 0),
        OWNED(quantizer, 0),
        OWNED(text_tokenizer, 0),
        OWNED(env, 0),
        OWNED(codebook, (size_t)from->codes * from->code_dim * sizeof(float)),
        OWNED(discrete_range, from->n_discrete * sizeof(uint32_t)),
        OWNED(discrete_action_range, from->n_discrete_actions * sizeof(uint32_t)),
        OWNED(action_low, from->n_actions * sizeof(float)),
        OWNED(action_high, from->n_actions * sizeof(float)),
        OWNED(action_raw, from->n_actions),
        OWNED(leaves, 0),
#undef OWNED
    };
    *to = *from;
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        const void *v = *owned[i].from;
        size_t size = v && !owned[i].size ? strlen(v) + 1 : owned[i].size;
        *owned[i].to = v ? memcpy(xmalloc(size), v, size) : NULL;
    }
}

bool shard_action_raw(const shard_meta_t *m, uint32_t k) {
    if (m->action_raw) return m->action_raw[k] != 0;
    return !isfinite((double)m->action_high[k] - (double)m->action_low[k]);
}

/* The head as it lies in the file: 14 words of 4 bytes, 7 of 8. */
typedef struct {
    uint32_t codes, code_dim, grid_h, grid_w, image_h, image_w, text_vocab;
    uint32_t n_continuous, n_discrete, n_actions, n_discrete_actions, complete;
    float mu, M;
    uint64_t records, images, episodes, steps, tokens, skipped, bad;
} head_t;
_Static_assert(sizeof(head_t) == META_HEAD, "no padding");

static const token_key_t meta_key = {TAG_META, 0, 0}, codebook_key = {TAG_META, 1, 0};

static value_part_t string_part(unsigned part, const char *s) {
    return (value_part_t){(uint16_t)part, 'B', s ? strlen(s) : 0, s};
}
static value_part_t array_part(unsigned part, char type, uint32_t n, const void *v) {
    return (value_part_t){(uint16_t)part, type, n, n ? v : NULL};
}

uint8_t *token_meta_build(const shard_meta_t *m, size_t *size) {
    if ((m->n_discrete && !m->discrete_range) ||
        (m->n_discrete_actions && !m->discrete_action_range) ||
        (m->n_actions && (!m->action_low || !m->action_high)))
        BUG("shard meta: a width without its ranges");
    head_t h = {
        .codes = m->codes,
        .code_dim = m->code_dim,
        .grid_h = m->grid_h,
        .grid_w = m->grid_w,
        .image_h = m->image_h,
        .image_w = m->image_w,
        .text_vocab = m->text_vocab,
        .n_continuous = m->n_continuous,
        .n_discrete = m->n_discrete,
        .n_actions = m->n_actions,
        .n_discrete_actions = m->n_discrete_actions,
        .complete = m->complete,
        .mu = m->mu,
        .M = m->M,
        .records = m->records,
        .images = m->images,
        .episodes = m->episodes,
        .steps = m->steps,
        .tokens = m->tokens,
        .skipped = m->skipped,
        .bad = m->bad,
    };
    value_part_t part[] = {
        string_part(PART_TOOL, m->tool),
        string_part(PART_ARGUMENTS, m->arguments),
        string_part(PART_FINGERPRINT, m->fingerprint),
        string_part(PART_PREPROCESS, m->preprocess),
        string_part(PART_QUANTIZER, m->quantizer),
        string_part(PART_TEXT_TOKENIZER, m->text_tokenizer),
        string_part(PART_ENV, m->env),
        array_part(PART_DISCRETE_RANGE, 'I', m->n_discrete, m->discrete_range),
        array_part(PART_DISCRETE_ACTION_RANGE, 'I', m->n_discrete_actions,
                   m->discrete_action_range),
        array_part(PART_ACTION_LOW, 'f', m->n_actions, m->action_low),
        array_part(PART_ACTION_HIGH, 'f', m->n_actions, m->action_high),
        array_part(PART_ACTION_RAW, 'B', m->n_actions, m->action_raw),
        string_part(PART_LEAVES, m->leaves),
    };
    return value_build(meta_key, &h, sizeof h, part, sizeof part / sizeof *part, size);
}

/* ---- back ---- */

static int bad_part(reason_t *why, const char *name) {
    reason_set(why, "corrupt: %s in the meta value", name);
    return RC_DATA;
}

static int take_string(const value_t *v, unsigned part, const char *name, char **out,
                       reason_t *why) {
    const value_part_t *p = value_part(v, part);
    if (!p) return 0;
    if (p->type != 'B' || memchr(p->data, 0, p->count)) return bad_part(why, name);
    *out = xmalloc(p->count + 1);
    memcpy(*out, p->data, p->count);
    (*out)[p->count] = 0;
    return 0;
}

/* A copy of part's n elements to *out (a pointer to a pointer); absent is fine only when n is 0. */
static int take_array(const value_t *v, unsigned part, char type, uint32_t n, const char *name,
                      void *out, reason_t *why) {
    const value_part_t *p = value_part(v, part);
    if (!p && n == 0) return 0;
    if (!p || p->type != type || p->count != n) return bad_part(why, name);
    size_t bytes = n * (type == 'B' ? 1 : sizeof(uint32_t));
    void *copy = memcpy(xmalloc(bytes), p->data, bytes);
    *(void **)out = copy;
    return 0;
}

/* The leaves must name as many columns as there are. */
static int check_leaves(const shard_meta_t *m, reason_t *why) {
    leaves_t l;
    if (!m->leaves) return 0;
    if (leaves_parse(&l, m->leaves, NULL)) return bad_part(why, "leaves");
    bool good = leaves_width(&l, LEAF_OBSERVATION, LEAF_CONTINUOUS) == m->n_continuous &&
                leaves_width(&l, LEAF_OBSERVATION, LEAF_DISCRETE) == m->n_discrete &&
                leaves_width(&l, LEAF_ACTION, LEAF_CONTINUOUS) == m->n_actions &&
                leaves_width(&l, LEAF_ACTION, LEAF_DISCRETE) == m->n_discrete_actions;
    leaves_release(&l);
    return good ? 0 : bad_part(why, "leaves");
}

static int check_meta(const shard_meta_t *m, reason_t *why) {
    if (m->fingerprint &&
        (strlen(m->fingerprint) != 32 || strspn(m->fingerprint, "0123456789abcdef") != 32))
        return bad_part(why, "fingerprint");
    if (!isfinite(m->mu) || !isfinite(m->M)) return bad_part(why, "mu or M");
    for (uint32_t i = 0; i < m->n_actions; i++)
        if (isnan(m->action_low[i]) || isnan(m->action_high[i]))
            return bad_part(why, "action_low or action_high");
    return check_leaves(m, why);
}

static int take_parts(const value_t *v, shard_meta_t *m, reason_t *why) {
    const struct {
        unsigned part;
        const char *name;
        char **to;
    } string[] = {
        {PART_TOOL, "tool", &m->tool},
        {PART_ARGUMENTS, "arguments", &m->arguments},
        {PART_FINGERPRINT, "fingerprint", &m->fingerprint},
        {PART_PREPROCESS, "preprocess", &m->preprocess},
        {PART_QUANTIZER, "quantizer", &m->quantizer},
        {PART_TEXT_TOKENIZER, "text_tokenizer", &m->text_tokenizer},
        {PART_ENV, "env", &m->env},
        {PART_LEAVES, "leaves", &m->leaves},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof string / sizeof *string && !rc; i++)
        rc = take_string(v, string[i].part, string[i].name, string[i].to, why);
    if (!rc)
        rc = take_array(v, PART_DISCRETE_RANGE, 'I', m->n_discrete, "discrete_range",
                        &m->discrete_range, why);
    if (!rc)
        rc = take_array(v, PART_DISCRETE_ACTION_RANGE, 'I', m->n_discrete_actions,
                        "discrete_action_range", &m->discrete_action_range, why);
    if (!rc)
        rc = take_array(v, PART_ACTION_LOW, 'f', m->n_actions, "action_low", &m->action_low, why);
    if (!rc)
        rc =
            take_array(v, PART_ACTION_HIGH, 'f', m->n_actions, "action_high", &m->action_high, why);
    if (!rc && value_part(v, PART_ACTION_RAW))
        rc = take_array(v, PART_ACTION_RAW, 'B', m->n_actions, "action_raw", &m->action_raw, why);
    return rc ? rc : check_meta(m, why);
}

int token_meta_parse(const uint8_t *v, size_t size, shard_meta_t *out, reason_t *why) {
    value_t value;
    head_t h;
    memset(out, 0, sizeof *out);
    int rc = value_parse(v, size, meta_key, sizeof h, &value, why);
    if (rc) return rc;
    memcpy(&h, value.head, sizeof h);
    *out = (shard_meta_t){
        .codes = h.codes,
        .code_dim = h.code_dim,
        .grid_h = h.grid_h,
        .grid_w = h.grid_w,
        .image_h = h.image_h,
        .image_w = h.image_w,
        .text_vocab = h.text_vocab,
        .n_continuous = h.n_continuous,
        .n_discrete = h.n_discrete,
        .n_actions = h.n_actions,
        .n_discrete_actions = h.n_discrete_actions,
        .complete = h.complete != 0,
        .mu = h.mu,
        .M = h.M,
        .records = h.records,
        .images = h.images,
        .episodes = h.episodes,
        .steps = h.steps,
        .tokens = h.tokens,
        .skipped = h.skipped,
        .bad = h.bad,
    };
    rc = take_parts(&value, out, why);
    if (rc) shard_meta_release(out);
    return rc;
}

/* ---- codebook ---- */

uint8_t *token_codebook_build(const shard_meta_t *m, size_t *size) {
    value_part_t part = {PART_CODEBOOK, 'f', (uint64_t)m->codes * m->code_dim, m->codebook};
    return value_build(codebook_key, NULL, 0, &part, 1, size);
}

int token_codebook_parse(const uint8_t *v, size_t size, shard_meta_t *m, reason_t *why) {
    value_t value;
    int rc = value_parse(v, size, codebook_key, 0, &value, why);
    if (rc) return rc;
    const value_part_t *p = value_part(&value, PART_CODEBOOK);
    uint64_t n = (uint64_t)m->codes * m->code_dim;
    if (!p || p->type != 'f' || p->count != n || n == 0)
        return bad_part(why, "the codebook's size");
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(((const float *)p->data)[i]))
            return bad_part(why, "a number that is not finite in the codebook");
    m->codebook = xmalloc(n * sizeof(float));
    memcpy(m->codebook, p->data, n * sizeof(float));
    return 0;
}
