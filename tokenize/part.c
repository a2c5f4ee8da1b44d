/* part.c - see part.h. */
#include "tokenize/part.h"

#include "common/base/die.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A whole number of the environment; false when it is not set. */
static bool number_of(const char *name, uint64_t *out) {
    const char *text = getenv(name);
    if (!text || !*text) return false;
    char *end;
    size_t digits = strspn(text, "0123456789");
    *out = strtoull(text, &end, 10);
    if (*end || !digits || digits > 9) die(RC_USAGE, "--shard auto: %s is '%.40s'", name, text);
    return true;
}

static bool rank_of(const char *rank, const char *size, part_t *p) {
    if (!number_of(rank, &p->index) || !number_of(size, &p->count)) return false;
    if (p->index >= p->count)
        die(RC_USAGE, "--shard auto: %s is %llu, %s %llu", rank, (unsigned long long)p->index, size,
            (unsigned long long)p->count);
    return true;
}

/* An array need not start at 0: --array=1-8, --array=10-40:10. */
static bool array_task(part_t *p) {
    uint64_t id, first = 0, step = 1;
    if (!number_of("SLURM_ARRAY_TASK_ID", &id) || !number_of("SLURM_ARRAY_TASK_COUNT", &p->count))
        return false;
    number_of("SLURM_ARRAY_TASK_MIN", &first);
    number_of("SLURM_ARRAY_TASK_STEP", &step);
    if (!step || id < first || (id - first) % step || (id - first) / step >= p->count)
        die(RC_USAGE,
            "--shard auto: task %llu of an array of %llu from %llu by %llu: the array has gaps; "
            "give --shard I/N",
            (unsigned long long)id, (unsigned long long)p->count, (unsigned long long)first,
            (unsigned long long)step);
    p->index = (id - first) / step;
    return true;
}

static part_t from_environment(void) {
    static const char *const names[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                           {"PMI_RANK", "PMI_SIZE"},
                                           {"SLURM_PROCID", "SLURM_NTASKS"}};
    part_t task = {0, 1, true}, rank = {0, 1, true};
    bool any = array_task(&task), ranked = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !ranked; i++) {
        part_t one = {0};
        if (!rank_of(names[i][0], names[i][1], &one)) continue;
        any = true;
        ranked = one.count > 1; /* alone in its world: somebody further out may know of more */
        if (ranked) rank.index = one.index, rank.count = one.count;
    }
    if (!any)
        die(RC_USAGE,
            "--shard auto: neither SLURM_ARRAY_TASK_ID and _COUNT, SLURM_PROCID and SLURM_NTASKS, "
            "OMPI_COMM_WORLD_RANK and _SIZE nor PMI_RANK and PMI_SIZE are set");
    return (part_t){task.index * rank.count + rank.index, task.count * rank.count, true};
}

part_t part_parse(const char *text) {
    unsigned long long i, n;
    char rest;
    if (!text) return (part_t){0, 1, false};
    if (!strcmp(text, "auto")) {
        part_t p = from_environment();
        if (p.count > MOST_PARTS)
            die(RC_USAGE, "--shard auto: %llu parts", (unsigned long long)p.count);
        return p;
    }
    bool digits = strspn(text, "0123456789/") == strlen(text);
    if (!digits || sscanf(text, "%llu/%llu%c", &i, &n, &rest) != 2 || i >= n || n > MOST_PARTS)
        die(RC_USAGE, "--shard '%s': I/N is needed (or auto), parts are numbered 0/N to (N-1)/N",
            text);
    return (part_t){i, n, false};
}

char *part_path(const char *out, part_t p) {
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/') n--;
    bool suffix = n > 5 && !memcmp(out + n - 5, ".lmdb", 5);
    return xasprintf("%.*s.%llu-of-%llu%s", (int)(suffix ? n - 5 : n), out,
                     (unsigned long long)p.index, (unsigned long long)p.count,
                     suffix ? ".lmdb" : "");
}
