/* token_db_tree.c - see token_db_tree.h. */
#include "common/io/token_db/token_db_tree.h"

#include "common/base/sizes.h"

#include <string.h>

/* Sizes and offsets in bytes, with LMDB's names for them. */
enum {
    /* MDB_page: number 8, pad 2, flags 2, then lower 2 and upper 2, or the count of overflow pages.
     */
    PAGE_HEADER = 16,
    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_UPPER = 14,
    PAGE_OVERFLOW = 12,
    /* MDB_node: data size 4 (low and high half), flags 2, key size 2. A branch keeps the child's
     * page number in the first 6. */
    NODE_HEADER = 8,
    NODE_FLAGS = 4,
    NODE_KEY = 6,
    /* MDB_meta, from behind the page header. */
    META_MAGIC = 0,
    META_VERSION = 4,
    META_DBS = 24,
    META_LAST_PAGE = 120,
    META_TXNID = 128,
    META_SIZE = 136,
    /* MDB_db: pad 4, flags 2, depth 2, page counts 24, entries 8, root 8. The pad of the first is
     * the size of a page. */
    DB_SIZE = 48,
    DB_FLAGS = 4,
    DB_DEPTH = 6,
    DB_ENTRIES = 32,
    DB_ROOT = 40,
};

/* Flags of a page, and of a node. */
enum { IS_BRANCH = 0x01, IS_LEAF = 0x02, IS_OVERFLOW = 0x04, IS_META = 0x08 };
enum { DIRTY = 0x10 }; /* of a page: may remain set on disk */
enum { BIG_DATA = 0x01 };

enum { MAX_DEPTH = 32, LMDB_VERSION = 1 };
static const uint64_t LMDB_MAGIC = 0xBEEFC0DE;

/* A little-endian number of at most 8 bytes. */
static uint64_t get(const uint8_t *at, size_t bytes) {
    uint64_t v = 0;
    memcpy(&v, at, bytes);
    return v;
}

static int damaged(reason_t *why, const char *what, size_t page) {
    return reason_set(why, "corrupt: %s on page %zu", what, page);
}

static size_t key_size_of(const uint8_t *node) {
    return get(node + NODE_KEY, 2);
}

/* A page's flags but for DIRTY. */
static uint64_t kind_of(const uint8_t *page) {
    return get(page + PAGE_FLAGS, 2) & ~(uint64_t)DIRTY;
}

bool token_tree_page_size(size_t page) {
    bool power_of_two = (page & (page - 1)) == 0;
    return page >= 512 && page <= 65536 && power_of_two;
}

/* ---- meta pages ---- */

int token_tree_meta(const uint8_t head[TREE_META_HEAD], size_t *page, uint64_t *last) {
    *page = get(head + PAGE_HEADER + META_DBS, 4);
    *last = get(head + PAGE_HEADER + META_LAST_PAGE, 8);
    return get(head + PAGE_HEADER + META_MAGIC, 4) == LMDB_MAGIC ? 0 : -1;
}

/* Checks both meta pages; meta[i] points behind the header of page i. They take turns: page i holds
 * the transactions with txnid % 2 == i. So their numbers are one apart, or both 0 in a new file. */
static int meta_pages(const uint8_t *file, size_t size, const uint8_t *meta[2], size_t *page,
                      reason_t *why) {
    if (size < PAGE_HEADER + META_SIZE)
        return reason_set(why, "truncated: %zu bytes are no shard", size);
    *page = get(file + PAGE_HEADER + META_DBS, 4);
    if (!token_tree_page_size(*page)) return damaged(why, "the page size", 0);
    if (size < 2 * *page) return reason_set(why, "truncated: %zu bytes are no shard", size);
    uint64_t txnid[2];
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *p = file + i * *page;
        meta[i] = p + PAGE_HEADER;
        if (get(p + PAGE_FLAGS, 2) != IS_META || get(meta[i] + META_MAGIC, 4) != LMDB_MAGIC ||
            get(meta[i] + META_DBS, 4) != *page)
            return damaged(why, "the meta page", i);
        if (get(meta[i] + META_VERSION, 4) != LMDB_VERSION)
            return damaged(why, "another version of LMDB", i);
        txnid[i] = get(meta[i] + META_TXNID, 8);
    }
    uint64_t apart = txnid[0] > txnid[1] ? txnid[0] - txnid[1] : txnid[1] - txnid[0];
    bool fresh = txnid[0] == 0 && txnid[1] == 0;
    if (!fresh && (apart != 1 || txnid[0] % 2 != 0))
        return damaged(why, "the meta pages' order", 0);
    return 0;
}

int token_tree_newest(const uint8_t *file, size_t size, uint64_t *txnid, reason_t *why) {
    const uint8_t *meta[2];
    size_t page;
    if (meta_pages(file, size, meta, &page, why)) return -1;
    uint64_t a = get(meta[0] + META_TXNID, 8), b = get(meta[1] + META_TXNID, 8);
    *txnid = a > b ? a : b;
    return 0;
}

int token_tree_open(token_tree_t *t, const uint8_t *file, size_t size, uint64_t txnid,
                    reason_t *why) {
    const uint8_t *meta[2], *m = NULL;
    *t = (token_tree_t){.file = file, .size = size};
    if (meta_pages(file, size, meta, &t->page, why)) return -1;
    for (int i = 0; i < 2; i++)
        if (get(meta[i] + META_TXNID, 8) == txnid) m = meta[i];
    if (!m) return reason_set(why, "it changed while it was opened: try again");
    t->last_page = get(m + META_LAST_PAGE, 8);
    for (int i = 0; i < 2; i++) {
        const uint8_t *db = m + META_DBS + i * DB_SIZE;
        if (i == TREE_MAIN && get(db + DB_FLAGS, 2) != 0)
            return damaged(why, "the database's flags", 0);
        t->depth[i] = (unsigned)get(db + DB_DEPTH, 2);
        t->entries[i] = get(db + DB_ENTRIES, 8);
        t->root[i] = get(db + DB_ROOT, 8);
    }
    return 0;
}

/* ---- walking ---- */

typedef struct {
    const token_tree_t *tree;
    token_visit_fn visit;
    void *ctx;
    uint64_t pages, entries;
} walk_t;

/* The first of `count` pages that all lie in the file, if it bears its own number; else NULL with a
 * reason. */
static const uint8_t *page_at(const walk_t *w, size_t number, size_t count, reason_t *why) {
    const token_tree_t *t = w->tree;
    if (number < 2 || number > t->last_page || count > t->last_page - number + 1) {
        damaged(why, "a page number out of range", number);
        return NULL;
    }
    if (number >= t->size / t->page || count > t->size / t->page - number) {
        reason_set(why, "truncated: page %zu of %zu lies beyond the end of the file",
                   number + count - 1, t->last_page + 1);
        return NULL;
    }
    const uint8_t *p = t->file + number * t->page;
    if (get(p, 8) == number) return p;
    damaged(why, "a wrong page number", number);
    return NULL;
}

/* The value of a node of leaf page `number`: it lies behind the key, or on overflow pages of its
 * own. room: bytes from the node to the end of the page, enough for header and key. */
static int value_of(walk_t *w, const uint8_t *node, size_t room, size_t number,
                    const uint8_t **value, size_t *size, reason_t *why) {
    size_t key = key_size_of(node), left = room - NODE_HEADER - key;
    uint64_t flags = get(node + NODE_FLAGS, 2);
    *size = get(node, 4);
    if (flags != 0 && flags != BIG_DATA) return damaged(why, "an entry's flags", number);
    if (flags == 0) {
        if (*size > left) return damaged(why, "an entry's length", number);
        *value = node + NODE_HEADER + key;
        return 0;
    }
    if (left < 8) return damaged(why, "an entry's length", number);
    size_t first = get(node + NODE_HEADER + key, 8);
    size_t count = ceil_div(PAGE_HEADER + *size, w->tree->page);
    const uint8_t *p = page_at(w, first, count, why);
    if (!p) return -1;
    if (kind_of(p) != IS_OVERFLOW || get(p + PAGE_OVERFLOW, 4) != count)
        return damaged(why, "a value's pages", first);
    w->pages += count;
    *value = p + PAGE_HEADER;
    return 0;
}

static int walk_page(walk_t *w, size_t number, unsigned depth, reason_t *why);

/* A node at depth 1 is an entry of a leaf; above that it points to a child page. */
static int walk_node(walk_t *w, const uint8_t *node, size_t room, size_t number, unsigned depth,
                     reason_t *why) {
    if (room < NODE_HEADER || key_size_of(node) > room - NODE_HEADER)
        return damaged(why, "an entry's place", number);
    if (depth > 1) return walk_page(w, get(node, 6), depth - 1, why);
    const uint8_t *value = NULL;
    size_t size = 0;
    if (value_of(w, node, room, number, &value, &size, why)) return -1;
    w->entries++;
    return w->visit(w->ctx, node + NODE_HEADER, key_size_of(node), value, size, why);
}

static int walk_page(walk_t *w, size_t number, unsigned depth, reason_t *why) {
    const uint8_t *p = page_at(w, number, 1, why);
    if (!p) return -1;
    /* No page has two parents, so more visits than pages mean a loop. */
    if (++w->pages > w->tree->last_page + 1) return damaged(why, "a loop", number);
    size_t lower = get(p + PAGE_LOWER, 2), upper = get(p + PAGE_UPPER, 2);
    size_t n = (lower - PAGE_HEADER) / 2; /* entries */
    if (kind_of(p) != (depth > 1 ? IS_BRANCH : IS_LEAF)) return damaged(why, "the kind", number);
    if (lower < PAGE_HEADER + 2 || lower % 2 || lower > upper || upper > w->tree->page)
        return damaged(why, "the bounds", number);
    for (size_t i = 0; i < n; i++) {
        size_t at = get(p + PAGE_HEADER + 2 * i, 2);
        if (at < upper || at > w->tree->page) return damaged(why, "an entry's place", number);
        if (walk_node(w, p + at, w->tree->page - at, number, depth, why)) return -1;
    }
    return 0;
}

/* The node of entry i of a leaf page whose bounds are right, and the bytes up to the page's end;
 * NULL when header or key do not fit there. */
static const uint8_t *leaf_entry(const token_tree_t *t, const uint8_t *p, size_t i, size_t *room) {
    size_t at = get(p + PAGE_HEADER + 2 * i, 2);
    *room = at <= t->page ? t->page - at : 0;
    if (*room < NODE_HEADER || key_size_of(p + at) > *room - NODE_HEADER) return NULL;
    return p + at;
}

int token_tree_entry(const token_tree_t *t, size_t page, const uint8_t *key, size_t key_size,
                     const uint8_t **value, size_t *size, reason_t *why) {
    walk_t w = {.tree = t};
    const uint8_t *p = page_at(&w, page, 1, why);
    if (!p) return -1;
    size_t lower = get(p + PAGE_LOWER, 2), room;
    if (lower < PAGE_HEADER + 2 || lower > t->page) return damaged(why, "the bounds", page);
    size_t from = 0, to = (lower - PAGE_HEADER) / 2;
    while (from < to) {
        size_t middle = (from + to) / 2;
        const uint8_t *node = leaf_entry(t, p, middle, &room);
        if (!node || key_size_of(node) != key_size) return damaged(why, "an entry's place", page);
        int order = memcmp(key, node + NODE_HEADER, key_size);
        if (order == 0) return value_of(&w, node, room, page, value, size, why);
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return damaged(why, "an entry that is gone", page);
}

int token_tree_walk(const token_tree_t *t, int which, token_visit_fn visit, void *ctx,
                    reason_t *why) {
    walk_t w = {.tree = t, .visit = visit, .ctx = ctx};
    if (t->root[which] == SIZE_MAX) {
        if (t->entries[which] == 0) return 0;
        return reason_set(why, "corrupt: entries without a root");
    }
    if (t->depth[which] < 1 || t->depth[which] > MAX_DEPTH)
        return reason_set(why, "corrupt: the tree's depth");
    if (walk_page(&w, t->root[which], t->depth[which], why)) return -1;
    if (w.entries != t->entries[which])
        return reason_set(why, "corrupt: the number of entries does not match");
    return 0;
}
