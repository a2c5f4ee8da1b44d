/* test_bpe.c - byte-level BPE against pip's `tokenizers` (tests/reference/make_bpe.py), against
 * merging by the book, and there and back; which files are refused, and how that is said.
 */
#include "common/base/rng.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/text/text_tokenizer.h"
#include "tests/folder.h"
#include "tests/test.h"

#define REFERENCE "tests/reference/bpe/"

static const char *const kinds[] = {"gpt2", "prefix", "llama3", "odd"};
enum { GPT2, PREFIX, LLAMA3, ODD, KINDS };

static bpe_t *open_kind(int kind) {
    int rc;
    reason_t why;
    char path[100];
    snprintf(path, sizeof path, REFERENCE "%s.json", kinds[kind]);
    bpe_t *bpe = bpe_open(path, &rc, &why);
    if (!bpe) die(rc, "%s", why.text);
    return bpe;
}

#ifdef WITH_PCRE2

/* ---- against pip's tokenizers ---- */

static void check_ids(const bpe_t *bpe, const char *text, const cJSON *want, const char *kind) {
    text_ids_t ids = {0};
    uint64_t id = 0;
    size_t n = 0;
    bpe_encode(bpe, text, strlen(text), &ids);
    CHECK((int)ids.n == cJSON_GetArraySize(want), "%s: \"%s\": %zu ids, not %d", kind, text, ids.n,
          cJSON_GetArraySize(want));
    for (const cJSON *item = want->child; item && n < ids.n; item = item->next, n++)
        CHECK(json_u64(item, &id) && ids.id[n] == id, "%s: \"%s\": id %zu is %u, not %llu", kind,
              text, n, ids.id[n], (unsigned long long)id);
    text_ids_release(&ids);
}

static void check_texts(const bpe_t *bpe, int kind, const cJSON *texts) {
    for (const cJSON *row = texts->child; row; row = row->next)
        check_ids(bpe, cJSON_GetObjectItem(row, "text")->valuestring,
                  cJSON_GetObjectItem(row, kinds[kind]), kinds[kind]);
}

TEST(ids_of_tokenizers) {
    reason_t why;
    cJSON *texts = json_parse_file(REFERENCE "texts.json", false, &why);
    REQUIRE(texts && cJSON_GetArraySize(texts) > 100, "%s", why.text);
    for (int kind = 0; kind < KINDS; kind++) {
        bpe_t *bpe = open_kind(kind);
        check_texts(bpe, kind, texts);
        bpe_free(bpe);
    }
    cJSON_Delete(texts);
}

/* What shards keep gives the same ids, and is the same again. */
TEST(canonical_file) {
    int rc;
    reason_t why;
    cJSON *texts = json_parse_file(REFERENCE "texts.json", false, &why);
    for (int kind = 0; kind < KINDS; kind++) {
        size_t size, again_size;
        bpe_t *bpe = open_kind(kind);
        const char *json = bpe_json(bpe, &size);
        bpe_t *again = bpe_parse(json, size, &rc, &why);
        REQUIRE(again, "%s", why.text);
        check_texts(again, kind, texts);
        CHECK_STR(bpe_json(again, &again_size), json);
        CHECK(size == again_size && strlen(json) == size);
        CHECK_STR(bpe_fingerprint(again), bpe_fingerprint(bpe));
        bpe_free(again);
        bpe_free(bpe);
    }
    cJSON_Delete(texts);
}

TEST(two_files_of_gpt2) {
    int rc;
    reason_t why;
    bpe_t *one = open_kind(GPT2), *other = open_kind(PREFIX),
          *pair = bpe_open(REFERENCE "pair", &rc, &why);
    REQUIRE(pair, "%s", why.text);
    CHECK_STR(bpe_fingerprint(pair), bpe_fingerprint(one));
    CHECK(strlen(bpe_fingerprint(one)) == 32 &&
          strcmp(bpe_fingerprint(one), bpe_fingerprint(other)));
    bpe_free(one);
    bpe_free(other);
    bpe_free(pair);
}

TEST(ends) {
    for (int kind = 0; kind < KINDS; kind++) {
        bpe_t *bpe = open_kind(kind);
        uint32_t end = bpe_end(bpe);
        size_t size;
        char *text = bpe_decode(bpe, &end, 1, &size);
        CHECK_STR(text, kind == GPT2 ? "<|endoftext|>" : kind == LLAMA3 ? "<|end_of_text|>" : "");
        CHECK(size == strlen(text) && end < bpe_ids(bpe));
        CHECK((kind == PREFIX || kind == ODD) == (end + 1 == bpe_ids(bpe) && !size));
        free(text);
        bpe_free(bpe);
    }
}

/* ---- by the book ---- */

enum { LONGEST = 40 };

/* A word of printable ASCII as pieces of text, merged pair by pair: the first line of merges.txt
 * that has two neighbors, then the leftmost such. Returns how many pieces are left. */
static size_t merge_by_hand(char piece[LONGEST][LONGEST], const char *word, char *const *line,
                            size_t lines) {
    size_t n = strlen(word);
    for (size_t i = 0; i < n; i++) snprintf(piece[i], LONGEST, "%c", word[i]);
    for (size_t rank = 0; rank < lines; rank++) {
        for (size_t i = 0; i + 1 < n; i++) {
            char pair[2 * LONGEST];
            snprintf(pair, sizeof pair, "%.39s %.39s", piece[i], piece[i + 1]);
            if (strcmp(pair, line[rank])) continue;
            strcat(piece[i], piece[i + 1]);
            memmove(piece[i + 1], piece[i + 2], (n - i - 2) * LONGEST);
            n--;
            rank = SIZE_MAX; /* from the first line again */
            break;
        }
    }
    return n;
}

TEST(merges_by_the_book) {
    uint8_t *text;
    size_t size, lines = 0;
    reason_t why;
    char *line[400], *at;
    bpe_t *bpe = open_kind(GPT2);
    REQUIRE(!fs_read(REFERENCE "pair/merges.txt", 0, &text, &size, &why), "%s", why.text);
    strtok_r((char *)text, "\n", &at);
    while (lines < 400 && (line[lines] = strtok_r(NULL, "\n", &at))) lines++;
    REQUIRE(lines > 100 && lines < 400);
    for (uint64_t k = 0; k < 2000; k++) {
        char word[LONGEST] = "", piece[LONGEST][LONGEST];
        rng_t draw = rng_fold(rng_make(1, "words"), k);
        size_t n = 1 + rng_below(draw, LONGEST, LONGEST - 2);
        for (size_t i = 0; i < n; i++) word[i] = "tehraniols"[rng_below(draw, i, 10)];
        text_ids_t ids = {0};
        size_t pieces = merge_by_hand(piece, word, line, lines), had;
        bpe_encode(bpe, word, n, &ids);
        CHECK(ids.n == pieces, "%s: %zu ids, %zu pieces", word, ids.n, pieces);
        for (size_t i = 0; i < ids.n && i < pieces; i++) {
            char *own = bpe_decode(bpe, &ids.id[i], 1, &had);
            CHECK(!strcmp(own, piece[i]), "%s: piece %zu is %s, not %s", word, i, own, piece[i]);
            free(own);
        }
        text_ids_release(&ids);
    }
    bpe_free(bpe);
    free(text);
}

/* ---- there and back ---- */

static void check_back(const bpe_t *bpe, const char *text, size_t n) {
    text_ids_t ids = {0};
    size_t size;
    bpe_encode(bpe, text, n, &ids);
    for (size_t i = 0; i < ids.n; i++) CHECK(ids.id[i] < bpe_ids(bpe));
    char *back = bpe_decode(bpe, ids.id, ids.n, &size);
    CHECK(size == n && !memcmp(back, text, n) && !back[size], "%zu bytes became %zu", n, size);
    free(back);
    text_ids_release(&ids);
}

TEST(any_bytes_come_back) {
    char text[300];
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind == PREFIX) continue; /* adds a space */
        bpe_t *bpe = open_kind(kind);
        for (uint64_t k = 0; k < 3000; k++) {
            rng_t draw = rng_fold(rng_make(2, "bytes"), k);
            size_t n = rng_below(draw, sizeof text, sizeof text);
            uint32_t high = k % 3 ? 256 : 128; /* also without invalid bytes */
            for (size_t i = 0; i < n; i++) text[i] = (char)rng_below(draw, i, high);
            check_back(bpe, text, n);
        }
        bpe_free(bpe);
    }
}

/* One word of a megabyte: what takes n^2 steps would not end. */
TEST(long_words) {
    enum { SIZE = 1 << 20 };
    char *text = xmalloc(SIZE);
    static const char *const of[] = {"e", " ", "\n", "=", "er", " \n", "1", "\xFF", "\xE4\xB8\xAD"};
    for (int kind = 0; kind < ODD; kind += LLAMA3) {
        bpe_t *bpe = open_kind(kind);
        for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
            size_t n = strlen(of[k]);
            for (size_t i = 0; i < SIZE; i++) text[i] = of[k][i % n];
            check_back(bpe, text, SIZE);
        }
        bpe_free(bpe);
    }
    free(text);
}

/* Bytes that are no UTF-8 stand alone, and what is beside them are texts of their own. */
TEST(bytes_that_are_no_utf8) {
    static const char *const part[] = {"the ball ", "\xFF\xC3", " the", "\xE4\xB8", "ball  "};
    bpe_t *bpe = open_kind(GPT2);
    text_ids_t whole = {0}, parts = {0};
    char text[100] = "";
    for (size_t i = 0; i < 5; i++) {
        strcat(text, part[i]);
        bpe_encode(bpe, part[i], strlen(part[i]), &parts);
    }
    bpe_encode(bpe, text, strlen(text), &whole);
    CHECK(whole.n == parts.n && !memcmp(whole.id, parts.id, whole.n * sizeof *whole.id));
    text_ids_release(&whole);
    text_ids_release(&parts);
    bpe_free(bpe);
}

/* Pieces of a text have the ids of the whole: add_prefix_space puts its space before the first. */
TEST(pieces_of_a_text) {
    static const char *const part[] = {"the ball\t", "red", " the"};
    int rc;
    reason_t why;
    text_tokenizer_t *t = text_tokenizer_bpe(REFERENCE "prefix.json", &rc, &why);
    REQUIRE(t, "%s", why.text);
    text_ids_t whole = {0}, parts = {0};
    for (size_t i = 0; i < 3; i++)
        (i ? text_tokenizer_encode_on : text_tokenizer_encode)(t, part[i], strlen(part[i]), &parts);
    text_tokenizer_encode(t, "the ball\tred the", 16, &whole);
    CHECK(whole.n == parts.n && !memcmp(whole.id, parts.id, whole.n * sizeof *whole.id));
    text_ids_release(&whole);
    text_ids_release(&parts);
    text_tokenizer_free(t);
}

/* ---- by name ---- */

TEST(text_tokenizers) {
    int rc = -1;
    reason_t why;
    size_t size;
    text_tokenizer_t *bytes = text_tokenizer_bytes(),
                     *bpe = text_tokenizer_bpe(REFERENCE "gpt2.json", &rc, &why);
    REQUIRE(bpe, "%s", why.text);
    CHECK_STR(text_tokenizer_name(bytes), "byte");
    CHECK(!text_tokenizer_file(bytes) && text_tokenizer_ids(bytes) == 257 &&
          text_tokenizer_end(bytes) == 256);
    text_ids_t ids = {0};
    text_tokenizer_encode(bytes, "a\xFF", 2, &ids);
    text_ids_add(&ids, 256);
    CHECK(ids.n == 3 && ids.id[0] == 'a' && ids.id[1] == 255);
    char *text = text_tokenizer_decode(bytes, ids.id, ids.n, &size);
    CHECK(size == 2 && !memcmp(text, "a\xFF", 3));
    free(text);
    text_ids_release(&ids);

    const char *name = text_tokenizer_name(bpe), *file = text_tokenizer_file(bpe);
    CHECK(!strncmp(name, "bpe ", 4) && strlen(name) == 36);
    text_tokenizer_t *same = text_tokenizer_load(name, file, &rc, &why);
    REQUIRE(same, "%s", why.text);
    CHECK_STR(text_tokenizer_name(same), name);
    CHECK(!text_tokenizer_load("bpe 00000000000000000000000000000000", file, &rc, &why) &&
              rc == RC_MISFIT && strstr(why.text, name),
          "%s", why.text);
    CHECK(!text_tokenizer_load(name, NULL, &rc, &why) && rc == RC_DATA);
    CHECK(!text_tokenizer_load("sentencepiece", NULL, &rc, &why) && rc == RC_MISFIT);
    text_tokenizer_free(same);
    text_tokenizer_free(bpe);
    text_tokenizer_free(bytes);
}

/* ---- what is refused ---- */

/* Reads gpt2.json with one stretch of its text replaced. */
static void refuse_changed(const char *from, const char *to, const char *says) {
    uint8_t *text;
    size_t size;
    reason_t why = {""};
    int rc = -1;
    REQUIRE(!fs_read(REFERENCE "gpt2.json", 0, &text, &size, &why), "%s", why.text);
    char *at = strstr((char *)text, from);
    REQUIRE(at, "no '%s'", from);
    char *changed = xasprintf("%.*s%s%s", (int)(at - (char *)text), text, to, at + strlen(from));
    bpe_t *bpe = bpe_parse(changed, strlen(changed), &rc, &why);
    CHECK(!bpe && rc == RC_DATA && strstr(why.text, says), "%s: '%s'", to, why.text);
    bpe_free(bpe);
    free(changed);
    free(text);
}

TEST(other_kinds_are_named) {
    refuse_changed("\"type\":\"BPE\"", "\"type\":\"Unigram\"", "'Unigram'");
    refuse_changed("\"type\":\"BPE\"", "\"type\":\"WordPiece\"", "'WordPiece'");
    refuse_changed("\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", "'NFC'");
    refuse_changed("\"type\":\"ByteLevel\"", "\"type\":\"Metaspace\"", "Metaspace");
    refuse_changed("\"use_regex\":true", "\"use_regex\":false", "pre_tokenizer");
    refuse_changed("\"dropout\":null", "\"dropout\":0.1", "dropout");
    refuse_changed("\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"",
                   "end_of_word_suffix");
    refuse_changed("\"lstrip\":false", "\"lstrip\":true", "<|endoftext|>");
    refuse_changed("\"single_word\":false", "\"single_word\":true", "single_word");
}

TEST(tables_that_do_not_fit) {
    refuse_changed("\"a\":65", "\"a\":66", "have one id, 66");
    refuse_changed("\"a\":65", "\"a\":1048576", "below 1048576");
    refuse_changed("\"a\":65", "\"a\":-1", "no whole number");
    refuse_changed("\"a\":65", "\"a\":6.5", "no whole number");
    refuse_changed("\"a\":65", "\"\\u2581a\":65", "alphabet");
    refuse_changed("\"a\":65", "\"aa\":65", "no token for the byte 0x61");
    refuse_changed("\"he\":", "\"qqqq\":", "merge 1 of 'h' and 'e'");
    refuse_changed("\"h e\"", "\"h ee e\"", "merge 1 is no pair");
    refuse_changed("\"h e\"", "[\"h\",\"\"]", "merge 1 is no pair");
    refuse_changed("\"content\":\"<|endoftext|>\"", "\"content\":\"<|other|>\"", "id 0 is");
    refuse_changed("\"content\":\"<|endoftext|>\"", "\"content\":\"\"", "without content");
    refuse_changed("\"id\":0", "\"id\":1", "id 1 is");
    refuse_changed("\"model\":", "\"models\":", "no \"model\"");
}

TEST(damaged_files) {
    uint8_t *text;
    size_t size;
    reason_t why = {""};
    int rc = -1;
    REQUIRE(!fs_read(REFERENCE "llama3.json", 0, &text, &size, &why), "%s", why.text);
    while (text[size - 1] == '\n') size--;
    for (size_t n = 0; n < size; n += 53) {
        bpe_t *bpe = bpe_parse((char *)text, n, &rc, &why);
        CHECK(!bpe && rc == RC_DATA && *why.text);
        bpe_free(bpe);
    }
    for (size_t at = 0; at < size; at += 97) { /* a reason, or another tokenizer */
        text[at] ^= 1;
        bpe_free(bpe_parse((char *)text, size, &rc, &why));
        text[at] ^= 1;
    }
    free(text);
}

#else

TEST(without_pcre2) {
    int rc;
    reason_t why;
    CHECK(!bpe_open(REFERENCE "gpt2.json", &rc, &why) && rc == RC_USAGE &&
          strstr(why.text, "libpcre2-dev"));
    (void)open_kind;
}
#endif

TEST(folders) {
    int rc = -1;
    reason_t why;
    folder_open();
    CHECK(!bpe_open(in_folder("none"), &rc, &why) && rc == RC_USAGE);
    CHECK(!bpe_open(folder, &rc, &why) && rc == RC_USAGE && strstr(why.text, "merges.txt"), "%s",
          why.text);
    CHECK(!fs_write(in_folder("tokenizer.json"), "{}", 2, &why));
    CHECK(!bpe_open(folder, &rc, &why) && rc == RC_DATA && strstr(why.text, "tokenizer.json"), "%s",
          why.text);
    folder_remove();
}
