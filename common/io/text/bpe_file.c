/* bpe_file.c - see bpe_file.h. */
#include "common/io/text/bpe_file.h"

#include "common/io/text/json.h"

#include <stdlib.h>
#include <string.h>

static const cJSON *member(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *string(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(member(object, key));
}

/* ---- vocabulary ---- */

static int compare_tokens(const void *pa, const void *pb) {
    const bpe_token_t *a = pa, *b = pb;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int read_id(const cJSON *item, const char *token, uint32_t *id, reason_t *why) {
    uint64_t number;
    if (!json_u64(item, &number))
        return reason_set(why, "token '%.60s' has no whole number as its id", token);
    if (number >= BPE_MOST_IDS)
        return reason_set(why, "token '%.60s' has id %llu, and ids are below %d", token,
                          (unsigned long long)number, BPE_MOST_IDS);
    *id = (uint32_t)number;
    return 0;
}

static int read_vocabulary(bpe_file_t *file, const cJSON *vocab, reason_t *why) {
    if (!cJSON_IsObject(vocab)) return reason_set(why, "no vocabulary of tokens and their ids");
    size_t n = 0;
    for (const cJSON *item = vocab->child; item; item = item->next) n++;
    file->token = xmalloc(n * sizeof *file->token);
    for (const cJSON *item = vocab->child; item; item = item->next) {
        bpe_token_t *token = &file->token[file->n_tokens++];
        token->text = item->string;
        if (read_id(item, token->text, &token->id, why)) return -1;
    }
    qsort(file->token, n, sizeof *file->token, compare_tokens);
    for (size_t i = 1; i < n; i++)
        if (file->token[i].id == file->token[i - 1].id)
            return reason_set(why, "tokens '%.60s' and '%.60s' have one id, %u",
                              file->token[i - 1].text, file->token[i].text, file->token[i].id);
    return 0;
}

/* ---- merges ---- */

/* "left right" of n bytes. */
static int split_merge(bpe_merge_t *merge, const char *text, size_t n) {
    const char *space = memchr(text, ' ', n);
    if (!space) return -1;
    size_t left = (size_t)(space - text), right = n - left - 1;
    *merge = (bpe_merge_t){text, space + 1, left, right};
    return left && right && !memchr(space + 1, ' ', right) ? 0 : -1;
}

static int read_merge(bpe_merge_t *merge, const cJSON *item) {
    if (cJSON_IsString(item))
        return split_merge(merge, item->valuestring, strlen(item->valuestring));
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2) return -1;
    const char *left = cJSON_GetStringValue(item->child),
               *right = cJSON_GetStringValue(item->child->next);
    if (!left || !right || strchr(left, ' ') || strchr(right, ' ')) return -1;
    *merge = (bpe_merge_t){left, right, strlen(left), strlen(right)};
    return merge->left_size && merge->right_size ? 0 : -1;
}

static int read_merges(bpe_file_t *file, const cJSON *merges, reason_t *why) {
    if (!cJSON_IsArray(merges)) return reason_set(why, "no list of merges");
    size_t n = 0;
    for (const cJSON *item = merges->child; item; item = item->next) n++;
    file->merge = xmalloc(n * sizeof *file->merge);
    for (const cJSON *item = merges->child; item; item = item->next, file->n_merges++)
        if (read_merge(&file->merge[file->n_merges], item))
            return reason_set(why, "merge %zu is no pair of tokens", file->n_merges);
    return 0;
}

/* The lines of merges.txt. The first one may say its version. */
static int read_merge_lines(bpe_file_t *file, const char *text, size_t size, reason_t *why) {
    size_t cap = 0, number = 0;
    file->lines = memcpy(xmalloc(size + 1), text, size);
    for (size_t at = 0; at < size;) {
        const char *line = file->lines + at, *end = memchr(line, '\n', size - at);
        size_t n = end ? (size_t)(end - line) : size - at;
        at += n + 1;
        number++;
        if (n && line[n - 1] == '\r') n--;
        if (!n || (n >= 8 && !memcmp(line, "#version", 8))) continue;
        file->merge = xgrow(file->merge, &cap, file->n_merges + 1, sizeof *file->merge);
        if (split_merge(&file->merge[file->n_merges++], line, n))
            return reason_set(why, "line %zu of the merges is no pair of tokens", number);
    }
    return 0;
}

/* ---- added tokens ---- */

static int compare_added(const void *pa, const void *pb) {
    const bpe_added_t *a = pa, *b = pb;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int read_added(bpe_added_t *added, const cJSON *item, reason_t *why) {
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    added->text = string(item, "content");
    if (!added->text || !*added->text) return reason_set(why, "an added token without content");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (cJSON_IsTrue(member(item, refused[i])))
            return reason_set(why, "added token '%.60s' has \"%s\", which is not read", added->text,
                              refused[i]);
    added->normalized = cJSON_IsTrue(member(item, "normalized"));
    added->special = cJSON_IsTrue(member(item, "special"));
    return read_id(member(item, "id"), added->text, &added->id, why);
}

static int read_all_added(bpe_file_t *file, const cJSON *list, reason_t *why) {
    if (!list || cJSON_IsNull(list)) return 0;
    if (!cJSON_IsArray(list)) return reason_set(why, "\"added_tokens\" is no list");
    size_t n = 0;
    for (const cJSON *item = list->child; item; item = item->next) n++;
    file->added = xmalloc(n * sizeof *file->added);
    for (const cJSON *item = list->child; item; item = item->next)
        if (read_added(&file->added[file->n_added++], item, why)) return -1;
    qsort(file->added, n, sizeof *file->added, compare_added);
    bool first = false;
    for (size_t i = 0; i < n; i++) {
        first |= !file->added[i].normalized;
        if (i && file->added[i].id == file->added[i - 1].id)
            return reason_set(why, "two added tokens have one id, %u", file->added[i].id);
    }
    /* Of one kind only, all are looked for at once, and which kind it is does not matter. */
    for (size_t i = 0; i < n && !first; i++) file->added[i].normalized = false;
    return 0;
}

/* ---- tokenizer.json ---- */

static bool rule_of(const char *regex, bpe_rule_t *rule) {
    for (int i = 0; i < BPE_RULES; i++)
        if (regex && !strcmp(regex, bpe_rule_regex[i])) {
            *rule = (bpe_rule_t)i;
            return true;
        }
    return false;
}

static bool is_type(const cJSON *object, const char *type) {
    const char *name = string(object, "type");
    return name && !strcmp(name, type);
}

static int other_words(const cJSON *words, reason_t *why) {
    char *shown = json_shown(words);
    reason_set(why, "its pre_tokenizer is not GPT-2's or Llama 3's: %.300s", shown);
    free(shown);
    return -1;
}

/* ByteLevel alone, or a Split by one of the rules and a ByteLevel that only maps bytes. */
static int read_words(bpe_file_t *file, const cJSON *words, reason_t *why) {
    if (is_type(words, "ByteLevel") && !cJSON_IsFalse(member(words, "use_regex"))) {
        file->rule = BPE_RULE_GPT2;
        file->prefix_space = cJSON_IsTrue(member(words, "add_prefix_space"));
        return 0;
    }
    const cJSON *list = member(words, "pretokenizers");
    if (!is_type(words, "Sequence") || cJSON_GetArraySize(list) != 2)
        return other_words(words, why);
    const cJSON *split = list->child, *bytes = split->next;
    const char *behavior = string(split, "behavior");
    bool cuts = is_type(split, "Split") && behavior && !strcmp(behavior, "Isolated") &&
                !cJSON_IsTrue(member(split, "invert")) &&
                rule_of(string(member(split, "pattern"), "Regex"), &file->rule);
    bool maps = is_type(bytes, "ByteLevel") && cJSON_IsFalse(member(bytes, "use_regex")) &&
                !cJSON_IsTrue(member(bytes, "add_prefix_space"));
    return cuts && maps ? 0 : other_words(words, why);
}

/* Members of the model that would change ids, and must be absent, null, false, 0 or "". */
static int check_plain(const cJSON *model, reason_t *why) {
    static const char *const plain[] = {"dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const cJSON *item = member(model, plain[i]);
        bool is_set = (cJSON_IsNumber(item) && item->valuedouble != 0) ||
                      (cJSON_IsString(item) && *item->valuestring);
        if (is_set) return reason_set(why, "its model has \"%s\", which is not read", plain[i]);
    }
    return 0;
}

static int read_tokenizer(bpe_file_t *file, reason_t *why) {
    const cJSON *model = member(file->root, "model"), *normalizer;
    const char *type = string(model, "type");
    if (!cJSON_IsObject(model)) return reason_set(why, "no tokenizer: it has no \"model\"");
    if (type && strcmp(type, "BPE"))
        return reason_set(why, "its model is '%.60s'; byte-level BPE is read", type);
    normalizer = member(file->root, "normalizer");
    if (normalizer && !cJSON_IsNull(normalizer)) {
        const char *name = string(normalizer, "type");
        return reason_set(why, "it has a normalizer, '%.60s'; texts are read as they are",
                          name ? name : "?");
    }
    if (check_plain(model, why)) return -1;
    file->ignore_merges = cJSON_IsTrue(member(model, "ignore_merges"));
    if (read_words(file, member(file->root, "pre_tokenizer"), why)) return -1;
    if (read_vocabulary(file, member(model, "vocab"), why)) return -1;
    if (read_merges(file, member(model, "merges"), why)) return -1;
    return read_all_added(file, member(file->root, "added_tokens"), why);
}

int bpe_file_parse(bpe_file_t *out, const char *json, size_t size, reason_t *why) {
    *out = (bpe_file_t){.root = json_parse(json, size, false, why)};
    if (out->root && !read_tokenizer(out, why)) return 0;
    bpe_file_release(out);
    return -1;
}

static int read_pair(bpe_file_t *file, const char *merges, size_t size, reason_t *why) {
    if (read_vocabulary(file, file->root, why)) return -1;
    if (read_merge_lines(file, merges, size, why)) return -1;
    for (size_t i = 0; i < file->n_tokens && !file->n_added; i++) {
        if (strcmp(file->token[i].text, "<|endoftext|>")) continue;
        file->added = NEW(bpe_added_t);
        file->added[file->n_added++] =
            (bpe_added_t){.text = file->token[i].text, .id = file->token[i].id, .special = true};
    }
    return 0;
}

int bpe_file_parse_pair(bpe_file_t *out, const char *vocab, size_t vocab_size, const char *merges,
                        size_t merges_size, reason_t *why) {
    *out = (bpe_file_t){.root = json_parse(vocab, vocab_size, false, why)};
    if (out->root && !read_pair(out, merges, merges_size, why)) return 0;
    bpe_file_release(out);
    return -1;
}

void bpe_file_release(bpe_file_t *file) {
    free(file->token);
    free(file->merge);
    free(file->added);
    cJSON_Delete(file->root);
    free(file->lines);
    *file = (bpe_file_t){0};
}

/* ---- printing ---- */

static void print_bytes(jsonw_t *w, bool space, bool regex) {
    jsonw_str(w, "type", "ByteLevel");
    jsonw_bool(w, "add_prefix_space", space);
    jsonw_bool(w, "trim_offsets", true);
    jsonw_bool(w, "use_regex", regex);
}

static void print_words(jsonw_t *w, const bpe_file_t *file) {
    jsonw_open(w, "pre_tokenizer", '{');
    if (file->rule == BPE_RULE_GPT2) {
        print_bytes(w, file->prefix_space, true);
    } else {
        jsonw_str(w, "type", "Sequence");
        jsonw_open(w, "pretokenizers", '[');
        jsonw_open(w, NULL, '{');
        jsonw_str(w, "type", "Split");
        jsonw_open(w, "pattern", '{');
        jsonw_str(w, "Regex", bpe_rule_regex[file->rule]);
        jsonw_close(w, '}');
        jsonw_str(w, "behavior", "Isolated");
        jsonw_bool(w, "invert", false);
        jsonw_close(w, '}');
        jsonw_open(w, NULL, '{');
        print_bytes(w, false, false);
        jsonw_close(w, '}');
        jsonw_close(w, ']');
    }
    jsonw_close(w, '}');
}

static void print_added(jsonw_t *w, const bpe_added_t *added) {
    jsonw_open(w, NULL, '{');
    jsonw_int(w, "id", added->id);
    jsonw_str(w, "content", added->text);
    jsonw_bool(w, "single_word", false);
    jsonw_bool(w, "lstrip", false);
    jsonw_bool(w, "rstrip", false);
    jsonw_bool(w, "normalized", added->normalized);
    jsonw_bool(w, "special", added->special);
    jsonw_close(w, '}');
}

static void print_model(jsonw_t *w, const bpe_file_t *file) {
    jsonw_open(w, "model", '{');
    jsonw_str(w, "type", "BPE");
    jsonw_str(w, "dropout", NULL);
    jsonw_str(w, "unk_token", NULL);
    jsonw_str(w, "continuing_subword_prefix", NULL);
    jsonw_str(w, "end_of_word_suffix", NULL);
    jsonw_bool(w, "fuse_unk", false);
    jsonw_bool(w, "byte_fallback", false);
    jsonw_bool(w, "ignore_merges", file->ignore_merges);
    jsonw_open(w, "vocab", '{');
    for (size_t i = 0; i < file->n_tokens; i++)
        jsonw_int(w, file->token[i].text, file->token[i].id);
    jsonw_close(w, '}');
    jsonw_open(w, "merges", '[');
    for (size_t i = 0; i < file->n_merges; i++) {
        const bpe_merge_t *m = &file->merge[i];
        char *pair =
            xasprintf("%.*s %.*s", (int)m->left_size, m->left, (int)m->right_size, m->right);
        jsonw_str(w, NULL, pair);
        free(pair);
    }
    jsonw_close(w, ']');
    jsonw_close(w, '}');
}

char *bpe_file_print(const bpe_file_t *file, size_t *size) {
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_str(&w, "version", "1.0");
    jsonw_str(&w, "truncation", NULL);
    jsonw_str(&w, "padding", NULL);
    jsonw_open(&w, "added_tokens", '[');
    for (size_t i = 0; i < file->n_added; i++) print_added(&w, &file->added[i]);
    jsonw_close(&w, ']');
    jsonw_str(&w, "normalizer", NULL);
    print_words(&w, file);
    jsonw_str(&w, "post_processor", NULL);
    jsonw_open(&w, "decoder", '{');
    print_bytes(&w, true, true);
    jsonw_close(&w, '}');
    print_model(&w, file);
    char *text = xasprintf("%s\n", jsonw_end(&w));
    jsonw_free(&w);
    *size = strlen(text);
    return text;
}
