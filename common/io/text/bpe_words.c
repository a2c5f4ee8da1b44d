/* bpe_words.c - see bpe_words.h. A rule is a regular expression whose alternatives cover every
 * character, so that each match begins where the last one ended.
 */
#include "common/io/text/bpe_words.h"

#include "common/io/utf8.h"

#include <stdint.h>
#include <stdlib.h>

const char *const bpe_rule_regex[BPE_RULES] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};

#ifdef WITH_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* White_Space, as the members of a class. PCRE2's own \s has U+180E besides, which Unicode took out
 * in version 6.3. */
#define SPACE                                                                                      \
    "\\t-\\r "                                                                                     \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

static const char *const pattern[BPE_RULES] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE
    "]+(?![^" SPACE "])|[" SPACE "]+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^" SPACE
    "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+",
};

struct bpe_words {
    pcre2_code *code;
    pcre2_match_context *context;
};

bpe_words_t *bpe_words_new(bpe_rule_t rule, reason_t *why) {
    int error;
    size_t at;
    (void)why;
    bpe_words_t *words = NEW(bpe_words_t);
    words->code = pcre2_compile((PCRE2_SPTR)pattern[rule], PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_ANCHORED, &error, &at, NULL);
    if (!words->code) BUG("rule %d: PCRE2 error %d at %zu", rule, error, at);
    words->context = pcre2_match_context_create(NULL);
    if (!words->context) die(RC_RUNTIME, "out of memory (PCRE2)");
    /* Backtracking only ever shortens a run of white space: its length is no reason to give up. */
    pcre2_set_match_limit(words->context, UINT32_MAX);
    pcre2_set_depth_limit(words->context, UINT32_MAX);
    /* Where the library was built without a compiler of its own, matching is slower. */
    pcre2_jit_compile(words->code, PCRE2_JIT_COMPLETE);
    return words;
}

void bpe_words_free(bpe_words_t *words) {
    if (!words) return;
    pcre2_code_free(words->code);
    pcre2_match_context_free(words->context);
    free(words);
}

void bpe_cut_begin(bpe_cut_t *cut, const bpe_words_t *words, const char *text, size_t size) {
    *cut = (bpe_cut_t){.words = words, .text = text, .size = size};
    cut->match = pcre2_match_data_create(1, NULL);
    if (!cut->match) die(RC_RUNTIME, "out of memory (PCRE2)");
}

void bpe_cut_end(bpe_cut_t *cut) {
    pcre2_match_data_free(cut->match);
}

/* Bytes of the word at the cursor, which stands in well-formed text. */
static size_t match_word(const bpe_cut_t *cut) {
    int rc = pcre2_match(cut->words->code, (PCRE2_SPTR)cut->text + cut->valid_from,
                         cut->valid_to - cut->valid_from, cut->at - cut->valid_from,
                         PCRE2_NO_UTF_CHECK, cut->match, cut->words->context);
    if (rc == PCRE2_ERROR_NOMEMORY) die(RC_RUNTIME, "out of memory (PCRE2)");
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(cut->match);
    if (rc < 0 || span[1] == span[0]) BUG("no word at byte %zu: PCRE2 says %d", cut->at, rc);
    return span[1] - span[0];
}

const char *bpe_cut_next(bpe_cut_t *cut, size_t *n) {
    const uint8_t *text = (const uint8_t *)cut->text;
    if (cut->at == cut->size) return NULL;
    const char *word = cut->text + cut->at;
    if (cut->at == cut->valid_to) {
        size_t from = cut->at;
        while (from < cut->size && !utf8_step(text + from, cut->size - from)) from++;
        cut->valid_from = from;
        cut->valid_to = from + utf8_check(text + from, cut->size - from);
        *n = from - cut->at;
        cut->at = from;
        if (*n) return word;
    }
    *n = match_word(cut);
    cut->at += *n;
    return word;
}

#else

bpe_words_t *bpe_words_new(bpe_rule_t rule, reason_t *why) {
    (void)rule;
    reason_set(why, "this build has no PCRE2, which byte-level BPE needs (libpcre2-dev)");
    return NULL;
}

void bpe_words_free(bpe_words_t *words) {
    (void)words;
}

void bpe_cut_begin(bpe_cut_t *cut, const bpe_words_t *words, const char *text, size_t size) {
    *cut = (bpe_cut_t){.words = words, .text = text, .size = size};
    BUG("words without PCRE2");
}

const char *bpe_cut_next(bpe_cut_t *cut, size_t *n) {
    (void)cut;
    *n = 0;
    return NULL;
}

void bpe_cut_end(bpe_cut_t *cut) {
    (void)cut;
}
#endif
