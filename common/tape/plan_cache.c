/* plan_cache.c - see plan_cache.h. A few entries, so a walk over all of them finds a key. */
#include "common/tape/plan_cache.h"

#include "common/base/die.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    cached_plan_t cached; /* plan NULL: free */
    void *key;
    uint64_t last_use; /* by the cache's clock */
} entry_t;

struct plan_cache {
    entry_t *entry;
    size_t capacity, key_bytes, vars_bytes;
    plan_record_t record;
    plan_memory_t memory;
    uint64_t clock;
};

plan_cache_t *plan_cache_new(size_t capacity, size_t key_bytes, size_t vars_bytes,
                             plan_record_t record) {
    if (!capacity) BUG("a plan cache without room");
    plan_cache_t *cache = NEW(plan_cache_t);
    *cache = (plan_cache_t){.entry = xcalloc(capacity, sizeof *cache->entry),
                            .capacity = capacity,
                            .key_bytes = key_bytes,
                            .vars_bytes = vars_bytes,
                            .record = record};
    return cache;
}

static void forget(entry_t *entry) {
    plan_free(entry->cached.plan);
    tape_free(entry->cached.tape);
    free(entry->cached.vars);
    free(entry->key);
    *entry = (entry_t){.key = NULL};
}

void plan_cache_clear(plan_cache_t *cache) {
    for (size_t i = 0; i < cache->capacity; i++) forget(&cache->entry[i]);
}

void plan_cache_free(plan_cache_t *cache) {
    if (!cache) return;
    plan_cache_clear(cache);
    plan_memory_release(&cache->memory);
    free(cache->entry);
    free(cache);
}

static entry_t *find(const plan_cache_t *cache, const void *key) {
    for (size_t i = 0; i < cache->capacity; i++) {
        entry_t *entry = &cache->entry[i];
        if (entry->cached.plan && !memcmp(entry->key, key, cache->key_bytes)) return entry;
    }
    return NULL;
}

/* A free entry, or the least recently used one: entries in use have a last_use of 1 or more. */
static entry_t *oldest(const plan_cache_t *cache) {
    entry_t *oldest = &cache->entry[0];
    for (size_t i = 1; i < cache->capacity; i++)
        if (cache->entry[i].last_use < oldest->last_use) oldest = &cache->entry[i];
    return oldest;
}

const cached_plan_t *plan_cache_get(plan_cache_t *cache, const void *key, void *context) {
    entry_t *entry = find(cache, key);
    if (!entry) {
        entry = oldest(cache);
        forget(entry);
        entry->key = xmalloc(cache->key_bytes);
        memcpy(entry->key, key, cache->key_bytes);
        entry->cached.vars = xcalloc(1, cache->vars_bytes);
        cache->record(context, entry->key, &cache->memory, &entry->cached);
        if (!entry->cached.plan || !entry->cached.tape)
            BUG("a plan was asked for and not recorded");
    }
    entry->last_use = ++cache->clock;
    return &entry->cached;
}
