/* bad_items.c - see bad_items.h. */
#include "common/io/bad_items.h"
#include "common/base/die.h"
#include "common/base/log.h"
#include "common/io/hash_set.h"
#include "common/io/utf8.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { NAMED_MAX = 20, REASONS_MAX = 32 };

typedef struct {
    char text[160];
    size_t count;
} tally_t;

struct bad_items {
    pthread_mutex_t lock;
    double max_bad;
    size_t bad, unsupported, named;
    tally_t tally[REASONS_MAX + 1]; /* the last takes all further reasons */
    size_t n;
    hash_set_t seen;
};

bad_items_t *bad_items_new(double max_bad) {
    bad_items_t *b = NEW(bad_items_t);
    pthread_mutex_init(&b->lock, NULL);
    b->max_bad = max_bad;
    return b;
}

static uint64_t item_hash(const char *source, const char *key) {
    return XXH64(key, strlen(key), XXH64(source, strlen(source), 0));
}

/* Reasons differ in their details ("... at byte 17"). For counting, each number becomes an N. */
static void generalize(char *out, size_t cap, const char *reason) {
    size_t n = 0;
    bool in_number = false;
    for (; *reason && n + 1 < cap; reason++) {
        bool digit = *reason >= '0' && *reason <= '9';
        if (!digit)
            out[n++] = *reason;
        else if (!in_number)
            out[n++] = 'N';
        in_number = digit;
    }
    out[n] = 0;
}

static void tally_add(bad_items_t *b, const char *reason) {
    char text[sizeof b->tally[0].text];
    size_t i = 0;
    generalize(text, sizeof text, reason);
    while (i < b->n && strcmp(b->tally[i].text, text) != 0) i++;
    if (i == b->n) {
        if (b->n == REASONS_MAX) strcpy(text, "other reasons");
        if (b->n <= REASONS_MAX) strcpy(b->tally[b->n++].text, text);
    }
    b->tally[i <= REASONS_MAX ? i : REASONS_MAX].count++;
}

void bad_items_add(bad_items_t *b, const char *source, const char *key, const char *reason,
                   bool unsupported) {
    char shown[300], shown_source[300];
    pthread_mutex_lock(&b->lock);
    if (hash_set_add(&b->seen, item_hash(source, key))) {
        if (unsupported)
            b->unsupported++;
        else
            b->bad++;
        tally_add(b, reason);
        if (b->named++ < NAMED_MAX)
            warn("skipped '%s' of '%s': %s", utf8_printable(shown, sizeof shown, key),
                 utf8_printable(shown_source, sizeof shown_source, source), reason);
        else if (b->named == NAMED_MAX + 1)
            warn("further skipped items are counted, not named");
    }
    pthread_mutex_unlock(&b->lock);
}

/* Readers take a const set; the lock is not part of what is constant. */
static void lock(const bad_items_t *b) {
    pthread_mutex_lock((pthread_mutex_t *)&b->lock);
}
static void unlock(const bad_items_t *b) {
    pthread_mutex_unlock((pthread_mutex_t *)&b->lock);
}

size_t bad_items_count(const bad_items_t *b) {
    lock(b);
    size_t n = b->bad;
    unlock(b);
    return n;
}

size_t bad_items_unsupported(const bad_items_t *b) {
    lock(b);
    size_t n = b->unsupported;
    unlock(b);
    return n;
}

/* A reason may begin with a place: an episode's frame is a JPEG too. */
const char *bad_items_advice(const bad_items_t *b) {
    bool damaged = false;
    for (size_t i = 0; i < b->n; i++)
        if (strstr(b->tally[i].text, "damaged ")) damaged = true;
    return damaged ? "remove or mend them, raise --max-bad, or take damaged images with --lenient"
                   : "remove or mend them, or raise --max-bad";
}

void bad_items_check(const bad_items_t *b, size_t total) {
    size_t bad = bad_items_count(b), unsupported = bad_items_unsupported(b);
    if (!total || (double)bad + (double)unsupported == 0) return;
    bool too_many = (double)bad > b->max_bad * (double)total,
         none_left = bad + unsupported >= total;
    if (!too_many && !none_left) return;
    if (none_left)
        die(RC_DATA, "none of %zu items can be used: %zu bad, %zu of unsupported formats", total,
            bad, unsupported);
    die(RC_DATA, "%zu of %zu items are bad (%.3g %%), more than --max-bad %.3g %%: %s", bad, total,
        100.0 * (double)bad / (double)total, 100 * b->max_bad, bad_items_advice(b));
}

void bad_items_summary(const bad_items_t *b) {
    lock(b);
    if (b->bad + b->unsupported)
        log_line("skipped %zu bad items and %zu of unsupported formats", b->bad, b->unsupported);
    for (size_t i = 0; i < b->n; i++) log_line("  %zu: %s", b->tally[i].count, b->tally[i].text);
    unlock(b);
}

void bad_items_free(bad_items_t *b) {
    if (!b) return;
    pthread_mutex_destroy(&b->lock);
    hash_set_release(&b->seen);
    free(b);
}
